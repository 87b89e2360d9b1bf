"""Which triangle is seen at which pixel: a z-buffer in plain torch, the same code on the CPU and on a GPU.

Triangles of a face at 96×96 are about as large as pixels, so the usual loop over triangles would be all overhead. Here
triangles of about the same extent are tested together against all pixels of their bounding boxes, and the nearest hit
of each pixel wins by a minimum over integers, which is exact and does not depend on the order of the hits.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

_EXTENTS = (1, 2, 3, 4, 6, 9, 14, 24, 48, 96)
"""Widths and heights, in pixels, of the boxes whose triangles are tested together."""

_DEPTH_STEPS = 2**24
"""Depth is compared in steps of 2⁻²⁴, over a range of 0 to 16: with the triangle's number it fits into 63 bits."""

_MAX_DEPTH = 16.0
_MAX_TRIANGLES = 2**20
_EMPTY = 2**62


@dataclass(frozen=True)
class Hits:
    """The triangle that is seen at each covered pixel, S of them.

    Attributes
    ----------
    picture : int64, shape=(S,), number of the picture in the batch
    pixel : int64, shape=(S,), y × side + x
    triangle : int64, shape=(S,)
    weights : float32, shape=(S, 3), barycentric: those of the triangle's three corners, on the picture plane
    depth : float32, shape=(S,)
    """

    picture: Tensor
    pixel: Tensor
    triangle: Tensor
    weights: Tensor
    depth: Tensor


def rasterize(
    points: Tensor, triangles: Tensor, side: int, *, cutout: Tensor | None = None, both_sides: bool = False
) -> Hits:
    """Find the nearest triangle at each pixel centre.

    Parameters
    ----------
    points : float32, shape=(B, N, 3): x to the right and y downwards in pixels (pixel centres at ·.5), and depth, 0 to
        16, smaller being nearer
    triangles : int64, shape=(M, 3), M < 2²⁰; counter-clockwise seen from the front
    side : the pictures have side × side pixels
    cutout : float32, shape=(N,); where its interpolated value is negative, a triangle has a hole
    both_sides : whether triangles are seen from behind

    Returns
    -------
    hits : in an order that depends on the input alone
    """
    if len(triangles) >= _MAX_TRIANGLES:
        raise ValueError(f"{len(triangles)} triangles; at most {_MAX_TRIANGLES - 1} can be told apart")
    n_pictures, n_triangles = len(points), len(triangles)
    corners = points.index_select(1, triangles.view(-1)).view(n_pictures, n_triangles, 3, 3)  # (B, M, corners, xyz)
    x, y = corners[..., 0], corners[..., 1]  # (B, M, 3)
    low_x, high_x = (x.amin(-1) - 0.5).ceil().clamp(min=0), (x.amax(-1) - 0.5).floor().clamp(max=side - 1)
    low_y, high_y = (y.amin(-1) - 0.5).ceil().clamp(min=0), (y.amax(-1) - 0.5).floor().clamp(max=side - 1)
    ahead = (x[..., 1] - x[..., 0]) * (y[..., 2] - y[..., 0]) - (y[..., 1] - y[..., 0]) * (x[..., 2] - x[..., 0])
    is_seen = (ahead.abs() > 1e-9) if both_sides else (ahead < -1e-9)
    is_seen &= (high_x >= low_x) & (high_y >= low_y)
    seen = torch.nonzero(is_seen.view(-1))[:, 0]
    low = torch.stack([low_x.view(-1)[seen], low_y.view(-1)[seen]], 1)  # (K, 2)
    size = torch.stack([high_x.view(-1)[seen], high_y.view(-1)[seen]], 1) - low + 1
    extents = [extent for extent in _EXTENTS if extent < side] + [side]
    kind = torch.bucketize(size, torch.tensor(extents, dtype=size.dtype, device=size.device))  # (K, 2)
    kind, order = torch.sort(kind[:, 0] * len(extents) + kind[:, 1], stable=True)
    seen, low = seen[order], low.index_select(0, order)
    corners = corners.view(-1, 3, 3).index_select(0, seen)
    picture = seen // n_triangles
    triangle = seen - picture * n_triangles
    found, first = [], 0
    for number, count in enumerate(torch.bincount(kind, minlength=len(extents) ** 2).tolist()):
        if count:
            box = extents[number // len(extents)], extents[number % len(extents)]
            some = slice(first, first + count)
            found.append(_inside((picture[some], triangle[some]), corners[some], low[some], box, side))
            first += count
    if not found:
        empty = torch.zeros(0, dtype=torch.int64, device=points.device)
        return Hits(empty, empty, empty, points.new_zeros(0, 3), points.new_zeros(0))
    candidates = _Candidates(*(torch.cat(each) for each in zip(*found, strict=True)))
    if cutout is not None:
        _cut(candidates, cutout[triangles])
    return _nearest(candidates, len(points), side)


class _Candidates(NamedTuple):
    """Pixels inside of triangles, hidden ones too; w1 and w2 are the weights of the second and third corners."""

    picture: Tensor
    pixel: Tensor
    triangle: Tensor
    w1: Tensor
    w2: Tensor
    depth: Tensor


def _inside(where: tuple[Tensor, Tensor], corners: Tensor, low: Tensor, box: tuple[int, int], side: int) -> _Candidates:
    """Pixels inside of K triangles, each of which lies in a box of the same width and height from `low` on."""
    width, height = box
    low = torch.stack([low[:, 0].clamp(max=side - width), low[:, 1].clamp(max=side - height)], 1)
    a, b, c = corners.unbind(1)  # (K, 3) each
    ab, ac = b - a, c - a
    inverse = 1 / (ab[:, :1] * ac[:, 1:2] - ab[:, 1:2] * ac[:, :1])
    step = torch.arange(max(box), device=corners.device, dtype=corners.dtype) + 0.5
    # Weights are linear in x and y: one value a column and one a row, added up.
    along_x = (low[:, :1] + step[:width] - a[:, :1]) * inverse  # (K, width)
    along_y = (low[:, 1:] + step[:height] - a[:, 1:2]) * inverse  # (K, height)
    w1 = (along_x * ac[:, 1:2])[:, None, :] - (along_y * ac[:, :1])[:, :, None]  # (K, height, width)
    w2 = (along_y * ab[:, :1])[:, :, None] - (along_x * ab[:, 1:2])[:, None, :]
    # A hair's breadth is added, so that no pixel falls between two triangles.
    is_inside = torch.minimum(torch.minimum(w1, w2), 1 - w1 - w2) >= -1e-5
    flat = torch.nonzero(is_inside.view(-1))[:, 0]
    which = flat // (width * height)
    rest = flat - which * (width * height)
    row = rest // width
    first = low.long().index_select(0, which)  # (H, 2)
    x, y = first[:, 0] + rest - row * width, first[:, 1] + row
    w1, w2 = w1.view(-1).index_select(0, flat), w2.view(-1).index_select(0, flat)
    z = torch.stack([a[:, 2], ab[:, 2], ac[:, 2]], 1).index_select(0, which)
    picture, triangle = (each.index_select(0, which) for each in where)
    return _Candidates(picture, y * side + x, triangle, w1, w2, z[:, 0] + w1 * z[:, 1] + w2 * z[:, 2])


def _cut(candidates: _Candidates, of_corners: Tensor) -> None:
    """Put candidates in holes out of sight; `of_corners` are the triangles' cutout values, shape=(M, 3)."""
    near = torch.nonzero((of_corners < 0).any(1)[candidates.triangle])[:, 0]
    a, b, c = of_corners[candidates.triangle[near]].unbind(1)
    value = a + candidates.w1[near] * (b - a) + candidates.w2[near] * (c - a)
    candidates.depth[near[value < 0]] = torch.inf


def _nearest(candidates: _Candidates, n_pictures: int, side: int) -> Hits:
    picture, pixel, triangle, w1, w2, depth = candidates
    place = picture * (side * side) + pixel
    step = (depth.clamp(0, _MAX_DEPTH) * _DEPTH_STEPS).long()
    key = torch.where(depth < _MAX_DEPTH, (step << 20) | triangle, _EMPTY)
    nearest = torch.full((n_pictures * side * side,), _EMPTY, dtype=torch.int64, device=depth.device)
    nearest.scatter_reduce_(0, place, key, "amin")
    won = torch.nonzero((key == nearest[place]) & (key < _EMPTY))[:, 0]
    w1, w2 = w1[won], w2[won]
    return Hits(picture[won], pixel[won], triangle[won], torch.stack([1 - w1 - w2, w1, w2], 1), depth[won])
