"""Files that appear whole or not at all: written under another name, flushed, synced, renamed."""

import contextlib
import glob
import os
from collections.abc import Iterator
from pathlib import Path

from codecsim.errors import CodecsimError, StoreError


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on a clean exit it becomes `path`, on an error it is removed.

    A process that is killed leaves `path` as it was and a file `.NAME.PID.tmp` beside it, which
    `sweep_leftovers` removes.

    Raises
    ------
    StoreError
        If the folder cannot be written or the disk is full. The file that stood at `path` is untouched.
    """
    if not path.name:
        raise StoreError(f"cannot write {path}: it is a folder; name a file")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        sync(temporary)
        os.replace(temporary, path)
        sync(path.parent)
    except OSError as error:
        _remove(temporary)
        if isinstance(error, CodecsimError):
            raise
        # A file where a folder is needed: mkdir calls that "File exists".
        reason = "Not a directory" if isinstance(error, FileExistsError) else error.strerror or str(error)
        reason += f": {str(error.filename)!r}" if error.filename else ""
        raise StoreError(
            f"cannot write {path}: {reason}; what was finished before is kept. "
            "Free space or name a folder that you may write to, and run the same command again"
        ) from error
    except BaseException:
        _remove(temporary)
        raise


def sync(path: Path) -> None:
    """Force `path`, a file or a folder, to stable storage."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sweep_leftovers(path: Path) -> None:
    """Remove the temporary files that killed processes left beside `path`; those of live processes stay."""
    for leftover in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        process = leftover.name.removeprefix(f".{path.name}.").removesuffix(".tmp")
        if process.isdecimal() and not _alive(int(process)):
            _remove(leftover)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return process != os.getpid()


def _remove(path: Path) -> None:
    """Remove a file if that can be done; where it cannot, the error that led here says more."""
    with contextlib.suppress(OSError):
        path.unlink()
