"""A disk that is full, while parts are written, while they are merged, and while the corpus is: said, and nothing lost.

Once on a real full file system, where the tests may mount one, and everywhere with a limit on the size of files.
"""

import resource
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from codecsim.parts import parts_folder
from codecsim.store.merge import part_files
from codecsim.store.verify import verify
from tests.clips import carphone_faces, write_corpus
from tests.faults.sweeps import finished, names
from tests.pipelines.command import PROGRAM, Outcome, counts, environment, program, refusal

_ADVICE = (
    "what was finished before is kept. Free space or name a folder that you may write to, and run the same command "
    "again"
)
_GRID = ("--scales", "3,4", "--qp", "10-24:2", "--no-plot")
_N_JOBS = 2 * 2 * 8


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    faces = carphone_faces()
    return write_corpus(tmp_path_factory.mktemp("corpus") / "corpus.h5", {"anna": faces, "bo": faces[:, :, ::-1]})


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 400 kB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = shutil.which("mount")
    command = [str(mount), "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(disk)]
    if mount is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("may not mount a small file system here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def limited(n_bytes: int, *arguments: object) -> Outcome:
    """Run the command where no file can grow beyond `n_bytes`: a write then fails, as on a full disk."""
    done = subprocess.run(
        [*PROGRAM, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=environment(),
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, n_bytes)),
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_full_disk_while_parts_are_written(corpus: Path, tiny_disk: Path, workers: str) -> None:
    out = tiny_disk / "sweep.h5"
    (tiny_disk / "ballast").write_bytes(bytes(150_000))
    said = program("sweep", corpus, "--out", out, "--workers", workers, *_GRID, exit_code=1)
    assert refusal(said).startswith(f"cannot write {parts_folder(out)}/")
    assert refusal(said).endswith(f".h5: No space left on device; {_ADVICE}")
    assert names(tiny_disk) == ["ballast", "sweep.h5.parts"]
    assert not list(parts_folder(out).glob(".*"))
    kept = finished(out)
    assert 0 < len(kept) < _N_JOBS
    (tiny_disk / "ballast").unlink()
    subprocess.run(["mount", "-o", "remount,size=8m", str(tiny_disk)], check=True)
    again = program("sweep", corpus, "--out", out, *_GRID, exit_code=0)
    assert counts(again) == (_N_JOBS - len(kept), len(kept))
    assert verify(out) == []
    assert names(tiny_disk) == ["sweep.h5"]


def test_parts_that_cannot_be_written(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "sweep.h5"
    for workers in (1, 2):
        said = limited(30_000, "sweep", corpus, "--out", out, "--workers", workers, *_GRID)
        assert said.exit_code == 1
        assert refusal(said).startswith(f"cannot write {parts_folder(out)}/")
        assert refusal(said).endswith(f".h5: File too large; {_ADVICE}")
        assert not list(tmp_path.iterdir())


def test_an_out_that_cannot_be_merged(corpus: Path, tmp_path: Path) -> None:
    """All parts fit, OUT does not; then an OUT that is there cannot be added to, and stays as it was."""
    out = tmp_path / "sweep.h5"
    largest = 300_000
    for n_before, grid in ((0, _GRID), (_N_JOBS, (*_GRID[:2], "--qp", "11-25:2", "--no-plot"))):
        before = out.read_bytes() if n_before else None
        said = limited(largest, "sweep", corpus, "--out", out, *grid)
        assert said.exit_code == 1
        assert refusal(said) == f"cannot write {out}: File too large; {_ADVICE}"
        assert (out.read_bytes() if out.exists() else None) == before
        assert names(tmp_path) == ["sweep.h5", "sweep.h5.parts"][0 if n_before else 1 :]
        assert max(path.stat().st_size for path in part_files(parts_folder(out))) < largest
        assert len(finished(out)) == n_before + _N_JOBS
        again = program("sweep", corpus, "--out", out, *grid, exit_code=0)
        assert counts(again) == (0, _N_JOBS)
        assert names(tmp_path) == ["sweep.h5"]
    assert verify(out) == []


def test_a_disk_that_may_only_be_read_is_told_before_any_work(corpus: Path, tiny_disk: Path) -> None:
    out = tiny_disk / "sweep.h5"
    grid = ("--scales", "4", "--no-plot", "--qp")
    program("sweep", corpus, "--out", out, *grid, "30", exit_code=0)
    before = out.read_bytes()
    subprocess.run(["mount", "-o", "remount,ro", str(tiny_disk)], check=True)
    for path in (out, tiny_disk / "other.h5"):
        said = program("sweep", corpus, "--out", path, *grid, "30,40", exit_code=1)
        assert refusal(said) == f"cannot write beside {path}: Read-only file system; name another file with --out"
        assert names(tiny_disk) == ["sweep.h5"]
    assert out.read_bytes() == before
    assert verify(out) == []


def test_measures_that_cannot_be_stored(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "sweep.h5"
    grid = ("--scales", "3", "--qp", "20", "--no-plot")
    program("sweep", corpus, "--out", out, *grid, exit_code=0)
    before = out.read_bytes()
    said = limited(len(before) // 2, "sweep", corpus, "--out", out, *grid, "--quality", "li3ddct")
    assert said.exit_code == 1
    assert refusal(said) == f"cannot write {out}: File too large; {_ADVICE}"
    assert out.read_bytes() == before
    assert names(tmp_path) == ["sweep.h5"]


def test_a_corpus_a_stream_and_a_picture_that_cannot_be_written(corpus: Path, tmp_path: Path) -> None:
    swept = tmp_path / "sweep.h5"
    program("sweep", corpus, "--out", swept, "--scales", "3", "--qp", "10,20", "--no-plot", exit_code=0)
    for target, arguments in (
        ("corpus.h5", ("prepare", "video", "carphone", "--out")),
        ("out.y4m", ("extract", swept, "0")),
        ("out.png", ("plot", swept, "--out")),
    ):
        said = limited(4096, *arguments, tmp_path / target)
        assert said.exit_code == 1
        assert refusal(said) == f"cannot write {tmp_path / target}: File too large; {_ADVICE}"
        assert names(tmp_path) == ["sweep.h5"]
