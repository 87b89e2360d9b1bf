"""A stream of which frames were lost, decoded as a receiver would: what arrives is decoded, gaps are concealed.

The decoder gets what arrived, in order, and conceals as it does by itself. Where a reference is missing, FFmpeg's
H.264 decoder takes the frame before it, its H.265 decoder a gray one, its VP9 decoder whatever stands in its place;
dav1d (AV1) refuses the frame. A frame that does not come out is replaced by the last one that was shown.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import av
import numpy as np
import numpy.typing as npt
from av.codec.context import Flags

from codecsim.decode import Frames, check_pixels, decoder_of, luma_of
from codecsim.errors import CodecError


@dataclass(frozen=True)
class Received:
    """What a receiver shows of a stream.

    Attributes
    ----------
    frames : uint8, shape=(T, height, width), in display order
    is_concealed : bool, shape=(T,), which frames are repetitions, since they were lost or did not come out
    """

    frames: Frames
    is_concealed: npt.NDArray[np.bool_]


class Receive(Protocol):
    """`receive`, or what does the same elsewhere."""

    def __call__(
        self,
        packets: Sequence[bytes],
        pts: npt.NDArray[np.integer],
        is_lost: npt.NDArray[np.bool_],
        codec: str,
        /,
        *,
        width: int,
        height: int,
    ) -> Received:
        """As `receive`."""


def receive(
    packets: Sequence[bytes],
    pts: npt.NDArray[np.integer],
    is_lost: npt.NDArray[np.bool_],
    codec: str,
    *,
    width: int,
    height: int,
) -> Received:
    """Decode what arrived of a stream, and conceal the rest; where all arrived, the frames are those of `decode`.

    Parameters
    ----------
    packets : elementary-stream bytes of each frame, in decoding order
    pts : place of each in display order, shape=(T,): 0 … T − 1, each once
    is_lost : which were lost, shape=(T,); not the first
    codec : name in `CODECS`
    width, height : LR size in pixels

    Raises
    ------
    CodecError
        If the places are others, nothing comes out for the first place, or a frame of another size comes out. An error
        of the decoder is none: the frame that it met there counts as lost.
    """
    n_frames = len(packets)
    check_pixels(n_frames, width, height)
    if not np.array_equal(np.sort(pts), np.arange(n_frames)):
        raise CodecError(f"{codec}: the frames do not stand at the places 0 to {n_frames - 1}, each once")
    frames = np.empty((n_frames, height, width), np.uint8)
    is_concealed = np.ones(n_frames, np.bool_)
    for picture in _pictures(packets, pts, is_lost, codec):
        if picture.pts is None:
            raise CodecError(f"{codec}: a frame came out without its place")
        frames[picture.pts] = luma_of(picture, width, height)
        is_concealed[picture.pts] = False
    if is_concealed[:1].any():
        raise CodecError(f"{codec}: the first frame arrived, and did not come out of the decoder")
    shown = np.maximum.accumulate(np.where(is_concealed, 0, np.arange(n_frames)))
    return Received(frames[shown], is_concealed)


def _pictures(
    packets: Sequence[bytes], pts: npt.NDArray[np.integer], is_lost: npt.NDArray[np.bool_], codec: str
) -> Iterator[av.VideoFrame]:
    """What comes out of the decoder, each with its place; damaged ones too."""
    context = decoder_of(codec)
    context.flags |= Flags.output_corrupt
    for index in [*np.flatnonzero(~is_lost).tolist(), None]:
        packet = None
        if index is not None:
            packet = av.Packet(packets[index])
            packet.pts = int(pts[index])
        try:
            yield from context.decode(packet)
        except av.FFmpegError as error:
            if isinstance(error, MemoryError):
                raise
