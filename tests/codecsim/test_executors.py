"""Executors: every task once, errors pass through, and a worker that dies does not take the others with it."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import spawn
from pathlib import Path

import pytest

from codecsim.errors import StoreError
from codecsim.executors import WorkerDied, _without_script, run
from tests.pipelines.command import environment


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


def test_a_script_without_a_guard_runs_once(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import codecsim\n"
        "report = codecsim.sweep('demo', out='sweep.h5', scales=[4], qp=[24, 30], workers=2)\n"
        "print(report.n_new, report.failures)\n"
    )
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, env=environment(), check=True, cwd=tmp_path
    )
    assert (done.stdout, done.stderr) == ("6 ()\n", "")


def test_what_a_guarded_script_defines_goes_to_workers(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from codecsim.executors import run\n"
        "class Number(int):\n"
        "    pass\n"
        "if __name__ == '__main__':\n"
        "    print(sorted(outcome for _, outcome in run(abs, [Number(-2), Number(1)], workers=2)))\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, env=environment(), check=True)
    assert (done.stdout, done.stderr) == ("[1, 2]\n", "")


def test_what_other_threads_start_knows_the_script(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None)
    monkeypatch.setattr(sys.modules["__main__"], "__file__", "/script.py", raising=False)
    known = spawn.get_preparation_data("one")
    assert any(name.startswith("init_main") for name in known)
    with _without_script():
        assert not any(name.startswith("init_main") for name in spawn.get_preparation_data("one"))
        with ThreadPoolExecutor(1) as executor:
            assert executor.submit(spawn.get_preparation_data, "one").result() == known
    assert spawn.get_preparation_data("one") == known
