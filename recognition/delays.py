"""Annotators lag behind what they see: labels are moved to the frames that they are of."""

from typing import TypeVar

import numpy as np
import numpy.typing as npt

Real = TypeVar("Real", np.float32, np.float64)


def moved(target: npt.NDArray[Real], n_frames: int) -> npt.NDArray[Real]:
    """Labels, shape=(T, …), each `n_frames` earlier; NaN at the end, where none is left."""
    if n_frames == 0:
        return target
    earlier = np.full_like(target, np.nan)
    earlier[:-n_frames] = target[n_frames:]
    return earlier
