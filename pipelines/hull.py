"""The best recognition at any rate: the upper concave hull of operating points over all factors and QPs."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from codecsim.errors import UsageError
from pipelines.curve import Curve

Floats = npt.NDArray[np.float64]


def upper_hull(rates: npt.ArrayLike, values: npt.ArrayLike) -> npt.NDArray[np.intp]:
    """The operating points that are worth choosing: corners of the upper concave hull, by rising rate.

    A sender may change between two operating points. If it spends a share of the time at one of them and the rest at
    the other, its rate is the mean of theirs, weighted with the time, and so is, as far as metrics of parts average,
    what the receiver recognises. A point below the line between two others is thus beaten by a mixture of them. The
    line is straight in the rate itself, not in its logarithm.

    The hull begins at the smallest rate and ends at the largest value: what costs more and gives less is no choice.
    Estimates are noisy, and the best of many is the luckiest too: the hull lies above what new data would give.

    Parameters
    ----------
    rates : shape=(N,), in any unit that is comparable between all points, such as bpp_hr or kbit/s
    values : shape=(N,), larger is better; points with NaN are passed over

    Returns
    -------
    indices : of the corners, by strictly rising rate and value; points on the line between two corners are none. Of
        points at the same place the first. Empty where no point is known

    Raises
    ------
    UsageError
        If the shapes differ.
    """
    x, y = np.asarray(rates, np.float64), np.asarray(values, np.float64)
    if x.shape != y.shape or x.ndim != 1:
        raise UsageError(f"rates of shape {x.shape} and values of shape {y.shape}: a hull takes one value a rate")
    known = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    corners: list[int] = []
    for index in known[np.lexsort((-y[known], x[known]))].tolist():
        if corners and y[index] <= y[corners[-1]]:
            continue
        while len(corners) > 1 and not _bends_down(x, y, corners[-2], corners[-1], index):
            corners.pop()
        corners.append(index)
    return np.array(corners, np.intp)


def on_hull(curves: Sequence[Curve], *, rate: str = "bpp_hr", measure: str = "ccc") -> set[tuple[int, float]]:
    """Points of the curves of one family that are corners of the hull over all its factors: pairs of factor and value.

    Parameters
    ----------
    curves : of one family, codec, mode, label and reference
    rate, measure : one that is comparable between factors, and what is told
    """
    places = [(curve.s, point.value) for curve in curves for point in curve.points]
    if not places:
        return set()
    rates = np.concatenate([curve.rates(rate) for curve in curves])
    values = np.concatenate([curve.estimates(measure) for curve in curves])
    return {places[corner] for corner in upper_hull(rates, values)}


def _bends_down(x: Floats, y: Floats, first: int, second: int, third: int) -> bool:
    """Whether the way over three points of rising rate turns right at the second."""
    rise = (y[second] - y[first]) * (x[third] - x[second]) - (y[third] - y[second]) * (x[second] - x[first])
    return bool(rise > 0)
