"""A person's colours: skin, brows, lips, beard, eyes, hair and clothes, painted into the atlas.

Only luminance is painted, as linear albedo: the corpus is gray. Places are those of the base mesh: y runs from
5.5 at the collar over 6.0 at the chin, 6.9 at the nose, 7.3 at the eyes and 7.5 at the brows to 8.5 at the top; x is 0
in the middle of the face; z is 1.7 at the tip of the nose and falls to the back.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from codecsim.sources.synthetic import atlas
from codecsim.sources.synthetic.atlas import Chart
from codecsim.sources.synthetic.identity import Identity
from codecsim.sources.synthetic.pack import Material
from codecsim.sources.synthetic.smooth import Floats, smooth_step

WRINKLES: tuple[tuple[str, ...], ...] = (
    ("mouthSmileLeft", "mouthSmileRight", "noseSneerLeft", "noseSneerRight", "mouthUpperUpLeft", "mouthUpperUpRight"),
    ("browDownLeft", "browDownRight"),
    ("browInnerUp", "browOuterUpLeft", "browOuterUpRight"),
    ("cheekSquintLeft", "cheekSquintRight", "eyeSquintLeft", "eyeSquintRight"),
    ("cheekSquintLeft", "cheekSquintRight"),
)
"""Face units that deepen each wrinkle map: nasolabial folds, frown lines, forehead, crow's feet, under the eyes."""

_ALBEDO_BY_ANCESTRY = (0.13, 0.40, 0.50)
"""Linear luminance of skin, African, Asian, European; chosen by eye."""


@dataclass(frozen=True)
class Looks:
    """What of a person is paint rather than shape.

    Attributes
    ----------
    skin, hair, iris, cloth : albedo, linear, 0 to 1
    hairline : height of the front hairline on the base mesh, in dm
    recession : how far the hairline recedes at the temples, in dm
    baldness : 0 full hair … 1 none on top
    beard : 0 shaven … 1 full
    brow_thickness, brow_arch : half the height of a brow, and how far its middle rises, in dm
    brow_inner : how far from the middle of the face it begins, in dm
    brow_darkness : 0 no brow … 1 opaque
    lips : albedo of the lips, as a part of the skin's
    freckles : 0 none … 1
    collar : height on the base mesh at which clothes begin, in dm
    cloth_pattern : contrast of stripes, 0 to 1
    """

    skin: float
    hair: float
    hairline: float
    recession: float
    baldness: float
    beard: float
    brow_thickness: float
    brow_darkness: float
    brow_arch: float
    brow_inner: float
    iris: float
    lips: float
    freckles: float
    cloth: float
    collar: float
    cloth_pattern: float


def draw_looks(rng: np.random.Generator, identity: Identity) -> Looks:
    """Draw what fits a person's sex, age and ancestry."""
    sharpened = identity.ancestry**2 / (identity.ancestry**2).sum()
    skin = float(np.clip(sharpened @ np.array(_ALBEDO_BY_ANCESTRY) * rng.uniform(0.82, 1.14), 0.08, 0.60))
    is_male, is_old = identity.sex > 0.5, identity.age > 0.7
    if is_old and rng.random() < 0.6:
        hair = rng.uniform(0.20, 0.38)
    elif identity.ancestry[2] > 0.5:
        hair = float(np.clip(0.03 + 0.36 * rng.beta(0.9, 1.8), 0.03, 0.36))
    else:
        hair = rng.uniform(0.02, 0.06)
    beard = float(rng.choice([0.0, 0.22, 0.5, 0.9], p=[0.38, 0.32, 0.15, 0.15])) if is_male else 0.0
    baldness = float(rng.uniform(0.5, 1.0)) if is_male and rng.random() < 0.12 + 0.25 * identity.age else 0.0
    return Looks(
        skin=skin,
        hair=float(hair),
        hairline=8.17 + rng.uniform(-0.10, 0.10),
        recession=rng.uniform(0, 0.22) if is_male else rng.uniform(-0.04, 0.06),
        baldness=baldness,
        beard=beard,
        brow_thickness=rng.uniform(0.024, 0.044) * (1.15 if is_male else 0.85),
        brow_darkness=rng.uniform(0.55, 0.92),
        brow_arch=rng.uniform(0.03, 0.075),
        brow_inner=rng.uniform(0.10, 0.14),
        iris=rng.uniform(0.05, 0.26) if identity.ancestry[2] > 0.5 else rng.uniform(0.025, 0.06),
        lips=rng.uniform(0.45, 0.68) if not is_male else rng.uniform(0.60, 0.80),
        freckles=float(rng.random() < 0.25) * rng.uniform(0.3, 1.0),
        cloth=float(np.clip(rng.beta(0.9, 1.4), 0.02, 0.8)),
        collar=rng.uniform(5.42, 5.74),
        cloth_pattern=float(rng.random() < 0.35) * rng.uniform(0.1, 0.35),
    )


def paint(rng: np.random.Generator, chart: Chart, identity: Identity, looks: Looks) -> tuple[Floats, Floats]:
    """Paint a person.

    Returns
    -------
    albedo : float32, shape=(atlas.HEIGHT, atlas.WIDTH), linear, 0 to 1
    wrinkles : float32, shape=(5, atlas.HEIGHT, atlas.WIDTH), share of light that the full wrinkle takes away (or adds,
        where it is negative)
    """
    albedo = np.full((atlas.HEIGHT, atlas.WIDTH), looks.skin, np.float32)
    wrinkles = np.zeros((len(WRINKLES), atlas.HEIGHT, atlas.WIDTH), np.float32)
    albedo[atlas.SKIN.window] = _skin(rng, chart, identity, looks)
    wrinkles[:, *atlas.SKIN.window] = _wrinkles(chart, identity) * rng.uniform(0.6, 1.1)
    albedo[atlas.HAIR.window] = _strands(rng, looks)
    albedo[atlas.EYE.window] = _eye(rng, looks)
    albedo[atlas.NECK.window] = _neck(looks)
    for region, value in (
        (atlas.FLAT[Material.TEETH], 0.62),
        (atlas.FLAT[Material.TONGUE], 0.10 + 0.20 * looks.skin),
        (atlas.FLAT[Material.MOUTH], 0.03 + 0.10 * looks.skin),
        (atlas.FLAT[Material.SOCKET], 0.6 * looks.skin),
        (atlas.INNER_HAIR, 0.35 * looks.hair),
        (atlas.GLASSES, rng.choice([0.015, 0.03, 0.12, 0.3])),
    ):
        # A texel more on each side, since what lies between two texels is their mix.
        rows, columns = region.window
        albedo[rows.start - 1 : rows.stop + 1, columns.start - 1 : columns.stop + 1] = value
    return albedo.clip(0.008, 0.9), wrinkles


def _bell(x: Floats, width: float | Floats) -> Floats:
    return np.asarray(np.exp(-np.square(x / width)), np.float32)


def _sum(functions: Iterable[Floats]) -> Floats:
    return np.asarray(np.sum(list(functions), axis=0))


class _Noise:
    """Smooth random functions of place: values on a lattice, interpolated linearly; −0.5 to 0.5."""

    _SIDE = 24

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng

    def __call__(self, places: Floats, frequency: float | tuple[float, float, float]) -> Floats:
        lattice = self._rng.random((self._SIDE,) * 3, dtype=np.float32) - np.float32(0.5)
        coordinates = np.moveaxis(places * np.asarray(frequency, np.float32), -1, 0) % (self._SIDE - 1)
        return np.asarray(ndimage.map_coordinates(lattice, coordinates, order=1, mode="nearest"), np.float32)


def _skin(rng: np.random.Generator, chart: Chart, identity: Identity, looks: Looks) -> Floats:
    places, masks, noise = chart.positions, chart.masks, _Noise(rng)
    x, y, z = places[..., 0], places[..., 1], places[..., 2]
    aside, front = np.abs(x), smooth_step(z, 0.95, 1.2)
    fine = noise(places, 40)
    skin = looks.skin * (
        1 + 0.10 * noise(places, 2.2) + 0.08 * noise(places, 6) + 0.10 * noise(places, 21) + 0.07 * fine
    )
    if looks.freckles:
        skin *= 1 - 0.16 * looks.freckles * smooth_step(noise(places, 30), 0.24, 0.38) * front
    skin *= 1 - rng.uniform(0.06, 0.20) * _bell(aside - 0.30, 0.2) * _bell(y - 7.20, 0.16)  # eye sockets
    skin *= 1 - 0.08 * _bell(aside - 0.45, 0.22) * _bell(y - 6.85, 0.2)  # cheeks are redder, hence darker in gray
    skin *= 1 - 0.30 * _bell(aside - 0.10, 0.06) * _bell(y - 6.86, 0.035) * smooth_step(z, 1.4, 1.55)  # nostrils
    fold = aside - (0.22 + 0.30 * (6.98 - y).clip(0, 0.6))
    skin *= (
        1
        - 0.20 * identity.age * _crease(fold, 0.03) * smooth_step(y, 6.5, 6.6) * (1 - smooth_step(y, 6.9, 7.0)) * front
    )
    for height in (7.72, 7.84, 7.96):
        line = _crease(y - height - 0.03 * np.cos(aside * 5), 0.016)
        skin *= 1 - 0.12 * identity.age * line * (1 - smooth_step(aside, 0.35, 0.5))
    skin *= 1 - (1 - looks.lips) * masks["lips"]
    skin = _with_beard(skin, chart, looks, fine)
    brow_share = ((aside - looks.brow_inner) / (0.53 - looks.brow_inner)).clip(-0.2, 1.2)
    ridge = 7.475 + looks.brow_arch * np.sin((brow_share.clip(0, 1) * 0.9 + 0.08) * np.pi * 0.78)
    ridge -= 0.045 * smooth_step(brow_share, 0.6, 1.1)
    brow = _bell(y - ridge, looks.brow_thickness * (1.15 - 0.55 * brow_share.clip(0, 1)))
    brow *= smooth_step(brow_share, -0.05, 0.08) * (1 - smooth_step(brow_share, 0.92, 1.08)) * smooth_step(z, 0.6, 0.9)
    brow = (looks.brow_darkness * brow * (1 + 0.8 * fine)).clip(0, 1)
    skin = skin * (1 - brow) + min(0.75 * looks.hair, 0.6 * looks.skin) * brow
    skin *= 1 - 0.5 * masks["eyelids"] * (0.6 if identity.sex > 0.5 else 1.0)
    return _with_scalp(skin, chart, looks, noise, fine)


def _crease(x: Floats, width: float) -> Floats:
    """A dark line with a lighter ridge on the side of larger x, as light from above draws a fold."""
    return _bell(x, width) - 0.45 * _bell(x - 1.9 * width, width)


def _with_beard(skin: Floats, chart: Chart, looks: Looks, fine: Floats) -> Floats:
    if not looks.beard:
        return skin
    x, y, z = (chart.positions[..., axis] for axis in range(3))
    aside = np.abs(x)
    chin = smooth_step(z, 0.95, 1.15) * (1 - smooth_step(y, 6.76, 6.90)) * (1 - 0.9 * chart.masks["lips"])
    chin *= 1 - smooth_step(_bell(aside, 0.16) * _bell(y - 6.86, 0.06), 0.4, 0.9)
    chin *= 1 - 0.5 * smooth_step(aside, 0.30, 0.42) * smooth_step(y, 6.6, 6.8)
    side = 0.8 * smooth_step(aside, 0.50, 0.62) * (1 - smooth_step(y, 7.1, 7.25)) * smooth_step(z, 0.55, 0.8)
    share = np.maximum(chin, side) * smooth_step(y, 5.7, 6.0)
    share = (looks.beard * share * (0.85 + 0.7 * fine)).clip(0, 1)
    return np.asarray(skin * (1 - share) + min(0.9 * looks.hair, 0.7 * looks.skin) * share)


def _with_scalp(skin: Floats, chart: Chart, looks: Looks, noise: _Noise, fine: Floats) -> Floats:
    """Hair lying on the scalp: the roots of the hair that stands on it, or all there is where it is shaven."""
    places = chart.positions
    x, y, z = places[..., 0], places[..., 1], places[..., 2]
    aside = np.abs(x)
    line = looks.hairline + looks.recession * _bell(aside - 0.42, 0.16)
    line = line - 1.1 * (aside - 0.42).clip(0) - 0.25 * aside**2
    top = smooth_step(y + 0.04 * noise(places, 14), line - 0.08, line + 0.10) * smooth_step(y, 7.15, 7.35)
    back = smooth_step(0.55 + 0.35 * (y - 7.3) - z, -0.08, 0.08) * smooth_step(y, 6.50, 6.75)
    side = smooth_step(aside, 0.59, 0.65) * smooth_step(y, 6.95, 7.1) * (1 - smooth_step(z, 0.70, 0.86))
    share = np.maximum(np.maximum(top, back), side) * (1 - chart.masks["ears"])
    share *= 1 - 0.92 * looks.baldness * smooth_step(y, 7.75, 8.05)
    return np.asarray(skin * (1 - share) + looks.hair * 0.8 * (1 + 0.5 * fine) * share)


def _neck(looks: Looks) -> Floats:
    """Skin down to the collar, then cloth; by height, the same in all rows."""
    height = np.linspace(*atlas.NECK_HEIGHTS, atlas.NECK.width, dtype=np.float32)
    is_skin = smooth_step(height, looks.collar - 0.015, looks.collar + 0.015)
    cloth = (
        looks.cloth
        * (1 + looks.cloth_pattern * np.sign(np.sin(50 * height)))
        * (1 - 0.35 * _bell(height - looks.collar, 0.04))
    )
    skin = looks.skin * (0.9 + 0.1 * smooth_step(height, 5.6, 6.0))
    return np.broadcast_to(cloth + (skin - cloth) * is_skin, (atlas.NECK.height, atlas.NECK.width))


def _wrinkles(chart: Chart, identity: Identity) -> Floats:
    x, y, z = (chart.positions[..., axis] for axis in range(3))
    aside, front = np.abs(x), smooth_step(z, 0.95, 1.2)
    nasolabial = _crease((0.20 + 0.34 * (6.98 - y).clip(0, 0.6)) - aside, 0.030)
    nasolabial *= smooth_step(y, 6.50, 6.62) * (1 - smooth_step(y, 6.90, 7.0)) * front
    frown = _bell(aside - 0.055 - 0.03 * (y - 7.45), 0.016) * _bell(y - 7.46, 0.09) * front
    forehead = _sum(_crease(y - height - 0.03 * np.cos(aside * 5), 0.015) for height in (7.70, 7.80, 7.90))
    forehead = forehead * (1 - smooth_step(aside, 0.3, 0.45)) * front
    crow = _sum(_bell(y - 7.24 - 0.9 * slope * (aside - 0.48), 0.013) for slope in (-0.5, 0.0, 0.5))
    crow = crow * smooth_step(aside, 0.50, 0.54) * (1 - smooth_step(aside, 0.60, 0.68))
    under = _crease(7.13 - 0.15 * (aside - 0.3) ** 2 - y, 0.020) * _bell(aside - 0.31, 0.13) * front
    depth = 0.6 + 0.6 * identity.age
    return (
        np.stack([0.45 * nasolabial, 0.5 * frown, 0.3 * forehead, 0.35 * crow, 0.3 * under]).astype(np.float32) * depth
    )


def _eye(rng: np.random.Generator, looks: Looks) -> Floats:
    """Pupil, iris with its dark rim, sclera; by angle from straight ahead."""
    side = atlas.EYE.width
    across = (np.arange(side) - (side - 1) / 2) / ((side - 1) / 2) * atlas.EYE_REACH
    angle = np.hypot(across[:, None], across[None, :]).astype(np.float32)
    spokes = 1 + 0.15 * np.cos(np.arctan2(across[:, None], across[None, :]) * 17 + rng.uniform(0, 6)).astype(np.float32)
    iris = (
        looks.iris
        * spokes
        * (0.75 + 0.5 * smooth_step(angle, 0.20, 0.42))
        * (1 - 0.65 * smooth_step(angle, 0.42, 0.50))
    )
    sclera = 0.40 * (1 - 0.35 * smooth_step(angle, 0.7, 1.5))
    eye = sclera + (iris - sclera) * (1 - smooth_step(angle, 0.47, 0.55))
    pupil = rng.uniform(0.16, 0.24)
    return np.asarray(eye + (0.01 - eye) * (1 - smooth_step(angle, pupil - 0.03, pupil + 0.03)), np.float32)


def _strands(rng: np.random.Generator, looks: Looks) -> Floats:
    """Hair from the crown (row 0) to its ends: strands along the rows' direction, and a sheen where it bends."""
    height, width = atlas.HAIR.height, atlas.HAIR.width
    coarse = ndimage.gaussian_filter(rng.standard_normal((height, width)), (24, 1.2), mode=("nearest", "wrap"))
    fine = ndimage.gaussian_filter(rng.standard_normal((height, width)), (9, 0.4), mode=("nearest", "wrap"))
    strands = 1 + 0.22 * coarse / coarse.std() + 0.14 * fine / fine.std()
    row = np.arange(height)[:, None] / height
    sheen = 1 + 0.25 * np.exp(-(((row - rng.uniform(0.2, 0.3)) / 0.08) ** 2))
    return np.asarray(looks.hair * strands.clip(0.35, 2) * sheen, np.float32)
