"""Decoded LR frames to predictions: they go up to the device small, are enlarged there, and are told apart in full
batches.

A codec that skips blocks repeats frames exactly; of frames in a row that are the same, one is inferred. On a CPU, each
thread infers a batch of its own, unless layers of the network might keep something between calls. A prediction
depends on its frame alone, up to the order of summation in the library that a batch size chooses: between batch sizes,
predictions agree to `TOLERANCE`, and where batches are always full, to the last bit.
"""

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from functools import cache
from itertools import accumulate, groupby
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from codecsim.errors import UsageError
from recognition.devices import Precision, arithmetic, get_device, is_out_of_memory
from recognition.resampling import enlarge, luma

Frames = npt.NDArray[np.uint8]
Predictions = npt.NDArray[np.float32]
Begun = Callable[[], Predictions]
"""Waits for predictions that a device is at work on, float32, shape=(N, K)."""

TOLERANCE = {"fp32": 1e-5, "tf32": 5e-3, "bf16": 2e-2}
"""Largest difference of a prediction between batch sizes, for labels of the order of 1."""

BATCH = {"cpu": 8, "cuda": 512}
"""Layers of 8 frames fit into memory that malloc reuses; those of more are given back to the system, and cleared again.
An H200 reads 512 at once within 2 % as fast as 2048, 128 by a third (fp32) or a seventh (bf16) more slowly."""

_WAITING_FRAMES = 4096  # decoded ahead, at most: 38 MB of HR frames


class Predictor:
    """Applies a network to frames.

    Parameters
    ----------
    network : luma, shape=(N, 1, 96, 96), to predictions, shape=(N, K)
    device, precision : where, and in what arithmetic
    batch : frames at once; it is halved where the memory does not hold them
    pads : fill up batches that are not full, so that on one machine a prediction is the same to the last bit, whatever
        frames are told together; costs as much time as full batches
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        device: str = "auto",
        precision: Precision = "fp32",
        batch: int | None = None,
        pads: bool = False,
    ) -> None:
        self._device = get_device(device)
        self._precision: Precision = precision
        self.batch = BATCH[self._device.type] if batch is None else batch
        """Frames at once, now."""
        if self.batch < 1:
            raise UsageError(f"batches of {batch} frames: 1 or more are allowed")
        self._pads = pads
        self._is_reentrant = self._device.type == "cpu" and all(map(_keeps_nothing, network.modules()))
        self._network = network.eval().to(device=self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.n_inferred = 0
        """Frames that went through the network: the others repeated the one before."""

    @property
    def at_once(self) -> int:
        """Frames that keep the device busy without a rest: a batch, or one for each thread."""
        return self.batch * (torch.get_num_threads() if self._is_reentrant else 1)

    @property
    def n_ahead(self) -> int:
        """How often more may begin before one waits for predictions, so that the device has work meanwhile."""
        return 1 if self._device.type == "cuda" else 0

    def __call__(self, frames: Frames) -> Predictions:
        """Predict from frames of one sequence.

        Parameters
        ----------
        frames : uint8, shape=(T, h, w): LR, or HR where nothing was shrunk

        Returns
        -------
        predictions : float32, shape=(T, K)

        Raises
        ------
        UsageError
            If the frames are of another type or shape, there is none, or the memory does not hold a single one.
        """
        return next(self.stream([frames]))

    def stream(self, sequences: Iterable[Frames]) -> Iterator[Predictions]:
        """Predict from one sequence after another, in order, while a thread of its own fetches those to come.

        Batches are filled across sequences. What fetching raises is raised here.
        """
        telling = self.telling()
        for frames in _fetched(sequences):
            yield from telling.take([frames])
        yield from telling.finish()

    def telling(self) -> "Telling":
        """Predict from sequences that come now and then."""
        return Telling(self)

    def begin(self, frames: Sequence[Frames]) -> Begun:
        """Predict from frames of any sizes, shape=(n, h, w) each, one after another in batches.

        All of them go through the network, even those that repeat the one before. A GPU may be at work when this
        returns; it is waited for where one asks for predictions.
        """
        blocks = [np.concatenate(list(same)) for _, same in groupby(frames, key=lambda each: each.shape[1:])]
        n_frames = sum(map(len, blocks))
        self.n_inferred += n_frames
        while True:
            batches = [_between(blocks, first, first + self.batch) for first in range(0, n_frames, self.batch)]
            try:
                return self._begun(batches)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                self._halve(error)

    def _begun(self, batches: Sequence[Sequence[Frames]]) -> Begun:
        """Predictions of batches: on a CPU, of as many at once as torch may use threads, each on one of them."""
        if self._is_reentrant:
            with _TURN, _single_threaded() as n_threads:
                parts = [*_workers(n_threads).map(self._infer, batches)]
        else:
            with self._context():
                parts = [self._infer(each) for each in batches]
        return _fetched_later(torch.cat(parts).float())

    def _infer(self, frames: Sequence[Frames]) -> Tensor:
        """Predictions of one batch."""
        with self._context() if self._is_reentrant else nullcontext():
            enlarged = torch.cat([enlarge(self._placed(each)) for each in frames])
            n_frames = len(enlarged)
            if self._pads:
                enlarged = functional.pad(enlarged, (0, 0, 0, 0, 0, self.batch - n_frames))
            predictions: Tensor = self._network(luma(enlarged))
            return predictions[:n_frames]

    @contextmanager
    def _context(self) -> Iterator[None]:
        """What holds for the thread that infers."""
        with torch.inference_mode(), arithmetic(self._precision, self._device):
            yield

    def _placed(self, frames: Frames) -> Tensor:
        """Frames on the device."""
        small = torch.from_numpy(frames)
        return small.pin_memory().to(self._device, non_blocking=True) if self._device.type == "cuda" else small

    def _halve(self, error: RuntimeError) -> None:
        if self.batch == 1:
            raise UsageError(f"{self._device} has no memory for a single frame; take another device") from error
        self.batch //= 2
        if self._device.type == "cuda":
            torch.cuda.empty_cache()


class PredictorOf(Protocol):
    """`Predictor`, or what makes one in another way."""

    def __call__(self, network: nn.Module, *, device: str, precision: Precision, pads: bool) -> Predictor:
        """As `Predictor`."""


class Telling:
    """Takes sequences, and gives their predictions in the same order, as soon as batches are full.

    Batches are filled across sequences, whatever the size of their frames: they are enlarged before they are told.
    """

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self._waiting: deque[tuple[npt.NDArray[np.intp], int]] = deque()
        self._held: list[Frames] = []
        self._begun: deque[Begun] = deque()
        self._told: Predictions | None = None

    def take(self, sequences: Iterable[Frames]) -> Iterator[Predictions]:
        """Sequences more, uint8, shape=(T, h, w) each; gives what is told, float32, shape=(T, K) each.

        Raises
        ------
        UsageError
            As `Predictor.__call__`.
        """
        for frames in sequences:
            first, index = _distinct(frames)
            self._held.append(first)
            self._waiting.append((index, len(first)))
        at_once = self._predictor.at_once
        return self._finished(self._n_held // at_once * at_once)

    def finish(self) -> Iterator[Predictions]:
        """No more sequences come: gives what is left."""
        yield from self._finished(self._n_held)
        yield from self.settle()

    def settle(self) -> Iterator[Predictions]:
        """Gives what the device is at work on, and begins nothing."""
        return self._given(0)

    @property
    def _n_held(self) -> int:
        return sum(map(len, self._held))

    def _finished(self, n_frames: int) -> Iterator[Predictions]:
        """Tell of so many frames that are held; the sequences, from the first one on, of which all is told then."""
        if n_frames:
            now, self._held = _between(self._held, 0, n_frames), _between(self._held, n_frames, self._n_held)
            self._begun.append(self._predictor.begin(now))
        return self._given(self._predictor.n_ahead)

    def _given(self, n_ahead: int) -> Iterator[Predictions]:
        """Sequences of which all is told, when no more is left to the device than it is to have ahead."""
        while len(self._begun) > n_ahead:
            told = self._begun[0]()
            self._begun.popleft()  # not before it is told: after an error, nothing is taken for it
            self._told = told if self._told is None else np.concatenate([self._told, told])
        while self._told is not None and self._waiting and len(self._told) >= self._waiting[0][1]:
            index, n_distinct = self._waiting.popleft()
            told, self._told = self._told[:n_distinct], self._told[n_distinct:]
            yield told[index]


def _distinct(frames: Frames) -> tuple[Frames, npt.NDArray[np.intp]]:
    """Frames that differ from the one before, and for every frame its place among them."""
    if frames.dtype != np.uint8 or frames.ndim != 3 or 0 in frames.shape:
        raise UsageError(f"frames of {frames.dtype} {frames.shape}; uint8 (T, h, w) are needed, one frame or more")
    is_new = np.ones(len(frames), bool)
    is_new[1:] = (frames[1:] != frames[:-1]).any((1, 2))
    return frames[is_new], np.cumsum(is_new) - 1


def _between(frames: Sequence[Frames], start: int, stop: int) -> list[Frames]:
    """Those from `start` up to `stop`, counted over all; parts of none are left out."""
    firsts = accumulate(map(len, frames), initial=0)
    parts = (each[max(start - first, 0) : max(stop - first, 0)] for each, first in zip(frames, firsts, strict=False))
    return [part for part in parts if len(part)]


def _fetched_later(told: Tensor) -> Begun:
    """A tensor, copied from its device as soon as it is ready there."""
    if told.device.type != "cuda":
        return told.cpu().numpy
    copied = told.to("cpu", non_blocking=True)
    is_copied = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
    is_copied.record(torch.cuda.current_stream(told.device))

    def fetched() -> Predictions:
        is_copied.synchronize()
        return np.asarray(copied.numpy())

    return fetched


_TURN = threading.Lock()
"""How many threads torch uses is one number for a process."""


@cache
def _workers(number: int) -> ThreadPoolExecutor:
    """Threads that infer a batch each: where all of them work on one batch, they wait for each other at every layer."""
    return ThreadPoolExecutor(number, "codecsim-inferring")


@contextmanager
def _single_threaded() -> Iterator[int]:
    """Let torch use one thread for each of ours; gives how many it would have used."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield n_threads
    finally:
        torch.set_num_threads(n_threads)


def _keeps_nothing(layer: nn.Module) -> bool:
    """Whether a layer is known to keep nothing between calls, so that several batches may go through it at once."""
    return type(layer).__module__.startswith(("torch.nn.", "recognition."))


class _Fetching(threading.Thread):
    """Fetches sequences ahead, up to `_WAITING_FRAMES` frames, and then waits."""

    def __init__(self, sequences: Iterable[Frames]) -> None:
        super().__init__(daemon=True, name="codecsim-fetching")
        self._sequences = sequences
        self._room = threading.Condition()
        self._n_waiting = 0
        self.stopped = False
        self.found: queue.SimpleQueue[Frames | BaseException | None] = queue.SimpleQueue()

    def run(self) -> None:
        try:
            for frames in self._sequences:
                with self._room:
                    self._room.wait_for(lambda: self.stopped or self._n_waiting < _WAITING_FRAMES)
                    if self.stopped:
                        return
                    self._n_waiting += len(frames)
                self.found.put(frames)
        except BaseException as error:
            self.found.put(error)
        else:
            self.found.put(None)

    def take(self) -> Frames | None:
        """The next sequence; None after the last one."""
        found = self.found.get()
        if isinstance(found, BaseException):
            raise found
        if found is not None:
            with self._room:
                self._n_waiting -= len(found)
                self._room.notify()
        return found

    def stop(self) -> None:
        """Fetch no more."""
        with self._room:
            self.stopped = True
            self._room.notify()


def _fetched(sequences: Iterable[Frames]) -> Iterator[Frames]:
    thread = _Fetching(sequences)
    thread.start()
    try:
        while (frames := thread.take()) is not None:
            yield frames
    finally:
        thread.stop()
        with suppress(RuntimeError):
            thread.join(timeout=10)
