"""The `codecsim` command, run in this process or as a program of its own, and what it said."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from click.testing import CliRunner

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = [sys.executable, "-m", "pipelines.cli"]
DEFAULTS = {"CODECSIM_SWEEP_METHODS": "none"}
"""Sweeps of tests stop after encoding, unless they name methods."""


@dataclass(frozen=True)
class Outcome:
    """Exit code, and stdout and stderr apart."""

    exit_code: int
    stdout: str
    stderr: str


def codecsim(*arguments: object, exit_code: int | None = None) -> Outcome:
    """Run the command in this process. An exception other than an exit is passed on: it would be a traceback."""
    from pipelines.cli import main

    result = CliRunner().invoke(main, list(map(str, arguments)), prog_name="codecsim", env=DEFAULTS)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    outcome = Outcome(result.exit_code, result.stdout, result.stderr)
    _check(outcome, exit_code)
    return outcome


def program(*arguments: object, exit_code: int | None = None, timeout: float = 120) -> Outcome:
    """Run the command as a program."""
    done = subprocess.run(
        [*PROGRAM, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout,
        env=environment(),
        check=False,
    )
    outcome = Outcome(done.returncode, done.stdout, done.stderr)
    _check(outcome, exit_code)
    return outcome


def environment() -> dict[str, str]:
    """What a program of ours needs in order to be found, from any folder."""
    return {**os.environ, **DEFAULTS, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}


def counts(outcome: Outcome) -> tuple[int, int]:
    """(new, already there), as a sweep says them."""
    match = re.search(r"; (\d+) new, (\d+) already there", outcome.stdout)
    assert match, outcome
    return int(match[1]), int(match[2])


def refusal(outcome: Outcome) -> str:
    """The one message of a command that refused: nothing was said on stdout, and no traceback."""
    assert outcome.exit_code in (1, 2), outcome
    assert outcome.stdout == "", outcome
    assert "Traceback" not in outcome.stderr, outcome
    said, error, message = outcome.stderr.rpartition("Error: ")
    assert error, outcome
    assert not said or said.startswith("Usage: "), outcome
    assert message.endswith("\n"), outcome
    assert "\n" not in message[:-1], outcome
    return message[:-1]


def _check(outcome: Outcome, exit_code: int | None) -> None:
    assert "Traceback" not in outcome.stdout + outcome.stderr, outcome
    if exit_code is not None:
        assert outcome.exit_code == exit_code, outcome
