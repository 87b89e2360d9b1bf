"""Sweeps as processes of their own, to be disturbed, and what they leave."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from codecsim import open_sweep
from codecsim.parts import parts_folder
from codecsim.store.merge import part_files
from tests.pipelines.command import PROGRAM, Outcome, environment

GRID = ("--scales", "3,4", "--qp", "20-34:2", "--no-plot")
N_JOBS_A_SEQUENCE = 2 * 8

Streams = dict[tuple[str, str], dict[str, object]]
"""(sequence, key) → every column of the stream but its time, and its bytes and packets."""


@contextmanager
def started(*arguments: object, program: Sequence[str] = PROGRAM) -> Iterator[subprocess.Popen[str]]:
    """A `codecsim` process at the head of its own process group; the group is killed at the end."""
    process = subprocess.Popen(
        [*program, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        start_new_session=True,
    )
    try:
        yield process
    finally:
        signal_group(process, signal.SIGKILL)
        process.communicate()


def signal_group(process: subprocess.Popen[str], number: signal.Signals) -> None:
    """Send a signal to a process and its children, as a terminal does."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def ended(process: subprocess.Popen[str], timeout: float = 60) -> Outcome:
    """Wait for the end of a process and of everything that writes to its stdout and stderr."""
    stdout, stderr = process.communicate(timeout=timeout)
    return Outcome(process.returncode, stdout, stderr)


def wait_for(happened: Callable[[], object], what: str, timeout: float = 30, every: float = 0.002) -> None:
    """Look until something has happened; fail where it does not."""
    deadline = time.monotonic() + timeout
    while not happened():
        assert time.monotonic() < deadline, f"{what}: not within {timeout} s"
        time.sleep(every)


def workers_of(process: subprocess.Popen[str]) -> list[int]:
    """Worker processes of a sweep: those of its group that multiprocessing spawned to work."""
    return _others(process, "multiprocessing-fork")


def decoders_of(process: subprocess.Popen[str]) -> list[int]:
    """Processes of its group that decode for a process."""
    return _others(process, "_process import serve")


def n_parts(out: Path) -> int:
    """Parts that lie beside `out` at this moment; the process that writes them may be running."""
    try:
        return sum(name.endswith(".h5") and name[0] != "." for name in os.listdir(parts_folder(out)))
    except FileNotFoundError:
        return 0


def finished(out: Path) -> set[tuple[str, str]]:
    """Jobs that OUT and its parts hold; every file that stands there must open."""
    jobs: set[tuple[str, str]] = set()
    for path in [out, *part_files(parts_folder(out))]:
        if path.exists():
            with open_sweep(path) as sweep:
                jobs |= set(zip(sweep.column("sequence").tolist(), sweep.column("key").tolist(), strict=True))
    return jobs


def streams(out: Path) -> Streams:
    """All that a sweep says of its streams, and what they are; but not how long the encoder took."""
    found: Streams = {}
    with open_sweep(out) as sweep:
        for row in range(len(sweep)):
            said = {name: str(values[row]) for name, values in sweep.streams.items() if name != "encode_seconds"}
            held = {"bitstream": sweep.bitstream(row), "packets": str(sweep.packet_table(row))}
            found[said["sequence"], said["key"]] = said | held
    return found


def names(folder: Path) -> list[str]:
    """Everything that lies in a folder, hidden files too."""
    return sorted(path.name for path in folder.iterdir())


def _others(process: subprocess.Popen[str], mark: str) -> list[int]:
    return [pid for pid, command in _group(process.pid).items() if pid != process.pid and mark in command]


def _group(leader: int) -> dict[int, str]:
    found = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            fields: Sequence[str] = (folder / "stat").read_text().rpartition(")")[2].split()
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if int(fields[2]) == leader and fields[0] != "Z":
            found[int(folder.name)] = command
    return found
