"""Frames to a stream of elementary-stream packets, in memory, through PyAV, one encoder thread a job."""

import functools
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import av.logging
import numpy as np
import numpy.typing as npt
from av.packet import Packet

from codecsim.codecs import EncoderSettings, check_settings, check_side, check_value, codec_of
from codecsim.errors import CodecError, UsageError
from codecsim.planes import luma

Frames = npt.NDArray[np.uint8]

os.environ.setdefault("SVT_LOG", "1")  # libSvtAv1Enc writes its banner to stderr otherwise; errors stay

_NEUTRAL_CHROMA = 128


@dataclass(frozen=True, slots=True)
class Stream:
    """One sequence coded at one operating point.

    Attributes
    ----------
    settings : how it was coded
    width, height : LR size in pixels
    fps : frames a second of source time
    packets : elementary-stream bytes of each coded frame, in decoding order
    pts, dts : int64, shape=(n_packets,), in frames
    key : bool, shape=(n_packets,), whether decoding can start there
    """

    settings: EncoderSettings
    width: int
    height: int
    fps: float
    packets: tuple[bytes, ...]
    pts: npt.NDArray[np.int64]
    dts: npt.NDArray[np.int64]
    key: npt.NDArray[np.bool_]

    @property
    def n_bytes(self) -> int:
        """Bytes of the elementary stream; no container is counted."""
        return sum(map(len, self.packets))


def encode(frames: Frames, settings: EncoderSettings, value: float, *, fps: float) -> Stream:
    """Encode LR frames at one operating point.

    Parameters
    ----------
    frames : uint8, shape=(T, H, W), T >= 1; written to the luma plane as they are, without any change of range
    settings : codec and options
    value : QP, CRF or kbit/s, as `settings.mode` says
    fps : frames a second of source time

    Raises
    ------
    UsageError
        If the codec cannot take the settings, the value or the size.
    CodecError
        If the encoder fails; carries its message.
    """
    if frames.ndim != 3 or frames.dtype != np.uint8 or not len(frames):
        raise UsageError(f"frames of {frames.dtype} {frames.shape}: uint8 (T, H, W) with T of at least 1 is needed")
    n_frames, height, width = frames.shape
    packets: list[Packet[Any]] = []
    with _codec_errors(settings, value):
        context = _open(settings, value, width, height, fps)
        picture = _picture(width, height, codec_of(settings).pix_fmt(settings))
        plane, pixels = picture.planes[0], luma(picture)
        address = plane.buffer_ptr
        for index in range(n_frames):
            picture.make_writable()
            if plane.buffer_ptr != address:  # the encoder kept the last buffer: this is another one
                pixels, address = luma(picture), plane.buffer_ptr
            pixels[:] = frames[index]
            picture.pts = index
            packets += context.encode(picture)
        packets += context.encode(None)
    if len(packets) != n_frames:
        raise CodecError(f"{settings.codec} made {len(packets)} packets of {n_frames} frames")
    return Stream(
        settings=settings,
        width=width,
        height=height,
        fps=fps,
        packets=tuple(map(bytes, packets)),
        pts=np.array([packet.pts for packet in packets], np.int64),
        dts=np.array([packet.pts if packet.dts is None else packet.dts for packet in packets], np.int64),
        key=np.array([packet.is_keyframe for packet in packets], np.bool_),
    )


def check_encoder(settings: EncoderSettings, value: float, side: int) -> None:
    """Open the encoder once, without work, and refuse what it would refuse or silently ignore.

    Encoders skip an option of their own that they do not know, with a log line at most; here that is an error.

    Raises
    ------
    UsageError
        Naming the option, or with the encoder's own message.
    """
    check_settings(settings)
    check_value(settings, value)
    check_side(settings, side)
    level = av.logging.get_level()
    av.logging.set_level(av.logging.WARNING)
    try:
        with av.logging.Capture() as logs:
            context = _open(settings, value, side, side, 25.0)
    except av.FFmpegError as error:
        raise UsageError(f"{settings.codec} refuses these options: {error}") from error
    finally:
        av.logging.set_level(level)
    unknown = [
        match[1]
        for _, _, text in logs
        if (match := re.search(r"(?:rror parsing option|nknown option:) '?([\w-]+)", text))
    ] + list(context.options)
    if unknown:
        given = dict(settings.raw).get(unknown[0], "")
        raise UsageError(f"{settings.codec} does not take the option {unknown[0]}={given}; see the encoder's manual")


@functools.cache
def encoder_version(codec: str) -> str:
    """Which encoder build writes the bits: its own banner where it has one, and the libraries around it."""
    settings = EncoderSettings(codec=codec)
    side = max(16, codec_of(settings).min_side)
    data = b"".join(encode(np.zeros((1, side, side), np.uint8), settings, 30, fps=25.0).packets)
    banner = re.search(rb"(x264 - core \d+(?: r\d+\w* \w+)?|x265 \(build \d+\) - [^:]+)", data)
    own = banner[1].decode() if banner else codec_of(settings).encoder
    return f"{own}; FFmpeg {av.ffmpeg_version_info}; PyAV {av.__version__}"


@contextmanager
def _codec_errors(settings: EncoderSettings, value: float) -> Iterator[None]:
    try:
        yield
    except av.FFmpegError as error:
        raise CodecError(f"{settings.codec} at {settings.mode} {value:g} failed: {error}") from error


def _open(settings: EncoderSettings, value: float, width: int, height: int, fps: float) -> av.VideoCodecContext:
    codec = codec_of(settings)
    context = av.VideoCodecContext.create(codec.encoder, "w")
    assert isinstance(context, av.VideoCodecContext)
    rate = Fraction(fps).limit_denominator(60_060)
    context.width, context.height = width, height
    context.pix_fmt = codec.pix_fmt(settings)
    context.framerate = rate
    context.time_base = 1 / rate
    context.thread_count = 1
    context.options = dict(codec.av_options(settings, value))
    context.open()
    return context


def _picture(width: int, height: int, pix_fmt: str) -> av.VideoFrame:
    picture = av.VideoFrame(width, height, pix_fmt)
    for plane in picture.planes[1:]:
        plane.update(bytes([_NEUTRAL_CHROMA]) * plane.buffer_size)
    return picture
