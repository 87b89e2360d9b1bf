"""The training loop looks at what is held out: when rates drop, what is kept, and that it goes on from there."""

from copy import deepcopy
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from codecsim.errors import UsageError
from recognition import loop
from recognition.data import Faces
from recognition.devices import Precision
from recognition.loop import Moment, State, fit
from tests.recognition.looping import CPU, FREE, NAN, Slope, Two, equal, moved, recognition, trained
from tests.recognition.small import SmallNetwork, phase

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
