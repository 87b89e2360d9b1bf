"""Shadows by depth maps: what a light does not see lies in the dark."""

import torch
from torch import Tensor

from codecsim.sources.synthetic.raster import rasterize

_SPAN = 5.6
"""Width, in head units, of what the light looks at: head, hair and shoulders."""

_CENTER = (0.0, -0.35, -0.8)
_BIAS = 0.035
_NORMAL_OFFSET = 0.03
_FAR = 16.0


def _seen_by(points: Tensor, directions: Tensor, side: int) -> Tensor:
    """Points as a light far away in some direction sees them: pixel x and y, and depth; shape=(B, N, 3)."""
    up = torch.tensor([0.0, 1.0, 0.0], device=points.device)
    aside = torch.linalg.cross(up.expand_as(directions), directions)
    is_overhead = aside.norm(dim=1, keepdim=True) < 1e-3
    aside = torch.where(is_overhead, torch.tensor([1.0, 0.0, 0.0], device=points.device), aside)
    aside = torch.nn.functional.normalize(aside, dim=1)
    above = torch.linalg.cross(directions, aside)
    axes = torch.stack([aside * (side / _SPAN), above * (-side / _SPAN), -directions], 2)  # (B, 3, 3)
    offset = torch.tensor([side / 2, side / 2, _FAR / 2], device=points.device)
    return (points - torch.tensor(_CENTER, device=points.device)) @ axes + offset


def depth_maps(points: Tensor, triangles: Tensor, directions: Tensor, side: int, cutout: Tensor) -> Tensor:
    """Depth of what a light sees first: float32, shape=(B, side × side).

    Parameters
    ----------
    points : float32, shape=(B, N, 3)
    triangles : int64, shape=(M, 3)
    directions : float32, shape=(B, 3), unit vectors towards the light
    cutout : float32, shape=(N,), as for `rasterize`
    """
    hits = rasterize(_seen_by(points, directions, side), triangles, side, cutout=cutout, both_sides=True)
    depths = points.new_full((len(points) * side * side,), _FAR)
    depths[hits.picture * side * side + hits.pixel] = hits.depth
    return depths.view(len(points), side * side)


def lit_share(points: Tensor, normal: Tensor, directions: Tensor, depths: Tensor, side: int) -> Tensor:
    """How much of the light reaches each point, 0 to 1: four comparisons around it, shape=(B, N)."""
    seen = _seen_by(points + _NORMAL_OFFSET * normal, directions, side)
    x, y = seen[..., 0] - 0.5, seen[..., 1] - 0.5
    left, top = x.floor(), y.floor()
    share_x, share_y = x - left, y - top
    limit = seen[..., 2] - _BIAS
    lit = torch.zeros_like(limit)
    for column, row, weight in (
        (0, 0, (1 - share_x) * (1 - share_y)),
        (1, 0, share_x * (1 - share_y)),
        (0, 1, (1 - share_x) * share_y),
        (1, 1, share_x * share_y),
    ):
        pixel = (top + row).clamp(0, side - 1) * side + (left + column).clamp(0, side - 1)
        lit += weight * (depths.gather(1, pixel.long()) >= limit)
    return lit
