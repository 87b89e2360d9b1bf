"""Executors: every task once, errors pass through, and a worker that dies does not take the others with it."""

import os
import signal
import sys
import weakref
from pathlib import Path

import pytest

from codecsim.errors import StoreError
from codecsim.executors import WorkerDied, run


def square(number: int) -> int:
    return number * number


def fail_at_three(number: int) -> int:
    if number == 3:
        raise StoreError("disk full")
    return number


def die_once(task: tuple[int, Path]) -> int:
    number, marker = task
    if number == 2 and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def always_die_at_two(number: int) -> int:
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


@pytest.mark.parametrize("workers", [1, 2])
def test_every_task_gives_its_outcome_once(workers: int) -> None:
    outcomes = dict(run(square, iter(range(20)), workers=workers))
    assert outcomes == {number: number * number for number in range(20)}


@pytest.mark.parametrize("workers", [1, 2])
def test_errors_pass_through(workers: int) -> None:
    with pytest.raises(StoreError, match="disk full"):
        list(run(fail_at_three, range(6), workers=workers))


def test_a_worker_that_dies_once_costs_nothing(tmp_path: Path) -> None:
    tasks = [(number, tmp_path / "died") for number in range(6)]
    outcomes = dict(run(die_once, tasks, workers=2))
    assert sorted(outcomes.values()) == list(range(6))


def test_a_task_that_kills_its_worker_twice_is_given_up_alone() -> None:
    outcomes = dict(run(always_die_at_two, range(5), workers=2))
    assert isinstance(outcomes.pop(2), WorkerDied)
    assert outcomes == {0: 0, 1: 1, 3: 3, 4: 4}


class Referred:
    """Something that a weak reference can point at."""


def interrupt_in_a_callback(number: int) -> int:
    """As Ctrl-C may strike: while a weak reference is told that its object is gone."""

    def gone(_: object) -> None:
        raise KeyboardInterrupt

    referred = Referred()
    reference = weakref.ref(referred, gone)
    del referred
    assert reference() is None
    return number


def fail_in_a_callback(number: int) -> int:
    def gone(_: object) -> None:
        raise ZeroDivisionError

    referred = Referred()
    reference = weakref.ref(referred, gone)
    del referred
    assert reference() is None
    return number


def test_an_interrupt_in_a_callback_ends_the_run_after_its_task(
    capsys: pytest.CaptureFixture[str],
) -> None:
    before, done = sys.unraisablehook, []
    with pytest.raises(KeyboardInterrupt):
        done += [outcome for _, outcome in run(interrupt_in_a_callback, range(3))]
    assert done == []
    assert sys.unraisablehook is before
    assert capsys.readouterr().err == ""


def test_other_errors_in_callbacks_are_reported_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    reported = []
    monkeypatch.setattr(sys, "unraisablehook", lambda lost: reported.append(lost.exc_type))
    assert dict(run(fail_in_a_callback, range(2))) == {0: 0, 1: 1}
    assert reported == [ZeroDivisionError] * 2
