"""Sweeps that are killed, interrupted, doubled or robbed of a worker: what was finished stays, and the end is the same.

Processes are killed with SIGKILL, workers and all, at moments drawn from a fixed seed and counted in parts, and in
shares of the time that an undisturbed sweep takes here.
"""

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from codecsim import open_sweep
from codecsim.codecs import EncoderSettings
from codecsim.corpus import Corpus
from codecsim.grid import batches, expand
from codecsim.jobs import run_batch
from codecsim.parts import parts_folder
from codecsim.store.merge import part_files
from codecsim.store.verify import verify
from tests.clips import carphone_faces, write_corpus
from tests.faults.sweeps import (
    GRID,
    N_JOBS_A_SEQUENCE,
    Streams,
    ended,
    finished,
    n_parts,
    names,
    signal_group,
    started,
    streams,
    wait_for,
    workers_of,
)
from tests.pipelines.command import codecsim, counts, program, refusal

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="watches processes through /proc")

_SEQUENCES = 4
_N_JOBS = _SEQUENCES * N_JOBS_A_SEQUENCE
_N_PARTS = _SEQUENCES * 2  # batches of 8 jobs, each of 50 frames
_KILLS = int(os.environ.get("CODECSIM_TEST_KILLS", "6"))
_INTERRUPTED = "Interrupted. What was finished is kept; the same command takes up where it stopped.\n"
_ENDING = "\nEnding after what is in hand; Ctrl-C once more ends at once.\n"


@dataclass(frozen=True)
class Undisturbed:
    """A sweep that nothing happened to."""

    corpus: Path
    streams: Streams
    seconds: float


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    folder = tmp_path_factory.mktemp("undisturbed")
    faces = carphone_faces()[:50]
    mirrored = [faces, faces[:, :, ::-1], faces[:, ::-1], faces[:, ::-1, ::-1]]
    corpus = write_corpus(folder / "corpus.h5", {f"person{index}": each for index, each in enumerate(mirrored)})
    begun = time.monotonic()
    said = program("sweep", corpus, "--out", folder / "sweep.h5", "--workers", "1", *GRID, exit_code=0)
    assert counts(said) == (_N_JOBS, 0)
    seconds = time.monotonic() - begun
    assert verify(folder / "sweep.h5") == []
    return Undisturbed(corpus, streams(folder / "sweep.h5"), seconds)


def write_parts(corpus: Path, out: Path) -> list[Path]:
    """Leave what a sweep leaves that was killed just before it merged its parts."""
    with Corpus(corpus) as opened:
        jobs = expand(opened.sequences(), [EncoderSettings()], [3, 4], range(20, 35, 2))
    folder = parts_folder(out)
    folder.mkdir(parents=True)
    (folder / "lock").write_text("1")
    for batch in batches(jobs):
        run_batch(batch, folder)
    return part_files(folder)


@pytest.fixture(scope="module")
def parts(undisturbed: Undisturbed, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """All parts of the sweep, by name."""
    out = tmp_path_factory.mktemp("parts") / "sweep.h5"
    return {path.name: path.read_bytes() for path in write_parts(undisturbed.corpus, out)}


def lay_out(parts: dict[str, bytes], out: Path, n: int | None = None) -> list[Path]:
    """Put parts beside `out`, as a sweep leaves them that was killed."""
    folder = parts_folder(out)
    folder.mkdir(parents=True)
    (folder / "lock").write_text("1")
    for name, content in list(parts.items())[:n]:
        (folder / name).write_bytes(content)
    return part_files(folder)


@pytest.mark.parametrize("workers", [1, 2])
def test_kills_at_random_moments(undisturbed: Undisturbed, tmp_path: Path, workers: int) -> None:
    """Killed sweeps are taken up, and killed again, until one gets through; then another file is begun."""
    moments = random.Random(20260707 + workers)
    n_kills = n_kept = completed = 0
    out = tmp_path / "0.h5"
    while n_kills < _KILLS // 2 or finished(out):
        before = finished(out)
        with started("sweep", undisturbed.corpus, "--workers", workers, "--out", out, *GRID) as process:
            if n_kills < _KILLS // 2 and runs_until(moments, process, out, undisturbed.seconds):
                signal_group(process, signal.SIGKILL)
                process.wait()
                n_kills += 1
                kept = finished(out)
                assert before <= kept
                n_kept += len(kept - before)
                continue
            said = ended(process)
        assert (said.exit_code, said.stderr) == (0, "")
        assert counts(said) == (_N_JOBS - len(before), len(before))
        assert streams(out) == undisturbed.streams
        assert set(names(tmp_path)) == {f"{number}.h5" for number in range(completed + 1)}
        completed += 1
        out = tmp_path / f"{completed}.h5"
    print(f"{n_kills} kills, after which {n_kept} jobs were kept; {completed} sweeps got through")
    assert n_kills == _KILLS // 2
    assert n_kept > 0
    assert completed > 0
    assert verify(tmp_path / "0.h5") == []


def runs_until(moments: random.Random, process: subprocess.Popen[str], out: Path, seconds: float) -> bool:
    """Wait for a random moment, some time after the start or after some parts more; False where the end came first."""
    n_more, share = moments.randrange(3), moments.random()
    if n_more:
        wanted = n_parts(out) + n_more
        wait_for(lambda: process.poll() is not None or n_parts(out) >= wanted, "parts")
    try:
        process.wait(share * (seconds / _N_PARTS if n_more else seconds / 2))
    except subprocess.TimeoutExpired:
        return True
    return False


def test_kills_while_parts_are_merged(undisturbed: Undisturbed, parts: dict[str, bytes], tmp_path: Path) -> None:
    """The moment is when the temporary file of OUT appears; from the second kill on there is an OUT to lose, too."""
    out, n_caught = tmp_path / "sweep.h5", 0
    (tmp_path / "corpus.h5").hardlink_to(undisturbed.corpus)
    for attempt in range(12):
        lay_out(parts, out)
        with started("sweep", tmp_path / "corpus.h5", "--out", out, *GRID) as process:
            wait_for(
                lambda process=process: process.poll() is not None or list(tmp_path.glob(".sweep.h5.*.tmp")),
                "the merge",
                every=0,
            )
            signal_group(process, signal.SIGKILL)
            process.wait()
        n_caught += bool(list(tmp_path.glob(".sweep.h5.*.tmp")))
        assert len(finished(out)) == _N_JOBS
        said = codecsim("sweep", tmp_path / "corpus.h5", "--out", out, *GRID, exit_code=0)
        assert counts(said) == (0, _N_JOBS)
        assert streams(out) == undisturbed.streams
        assert names(tmp_path) == ["corpus.h5", "sweep.h5"]
        if n_caught == 2:
            break
        assert attempt < 11, "the merge was never caught"
    assert verify(out) == []


def test_a_worker_that_is_killed_costs_nothing(undisturbed: Undisturbed, tmp_path: Path) -> None:
    out = tmp_path / "sweep.h5"
    with started("sweep", undisturbed.corpus, "--out", out, "--workers", "2", *GRID) as process:
        wait_for(lambda: n_parts(out), "the first part")
        os.kill(workers_of(process)[0], signal.SIGKILL)
        said = ended(process)
    assert (said.exit_code, said.stderr) == (0, "")
    assert counts(said) == (_N_JOBS, 0)
    assert streams(out) == undisturbed.streams
    assert names(tmp_path) == ["sweep.h5"]


def test_workers_do_not_outlive_a_sweep_that_is_killed_alone(undisturbed: Undisturbed, tmp_path: Path) -> None:
    out = tmp_path / "sweep.h5"
    with started("sweep", undisturbed.corpus, "--out", out, "--workers", "2", *GRID) as process:
        wait_for(lambda: n_parts(out), "the first part")
        assert len(workers_of(process)) == 2
        process.kill()
        process.wait()
        wait_for(lambda: not workers_of(process), "the end of the workers", timeout=5)
        kept = finished(out)
    said = codecsim("sweep", undisturbed.corpus, "--out", out, *GRID, exit_code=0)
    assert counts(said) == (_N_JOBS - len(kept), len(kept))
    assert streams(out) == undisturbed.streams
    assert names(tmp_path) == ["sweep.h5"]


@pytest.mark.parametrize("workers", [1, 2])
def test_an_interrupt_ends_after_the_jobs_in_hand_and_merges(
    undisturbed: Undisturbed, tmp_path: Path, workers: int
) -> None:
    out = tmp_path / "sweep.h5"
    with started("sweep", undisturbed.corpus, "--out", out, "--workers", workers, *GRID) as process:
        wait_for(lambda: n_parts(out) >= 1, "a part")
        signal_group(process, signal.SIGINT)
        said = ended(process, timeout=20)
        assert workers_of(process) == []
    assert (said.exit_code, said.stdout, said.stderr) == (130, "", _ENDING + _INTERRUPTED)
    assert names(tmp_path) == ["sweep.h5"]
    kept = streams(out)
    assert N_JOBS_A_SEQUENCE // 2 <= len(kept) < _N_JOBS
    assert kept.items() <= undisturbed.streams.items()
    again = codecsim("sweep", undisturbed.corpus, "--out", out, *GRID, exit_code=0)
    assert counts(again) == (_N_JOBS - len(kept), len(kept))
    assert streams(out) == undisturbed.streams


def interrupted_twice(corpus: Path, out: Path, workers: int) -> int:
    """Interrupt a sweep, and once more while it ends; returns how many parts there were before.

    On a machine that holds this process back for as long as a batch takes, the second signal comes too late, and the
    sweep has merged as after one: then another is begun.
    """
    for _ in range(5):
        with started("sweep", corpus, "--out", out, "--workers", workers, *GRID) as process:
            wait_for(lambda: n_parts(out) >= 2, "two parts")
            n_before = n_parts(out)
            signal_group(process, signal.SIGINT)
            time.sleep(0.02)  # signals that come together are delivered as one
            signal_group(process, signal.SIGINT)
            said = ended(process, timeout=5)
            assert workers_of(process) == []
        assert (said.exit_code, said.stdout, said.stderr) == (130, "", _ENDING + _INTERRUPTED)
        if not out.exists():
            return n_before
        out.unlink()
    raise AssertionError("of five sweeps, each had ended before the second signal came")


@pytest.mark.parametrize("workers", [1, 2])
def test_a_second_interrupt_ends_at_once_and_keeps_what_is_finished(
    undisturbed: Undisturbed, tmp_path: Path, workers: int
) -> None:
    out = tmp_path / "sweep.h5"
    n_before = interrupted_twice(undisturbed.corpus, out, workers)
    assert not list(parts_folder(out).glob(".*"))
    kept = finished(out)
    assert len(kept) >= n_before * N_JOBS_A_SEQUENCE // 2
    assert len(kept) < _N_JOBS
    again = codecsim("sweep", undisturbed.corpus, "--out", out, *GRID, exit_code=0)
    assert counts(again) == (_N_JOBS - len(kept), len(kept))
    assert streams(out) == undisturbed.streams
    assert names(tmp_path) == ["sweep.h5"]


def test_an_interrupt_is_for_the_sweep_and_not_for_its_workers(undisturbed: Undisturbed, tmp_path: Path) -> None:
    """A terminal sends it to them too; they would fill it with tracebacks."""
    out = tmp_path / "sweep.h5"
    with started("sweep", undisturbed.corpus, "--out", out, "--workers", "2", *GRID) as process:
        wait_for(lambda: len(workers_of(process)) == 2, "two workers")
        while process.poll() is None and n_parts(out) < 3:
            for worker in workers_of(process):
                with suppress(ProcessLookupError):
                    os.kill(worker, signal.SIGINT)
            time.sleep(0.02)
        said = ended(process)
    assert (said.exit_code, said.stderr) == (0, "")
    assert counts(said) == (_N_JOBS, 0)
    assert streams(out) == undisturbed.streams


def test_two_sweeps_do_not_write_one_file(undisturbed: Undisturbed, tmp_path: Path) -> None:
    out = tmp_path / "sweep.h5"
    with started("sweep", undisturbed.corpus, "--out", out, "--workers", "1", *GRID) as process:
        wait_for(lambda: n_parts(out), "the first part")
        second = codecsim("sweep", undisturbed.corpus, "--out", out, *GRID, exit_code=1)
        assert refusal(second) == (
            f"{out} is being written by process {process.pid}; wait for it, or name another --out"
        )
        said = ended(process)
    assert (said.exit_code, said.stderr) == (0, "")
    assert counts(said) == (_N_JOBS, 0)
    assert streams(out) == undisturbed.streams
    assert names(tmp_path) == ["sweep.h5"]


def test_unreadable_parts_are_set_aside(undisturbed: Undisturbed, parts: dict[str, bytes], tmp_path: Path) -> None:
    out = tmp_path / "sweep.h5"
    laid = lay_out(parts, out, 5)
    os.truncate(laid[0], laid[0].stat().st_size // 2)
    laid[1].write_bytes(b"")
    content = bytearray(laid[2].read_bytes())
    with open_sweep(laid[2]) as part:
        content[content.index(part.bitstream(0)) + 40] ^= 1
    laid[2].write_bytes(content)
    said = codecsim("sweep", undisturbed.corpus, "--out", out, *GRID, exit_code=0)
    n_kept = 2 * N_JOBS_A_SEQUENCE // 2
    assert counts(said) == (_N_JOBS - n_kept, n_kept)
    aside = [path.with_suffix(".damaged") for path in laid[:3]]
    assert sorted(said.stderr.splitlines()) == sorted(
        f"Note: {path} could not be read and was set aside; its jobs are done again" for path in aside
    )
    assert streams(out) == undisturbed.streams
    assert names(parts_folder(out)) == sorted(["lock", *(path.name for path in aside)])
    again = codecsim("sweep", undisturbed.corpus, "--out", out, *GRID, exit_code=0)
    assert (counts(again), again.stderr) == ((0, _N_JOBS), "")


def test_a_clock_that_was_changed_costs_nothing(
    undisturbed: Undisturbed, parts: dict[str, bytes], tmp_path: Path
) -> None:
    """Files of the year 2100, and of 1971, are as good as those of today."""
    out = tmp_path / "sweep.h5"
    moments = [4_102_444_800, 31_536_000]
    for index, path in enumerate(lay_out(parts, out, _N_PARTS - 2)):
        os.utime(path, (moments[index % 2],) * 2)
    os.utime(parts_folder(out) / "lock", (moments[0],) * 2)
    said = codecsim("sweep", undisturbed.corpus, "--out", out, *GRID, exit_code=0)
    n_new = 2 * N_JOBS_A_SEQUENCE // 2
    assert counts(said) == (n_new, _N_JOBS - n_new)
    assert streams(out) == undisturbed.streams
    os.utime(out, (moments[1],) * 2)
    assert counts(codecsim("sweep", undisturbed.corpus, "--out", out, *GRID, exit_code=0)) == (0, _N_JOBS)


def test_leftovers_of_dead_processes_are_removed(
    undisturbed: Undisturbed, parts: dict[str, bytes], tmp_path: Path
) -> None:
    out = tmp_path / "sweep.h5"
    lay_out(parts, out)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    (tmp_path / f".sweep.h5.{dead.pid}.tmp").write_bytes(b"half")
    (tmp_path / f".sweep.h5.{os.getpid()}.tmp").write_bytes(b"somebody lives who writes this")
    (tmp_path / f".other.h5.{dead.pid}.tmp").write_bytes(b"of another file")
    (parts_folder(out) / f".abc.h5.{dead.pid}.tmp").write_bytes(b"half")
    # The lock is held: whoever wrote this lost the right to, though a process has its number again.
    (parts_folder(out) / f".abc.h5.{os.getpid()}.tmp").write_bytes(b"half")
    said = program("sweep", undisturbed.corpus, "--out", out, *GRID, exit_code=0)
    assert counts(said) == (0, _N_JOBS)
    assert names(tmp_path) == sorted([f".other.h5.{dead.pid}.tmp", f".sweep.h5.{os.getpid()}.tmp", "sweep.h5"])


def test_an_interrupted_program_does_not_wait_for_threads() -> None:
    """Python would: for ever, where one waits for what another one held when it was taken for ended."""
    code = (
        "import threading, time; from pipelines import cli; cli.main = lambda: exit(130); "
        "threading.Thread(target=time.sleep, args=(600,)).start(); print('told'); cli.run()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "told\n", "")
