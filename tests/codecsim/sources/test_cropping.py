"""Crops and their resampling."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codecsim.faces import Square
from codecsim.scaling import resize
from codecsim.sources.cropping import crop, cut_out, to_hr


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


def test_a_face_is_cut_out_with_its_box() -> None:
    gray = np.random.default_rng(2).integers(0, 256, (150, 200), np.uint8)
    frame, box = cut_out(gray, Square(60.3, 70.2, 96.4))
    assert box == (12, 22, 96, 96)
    np.testing.assert_array_equal(frame, gray[22:118, 12:108])
