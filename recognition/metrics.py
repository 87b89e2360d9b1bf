"""How well predictions follow labels over time: RMSE, CC and CCC.

The same everywhere:

- Moments are population moments (1/N) in float64.
- Frames whose target is NaN are unlabelled and left out. Every labelled frame needs a prediction.
- What is not defined is NaN, never a number: CC and CCC of a constant series.

Many recordings become one number in three ways, which differ a lot:

- ``ccc``: all frames concatenated (AVEC 2016, Cheng et al. 2017). Differences between recordings count.
- ``ccc_recording``: the mean over recordings of the metric of each (AVEC 2018).
- ``ccc_within``: concatenated after each subject's mean was taken off predictions and targets. What is left is how
  changes are followed: some neutral faces look sad, and a model that knows who is who gains by it in ``ccc`` alone.

How sure they are, and what one method gains on another, is in `recognition.intervals`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from recognition.moments import Floats, Labels, Moments, labelled_frames, summed_up


@dataclass(frozen=True)
class Scores:
    """Metrics of predictions for one or many recordings.

    Attributes
    ----------
    rmse, cc, ccc : of all labelled frames, concatenated
    rmse_recording, cc_recording, ccc_recording : mean over the recordings in which the metric is defined
    rmse_within, cc_within, ccc_within : of all labelled frames, each less the mean of its subject
    n_frames : labelled frames
    n_recordings, n_subjects : those with labelled frames
    n_undefined : recordings without CC and CCC, left out of their means: a series is constant there
    """

    rmse: float
    cc: float
    ccc: float
    rmse_recording: float
    cc_recording: float
    ccc_recording: float
    rmse_within: float
    cc_within: float
    ccc_within: float
    n_frames: int
    n_recordings: int
    n_subjects: int
    n_undefined: int


def rmse(predicted: npt.ArrayLike, target: npt.ArrayLike) -> float:
    """Root mean square error of a time series.

    Parameters
    ----------
    predicted, target : shape=(T,), any real unit, the same for both; NaN targets are unlabelled

    Returns
    -------
    rmse : float ≥ 0, in that unit; NaN where no frame is labelled

    Raises
    ------
    MetricError
        If the shapes differ, or a labelled frame has no finite prediction.
    """
    return _of_one_series(_rmse, predicted, target)


def cc(predicted: npt.ArrayLike, target: npt.ArrayLike) -> float:
    """Correlation coefficient (CC) of two time series.

    Parameters
    ----------
    predicted, target : shape=(T,), any real units; NaN targets are unlabelled

    Returns
    -------
    cc : float in [-1, 1]; NaN where either series is constant, or fewer than 2 frames are labelled

    Raises
    ------
    MetricError
        If the shapes differ, or a labelled frame has no finite prediction.

    Source
    ------
    Pearson 1895, "Notes on regression and inheritance in the case of two parents".
    """
    return _of_one_series(_cc, predicted, target)


def ccc(predicted: npt.ArrayLike, target: npt.ArrayLike) -> float:
    """Concordance correlation coefficient (CCC) of two time series: 2·cov / (var + var + (difference of means)²).

    Parameters
    ----------
    predicted, target : shape=(T,), any real unit, the same for both; NaN targets are unlabelled

    Returns
    -------
    ccc : float in [-1, 1]; NaN where either series is constant, or fewer than 2 frames are labelled

    Raises
    ------
    MetricError
        If the shapes differ, or a labelled frame has no finite prediction.

    Source
    ------
    Lin 1989, "A concordance correlation coefficient to evaluate reproducibility", eq. 1, with population moments, as
    AVEC scores it. Lin's formula says 0 of a constant series; nothing can be said of one.
    """
    return _of_one_series(_ccc, predicted, target)


def score(
    predicted: npt.ArrayLike, target: npt.ArrayLike, *, recordings: Labels, subjects: Labels | None = None
) -> Scores:
    """Every metric of predictions for many recordings.

    Parameters
    ----------
    predicted, target : shape=(T,), any real unit, the same for both; NaN targets are unlabelled
    recordings : shape=(T,), which recording each frame is of: names, numbers or anything hashable
    subjects : shape=(T,), whom it shows; by default each recording shows another subject

    Returns
    -------
    scores : NaN where a metric is not defined

    Raises
    ------
    MetricError
        If shapes or lengths differ, a labelled frame has no finite prediction, or a recording is of two subjects.

    Source
    ------
    Concatenated: Valstar et al. 2016, "AVEC 2016"; Cheng et al. 2017. Per recording: Ringeval et al. 2018, "AVEC 2018".
    """
    (moments,), belongs = summed_up(predicted, target, recordings, subjects, dimensions=(1,))
    found = evaluated(moments, belongs, np.ones((1, len(belongs))))
    return Scores(
        **{name: float(values[0]) for name, values in found.items()},
        n_frames=int(moments.n.sum()),
        n_recordings=len(moments.n),
        n_subjects=len(belongs),
        n_undefined=int(np.isnan(_cc(moments)).sum()),
    )


def evaluated(recordings: Moments, belongs: Floats, counts: Floats) -> dict[str, Floats]:
    """Every metric of each resample, shape=(R,): counts, shape=(R, subjects), say how often a subject was drawn."""
    subjects = recordings.pooled(belongs)
    still = np.zeros_like(subjects.n)
    together, within = subjects.pooled(counts), replace(subjects, mean_x=still, mean_y=still).pooled(counts)
    found = {name: metric(together) for name, metric in _METRICS.items()}
    for name, metric in _METRICS.items():
        values = metric(recordings)
        defined = ~np.isnan(values)
        total, number = (counts @ (belongs @ each) for each in (np.where(defined, values, 0), defined))
        with np.errstate(invalid="ignore"):
            found[f"{name}_recording"] = total / number
    return found | {f"{name}_within": metric(within) for name, metric in _METRICS.items()}


def _rmse(moments: Moments) -> Floats:
    return np.asarray(np.sqrt(moments.ee / moments.n + (moments.mean_x - moments.mean_y) ** 2))


def _cc(moments: Moments) -> Floats:
    return _ratio(moments, moments.xy, np.sqrt(moments.xx) * np.sqrt(moments.yy))


def _ccc(moments: Moments) -> Floats:
    apart = moments.n * (moments.mean_x - moments.mean_y) ** 2
    return _ratio(moments, 2 * moments.xy, moments.xx + moments.yy + apart)


def _ratio(moments: Moments, above: Floats, below: Floats) -> Floats:
    """A coefficient; NaN where x or y is constant. Rounding alone takes one out of [-1, 1]."""
    varies = (moments.xx > 0) & (moments.yy > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(varies, (above / below).clip(-1, 1), np.nan))


_METRICS: dict[str, Callable[[Moments], Floats]] = {"rmse": _rmse, "cc": _cc, "ccc": _ccc}


def _of_one_series(metric: Callable[[Moments], Floats], predicted: npt.ArrayLike, target: npt.ArrayLike) -> float:
    (x,), y, _ = labelled_frames(predicted, target, dimensions=(1,))
    return float(metric(Moments.of(x, y, np.zeros(len(y), np.int64)))[0]) if len(y) else float("nan")
