"""Decoded LR frames to predictions: they go up to the device small, are enlarged there, and are told apart in full
batches.

A codec that skips blocks repeats frames exactly; of frames in a row that are the same, one is inferred. A prediction
depends on its frame alone, up to the order of summation in the library that a batch size chooses: between batch sizes,
predictions agree to `TOLERANCE`, and where batches are always full, to the last bit.
"""

import queue
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from codecsim.errors import UsageError
from recognition.devices import Precision, arithmetic, get_device, is_out_of_memory
from recognition.resampling import enlarge, luma

Frames = npt.NDArray[np.uint8]
Predictions = npt.NDArray[np.float32]

TOLERANCE = {"fp32": 1e-5, "tf32": 5e-3, "bf16": 2e-2}
"""Largest difference of a prediction between batch sizes, for labels of the order of 1; that of tf32 is untried."""

BATCH = {"cpu": 32, "cuda": 512}
"""On two cores 32 frames are told as quickly as 128; what a GPU wants is a guess."""

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
        self._batch = BATCH[self._device.type] if batch is None else batch
        if self._batch < 1:
            raise UsageError(f"batches of {batch} frames: 1 or more are allowed")
        self._pads = pads
        self._network = network.eval().to(device=self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.n_inferred = 0
        """Frames that went through the network: the others repeated the one before."""

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

        Batches are filled across sequences as long as their frames have the same size. What fetching raises is raised
        here.
        """
        waiting: list[tuple[npt.NDArray[np.intp], int]] = []
        held: list[Frames] = []
        told: list[Predictions] = []
        for frames in _fetched(sequences):
            first, index = _distinct(frames)
            if held and first.shape[1:] != held[0].shape[1:]:
                told.append(self._tell(np.concatenate(held)))
                held.clear()
            held.append(first)
            waiting.append((index, len(first)))
            n_held = sum(map(len, held))
            if n_held >= self._batch:
                block = np.concatenate(held)
                whole = n_held // self._batch * self._batch
                told.append(self._tell(block[:whole]))
                held = [block[whole:]] if whole < n_held else []
            yield from _finished(waiting, told)
        if held:
            told.append(self._tell(np.concatenate(held)))
        yield from _finished(waiting, told)

    def _tell(self, frames: Frames) -> Predictions:
        """Predictions of frames that differ, in batches."""
        self.n_inferred += len(frames)
        with torch.inference_mode(), arithmetic(self._precision, self._device):
            parts, start = [], 0
            while start < len(frames):
                try:
                    parts.append(self._infer(frames[start : start + self._batch]))
                except RuntimeError as error:
                    if not is_out_of_memory(error):
                        raise
                    self._halve(error)
                    continue
                start += self._batch
            return np.asarray(torch.cat(parts).float().cpu().numpy())

    def _infer(self, frames: Frames) -> Tensor:
        n_missing = self._batch - len(frames) if self._pads else 0
        small = torch.from_numpy(np.pad(frames, ((0, n_missing), (0, 0), (0, 0))) if n_missing else frames)
        if self._device.type == "cuda":
            small = small.pin_memory().to(self._device, non_blocking=True)
        predictions: Tensor = self._network(luma(enlarge(small)))
        return predictions[: len(frames)]

    def _halve(self, error: RuntimeError) -> None:
        if self._batch == 1:
            raise UsageError(f"{self._device} has no memory for a single frame; take another device") from error
        self._batch //= 2
        if self._device.type == "cuda":
            torch.cuda.empty_cache()


def _distinct(frames: Frames) -> tuple[Frames, npt.NDArray[np.intp]]:
    """Frames that differ from the one before, and for every frame its place among them."""
    if frames.dtype != np.uint8 or frames.ndim != 3 or 0 in frames.shape:
        raise UsageError(f"frames of {frames.dtype} {frames.shape}; uint8 (T, h, w) are needed, one frame or more")
    is_new = np.ones(len(frames), bool)
    is_new[1:] = (frames[1:] != frames[:-1]).any((1, 2))
    return frames[is_new], np.cumsum(is_new) - 1


def _finished(waiting: list[tuple[npt.NDArray[np.intp], int]], told: list[Predictions]) -> Iterator[Predictions]:
    """Sequences, from the first one on, all of whose frames are told; they are taken off both lists."""
    while waiting and sum(map(len, told)) >= waiting[0][1]:
        index, n_distinct = waiting.pop(0)
        block = np.concatenate(told)
        told[:] = [block[n_distinct:]]
        yield block[:n_distinct][index]


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
