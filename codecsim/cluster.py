"""Sweeps past one machine: batches of jobs as tasks of a Dask cluster, one that is there or one that is started here.

A job is a few hundred bytes: it names its frames, and its worker reads them, where workers see the same files as the
sweep; else frames are sent to them, once a sequence, and parts come back as bytes. A worker that dies costs the batches
that it had in hand, which others do again; when the scheduler is lost, the sweep waits for it, and hands out again what
had not come back. A batch that was done twice is kept once: its part has the name of its jobs.
"""

import contextlib
import logging
import math
import queue
import secrets
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from codecsim.atomic import replacing
from codecsim.encode import encoder_version
from codecsim.errors import CodecsimError, UsageError
from codecsim.executors import WorkerDied, available_cores
from codecsim.grid import Job
from codecsim.jobs import BatchResult, Frames, keep_frames, read_frames, run_batch

Batch = tuple[Job, ...]
Outcome = BatchResult | WorkerDied
Work = Callable[[Batch, Path], BatchResult]
"""What is done to a batch, and leaves a part in a folder; importable by name on the workers."""

_IN_HAND = 3
"""Batches handed out for every thread of the cluster: one that is run, one that is there next, one under way."""

_WAIT_SECONDS = 600.0
_LOOK_SECONDS = 1.0


class ClusterError(CodecsimError, OSError):
    """A scheduler that does not answer, or workers that cannot do what they are asked to."""


@dataclass(frozen=True)
class Cluster:
    """Where a sweep runs.

    Attributes
    ----------
    scheduler : address, ``tcp://HOST:8786``, or path of a scheduler file; "" for a cluster that is started here
    workers : processes of a cluster that is started here; None for one a core

    Raises
    ------
    UsageError
        If Dask is not installed.
    """

    scheduler: str = ""
    workers: int | None = None

    def __post_init__(self) -> None:
        if find_spec("distributed") is None:
            raise UsageError("this needs Dask: pip install 'codecsim[cluster]'")

    @contextlib.contextmanager
    def connected(self) -> Iterator[Callable[[], Any]]:
        """Yield what gives a client of the cluster, a new one whenever it is called.

        Raises
        ------
        ClusterError
            If no scheduler answers.
        """
        from distributed import Client, LocalCluster

        with contextlib.ExitStack() as stack:
            if self.scheduler:
                is_file = Path(self.scheduler).is_file()
                where = {"scheduler_file": self.scheduler} if is_file else {"address": self.scheduler}
            else:
                workers = self.workers or available_cores()
                cluster = LocalCluster(
                    n_workers=workers, threads_per_worker=1, dashboard_address=None, silence_logs=logging.ERROR
                )
                where = {"address": stack.enter_context(cluster)}

            def connect() -> Any:
                try:
                    return stack.enter_context(Client(**where, timeout=f"{_LOOK_SECONDS * 30}s"))
                except (OSError, TimeoutError, ValueError) as error:
                    raise ClusterError(f"scheduler {self.scheduler}: {error or type(error).__name__}") from error

            yield connect


def run_on(
    connect: Callable[[], Any],
    batches: Iterable[Batch],
    folder: Path,
    *,
    note: Callable[[str], None],
    work: Work = run_batch,
) -> Iterator[tuple[Batch, Outcome]]:
    """Run batches on a cluster, and yield each with what became of it; its part lies in `folder` then.

    Parameters
    ----------
    connect : gives a client, as `Cluster.connected` yields it
    folder : of the parts
    note : told in a sentence how frames get to the workers, and when the scheduler was lost
    work : what is done to a batch

    Raises
    ------
    ClusterError
        If no worker comes, or the scheduler is lost and does not come back.
    """
    yield from _Run(connect, folder, note, work).outcomes(iter(batches))


@dataclass(frozen=True)
class _Away:
    """What comes back of a batch that was run where nobody sees `folder`: the part's name and bytes."""

    name: str
    data: bytes
    failures: tuple[tuple[str, str], ...]


class _Run:
    """One sweep on a cluster."""

    def __init__(self, connect: Callable[[], Any], folder: Path, note: Callable[[str], None], work: Work) -> None:
        self._connect = connect
        self._work = work
        self._folder = folder.resolve()
        self._note = note
        self._client = connect()
        self._handed: dict[Any, Batch] = {}
        self._done: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._n_threads, self._counted = 0, -math.inf
        self._frames: dict[str, Any] = {}
        self._resolved: dict[Path, Path] = {}
        self._shared: bool | None = None

    def outcomes(self, waiting: Iterator[Batch]) -> Iterator[tuple[Batch, Outcome]]:
        again: list[Batch] = []
        try:
            while True:
                try:
                    self._hand_out(again, waiting)
                    if not self._handed:
                        return
                    finished = self._finished()
                except _lost() as error:
                    again += self._handed.values()
                    self._reconnect(error)
                    continue
                for batch, outcome in finished:
                    if outcome is None:
                        again.append(batch)
                    else:
                        yield batch, outcome
        finally:
            with contextlib.suppress(Exception):
                self._client.cancel(list(self._handed))

    def _hand_out(self, again: list[Batch], waiting: Iterator[Batch]) -> None:
        """Give the cluster as many batches as it can hold in hand."""
        if time.monotonic() - self._counted >= _LOOK_SECONDS:
            self._n_threads = sum(self._client.nthreads().values())
            if not self._n_threads:
                self._wait_for_a_worker()
                self._n_threads = 1
            self._counted = time.monotonic()
        while len(self._handed) < _IN_HAND * self._n_threads:
            if not again:
                if (batch := next(waiting, None)) is None:
                    return
                again.append(batch)
            if self._shared is None:
                self._shared = self._see_the_same_files(again[-1])
            future = self._submit(again[-1])
            self._handed[future] = again.pop()
            future.add_done_callback(self._done.put)

    def _wait_for_a_worker(self) -> None:
        try:
            self._client.wait_for_workers(1, timeout=_WAIT_SECONDS)
        except TimeoutError as error:
            raise ClusterError(f"the cluster has no worker, and none came within {_WAIT_SECONDS:.0f} s") from error

    def _submit(self, batch: Batch) -> Any:
        corpus = batch[0].sequence.corpus
        if corpus not in self._resolved:
            self._resolved[corpus] = corpus.resolve()
        sequence = replace(batch[0].sequence, corpus=self._resolved[corpus])  # the jobs of a batch share it
        here = tuple(replace(job, sequence=sequence) for job in batch)
        versions = {job.settings.codec: encoder_version(job.settings.codec) for job in batch}
        given = {"key": f"codecsim-{secrets.token_hex(8)}", "pure": False}
        if self._shared:
            return self._client.submit(_run_here, self._work, here, self._folder, versions, **given)
        if sequence.digest not in self._frames:
            self._frames.clear()
            frames = read_frames(sequence.corpus, sequence.name, sequence.digest)
            self._frames[sequence.digest] = self._client.scatter(frames, hash=False)
        return self._client.submit(_run_away, self._work, here, self._frames[sequence.digest], versions, **given)

    def _see_the_same_files(self, batch: Batch) -> bool:
        """Whether all workers that are there read the corpus and the folder of parts where they are here."""
        token, corpus = self._folder / f".{secrets.token_hex(8)}.tmp", batch[0].sequence.corpus.resolve()
        token.write_text(token.name, encoding="ascii")
        try:
            seen = self._client.run(_sees, token, corpus, corpus.stat().st_size)
        finally:
            token.unlink()
        number = sum(seen.values())
        shared = bool(number == len(seen))
        how = "see the files of this sweep" if shared else f"of which {number} see the files: frames are sent to all"
        self._note(f"{len(seen)} workers {how}")
        return shared

    def _finished(self) -> list[tuple[Batch, Outcome | None]]:
        """Batches that came back since; None for one that is to be done again."""
        from distributed.scheduler import KilledWorker

        done = []
        with contextlib.suppress(queue.Empty):
            done.append(self._done.get(timeout=_LOOK_SECONDS))
            while True:
                done.append(self._done.get_nowait())
        done = [future for future in done if future in self._handed]  # the others were lost with a scheduler
        if any(future.status == "cancelled" for future in done):
            raise ConnectionError("no connection")
        found: list[tuple[Batch, Outcome | None]] = []
        for future in done:
            if future.status == "finished":
                outcome: Outcome | None = self._brought(future.result())
            elif future.status == "error" and isinstance(error := future.exception(), KilledWorker):
                outcome = WorkerDied(f"its worker died, again and again ({error})")
            elif future.status == "error":
                raise error
            else:
                outcome = None
            found.append((self._handed.pop(future), outcome))
        return found

    def _brought(self, result: BatchResult | _Away) -> BatchResult:
        """A result, after its part was put into the folder."""
        if isinstance(result, BatchResult):
            return result
        part = self._folder / result.name
        if not result.data:
            return BatchResult(None, result.failures)
        with replacing(part) as temporary:
            temporary.write_bytes(result.data)
        return BatchResult(part, result.failures)

    def _reconnect(self, error: BaseException) -> None:
        self._note(f"the scheduler was lost ({error or type(error).__name__}); waiting for it")
        self._handed.clear()
        self._frames.clear()
        self._counted = -math.inf
        deadline = time.monotonic() + _WAIT_SECONDS
        with contextlib.suppress(Exception):
            self._client.close(timeout=_LOOK_SECONDS)
        while True:
            try:
                self._client = self._connect()
            except ClusterError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_LOOK_SECONDS)
            else:
                return


def _lost() -> tuple[type[BaseException], ...]:
    """What Dask raises when the scheduler is gone."""
    from distributed import CancelledError
    from distributed.comm.core import CommClosedError

    return CancelledError, CommClosedError, ConnectionError, TimeoutError


def _sees(token: Path, corpus: Path, size: int) -> bool:
    try:
        return token.read_text(encoding="ascii") == token.name and corpus.stat().st_size == size
    except OSError:
        return False


def _check_versions(versions: dict[str, str]) -> None:
    for codec, wanted in versions.items():
        if (found := encoder_version(codec)) != wanted:
            raise ClusterError(
                f"a worker has {found} for {codec}, the sweep {wanted}: their bits may differ; install the same PyAV"
            )


def _run_here(work: Work, batch: Batch, folder: Path, versions: dict[str, str]) -> BatchResult:
    """On a worker that sees the files of the sweep."""
    _check_versions(versions)
    return work(batch, folder)


def _run_away(work: Work, batch: Batch, frames: Frames, versions: dict[str, str]) -> _Away:
    """On a worker that sees none of them."""
    _check_versions(versions)
    sequence = batch[0].sequence
    keep_frames(sequence.corpus, sequence.name, sequence.digest, frames)
    with tempfile.TemporaryDirectory() as folder:
        result = work(batch, Path(folder))
        if result.part is None:
            return _Away("", b"", result.failures)
        return _Away(result.part.name, result.part.read_bytes(), result.failures)
