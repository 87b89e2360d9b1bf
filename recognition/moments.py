"""Predictions and targets of many recordings, checked, then summed up by moments: enough for a metric of any mixture.

Each group of frames is centred on its own means, so that nothing cancels, and moments of groups add up to those of the
groups together. What is constant has a variance of exactly 0, whatever its value.
"""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from codecsim.errors import MetricError

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Labels = Sequence[Hashable] | npt.NDArray[np.generic]


@dataclass(frozen=True)
class Moments:
    """Frames of groups, summed up. x are predictions, y targets, e their difference; all fields shape=(groups,).

    Attributes
    ----------
    n : frames
    mean_x, mean_y : means; exactly the value of a constant series
    xx, yy, xy, ee : sums of products of deviations from the means; exactly 0 for a constant series
    """

    n: Floats
    mean_x: Floats
    mean_y: Floats
    xx: Floats
    yy: Floats
    xy: Floats
    ee: Floats

    @classmethod
    def of(cls, x: Floats, y: Floats, groups: Integers) -> "Moments":
        """Moments of each group: x, y, groups shape=(T,); groups are numbers from 0, none left out."""
        order = np.argsort(groups, kind="stable")
        first = np.flatnonzero(np.diff(groups[order], prepend=-1))
        n = np.diff(first, append=len(x))

        def centred(values: Floats) -> tuple[Floats, Floats]:
            values = values[order]
            away = values - np.repeat(values[first], n)
            mean = np.add.reduceat(away, first) / n
            return values[first] + mean, away - np.repeat(mean, n)

        (mean_x, x), (mean_y, y) = centred(x), centred(y)
        xx, yy, xy, ee = (np.add.reduceat(each, first) for each in (x * x, y * y, x * y, (x - y) ** 2))
        return cls(n.astype(np.float64), mean_x, mean_y, xx, yy, xy, ee)

    def pooled(self, counts: Floats) -> "Moments":
        """Moments of all groups together, each as often as counted: counts shape=(R, groups), fields shape=(R,)."""
        if not len(self.n):
            return Moments(*np.full((7, len(counts)), np.nan))
        n, weights, drawn = counts @ self.n, counts * self.n, (counts > 0).argmax(1)

        def centred(means: Floats) -> tuple[Floats, Floats]:
            away = means - means[drawn, None]
            mean = (weights * away).sum(1) / n
            return means[drawn] + mean, away - mean[:, None]

        (mean_x, x), (mean_y, y) = centred(self.mean_x), centred(self.mean_y)
        return Moments(
            n,
            mean_x,
            mean_y,
            counts @ self.xx + (weights * x * x).sum(1),
            counts @ self.yy + (weights * y * y).sum(1),
            counts @ self.xy + (weights * x * y).sum(1),
            counts @ self.ee + (weights * (x - y) ** 2).sum(1),
        )


def summed_up(
    predicted: npt.ArrayLike,
    target: npt.ArrayLike,
    recordings: Labels,
    subjects: Labels | None,
    dimensions: tuple[int, ...],
) -> tuple[list[Moments], Floats]:
    """Moments of the recordings for each model, and whose they are.

    Parameters
    ----------
    predicted, target, recordings, subjects : as in `recognition.intervals.replicates`
    dimensions : that `predicted` may have

    Returns
    -------
    models : moments of the recordings with labelled frames, for each model
    belongs : 0 or 1, shape=(subjects, recordings)

    Raises
    ------
    MetricError
        If shapes or lengths differ, a labelled frame has no finite prediction, or a recording is of two subjects.
    """
    x, y, labelled = labelled_frames(predicted, target, dimensions)
    recording = _renumbered(numbered(recordings, len(labelled), "recordings")[labelled])
    subject = recording if subjects is None else _renumbered(numbered(subjects, len(labelled), "subjects")[labelled])
    whose = np.zeros(recording.max(initial=-1) + 1, np.int64)
    whose[recording] = subject
    torn = np.flatnonzero(whose[recording] != subject)
    if len(torn):
        frame = int(np.flatnonzero(labelled)[torn[0]])
        raise MetricError(
            f"recording {str(recordings[frame])!r} has frames of more than one subject; if it shows several people, "
            "give each face track a recording of its own"
        )
    belongs = (whose == np.arange(subject.max(initial=-1) + 1)[:, None]).astype(np.float64)
    return [Moments.of(each, own, recording) for each, own in zip(x, np.broadcast_to(y, x.shape), strict=True)], belongs


def labelled_frames(
    predicted: npt.ArrayLike, target: npt.ArrayLike, dimensions: tuple[int, ...]
) -> tuple[Floats, Floats, npt.NDArray[np.bool_]]:
    """Predictions of each model and targets of the labelled frames, and which these are: shapes (S, N), (N,), (T,).

    Where each model has targets of its own, they are (S, N), too.

    Raises
    ------
    MetricError
        If the shapes differ, or a labelled frame has no finite prediction.
    """
    x, y = np.asarray(predicted, np.float64), np.asarray(target, np.float64)
    fits = x.shape == y.shape if y.ndim == 2 else y.ndim == 1 and x.shape[-1:] == y.shape
    if not fits or x.ndim not in dimensions or not len(np.atleast_2d(x)):
        allowed = " or ".join({1: "(T,)", 2: "(S, T) for S models"}[each] for each in dimensions)
        hint = "; is it a column? then give predicted[:, 0]" if x.shape == (len(np.atleast_1d(y)), 1) else ""
        raise MetricError(f"predictions have shape {x.shape}, targets {y.shape}; needed are {allowed} and (T,){hint}")
    labelled = np.asarray(~np.isnan(np.atleast_2d(y)).any(axis=0))
    x, y = np.atleast_2d(x)[:, labelled], y[..., labelled]
    if not np.isfinite(y).all():
        raise MetricError(f"{np.isinf(y).sum()} targets are infinite; mark frames without a label with NaN")
    missing = np.flatnonzero(~np.isfinite(x).all(0))
    if len(missing):
        frame = np.flatnonzero(labelled)[missing[0]]
        raise MetricError(
            f"{len(missing)} of {y.shape[-1]} labelled frames have a prediction that is NaN or infinite, the first is "
            f"frame {frame}; every labelled frame needs a number: give frames that were not to be scored a NaN target"
        )
    return x, y, labelled


def numbered(labels: Labels, n_frames: int, name: str) -> Integers:
    """Labels as numbers from 0, in order of appearance.

    Parameters
    ----------
    labels : shape=(T,), anything hashable
    n_frames : how many there have to be
    name : what they are called in an error

    Returns
    -------
    numbers : int64, shape=(T,)

    Raises
    ------
    MetricError
        If there are fewer or more labels than frames, or one is NaN.
    """
    listed = labels.tolist() if isinstance(labels, np.ndarray) else list(labels)
    if len(listed) != n_frames:
        raise MetricError(f"{len(listed)} {name} for {n_frames} frames; each frame needs the label of its own")
    numbers: dict[Hashable, int] = {}
    found = np.array([numbers.setdefault(each, len(numbers)) for each in listed], np.int64)
    if any(isinstance(each, float) and math.isnan(each) for each in numbers):
        raise MetricError(f"{name}: NaN names nothing; was a column missing where tables were joined?")
    return found


def _renumbered(numbers: Integers) -> Integers:
    """Numbers from 0, none left out."""
    return np.unique(numbers, return_inverse=True)[1].astype(np.int64)
