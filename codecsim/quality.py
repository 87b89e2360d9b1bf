"""How far decoded frames are from what was encoded: PSNR, SSIM and, on request, the video metrics of scikit-video.

All frames are gray uint8, so peak and data range are 255. A stream is summed up by `stream_quality`:

- PSNR of a stream comes from the squared error averaged over *all* its pixels ("Global" PSNR of x264, "average" of
  ffmpeg's ``psnr`` filter). The mean of the frames' decibels would be infinite as soon as one frame is lossless. It is
  infinite only where the whole stream is lossless.
- SSIM of a stream is the mean over its frames, as Wang et al. average over a sequence.

Encoding takes about 85 µs a frame, so measuring must not take longer: SSIM is computed in float32, by small matrix
products that smooth four maps, x + y − 256, x − y and their squares, instead of the paper's five. They say the same:
E[(x+y)²] ± E[(x−y)²] are twice E[x²] + E[y²] and four times E[xy]. The 256 lowers the rounding error in bright areas
five times: against double precision it is below 1e-6 for a real frame of 96×96, and below 1e-4 for the worst frame of
a single window. The products run on one BLAS thread, since some builds round otherwise on two; the last digits may
still differ between builds and processors. Squared errors, hence PSNR, are exact.
"""

from dataclasses import dataclass
from functools import lru_cache
from threading import Lock

import numpy as np
import numpy.typing as npt
from threadpoolctl import ThreadpoolController

from codecsim._skvideo import measure
from codecsim.corpus import HR_SIDE
from codecsim.errors import UsageError
from codecsim.scaling import upscale

Frames = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]

_PEAK = 255
_WINDOW = 11
_SIGMA = 1.5

_BLAS_IS_SET = Lock()
"""Held while the number of BLAS threads is ours: it is that of the process, and another thread would set it back."""

_C1 = (0.01 * _PEAK) ** 2
_C2 = (0.03 * _PEAK) ** 2

_BATCH_PIXELS = 8 * 96 * 96  # the scratch of a batch, 32 bytes a pixel, stays near the cache; measured best of 1 to 16
_BLOCK = 8  # outputs of one banded product: 8 from 18 samples, a fifth of the work of one dense matrix for 96 pixels
_EXACT_WIDTH = 2**24 // _PEAK**2  # up to this width float32 holds a row's squared error exactly


@dataclass(frozen=True)
class StreamQuality:
    """Quality of one decoded stream.

    Attributes
    ----------
    psnr_lr_db : PSNR of the decoded against the encoded LR frames, in dB; inf where they are identical
    ssim_lr : SSIM of the same, at most 1; NaN where LR frames are smaller than 11×11
    psnr_hr_db, ssim_hr : the same for the decoded frames brought up to 96×96 against the HR frames
    """

    psnr_lr_db: float
    ssim_lr: float
    psnr_hr_db: float
    ssim_hr: float


def psnr_db(reference: Frames, distorted: Frames) -> Floats:
    """Peak signal-to-noise ratio of each frame.

    Parameters
    ----------
    reference, distorted : uint8, shape=(T, H, W)

    Returns
    -------
    psnr_db : float64, shape=(T,), in dB for a peak of 255; inf where a frame is identical

    Raises
    ------
    UsageError
        If the frames are not uint8 (T, H, W) of one shape.
    """
    _check_pair(reference, distorted)
    squared = np.empty(len(reference))
    for frames in _batches(reference):
        squared[frames] = _squared_errors(reference[frames], distorted[frames])
    return _decibels(squared, reference.shape[1] * reference.shape[2])


def ssim(reference: Frames, distorted: Frames) -> Floats:
    """Structural similarity of each frame.

    Parameters
    ----------
    reference, distorted : uint8, shape=(T, H, W)

    Returns
    -------
    ssim : float64, shape=(T,), at most 1; NaN where a side is shorter than the window of 11 pixels

    Raises
    ------
    UsageError
        If the frames are not uint8 (T, H, W) of one shape.

    Source
    ------
    Wang et al. 2004, "Image quality assessment: from error visibility to structural similarity", eq. 13 with
    K1 = 0.01, K2 = 0.03, L = 255; Gaussian window 11×11, σ = 1.5, weights that sum to 1 (population moments); mean over
    the positions where the whole window fits. Frames are never shrunk first (scikit-video does so from 384 pixels on).
    """
    _check_pair(reference, distorted)
    return _Comparison(*reference.shape[1:]).errors_and_ssim(reference, distorted)[1]


def stream_quality(hr: Frames, lr: Frames, decoded: Frames) -> StreamQuality:
    """Quality of one stream against what was encoded and against the HR frames.

    Parameters
    ----------
    hr : uint8, shape=(T, 96, 96); the frames before they were shrunk
    lr : uint8, shape=(T, H, W); the frames that were encoded
    decoded : uint8, shape=(T, H, W); `codecsim.scaling.upscale` brings them to the HR size

    Returns
    -------
    quality : one number a measure; see the head of this module for how frames are averaged

    Raises
    ------
    UsageError
        If shapes or types do not fit, or there is no frame.
    """
    _check_pair(lr, decoded, names=("lr", "decoded"))
    if hr.dtype != np.uint8 or hr.shape != (len(lr), HR_SIDE, HR_SIDE) or len(lr) == 0:
        raise UsageError(
            f"hr frames are {hr.dtype} {hr.shape}; for {len(lr)} LR frames uint8 ({len(lr)}, {HR_SIDE}, {HR_SIDE}) is "
            "needed, and at least one frame"
        )
    errors_lr, ssim_lr = _Comparison(*lr.shape[1:]).errors_and_ssim(lr, decoded)
    if lr.shape == hr.shape and np.array_equal(lr, hr):
        errors_hr, ssim_hr = errors_lr, ssim_lr
    else:
        errors_hr, ssim_hr = np.empty((2, len(hr)))
        comparison = _Comparison(*hr.shape[1:])
        for frames in _batches(hr):
            errors_hr[frames], ssim_hr[frames] = comparison.errors_and_ssim(hr[frames], upscale(decoded[frames]))
    return StreamQuality(
        psnr_lr_db=float(_decibels(errors_lr.mean(), lr[0].size)),
        ssim_lr=float(ssim_lr.mean()),
        psnr_hr_db=float(_decibels(errors_hr.mean(), hr[0].size)),
        ssim_hr=float(ssim_hr.mean()),
    )


def strred(reference: Frames, distorted: Frames) -> float:
    """ST-RRED of a video: how far the local entropies of frames and of frame differences moved. About 35 ms a frame.

    Parameters
    ----------
    reference, distorted : uint8, shape=(T, H, W), T ≥ 2, H and W ≥ 96: LR frames have to be brought up first

    Returns
    -------
    strred : float, unitless, 0 for an identical video and larger for a worse one

    Raises
    ------
    UsageError
        If the video is too short or too small: up to 40 pixels scikit-video answers 0, "perfect", to anything.

    Source
    ------
    Soundararajan & Bovik 2013, "Video quality assessment by reduced reference spatio-temporal entropic differencing",
    IEEE Trans. Circuits Syst. Video Technol. 23(4), as in ``skvideo.measure.strred`` (its second result: one entropy a
    block). Frames are taken in pairs (0, 1), (2, 3), …; an odd last one is not looked at. It works at 1/8 of the size,
    where a frame of 96×96 has sixteen blocks: compare means over many frames only.
    """
    _check_pair(reference, distorted)
    _check_size("ST-RRED", reference, n_frames=2, side=HR_SIDE)
    return float(measure("strred", reference[..., np.newaxis], distorted[..., np.newaxis])[1])


def li3ddct(decoded_hr: Frames) -> Floats:
    """No-reference features of a video from the statistics of its 4×4×4 cosine transforms. About 7 ms a frame.

    These are inputs to a regression that somebody has to train on rated videos, not a score.

    Parameters
    ----------
    decoded_hr : uint8, shape=(T, H, W), T ≥ 5, H and W ≥ 8

    Returns
    -------
    features : float64, shape=(315,): five runs of one number for each of the 63 AC coefficients, in the order of the
        raveled (frame, row, column) frequencies: mean ÷ standard deviation of the magnitude, shape of the generalised
        Gaussian, mean log₂ energy, entropy of the histogram, distance of the histogram from the mean one; unitless

    Raises
    ------
    UsageError
        If the video is too short or too small.

    Source
    ------
    Li, Guo & Lu 2016, "Spatiotemporal statistics for video quality assessment", IEEE Trans. Image Processing 25(7), as
    in ``skvideo.measure.Li3DDCT_features`` (whose own description says (T, 36); it is 315). Groups of four frames are
    averaged; the last one to four frames are not looked at.
    """
    _check_pair(decoded_hr, decoded_hr)
    _check_size("Li3DDCT", decoded_hr, n_frames=5, side=8)
    features: Floats = measure("Li3DDCT_features", decoded_hr[..., np.newaxis]).astype(np.float64)
    return features


def _check_size(name: str, frames: Frames, *, n_frames: int, side: int) -> None:
    if len(frames) < n_frames or min(frames.shape[1:]) < side:
        raise UsageError(f"{name} needs at least {n_frames} frames of {side}×{side}, not {frames.shape}")


def _check_pair(reference: Frames, distorted: Frames, names: tuple[str, str] = ("reference", "distorted")) -> None:
    for name, frames in zip(names, (reference, distorted), strict=True):
        if frames.dtype != np.uint8 or frames.ndim != 3 or 0 in frames.shape[1:]:
            raise UsageError(f"{name} frames are {frames.dtype} {frames.shape}; gray uint8 (T, H, W) is needed")
    if reference.shape != distorted.shape:
        raise UsageError(
            f"{names[0]} frames have shape {reference.shape}, {names[1]} {distorted.shape}: they must be equal; "
            "was a frame lost, or the coded size not cropped?"
        )


def _batches(frames: Frames) -> list[slice]:
    step = max(1, _BATCH_PIXELS // frames[:1].size) if len(frames) else 1
    return [slice(start, start + step) for start in range(0, len(frames), step)]


def _squared_errors(reference: Frames, distorted: Frames) -> Floats:
    """Sum of the squared differences of each frame, exact: float64, shape=(T,)."""
    difference = reference.astype(np.float32)
    difference -= distorted
    difference *= difference
    return _sum_exactly(difference, axis=(2, 1))


def _sum_exactly(squares: npt.NDArray[np.float32], axis: tuple[int, int]) -> Floats:
    """Sum whole numbers up to 255² over `axis`, the axis of columns first."""
    narrow = np.float32 if squares.shape[axis[0]] <= _EXACT_WIDTH else np.float64
    total: Floats = squares.sum(axis=axis[0], dtype=narrow).sum(axis=axis[1], dtype=np.float64)
    return total


def _decibels(squared_error: Floats | np.floating, n_pixels: int) -> Floats:
    with np.errstate(divide="ignore"):
        decibels: Floats = 10 * np.log10(_PEAK**2 * n_pixels / squared_error)
    return decibels


class _Comparison:
    """Compares frames of one size, batch after batch, in the same scratch memory."""

    def __init__(self, height: int, width: int) -> None:
        self._fits = min(height, width) >= _WINDOW
        self._out = height - _WINDOW + 1, width - _WINDOW + 1
        self._scratch = np.empty((0, 0), np.float32)

    def errors_and_ssim(self, reference: Frames, distorted: Frames) -> tuple[Floats, Floats]:
        """Squared error and SSIM of each frame: float64, shape=(T,), twice."""
        errors, similarity = np.full((2, len(reference)), np.nan)
        with _BLAS_IS_SET, _blas().limit(limits=1, user_api="blas"):
            for frames in _batches(reference):
                if self._fits:
                    errors[frames], similarity[frames] = self._batch(reference[frames], distorted[frames])
                else:
                    errors[frames] = _squared_errors(reference[frames], distorted[frames])
        return errors, similarity

    def _batch(self, x: Frames, y: Frames) -> tuple[Floats, Floats]:
        n, height, width = x.shape
        rows, columns = self._out
        if self._scratch.shape[1] < 4 * x.size:
            self._scratch = np.empty((2, 4 * x.size), np.float32)
        first, second = self._scratch

        # Rows lead and frames come next, so that one product smooths the columns of all frames.
        maps = first[: 4 * x.size].reshape(4, height, n, width)
        total, difference = maps[:2]
        reference = second[: x.size].reshape(height, n, width)
        np.copyto(reference, x.transpose(1, 0, 2))
        np.copyto(total, y.transpose(1, 0, 2))
        np.subtract(reference, total, out=difference)
        total += reference
        total -= _PEAK + 1
        np.multiply(maps[:2], maps[:2], out=maps[2:])
        errors = _sum_exactly(maps[3], axis=(2, 0))

        across = maps.reshape(4, height, n * width)
        down = second[: 4 * rows * n * width].reshape(4, rows, n * width)
        for out, taken, weights, _ in _bands(rows):
            np.matmul(weights, across[:, taken], out=down[:, out])
        lines = down.reshape(4 * rows * n, width)
        smooth = first[: 4 * rows * n * columns].reshape(4 * rows * n, columns)
        for out, taken, _, weights in _bands(columns):
            np.matmul(lines[:, taken], weights, out=smooth[:, out])

        # With a = E[x+y]², b = E[x−y]² and p, q the variances of x+y and x−y:
        # SSIM = (a − b + 2·C1)(p − q + 2·C2) / ((a + b + 2·C1)(p + q + 2·C2)).
        a, b, p, q = smooth.reshape(4, rows, n, columns)
        product = second[: a.size].reshape(a.shape)
        np.multiply(a, a, out=product)
        p -= product
        p += 2 * _C2
        a += _PEAK + 1
        a *= a
        a += 2 * _C1
        b *= b
        q -= b
        np.subtract(a, b, out=product)
        a += b
        np.subtract(p, q, out=b)
        p += q
        product *= b
        a *= p
        product /= a
        return errors, product.sum(axis=2).sum(axis=0, dtype=np.float64) / (rows * columns)


@lru_cache(maxsize=1)
def _blas() -> ThreadpoolController:
    """The libraries that are loaded, looked up once: that takes milliseconds."""
    return ThreadpoolController()


@lru_cache(maxsize=64)
def _bands(n_out: int) -> list[tuple[slice, slice, npt.NDArray[np.float32], npt.NDArray[np.float32]]]:
    """Gaussian smoothing of n_out + 10 samples to n_out, cut into blocks.

    Returns
    -------
    bands : of each block the outputs, the inputs, the weights as (outputs, inputs) and as (inputs, outputs), both in
        C order: transposed on the fly, such small products take half as long again
    """
    gaussian = np.exp(-0.5 * (np.arange(_WINDOW) - _WINDOW // 2) ** 2 / _SIGMA**2)
    block = min(_BLOCK, n_out)
    weights = np.zeros((block, block + _WINDOW - 1), np.float32)
    for i in range(block):
        weights[i, i : i + _WINDOW] = gaussian / gaussian.sum()
    transposed = np.ascontiguousarray(weights.T)
    starts = [min(start, n_out - block) for start in range(0, n_out, block)]
    return [(slice(i, i + block), slice(i, i + block + _WINDOW - 1), weights, transposed) for i in starts]
