"""The training loop: stochastic gradient descent, the plateau schedule, stopping, and taking up again.

A look at the held-out fold every so many steps decides everything: which weights are kept, when the rates drop, when it
ends. What was reached at a look can be saved, and training goes on from there to the same weights.
"""

import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

import torch
from torch import Tensor, nn

from codecsim.errors import TrainingError, UsageError
from recognition.devices import Precision, arithmetic, is_out_of_memory
from recognition.parallel import World
from recognition.schedules import Phase
from recognition.tasks import Batch, Task

Weights = dict[str, Tensor]
Row = dict[str, float]

_DROP = 10.0
_FEWEST_FRAMES = 1


@dataclass(frozen=True)
class Moment:
    """Where training stands at a look.

    Attributes
    ----------
    step, of : steps done, and to do at most
    loss : mean since the last look
    score : of the fold: CCC, or the gain in PSNR in dB
    frames_per_second : since the last look, the look excepted
    seconds_left : until the last step, if it comes to that
    """

    step: int
    of: int
    loss: float
    score: float
    frames_per_second: float
    seconds_left: float


@dataclass
class State:
    """All that training has reached at a look.

    Attributes
    ----------
    step : steps done
    best, waited, drops : the best score, looks since then or since the rates were divided, and how often that was
    done : whether it has ended
    network, best_network, momentum : weights now, the best ones, and the optimiser's velocities by parameter name
    history : a row a look
    """

    step: int = 0
    best: float = -math.inf
    waited: int = 0
    drops: int = 0
    done: bool = False
    network: Weights = field(default_factory=dict)
    best_network: Weights = field(default_factory=dict)
    momentum: Weights = field(default_factory=dict)
    history: list[Row] = field(default_factory=list)


class Keep(Protocol):
    """Saves a state; called after each look by the process that leads."""

    def __call__(self, state: State) -> None: ...


def fit(
    network: nn.Module,
    task: Task,
    *,
    phase: Phase,
    seed: int,
    started: Sequence[nn.Parameter] = (),
    device: torch.device,
    precision: Precision = "fp32",
    compiled: bool = False,
    world: World | None = None,
    state: State | None = None,
    keep: Keep | None = None,
    report: Callable[[Moment], None] | None = None,
) -> State:
    """Train `network` in place, and leave the best weights in it.

    Parameters
    ----------
    started : parameters that start from elsewhere and learn at `phase.started_learning_rate`
    compiled : through `torch.compile`
    state : to go on from

    Returns
    -------
    state : at the end

    Raises
    ------
    TrainingError
        If the loss or a weight is no number; it says at which step.
    UsageError
        If the device's memory does not hold a batch, and the batch can't be parted; if `state` is of another network.
    """
    world = world or World()
    state = state or State()
    if phase.batch < world.size:
        raise UsageError(f"batches of {phase.batch} frames, {world.size} processes: a frame for each is needed")
    network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = _optimiser(network, phase, started)
    if state.network:
        _take_up(network, state)
        _set_momentum(optimiser, network, state.momentum)
    _set_rates(optimiser, state.drops)
    forward: nn.Module = torch.compile(network) if compiled else network  # type: ignore[assignment]
    around = partial(arithmetic, precision, device)
    stepper = _Stepper(
        forward,
        task=task,
        optimiser=optimiser,
        parameters=[*network.parameters()],
        world=world,
        seed=seed,
        around=around,
    )
    while not state.done:
        first, last = state.step, min(state.step + phase.check_every, phase.iterations)
        begun = time.perf_counter()
        losses = _advance(stepper, network, range(first, last), world)
        seconds = time.perf_counter() - begun
        if not all(bool(torch.isfinite(each).all()) for each in network.parameters()):
            raise TrainingError(f"weights are no numbers after step {last}; {_advice(first)}")
        network.eval()
        with around():
            found = task.check(network)
        score = world.agree(found["score"], device)
        better, drops = score > state.best, state.drops
        _judge(state, score, last, phase)
        rate = (last - first) * phase.batch / seconds
        mean = sum(losses) / len(losses)
        state.history.append(
            {
                "step": last,
                "loss": mean,
                **found,
                "learning_rate": phase.learning_rate / _DROP**drops,
                "frames_per_second": round(rate, 1),
                "seconds": round(seconds, 2),
            }
        )
        _set_rates(optimiser, state.drops)
        state.network = _copied(network)
        state.momentum = _momentum(optimiser, network)
        if better or not state.best_network:
            state.best_network = state.network
        if report and world.leads:
            left = (phase.iterations - last) * phase.batch / rate
            report(Moment(last, phase.iterations, mean, score, rate, left))
        if keep and world.leads:
            keep(state)
    network.load_state_dict(state.best_network)
    network.eval()
    return state


class _Stepper:
    """One step of descent, in as many parts as the memory wants."""

    def __init__(
        self,
        forward: nn.Module,
        *,
        task: Task,
        optimiser: torch.optim.Optimizer,
        parameters: list[nn.Parameter],
        world: World,
        seed: int,
        around: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._around = around
        self._forward = forward
        self._task = task
        self._optimiser = optimiser
        self._parameters = parameters
        self._world = world
        self._seed = seed
        self._parts = 1

    def __call__(self, step: int) -> Tensor:
        """Take a step; returns this process' part of its loss, still on the device."""
        batch = self._task.batch(step)
        share = self._world.share(len(batch))
        own = batch.part(share)
        torch.manual_seed((self._seed * self._world.size + self._world.rank) * 1_000_003 + step)
        while True:
            self._optimiser.zero_grad(set_to_none=True)
            try:
                loss = self._gradients(own)
                break
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                self._part(len(own), error)
        self._world.add_gradients(self._parameters)
        self._optimiser.step()
        return loss

    def _gradients(self, own: Batch) -> Tensor:
        total: Tensor | None = None
        for rows in torch.arange(len(own)).chunk(self._parts):
            # Not around all steps: autocast keeps its copies of the weights until its context ends.
            with self._around():
                loss = self._task.loss(self._forward, own.part(slice(int(rows[0]), int(rows[-1]) + 1)))
            loss.backward()  # type: ignore[no-untyped-call]
            total = loss.detach() if total is None else total + loss.detach()
        assert total is not None
        return total

    def _part(self, n_frames: int, error: RuntimeError) -> None:
        """Halve what is computed at once; the sum over the parts is the same step."""
        if not self._task.divisible or n_frames // self._parts <= _FEWEST_FRAMES:
            raise UsageError(
                f"the device has no memory for {n_frames // self._parts} frames at once; "
                "set a smaller batch, a lower precision (bf16), or the loss mse, whose batches can be parted"
            ) from error
        self._parts *= 2
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _advance(stepper: _Stepper, network: nn.Module, steps: range, world: World) -> list[float]:
    """Take some steps; their losses are looked at together, since looking makes a device wait."""
    network.train()
    losses = world.total(torch.stack([stepper(step) for step in steps])).tolist()
    for step, loss in zip(steps, losses, strict=True):
        if not math.isfinite(loss):
            raise TrainingError(f"the loss is {loss} at step {step + 1}; {_advice(steps.start)}")
    return losses


def _advice(kept: int) -> str:
    return f"the checkpoint of step {kept} is kept. Lower the learning rate, or look at the labels"


def _take_up(network: nn.Module, state: State) -> None:
    try:
        network.load_state_dict(state.network)
    except RuntimeError as error:
        raise UsageError(
            f"training began with another network ({' '.join(str(error).split())}); --force begins again"
        ) from error


def _judge(state: State, score: float, step: int, phase: Phase) -> None:
    """Count a look: a better one, or one more without, which is waited for as long as nothing has been learnt."""
    state.step = step
    state.waited += state.best >= phase.learnt
    if score > state.best:
        state.best, state.waited = score, 0
    elif state.waited == phase.patience:
        state.drops += 1
        state.waited = 0
    state.done = step >= phase.iterations or state.drops > phase.drops


def _optimiser(network: nn.Module, phase: Phase, started: Sequence[nn.Parameter]) -> torch.optim.SGD:
    tuned = {id(each) for each in started}
    last = {id(each) for each in list(network.parameters())[-2:]}
    groups: dict[float, list[nn.Parameter]] = {}
    for name, each in network.named_parameters():
        rate = phase.started_learning_rate if id(each) in tuned else phase.learning_rate
        rate *= phase.bias_factor if name.endswith("bias") else 1
        rate *= phase.last_layer_factor if id(each) in last else 1
        groups.setdefault(rate, []).append(each)
    ordered = sorted(groups.items(), key=lambda item: -item[0])
    return torch.optim.SGD(
        [{"params": members, "lr": rate, "full_lr": rate} for rate, members in ordered],
        momentum=phase.momentum,
        weight_decay=phase.weight_decay,
    )


def _set_rates(optimiser: torch.optim.Optimizer, drops: int) -> None:
    for group in optimiser.param_groups:
        group["lr"] = group["full_lr"] / _DROP**drops


def _momentum(optimiser: torch.optim.Optimizer, network: nn.Module) -> Weights:
    held = {name: optimiser.state[each].get("momentum_buffer") for name, each in network.named_parameters()}
    return {name: each.detach().clone() for name, each in held.items() if each is not None}


def _set_momentum(optimiser: torch.optim.Optimizer, network: nn.Module, momentum: Weights) -> None:
    for name, each in network.named_parameters():
        if name in momentum:
            optimiser.state[each]["momentum_buffer"] = momentum[name].to(each.device).clone()


def _copied(network: nn.Module) -> Weights:
    return {name: each.detach().clone() for name, each in network.state_dict().items()}
