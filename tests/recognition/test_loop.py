"""The training loop: descent, and what goes astray."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from codecsim.errors import TrainingError, UsageError
from recognition import loop
from recognition.data import Faces
from recognition.devices import Precision
from recognition.loop import State, fit
from recognition.parallel import World
from recognition.schedules import Phase
from recognition.tasks import Batch, Recognition, Reconstruction
from tests.recognition.looping import CPU, FREE, NAN, Slope, Two, equal, moved, trained
from tests.recognition.small import SmallNetwork, phase

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
