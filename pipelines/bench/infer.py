"""`codecsim bench infer`: LR frames to predictions, against the network alone with its inputs ready-made."""

from collections.abc import Iterator, Sequence
from functools import partial
from statistics import median

import numpy as np
import torch
from torch import Tensor, nn

from codecsim.corpus import HR_SIDE
from pipelines.bench.timing import alternated, seconds
from pipelines.bench.work import forward_flops, peak_bytes, product_flops_per_second, setting
from recognition.devices import Precision, arithmetic, get_device
from recognition.inference import BATCH, Predictor
from recognition.networks import ValenceCNN, Variant
from recognition.resampling import enlarge, luma

_SIDE = 24
_BATCHES = {"cpu": 32, "cuda": 64}


def run_infer(*, rounds: int, device: str, precisions: Sequence[Precision], variant: Variant) -> Iterator[str]:
    """Measure inference with the valence CNN, and yield a line of result each."""
    place = get_device(device)
    batch = BATCH[place.type]
    n_frames = batch * _BATCHES[place.type]
    network = ValenceCNN(variant=variant)
    work = forward_flops(network, torch.zeros(1, 1, HR_SIDE, HR_SIDE))
    yield setting(place)
    yield f"valence CNN, {variant}: {work:,} FLOPs a frame; {n_frames} frames of {_SIDE}×{_SIDE}, batches of {batch}"
    frames = np.random.default_rng(0).integers(0, 256, (n_frames, _SIDE, _SIDE), np.uint8)
    repeated = np.repeat(frames[: n_frames // 2], 2, 0)
    for precision in precisions:
        predict = Predictor(network, device=device, precision=precision, batch=batch)
        ready = luma(enlarge(torch.from_numpy(frames).to(place))).contiguous(memory_format=torch.channels_last)
        taken = alternated(
            rounds,
            partial(seconds, partial(predict, frames)),
            partial(seconds, partial(alone, network, torch.split(ready, batch), precision, place)),
            partial(seconds, partial(predict, repeated)),
            partial(product_flops_per_second, precision, place),
        )
        rate = n_frames / median(ours for ours, _, _, _ in taken)
        to_bare = median(bare / ours for ours, bare, _, _ in taken)
        share = median(work * n_frames / ours / product for ours, _, _, product in taken)
        to_distinct = median(ours / twice for ours, _, twice, _ in taken)
        owner, peak = peak_bytes(place)
        yield f"{precision}: {rate:.0f} frames/s, {to_bare:.2f} × the bare network, {share:.0%} of a product's rate"
        yield f"{precision}, every frame twice: {to_distinct:.2f} × as fast; peak of the {owner} {peak / 1e6:.0f} MB"


def alone(network: nn.Module, inputs: Sequence[Tensor], precision: Precision, device: torch.device) -> None:
    """The network on luma that lies ready on the device, batch by batch."""
    with torch.inference_mode(), arithmetic(precision, device):
        torch.cat([network(part) for part in inputs]).cpu()
