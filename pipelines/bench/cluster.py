"""`codecsim bench cluster`: what handing jobs to a Dask cluster costs, with encoders that only sleep; and what merging
their parts costs."""

import logging
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from importlib.metadata import version
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import h5py

from codecsim.cluster import Batch, Work, run_on
from codecsim.codecs import EncoderSettings
from codecsim.corpus import Corpus, CorpusWriter
from codecsim.grid import expand
from codecsim.jobs import BatchResult, run_batch
from codecsim.sources.demo import unpack_demo
from codecsim.store.merge import merge
from pipelines.bench.timing import machine, seconds

_BATCH_SECONDS = 0.5
"""What a batch takes that encodes: `codecsim.grid.batches` makes them of about that length."""

_SLEEPERS = 1000
_A_WORKER = 20
_BATCHES_AT_ONCE = 4000
_PARTS = 200
_QPS = range(18, 41)


def run_cluster(*, rounds: int) -> Iterator[str]:
    """Measure the overhead of a job, and where scheduler and writer saturate; yield a line of result each."""
    from distributed import Client, LocalCluster

    yield f"machine: {machine()}, distributed {version('distributed')}"
    with TemporaryDirectory() as name:
        folder = Path(name)
        some = _jobs(folder / "demo.h5")
        for workers, threads in ((1, 1), (2, 1), (1, _SLEEPERS)):
            local: Any = LocalCluster(
                n_workers=workers,
                threads_per_worker=threads,
                processes=threads == 1,
                dashboard_address=None,
                silence_logs=logging.ERROR,
                **({} if threads == 1 else {"executor": _AtOnce()}),
            )
            with local as made, Client(made) as client:
                slots = workers * threads
                work = _sleep if threads == 1 else _return
                count = _A_WORKER * slots if threads == 1 else _BATCHES_AT_ONCE
                taken = [_taken(client, some, folder, count, work) for _ in range(rounds)]
            yield _told(slots, count, len(some), median(taken))
        yield _merged(folder, some, rounds)


class _AtOnce(Executor):
    """Stands for any number of threads whose work takes no time: a thousand that wait would be in each other's way."""

    def submit(self, function: Callable[..., Any], /, *given: Any, **more: Any) -> "Future[Any]":
        done: Future[Any] = Future()
        done.set_result(function(*given, **more))
        return done


def _told(slots: int, count: int, n_jobs: int, taken: float) -> str:
    jobs = count * n_jobs
    if slots < _SLEEPERS:
        overhead = (taken - count / slots * _BATCH_SECONDS) * slots / jobs
        return (
            f"{slots} workers, {count} batches of {n_jobs} jobs that sleep {_BATCH_SECONDS} s: "
            f"{1000 * overhead:.2f} ms overhead a job of a worker's time"
        )
    return (
        f"{slots} workers that return at once: {count / taken:.0f} batches a second, {jobs / taken:.0f} jobs; "
        f"so batches of {_BATCH_SECONDS} s keep up to {_BATCH_SECONDS * count / taken:.0f} workers busy"
    )


def _taken(client: Any, batch: Batch, folder: Path, count: int, work: Work) -> float:
    """Seconds until all of `count` batches came back."""

    def hand_out() -> None:
        for _ in run_on(lambda: client, (batch for _ in range(count)), folder, note=lambda said: None, work=work):
            pass

    return seconds(hand_out)


def _sleep(batch: Batch, folder: Path) -> BatchResult:
    time.sleep(_BATCH_SECONDS)
    return BatchResult(None, ())


def _return(batch: Batch, folder: Path) -> BatchResult:
    return BatchResult(None, ())


def _jobs(corpus: Path) -> Batch:
    """The jobs of one sequence at s = 3: QP 18 to 40."""
    with CorpusWriter(corpus) as writer:
        unpack_demo(writer)
    with Corpus(corpus) as opened:
        sequence = opened.sequences()[0]
    return tuple(expand([sequence], [EncoderSettings()], [3], _QPS))


def _merged(folder: Path, batch: Batch, rounds: int) -> str:
    """How fast parts become a file: copies of the part of one batch, each of another sequence."""
    part = run_batch(batch, folder).part
    assert part is not None
    attributes: dict[str, object] = {"grids": [], "versions": {}, "corpora": []}

    def merged() -> float:
        parts, out = folder / "parts", folder / "sweep.h5"
        out.unlink(missing_ok=True)
        parts.mkdir(exist_ok=True)
        for number in range(_PARTS):
            copy = parts / f"{number}.h5"
            shutil.copyfile(part, copy)
            with h5py.File(copy, "r+") as file:
                file["streams/sequence"][:] = f"{number:05d}".encode()
        return seconds(lambda: merge(out, parts, attributes))

    taken = median(merged() for _ in range(rounds))
    n_streams, size = _PARTS * len(batch), (folder / "sweep.h5").stat().st_size
    return (
        f"merging {_PARTS} parts of {len(batch)} streams: {n_streams / taken:.0f} streams a second, "
        f"{size / taken / 1e6:.1f} MB a second"
    )
