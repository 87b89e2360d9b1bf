"""Folders that data sets come in: what is looked for in them, and how a file is known to be the same again."""

from collections.abc import Iterable
from pathlib import Path

from codecsim.errors import SourceError


def check_root(root: Path, data_set: str) -> None:
    """Refuse a ROOT that is no folder: `SourceError`."""
    if not root.is_dir():
        what = "a file" if root.exists() else "no such folder"
        raise SourceError(f"{root}: {what}; ROOT is the folder that holds {data_set}")


def stamps(paths: Iterable[Path], root: Path) -> list[tuple[str, int, int]]:
    """Name under `root`, size in bytes and time of change in nanoseconds of each file: another content, another stamp.

    Raises
    ------
    SourceError
        If one of them cannot be looked at.
    """
    stamped = []
    for path in paths:
        try:
            state = path.stat()
        except OSError as error:
            raise SourceError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
        stamped.append((name_under(root, path), state.st_size, state.st_mtime_ns))
    return stamped


def name_under(root: Path, path: Path) -> str:
    """Path relative to `root`, with slashes; the file's name where it lies elsewhere."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name


def listed(names: Iterable[str], most: int = 5) -> str:
    """The first few names and how many more there are, for messages."""
    every = list(names)
    more = f" and {len(every) - most} more" if len(every) > most else ""
    return ", ".join(every[:most]) + more
