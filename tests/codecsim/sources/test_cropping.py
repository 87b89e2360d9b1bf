"""Crops and their resampling."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codecsim.faces import Square
from codecsim.scaling import resize
from codecsim.sources.cropping import crop, to_hr


@settings(deadline=None, max_examples=40)
@given(side=st.integers(1, 700), seed=st.integers(0, 2**32 - 1))
def test_to_hr_is_resize_bit_for_bit(side: int, seed: int) -> None:
    cut = np.random.default_rng(seed).integers(0, 256, (side, side), np.uint8)
    np.testing.assert_array_equal(to_hr(cut), resize(cut, 96, 96))


@pytest.mark.parametrize("side", [96, 511, 512, 885, 1501])
def test_to_hr_is_resize_where_its_blocks_change(side: int) -> None:
    cut = np.random.default_rng(side).choice(np.array([0, 255], np.uint8), (side, side))
    np.testing.assert_array_equal(to_hr(cut), resize(cut, 96, 96))


@given(x=st.floats(-30, 60), y=st.floats(-30, 60), side=st.floats(1, 50))
def test_crop_is_the_picture_with_its_edge_repeated(x: float, y: float, side: float) -> None:
    picture = np.arange(20 * 31, dtype=np.uint32).astype(np.uint8).reshape(20, 31)
    square = Square(x, y, side)
    left, top, pixels = square.pixels()
    padded = np.pad(picture, 100, mode="edge")
    expected = padded[100 + top : 100 + top + pixels, 100 + left : 100 + left + pixels]
    np.testing.assert_array_equal(crop(picture, square), expected)
