"""Predictions from sequences that come one after another: in order, whole, while those to come are fetched."""

import threading
import time
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from torch import nn

from recognition import inference
from recognition.inference import Begun, Predictor
from tests.recognition.inferring import RNG, Watched, close, eventually, expected, fetching, noise


@pytest.mark.parametrize("batch", [1, 4, 7, 1000])
def test_a_stream_gives_every_sequence_in_order_as_if_it_were_alone(batch: int) -> None:
    """Sequences of several sizes, lengths and repetitions, 40 of them."""
    network = Watched()
    sides, lengths = RNG.choice([8, 24, 24, 24, 32], 40), RNG.integers(1, 12, 40)
    sequences = [noise(n, side)[np.sort(RNG.integers(0, n, n))] for n, side in zip(lengths, sides, strict=True)]
    predictor = Predictor(network, batch=batch)
    found = list(predictor.stream(iter(sequences)))
    assert len(found) == 40
    for predictions, frames in zip(found, sequences, strict=True):
        close(predictions, expected(network, frames))
    n_distinct = sum(1 + int((each[1:] != each[:-1]).any((1, 2)).sum()) for each in sequences)
    assert predictor.n_inferred == n_distinct < sum(lengths)


def test_batches_are_filled_across_sequences() -> None:
    network = Watched()
    list(Predictor(network, batch=8).stream(noise(3, side) for side in (24, 24, 32, 96, 24) * 2))
    assert network.sizes == [8, 8, 8, 6]


def test_sequences_are_told_of_as_soon_as_batches_are_full() -> None:
    """Of 3, 2 (shown as 4) and 6 frames in batches of 4."""
    network = Watched()
    telling, parts = Predictor(network, batch=4).telling(), [noise(3), noise(2)[[0, 0, 1, 1]], noise(6)]
    assert list(telling.take(parts[:1])) == []
    assert network.sizes == []
    told = list(telling.take(parts[1:2]))
    assert (len(told), network.sizes) == (1, [4])
    told += telling.take(parts[2:])
    assert (len(told), network.sizes) == (2, [4, 4])
    assert list(telling.take([])) == []
    told += telling.finish()
    assert network.sizes == [4, 4, 3]
    assert list(telling.finish()) == []
    for found, frames in zip(told, parts, strict=True):
        close(found, expected(network, frames))


class Deferred(Predictor):
    """A device that works by itself, as a GPU does; notes when it is given work, and when it is waited for."""

    def __init__(self, network: nn.Module, *, batch: int) -> None:
        super().__init__(network, batch=batch)
        self.events: list[str] = []

    @property
    def n_ahead(self) -> int:
        return 1

    def begin(self, frames: Sequence[np.ndarray]) -> Begun:
        work, number = super().begin(frames), sum(event.startswith("begun") for event in self.events)
        self.events.append(f"begun {number}")

        def told() -> np.ndarray:
            self.events.append(f"awaited {number}")
            return work()

        return told


def test_a_device_that_works_by_itself_is_given_more_before_it_is_waited_for() -> None:
    network, parts = Watched(), [noise(4), noise(8), noise(3), noise(6)]
    predictor = Deferred(network, batch=4)
    telling = predictor.telling()
    told = [list(telling.take([frames])) for frames in parts]
    assert [len(each) for each in told] == [0, 1, 0, 1]
    assert predictor.events == ["begun 0", "begun 1", "awaited 0", "begun 2", "awaited 1"]
    told.append(list(telling.finish()))
    assert predictor.events[5:] == ["begun 3", "awaited 2", "awaited 3"]
    found = [predictions for each in told for predictions in each]
    for predictions, frames in zip(found, parts, strict=True):
        close(predictions, expected(network, frames))


class Lost(Deferred):
    """A device that loses the first group that it is given."""

    def begin(self, frames: Sequence[np.ndarray]) -> Begun:
        told, is_first = super().begin(frames), not self.events[1:]

        def lost() -> np.ndarray:
            raise RuntimeError("a device error")

        return lost if is_first else told


def test_nothing_is_told_for_what_a_device_has_lost() -> None:
    telling = Lost(Watched(), batch=4).telling()
    assert list(telling.take([noise(4)])) == []
    for more in (lambda: telling.take([noise(4)]), telling.settle, telling.settle):
        with pytest.raises(RuntimeError, match=r"^a device error$"):
            list(more())


@pytest.mark.parametrize("batch", [1, 4, 1000])
def test_a_stream_on_such_a_device_is_in_order_and_whole(batch: int) -> None:
    network, sequences = Watched(), [noise(n, side) for n, side in ((3, 24), (9, 32), (1, 24), (5, 96))]
    found = list(Deferred(network, batch=batch).stream(iter(sequences)))
    for predictions, frames in zip(found, sequences, strict=True):
        close(predictions, expected(network, frames))


def test_a_stream_of_nothing_gives_nothing() -> None:
    assert list(Predictor(Watched()).stream([])) == []


def test_what_fetching_raises_is_raised_after_the_sequences_before_it() -> None:
    def broken() -> Iterator[np.ndarray]:
        yield noise(2)
        yield noise(2)
        raise OSError("the disk is gone")

    found = []
    with pytest.raises(OSError, match="the disk is gone"):
        found.extend(Predictor(Watched(), batch=1).stream(broken()))
    given = Predictor(Watched(), batch=1).stream(broken())
    assert len(next(given)) == len(next(given)) == 2
    with pytest.raises(OSError, match="the disk is gone"):
        next(given)
    assert fetching() == []


def test_an_abandoned_stream_stops_its_thread() -> None:
    n_fetched = 0

    def endless() -> Iterator[np.ndarray]:
        nonlocal n_fetched
        while True:
            n_fetched += 1
            yield noise(1000, 6)

    stream = Predictor(Watched(), batch=1).stream(endless())
    next(stream)
    assert eventually(lambda: n_fetched >= 5)
    assert len(fetching()) == 1
    stream.close()
    assert fetching() == []
    before = n_fetched
    time.sleep(0.01)
    assert n_fetched == before


def test_closing_a_stream_waits_for_what_is_being_fetched() -> None:
    begun, finished = threading.Event(), threading.Event()

    def slow() -> Iterator[np.ndarray]:
        yield noise(1)
        begun.set()
        time.sleep(0.1)
        finished.set()
        yield noise(1)

    stream = Predictor(Watched(), batch=1).stream(slow())
    next(stream)
    assert begun.wait(10)
    stream.close()
    assert finished.is_set()
    assert fetching() == []


def test_a_network_that_fails_stops_the_thread() -> None:
    stream = Predictor(Watched(0, lambda: RuntimeError("a bug")), batch=1).stream(noise(1) for _ in range(100))
    with pytest.raises(RuntimeError, match="a bug"):
        next(stream)
    assert eventually(lambda: fetching() == [])


@pytest.mark.parametrize("length", [1, 100, 5000])
def test_no_more_is_fetched_ahead_than_what_is_let_wait_and_one_sequence_in_hand(
    monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    monkeypatch.setattr(inference, "_WAITING_FRAMES", 300)
    fetched = 0

    def sequences() -> Iterator[np.ndarray]:
        nonlocal fetched
        for _ in range(2000):
            fetched += 1
            yield np.zeros((length, 6, 6), np.uint8)

    stream = Predictor(Watched(), batch=1).stream(sequences())
    for n_taken in range(1, 6):
        next(stream)
        most = n_taken + -(-300 // length) + 1
        assert eventually(lambda most=most: fetched == most)
        time.sleep(0.01)
        assert fetched == most
    stream.close()
