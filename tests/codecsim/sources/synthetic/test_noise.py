"""Camera noise: exact, seekable, of the stated size."""

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codecsim.sources.synthetic.noise import add_noise

GRAY = np.full((20, 96, 96), 128, np.uint8)


@pytest.mark.parametrize("level", [0.5, 1.5, 3.0])
def test_the_noise_has_the_stated_deviation_at_mid_gray(level: float) -> None:
    noise = add_noise(GRAY, seed=1, first_frame=0, level=level).astype(float) - 128
    assert noise.std() == pytest.approx(np.hypot(level, np.sqrt(1 / 12)), rel=0.02)  # rounding adds a twelfth
    assert abs(noise.mean()) < 0.02


def test_bright_parts_are_noisier_than_dark_ones() -> None:
    deviation = [add_noise(np.full_like(GRAY, gray), seed=1, first_frame=0, level=2).std() for gray in (30, 128, 220)]
    assert deviation == sorted(deviation)
    assert deviation[2] / deviation[0] > 1.4


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**64 - 1), st.integers(0, 1000), st.integers(1, 6))
def test_a_part_gets_the_noise_that_it_has_in_the_whole(seed: int, first: int, cut: int) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (7, 8, 8), dtype=np.uint8)
    whole = add_noise(frames, seed=seed, first_frame=first, level=2)
    np.testing.assert_array_equal(add_noise(frames[cut:], seed=seed, first_frame=first + cut, level=2), whole[cut:])


def test_pixels_frames_and_seeds_are_independent() -> None:
    noise = add_noise(GRAY, seed=1, first_frame=0, level=3).astype(float) - 128
    other = add_noise(GRAY, seed=2, first_frame=0, level=3).astype(float) - 128
    for one, two in (
        (noise[:, 1:], noise[:, :-1]),
        (noise[..., 1:], noise[..., :-1]),
        (noise[1:], noise[:-1]),
        (noise, other),
    ):
        assert abs(np.corrcoef(one.ravel(), two.ravel())[0, 1]) < 0.01


def test_levels_stay_within_a_byte() -> None:
    black, white = (np.full((4, 96, 96), gray, np.uint8) for gray in (0, 255))
    assert add_noise(black, seed=3, first_frame=0, level=5).max() < 40
    assert add_noise(white, seed=3, first_frame=0, level=5).min() > 200


def test_the_noise_is_the_same_on_every_machine() -> None:
    noisy = add_noise(np.arange(256, dtype=np.uint8).reshape(1, 16, 16), seed=7, first_frame=3, level=1.7)
    assert hashlib.sha256(noisy.tobytes()).hexdigest()[:16] == "c35b1ee6c780117d"
