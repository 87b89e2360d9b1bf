"""SynthFace: which recordings there are, and how each is made.

A recording depends on the seed, its split and its number alone, so it is the same in any layout, on any number of
workers.
"""

import dataclasses
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from codecsim.corpus import CorpusWriter
from codecsim.errors import UsageError
from codecsim.sources.assembly import AssemblyReport, Progress, assemble, check_out
from codecsim.sources.synthetic.difficulty import DIFFICULTIES
from codecsim.sources.synthetic.noise import add_noise
from codecsim.sources.synthetic.pack import load_pack
from codecsim.sources.synthetic.performance import draw_temperament
from codecsim.sources.synthetic.takes import APEX_FPS, FPS, STILL_FPS, TAKES, Subject, Take

VERSION = 2
"""Raised when the same settings give other frames, so that nothing older is taken for them."""

SPLITS = ("train", "dev", "test")
Number = TypeVar("Number", int, float)

_POSE = ("yaw_degrees", "pitch_degrees", "roll_degrees", "x", "y", "z")


@dataclass(frozen=True)
class Layout:
    """What is recorded unless something else is asked for; of three values, those of train, dev and test.

    Attributes
    ----------
    subjects : how many
    n_frames : of each sequence; for task expression, stills of each subject; None where it is drawn
    fps : frames a second
    difficulty : its name
    """

    subjects: tuple[int, int, int]
    n_frames: tuple[int | None, int | None, int | None]
    fps: tuple[float, float, float]
    difficulty: str


LAYOUTS = MappingProxyType(
    {
        "valence": {
            "wide": Layout((240, 48, 48), (300, 500, 500), (5.0, FPS, FPS), "main"),
            "avec": Layout((9, 9, 9), (7500,) * 3, (FPS,) * 3, "main"),
        },
        "expression": {"wide": Layout((1200, 200, 300), (7,) * 3, (STILL_FPS,) * 3, "hard")},
        "apex": {"wide": Layout((72, 24, 24), (None,) * 3, (APEX_FPS,) * 3, "easy")},
    }
)
"""Task → layouts by name.

Networks need many people to learn from, and much that each of them shows: a minute of 240, of which 5 frames a second
are as good as 25. Of dev and test whole sequences are coded, and the more people, the narrower the intervals.
"""


@dataclass(frozen=True)
class SynthRecording:
    """One subject: everything that the frames depend on, and the device that renders them."""

    task: str
    seed: int
    split: str
    number: int
    n_frames: int | None
    fps: float
    difficulty: str
    face_model: str = ""
    version: int = VERSION
    device: str = "cpu"

    @property
    def name(self) -> str:
        """As AVEC 2016 names recordings: ``train_1``."""
        return f"{self.split}_{self.number}"

    @property
    def size(self) -> int:
        """Frames, or what is about as much work."""
        return self.n_frames or 150

    def identity(self) -> str:
        """Provenance, as JSON: equal where the frames are, on one device."""
        known = dataclasses.asdict(self)
        del known["device"]
        return json.dumps({"synthface": known})

    def add_to(self, writer: CorpusWriter) -> tuple[str, ...]:
        """Render it, with labels and all that is known of each frame."""
        _render(self, writer)
        return ()


def plan(
    *,
    task: str = "valence",
    layout: str = "wide",
    n_frames: int | Iterable[int] | None = None,
    fps: float | Iterable[float] | None = None,
    subjects: Iterable[int] | None = None,
    difficulty: str | None = None,
    seed: int = 0,
) -> list[SynthRecording]:
    """List the recordings of a benchmark.

    Parameters
    ----------
    task : ``valence`` (and arousal, over time), ``expression`` (stills of 7 classes) or ``apex`` (sequences from the
        neutral face to the apex, 7 classes)
    layout : ``wide``, or for valence ``avec`` (as AVEC 2016: 9, 9 and 9 subjects of 7 500 frames); see `LAYOUTS`
    n_frames, fps, subjects : instead of the layout's: frames of each sequence (stills of each subject for expression),
        frames a second (for valence alone), and subjects; of train, dev and test, or one number for all
    difficulty : ``easy``, ``main`` or ``hard``, instead of the layout's

    Raises
    ------
    UsageError
        If a name is unknown or a number out of range.
    """
    if task not in LAYOUTS:
        raise UsageError(f"no task {task!r}; there are {', '.join(LAYOUTS)}")
    if layout not in LAYOUTS[task]:
        raise UsageError(f"no layout {layout!r} of task {task}; there are {', '.join(LAYOUTS[task])}")
    chosen = LAYOUTS[task][layout]
    spread = difficulty or chosen.difficulty
    if spread not in DIFFICULTIES:
        raise UsageError(f"no difficulty {spread!r}; there are {', '.join(DIFFICULTIES)}")
    frames = chosen.n_frames if n_frames is None else _of_splits(n_frames, "frames")
    rates = chosen.fps if fps is None else _of_splits(fps, "frames a second")
    counts = chosen.subjects if subjects is None else tuple(subjects)
    for number in frames:
        if number is not None and not 1 <= number <= 1_000_000:
            raise UsageError(f"{number} frames: 1 to 1000000 can be rendered")
    if fps is not None and task != "valence":
        raise UsageError(f"frames a second of task {task}: they are {chosen.fps[0]:g}; those of valence can be chosen")
    for rate in rates:
        if not 0 < rate <= 1000:
            raise UsageError(f"{rate:g} frames a second: more than 0, up to 1000, can be rendered")
    if len(counts) != 3 or not all(0 <= count <= 100_000 for count in counts) or not any(counts):
        raise UsageError(
            f"subjects {','.join(map(str, counts))}: three numbers of 0 to 100000, not all 0, are needed, for train, "
            "dev and test, as 240,48,48"
        )
    if not 0 <= seed < 2**63:
        raise UsageError(f"seed {seed}: whole numbers of 0 to 2^63 − 1 are allowed")
    return [
        SynthRecording(task, seed, split, number, length, rate, spread)
        for split, count, length, rate in zip(SPLITS, counts, frames, rates, strict=True)
        for number in range(1, count + 1)
    ]


def _of_splits(given: Number | Iterable[Number], what: str) -> tuple[Number, ...]:
    """The values of train, dev and test."""
    values = (given,) * len(SPLITS) if isinstance(given, int | float) else tuple(given)
    if len(values) != len(SPLITS):
        raise UsageError(
            f"{what} {','.join(map(str, values))}: one number is needed, or three, for train, dev and test"
        )
    return values


def prepare_synthetic(
    out: str | Path,
    *,
    task: str = "valence",
    layout: str = "wide",
    n_frames: int | Iterable[int] | None = None,
    fps: float | Iterable[float] | None = None,
    subjects: Iterable[int] | None = None,
    difficulty: str | None = None,
    seed: int = 0,
    workers: int | None = None,
    device: str = "cpu",
    progress: Progress | None = None,
) -> AssemblyReport:
    """Render SynthFace into a corpus.

    Labels of task valence: ``valence`` and ``arousal``, gold standards of six simulated raters, and ``valence_truth``
    and ``arousal_truth``, which drove the faces; of the other tasks: ``expression``, classes with names. Series:
    ``units`` (52 face units), ``pose``, ``raters_valence`` and ``raters_arousal``, or ``intensity``.

    Parameters
    ----------
    out : corpus file; appears whole, or not at all
    task, layout, n_frames, fps, subjects, difficulty, seed : see `plan`
    workers : processes; default: one a core on the CPU, one on a GPU
    device : ``cpu`` or ``cuda``: the same code, whose last digits may differ
    progress : told what is going on

    Raises
    ------
    UsageError
        If a setting is out of range.
    SourceError
        If the face model is not installed.
    StoreError
        If `out` cannot be written, or is something else than a corpus.
    """
    recordings = plan(
        task=task,
        layout=layout,
        n_frames=n_frames,
        fps=fps,
        subjects=subjects,
        difficulty=difficulty,
        seed=seed,
    )
    check_out(Path(out))
    check_device(device)
    face_model = load_pack().digest[:16]
    return assemble(
        out,
        [dataclasses.replace(each, face_model=face_model, device=device) for each in recordings],
        attributes={"synthface": json.dumps({"task": task, "layout": layout, "seed": seed})},
        doing="rendering frames",
        workers=workers or (None if device == "cpu" else 1),
        progress=progress,
    )


def check_device(device: str) -> None:
    """Refuse what torch cannot do here: `UsageError` where there is no GPU."""
    if device == "cpu":
        return
    import torch

    if not torch.cuda.is_available():
        raise UsageError(
            f"device {device!r}: torch {torch.__version__} finds no GPU here; leave --device out to render on the CPU"
        )


@dataclass(frozen=True)
class Shot:
    """A take before the camera.

    Attributes
    ----------
    take : what is recorded
    clean : batches of frames without the camera's noise, uint8, shape=(B, 96, 96), and their boxes, shape=(B, 4)
    noise_seed : for `codecsim.sources.synthetic.noise.add_noise`, whose level is the stage's
    """

    take: Take
    clean: Iterator[tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]]
    noise_seed: int


def shoot(recording: SynthRecording, *, start: int = 0) -> Iterator[Shot]:
    """Render the takes of a recording, one after the other; batches that end before frame `start` are passed over."""
    import torch

    from codecsim.sources.synthetic.person import draw_person
    from codecsim.sources.synthetic.rendering import record

    torch.set_num_threads(1)  # results must not depend on it, and recordings run side by side
    pack, difficulty = load_pack(), DIFFICULTIES[recording.difficulty]
    seeds = np.random.SeedSequence([recording.seed, SPLITS.index(recording.split), recording.number])
    person_rng, temper_rng, stage_rng, act_rng, rater_rng, box_rng, noise_rng = map(
        np.random.default_rng, seeds.spawn(7)
    )
    person = draw_person(pack, person_rng, device=recording.device)
    temperament = draw_temperament(temper_rng, pack.unit_names, difficulty)
    subject = Subject(pack.unit_names, temperament, difficulty, stage_rng, act_rng, rater_rng)
    for take in TAKES[recording.task](subject, recording.n_frames, recording.fps):
        clean = record(person, take.performance, take.stage, fps=take.fps, rng=box_rng, start=start)
        yield Shot(take, clean, int(noise_rng.integers(2**63)))


def _render(recording: SynthRecording, writer: CorpusWriter) -> None:
    names = load_pack().unit_names
    for shot in shoot(recording):
        take, first = shot.take, 0
        with writer.sequence(
            f"{recording.name}_{take.name}" if take.name else recording.name,
            fps=take.fps,
            subject=recording.name,
            split=recording.split,
            source="synthface",
            preparation=recording.identity(),
        ) as sequence:
            for clean, boxes in shot.clean:
                frames = add_noise(clean, seed=shot.noise_seed, first_frame=first, level=take.stage.noise_level)
                for frame, box in zip(frames, boxes.tolist(), strict=True):
                    sequence.append(frame, pts_seconds=first / take.fps, box=tuple(box))
                    first += 1
            for label, values in take.labels.items():
                sequence.labels(label, values, classes=take.classes.get(label, ()))
            acted = take.performance
            known = take.series | {
                "units": (acted.units, names),
                "pose": (np.concatenate([acted.pose, acted.position], 1), _POSE),
            }
            for series, (values, columns) in known.items():
                sequence.series(series, values, columns=columns)
