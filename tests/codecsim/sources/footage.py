"""Recordings that the tests make: the talking-head clip in other containers, sizes, turns and states of repair."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from codecsim.sources.builtin import builtin_path

Pixels = npt.NDArray[np.uint8]


@cache
def carphone_rgb() -> Pixels:
    """All frames of the clip: uint8 (120, 144, 176, 3)."""
    with av.open(str(builtin_path("carphone"))) as container:
        frames = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
    frames.flags.writeable = False
    return frames


def blank(n_frames: int, *, height: int = 144, width: int = 176) -> Pixels:
    """Frames without a face: uint8 (n, height, width, 3), one gray."""
    return np.full((n_frames, height, width, 3), 120, np.uint8)


def write_video(
    path: Path,
    frames: Iterable[Pixels],
    *,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    rate: int = 25,
    ticks: Sequence[int] | None = None,
    rotation: int = 0,
    options: dict[str, str] | None = None,
) -> Path:
    """Encode RGB frames, uint8 (H, W, 3), near lossless.

    Parameters
    ----------
    ticks : times of the frames in milliseconds; even at `rate` where None
    rotation : counter-clockwise degrees that the container asks for
    """
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate, options=options or {"crf": "10", "preset": "veryfast", "g": "30"})
        stream.pix_fmt = pix_fmt
        if rotation:
            stream.set_display_rotation(rotation)
        container.mux(_encoded(stream, frames, ticks))
    return path


def _encoded(stream: av.VideoStream, frames: Iterable[Pixels], ticks: Sequence[int] | None) -> Iterator[av.Packet]:
    for index, pixels in enumerate(frames):
        if index == 0:
            stream.height, stream.width = pixels.shape[:2]
            if ticks is not None:
                stream.codec_context.time_base = Fraction(1, 1000)
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), "rgb24")
        if ticks is not None:
            frame.pts, frame.time_base = ticks[index], Fraction(1, 1000)
        yield from stream.encode(frame)
    yield from stream.encode()


def spoil(path: Path, numbers: Collection[int]) -> Path:
    """Overwrite the coded pictures of these numbers where they lie in an MP4 file."""
    with av.open(str(path)) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    data = bytearray(path.read_bytes())
    for number in numbers:
        begin, size = packets[number]
        assert begin is not None
        data[begin : begin + size] = b"\xff" * size
    path.write_bytes(data)
    return path


def write_sound(path: Path, *, cover: bool = False) -> Path:
    """Half a second of silence, with a cover picture beside it if asked for."""
    with av.open(str(path), "w", format="mp4") as container:
        audio = container.add_stream("aac", 48_000)
        picture = None
        if cover:
            picture = container.add_stream("mjpeg", 1)
            picture.width, picture.height, picture.pix_fmt = 176, 144, "yuvj420p"
            picture.disposition = av.stream.Disposition.attached_pic
        for _ in range(24):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            frame.sample_rate = 48_000
            container.mux(audio.encode(frame))
        container.mux(audio.encode())
        if picture is not None:
            container.mux(picture.encode(av.VideoFrame.from_ndarray(carphone_rgb()[0], "rgb24")))
            container.mux(picture.encode())
    return path
