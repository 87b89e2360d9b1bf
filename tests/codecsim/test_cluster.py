"""A sweep on a Dask cluster: the same bytes as here, whoever dies meanwhile."""

import gc
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest

import codecsim
from codecsim import cluster
from codecsim.cluster import Cluster, ClusterError
from codecsim.codecs import EncoderSettings
from codecsim.corpus import Corpus
from codecsim.errors import UsageError
from codecsim.executors import WorkerDied
from codecsim.grid import expand
from codecsim.jobs import BatchResult
from codecsim.parts import parts_folder
from codecsim.store.verify import verify
from tests.clips import carphone_faces, write_corpus
from tests.faults.sweeps import streams
from tests.pipelines.command import ROOT, refusal
from tests.pipelines.command import codecsim as command

dask = pytest.importorskip("dask", reason="needs codecsim[cluster]")
distributed = pytest.importorskip("distributed", reason="needs codecsim[cluster]")

GRID: dict[str, Any] = {"scales": [3, 4], "qp": [22, 26, 30, 34]}

pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")


@pytest.fixture(scope="module", autouse=True)
def _no_sockets_left() -> Iterator[None]:
    """Dask leaves the sockets of lost connections to the garbage collector, which would warn in the tests of others."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    faces = carphone_faces()
    shown = {f"person{number}": faces[number : number + 100] for number in range(6)}
    return write_corpus(tmp_path_factory.mktemp("corpus") / "corpus.h5", shown)


@pytest.fixture(scope="module")
def here(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], dict[str, object]]:
    """What the sweep makes without a cluster."""
    out = tmp_path_factory.mktemp("here") / "sweep.h5"
    codecsim.sweep(corpus, out=out, workers=1, **GRID)
    return streams(out)


@pytest.fixture(scope="module")
def threads() -> Iterator[str]:
    """A cluster of two workers in this process: their functions can be changed. Its address."""
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "120s"}),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None, silence_logs=logging.ERROR
        ) as made,
    ):
        yield made.scheduler_address


def test_a_cluster_that_is_started_here_makes_the_same_bytes(corpus: Path, here: Any, tmp_path: Path) -> None:
    out = tmp_path / "sweep.h5"
    said = command("sweep", corpus, "--out", out, "--qp", "22-34:4", "--executor", "dask", "--workers", 2, "--no-plot")
    assert said.exit_code == 0, said
    assert said.stderr == "Note: 2 workers see the files of this sweep\n"
    assert streams(out) == here
    assert verify(out) == []
    assert [path.name for path in tmp_path.iterdir()] == ["sweep.h5"]


def test_workers_that_do_not_see_the_files_are_sent_frames(
    corpus: Path, here: Any, threads: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "sweep.h5"

    def one_sees(token: Path, corpus: Path, size: int) -> bool:
        try:
            (tmp_path / "asked").touch(exist_ok=False)
        except FileExistsError:
            return False
        return sees(token, corpus, size)

    sees = cluster._sees
    monkeypatch.setattr(cluster, "_sees", one_sees)
    monkeypatch.setattr(cluster, "_run_here", None)
    report = codecsim.sweep(corpus, out=out, cluster=Cluster(threads), **GRID)
    assert report.notes == ("2 workers of which 1 see the files: frames are sent to all",)
    assert streams(out) == here


def test_frames_are_sent_once_a_sequence(
    corpus: Path, threads: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "_sees", lambda token, corpus, size: False)
    sent, scatter = [], distributed.Client.scatter

    def counted(self: Any, data: Any, **given: Any) -> Any:
        sent.append(data.shape)
        return scatter(self, data, **given)

    monkeypatch.setattr(distributed.Client, "scatter", counted)
    codecsim.sweep(corpus, out=tmp_path / "sweep.h5", cluster=Cluster(threads), **GRID)
    assert sent == [(100, 96, 96)] * 6


def test_what_is_there_is_not_handed_out(corpus: Path, here: Any, threads: str, tmp_path: Path) -> None:
    out = tmp_path / "sweep.h5"
    codecsim.sweep(corpus, out=out, workers=1, **GRID | {"qp": [22, 34]})
    report = codecsim.sweep(corpus, out=out, cluster=Cluster(threads), **GRID)
    assert (report.n_new, report.n_reused) == (24, 24)
    assert streams(out) == here
    again = codecsim.sweep(corpus, out=out, cluster=Cluster("tcp://nowhere:1"), **GRID)
    assert (again.n_new, again.notes) == (0, ())


@contextmanager
def running(*arguments: object) -> Iterator["subprocess.Popen[bytes]"]:
    """A program of Dask, ended by force."""
    process = subprocess.Popen(
        [sys.executable, "-m", "distributed.cli." + str(arguments[0]), *map(str, arguments[1:])],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(ROOT), "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "10s"},
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def scheduler(port: int) -> Any:
    return running("dask_scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard", "--no-show")


def worker(port: int, folder: Path) -> Any:
    options = ("--nthreads", 1, "--no-dashboard", "--no-nanny", "--local-directory", folder)
    return running("dask_worker", f"tcp://127.0.0.1:{port}", *options)


def after_parts(out: Path, number: int, action: Any) -> threading.Thread:
    """Do something as soon as so many parts lie beside `out`."""

    def watch() -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if len(list(parts_folder(out).glob("*.h5"))) >= number:
                action()
                return
            time.sleep(0.01)

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def test_a_worker_that_is_killed_costs_nothing(corpus: Path, here: Any, tmp_path: Path) -> None:
    port, out = free_port(), tmp_path / "sweep.h5"
    with scheduler(port), worker(port, tmp_path / "a") as first, worker(port, tmp_path / "b"):
        killer = after_parts(out, 2, lambda: os.killpg(first.pid, signal.SIGKILL))
        report = codecsim.sweep(corpus, out=out, cluster=Cluster(f"tcp://127.0.0.1:{port}"), **GRID)
        killer.join()
    assert first.returncode == -signal.SIGKILL
    assert report.failures == ()
    assert streams(out) == here


def test_a_scheduler_that_is_lost_is_waited_for(
    corpus: Path, here: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "_LOOK_SECONDS", 0.2)
    port, out = free_port(), tmp_path / "sweep.h5"
    with (
        scheduler(port) as first,
        worker(port, tmp_path / "a"),
    ):
        brought, n_brought = cluster._Run._brought, count(1)
        is_lost = threading.Event()

        def lost_after_two(self: Any, result: Any) -> Any:
            if next(n_brought) == 2:
                os.killpg(first.pid, signal.SIGKILL)
                first.wait()
                is_lost.set()
            return brought(self, result)

        monkeypatch.setattr(cluster._Run, "_brought", lost_after_two)
        reports: list[Any] = []

        def run() -> None:
            reports.append(codecsim.sweep(corpus, out=out, cluster=Cluster(f"tcp://127.0.0.1:{port}"), **GRID))

        sweeping = threading.Thread(target=run)
        sweeping.start()
        assert is_lost.wait(timeout=60)
        with scheduler(port), worker(port, tmp_path / "b"):
            sweeping.join(timeout=90)
            assert not sweeping.is_alive()
    (report,) = reports
    assert report.failures == ()
    assert any("the scheduler was lost" in note for note in report.notes)
    assert streams(out) == here


def test_a_job_that_kills_its_workers_is_reported_and_the_others_are_kept(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    died = WorkerDied("its worker died")

    def half(connect: Any, batches: Any, folder: Path, note: Any) -> Iterator[Any]:
        for number, batch in enumerate(batches):
            yield batch, died if number == 0 else cluster.run_batch(batch, folder)

    monkeypatch.setattr("codecsim.simulator.run_on", half)
    monkeypatch.setattr(Cluster, "connected", lambda self: nullcontext())
    report = codecsim.sweep(corpus, out=tmp_path / "sweep.h5", cluster=Cluster("x"), **GRID)
    assert {why for _, why in report.failures} == {"its worker died"}
    assert report.n_new == 48 - len(report.failures) > 0


def test_workers_with_another_encoder_are_refused(
    corpus: Path, threads: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = cluster._check_versions
    monkeypatch.setattr(cluster, "_check_versions", lambda versions: check(dict.fromkeys(versions, "another build")))
    with pytest.raises(ClusterError, match=r"a worker has .* for x264, the sweep another build: their bits may differ"):
        codecsim.sweep(corpus, out=tmp_path / "sweep.h5", cluster=Cluster(threads), **GRID)


def test_no_scheduler_and_no_dask_are_told(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "_LOOK_SECONDS", 0.02)
    out, where = tmp_path / "sweep.h5", f"tcp://127.0.0.1:{free_port()}"
    said = refusal(command("sweep", corpus, "--out", out, "--scheduler", where))
    assert said.startswith(f"scheduler {where}: ")
    monkeypatch.setattr(cluster, "find_spec", lambda name: None)
    assert refusal(command("sweep", corpus, "--out", out, "--executor", "dask")) == (
        "this needs Dask: pip install 'codecsim[cluster]'"
    )
    with pytest.raises(UsageError):
        Cluster()


def test_a_cluster_without_workers_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, corpus: Path) -> None:
    monkeypatch.setattr(cluster, "_WAIT_SECONDS", 0.2)
    port = free_port()
    with scheduler(port), pytest.raises(ClusterError, match="has no worker, and none came within 0 s"):
        codecsim.sweep(corpus, out=tmp_path / "sweep.h5", cluster=Cluster(f"tcp://127.0.0.1:{port}"), **GRID)


class _Future:
    """A future that is done, one way or another."""

    def __init__(self, status: str) -> None:
        self.status = status

    def add_done_callback(self, told: Any) -> None:
        told(self)

    def result(self) -> BatchResult:
        return BatchResult(None, ())


class _Client:
    """A client whose scheduler loses the first batch that it is given."""

    def __init__(self, lost: str) -> None:
        self.lost = lost
        self.given: list[Any] = []

    def nthreads(self) -> dict[str, int]:
        return {"worker": 1}

    def run(self, *_: Any) -> dict[str, bool]:
        return {"worker": True}

    def submit(self, function: Any, work: Any, batch: Any, *_: Any, **__: Any) -> _Future:
        self.given.append(batch)
        return _Future(self.lost if len(self.given) == 1 else "finished")

    def cancel(self, futures: Any) -> None:
        assert not futures

    def close(self, timeout: float) -> None:
        self.given.append("closed")


@pytest.mark.parametrize(("lost", "n_given"), [("lost", 3), ("cancelled", 5)])
def test_a_batch_that_the_scheduler_lost_is_handed_out_again(
    lost: str, n_given: int, corpus: Path, tmp_path: Path
) -> None:
    """One result that is lost is made again; what is cancelled was lost with the scheduler, and all else with it."""
    with Corpus(corpus) as opened:
        jobs = expand(opened.sequences()[:2], [EncoderSettings()], [4], [30])
    client = _Client(lost)
    outcomes = list(cluster.run_on(lambda: client, [(job,) for job in jobs], tmp_path, note=lambda said: None))
    assert sorted(str(batch[0]) for batch, _ in outcomes) == sorted(map(str, jobs))
    assert len(client.given) == n_given


def test_a_batch_that_could_not_be_handed_out_is_not_lost(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Corpus(corpus) as opened:
        jobs = expand(opened.sequences()[:2], [EncoderSettings()], [4], [30])
    client, submit, n_asked = _Client("finished"), _Client.submit, count(1)

    def once_refused(self: Any, *given: Any, **more: Any) -> Any:
        if next(n_asked) == 1:
            raise distributed.comm.core.CommClosedError("gone")
        return submit(self, *given, **more)

    monkeypatch.setattr(_Client, "submit", once_refused)
    outcomes = list(cluster.run_on(lambda: client, [(job,) for job in jobs], tmp_path, note=lambda said: None))
    assert sorted(str(batch[0]) for batch, _ in outcomes) == sorted(map(str, jobs))
