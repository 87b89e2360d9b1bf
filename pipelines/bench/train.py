"""`codecsim bench train`: steps of `recognition.loop.fit`, against a bare loop in torch with its inputs ready-made."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from statistics import median

import numpy as np
import torch
from torch import Tensor, nn

from codecsim.corpus import HR_SIDE
from pipelines.bench.timing import alternated, seconds
from pipelines.bench.work import forward_flops, peak_bytes, product_flops_per_second, setting, wait
from recognition.data import Faces
from recognition.devices import Precision, arithmetic, get_device
from recognition.loop import fit
from recognition.networks import SRFCN, ValenceCNN, Variant
from recognition.schedules import Phase, get_schedule
from recognition.tasks import Recognition, Reconstruction, Task

_FACTOR = 4
_N_FACES = 2048
_N_FOLD = 8
_STEPS = {"cpu": 8, "cuda": 200}
_TIMES_FORWARD = 3  # a pass forward, and as much again for the gradients of inputs and of weights each


@dataclass(frozen=True)
class _Subject:
    """What is trained: a network, what fits it, and its forward pass in training."""

    title: str
    phase: Phase
    build: Callable[[], nn.Module]
    task: Callable[[Phase], Task]
    forward: Callable[[nn.Module, Tensor], Tensor]

    @property
    def inputs(self) -> Tensor:
        side = self.phase.patch or HR_SIDE
        return torch.rand(self.phase.batch, 1, side, side)


def run_train(*, rounds: int, device: str, precisions: Sequence[Precision], variant: Variant) -> Iterator[str]:
    """Measure training of the valence CNN and of SR-FCN, and yield a line of result each."""
    place = get_device(device)
    yield setting(place)
    for each in _subjects(place, variant):
        phase = each.phase
        work = _TIMES_FORWARD * forward_flops(each.build(), each.inputs[:1])
        side = phase.patch or HR_SIDE
        yield (
            f"{each.title}, {variant}: {work:,} FLOPs a frame of {side}×{side}; "
            f"{phase.iterations} steps of {phase.batch} frames"
        )
        for precision in precisions:
            rates = alternated(
                rounds,
                partial(_fitted, each, precision, place),
                partial(_bare, each, precision, place),
                partial(product_flops_per_second, precision, place),
            )
            rate = median(ours for ours, _, _ in rates)
            to_bare = median(ours / bare for ours, bare, _ in rates)
            share = median(work * ours / product for ours, _, product in rates)
            owner, peak = peak_bytes(place)
            yield (
                f"{each.title}, {precision}: {rate:.0f} frames/s, {to_bare:.2f} × the bare loop, "
                f"{share:.0%} of a product's rate; peak of the {owner} {peak / 1e6:.0f} MB"
            )


def _subjects(device: torch.device, variant: Variant) -> Iterator[_Subject]:
    schedule, n_steps = get_schedule("cpu" if device.type == "cpu" else "gpu"), _STEPS[device.type]
    scratch, sr = (
        replace(phase, iterations=n_steps, check_every=n_steps, check_frames=_N_FOLD)
        for phase in (schedule.scratch, schedule.sr)
    )
    learn, fold = _faces(_N_FACES, device), _faces(_N_FOLD, device)

    def recognition(phase: Phase) -> Task:
        return Recognition(learn, fold, factors=(_FACTOR,), loss="mse", phase=phase, seed=0)

    def reconstruction(phase: Phase) -> Task:
        return Reconstruction(learn, fold, factor=_FACTOR, variant=variant, phase=phase, seed=0)

    yield _Subject("valence CNN", scratch, lambda: ValenceCNN(variant=variant), recognition, lambda net, x: net(x))
    yield _Subject("SR-FCN", sr, lambda: SRFCN(variant=variant), reconstruction, _reconstruct)


def _reconstruct(network: nn.Module, x: Tensor) -> Tensor:
    reconstructed: Tensor = network(x, is_normalised=True)
    return reconstructed


def _fitted(subject: _Subject, precision: Precision, device: torch.device) -> float:
    """Frames a second of the training loop, its looks at the fold excepted."""
    task = subject.task(subject.phase)
    state = fit(subject.build(), task, phase=subject.phase, seed=0, device=device, precision=precision)
    return state.history[0]["frames_per_second"]


def _bare(subject: _Subject, precision: Precision, device: torch.device) -> float:
    """Frames a second of forward pass, loss, backward pass and descent, on the same inputs again and again."""
    phase = subject.phase
    network = subject.build().to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    inputs = subject.inputs.to(device=device, memory_format=torch.channels_last)
    optimiser = torch.optim.SGD(
        network.parameters(), lr=phase.learning_rate, momentum=phase.momentum, weight_decay=phase.weight_decay
    )

    def descend() -> None:
        for _ in range(phase.iterations):
            optimiser.zero_grad()
            with arithmetic(precision, device):
                loss = subject.forward(network, inputs).float().square().mean()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        wait(device)

    return phase.iterations * phase.batch / seconds(descend)


def _faces(n: int, device: torch.device) -> Faces:
    """Noise with labels at random."""
    random = np.random.default_rng(0)
    names = np.array(["noise"] * n)
    return Faces(
        torch.from_numpy(random.integers(0, 256, (n, HR_SIDE, HR_SIDE), np.uint8)).to(device),
        torch.from_numpy(random.uniform(-1, 1, (n, 1)).astype(np.float32)).to(device),
        names,
        names,
        np.full(n, 25.0),
        ("noise",),
        "",
    )
