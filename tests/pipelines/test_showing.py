"""What networks are shown of a sweep: frames that were never coded while streams are decoded, neither waiting for the
other."""

import threading
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from codecsim.corpus import Corpus
from codecsim.decoders import Decoders
from codecsim.errors import StoreError
from codecsim.jobs import read_frames
from codecsim.store import Sweep
from pipelines.readings import UNCODED
from pipelines.showing import Asked, Files, Showing, _as_they_come, shown_in_groups
from tests.pipelines.readers import N_FRAMES

_SECONDS = 20.0
_N_UNCODED, _N_STREAMS = 3 * 3, 3 * 4

Groups = Generator[list[Showing], None, None]


@pytest.fixture
def files(undisturbed: Path) -> Files:
    """The files of a sweep that is there."""
    found = Files()
    found.put(undisturbed)
    found.close()
    return found


@pytest.fixture
def decoders() -> Iterator[Decoders]:
    with Decoders(2) as several:
        yield several


@pytest.fixture
def asked(undisturbed: Path, corpus: Path) -> Asked:
    """All sequences and streams of that sweep."""
    with Sweep(undisturbed) as opened, Corpus(corpus) as tracks:
        streams = zip(opened.column("sequence").tolist(), opened.column("key").tolist(), strict=True)
        return Asked(tuple(tracks.sequences()), frozenset(streams), (3, 4))


def groups_of(asked: Asked, files: Files, decoders: Decoders, *, every: int = 1, n_frames: int = 1) -> Groups:
    return shown_in_groups(asked, files, every=every, n_frames=n_frames, is_wanted=lambda *_: True, decoders=decoders)


@contextmanager
def patience() -> Iterator[Files]:
    """Files of which none comes, but not for ever."""
    files = Files()
    timer = threading.Timer(_SECONDS, files.close)
    timer.start()
    try:
        yield files
    finally:
        timer.cancel()


def keep(groups: Groups, shown: list[Showing]) -> None:
    for group in groups:
        shown.extend(group)


@pytest.mark.parametrize("every", [1, 5, 100])
def test_frames_that_wait_do_not_hold_others_in_memory(
    asked: Asked, files: Files, decoders: Decoders, every: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    n_read = 0

    def counted(*named: Any) -> npt.NDArray[np.uint8]:
        nonlocal n_read
        n_read += 1
        return read_frames(*named)

    monkeypatch.setattr("pipelines.showing.read_frames", counted)
    groups = list(groups_of(asked, files, decoders, every=every, n_frames=10))
    shown = [showing for group in groups for showing in group]
    assert len(shown) == _N_UNCODED + _N_STREAMS
    assert n_read == 3
    assert groups[-1] == []
    assert all(groups[:-1])
    for _, frames in shown:
        owner = frames if frames.base is None else frames.base
        assert len(frames) == -(-N_FRAMES // every)
        assert owner.nbytes == frames.nbytes


def test_streams_are_shown_while_others_are_unpacked(
    asked: Asked, files: Files, decoders: Decoders, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unpacking waits until all streams are shown."""
    are_shown = threading.Event()

    def awaited(*named: Any) -> npt.NDArray[np.uint8]:
        assert are_shown.wait(_SECONDS)
        return read_frames(*named)

    monkeypatch.setattr("pipelines.showing.read_frames", awaited)
    keys = []
    for group in groups_of(asked, files, decoders):
        keys += [shown.key for shown, _ in group]
        if len(keys) == _N_STREAMS:
            are_shown.set()
    assert UNCODED not in keys[:_N_STREAMS]
    assert keys[_N_STREAMS:] == [UNCODED] * _N_UNCODED


def test_what_was_never_coded_is_shown_while_no_stream_is_there(
    asked: Asked, undisturbed: Path, decoders: Decoders
) -> None:
    keys = []
    with patience() as files:
        for group in groups_of(asked, files, decoders):
            keys += [shown.key for shown, _ in group]
            if len(keys) == _N_UNCODED:
                files.put(undisturbed)
                files.close()
    assert keys[:_N_UNCODED] == [UNCODED] * _N_UNCODED
    assert UNCODED not in keys[_N_UNCODED:]
    assert len(keys) == _N_UNCODED + _N_STREAMS


def test_a_damaged_corpus_is_told_without_waiting_for_streams(
    asked: Asked, decoders: Decoders, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(corpus: Path, name: str, digest: str) -> npt.NDArray[np.uint8]:
        if name == "cy_1":
            raise StoreError("damaged")
        return read_frames(corpus, name, digest)

    monkeypatch.setattr("pipelines.showing.read_frames", refuse)
    shown: list[Showing] = []
    with patience() as files, pytest.raises(StoreError, match=r"^damaged$"):
        keep(groups_of(asked, files, decoders), shown)
    assert len(shown) == 2 * 3


def test_what_was_never_coded_is_shown_after_a_stream_has_failed_too(
    asked: Asked, decoders: Decoders, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, has_failed = Files(), threading.Event()
    files.put(Path("none.h5"))

    def fail(path: Path) -> Sweep:
        has_failed.set()
        raise StoreError("damaged")

    def awaited(*named: Any) -> npt.NDArray[np.uint8]:
        assert has_failed.wait(_SECONDS)
        return read_frames(*named)

    monkeypatch.setattr("pipelines.showing.Sweep", fail)
    monkeypatch.setattr("pipelines.showing.read_frames", awaited)
    shown: list[Showing] = []
    with pytest.raises(StoreError, match=r"^damaged$"):
        keep(groups_of(asked, files, decoders, n_frames=1000), shown)
    assert len(shown) == _N_UNCODED


def test_no_thread_is_left_when_nobody_wants_more(asked: Asked, decoders: Decoders) -> None:
    with closing(groups_of(asked, Files(), decoders)) as groups:
        assert next(groups)
        assert sources()
    assert not sources()


def test_after_an_error_of_one_source_the_other_is_closed() -> None:
    closed = []

    def endless() -> Generator[int, None, None]:
        try:
            yield from count()
        finally:
            closed.append("endless")

    def fails() -> Generator[int, None, None]:
        yield -1
        raise StoreError("damaged")

    with pytest.raises(StoreError, match=r"^damaged$"):
        for _ in _as_they_come(endless(), fails()):
            pass
    assert closed == ["endless"]


def sources() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name.startswith("codecsim-source")]
