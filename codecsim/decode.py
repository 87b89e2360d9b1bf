"""A stream back to its LR frames, bit-exact, in memory, through PyAV."""

from collections.abc import Sequence
from typing import Protocol

import av
import numpy as np
import numpy.typing as npt

from codecsim.codecs import codec_of_stream
from codecsim.errors import CodecError
from codecsim.planes import luma

Frames = npt.NDArray[np.uint8]


class Decode(Protocol):
    """`decode`, or what does the same elsewhere."""

    def __call__(self, packets: Sequence[bytes], codec: str, /, *, width: int, height: int) -> Frames:
        """As `decode`."""


_GRAY_FORMATS = frozenset({"gray", "yuv420p", "yuvj420p"})
_MAX_PIXELS = 2**34


def decode(packets: Sequence[bytes], codec: str, *, width: int, height: int) -> Frames:
    """Decode all packets of a stream and check that each gave a frame of the expected size.

    Parameters
    ----------
    packets : elementary-stream bytes of each frame, in decoding order
    codec : name in `CODECS`
    width, height : LR size in pixels

    Returns
    -------
    frames : uint8, shape=(T, height, width), in display order: the luma plane as decoded

    Raises
    ------
    CodecError
        If there is no such codec, or the decoder fails, meets an error that it would conceal, or gives another number
        or size of frames. Damage that leaves a valid stream is no error to a decoder (of 300 single flipped bits in
        x264 streams 137 were): the digests of a sweep tell it.
    """
    width, height = int(width), int(height)
    check_pixels(len(packets), width, height)
    context = decoder_of(codec)
    context.options = {"err_detect": "explode"}
    frames = np.empty((len(packets), height, width), np.uint8)
    n_frames = 0
    try:
        for index in range(len(packets) + 1):
            last = index == len(packets)
            for picture in context.decode(None if last else av.Packet(packets[index])):
                if n_frames == len(frames):
                    raise CodecError(f"{codec}: more frames came out than the {len(packets)} that went in")
                if picture.is_corrupt:
                    raise CodecError("a decoded frame is marked as damaged")
                frames[n_frames] = luma_of(picture, width, height)
                n_frames += 1
    except av.FFmpegError as error:
        raise CodecError(f"{codec}: decoding failed after {n_frames} of {len(packets)} frames: {error}") from error
    if n_frames != len(packets):
        raise CodecError(f"{codec}: {n_frames} frames came out of {len(packets)} packets")
    return frames


def check_pixels(n_frames: int, width: int, height: int) -> None:
    """Refuse more pixels than are decoded at once with a `CodecError`, before memory is taken."""
    if n_frames * width * height > _MAX_PIXELS:
        raise CodecError(f"{n_frames} frames of {width}×{height} are more than this decoder takes at once")


def decoder_of(codec: str) -> av.VideoCodecContext:
    """A decoder of a codec's streams that works on one thread: same packets, same frames."""
    context = av.VideoCodecContext.create(codec_of_stream(codec).decoder, "r")
    assert isinstance(context, av.VideoCodecContext)
    context.thread_count = 1
    return context


def luma_of(picture: av.VideoFrame, width: int, height: int) -> Frames:
    """The luma plane of a decoded frame, shape=(height, width); `CodecError` where it is of another size or format."""
    if (picture.width, picture.height) != (width, height) or picture.format.name not in _GRAY_FORMATS:
        raise CodecError(
            f"a frame of {picture.width}×{picture.height} {picture.format.name} came out; "
            f"{width}×{height} with 8-bit luma was expected"
        )
    return luma(picture)
