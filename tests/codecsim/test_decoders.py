"""What several processes decode comes in order, an error in its turn, and no more is begun than keeps them busy."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from threading import Barrier, Event, Thread
from typing import Any

import numpy as np
import pytest

from codecsim import decoder_process
from codecsim.codecs import EncoderSettings
from codecsim.decoder_process import DecoderProcess
from codecsim.decoders import Decoders
from codecsim.encode import encode
from codecsim.errors import CodecError
from codecsim.scaling import downscale
from tests.clips import carphone_faces

_SECONDS = 20.0
_NUMBER = 3

Task = Callable[[DecoderProcess], object]


@pytest.fixture
def decoders() -> Iterator[Decoders]:
    with Decoders(_NUMBER) as several:
        yield several


def test_frames_are_those_of_one_process_in_order(decoders: Decoders) -> None:
    faces = carphone_faces()
    coded = [
        encode(downscale(faces[:n], s), EncoderSettings(), 30, fps=25.0).packets for s, n in ((3, 40), (4, 2), (3, 1))
    ]
    tasks: list[Task] = [
        partial(lambda packets, side, one: one.decode(packets, "x264", width=side, height=side), packets, side)
        for packets, side in zip(coded, (32, 24, 32), strict=True)
    ]
    with DecoderProcess() as one:
        alone = [task(one) for task in tasks]
    for found, wanted in zip(decoders.in_order(tasks), alone, strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_as_many_are_at_work_as_there_are_processes_each_with_its_own(decoders: Decoders) -> None:
    together = Barrier(_NUMBER)

    def meet(number: int, process: DecoderProcess) -> tuple[int, DecoderProcess]:
        together.wait(_SECONDS)
        return number, process

    met = list(decoders.in_order(partial(meet, number) for number in range(2 * _NUMBER)))
    assert [number for number, _ in met] == list(range(2 * _NUMBER))
    for first in (0, _NUMBER):
        assert len({id(process) for _, process in met[first : first + _NUMBER]}) == _NUMBER


def test_one_that_is_slow_keeps_its_place(decoders: Decoders) -> None:
    def last_longest(number: int, _: DecoderProcess) -> int:
        time.sleep(0.1 * (number == 0))
        return number

    assert list(decoders.in_order(partial(last_longest, number) for number in range(6))) == list(range(6))


def test_no_more_are_begun_than_are_soon_wanted(decoders: Decoders) -> None:
    begun = []

    def tasks() -> Iterator[Task]:
        for number in range(20):
            begun.append(number)
            yield partial(lambda given, _: given, number)

    given = decoders.in_order(tasks())
    assert next(given) == 0
    assert len(begun) == 2 * _NUMBER


def test_none_is_idle_while_what_they_decoded_is_not_taken(decoders: Decoders) -> None:
    ended = []

    def note(number: int, _: DecoderProcess) -> int:
        ended.append(number)
        return number

    given = decoders.in_order(partial(note, number) for number in range(20))
    assert next(given) == 0
    deadline = time.monotonic() + _SECONDS
    while len(ended) < 2 * _NUMBER and time.monotonic() < deadline:
        time.sleep(0.01)
    assert sorted(ended) == list(range(2 * _NUMBER))


def test_an_error_comes_in_its_turn_and_others_can_be_asked_for_then(decoders: Decoders) -> None:
    def fail(number: int, _: DecoderProcess) -> int:
        if number == 2:
            raise CodecError("damaged")
        return number

    given = decoders.in_order(partial(fail, number) for number in range(9))
    assert [next(given), next(given)] == [0, 1]
    with pytest.raises(CodecError, match="damaged"):
        next(given)
    assert list(decoders.in_order([partial(fail, 5)])) == [5]


@pytest.mark.parametrize("number", [1, _NUMBER])
def test_closing_ends_what_is_asked_for_in_another_thread(number: int) -> None:
    """Tasks that closing cannot end, for they are no streams: what has been begun ends, and the rest never begins."""
    several, is_begun, found = Decoders(number), Event(), []

    def sleep(_: DecoderProcess) -> None:
        is_begun.set()
        time.sleep(0.3)

    def ask() -> None:
        try:
            found.extend(several.in_order([sleep] * 100))
        except CodecError as error:
            found.append(error)

    thread = Thread(target=ask, daemon=True)
    thread.start()
    is_begun.wait(_SECONDS)
    several.close()
    thread.join(_SECONDS)
    assert not thread.is_alive()
    assert isinstance(found[-1], CodecError)
    with pytest.raises(CodecError, match="these decoders are closed; make others"):
        next(several.in_order([sleep]))


def test_a_closed_decoder_is_not_started() -> None:
    process = DecoderProcess()
    process.close()
    with pytest.raises(CodecError, match="this decoder is closed"):
        process.start()
    assert process._child is None


def test_each_process_is_started_once_and_not_before_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    started = []

    def counted(*given: Any) -> object:
        started.append(given)
        return child(*given)

    child = decoder_process._Child
    monkeypatch.setattr(decoder_process, "_Child", counted)
    packets = encode(downscale(carphone_faces()[:2], 3), EncoderSettings(), 30, fps=25.0).packets
    with Decoders(_NUMBER) as several:
        assert started == []
        several.start()
        several.start()
        list(several.in_order([lambda one: one.decode(packets, "x264", width=32, height=32)] * _NUMBER))
    assert len(started) == _NUMBER
