"""Files appear whole or not at all: on errors, kills, full disks and folders that cannot be written."""

import contextlib
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

from codecsim import atomic, hdf5
from codecsim.atomic import replacing, sweep_leftovers
from codecsim.errors import SourceError, StoreError, UsageError
from codecsim.hdf5 import replacing_hdf5

DEAD = 2**22 + 1  # above the highest process id of Linux


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "file.h5"
    path.write_bytes(b"as it was")
    return path


def assert_untouched(path: Path) -> None:
    assert path.read_bytes() == b"as it was"
    assert os.listdir(path.parent) == [path.name]


@contextlib.contextmanager
def largest_file(n_bytes: int) -> Iterator[None]:
    """Writing past `n_bytes` fails, as on a full disk; needs no mount and no rights. CPython ignores SIGXFSZ."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextlib.contextmanager
def mounted(folder: Path, options: str) -> Iterator[Path]:
    """A small file system of its own; the test is skipped where it cannot be mounted."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("needs the program mount")
    if done.returncode != 0:
        pytest.skip(f"needs the right to mount a tmpfs: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def replace(path: Path, data: bytes, error: BaseException | None = None) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes(data)
        if error is not None:
            raise error


def replace_hdf5(path: Path, error: BaseException | None = None) -> None:
    with replacing_hdf5(path) as (file, _):
        fill(file)
        if error is not None:
            file.flush()
            raise error


def fill(file: h5py.File) -> None:
    """About 700 kB of chunks, attributes and groups."""
    rng = np.random.default_rng(0)
    for k in range(12):
        data = rng.integers(0, 256, (7, 96, 96), np.uint8)
        file.create_dataset(f"group_{k}/data", data=data, chunks=(7, 96, 96), compression="gzip")
        file[f"group_{k}"].attrs["text"] = "x" * 200


class TestReplacing:
    def test_appears_whole_in_a_new_folder(self, tmp_path):
        path = tmp_path / "new" / "folder" / "file.bin"
        with replacing(path) as temporary:
            temporary.write_bytes(b"whole")
            assert not path.exists()
            assert temporary.parent == path.parent
        assert path.read_bytes() == b"whole"
        assert os.listdir(path.parent) == ["file.bin"]

    def test_replaces_what_stood_there(self, old):
        with replacing(old) as temporary:
            temporary.write_bytes(b"new")
            assert old.read_bytes() == b"as it was"
        assert old.read_bytes() == b"new"

    def test_is_on_stable_storage_before_and_after_it_is_renamed(self, old, monkeypatch):
        steps = []
        monkeypatch.setattr(atomic, "sync", lambda path: steps.append(("sync", path)))
        rename = os.replace
        monkeypatch.setattr(os, "replace", lambda a, b: (steps.append(("rename", b)), rename(a, b)))
        with replacing(old) as temporary:
            temporary.write_bytes(b"new")
        assert steps == [("sync", temporary), ("rename", old), ("sync", old.parent)]

    @pytest.mark.parametrize(
        "error", [ValueError("mine"), KeyboardInterrupt(), UsageError("mine"), SourceError("mine")]
    )
    def test_an_error_inside_passes_and_leaves_the_old_file(self, old, error):
        """SourceError is an OSError too: a damaged video must not be reported as a full disk."""
        with pytest.raises(type(error)) as caught:
            replace(old, b"half", error)
        assert caught.value is error
        assert_untouched(old)

    def test_nothing_written_is_an_error(self, old):
        with pytest.raises(StoreError, match=r"cannot write .*file\.h5: .*No such file"), replacing(old):
            pass
        assert_untouched(old)

    def test_an_os_error_inside_says_which_file_it_is_about(self, old):
        error = FileNotFoundError(2, "No such file or directory", "clip.mp4")
        with pytest.raises(StoreError, match=r"cannot write .*No such file or directory: 'clip\.mp4'"):
            replace(old, b"half", error)
        assert_untouched(old)

    def test_a_folder_that_is_a_file(self, old):
        with pytest.raises(StoreError, match="name a folder that you may write to"):
            replace(old / "child", b"new")
        assert_untouched(old)

    def test_a_path_that_is_a_folder(self, tmp_path):
        (tmp_path / "folder").mkdir()
        with pytest.raises(StoreError, match="Is a directory"):
            replace(tmp_path / "folder", b"new")
        assert os.listdir(tmp_path) == ["folder"]
        with pytest.raises(StoreError, match=r"cannot write \.: it is a folder; name a file"):
            replace(Path(), b"new")

    def test_a_folder_that_cannot_be_written(self, tmp_path):
        with contextlib.ExitStack() as stack:
            if os.geteuid() == 0:  # root may write wherever the file system allows it
                folder = stack.enter_context(mounted(tmp_path / "ro", "ro,size=64k"))
            else:
                folder = tmp_path / "ro"
                folder.mkdir(mode=0o500)
            with pytest.raises(StoreError) as caught:
                replace(folder / "file.bin", b"new")
            assert os.listdir(folder) == []
        text = str(caught.value)
        assert text.startswith(f"cannot write {folder / 'file.bin'}: ")
        assert "Read-only file system" in text or "Permission denied" in text
        assert text.endswith("Free space or name a folder that you may write to, and run the same command again")

    def test_a_full_disk(self, tmp_path):
        with mounted(tmp_path / "small", "size=64k") as folder:
            path = folder / "file.bin"
            path.write_bytes(b"as it was")
            with pytest.raises(StoreError) as caught:
                replace(path, bytes(100_000))
            assert_untouched(path)
        assert str(caught.value) == (
            f"cannot write {path}: No space left on device; what was finished before is kept. "
            "Free space or name a folder that you may write to, and run the same command again"
        )

    def test_a_file_that_grows_too_large(self, old):
        with largest_file(5_000), pytest.raises(StoreError, match=r"cannot write .*: File too large; what was fin"):
            replace(old, bytes(10_000))
        assert_untouched(old)


class TestReplacingHdf5:
    def test_round_trip(self, old):
        with replacing_hdf5(old, track_order=True) as (file, check):
            file.attrs["answer"] = 42
            for name in "zya":
                file[name] = np.arange(5)
            check()
        with h5py.File(old) as file:
            assert file.attrs["answer"] == 42
            assert list(file) == ["z", "y", "a"]
            assert file["a"][:].tolist() == [0, 1, 2, 3, 4]
        assert os.listdir(old.parent) == ["file.h5"]

    def test_same_content_same_bytes(self, tmp_path):
        for name in ("one", "two"):
            with replacing_hdf5(tmp_path / name) as (file, _):
                fill(file)
        assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()

    @pytest.mark.parametrize("error", [ValueError("mine"), KeyboardInterrupt(), SourceError("mine")])
    def test_an_error_inside_passes_and_leaves_the_old_file(self, old, error):
        with pytest.raises(type(error)) as caught:
            replace_hdf5(old, error)
        assert caught.value is error
        assert_untouched(old)

    @pytest.mark.parametrize("n_bytes", [0, 1, 95, 96, 97, 800, 3_000, 20_000, 65_536, 300_000, 600_000, 700_000])
    def test_a_full_disk_at_any_moment(self, old, n_bytes):
        """RuntimeErrors of HDF5 and errors in destructors would fail this test, too."""
        with largest_file(n_bytes), pytest.raises(StoreError, match=r"cannot write .*: File too large; what was fin"):
            replace_hdf5(old)
        assert_untouched(old)

    def test_the_check_tells_of_it_early(self, old):
        reached = []

        def write_on_and_on() -> None:
            with replacing_hdf5(old) as (file, check):
                for k in range(100):
                    file[f"data_{k}"] = np.full(50_000, k, np.uint8)
                    file.flush()
                    check()
                    reached.append(k)

        with largest_file(100_000), pytest.raises(StoreError):
            write_on_and_on()
        assert reached == [0]
        assert_untouched(old)

    def test_the_full_disk_wins_over_what_it_leads_to(self, old):
        with largest_file(1_000), pytest.raises(StoreError, match="File too large"):
            replace_hdf5(old, RuntimeError("Can't decrement id ref count"))
        assert_untouched(old)

    def test_a_write_that_was_cut_short_is_an_error(self, tmp_path):
        with largest_file(10), hdf5._Sink(tmp_path / "file") as sink:
            assert sink.write(bytes(20)) == 20
            with pytest.raises(OSError, match="File too large"):
                sink.check()

    def test_the_process_ends_in_peace_after_a_full_disk(self, tmp_path):
        """With a file of HDF5's own it dies of SIGSEGV at exit and writes of ignored exceptions."""
        program = f"""
import resource, sys
import numpy as np
from pathlib import Path
from codecsim.hdf5 import replacing_hdf5
from codecsim.errors import StoreError
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    with replacing_hdf5(Path({str(tmp_path / "file.h5")!r})) as (file, check):
        data = file.create_dataset("data", (0, 1000), "u1", maxshape=(None, 1000), chunks=(64, 1000))
        for k in range(10):
            data.resize(64 * (k + 1), 0)
            data[64 * k:] = k
except StoreError:
    sys.exit(3)
"""
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (3, "")
        assert os.listdir(tmp_path) == []


@pytest.fixture
def writing_process(old: Path) -> Iterator[subprocess.Popen]:
    """Another process in the middle of replacing `old`."""
    program = (
        "import sys, time; from pathlib import Path; from codecsim.atomic import replacing\n"
        f"with replacing(Path({str(old)!r})) as temporary:\n"
        "    temporary.write_bytes(b'half'); print('ready', flush=True); time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"ready\n"
        yield process
        process.kill()


class TestLeftovers:
    def test_a_killed_process_leaves_the_old_file_and_a_leftover_that_is_swept(self, old, writing_process):
        leftover = old.with_name(f".file.h5.{writing_process.pid}.tmp")
        sweep_leftovers(old)
        assert leftover.read_bytes() == b"half"  # its process lives
        writing_process.send_signal(signal.SIGKILL)
        writing_process.wait()
        assert old.read_bytes() == b"as it was"
        assert leftover.exists()
        sweep_leftovers(old)
        assert_untouched(old)

    def test_other_files_stay(self, old):
        others = [f".other.h5.{DEAD}.tmp", ".file.h5.tmp", ".file.h5.x.tmp", ".file.h5.².tmp", f"file.h5.{DEAD}.tmp"]
        for name in others:
            old.with_name(name).touch()
        sweep_leftovers(old)
        assert sorted(os.listdir(old.parent)) == sorted([*others, "file.h5"])

    def test_a_number_that_no_process_has(self, old):
        for process in (DEAD, 10**30):
            old.with_name(f".file.h5.{process}.tmp").touch()
        sweep_leftovers(old)
        assert_untouched(old)

    def test_a_name_with_brackets(self, tmp_path):
        leftover = tmp_path / f".run[1]*.h5.{DEAD}.tmp"
        leftover.touch()
        sweep_leftovers(tmp_path / "run[1]*.h5")
        assert os.listdir(tmp_path) == []

    def test_a_leftover_that_cannot_be_removed_is_passed_over(self, old):
        blocked = old.with_name(f".file.h5.{DEAD}.tmp")
        blocked.mkdir()
        sweep_leftovers(old)
        assert blocked.exists()

    def test_a_folder_that_does_not_exist(self, tmp_path):
        sweep_leftovers(tmp_path / "nowhere" / "file.h5")
