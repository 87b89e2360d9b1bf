"""What surrounds a face in one recording: lights, background, camera."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from codecsim.sources.synthetic.difficulty import Difficulty

Floats = npt.NDArray[np.float32]

SOURCE_WIDTH, SOURCE_HEIGHT = 960, 720
"""Size of the imagined recording, in pixels: the crop's edges fall on whole pixels of it, as in real footage."""


@dataclass(frozen=True)
class Stage:
    """One recording's lights, background and camera.

    Attributes
    ----------
    key, fill : float32, shape=(3,), unit vectors towards the lights
    key_strength : float32, shape=(T,), irradiance from straight ahead, of each frame
    fill_strength, sky_strength : irradiance of the second light, and of the surroundings
    background : float32, shape=(rows, columns), linear luminance over the imagined recording
    distance : from the camera to the eyes at rest, in head units (1.1 from eyes to chin)
    focal : pixels of the recording per unit of slope
    center : float32, shape=(2,), where in the recording the eyes' midpoint is at rest
    target : gray level, 0 to 1, that the automatic exposure brings the face near to
    noise_level : standard deviation of the camera's noise at mid-gray, in levels of 255
    """

    key: Floats
    fill: Floats
    key_strength: Floats
    fill_strength: float
    sky_strength: float
    background: Floats
    distance: float
    focal: float
    center: Floats
    target: float
    noise_level: float


def draw_stage(rng: np.random.Generator, n_frames: int, difficulty: Difficulty) -> Stage:
    """Draw the surroundings of a recording of `n_frames` frames."""
    azimuth = np.radians(rng.uniform(-1, 1) * difficulty.light_azimuth_degrees)
    elevation = np.radians(rng.uniform(12, 48))
    key = np.array([np.sin(azimuth) * np.cos(elevation), np.sin(elevation), np.cos(azimuth) * np.cos(elevation)])
    fill = np.array([-np.sin(azimuth) - 0.4 * np.sign(azimuth), rng.uniform(-0.1, 0.3), 0.9])
    ratio = rng.uniform(*difficulty.key_to_fill)
    strength = rng.uniform(0.75, 1.0)
    drift = ndimage.gaussian_filter1d(rng.standard_normal(n_frames + 200), 60, mode="reflect")[100 : 100 + n_frames]
    drift = drift / 0.14  # half its standard deviation
    distance = rng.uniform(9, 15)
    head_px = rng.uniform(95, 135)  # eyes to chin: faces of some 190 to 280 pixels
    return Stage(
        key=(key / np.linalg.norm(key)).astype(np.float32),
        fill=(fill / np.linalg.norm(fill)).astype(np.float32),
        key_strength=(strength * np.exp(difficulty.light_change * drift.clip(-2, 2))).astype(np.float32),
        fill_strength=float(strength / ratio),
        sky_strength=float(strength * rng.uniform(0.15, 0.38)),
        background=_background(rng, difficulty.background_contrast),
        distance=float(distance),
        focal=float(head_px / 1.1 * distance),
        center=np.array([SOURCE_WIDTH / 2 + rng.uniform(-80, 80), SOURCE_HEIGHT * rng.uniform(0.36, 0.46)], np.float32),
        target=float(rng.uniform(0.40, 0.56)),
        noise_level=float(rng.uniform(*difficulty.noise_levels)),
    )


def _background(rng: np.random.Generator, contrast: float) -> Floats:
    """An unsharp room: a wall whose brightness changes slowly, and blurred upright and lying things before it."""
    rows, columns = 54, 72
    y, x = np.mgrid[0 : 1 : rows * 1j, 0 : 1 : columns * 1j]
    room = rng.uniform(0.05, 0.45) * (
        1 + contrast * (rng.uniform(-0.5, 0.5) * (x - 0.5) + rng.uniform(-0.5, 0.5) * (y - 0.5))
    )
    for _ in range(rng.integers(2, 7)):
        left, top = rng.uniform(-0.2, 1, 2)
        width, height = rng.uniform(0.05, 0.5), rng.uniform(0.1, 0.9)
        inside = (x > left) & (x < left + width) & (y > top) & (y < top + height)
        room = room * np.where(inside, np.exp(contrast * rng.uniform(-1, 0.8)), 1)
    room = ndimage.gaussian_filter(room, rng.uniform(0.8, 3.5), mode="nearest")
    return np.asarray(room.clip(0.01, 0.9), np.float32)
