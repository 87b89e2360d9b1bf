"""What is recorded of a subject, by task: a long take of feelings, stills of expressions, or their onsets."""

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from codecsim.sources.synthetic.difficulty import Difficulty
from codecsim.sources.synthetic.expressions import APEX_CLASSES, EXPRESSIONS, STILL_CLASSES
from codecsim.sources.synthetic.feelings import feel
from codecsim.sources.synthetic.performance import Performance, Temperament, perform
from codecsim.sources.synthetic.raters import gold_standard, rate
from codecsim.sources.synthetic.smooth import smooth_step
from codecsim.sources.synthetic.staging import Stage, draw_stage

Values = npt.NDArray[np.generic]

FPS, APEX_FPS, STILL_FPS = 25.0, 30.0, 1.0
"""Frames a second: of AVEC 2016, and of CK+; a still stands for a second."""

_APEX_FRAMES = (10, 30)
"""Shortest and longest sequence, as most of CK+; drawn evenly."""

_MOMENT = 25
"""A still is taken from the middle of a performance of twice as many frames."""

_QUICK = 0.25
"""Posed expressions come as a whole: delays between face units are this part of those of feelings."""

_PEAK = (0.75, 1.0)
"""How far a posed expression goes."""


@dataclass(frozen=True)
class Take:
    """One sequence of a subject, before it is rendered.

    Attributes
    ----------
    name : what is appended to the subject's name, "" for nothing
    fps : frames a second
    performance, stage : what the face does in T frames, and where
    labels : task → values, shape=(T,)
    classes : task → names of its classes, for those that have any
    series : name → (values, shape=(T, K), names of the K columns)
    """

    name: str
    fps: float
    performance: Performance
    stage: Stage
    labels: dict[str, Values]
    classes: dict[str, tuple[str, ...]]
    series: dict[str, tuple[Values, tuple[str, ...]]]


@dataclass(frozen=True)
class Subject:
    """Who is recorded: `unit_names` are the face model's, `seeds` give each kind of chance a generator of its own."""

    unit_names: tuple[str, ...]
    temperament: Temperament
    difficulty: Difficulty
    stage_rng: np.random.Generator
    act_rng: np.random.Generator
    rater_rng: np.random.Generator


def valence_takes(subject: Subject, n_frames: int | None, fps: float) -> Iterator[Take]:
    """One recording of `n_frames` frames, with valence and arousal as raters see them, and as they are."""
    assert n_frames is not None
    feelings = feel(subject.act_rng, n_frames=n_frames, fps=fps)
    labels: dict[str, Values] = {}
    series: dict[str, tuple[Values, tuple[str, ...]]] = {}
    for task, truth in (("valence", feelings.valence), ("arousal", feelings.arousal)):
        ratings = rate(truth, fps=fps, rng=subject.rater_rng)
        labels[task] = gold_standard(ratings).astype(np.float32)
        labels[f"{task}_truth"] = truth.astype(np.float32)
        series[f"raters_{task}"] = ratings, tuple(f"rater_{number}" for number in range(1, ratings.shape[1] + 1))
    performance = perform(
        subject.act_rng, subject.unit_names, subject.temperament, subject.difficulty, shown=feelings.shown, fps=fps
    )
    stage = draw_stage(subject.stage_rng, n_frames, subject.difficulty)
    yield Take("", fps, performance, stage, labels, {}, series)


def still_takes(subject: Subject, n_frames: int | None, fps: float) -> Iterator[Take]:
    """`n_frames` stills, the classes in turn, each at a place, in a light and a pose of its own."""
    assert n_frames is not None
    for number in range(n_frames):
        which = number % len(STILL_CLASSES)
        ways = EXPRESSIONS[STILL_CLASSES[which]]
        peak = subject.act_rng.uniform(*_PEAK)
        shown = [(ways[subject.act_rng.integers(len(ways))], np.full(2 * _MOMENT, peak))]
        acted = perform(
            subject.act_rng, subject.unit_names, subject.temperament, subject.difficulty, shown=shown, fps=FPS
        )
        yield Take(
            f"{number + 1}",
            fps,
            acted[_MOMENT : _MOMENT + 1],
            draw_stage(subject.stage_rng, 1, subject.difficulty),
            {"expression": np.array([which], np.int32)},
            {"expression": STILL_CLASSES},
            {"intensity": (np.array([[peak]], np.float32), ("intensity",))},
        )


def apex_takes(subject: Subject, n_frames: int | None, fps: float) -> Iterator[Take]:
    """A sequence a class, from the neutral face to the apex, silent, all of one subject at one place.

    Each has `n_frames` frames, or a number that is drawn.
    """
    silent = dataclasses.replace(subject.difficulty, speech_strength=0.0)
    quick = dataclasses.replace(
        subject.temperament, delays={name: _QUICK * delay for name, delay in subject.temperament.delays.items()}
    )
    place = draw_stage(subject.stage_rng, max(_APEX_FRAMES[1], n_frames or 0), subject.difficulty)
    for which, expression in enumerate(APEX_CLASSES):
        length = n_frames or int(subject.act_rng.integers(_APEX_FRAMES[0], _APEX_FRAMES[1] + 1))
        ways = EXPRESSIONS[expression]
        share = np.arange(1, length + 1) / length
        risen = smooth_step(share, subject.act_rng.uniform(0.1, 0.3), 0.85)
        intensity = np.asarray(subject.act_rng.uniform(*_PEAK) * risen, np.float64)
        shown = [(ways[subject.act_rng.integers(len(ways))], intensity)]
        yield Take(
            f"{which + 1}",
            fps,
            perform(subject.act_rng, subject.unit_names, quick, silent, shown=shown, fps=fps),
            dataclasses.replace(place, key_strength=place.key_strength[:length]),
            {"expression": np.full(length, which, np.int32)},
            {"expression": APEX_CLASSES},
            {"intensity": (intensity[:, None].astype(np.float32), ("intensity",))},
        )


TAKES: MappingProxyType[str, Callable[[Subject, int | None, float], Iterator[Take]]] = MappingProxyType(
    {"valence": valence_takes, "expression": still_takes, "apex": apex_takes}
)
"""Task → what is recorded of a subject, given the number of frames of a sequence, and frames a second; None, for apex
alone, draws the number."""
