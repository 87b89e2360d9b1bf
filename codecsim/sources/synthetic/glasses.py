"""Glasses: thin tubes before a person's eyes, in the coordinates of `identity`."""

import numpy as np
import numpy.typing as npt

from codecsim.sources.synthetic import atlas
from codecsim.sources.synthetic.identity import Identity
from codecsim.sources.synthetic.surface import Surface

Floats = npt.NDArray[np.float32]

_EARS = -0.4
"""Ears begin here, in z: temples run along the head, between it and the ears."""


def glasses_surface(rng: np.random.Generator, identity: Identity, head: Floats) -> Surface:
    """Two rims, a bridge and temples, in front of a person's eyes; lenses are clear.

    Parameters
    ----------
    head : float32, shape=(N, 3), vertices of the face, to stand clear of
    """
    half_width, half_height = rng.uniform(0.195, 0.235), rng.uniform(0.12, 0.20)
    roundness, thickness = rng.uniform(2.0, 3.5), rng.uniform(0.010, 0.020)
    middle = np.abs(identity.eye_centers[:, 0]).mean() + 0.02
    near = (np.abs(np.abs(head[:, 0]) - middle) < half_width) & (np.abs(head[:, 1] + 0.03) < half_height)
    front = float(head[near, 2].max()) + 0.03
    turn = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    cosine, sine = np.cos(turn), np.sin(turn)
    rim_x = np.sign(cosine) * np.abs(cosine) ** (2 / roundness) * half_width
    rim_y = np.sign(sine) * np.abs(sine) ** (2 / roundness) * half_height - 0.03
    paths = [
        np.stack(
            [side * middle + rim_x, rim_y, np.full_like(rim_x, front) - 0.12 * (rim_x * side / half_width).clip(0)], 1
        )
        for side in (-1, 1)
    ]
    closed = [True, True]
    inner = middle - half_width
    across = np.linspace(-inner, inner, 7)
    paths.append(np.stack([across, 0.05 + 0.03 * np.cos(across / inner * np.pi / 2), np.full_like(across, front)], 1))
    closed.append(False)
    before_ears = head[(np.abs(head[:, 1]) < 0.2) & (head[:, 2] > _EARS), 0]
    side_reach = float(np.abs(before_ears).max()) + 0.02
    for side in (-1, 1):
        share = np.linspace(0, 1, 6)[:, None]
        start = np.array([side * (middle + half_width), 0.06, front - 0.12])
        hinge = np.array([side * max(side_reach, middle + half_width), 0.06, front - 0.2])
        end = np.array([side * side_reach, 0.02, front - 1.25])
        paths.append(
            np.where(share < 0.2, start + (hinge - start) * share / 0.2, hinge + (end - hinge) * (share - 0.2) / 0.8)
        )
        closed.append(False)
    vertices, triangles, count = [], [], 0
    for path, is_closed in zip(paths, closed, strict=True):
        tube, faces = _tube(path, thickness, is_closed)
        vertices.append(tube)
        triangles.append(faces + count)
        count += len(tube)
    faces = np.concatenate(triangles)
    place = atlas.GLASSES.place(0.5, 0.5)
    return Surface(
        np.concatenate(vertices).astype(np.float32),
        faces.astype(np.int64),
        np.broadcast_to(place, (len(faces), 3, 2)).astype(np.float32),
        np.ones(count, np.float32),
    )


def _tube(path: npt.NDArray[np.float64], radius: float, is_closed: bool) -> tuple[Floats, npt.NDArray[np.int64]]:
    """A tube of square section along a path."""
    ahead = np.roll(path, -1, 0) - np.roll(path, 1, 0) if is_closed else np.gradient(path, axis=0)
    ahead /= np.linalg.norm(ahead, axis=1, keepdims=True)
    up = np.cross(ahead, [0.05, 0.1, 1.0] if np.abs(ahead[:, 2]).mean() < 0.7 else [0.05, 1.0, 0.1])
    up /= np.linalg.norm(up, axis=1, keepdims=True)
    out = np.cross(ahead, up)
    ring = [radius * (up * np.cos(a) + out * np.sin(a)) for a in np.pi / 4 + np.pi / 2 * np.arange(4)]
    vertices = np.stack([path + offset for offset in ring], 1).reshape(-1, 3).astype(np.float32)
    n = len(path)
    faces = []
    for k in range(n if is_closed else n - 1):
        here, there = 4 * k, 4 * ((k + 1) % n)
        for j in range(4):
            a, b, c, d = here + j, here + (j + 1) % 4, there + (j + 1) % 4, there + j
            faces += [(a, b, c), (a, c, d)]
    triangles = np.array(faces, np.int64)
    corners = vertices[triangles]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    outward = corners.mean(1) - path[triangles[:, 0] // 4]
    is_inside_out = (normals * outward).sum(1) < 0
    triangles[is_inside_out] = triangles[is_inside_out][:, ::-1]
    return vertices, triangles
