"""Folders that data sets come in: what is looked for in them, and how a file is known to be the same again."""

import hashlib
import json
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from codecsim.errors import SourceError


def check_root(root: Path, data_set: str) -> None:
    """Refuse a ROOT that is no folder: `SourceError`."""
    if not root.is_dir():
        what = "a file" if root.exists() else "no such folder"
        raise SourceError(f"{root}: {what}; ROOT is the folder that holds {data_set}")


def mark(files: Iterable[tuple[Path, os.stat_result]]) -> str:
    """Digest of the names, sizes and times of files: it changes where one of them is replaced."""
    digest = hashlib.sha256()
    for path, known in files:
        digest.update(json.dumps([path.name, known.st_size, known.st_mtime_ns]).encode())
    return digest.hexdigest()[:16]


def mark_file(path: Path) -> str:
    """Digest of the name, size and time of a file; "" where there is no regular file."""
    known = stat_file(path)
    return mark([(path, known)]) if known else ""


def stat_file(path: Path) -> os.stat_result | None:
    """Size and times of a file, links followed; None where there is no regular file."""
    try:
        known = path.stat()
    except OSError:
        return None
    return known if stat.S_ISREG(known.st_mode) else None


def name_under(root: Path, path: Path) -> str:
    """Path relative to `root`, with slashes; the file's name where it lies elsewhere."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name


def listed(names: Iterable[str], most: int = 5) -> str:
    """The first few names and how many more there are, for messages."""
    every = list(names)
    more = f" and {len(every) - most} more" if len(every) > most else ""
    return ", ".join(every[:most]) + more
