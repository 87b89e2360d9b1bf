"""Factor s in torch: the bytes of `codecsim.scaling`, whatever precision is set around it."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from codecsim import scaling
from codecsim.errors import UsageError
from recognition.resampling import as_received, enlarge, exact_float32, luma, resize

NOISE = np.random.default_rng(5).integers(0, 256, (5, 96, 96), np.uint8)
EXTREME = np.random.default_rng(6).choice(np.array([0, 255], np.uint8), (5, 96, 96))
CPU = torch.device("cpu")


@contextmanager
def products_in(precision: str) -> Iterator[None]:
    """Products of float32 in a precision that is lower, process-wide."""
    matmul = torch.backends.mkldnn.matmul
    before = matmul.fp32_precision
    matmul.fp32_precision = precision
    try:
        yield
    finally:
        matmul.fp32_precision = before


def as_numpy(frames: np.ndarray, height: int, width: int) -> np.ndarray:
    return resize(torch.from_numpy(frames), height, width).numpy()


@pytest.mark.parametrize("frames", [NOISE, EXTREME], ids=["noise", "extremes"])
@pytest.mark.parametrize("s", scaling.FACTORS)
def test_every_factor_gives_the_bytes_of_the_encoder_side(frames: np.ndarray, s: int) -> None:
    low = scaling.downscale(frames, s)
    assert np.array_equal(as_numpy(frames, 96 // s, 96 // s), low)
    assert np.array_equal(enlarge(torch.from_numpy(low)).numpy(), scaling.upscale(low))
    assert np.array_equal(as_received(torch.from_numpy(frames), s).numpy(), scaling.upscale(low))


def test_factor_1_changes_nothing() -> None:
    frames = torch.from_numpy(NOISE)
    assert as_received(frames, 1) is frames


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (31, 17), (33, 96), (97, 101), (200, 3)])
def test_odd_sizes_give_the_bytes_of_the_encoder_side(size: tuple[int, int]) -> None:
    odd = np.random.default_rng(7).integers(0, 256, (3, *size), np.uint8)
    assert np.array_equal(as_numpy(odd, 96, 96), scaling.upscale(odd))
    assert np.array_equal(as_numpy(NOISE, *size), scaling.resize(NOISE, *size))


@settings(deadline=None, max_examples=20)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 40),
    height=st.integers(1, 100),
    width=st.integers(1, 100),
    levels=st.sampled_from([(0, 256), (0, 2), (254, 256), (128, 129)]),
)
def test_any_frames_give_the_bytes_of_the_encoder_side(
    seed: int, n: int, height: int, width: int, levels: tuple[int, int]
) -> None:
    frames = np.random.default_rng(seed).integers(*levels, (n, height, width), np.uint8)
    assert np.array_equal(as_numpy(frames, 96, 96), scaling.upscale(frames))
    assert np.array_equal(as_numpy(frames, 13, 24), scaling.resize(frames, 13, 24))


@pytest.mark.parametrize("s", [3, 4, 16])
def test_lower_precision_around_it_changes_no_byte(s: int) -> None:
    expected = scaling.upscale(scaling.downscale(NOISE, s))
    with products_in("bf16"), torch.autocast("cpu", torch.bfloat16):
        assert np.array_equal(as_received(torch.from_numpy(NOISE), s).numpy(), expected)
        assert torch.is_autocast_enabled("cpu")
        assert torch.backends.mkldnn.matmul.fp32_precision == "bf16"


def test_products_are_exact_inside_and_the_precision_is_put_back_after_an_error() -> None:
    with products_in("bf16"):
        with suppress(ZeroDivisionError), exact_float32(CPU):
            assert torch.backends.mkldnn.matmul.fp32_precision == "ieee"
            raise ZeroDivisionError
        assert torch.backends.mkldnn.matmul.fp32_precision == "bf16"


def test_luma_of_black_and_white_is_0_and_1() -> None:
    frames = torch.tensor([0, 51, 255], dtype=torch.uint8).reshape(3, 1, 1).expand(3, 96, 96)
    made = luma(frames)
    assert (made.shape, made.dtype) == ((3, 1, 96, 96), torch.float32)
    assert made[:, 0, 0, 0].tolist() == pytest.approx([0, 0.2, 1])


def test_a_factor_that_does_not_divide_96_is_refused() -> None:
    with pytest.raises(UsageError, match="factor s = 5 does not divide"):
        as_received(torch.from_numpy(NOISE), 5)
