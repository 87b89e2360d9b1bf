"""Recordings to one corpus: in parallel, resumable, and the same on any number of workers.

Each recording becomes a part of its own, a small corpus in ``OUT.parts/``; when all are there they are copied into OUT
in their order. A rerun takes up where the last one stopped, and what OUT itself holds is kept where it is still wanted.
Nothing else in that folder is touched.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from collections.abc import Sequence as Ordered
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from codecsim.corpus import Corpus, CorpusWriter, is_corpus
from codecsim.errors import CodecsimError, StoreError, UsageError
from codecsim.executors import WorkerDied, available_cores, run
from codecsim.parts import writing

_NOTES = "notes"

Progress = Callable[[str, int, int | None], None]
"""Called as (what is going on, steps done, steps in all or None where unknown)."""


def untold(what: str, done: int, total: int | None) -> None:
    """No progress is asked for."""


class Recording(Protocol):
    """Something that becomes sequences of a corpus on its own, here or in a worker: it must be picklable.

    Where its class is of a script, workers run this again, which needs ``if __name__ == "__main__":``.
    """

    @property
    def name(self) -> str:
        """Unique among the recordings of a corpus; for messages and names of files."""

    @property
    def size(self) -> int:
        """How much work it is, for the progress bar: frames where they are known, else 1."""

    def identity(self) -> str:
        """All that its sequences depend on, as JSON: they are made again where it changed."""

    def add_to(self, writer: CorpusWriter) -> tuple[str, ...]:
        """Add its sequences, one or more, or none; returns sentences for a person to read.

        A recording that no sequence can be made of, but that should not stop the others, adds none and says why.
        """


@dataclass(frozen=True, slots=True)
class AssemblyReport:
    """What was done.

    Attributes
    ----------
    out : the corpus
    n_sequences, n_frames : what it holds
    n_recordings, n_new : those asked for, and those made now
    notes : sentences for a person to read, in the order of the recordings
    """

    out: Path
    n_sequences: int
    n_frames: int
    n_recordings: int
    n_new: int
    notes: tuple[str, ...]


def assemble(
    out: str | Path,
    recordings: Ordered[Recording],
    *,
    attributes: Mapping[str, str | int | float] | None = None,
    doing: str = "preparing",
    workers: int | None = None,
    progress: Progress | None = None,
) -> AssemblyReport:
    """Make each recording once, and put all of them together.

    Parameters
    ----------
    out : corpus file; appears whole, or not at all
    recordings : what it is to hold, in this order
    attributes : root attributes, for instance how the corpus was made
    doing : what is going on, for the progress bar
    workers : processes; default: one a core
    progress : told what is going on

    Raises
    ------
    UsageError
        If two recordings have one name.
    StoreError
        If `out` cannot be written, or is something else than a corpus.
    CodecsimError
        If a recording cannot be made; those that are finished are kept.
    """
    out, told = Path(out), progress or untold
    check_out(out)
    marks = {recording.name: _mark(recording) for recording in recordings}
    if len(marks) < len(recordings):
        names = [recording.name for recording in recordings]
        repeated = next(name for name in names if names.count(name) > 1)
        raise UsageError(f"two recordings are called {repeated!r}; names are unique")
    with writing(out) as folder:
        parts = {mark: folder / f"{mark}.h5" for mark in marks.values()}
        held = _held(out)
        todo = [each for each in recordings if not (marks[each.name] in held or _is_whole(parts[marks[each.name]]))]
        n_all = sum(each.size for each in recordings)
        n_done = n_all - sum(each.size for each in todo)
        told(doing, n_done, n_all)
        make = partial(_make_part, folder=folder)
        for recording, outcome in run(make, todo, workers=workers or max(1, min(available_cores(), len(todo)))):
            if isinstance(outcome, WorkerDied):
                raise CodecsimError(f"{recording.name}: {outcome}; what is finished is kept; run the command again")
            n_done += recording.size
            told(doing, n_done, n_all)
        notes: list[str] = []
        with CorpusWriter(out, attributes=attributes) as writer, ExitStack() as opened:
            before = opened.enter_context(Corpus(out)) if held else None
            for mark in marks.values():
                if before and mark in held:
                    for name in held[mark]:
                        writer.copy(before, name)
                    continue
                with Corpus(parts[mark]) as part:
                    for sequence in part.sequences():
                        writer.copy(part, sequence.name)
                    notes += json.loads(part.attribute(_NOTES))
        for path in parts.values():
            path.unlink(missing_ok=True)
    with Corpus(out) as corpus:
        n_frames = [each.n_frames for each in corpus.sequences()]
    return AssemblyReport(out, len(n_frames), sum(n_frames), len(recordings), len(todo), tuple(notes))


def check_out(out: Path) -> None:
    """Refuse, before any work, to overwrite what is no corpus: `StoreError`."""
    if out.exists() and not is_corpus(out):
        what = "a folder" if out.is_dir() else "there, and no corpus"
        raise StoreError(f"{out} is {what}; nothing was touched: name another file with --out")


def _mark(recording: Recording) -> str:
    return hashlib.sha256(f"{recording.name} {recording.identity()}".encode()).hexdigest()[:16]


def _held(out: Path) -> dict[str, list[str]]:
    """Sequences of the corpus as it stands, by the mark of the recording that they come from."""
    held: dict[str, list[str]] = {}
    if out.exists():
        with suppress(StoreError), Corpus(out) as corpus:
            for sequence in corpus.sequences():
                held.setdefault(sequence.recording, []).append(sequence.name)
    return held


def _is_whole(part: Path) -> bool:
    with suppress(StoreError), Corpus(part) as corpus:
        corpus.sequences()
        return True
    return False


def _make_part(recording: Recording, *, folder: Path) -> None:
    mark = _mark(recording)
    with CorpusWriter(folder / f"{mark}.h5", recording=mark) as writer:
        notes = recording.add_to(writer)
        writer.annotate({_NOTES: json.dumps(notes)})
