"""A corpus that a network can learn in seconds, a small network, and a schedule of few steps."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from codecsim.corpus import CorpusWriter
from recognition.schedules import Phase, Schedule
from recognition.training import Setup

SMALL = "tests.recognition.small:SmallNetwork"
"""The small network as a method."""

FPS = 10.0
N_FRAMES = 8  # of each recording
TRAIN = ("ada", "ben", "cy", "dot")
DEV = ("eve",)

Frames = npt.NDArray[np.uint8]


class SmallNetwork(nn.Module):
    """Nothing drawn at random in it, and quick: what comes of a training depends on its loop alone."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.look = nn.Conv2d(1, 4, 16, stride=16)
        self.tell = nn.Linear(144, outputs)

    def forward(self, x: Tensor) -> Tensor:
        told: Tensor = self.tell(torch.relu(self.look(x)).flatten(1))
        return told


def faces(n: int, valence: npt.NDArray[np.float32], *, seed: int = 0) -> Frames:
    """Noise with a bright bar, whose height in the picture tells the valence."""
    frames = np.random.default_rng(seed).integers(0, 64, (n, 96, 96), np.uint8)
    for frame, value in zip(frames, valence, strict=True):
        row = int(40 - 30 * value)
        frame[row : row + 16] += 150
    return frames


def valence(n: int, *, seed: int = 0) -> npt.NDArray[np.float32]:
    return np.sin(np.arange(n) + seed).astype(np.float32)


def write_corpus(path: Path, *, people: tuple[str, ...] = TRAIN, n_frames: int = N_FRAMES) -> Path:
    """A recording of each person, those of `DEV` in split dev; labels valence and arousal, and a class."""
    with CorpusWriter(path) as writer:
        for seed, name in enumerate([*people, *DEV]):
            split = "dev" if name in DEV else "train"
            with writer.sequence(f"{name}_1", fps=FPS, subject=name, split=split, source="test") as sequence:
                told = valence(n_frames, seed=seed)
                for index, frame in enumerate(faces(n_frames, told, seed=seed)):
                    sequence.append(frame, pts_seconds=index / FPS)
                sequence.labels("valence", told)
                sequence.labels("arousal", -told)
                sequence.labels("smile", (told > 0).astype(np.int16))
    return path


def phase(**changes: Any) -> Phase:
    """Eight steps of four frames, a look after every second one."""
    few = Phase(iterations=8, batch=4, check_every=2, check_frames=8, patience=10)
    return replace(few, **changes)


def schedule(**changes: Any) -> Schedule:
    chosen = phase(**changes)
    sr = replace(chosen, batch=2, patch=20)
    return Schedule(name="test", summary="few steps", sr=sr, scratch=chosen, tuned=chosen, frozen=chosen)


def setup(corpus: Path, **changes: Any) -> Setup:
    given: dict[str, Any] = {"labels": ("valence",), "variant": "paper", "schedule": schedule(), "device": "cpu"}
    return Setup(corpus=corpus, **{**given, **changes})
