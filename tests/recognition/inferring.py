"""Frames, a network that knows what it was given, what it has to tell, and the thread that fetches."""

import threading
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from codecsim.scaling import upscale
from recognition.devices import Precision
from recognition.inference import TOLERANCE
from recognition.resampling import luma
from tests.recognition.small import SmallNetwork

RNG = np.random.default_rng(2)


def noise(n: int, side: int = 24) -> np.ndarray:
    return RNG.integers(0, 256, (n, side, side), np.uint8)


class Watched(SmallNetwork):
    """Knows the sizes of the batches that it was given, and how many a device has room for."""

    def __init__(self, room: int = 10**6, error: Callable[[], RuntimeError] | None = None) -> None:
        super().__init__(2)
        self.sizes: list[int] = []
        self.room = room
        self.error = error or (lambda: torch.OutOfMemoryError("CUDA out of memory"))

    def forward(self, x: Tensor) -> Tensor:
        self.sizes.append(len(x))
        if len(x) > self.room:
            raise self.error()
        return super().forward(x)


def expected(network: nn.Module, frames: np.ndarray) -> np.ndarray:
    """Predictions of frames one by one, from the bytes of the encoder side."""
    with torch.no_grad():
        return np.concatenate([network(luma(torch.from_numpy(upscale(each[None])))).numpy() for each in frames])


def close(found: np.ndarray, wanted: np.ndarray, precision: Precision = "fp32") -> None:
    assert found.dtype == np.float32
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=0, atol=TOLERANCE[precision])


def fetching() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "codecsim-fetching"]


def eventually(happened: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 10
    while not happened() and time.monotonic() < deadline:
        time.sleep(0.001)
    return happened()
