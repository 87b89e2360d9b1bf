"""Executors: every task once, errors pass through, and a worker that dies does not take the others with it."""

import os
import signal
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
