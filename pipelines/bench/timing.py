"""How benchmarks take time, and on what machine."""

import os
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import av

Measured = TypeVar("Measured")


def interleaved(ours: Callable[[], object], other: Callable[[], object], rounds: int) -> tuple[float, float, float]:
    """Medians over rounds, after a warm-up of each: of the ratio ours / other, and of both times in seconds."""
    taken = alternated(rounds, partial(seconds, ours), partial(seconds, other))
    own, others = zip(*taken, strict=True)
    return statistics.median(a / b for a, b in taken), statistics.median(own), statistics.median(others)


def alternated(rounds: int, *measures: Callable[[], Measured]) -> list[tuple[Measured, ...]]:
    """What each measure gives in every round, after a warm-up of each: shape=(rounds, measures)."""
    return [tuple(measure() for measure in measures) for _ in range(rounds + 1)][1:]


def seconds(function: Callable[[], object]) -> float:
    """Wall-clock time that one call takes."""
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


class Spent(NamedTuple):
    """What a call took, in seconds: by the clock, and of the processor, all threads and ended children included."""

    wall: float
    processor: float


def spent(function: Callable[[], object]) -> Spent:
    """What one call takes."""
    before = sum(os.times()[:4])
    wall = seconds(function)
    return Spent(wall, sum(os.times()[:4]) - before)


def machine() -> str:
    """Processor and versions, for the first line of a report."""
    model = "unknown processor"
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), model)
    return f"{os.cpu_count()} cores, {model}; Python {sys.version.split()[0]}, PyAV {av.__version__}"
