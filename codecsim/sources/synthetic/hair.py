"""Hair: a sheet laid over a person's head, in the coordinates of `identity`."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from codecsim.sources.synthetic import atlas
from codecsim.sources.synthetic.identity import Identity
from codecsim.sources.synthetic.painting import Looks
from codecsim.sources.synthetic.smooth import smooth_step
from codecsim.sources.synthetic.surface import Surface

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class HairStyle:
    """How the hair is worn.

    Attributes
    ----------
    volume : thickness on top of the head, in head units
    length : height at which the hair at the sides ends; above 0.3 it is short
    curtain_degrees : from which angle aside, 0 being the front, hair falls to its length
    fringe : how far the hair hangs over the front hairline, in head units
    curl : unevenness of the surface, 0 to 1
    parting : −1 to 1, on which side there is more of it
    raggedness : standard deviation of the height at which it ends, in head units
    """

    volume: float
    length: float
    curtain_degrees: float
    fringe: float
    curl: float
    parting: float
    raggedness: float


_N_COLUMNS, _N_CAP, _N_FALL = 56, 18, 26
_SWEEP = 0.35  # how far a fringe is combed aside at 45°, as a part of its length
_FRINGE_RAGGEDNESS = 0.10  # added to the raggedness in front, as a part of the fringe's length
_SHORT = 0.3  # height at the side above which hair counts as short


def draw_style(rng: np.random.Generator, identity: Identity, looks: Looks) -> HairStyle | None:
    """Draw how the hair is worn; None where it is too short to stand off the scalp."""
    is_male = identity.sex > 0.5
    kinds = ("buzz", "short", "curly", "bob", "long")
    if looks.baldness:
        shares = (0.5, 0.5, 0.0, 0.0, 0.0)
    elif is_male:
        shares = (0.15, 0.62, 0.13, 0.05, 0.05)
    else:
        shares = (0.03, 0.27, 0.15, 0.27, 0.28)
    kind = rng.choice(kinds, p=shares)
    fringe = rng.uniform(0.25, 0.6) if rng.random() < (0.15 if is_male else 0.3) else 0.0
    parting = rng.uniform(-1, 1)
    if kind == "buzz":
        return None
    if kind == "short":
        return HairStyle(rng.uniform(0.05, 0.17), _SHORT, 180, fringe, 0.15, parting, 0.03)
    if kind == "curly":
        return HairStyle(rng.uniform(0.16, 0.38), rng.uniform(-0.7, _SHORT), 70, 0.0, 1.0, 0.3 * parting, 0.09)
    curtain = rng.uniform(46, 66)
    if kind == "bob":
        return HairStyle(rng.uniform(0.07, 0.16), rng.uniform(-1.05, -0.5), curtain, fringe, 0.2, parting, 0.07)
    return HairStyle(rng.uniform(0.06, 0.15), rng.uniform(-2.3, -1.4), curtain, fringe, 0.25, parting, 0.10)


def hair_surface(rng: np.random.Generator, scalp: Floats, style: HairStyle, looks: Looks, scale: float) -> Surface:
    """A sheet from the crown downwards, at the hair's distance from the head, cut off along the hairline.

    Parameters
    ----------
    scalp : float32, shape=(N, 3), vertices of the head and the neck without ears
    looks : where the hairline runs
    scale : units of this module per unit of the base mesh
    """
    upper = scalp[scalp[:, 1] > 0.3]
    axis_z = float((upper[:, 2].min() + upper[:, 2].max()) / 2)
    center = np.array([0, 0.3, axis_z], np.float32)
    azimuth = np.linspace(-np.pi, np.pi, _N_COLUMNS, endpoint=False)
    polar = np.linspace(0, np.pi / 2, _N_CAP)
    fall = np.linspace(0, 2.9, _N_FALL + 1)[1:]
    cap = _reach_on_sphere(scalp - center, azimuth, polar)  # (_N_CAP, _N_COLUMNS)
    height_fall = center[1] - fall
    side = _reach_on_cylinder(scalp - center, azimuth, -fall)
    if style.length < _SHORT:
        hung = np.maximum.accumulate(np.vstack([cap[-1:], side]), axis=0)[1:]
        hung = hung * (1 - 0.05 * fall[:, None]) + 0.07
        falls = smooth_step(np.abs(np.degrees(azimuth)), style.curtain_degrees - 15, style.curtain_degrees + 15)
        side = side + (hung - side) * falls * smooth_step(fall, 0.1, 0.5)[:, None]
    reach = ndimage.gaussian_filter(np.vstack([cap, side]), (1.0, 1.0), mode=("nearest", "wrap"))
    out = np.concatenate([np.sin(polar), np.ones(_N_FALL)])[:, None]
    up = np.concatenate([np.cos(polar), np.zeros(_N_FALL)])[:, None]
    directions = np.stack(
        [out * np.sin(azimuth), np.broadcast_to(up, (len(out), _N_COLUMNS)), out * np.cos(azimuth)], axis=-1
    )
    base = center + directions * reach[..., None]
    base[_N_CAP:, :, 1] = height_fall[:, None]
    share = base[..., 1] - _lower_edge(azimuth, style, looks, scale)
    if looks.baldness:
        bare = 0.6 + 0.8 * looks.baldness
        share = np.minimum(share, (np.arccos(np.clip(directions[..., 1], -1, 1)) - bare) * 0.8)
    locks = ndimage.gaussian_filter(rng.standard_normal(share.shape), (2.5, 0.8), mode=("nearest", "wrap"))
    raggedness = style.raggedness + _FRINGE_RAGGEDNESS * style.fringe * np.cos(azimuth).clip(0)
    share = share + raggedness * locks / locks.std()
    bumps = ndimage.gaussian_filter(rng.standard_normal(share.shape), 0.9, mode=("nearest", "wrap"))
    thickness = style.volume * (0.75 + 0.5 * up) * (1 + 0.25 * style.parting * np.sin(azimuth))
    thickness = thickness * (1 + 0.25 * style.curl * bumps / bumps.std()) * smooth_step(share, -0.05, 0.45)
    vertices = base + directions * (thickness + 0.02)[..., None]
    vertices[0] = vertices[0].mean(0)
    return _sheet(vertices.astype(np.float32), share.astype(np.float32))


def _lower_edge(azimuth: npt.NDArray[np.float64], style: HairStyle, looks: Looks, scale: float) -> Floats:
    """Height at which hair ends, by angle: the front hairline, temples, over the ears, the nape."""
    front = (looks.hairline - 7.25) * scale - style.fringe
    temple = 0.55 + looks.recession
    is_long = style.length < _SHORT
    angles = [0, 22, 45, 62, 76, 88, 104, 122, 150, 180]
    heights = [front, front + 0.05, front - 0.05 + looks.recession, temple, -0.02, 0.30, 0.22, -0.35, -0.70, -0.75]
    if is_long:
        heights = [
            height if angle < style.curtain_degrees else style.length
            for angle, height in zip(angles, heights, strict=True)
        ]
    fine = np.linspace(0, 180, 181)
    smooth = ndimage.gaussian_filter1d(np.interp(fine, angles, heights), 4 if is_long else 5, mode="nearest")
    edge = np.interp(np.abs(np.degrees(azimuth)), fine, smooth)
    swept = _SWEEP * style.fringe * style.parting * np.sin(2 * azimuth) * (np.cos(azimuth) > 0)
    return np.asarray(edge + swept, np.float32)


def _reach_on_sphere(
    points: Floats, azimuth: npt.NDArray[np.float64], polar: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """How far the head reaches in each direction, softly."""
    length = np.linalg.norm(points, axis=1)
    sine = np.sin(polar)[:, None]
    directions = np.stack(
        [
            sine * np.sin(azimuth),
            np.broadcast_to(np.cos(polar)[:, None], (len(polar), len(azimuth))),
            sine * np.cos(azimuth),
        ],
        axis=-1,
    )
    near = np.exp((directions @ (points / length[:, None]).T - 1) / 0.008)  # about 0.13 rad
    return _soft_maximum(near, length)


def _reach_on_cylinder(
    points: Floats, azimuth: npt.NDArray[np.float64], heights: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    length = np.hypot(points[:, 0], points[:, 2])
    angle = np.arctan2(points[:, 0], points[:, 2])
    turned = np.cos(azimuth[:, None] - angle) - 1  # (columns, N)
    level = -np.square(heights[:, None] - points[:, 1]) / (2 * 0.12**2)  # (rows, N)
    return _soft_maximum(np.exp(np.maximum(turned / 0.012 + level[:, None, :], -60)), length)


def _soft_maximum(near: npt.NDArray[np.float64], length: Floats) -> npt.NDArray[np.float64]:
    power = 8
    return np.asarray((near @ length**power / near.sum(-1)) ** (1 / power), np.float64)


def _sheet(vertices: Floats, cutout: Floats) -> Surface:
    rows, columns = cutout.shape
    number = np.arange(rows * columns).reshape(rows, columns)
    a, b = number[:-1], number[1:]
    right_a, right_b = np.roll(a, -1, 1), np.roll(b, -1, 1)
    outer = np.concatenate([np.stack(each, -1).reshape(-1, 3) for each in ((a, b, right_b), (a, right_b, right_a))])
    v, u = np.mgrid[0:rows, 0:columns].astype(np.float32)
    here = atlas.HAIR.place(2 * u / columns % 1, v / (rows - 1))  # the strands' picture goes round twice
    there = atlas.HAIR.place((2 * u / columns % 1) + 2 / columns, v / (rows - 1))
    corners = [
        np.stack([each.reshape(-1, 2) for each in places], 1)
        for places in (
            (here[:-1], here[1:], there[1:]),
            (here[:-1], there[1:], there[:-1]),
        )
    ]
    inner_place = atlas.INNER_HAIR.place(0.5, 0.5)
    inner = outer[:, ::-1]
    return Surface(
        vertices.reshape(-1, 3),
        np.concatenate([outer, inner]).astype(np.int64),
        np.concatenate([*corners, np.broadcast_to(inner_place, (len(inner), 3, 2))]).astype(np.float32),
        cutout.reshape(-1),
    )
