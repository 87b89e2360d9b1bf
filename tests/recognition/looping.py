"""What tests of the training loop share: a slope to go down, a network of two layers, and small trainings."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from recognition.data import Faces
from recognition.loop import State, fit
from recognition.schedules import Phase
from recognition.tasks import Batch, Recognition
from tests.recognition.small import SmallNetwork, phase

CPU = torch.device("cpu")
NAN = float("nan")
FREE = phase(momentum=0.0, weight_decay=0.0)
"""No momentum and no decay: what a step does can be counted on fingers."""


class Slope:
    """Every parameter has the gradient 1 at every step; the scores of the looks are given."""

    divisible = True

    def __init__(self, scores: Sequence[float] = (), losses: Callable[[int], float] = float) -> None:
        self._scores = iter(scores)
        self._losses = losses
        self.steps: list[int] = []

    def batch(self, step: int) -> Batch:
        self.steps.append(step)
        rows = torch.arange(4)
        return Batch(rows, rows, (0, 0), torch.tensor(len(rows)))

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        offset = self._losses(self.steps[-1])
        total = sum((each - each.detach()).sum() for each in network.parameters()) + torch.tensor(offset)
        return total * len(batch) / int(batch.n_labelled)

    def check(self, network: nn.Module) -> dict[str, float]:
        return {"score": next(self._scores, 0.0)}


class Two(nn.Module):
    """Two layers whose weights are one number each, all 0 at first."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(1, 1)
        self.last = nn.Linear(1, 1)
        for each in self.parameters():
            nn.init.zeros_(each)

    def where(self) -> dict[str, float]:
        return {name: round(float(value.detach()), 9) for name, value in self.named_parameters()}


def moved(network: Two) -> float:
    return -network.where()["first.weight"]


def recognition(parts: tuple[Faces, Faces], chosen: Phase, **changes: Any) -> Recognition:
    return Recognition(*parts, **{"factors": (3,), "loss": "mse", "phase": chosen, "seed": 0, **changes})


def trained(parts: tuple[Faces, Faces], chosen: Phase, **changes: Any) -> tuple[State, SmallNetwork]:
    """The small network after a training from the same start."""
    torch.manual_seed(1)
    network = SmallNetwork(1)
    return fit(network, recognition(parts, chosen), phase=chosen, seed=0, device=CPU, **changes), network


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())
