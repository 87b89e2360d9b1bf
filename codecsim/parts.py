"""The folder ``OUT.parts``, where what is finished lies until it becomes OUT, and the right to write there.

A part is written under another name, flushed, synced and renamed; so a kill loses what is in flight and nothing else.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from codecsim.atomic import sweep_leftovers
from codecsim.errors import StoreError

_LOCK = "lock"
_LOCK_TRIES = 100


def parts_folder(out: Path) -> Path:
    """Where the parts of `out` lie while a sweep runs."""
    return out.with_name(f"{out.name}.parts")


@contextmanager
def writing(out: Path) -> Iterator[Path]:
    """Hold the right to write `out`, one process at a time; yields the folder of its parts.

    Whoever holds it removes what killed processes left: nobody else writes there.

    Raises
    ------
    StoreError
        If another process is writing it, or the folder cannot be made.
    """
    folder = parts_folder(out)
    descriptor = _locked(out, folder)
    try:
        sweep_leftovers(out)
        _remove_temporaries(folder)
        yield folder
    finally:
        with suppress(OSError):
            _remove_temporaries(folder)
            if [path.name for path in folder.iterdir()] == [_LOCK]:
                (folder / _LOCK).unlink()
                folder.rmdir()
        os.close(descriptor)


def _locked(out: Path, folder: Path) -> int:
    """Make `folder` and lock it for this process: the descriptor of its lock file."""
    for _ in range(_LOCK_TRIES):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        except FileNotFoundError as error:  # also where the process before removes the folder at this moment
            reason = error.strerror
            continue
        except OSError as error:
            raise StoreError(f"cannot write beside {out}: {error.strerror}; name another file with --out") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(descriptor).st_nlink:
                os.ftruncate(descriptor, 0)
                os.write(descriptor, str(os.getpid()).encode())
                return descriptor
        except BlockingIOError:
            holder = os.read(descriptor, 32).decode(errors="replace") or "unknown"
            os.close(descriptor)
            raise StoreError(
                f"{out} is being written by process {holder}; wait for it, or name another --out"
            ) from None
        except OSError as error:
            os.close(descriptor)
            raise StoreError(
                f"cannot lock {folder / _LOCK}: {error.strerror}; name a file on another disk with --out"
            ) from error
        os.close(descriptor)  # the process before removed this lock file when it was done
        reason = "its folder of parts comes and goes"
    raise StoreError(f"cannot write beside {out}: {reason}; name another file with --out")


def _remove_temporaries(folder: Path) -> None:
    for path in folder.glob(".*.tmp"):
        path.unlink(missing_ok=True)
