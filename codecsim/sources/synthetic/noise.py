"""Camera noise in whole numbers: the same on every machine and with every version of NumPy.

A frame's noise is a function of a seed, the frame's number and the pixel, so frames can be stored without it, far
smaller, and get it back exactly.
"""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

Frames = npt.NDArray[np.uint8]

_SUM_OF = 8
_DEVIATION = np.sqrt(_SUM_OF * (256**2 - 1) / 12)
"""Of the sum of eight even bytes: close enough to a normal distribution up to 4.9 standard deviations."""

_FRACTION_BITS = 16


def add_noise(frames: Frames, *, seed: int, first_frame: int, level: float) -> Frames:
    """Add a sensor's noise to gray frames.

    Parameters
    ----------
    frames : uint8, shape=(T, H, W)
    seed : 0 to 2⁶⁴ − 1; another seed, other noise
    first_frame : number of the first of the frames in its recording
    level : standard deviation at mid-gray, in levels; the variance grows with the light (shot noise), from a floor

    Returns
    -------
    noisy : uint8, shape=(T, H, W)
    """
    n_pixels = frames[0].size
    counter = np.arange(first_frame * n_pixels, (first_frame + len(frames)) * n_pixels, dtype=np.uint64)
    random = _mixed(counter * np.uint64(0x9E3779B97F4A7C15) + _mixed(np.array([seed], np.uint64)))
    total = random.view(np.uint8).reshape(-1, 8).sum(1, dtype=np.int64) - 255 * _SUM_OF // 2
    noise = (total * _weights(level)[frames.reshape(-1)] + (1 << (_FRACTION_BITS - 1))) >> _FRACTION_BITS
    return np.asarray((frames.reshape(-1) + noise).clip(0, 255), np.uint8).reshape(frames.shape)


@lru_cache(maxsize=64)
def _weights(level: float) -> npt.NDArray[np.int64]:
    """Standard deviation by gray level, over that of the sum of bytes, in units of 2⁻¹⁶."""
    deviation = level * np.sqrt(0.3 + 0.7 * np.arange(256) / 128)
    return np.asarray(np.rint(deviation / _DEVIATION * 2**_FRACTION_BITS), np.int64)


def _mixed(value: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """SplitMix64's finalizer (Steele, Lea and Flood 2014): every bit depends on every bit."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))
