"""`codecsim bench evaluate`: streams to predictions, against the network alone with its inputs ready-made."""

import sys
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from codecsim import sweep as encode
from pipelines.bench.footage import FOOTAGE, SIDE, Footage, write_clips
from pipelines.bench.infer import alone
from pipelines.bench.memory import CAN_WATCH, watched
from pipelines.bench.timing import alternated, spent
from pipelines.bench.work import setting
from pipelines.evaluation import Evaluation
from pipelines.networks import Network
from pipelines.sweep import read_streams
from recognition.devices import Precision, get_device
from recognition.inference import BATCH
from recognition.methods import get_method
from recognition.models import save_model
from recognition.networks import ValenceCNN, Variant
from recognition.resampling import enlarge, luma
from recognition.training import weights_path

_CORPUS = "demo"
_METHOD = "joint-4"
_READY_FRAMES = 32_768
"""Inputs of the bare network that lie ready, at most: 1.2 GB. It is given the same ones again."""

_SEQUENCES = (1, 20, 200, 600)
"""Few are encoded before a network has started; of 200 and of 600, some are encoded, decoded and recognised at once."""

_FRAMES_OF_EACH = 100


def run_evaluate(*, rounds: int, device: str, precisions: Sequence[Precision], variant: Variant) -> Iterator[str]:
    """Measure how networks read sweeps of the demo, and yield a line of result each."""
    place = get_device(device)
    yield setting(place)
    with TemporaryDirectory() as name:
        folder = Path(name)
        for precision in precisions:
            for footage in FOOTAGE[place.type]:
                yield from _speed(folder, rounds, footage, device=place, precision=precision, variant=variant)
        yield f"memory: {_memory(folder, variant)}"


def _speed(
    folder: Path,
    rounds: int,
    footage: Footage,
    *,
    device: torch.device,
    precision: Precision,
    variant: Variant,
) -> Iterator[str]:
    corpus: str | Path = _CORPUS
    if footage.clips:
        corpus = folder / "clips.h5"
        write_clips(corpus, footage.clips, footage.n_frames)
    network = ValenceCNN(variant=variant)
    reader = Network(get_method(_METHOD), 0, ("valence",), "0" * 64, 0.0, network)
    grid: dict[str, Any] = {"scales": (96 // SIDE,), "qp": footage.qps, "workers": footage.workers}

    def evaluation(out: Path) -> Evaluation:
        return Evaluation(out, [reader], every=footage.every, device=str(device), precision=precision, force=True)

    def end_to_end(out: Path) -> None:
        out.unlink(missing_ok=True)
        encode(corpus, out=out, follower=evaluation(out).follow, **grid)

    out = folder / "sweep.h5"
    out.unlink(missing_ok=True)
    encode(corpus, out=out, **grid)
    first = read_streams(out, lambda scales: evaluation(out))
    counted = first.n_inferred
    small = np.random.default_rng(0).integers(0, 256, (min(counted, _READY_FRAMES), SIDE, SIDE), np.uint8)
    ready = luma(enlarge(torch.from_numpy(small).to(device))).contiguous(memory_format=torch.channels_last)
    batches = [*islice(cycle(torch.split(ready, BATCH[device.type])), -(-counted // BATCH[device.type]))]
    taken = alternated(
        rounds,
        partial(spent, partial(read_streams, out, lambda scales: evaluation(out))),
        partial(spent, partial(alone, network, batches, precision, device)),
        partial(spent, partial(end_to_end, folder / "whole.h5")),
    )
    yield (
        f"{precision}: {counted} frames that differ, of {first.n_read} sequences and streams of which one frame in "
        f"{footage.every} is shown"
    )
    for index, what in ((0, "from streams to predictions that are stored"), (2, "end to end, encoding too")):
        rate = counted / median(each[index].wall for each in taken)
        to_bare = median(each[1].wall / each[index].wall for each in taken)
        line = f"{precision}, {what}: {rate:.0f} frames/s, {to_bare:.2f} × the bare network"
        if device.type == "cpu":
            share = median(each[1].processor / each[index].processor for each in taken)
            line += f", which alone takes {share:.0%} of the processor time"
        yield line


def _memory(folder: Path, variant: Variant) -> str:
    """Peak and median memory of sweeps of one sequence, and of more and more, that a network reads."""
    if not CAN_WATCH:
        return "left out: needs Linux's /proc"
    method, taken = get_method(_METHOD), []
    provenance = {"method": _METHOD, "variant": variant, "labels": ["valence"], "trained_on": list(method.trained_on)}
    settings = {"sr_scale": method.sr_scale, "settings": {"seed": 0, "delay_seconds": 0.0}}
    save_model(weights_path(folder, _METHOD, 0), method.build(variant=variant), provenance | settings)
    for number in _SEQUENCES:
        corpus, out = folder / f"{number}.h5", folder / f"{number}-sweep.h5"
        write_clips(corpus, number, _FRAMES_OF_EACH)
        command = [sys.executable, "-m", "pipelines.cli", "sweep", str(corpus), "--out", str(out), "--qp", "30"]
        grid = ["--scales", "4", "--workers", "1", "--no-plot"]
        networks = ["--methods", _METHOD, "--models", str(folder), "--every", "50", "--device", "cpu"]
        status, memory = watched([*command, *grid, *networks])
        if status:
            return f"the sweep failed with status {status}"
        taken.append(f"{memory.pss / 1e6:.0f} MB (median {memory.median_pss / 1e6:.0f}) for {number}")
    return f"at most {', '.join(taken)} sequences of {_FRAMES_OF_EACH} frames"
