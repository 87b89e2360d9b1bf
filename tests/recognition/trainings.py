"""Trainings of a small network, and what they leave."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from recognition.loop import Moment
from recognition.methods import get_method
from recognition.models import read_tensors
from recognition.training import Setup, Trained, Trainer
from tests.recognition.small import SMALL, SmallNetwork

SMALL_3 = f"{SMALL}-3"
STEM = SMALL_3.replace(":", ".")


class Forgetful(SmallNetwork):
    """The small network with something drawn at random at every step."""

    def forward(self, x: Tensor) -> Tensor:
        told: Tensor = self.tell(nn.functional.dropout(torch.relu(self.look(x)).flatten(1), 0.5, self.training))
        return told


FORGETFUL = f"{__name__}:Forgetful-3"


def weights(path: Path) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in read_tensors(path)[0].items()}


def log(path: Path) -> list[dict[str, str]]:
    """The rows of a log without what a clock says."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [{name: row[name] for name in row if name not in ("seconds", "frames_per_second")} for row in rows]


def same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(value, other[name]) for name, value in one.items())


def train(chosen: Setup, out: Path, *, method: str = SMALL_3, seed: int = 0, **options: Any) -> Trained:
    return Trainer(chosen, out, **options).train(get_method(method), seed=seed)[-1]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class StoppedError(Exception):
    """Training that someone stopped."""


def stop(*_: object) -> None:
    """Whatever calls it is stopped."""
    raise StoppedError


def stop_at(look: int) -> Callable[[str, Moment], None]:
    """A report that stops training after so many looks at the fold."""
    seen: list[Moment] = []

    def report(_: str, moment: Moment) -> None:
        seen.append(moment)
        if len(seen) > look:
            raise StoppedError

    return report
