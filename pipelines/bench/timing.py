"""How benchmarks take time, and on what machine."""

import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import av


def interleaved(ours: Callable[[], object], other: Callable[[], object], rounds: int) -> tuple[float, float, float]:
    """Medians over rounds, after a warm-up of each: of the ratio ours / other, and of both times in seconds."""
    ours(), other()
    pairs = [(seconds(ours), seconds(other)) for _ in range(rounds)]
    own, others = zip(*pairs, strict=True)
    return statistics.median(a / b for a, b in pairs), statistics.median(own), statistics.median(others)


def seconds(function: Callable[[], object]) -> float:
    """Wall-clock time that one call takes."""
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def machine() -> str:
    """Processor and versions, for the first line of a report."""
    model = "unknown processor"
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), model)
    return f"{os.cpu_count()} cores, {model}; Python {sys.version.split()[0]}, PyAV {av.__version__}"
