"""Faces cut out of gray frames and brought to the size of an HR frame."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from codecsim.corpus import HR_SIDE
from codecsim.faces import Square
from codecsim.scaling import resampling_matrix

Pixels = npt.NDArray[np.uint8]
Box = tuple[float, float, float, float]

_ONE_THREAD_PRODUCT = 2**18
"""OpenBLAS computes matrix products of fewer multiplications than this in the calling thread. Its other threads would
spin for a while after each product, on the cores that decode and search; that made the whole four times slower."""


def crop(gray: Pixels, square: Square) -> Pixels:
    """Cut `square` out of a gray picture; outside of the picture its edge is repeated.

    Parameters
    ----------
    gray : uint8, shape=(H, W)

    Returns
    -------
    cut : uint8, shape=(S, S), S the side in whole pixels
    """
    left, top, side = square.pixels()
    height, width = gray.shape
    if left >= 0 and top >= 0 and left + side <= width and top + side <= height:
        return gray[top : top + side, left : left + side]
    rows = np.arange(top, top + side).clip(0, height - 1)
    columns = np.arange(left, left + side).clip(0, width - 1)
    return gray.take(rows, axis=0).take(columns, axis=1)


def cut_out(gray: Pixels, square: Square) -> tuple[Pixels, Box]:
    """Cut a face out of a gray picture, uint8 (H, W): the HR frame, and its box (x, y, w, h) in whole pixels."""
    left, top, side = map(float, square.pixels())
    return to_hr(crop(gray, square)), (left, top, side, side)


def to_hr(cut: Pixels) -> Pixels:
    """Resample a crop to the size of an HR frame: bit for bit what `codecsim.scaling.resize` gives.

    Each output pixel comes from a few input pixels, so the matrix is a band; a few rows of it at a time are multiplied
    with the part of the input that they reach.

    Parameters
    ----------
    cut : uint8, shape=(S, S)

    Returns
    -------
    frame : uint8, shape=(96, 96)
    """
    side = len(cut)
    if side == HR_SIDE:
        return cut.copy()
    source = cut.astype(np.float32)
    shrunk = np.empty((HR_SIDE, side), np.float32)
    for band in _bands(side):
        np.matmul(band.weights, source[band.taps], out=shrunk[band.outputs])
    shrunk = np.floor(_rounded_up(shrunk))
    frame = np.empty((HR_SIDE, HR_SIDE), np.float32)
    for band in _bands(side):
        frame[:, band.outputs] = shrunk[:, band.taps] @ band.weights.T
    return _rounded_up(frame).astype(np.uint8)


def _rounded_up(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Values whose whole part is the rounded and clipped pixel."""
    values += np.float32(0.5)
    return np.clip(values, 0, 255, out=values)


@dataclass(frozen=True, slots=True)
class _Band:
    """Some rows of the resampling matrix: output pixels, the input pixels they are made of, and the weights."""

    outputs: slice
    taps: slice
    weights: npt.NDArray[np.float32]


@lru_cache(maxsize=256)
def _bands(side: int) -> tuple[_Band, ...]:
    matrix = resampling_matrix(side, HR_SIDE)  # (96, side)
    n_rows = 8
    while n_rows > 1 and n_rows * (n_rows + 4) * side**2 / HR_SIDE >= _ONE_THREAD_PRODUCT:
        n_rows //= 2
    bands = []
    for first in range(0, HR_SIDE, n_rows):
        rows = matrix[first : first + n_rows]
        used = np.flatnonzero(rows.any(axis=0))
        taps = slice(int(used[0]), int(used[-1]) + 1)
        bands.append(_Band(slice(first, first + n_rows), taps, np.ascontiguousarray(rows[:, taps])))
    return tuple(bands)
