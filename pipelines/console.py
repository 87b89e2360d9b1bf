"""What the commands say: results on stdout, progress and notes on stderr."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import click

from codecsim.sources.assembly import Progress

_QUIET_SECONDS = 2.0


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """A progress bar on stderr for whatever takes longer than two seconds; nothing where stderr is no terminal."""
    if not sys.stderr.isatty():
        yield lambda what, done, total: None
        return
    import time

    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    started: dict[str, float] = {}
    tasks = {}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as bar:

        def report(what: str, done: int, total: int | None) -> None:
            begun = started.setdefault(what, time.monotonic())
            if what not in tasks and time.monotonic() - begun >= _QUIET_SECONDS:
                tasks[what] = bar.add_task(what, total=total)
            if what in tasks:
                bar.update(tasks[what], completed=done, total=total, visible=done != total)

        yield report


def say(text: str) -> None:
    """A line of results, on stdout."""
    click.echo(text)


def note(text: str) -> None:
    """A line about what happened, on stderr."""
    click.echo(text, err=True)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows of text in columns: the first to the left, numbers to the right."""
    cells = [list(header), *(list(row) for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    numeric = [all(_is_number(row[column]) for row in rows) for column in range(len(header))]
    lines = [
        "  ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(row, widths, numeric, strict=True)
        ).rstrip()
        for row in cells
    ]
    return "\n".join([lines[0], "  ".join("─" * width for width in widths), *lines[1:]])


def size(n_bytes: int) -> str:
    """Bytes for people: 640 B, 1.2 kB, 34.5 MB (powers of 1000)."""
    value = float(n_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError


def _is_number(text: str) -> bool:
    return not text or text[0].isdigit() or text[0] in "+-−×" or text in ("nan", "inf", "–")
