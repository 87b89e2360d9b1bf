"""SynthFace: which recordings there are, and how each is made.

A recording depends on the seed, its split and its number alone, so it is the same in any layout, on any number of
workers.
"""

import dataclasses
import importlib.util
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from codecsim.corpus import CorpusWriter
from codecsim.errors import SourceError, UsageError
from codecsim.sources.assembly import AssemblyReport, Progress, assemble, check_out
from codecsim.sources.synthetic.difficulty import DIFFICULTIES
from codecsim.sources.synthetic.noise import add_noise
from codecsim.sources.synthetic.pack import load_pack
from codecsim.sources.synthetic.performance import draw_temperament, perform
from codecsim.sources.synthetic.raters import gold_standard, rate
from codecsim.sources.synthetic.staging import draw_stage

VERSION = 1
"""Raised when the same settings give other frames, so that nothing older is taken for them."""

FPS = 25.0
SPLITS = ("train", "dev", "test")
_POSE = ("yaw_degrees", "pitch_degrees", "roll_degrees", "x", "y", "z")


@dataclass(frozen=True)
class Layout:
    """Subjects in train, dev and test, and frames of each."""

    subjects: tuple[int, int, int]
    n_frames: int


LAYOUTS = {"wide": Layout((48, 16, 16), 1500), "avec": Layout((9, 9, 9), 7500)}


@dataclass(frozen=True)
class SynthRecording:
    """One recording of one subject: everything that its frames depend on, and the device that renders them."""

    seed: int
    split: str
    number: int
    n_frames: int
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
        """Frames."""
        return self.n_frames

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
    layout: str = "wide",
    n_frames: int | None = None,
    subjects: Iterable[int] | None = None,
    difficulty: str = "main",
    seed: int = 0,
) -> list[SynthRecording]:
    """List the recordings of a benchmark.

    Parameters
    ----------
    layout : ``wide`` (48, 16 and 16 subjects of 1 500 frames) or ``avec`` (9, 9 and 9 of 7 500)
    n_frames, subjects : instead of the layout's: frames of each, and subjects in train, dev and test
    difficulty : ``easy``, ``main`` or ``hard``

    Raises
    ------
    UsageError
        If a name is unknown or a number out of range.
    """
    if layout not in LAYOUTS:
        raise UsageError(f"no layout {layout!r}; there are {', '.join(LAYOUTS)}")
    if difficulty not in DIFFICULTIES:
        raise UsageError(f"no difficulty {difficulty!r}; there are {', '.join(DIFFICULTIES)}")
    frames = LAYOUTS[layout].n_frames if n_frames is None else n_frames
    counts = LAYOUTS[layout].subjects if subjects is None else tuple(subjects)
    if not 1 <= frames <= 1_000_000:
        raise UsageError(f"{frames} frames: 1 to 1000000 can be rendered")
    if len(counts) != 3 or not all(0 <= count <= 100_000 for count in counts) or not any(counts):
        raise UsageError(
            f"subjects {','.join(map(str, counts))}: three numbers of 0 to 100000, not all 0, are needed, for train, "
            "dev and test, as 48,16,16"
        )
    if not 0 <= seed < 2**63:
        raise UsageError(f"seed {seed}: whole numbers of 0 to 2^63 − 1 are allowed")
    return [
        SynthRecording(seed, split, number, frames, difficulty)
        for split, count in zip(SPLITS, counts, strict=True)
        for number in range(1, count + 1)
    ]


def prepare_synthetic(
    out: str | Path,
    *,
    layout: str = "wide",
    n_frames: int | None = None,
    subjects: Iterable[int] | None = None,
    difficulty: str = "main",
    seed: int = 0,
    workers: int | None = None,
    device: str = "cpu",
    progress: Progress | None = None,
) -> AssemblyReport:
    """Render SynthFace into a corpus.

    Labels: ``valence`` and ``arousal``, gold standards of six simulated raters, and ``valence_truth`` and
    ``arousal_truth``, which drove the faces. Series: ``units`` (52 face units), ``pose``, ``raters_valence`` and
    ``raters_arousal``.

    Parameters
    ----------
    out : corpus file; appears whole, or not at all
    layout, n_frames, subjects, difficulty, seed : see `plan`
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
    recordings = plan(layout=layout, n_frames=n_frames, subjects=subjects, difficulty=difficulty, seed=seed)
    check_out(Path(out))
    _check_device(device)
    face_model = load_pack().digest[:16]
    return assemble(
        out,
        [dataclasses.replace(each, face_model=face_model, device=device) for each in recordings],
        attributes={"synthface": json.dumps({"layout": layout, "difficulty": difficulty, "seed": seed})},
        doing="rendering frames",
        workers=workers or (None if device == "cpu" else 1),
        progress=progress,
    )


def _check_device(device: str) -> None:
    """Refuse what torch cannot do here, before any work."""
    if importlib.util.find_spec("torch") is None:
        raise SourceError("SynthFace is rendered with torch, which is not installed: pip install 'codecsim[synthetic]'")
    if device == "cpu":
        return
    import torch

    if not torch.cuda.is_available():
        raise UsageError(
            f"device {device!r}: torch {torch.__version__} finds no GPU here; leave --device out to render on the CPU"
        )


def _render(recording: SynthRecording, writer: CorpusWriter) -> None:
    import torch

    from codecsim.sources.synthetic.person import draw_person
    from codecsim.sources.synthetic.rendering import record

    torch.set_num_threads(1)  # results must not depend on it, and recordings run side by side
    pack = load_pack()
    names, difficulty = pack.unit_names, DIFFICULTIES[recording.difficulty]
    seeds = np.random.SeedSequence([recording.seed, SPLITS.index(recording.split), recording.number])
    person_rng, temper_rng, stage_rng, perform_rng, rater_rng, box_rng, noise_rng = map(
        np.random.default_rng, seeds.spawn(7)
    )
    person = draw_person(pack, person_rng, device=recording.device)
    temperament = draw_temperament(temper_rng, names, difficulty)
    stage = draw_stage(stage_rng, recording.n_frames, difficulty)
    performance = perform(perform_rng, names, temperament, difficulty, n_frames=recording.n_frames, fps=FPS)
    noise_seed = int(noise_rng.integers(2**63))
    with writer.sequence(
        recording.name,
        fps=FPS,
        subject=recording.name,
        split=recording.split,
        source="synthface",
        preparation=recording.identity(),
    ) as sequence:
        first = 0
        for clean, boxes in record(person, performance, stage, fps=FPS, rng=box_rng):
            frames = add_noise(clean, seed=noise_seed, first_frame=first, level=stage.noise_level)
            for frame, box in zip(frames, boxes.tolist(), strict=True):
                sequence.append(frame, pts_seconds=first / FPS, box=tuple(box))
                first += 1
        for task, truth in (("valence", performance.valence), ("arousal", performance.arousal)):
            ratings = rate(truth, fps=FPS, rng=rater_rng)
            sequence.labels(task, gold_standard(ratings).astype(np.float32))
            sequence.labels(f"{task}_truth", truth.astype(np.float32))
            raters = [f"rater_{number}" for number in range(1, ratings.shape[1] + 1)]
            sequence.series(f"raters_{task}", ratings, columns=raters)
        sequence.series("units", performance.units, columns=names)
        sequence.series("pose", np.concatenate([performance.pose, performance.position], 1), columns=_POSE)
