"""Training on several devices: under `torchrun`, each process takes a share of every batch; gradients are added up."""

import os
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn


@dataclass(frozen=True)
class World:
    """The processes that train together.

    Attributes
    ----------
    rank : of this process; the first one, 0, writes files and speaks
    size : how many there are
    """

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes files and speaks."""
        return self.rank == 0

    def share(self, n: int) -> slice:
        """This process' part of n rows."""
        return slice(n * self.rank // self.size, n * (self.rank + 1) // self.size)

    def add_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace every gradient by its sum over the processes, in one exchange."""
        if self.size == 1:
            return
        held = [each.grad for each in parameters if each.grad is not None]
        joined = self.total(torch.cat([each.flatten() for each in held]))
        for each, summed in zip(held, torch.split(joined, [each.numel() for each in held]), strict=True):
            each.copy_(summed.view_as(each))

    def total(self, values: Tensor) -> Tensor:
        """Sums over the processes."""
        if self.size > 1:
            distributed.all_reduce(values)
        return values

    def agree(self, value: float, device: torch.device) -> float:
        """The first process' value, on all of them: what is decided by it is decided alike."""
        if self.size == 1:
            return value
        shared = torch.tensor(value, dtype=torch.float64, device=device)
        distributed.broadcast(shared, 0)
        return float(shared)

    def wait(self) -> None:
        """Until every process is here."""
        if self.size > 1:
            distributed.barrier()


def join(device: torch.device) -> tuple[World, torch.device]:
    """Join the processes that `torchrun` started, if it did; each takes a GPU of its own where there are GPUs."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return World(), device
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
    if not distributed.is_initialized():
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return World(distributed.get_rank(), size), device
