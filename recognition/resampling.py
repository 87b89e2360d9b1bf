"""Factor s on the device: the resampling matrix of `codecsim.scaling` in torch, to the same bytes.

Its products and sums are exact in float32, so the order of summation and the device do not matter; reduced precision
(TF32, bfloat16) does, and is kept off.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from codecsim.corpus import HR_SIDE
from codecsim.scaling import lr_side, resampling_matrix


def as_received(hr: Tensor, s: int) -> Tensor:
    """HR frames as the network gets them where nothing is lost but resolution: shrunk by s, enlarged again.

    Parameters
    ----------
    hr : uint8, shape=(N, 96, 96)
    s : factor; 1 changes nothing

    Returns
    -------
    enlarged : uint8, shape=(N, 96, 96)
    """
    side = lr_side(s)
    return enlarge(resize(hr, side, side))


def enlarge(frames: Tensor) -> Tensor:
    """LR frames, uint8, shape=(N, h, w), to the HR size: uint8, shape=(N, 96, 96)."""
    return resize(frames, HR_SIDE, HR_SIDE)


def luma(frames: Tensor) -> Tensor:
    """Frames, uint8, shape=(N, 96, 96), as networks take them: float32 in 0 … 1, shape=(N, 1, 96, 96)."""
    return frames.unsqueeze(1).float() / 255


def resize(frames: Tensor, height: int, width: int) -> Tensor:
    """Resample frames as `codecsim.scaling.resize` does: uint8, shape=(N, H, W), to uint8, shape=(N, height, width)."""
    if frames.shape[1:] == (height, width):
        return frames
    rows = _matrix(frames.shape[1], height, frames.device)
    columns = _matrix(frames.shape[2], width, frames.device).T
    with exact_float32(frames.device):
        shrunk = _to_uint8(rows @ frames.float())
        return _to_uint8(shrunk.float() @ columns)


@contextmanager
def exact_float32(device: torch.device) -> Iterator[None]:
    """Products of float32 in float32, whatever precision is set around it."""
    backends: Any = torch.backends
    backend = backends.cuda.matmul if device.type == "cuda" else backends.mkldnn.matmul
    held = backend.fp32_precision
    backend.fp32_precision = "ieee"
    try:
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        backend.fp32_precision = held


@lru_cache(maxsize=64)
def _matrix(n_in: int, n_out: int, device: torch.device) -> Tensor:
    return torch.tensor(resampling_matrix(n_in, n_out), device=device)


def _to_uint8(values: Tensor) -> Tensor:
    return values.add_(0.5).clamp_(0, 255).to(torch.uint8)
