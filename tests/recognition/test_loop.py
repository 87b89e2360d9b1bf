"""The training loop: descent, the plateau schedule, taking up again, and what goes astray."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from codecsim.errors import TrainingError, UsageError
from recognition import loop
from recognition.data import Faces, hold_out, load_faces
from recognition.devices import Precision
from recognition.loop import Moment, State, fit
from recognition.parallel import World
from recognition.schedules import Phase
from recognition.tasks import Batch, Recognition, Reconstruction
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


@pytest.fixture(scope="module")
def parts(corpus: Path) -> tuple[Faces, Faces]:
    return hold_out(load_faces(corpus, split="train", labels=("valence",), device=CPU))


def recognition(parts: tuple[Faces, Faces], chosen: Phase, **changes: Any) -> Recognition:
    return Recognition(*parts, **{"factors": (3,), "loss": "mse", "phase": chosen, "seed": 0, **changes})


def trained(parts: tuple[Faces, Faces], chosen: Phase, **changes: Any) -> tuple[State, SmallNetwork]:
    """The small network after a training from the same start."""
    torch.manual_seed(1)
    network = SmallNetwork(1)
    return fit(network, recognition(parts, chosen), phase=chosen, seed=0, device=CPU, **changes), network


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


# Descent -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_few_faces_are_learnt_by_heart(parts: tuple[Faces, Faces], precision: Precision) -> None:
    chosen = phase(iterations=150, batch=16, check_every=10, learning_rate=0.03)
    state, _ = trained((parts[0], parts[0]), chosen, precision=precision)
    losses = [row["loss"] for row in state.history]
    assert losses[-1] < 0.2 * losses[0]
    assert losses[-1] < losses[len(losses) // 2] < losses[0]
    assert state.best > 0.8


def test_steps_are_those_of_descent_with_momentum_and_decay() -> None:
    network, chosen = Two(), phase(iterations=3, check_every=3, learning_rate=0.1, momentum=0.5, weight_decay=0.2)
    fit(network, Slope(), phase=chosen, seed=0, device=CPU)
    at, velocity = 0.0, 0.0
    for _ in range(3):
        velocity = 0.5 * velocity + (1 + 0.2 * at)
        at -= 0.1 * velocity
    assert network.where() == pytest.approx(dict.fromkeys(network.where(), at), abs=1e-6)


def test_layers_learn_at_their_own_rates() -> None:
    network = Two()
    chosen = replace(
        FREE, iterations=1, learning_rate=0.1, started_learning_rate=0.02, bias_factor=2, last_layer_factor=0.25
    )
    fit(network, Slope(), phase=chosen, seed=0, started=list(network.first.parameters()), device=CPU)
    assert network.where() == pytest.approx(
        {"first.weight": -0.02, "first.bias": -0.04, "last.weight": -0.025, "last.bias": -0.05}
    )


def test_what_needs_no_gradient_stays() -> None:
    network = Two()
    network.first.requires_grad_(False)
    state = fit(network, Slope(), phase=FREE, seed=0, device=CPU)
    where = network.where()
    assert (where["first.weight"], where["first.bias"]) == (0, 0)
    assert where["last.weight"] < 0
    assert set(state.network) == set(where)


def test_learning_is_in_training_mode_and_looking_is_not() -> None:
    modes: list[tuple[str, bool]] = []

    class Watched(Slope):
        def loss(self, network: nn.Module, batch: Batch) -> Tensor:
            modes.append(("loss", network.training))
            return super().loss(network, batch)

        def check(self, network: nn.Module) -> dict[str, float]:
            modes.append(("look", network.training))
            return super().check(network)

    network = Two()
    fit(network, Watched(), phase=phase(iterations=4), seed=0, device=CPU)
    assert modes == [("loss", True), ("loss", True), ("look", False)] * 2
    assert not network.training


@pytest.mark.parametrize(("precision", "is_low"), [("fp32", False), ("bf16", True)])
def test_learning_and_looking_are_in_the_precision_asked_for(precision: Precision, is_low: bool) -> None:
    seen: list[bool] = []

    class Watched(Slope):
        def loss(self, network: nn.Module, batch: Batch) -> Tensor:
            seen.append(torch.is_autocast_enabled("cpu"))
            return super().loss(network, batch)

        def check(self, network: nn.Module) -> dict[str, float]:
            seen.append(torch.is_autocast_enabled("cpu"))
            return super().check(network)

    fit(Two(), Watched(), phase=phase(iterations=2), seed=0, device=CPU, precision=precision)
    assert seen == [is_low] * 3
    assert not torch.is_autocast_enabled("cpu")


def test_what_is_dropped_depends_on_seed_and_step_alone() -> None:
    drawn: list[list[float]] = []

    class Drawing(Slope):
        def loss(self, network: nn.Module, batch: Batch) -> Tensor:
            drawn[-1].append(float(torch.rand(())))
            return super().loss(network, batch)

    for seed, before in ((3, 0), (3, 1), (4, 0)):
        drawn.append([])
        torch.manual_seed(before)
        fit(Two(), Drawing(), phase=phase(iterations=4), seed=seed, device=CPU)
    assert drawn[0] == drawn[1]
    assert len({*drawn[0], *drawn[2]}) == 8


# Looks ---------------------------------------------------------------------------------------------------------------


def test_rates_drop_after_looks_without_a_better_one_and_another_drop_ends_it() -> None:
    chosen = replace(FREE, iterations=100, check_every=1, patience=2, drops=2, learning_rate=1.0)
    network, task = Two(), Slope([1.0, 0.5, 0.5, 0.6, 0.5, 0.9, 1.0])
    state = fit(network, task, phase=chosen, seed=0, device=CPU)
    rates = [row["learning_rate"] for row in state.history]
    assert rates == pytest.approx([1, 1, 1, 0.1, 0.1, 0.01, 0.01])
    assert task.steps == list(range(7))
    assert (state.step, state.drops, state.done, state.best) == (7, 3, True, 1.0)
    assert float(state.network["first.weight"]) == pytest.approx(-3.22, abs=1e-6)
    assert moved(network) == pytest.approx(1)


def test_a_better_look_is_waited_for_anew() -> None:
    chosen = replace(FREE, iterations=8, check_every=1, patience=2, learning_rate=1.0)
    network = Two()
    state = fit(network, Slope([1, 0, 2, 0, 3, 0, 0, 4]), phase=chosen, seed=0, device=CPU)
    assert [row["learning_rate"] for row in state.history] == pytest.approx([1, 1, 1, 1, 1, 1, 1, 0.1])
    assert (state.best, state.drops, state.waited) == (4, 1, 0)
    assert moved(network) == pytest.approx(7.1)


def test_no_rate_drops_before_anything_is_learnt() -> None:
    """A network that tells everybody the same, as at coarse factors for long, has nothing to refine yet."""
    chosen = replace(FREE, iterations=9, check_every=1, patience=2, learnt=0.05, learning_rate=1.0)
    state = fit(Two(), Slope([0.04, 0, 0, 0, 0.049, 0.05, 0.02, 0, 0]), phase=chosen, seed=0, device=CPU)
    assert [row["learning_rate"] for row in state.history] == pytest.approx([1] * 8 + [0.1])
    assert (state.best, state.drops, state.waited) == (0.05, 1, 1)


@pytest.mark.parametrize(
    "few", [{"iterations": 0}, {"batch": 0}, {"check_every": 0}, {"patience": 0}, {"check_frames": 1}]
)
def test_a_schedule_without_steps_or_looks_is_refused(few: dict[str, int]) -> None:
    with pytest.raises(UsageError, match=r"a schedule needs 1 iteration, .* and look to wait, and 2 frames"):
        replace(FREE, **few)


def test_the_last_look_comes_at_the_last_step() -> None:
    chosen = replace(FREE, iterations=5, check_every=2)
    state = fit(Two(), Slope(), phase=chosen, seed=0, device=CPU)
    assert [row["step"] for row in state.history] == [2, 4, 5]
    assert state.done


def test_a_score_that_is_no_number_is_no_better_one() -> None:
    chosen = replace(FREE, iterations=4, check_every=1, learning_rate=1.0)
    network = Two()
    state = fit(network, Slope([NAN, 0.2, NAN, 0.1]), phase=chosen, seed=0, device=CPU)
    assert (state.best, moved(network)) == (0.2, 2)
    network = Two()
    state = fit(network, Slope([NAN] * 4), phase=chosen, seed=0, device=CPU)
    assert (state.waited, moved(network)) == (0, 1)


def test_a_row_tells_of_its_look_and_of_the_steps_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter(range(0, 100, 4))
    monkeypatch.setattr(loop, "time", SimpleNamespace(perf_counter=lambda: next(ticks)))
    chosen = replace(FREE, iterations=4, learning_rate=0.5)
    moments: list[Moment] = []
    state = fit(Two(), Slope([0.3, 0.4], float), phase=chosen, seed=0, device=CPU, report=moments.append)
    first, second = state.history
    assert (first["step"], first["loss"], first["score"], first["learning_rate"]) == (2, 0.5, 0.3, 0.5)
    assert (second["step"], second["loss"], second["score"]) == (4, 2.5, 0.4)
    assert [(each.step, each.of, each.loss, each.score) for each in moments] == [(2, 4, 0.5, 0.3), (4, 4, 2.5, 0.4)]
    assert [(row["seconds"], row["frames_per_second"]) for row in state.history] == [(4, 2)] * 2
    assert [(each.frames_per_second, each.seconds_left) for each in moments] == [(2, 4), (2, 0)]


# Taking up again -----------------------------------------------------------------------------------------------------


def untimed(state: State) -> list[dict[str, float]]:
    """The history without what a clock says."""
    return [
        {name: value for name, value in row.items() if name not in ("seconds", "frames_per_second")}
        for row in state.history
    ]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_training_goes_on_from_any_look_to_the_same_bits(parts: tuple[Faces, Faces], precision: Precision) -> None:
    chosen = phase(iterations=12, learning_rate=0.1, patience=1)
    kept: list[State] = []
    whole, network = trained(parts, chosen, precision=precision, keep=lambda state: kept.append(deepcopy(state)))
    assert whole.drops
    assert [each.step for each in kept] == [row["step"] for row in whole.history]
    for state in kept:
        torch.manual_seed(99)
        other = SmallNetwork(1)
        done = fit(
            other,
            recognition(parts, chosen),
            phase=chosen,
            seed=0,
            device=CPU,
            precision=precision,
            state=deepcopy(state),
        )
        assert equal(other.state_dict(), network.state_dict())
        assert equal(done.network, whole.network)
        assert untimed(done) == untimed(whole)


def test_what_is_kept_holds_the_weights_of_its_look() -> None:
    seen: list[float] = []
    chosen = replace(FREE, iterations=6, learning_rate=1.0)
    states: list[State] = []
    fit(
        Two(),
        Slope([3, 2, 1]),
        phase=chosen,
        seed=0,
        device=CPU,
        keep=lambda state: (states.append(replace(state)), seen.append(float(state.network["first.weight"]))),
    )
    assert seen == [-2, -4, -6]
    assert [float(each.network["first.weight"]) for each in states] == [-2, -4, -6]
    assert [float(each.best_network["first.weight"]) for each in states] == [-2, -2, -2]


def test_what_is_kept_is_not_moved_by_the_steps_after_it() -> None:
    chosen = replace(FREE, iterations=4, learning_rate=1.0, momentum=0.5)
    states: list[State] = []
    fit(Two(), Slope(), phase=chosen, seed=0, device=CPU, keep=lambda state: states.append(replace(state)))
    assert [float(each.momentum["first.weight"]) for each in states] == [1.5, 1.875]
    assert [float(each.network["first.weight"]) for each in states] == [-2.5, -6.125]


# What goes astray ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [NAN, float("inf")])
def test_a_loss_that_is_no_number_ends_training_at_its_step_and_what_was_kept_stays(value: float) -> None:
    kept: list[State] = []
    task = Slope(losses=lambda step: value if step == 4 else 1.0)
    with pytest.raises(TrainingError, match=r"at step 5; the checkpoint of step 4 is kept\. Lower the learning rate"):
        fit(Two(), task, phase=FREE, seed=0, device=CPU, keep=lambda state: kept.append(replace(state)))
    assert [state.step for state in kept] == [2, 4]


def test_weights_that_are_no_numbers_are_not_looked_at_or_kept() -> None:
    chosen = replace(FREE, check_every=1, learning_rate=float("inf"))
    kept: list[State] = []
    with pytest.raises(TrainingError, match=r"weights are no numbers after step 1; the checkpoint of step 0 is kept\."):
        fit(Two(), Slope(), phase=chosen, seed=0, device=CPU, keep=kept.append)
    assert kept == []


def no_memory() -> torch.OutOfMemoryError:
    return torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


class Narrow(Recognition):
    """A task on a device that holds so many frames at once."""

    room = 2
    error: Callable[[], RuntimeError] = staticmethod(no_memory)

    def __init__(self, *parts: Faces, **settings: Any) -> None:
        super().__init__(*parts, **settings)
        self.sizes: list[int] = []

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        self.sizes.append(len(batch))
        if len(batch) > self.room:
            raise self.error()
        return super().loss(network, batch)


def narrow(parts: tuple[Faces, Faces], chosen: Phase, **changes: Any) -> Narrow:
    return Narrow(*parts, **{"factors": (3,), "loss": "mse", "phase": chosen, "seed": 0, **changes})


@pytest.mark.parametrize(
    "error", [no_memory, lambda: RuntimeError("DefaultCPUAllocator: can't allocate memory")], ids=["GPU", "CPU"]
)
def test_a_batch_too_large_for_the_memory_is_parted_into_the_same_step(
    parts: tuple[Faces, Faces], monkeypatch: pytest.MonkeyPatch, error: Callable[[], RuntimeError]
) -> None:
    monkeypatch.setattr(Narrow, "error", staticmethod(error))
    chosen = phase(iterations=3, batch=7, check_every=3, learning_rate=0.1)
    whole, expected = trained(parts, chosen)
    task = narrow(parts, chosen)
    torch.manual_seed(1)
    network = SmallNetwork(1)
    state = fit(network, task, phase=chosen, seed=0, device=CPU)
    assert task.sizes == [7, 4, 2, 2, 2, 1, 2, 2, 2, 1, 2, 2, 2, 1]
    for name, value in network.state_dict().items():
        # Sums of a few float32 gradients in another order.
        torch.testing.assert_close(value, expected.state_dict()[name], rtol=1e-5, atol=1e-7)
    assert state.history[0]["loss"] == pytest.approx(whole.history[0]["loss"], rel=1e-5)


def test_gradients_of_parts_that_were_given_up_do_not_count() -> None:
    class LateRefusal(Slope):
        n_calls = 0

        def loss(self, network: nn.Module, batch: Batch) -> Tensor:
            self.n_calls += 1
            if self.n_calls in (1, 3):
                raise no_memory()
            return super().loss(network, batch)

    network, task = Two(), LateRefusal()
    fit(network, task, phase=replace(FREE, iterations=1, learning_rate=1.0), seed=0, device=CPU)
    assert task.n_calls == 7
    assert moved(network) == pytest.approx(1)


def test_a_loss_that_cannot_be_parted_says_what_to_do_instead(parts: tuple[Faces, Faces]) -> None:
    chosen = phase(batch=8)
    task = narrow(parts, chosen, loss="ccc")
    with pytest.raises(UsageError, match=r"no memory for 8 frames at once; set a smaller batch, .* or the loss mse"):
        fit(SmallNetwork(1), task, phase=chosen, seed=0, device=CPU)
    assert task.sizes == [8]


def test_a_memory_that_holds_no_frame_is_refused(parts: tuple[Faces, Faces], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Narrow, "room", 0)
    task = narrow(parts, phase())
    with pytest.raises(UsageError, match="no memory for 1 frames at once"):
        fit(SmallNetwork(1), task, phase=phase(), seed=0, device=CPU)
    assert task.sizes == [4, 2, 1]


def test_other_errors_pass_through(parts: tuple[Faces, Faces], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Narrow, "error", staticmethod(lambda: RuntimeError("a bug")))
    task = narrow(parts, phase())
    with pytest.raises(RuntimeError, match=r"^a bug$"):
        fit(SmallNetwork(1), task, phase=phase(), seed=0, device=CPU)
    assert task.sizes == [4]


def test_fewer_frames_than_processes_are_refused() -> None:
    with pytest.raises(UsageError, match="batches of 4 frames, 5 processes: a frame for each is needed"):
        fit(Two(), Slope(), phase=phase(), seed=0, device=CPU, world=World(0, 5))


# Compiled ------------------------------------------------------------------------------------------------------------


def test_sr_fcn_and_cnn_train_compiled(parts: tuple[Faces, Faces], monkeypatch: pytest.MonkeyPatch) -> None:
    """By the tracer alone: what a C++ compiler makes of it is not the loop's affair."""
    from recognition.networks import SRFCN

    n_graphs = 0

    def traced(graph: torch.fx.GraphModule, _: list[Tensor]) -> Callable[..., Any]:
        nonlocal n_graphs
        n_graphs += 1
        return graph.forward

    monkeypatch.setattr(loop.torch, "compile", partial(torch.compile, backend=traced))
    chosen = phase(iterations=2, batch=2, patch=20, check_frames=2)
    sr, plain = SRFCN(variant="paper"), SRFCN(variant="paper")
    plain.load_state_dict(sr.state_dict())
    for network, compiled in ((sr, True), (plain, False)):
        task = Reconstruction(*parts, factor=4, variant="paper", phase=chosen, seed=0)
        task.check = lambda _: {"score": 0.0}  # type: ignore[method-assign]
        fit(network, task, phase=chosen, seed=0, device=CPU, compiled=compiled)
    assert n_graphs == 1
    for name, value in sr.state_dict().items():
        torch.testing.assert_close(value, plain.state_dict()[name], rtol=1e-5, atol=1e-7)
    _, small = trained(parts, phase(), compiled=True)
    assert equal(small.state_dict(), trained(parts, phase())[1].state_dict())
    assert n_graphs == 2
