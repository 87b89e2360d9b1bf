"""The smooth step, by which parts of a face and its paint pass into one another."""

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]


def smooth_step(x: Floats, low: float | Floats = 0.0, high: float | Floats = 1.0) -> Floats:
    """0 up to `low`, 1 from `high` on, and 3 t² − 2 t³ between: shape and precision of `x`, `low` and `high` together.

    `high` may lie below `low`: then it falls.
    """
    t = ((x - low) / (np.asarray(high) - low)).clip(0, 1)
    return np.asarray(t * t * (3 - 2 * t))
