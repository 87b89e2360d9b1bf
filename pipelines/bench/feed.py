"""`codecsim bench feed`: how fast the streams of a sweep are brought to a network, whatever device that has."""

import time
from collections.abc import Iterator, Sequence
from functools import partial
from math import inf
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from torch import nn

from codecsim import sweep as encode
from pipelines.bench.footage import FOOTAGE, SIDE, write_clips
from pipelines.bench.timing import Spent, alternated, machine, spent
from pipelines.evaluation import Evaluation
from pipelines.feeding import FEEDING
from pipelines.networks import Network
from pipelines.sweep import read_streams
from recognition.inference import BATCH, Begun, Frames, Predictions, Predictor
from recognition.methods import get_method

_METHOD = "joint-4"


def run_feed(*, rounds: int, rates: Sequence[float]) -> Iterator[str]:
    """Measure how fast a network that computes nothing is fed, and yield a line of result each.

    Parameters
    ----------
    rounds : of which the median is taken
    rates : frames a second that devices take; one that takes no time at all is fed, too
    """
    [footage], feeding = FOOTAGE["cuda"], FEEDING["cuda"]
    yield f"machine: {machine()}; {feeding.decoders} processes that decode"
    with TemporaryDirectory() as name:
        corpus, out = Path(name, "clips.h5"), Path(name, "sweep.h5")
        write_clips(corpus, footage.clips, footage.n_frames)
        encode(corpus, out=out, scales=(96 // SIDE,), qp=footage.qps, workers=footage.workers)
        network = Network(get_method(_METHOD), 0, ("valence",), "0" * 64, 0.0, nn.Identity())

        def evaluation(rate: float) -> Evaluation:
            paced = partial(_Paced, rate=rate)
            return Evaluation(
                out, [network], every=footage.every, device="cpu", force=True, feeding=feeding, predictor_of=paced
            )

        def read(rate: float) -> Evaluation:
            return read_streams(out, lambda scales: evaluation(rate))

        first = read(inf)
        n_frames = first.n_inferred
        yield f"{n_frames} frames that differ, of {first.n_read} sequences and streams"
        at = [inf, *rates]
        taken = alternated(rounds, *(partial(spent, partial(read, rate)) for rate in at))
        for rate, each in zip(at, zip(*taken, strict=True), strict=True):
            yield _said(rate, n_frames, each)


def _said(rate: float, n_frames: int, taken: Sequence[Spent]) -> str:
    wall = median(each.wall for each in taken)
    busy = f"{median(each.processor for each in taken):.1f} s of processor time"
    if rate == inf:
        return f"a device that takes no time: {n_frames / wall:.0f} frames/s, {busy}"
    return f"a device of {rate:.0f} frames/s: {n_frames / wall:.0f} frames/s, {n_frames / rate / wall:.2f} ×, {busy}"


class _Paced(Predictor):
    """A device that computes nothing, and takes its time for every batch without holding up its host, as a GPU does."""

    def __init__(self, network: nn.Module, *, rate: float, **given: Any) -> None:
        super().__init__(network, batch=BATCH["cuda"], **given)
        self._rate = rate
        self._busy_until = 0.0

    @property
    def at_once(self) -> int:
        return self.batch

    @property
    def n_ahead(self) -> int:
        return 1

    def _begun(self, batches: Sequence[Sequence[Frames]]) -> Begun:
        told = np.zeros((sum(len(each) for batch in batches for each in batch), 1), np.float32)
        self._busy_until = max(self._busy_until, time.monotonic()) + len(batches) * self.batch / self._rate
        until = self._busy_until

        def worked() -> Predictions:
            time.sleep(max(0.0, until - time.monotonic()))
            return told

        return worked
