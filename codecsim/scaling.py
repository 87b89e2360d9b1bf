"""Factor s: MATLAB-``imresize`` bicubic as one separable resampling matrix, exact on any machine.

The kernel is the cubic convolution of Keys 1981 with a = −0.5, stretched by the factor when shrinking (antialiasing),
and the image is mirrored at its borders, as in MATLAB's ``imresize`` and so in Cheng et al. 2017. Rows are resampled
first, then columns, and each pass is rounded (half up) and clipped to uint8, as ``imresize`` does with uint8 images.

The weights are whole multiples of 2⁻¹⁵ and each row sums to exactly 1. Every product and every partial sum is
therefore a multiple of 2⁻¹⁵ below 2⁹, which float32 holds without error: the result does not depend on the order of
summation, hence not on the BLAS, the number of threads or the device (TF32 excepted, whose inputs have 10 bits).
"""

from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt

from codecsim.corpus import HR_SIDE
from codecsim.errors import UsageError

FACTORS = tuple(s for s in range(1, HR_SIDE + 1) if HR_SIDE % s == 0)
"""Every factor s that divides the HR side: 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 96."""

RESAMPLING = "imresize-bicubic-q15"
"""Name of this resampling in content keys; it changes whenever a pixel would."""

Border = Literal["mirror", "renormalise"]
Frames = npt.NDArray[np.uint8]

_WEIGHT_UNIT = 2**15
_BATCH_PIXELS = 2**17  # half a megabyte of float32: temporaries stay in the cache


def lr_side(s: int) -> int:
    """Side of the LR frame, 96 / s, in pixels.

    Raises
    ------
    UsageError
        If s does not divide 96.
    """
    if s not in FACTORS:
        allowed = ", ".join(map(str, FACTORS))
        raise UsageError(f"factor s = {s} does not divide the HR side of {HR_SIDE} pixels; allowed: {allowed}")
    return HR_SIDE // s


def downscale(frames: Frames, s: int) -> Frames:
    """HR frames to LR frames: uint8 (T, 96, 96) to uint8 (T, 96/s, 96/s)."""
    side = lr_side(s)
    return resize(frames, side, side)


def upscale(frames: Frames) -> Frames:
    """LR frames back to the HR size: uint8 (T, 96/s, 96/s) to uint8 (T, 96, 96)."""
    return resize(frames, HR_SIDE, HR_SIDE)


def resize(frames: Frames, height: int, width: int, *, border: Border = "mirror") -> Frames:
    """Resample frames of uint8, shape=(T, H, W) or (H, W), to `height` × `width`.

    Parameters
    ----------
    frames : uint8, shape=(T, H, W) or (H, W); returned as it is where the size is already right
    height, width : size of the result in pixels
    border : "mirror" as MATLAB; "renormalise" drops the taps outside the image and scales up the rest, as Pillow

    Returns
    -------
    resized : uint8, shape=(T, height, width) or (height, width)

    Raises
    ------
    UsageError
        If the frames are of another type or shape, or a size is below 1.
    """
    if frames.dtype != np.uint8 or frames.ndim not in (2, 3):
        raise UsageError(f"cannot scale frames of {frames.dtype} {frames.shape}; uint8 (T, H, W) or (H, W) is needed")
    if frames.ndim == 2:
        return resize(frames[np.newaxis], height, width, border=border).reshape(height, width)
    if frames.shape[1:] == (height, width):
        return frames
    rows = resampling_matrix(frames.shape[1], height, border=border)
    columns = resampling_matrix(frames.shape[2], width, border=border).T
    resized = np.empty((len(frames), height, width), np.uint8)
    batch = max(1, _BATCH_PIXELS // max(frames.shape[1] * frames.shape[2], height * width))
    for start in range(0, len(frames), batch):
        block = frames[start : start + batch]
        shrunk = _to_uint8(rows @ block.astype(np.float32))
        resized[start : start + batch] = _to_uint8(shrunk.astype(np.float32) @ columns)
    return resized


@lru_cache(maxsize=256)
def resampling_matrix(n_in: int, n_out: int, *, border: Border = "mirror") -> npt.NDArray[np.float32]:
    """Weights that bring `n_in` samples to `n_out` along one axis.

    Returns
    -------
    matrix : float32, shape=(n_out, n_in), read-only; multiples of 2⁻¹⁵ whose rows sum to exactly 1

    Source
    ------
    Keys 1981, "Cubic convolution interpolation", eq. 4 with a = −1/2; MATLAB ``imresize``: output pixel i is centred on
    (i + 1/2)·n_in/n_out − 1/2 of the input, the kernel is widened by n_in/n_out when that exceeds 1.
    """
    if n_in < 1 or n_out < 1:
        raise UsageError(f"cannot resample {n_in} to {n_out} samples: both must be at least 1")
    step = n_in / n_out
    stretch = max(step, 1.0)
    centres = (np.arange(n_out) + 0.5) * step - 0.5
    taps = np.arange(int(np.ceil(4 * stretch)) + 2)
    positions = np.floor(centres - 2 * stretch).astype(np.int64)[:, np.newaxis] + taps
    weights = _cubic((centres[:, np.newaxis] - positions) / stretch)
    if border == "mirror":
        period = positions % (2 * n_in)
        sources = np.where(period < n_in, period, 2 * n_in - 1 - period)
    else:
        weights[(positions < 0) | (positions >= n_in)] = 0
        sources = positions.clip(0, n_in - 1)
    dense = np.zeros((n_out, n_in))
    np.add.at(dense, (np.arange(n_out)[:, np.newaxis], sources), weights)
    matrix = _quantise(dense / dense.sum(axis=1, keepdims=True))
    matrix.flags.writeable = False
    return matrix


def _cubic(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    x = np.abs(x)
    inner = (1.5 * x - 2.5) * x * x + 1
    outer = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x <= 1, inner, np.where(x < 2, outer, 0.0))


def _quantise(matrix: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Round to multiples of 2⁻¹⁵ so that each row still sums to 1: the remainder goes where rounding hurt most."""
    scaled = matrix * _WEIGHT_UNIT
    units = np.rint(scaled)
    for row, exact in zip(units, scaled, strict=True):
        missing = int(_WEIGHT_UNIT - row.sum())
        worst = np.argsort((row - exact) * np.sign(missing), kind="stable")[: abs(missing)]
        row[worst] += np.sign(missing)
    return (units / _WEIGHT_UNIT).astype(np.float32)


def _to_uint8(values: npt.NDArray[np.float32]) -> Frames:
    values += np.float32(0.5)
    np.clip(values, 0, 255, out=values)
    return values.astype(np.uint8)
