"""How much memory a program and all its processes take at most."""

import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

CAN_WATCH = Path("/proc/self/smaps_rollup").exists()


@dataclass(frozen=True)
class Memory:
    """What a program and all its processes held, in bytes.

    Attributes
    ----------
    rss, pss : at most; ``pss`` counts pages that they share once
    median_pss : at half of the moments: a peak is where stages fall together by chance, and this is not
    """

    rss: float
    pss: float
    median_pss: float


def watched(command: Sequence[str]) -> tuple[int, Memory]:
    """Run a program; returns its exit status, and its memory as it was every 50 ms."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    sums: dict[str, list[int]] = {"rss": [0], "pss": [0]}
    stop = threading.Event()
    watcher = threading.Thread(target=_watch, args=(process.pid, sums, stop))
    watcher.start()
    status = process.wait()
    stop.set()
    watcher.join()
    return status, Memory(max(sums["rss"]), max(sums["pss"]), median(sums["pss"]))


def _watch(process: int, sums: dict[str, list[int]], stop: threading.Event) -> None:
    """Sum the memory of a process and its descendants every 50 ms."""
    while not stop.wait(0.05):
        now = dict.fromkeys(sums, 0)
        for member in _family(process):
            try:
                lines = Path(f"/proc/{member}/smaps_rollup").read_text(encoding="ascii").splitlines()
            except OSError:
                continue
            for line in lines:
                name, _, rest = line.partition(":")
                if name.lower() in now:
                    now[name.lower()] += int(rest.split()[0]) * 1024
        for name, value in now.items():
            sums[name].append(value)


def _family(process: int) -> list[int]:
    members = [process]
    for member in members:
        for children in Path(f"/proc/{member}/task").glob("*/children"):
            try:
                members += map(int, children.read_text(encoding="ascii").split())
            except OSError:
                continue
    return members
