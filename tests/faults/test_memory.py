"""Memory that is limited: sweeps of many people need hardly more than sweeps of one; where it ends, it is said."""

import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from codecsim import simulator
from codecsim.parts import parts_folder
from tests.clips import carphone_faces, write_corpus
from tests.faults.sweeps import finished, streams
from tests.pipelines.command import codecsim, counts, environment, refusal

_GRID = ("--scales", "3,4", "--qp", "24,30", "--methods", "none", "--no-plot", "--workers", "1")
_ROOM = 40 * 2**20
_COMMAND = """
import sys
from click.testing import CliRunner
from pipelines.cli import main
said = CliRunner().invoke(main, sys.argv[1:])
peak = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmPeak"))
print(said.exit_code, 1024 * int(peak))
"""


def run(corpus: Path, out: Path, *, limit: int = resource.RLIM_INFINITY) -> tuple[int, int]:
    """Exit status and peak of virtual memory, in bytes, of a sweep that may take so much of it."""
    done = subprocess.run(
        [sys.executable, "-c", _COMMAND, "sweep", str(corpus), "--out", str(out), *_GRID],
        capture_output=True,
        text=True,
        env=environment() | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )
    status, peak = map(int, done.stdout.split())
    return status, peak


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads memory from /proc")
def test_eight_people_fit_into_what_one_takes_and_little_more(tmp_path: Path) -> None:
    faces = carphone_faces()
    one = write_corpus(tmp_path / "one.h5", {"p0": faces})
    many = write_corpus(tmp_path / "many.h5", {f"p{n}": np.roll(faces, n, axis=2) for n in range(8)})
    status, peak = run(one, tmp_path / "one-sweep.h5")
    assert status == 0
    assert run(many, tmp_path / "many-sweep.h5", limit=peak + _ROOM)[0] == 0
    assert len(streams(tmp_path / "many-sweep.h5")) == 32


def test_no_memory_is_one_clear_error_and_costs_nothing(
    small_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, batch = tmp_path / "sweep.h5", simulator.run_batch
    begun = []

    def starved(*given: object, **also: object) -> object:
        begun.append(given)
        if len(begun) > 2:
            raise MemoryError("Unable to allocate 21.1 MiB")
        return batch(*given, **also)  # type: ignore[arg-type]

    monkeypatch.setattr(simulator, "run_batch", starved)
    said = refusal(codecsim("sweep", small_corpus, "--out", out, *_GRID))
    assert said == (
        "no memory is left (Unable to allocate 21.1 MiB). What was finished is kept: run the same command again with "
        "fewer --workers, or where there is more"
    )
    kept = finished(out)
    assert len(kept) == 4
    monkeypatch.undo()
    assert counts(codecsim("sweep", small_corpus, "--out", out, *_GRID, exit_code=0)) == (4, 4)
    assert not parts_folder(out).exists()
