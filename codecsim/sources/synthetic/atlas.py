"""The atlas: one texture a person, in which skin, hair, eyes and single-coloured parts have their places.

Everything that is seen looks up its albedo here by one rule, so that the renderer knows no materials.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from codecsim.sources.synthetic.pack import Material, Pack

Floats = npt.NDArray[np.float32]

CHART_SIDE = 512
"""Texels along the UV square. From chin to mid-forehead that is 110 texels, where a picture has some 154 samples: finer
paint would show a little."""


@dataclass(frozen=True)
class Region:
    """A rectangle of the atlas in texels: columns `left` to `left + width`, rows `top` to `top + height`."""

    left: int
    top: int
    width: int
    height: int

    @property
    def window(self) -> tuple[slice, slice]:
        """Rows and columns, to index an array with."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)

    def place(self, u: npt.ArrayLike, v: npt.ArrayLike) -> Floats:
        """Atlas coordinates of points of the region, (0, 0) its first texel's centre and (1, 1) its last's."""
        x = self.left + 0.5 + np.asarray(u, np.float64) * (self.width - 1)
        y = self.top + 0.5 + np.asarray(v, np.float64) * (self.height - 1)
        return np.stack([x / WIDTH, y / HEIGHT], axis=-1).astype(np.float32)


_CHART_LEFT, _CHART_TOP = 310, 80
SKIN = Region(0, 0, 202, 360)
"""The part of the UV square, from column 310 and row 80 on, that holds the head."""

HAIR = Region(206, 0, 128, 192)
EYE = Region(206, 200, 64, 64)
WIDTH, HEIGHT = 336, 360

FLAT = {
    Material.TEETH: Region(276, 200, 8, 8),
    Material.TONGUE: Region(288, 200, 8, 8),
    Material.MOUTH: Region(300, 200, 8, 8),
    Material.SOCKET: Region(312, 200, 8, 8),
}
NECK = Region(206, 272, 128, 8)
"""Neck and torso, whose charts lie elsewhere in the UV square: by height alone, `NECK_HEIGHTS` from left to right."""

NECK_HEIGHTS = (5.1, 6.1)
INNER_HAIR = Region(276, 214, 8, 8)
GLASSES = Region(288, 214, 8, 8)


@dataclass(frozen=True)
class Chart:
    """What is known of each skin texel, whoever is painted.

    Attributes
    ----------
    positions : float32, shape=(360, 202, 3), place on the base mesh, in the pack's coordinates
    masks : name → float32, shape=(360, 202), 0 to 1
    """

    positions: Floats
    masks: dict[str, Floats]


@lru_cache(maxsize=2)
def skin_chart(pack: Pack) -> Chart:
    """Lay the base mesh out over the skin's part of the UV square; texels between the islands take their nearest's."""
    import torch

    from codecsim.sources.synthetic.raster import rasterize

    skin = np.flatnonzero(pack.materials == Material.SKIN)
    uv = pack.corners_uv[skin].reshape(-1, 2)
    points = np.stack([uv[:, 0] * CHART_SIDE, (1 - uv[:, 1]) * CHART_SIDE, np.ones(len(uv), np.float32)], 1)
    hits = rasterize(
        torch.from_numpy(points)[None],
        torch.arange(len(uv)).reshape(-1, 3),
        CHART_SIDE,
        both_sides=True,
    )
    corners = pack.vertices[pack.triangles[skin[hits.triangle.numpy()]]]
    positions = np.full((CHART_SIDE * CHART_SIDE, 3), np.nan, np.float32)
    positions[hits.pixel.numpy()] = (corners * hits.weights.numpy()[..., None]).sum(1)
    window = slice(_CHART_TOP, _CHART_TOP + SKIN.height), slice(_CHART_LEFT, _CHART_LEFT + SKIN.width)
    cut = positions.reshape(CHART_SIDE, CHART_SIDE, 3)[window]
    nearest = ndimage.distance_transform_edt(np.isnan(cut[..., 0]), return_distances=False, return_indices=True)
    masks = {
        name: ndimage.zoom(
            mask.astype(np.float32) / 255, CHART_SIDE / len(mask), order=1, grid_mode=True, mode="nearest"
        )
        for name, mask in pack.masks.items()
    }
    return Chart(cut[tuple(nearest)], {name: np.ascontiguousarray(mask[window]) for name, mask in masks.items()})


def corner_places(pack: Pack) -> Floats:
    """Where the corners of the pack's triangles look up their albedo: float32, shape=(M, 3, 2), in 0 to 1."""
    u = (pack.corners_uv[..., 0] * CHART_SIDE - _CHART_LEFT + SKIN.left) / WIDTH
    v = ((1 - pack.corners_uv[..., 1]) * CHART_SIDE - _CHART_TOP + SKIN.top) / HEIGHT
    places = np.stack([u, v], axis=-1).astype(np.float32)
    is_torso = (pack.corners_uv[..., 0] * CHART_SIDE).min(1) < _CHART_LEFT
    low, high = NECK_HEIGHTS
    height = (neck_height(pack.vertices[pack.triangles[is_torso]]) - low) / (high - low)
    places[is_torso] = NECK.place(height.clip(0, 1), np.full_like(height, 0.5))
    for material, region in FLAT.items():
        places[pack.materials == material] = region.place(0.5, 0.5)
    for material, eye in ((Material.LEFT_EYE, pack.left_eye), (Material.RIGHT_EYE, pack.right_eye)):
        of_eye = pack.triangles[pack.materials == material]
        center = (pack.vertices[eye].min(0) + pack.vertices[eye].max(0)) / 2
        places[pack.materials == material] = eye_places(pack.vertices[of_eye] - center)
    return places


def neck_height(vertices: Floats) -> Floats:
    """Height along which collars run: level at the neck, falling over the shoulders."""
    return np.asarray(vertices[..., 1] - 0.6 * (np.abs(vertices[..., 0]) - 0.45).clip(0), np.float32)


def eye_places(directions: Floats) -> Floats:
    """Where directions from an eyeball's centre, shape=(..., 3), lie in its picture: by angle from straight ahead."""
    across = np.hypot(directions[..., 0], directions[..., 1])
    angle = np.arctan2(across, directions[..., 2])  # 0 ahead, π behind
    reach = np.minimum(angle / EYE_REACH, 1) / np.maximum(across, 1e-9)
    return EYE.place(0.5 + 0.5 * directions[..., 0] * reach, 0.5 - 0.5 * directions[..., 1] * reach)


EYE_REACH = 1.6
"""Angle from straight ahead, in radians, at the rim of the eye's picture."""
