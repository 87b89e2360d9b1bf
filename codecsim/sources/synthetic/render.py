"""From a person, a stage and what the face does to gray frames, batch by batch.

Geometry moves, vertices are lit, and pixels look up albedo: light is computed once a vertex, since a head has about as
many vertices as its picture has pixels, and only paint, the eyes' glint and coverage are computed for each sample.
Four samples a pixel are averaged as light, before the camera's curve.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, grid_sample, normalize, pad

from codecsim.corpus import HR_SIDE
from codecsim.sources.synthetic.person import Person, normals
from codecsim.sources.synthetic.raster import rasterize
from codecsim.sources.synthetic.shadows import depth_maps, lit_share
from codecsim.sources.synthetic.staging import SOURCE_HEIGHT, SOURCE_WIDTH

SAMPLES = 2
"""Samples a pixel along each side."""

_SHADOW_SIDE = 80
_PIVOT = (0.0, -0.95, -0.85)
"""Where the head turns on the neck, in head units."""

_MAX_DEPTH_RANGE = 8.0
_WRAP = 0.22
"""Light reaches this far beyond the terminator of skin, which scatters it."""

_GLINT_EXPONENT, _GLINT = 90.0, 0.9
_GLOSS_EXPONENT = 14.0
_GAMMA = 1 / 2.2


@dataclass(frozen=True)
class Motion:
    """What a face does in B frames.

    Attributes
    ----------
    units : float32, shape=(B, 52), 0 to 1
    pose : float32, shape=(B, 3), yaw, pitch and roll in degrees
    position : float32, shape=(B, 3), offset of the head in head units
    """

    units: Tensor
    pose: Tensor
    position: Tensor

    def __getitem__(self, frames: slice) -> "Motion":
        return Motion(self.units[frames], self.pose[frames], self.position[frames])


@dataclass(frozen=True)
class Lights:
    """Lights of B frames and the camera's place; see `codecsim.sources.synthetic.staging.Stage`."""

    key: Tensor
    fill: Tensor
    key_strength: Tensor
    fill_strength: float
    sky_strength: float
    distance: float
    focal: float
    center: Tensor


def moved(person: Person, motion: Motion, chosen: Tensor | None = None) -> Tensor:
    """Vertices in head units, float32, shape=(B, N, 3), or of the `chosen` ones of the pack's alone."""
    batch = len(motion.units)
    if chosen is None:
        n_units = person.unit_deltas.shape[1] // 3
        shape = (motion.units @ person.unit_deltas).view(batch, n_units, 3)
        shape = pad(shape, (0, 0, 0, len(person.vertices) - n_units)) + person.vertices
        follow = person.follow
    else:
        deltas = person.unit_deltas.view(len(person.unit_deltas), -1, 3)[:, chosen]
        shape = torch.einsum("bu,unc->bnc", motion.units, deltas) + person.vertices[chosen]
        follow = person.follow[chosen]
    pivot = torch.tensor(_PIVOT, device=shape.device)
    turned = (shape - pivot) @ _rotations(motion.pose).transpose(1, 2) + pivot + motion.position[:, None]
    return shape + follow[:, None] * (turned - shape)


def projected(points: Tensor, lights: Lights) -> Tensor:
    """Pixels of the imagined recording, and depth: float32, shape=(B, N, 3)."""
    away = lights.distance - points[..., 2]
    x = lights.center[0] + lights.focal * points[..., 0] / away
    y = lights.center[1] - lights.focal * points[..., 1] / away
    return torch.stack([x, y, away - lights.distance + _MAX_DEPTH_RANGE / 2], -1)


def render(
    person: Person, motion: Motion, lights: Lights, squares: Tensor, background: Tensor, *, side: int = HR_SIDE
) -> tuple[Tensor, Tensor]:
    """Render linear luminance before exposure.

    Parameters
    ----------
    squares : float32, shape=(B, 3), left and upper edge and side of the crops, in pixels of the imagined recording
    background : float32, shape=(B, side, side), what is seen behind the head

    Returns
    -------
    luminance : float32, shape=(B, side, side), ≥ 0
    coverage : float32, shape=(B, side, side), share of each pixel that the person covers
    """
    points = moved(person, motion)
    normal = normals(points, person.triangles, person.neighbours)
    light, shine = _lit(person, points, normal, lights)
    samples = side * SAMPLES
    picture = projected(points, lights)
    zoom = samples / squares[:, 2]
    picture[..., :2] = (picture[..., :2] - squares[:, None, :2]) * zoom[:, None, None]
    hits = rasterize(picture, person.triangles, samples, cutout=person.cutout)
    corners = person.triangles[hits.triangle]  # (S, 3)
    lit = torch.stack([light, shine], -1)[hits.picture[:, None], corners]  # (S, 3, 2)
    lit = (lit * hits.weights[..., None]).sum(1)
    places = (person.places[hits.triangle] * hits.weights[..., None]).sum(1)  # (S, 2)
    color = _albedo(person, motion, hits.picture, places) * lit[:, 0] + lit[:, 1]
    of_eye = torch.nonzero(person.is_eye[hits.triangle])[:, 0]
    there = (normal[hits.picture[of_eye, None], corners[of_eye]] * hits.weights[of_eye, :, None]).sum(1)
    color[of_eye] += _glint(there, lights, hits.picture[of_eye], lit[of_eye, 0])
    place = hits.picture * samples * samples + hits.pixel
    canvas = color.new_zeros(2, len(points) * samples * samples)
    canvas[0, place] = color
    canvas[1, place] = 1.0
    canvas = avg_pool2d(canvas.view(2, len(points), samples, samples), SAMPLES)
    return canvas[0] + (1 - canvas[1]) * background, canvas[1]


def exposed(luminance: Tensor, exposure: float) -> Tensor:
    """Gray levels 0 to 255, not rounded: the camera's curve, with a shoulder instead of clipped highlights."""
    light = luminance * exposure
    light = torch.where(light < 0.6, light, 0.6 + 0.4 * torch.tanh((light - 0.6) / 0.4))
    return 255 * light.clamp(0, 1) ** _GAMMA


def backdrop(background: Tensor, squares: Tensor, side: int = HR_SIDE) -> Tensor:
    """The part of a background that lies behind each crop: float32, shape=(B, side, side)."""
    step = (torch.arange(side, device=squares.device) + 0.5) / side
    x = (squares[:, :1] + step * squares[:, 2:]) / SOURCE_WIDTH * 2 - 1  # (B, side)
    y = (squares[:, 1:2] + step * squares[:, 2:]) / SOURCE_HEIGHT * 2 - 1
    grid = torch.stack([x[:, None, :].expand(-1, side, -1), y[:, :, None].expand(-1, -1, side)], -1)
    picture = background[None, None].expand(len(squares), -1, -1, -1)
    return grid_sample(picture, grid, mode="bilinear", padding_mode="border", align_corners=False)[:, 0]


def _rotations(pose: Tensor) -> Tensor:
    """Rotation matrices of yaw, then pitch, then roll: shape=(B, 3, 3)."""
    sine, cosine = torch.sin(pose * (math.pi / 180)), torch.cos(pose * (math.pi / 180))
    zero, one = torch.zeros_like(sine[:, 0]), torch.ones_like(sine[:, 0])
    (sy, sp, sr), (cy, cp, cr) = sine.unbind(1), cosine.unbind(1)
    yaw = torch.stack([cy, zero, sy, zero, one, zero, -sy, zero, cy], 1).view(-1, 3, 3)
    pitch = torch.stack([one, zero, zero, zero, cp, -sp, zero, sp, cp], 1).view(-1, 3, 3)
    roll = torch.stack([cr, -sr, zero, sr, cr, zero, zero, zero, one], 1).view(-1, 3, 3)
    return roll @ pitch @ yaw


def _lit(person: Person, points: Tensor, normal: Tensor, lights: Lights) -> tuple[Tensor, Tensor]:
    """Light that each vertex scatters (times albedo) and mirrors: float32, shape=(B, N) each."""
    batch = len(points)
    toward_key = lights.key.expand(batch, 3)
    depths = depth_maps(points, person.triangles, toward_key, _SHADOW_SIDE, person.shade_cutout)
    unshadowed = lit_share(points, normal, toward_key, depths, _SHADOW_SIDE)
    key_cosine, fill_cosine = normal @ lights.key, normal @ lights.fill
    key = lights.key_strength[:, None] * unshadowed
    sky = lights.sky_strength * (0.72 + 0.28 * normal[..., 1]) * person.ambient
    fill = lights.fill_strength * _wrapped(fill_cosine) * (0.35 + 0.65 * person.ambient)
    light = sky + fill + key * _wrapped(key_cosine)
    toward_eye = normalize(torch.tensor([0.0, 0.0, lights.distance], device=points.device) - points, dim=-1)
    half_way = normalize(toward_eye + lights.key, dim=-1)
    shine = (normal * half_way).sum(-1).clamp(min=0) ** _GLOSS_EXPONENT * (key_cosine > 0) * key
    return light, person.gloss * shine


def _wrapped(cosine: Tensor) -> Tensor:
    return ((cosine + _WRAP) / (1 + _WRAP)).clamp(min=0)


def _albedo(person: Person, motion: Motion, picture: Tensor, places: Tensor) -> Tensor:
    """Paint at each sample, darkened by the wrinkles that its frame's face units draw."""
    grid = (places * 2 - 1)[None, None]
    painted = grid_sample(person.paint[None], grid, mode="bilinear", padding_mode="border", align_corners=False)
    painted = painted[0, :, 0]  # (6, S)
    drive = (motion.units @ person.wrinkle_drive).clamp(0, 1)  # (B, 5)
    wrinkled = (painted[1:] * drive.T[:, picture]).sum(0)
    return painted[0] * (1 - wrinkled).clamp(0.3, 1.4)


def _glint(normal: Tensor, lights: Lights, picture: Tensor, lit: Tensor) -> Tensor:
    """The key light's mirror image in the wet eye."""
    half_way = normalize(lights.key + torch.tensor([0.0, 0.0, 1.0], device=normal.device), dim=0)
    strength = _GLINT * lights.key_strength[picture] * (lit > 0.15)
    return strength * (normalize(normal, dim=-1) @ half_way).clamp(min=0) ** _GLINT_EXPONENT
