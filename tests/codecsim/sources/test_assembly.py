"""Recordings of any source to one corpus: order, resuming, notes, refusals."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from codecsim.corpus import Corpus, CorpusWriter
from codecsim.errors import SourceError, UsageError
from codecsim.parts import parts_folder
from codecsim.sources.assembly import assemble


@dataclass(frozen=True)
class Gray:
    """Makes `n_sequences` sequences of one even frame."""

    name: str
    level: int = 10
    n_sequences: int = 1
    size: int = 1

    def identity(self) -> str:
        return f"{self.level} {self.n_sequences}"

    def add_to(self, writer: CorpusWriter) -> tuple[str, ...]:
        if self.level < 0:
            raise SourceError(f"{self.name} is broken")
        for number in range(self.n_sequences):
            with writer.sequence(f"{self.name}_{number}", fps=25) as sequence:
                sequence.append(np.full((96, 96), self.level, np.uint8), pts_seconds=0)
        return (f"{self.name} made",)


def levels(path: Path) -> dict[str, int]:
    with Corpus(path) as corpus:
        return {each.name: int(corpus.frames(each.name)[0, 0, 0]) for each in corpus.sequences()}


def test_sequences_stand_in_the_order_of_the_recordings_and_notes_with_them(tmp_path: Path) -> None:
    recordings = [Gray("z", 1), Gray("a", 2, n_sequences=2), Gray("none", n_sequences=0)]
    for workers in (1, 2):
        out = tmp_path / f"{workers}.h5"
        report = assemble(out, recordings, attributes={"made": "here"}, workers=workers)
        assert list(levels(out).items()) == [("z_0", 1), ("a_0", 2), ("a_1", 2)]
        assert report.notes == ("z made", "a made", "none made")
        assert (report.n_sequences, report.n_frames, report.n_recordings, report.n_new) == (3, 3, 3, 3)
        assert not parts_folder(out).exists()
        with Corpus(out) as corpus:
            assert corpus.attribute("made") == "here"


def test_only_what_changed_is_made_again(tmp_path: Path) -> None:
    out = tmp_path / "c.h5"
    assemble(out, [Gray("a", 1, n_sequences=2), Gray("b", 2)], workers=1)
    report = assemble(out, [Gray("b", 3), Gray("a", 1, n_sequences=2), Gray("c", 4)], workers=1)
    assert (report.n_new, report.notes) == (2, ("b made", "c made"))
    assert list(levels(out).items()) == [("b_0", 3), ("a_0", 1), ("a_1", 1), ("c_0", 4)]
    assert assemble(out, [Gray("c", 4)], workers=1).n_new == 0
    assert list(levels(out)) == ["c_0"]


def test_what_was_finished_before_an_error_is_kept(tmp_path: Path) -> None:
    out = tmp_path / "c.h5"
    with pytest.raises(SourceError, match="b is broken"):
        assemble(out, [Gray("a", 1), Gray("b", -1)], workers=1)
    assert not out.exists()
    report = assemble(out, [Gray("a", 1), Gray("b", 2)], workers=1)
    assert (report.n_new, report.notes) == (1, ("a made", "b made"))


def test_the_bar_counts_sizes(tmp_path: Path) -> None:
    told: list[tuple[str, int, int | None]] = []
    recordings = [Gray("a", size=30), Gray("b", size=12)]
    assemble(tmp_path / "c.h5", recordings, workers=1, doing="baking", progress=lambda *given: told.append(given))
    assert told == [("baking", 0, 42), ("baking", 30, 42), ("baking", 42, 42)]


def test_two_recordings_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="two recordings are called 'b'; names are unique"):
        assemble(tmp_path / "c.h5", [Gray("a"), Gray("b"), Gray("b", 3)])
    assert not list(tmp_path.iterdir())
