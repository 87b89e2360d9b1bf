"""Slow measures of streams that a sweep already holds; nothing is encoded again."""

import time
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Sequence as Ordered
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from codecsim.corpus import Sequence
from codecsim.decode import decode
from codecsim.errors import CodecsimError, UsageError
from codecsim.executors import WorkerDied, run
from codecsim.jobs import hr_frames
from codecsim.quality import li3ddct, strred
from codecsim.scaling import upscale
from codecsim.store.merge import update_measures
from codecsim.store.sweep import Sweep

MEASURES = ("strred", "li3ddct")
"""Measures that are taken on request, of the decoded frames brought up to 96×96."""

_SAVE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class _Task:
    """A stream to be measured: its row, and the sequence that it codes."""

    row: int
    sequence: Sequence
    measures: tuple[str, ...]


def check_measures(names: Iterable[str]) -> tuple[str, ...]:
    """The names, each once; `UsageError` where one is unknown."""
    names = tuple(dict.fromkeys(names))
    for name in names:
        if name not in MEASURES:
            raise UsageError(f"no quality measure {name!r} on request; there are: {', '.join(MEASURES)}")
    return names


def measure(
    out: Path,
    names: Ordered[str],
    sequences: Mapping[tuple[str, str], Sequence],
    *,
    workers: int,
    progress: Callable[[str, int, int | None], None],
) -> tuple[tuple[str, str], ...]:
    """Take measures of those streams of a sweep that lack them, and store them, every minute and at the end.

    Parameters
    ----------
    out : sweep file
    names : from `MEASURES`
    sequences : by (sequence name, key), what each stream codes; other streams are left alone
    workers : processes
    progress : told how many streams are done

    Returns
    -------
    failures : (stream, why) of those that could not be measured, for instance because the sequence is too short
    """
    with Sweep(out) as sweep:
        tasks = _tasks(sweep, names, sequences)
        shown = {task.row: sweep.name(task.row) for task in tasks}
    failures: list[tuple[str, str]] = []
    found: dict[int, dict[str, npt.NDArray[np.float64]]] = {}
    saved = time.monotonic()
    for done, (task, outcome) in enumerate(run(partial(_measure, out), tasks, workers=workers), 1):
        if isinstance(outcome, WorkerDied | str):
            failures.append((shown[task.row], str(outcome)))
        else:
            found[task.row] = outcome
        if found and (time.monotonic() - saved > _SAVE_SECONDS or done == len(tasks)):
            update_measures(out, found)
            found.clear()
            saved = time.monotonic()
        progress(f"measuring {', '.join(names)}", done, len(tasks))
    return tuple(failures)


def _tasks(sweep: Sweep, names: Ordered[str], sequences: Mapping[tuple[str, str], Sequence]) -> list[_Task]:
    identities = zip(sweep.column("sequence").tolist(), sweep.column("key").tolist(), strict=True)
    missing = {name: np.isnan(sweep.column(name) if name == "strred" else sweep.features(name)[:, 0]) for name in names}
    tasks = []
    for row, identity in enumerate(identities):
        lacking = tuple(name for name in names if missing[name][row])
        if lacking and identity in sequences:
            tasks.append(_Task(row, sequences[identity], lacking))
    return tasks


def _measure(out: Path, task: _Task) -> dict[str, npt.NDArray[np.float64]] | str:
    with Sweep(out) as sweep:
        packets, codec = sweep.packets(task.row), str(sweep.column("codec")[task.row])
        size = {side: int(sweep.column(side)[task.row]) for side in ("width", "height")}
    try:
        enlarged = upscale(decode(packets, codec, **size))
        found = {}
        for name in task.measures:
            if name == "strred":
                sequence = task.sequence
                hr = hr_frames(sequence.corpus, sequence.name, sequence.digest)
                found[name] = np.array([strred(hr, enlarged)])
            else:
                found[name] = li3ddct(enlarged)
    except CodecsimError as error:
        return str(error)
    return found
