"""How much memory a program and all its processes take at most."""

import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path

CAN_WATCH = Path("/proc/self/smaps_rollup").exists()


def watched(command: Sequence[str]) -> tuple[int, dict[str, int]]:
    """Run a program; returns its exit status and the peaks of its memory in bytes.

    ``rss`` is what its processes hold together; ``pss`` counts pages that they share once.
    """
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    peaks = {"rss": 0, "pss": 0}
    stop = threading.Event()
    watcher = threading.Thread(target=_watch, args=(process.pid, peaks, stop))
    watcher.start()
    status = process.wait()
    stop.set()
    watcher.join()
    return status, peaks


def _watch(process: int, peaks: dict[str, int], stop: threading.Event) -> None:
    """Sum the memory of a process and its descendants every 50 ms, and keep the largest sums, in bytes."""
    while not stop.wait(0.05):
        sums = {"rss": 0, "pss": 0}
        for member in _family(process):
            try:
                lines = Path(f"/proc/{member}/smaps_rollup").read_text(encoding="ascii").splitlines()
            except OSError:
                continue
            for line in lines:
                name, _, rest = line.partition(":")
                if name.lower() in sums:
                    sums[name.lower()] += int(rest.split()[0]) * 1024
        for name, value in sums.items():
            peaks[name] = max(peaks[name], value)


def _family(process: int) -> list[int]:
    members = [process]
    for member in members:
        for children in Path(f"/proc/{member}/task").glob("*/children"):
            try:
                members += map(int, children.read_text(encoding="ascii").split())
            except OSError:
                continue
    return members
