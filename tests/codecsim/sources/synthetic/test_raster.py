"""The z-buffer against a plain loop over triangles and pixels."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from codecsim.sources.synthetic.raster import rasterize

SIDE = 16


def looped(points: np.ndarray, triangles: np.ndarray, *, both_sides: bool) -> np.ndarray:
    """Number of the nearest triangle at each pixel, −1 where there is none."""
    depths, seen = np.full((SIDE, SIDE), np.inf), np.full((SIDE, SIDE), -1)
    for number, (a, b, c) in enumerate(points[triangles].astype(np.float64)):
        area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
        if abs(area) < 1e-9 or (area > 0 and not both_sides):
            continue
        for y in range(SIDE):
            for x in range(SIDE):
                px, py = x + 0.5 - a[0], y + 0.5 - a[1]
                w1 = (px * (c[1] - a[1]) - py * (c[0] - a[0])) / area
                w2 = (py * (b[0] - a[0]) - px * (b[1] - a[1])) / area
                depth = a[2] + w1 * (b[2] - a[2]) + w2 * (c[2] - a[2])
                if min(w1, w2, 1 - w1 - w2) >= 0 and depth < depths[y, x]:
                    depths[y, x], seen[y, x] = depth, number
    return seen


def drawn(points: np.ndarray, triangles: np.ndarray, **given: object) -> np.ndarray:
    hits = rasterize(torch.from_numpy(points)[None], torch.from_numpy(triangles), SIDE, **given)
    seen = np.full(SIDE * SIDE, -1)
    assert len(set(hits.pixel.tolist())) == len(hits.pixel), "a pixel is hit once"
    seen[hits.pixel.numpy()] = hits.triangle.numpy()
    return seen.reshape(SIDE, SIDE)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.booleans())
def test_the_nearest_triangle_is_seen(seed: int, n_triangles: int, both_sides: bool) -> None:
    rng = np.random.default_rng(seed)
    points = np.concatenate(
        [rng.uniform(-4, SIDE + 4, (3 * n_triangles, 2)), rng.uniform(1, 9, (3 * n_triangles, 1))], 1
    )
    points = points.astype(np.float32)
    triangles = np.arange(3 * n_triangles).reshape(-1, 3)
    expected = looped(points, triangles, both_sides=both_sides)
    # Along edges the tolerance of a hair's breadth may decide.
    assert (drawn(points, triangles, both_sides=both_sides) != expected).mean() <= 0.02


def test_two_triangles_of_a_square_leave_no_gap() -> None:
    points = np.array([[2.0, 2, 1], [2, 14, 1], [14, 14, 1], [14, 2, 1]], np.float32)
    seen = drawn(points, np.array([[0, 1, 2], [0, 2, 3]]))
    assert (seen[2:14, 2:14] >= 0).all()
    assert (seen >= 0).sum() == 144


def test_weights_interpolate_corners() -> None:
    points = torch.tensor([[[0.0, 0, 1], [0, 32, 2], [32, 0, 3]]])
    hits = rasterize(points, torch.tensor([[0, 1, 2]]), SIDE)
    assert len(hits.pixel) == SIDE * SIDE
    places = (points[0, :, :2] * hits.weights[..., None]).sum(1)
    torch.testing.assert_close(places[:, 0], hits.pixel % SIDE + 0.5)
    torch.testing.assert_close(places[:, 1], hits.pixel // SIDE + 0.5)


def test_a_triangle_ends_where_its_cutout_falls_below_zero() -> None:
    points = np.array([[0, 0, 1], [0, 32, 1], [32, 0, 1]], np.float32)
    cutout = torch.tensor([-1.0, 1.0, 1.0])  # 0 along the line x + y = 16
    seen = drawn(points, np.array([[0, 1, 2]]), cutout=cutout)
    x, y = np.meshgrid(np.arange(SIDE) + 0.5, np.arange(SIDE) + 0.5)
    np.testing.assert_array_equal(seen >= 0, x + y >= 16)


def test_what_is_nearer_hides_what_is_behind_and_the_batch_is_kept_apart() -> None:
    front = np.array([[0, 0, 1], [0, 32, 1], [32, 0, 1]], np.float32)
    back = front + np.array([0, 0, 1], np.float32)
    both = torch.from_numpy(np.stack([np.concatenate([front, back]), np.concatenate([back, front])]))
    hits = rasterize(both, torch.tensor([[0, 1, 2], [3, 4, 5]]), SIDE)
    assert set(hits.triangle[hits.picture == 0].tolist()) == {0}
    assert set(hits.triangle[hits.picture == 1].tolist()) == {1}


def test_nothing_in_sight_gives_no_hits() -> None:
    assert len(rasterize(torch.zeros(1, 3, 3) - 9, torch.tensor([[0, 1, 2]]), SIDE).pixel) == 0
