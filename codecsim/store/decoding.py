"""Streams of a sweep file back to the frames that they were when stored, or an error that names the stream."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt

from codecsim.concealment import Receive, Received
from codecsim.decode import Decode, Frames
from codecsim.errors import CodecError, StoreError
from codecsim.store.sweep import Sweep


def stored_frames(sweep: Sweep, row: int, decode: Decode) -> Frames:
    """LR frames of one stream, after their digest was checked.

    Parameters
    ----------
    sweep : opened sweep
    row : row in /streams
    decode : where to decode; a file from elsewhere wants a `codecsim.decoder_process.DecoderProcess`

    Returns
    -------
    frames : uint8, shape=(T, height, width), in display order

    Raises
    ------
    CodecError
        If the stream cannot be decoded.
    StoreError
        If it decodes to other frames than it did when it was stored, or cannot be read.
    """
    codec, digest = (str(sweep.column(name)[row]) for name in ("codec", "decoded_sha256"))
    width, height = (int(sweep.column(name)[row]) for name in ("width", "height"))
    packets = sweep.packets(row)
    with _naming(sweep, row):
        frames = decode(packets, codec, width=width, height=height)
    if hashlib.sha256(frames.data).hexdigest() != digest:
        raise StoreError(
            f"{sweep.path}: {sweep.name(row)} decodes to other frames than when it was stored; see codecsim verify"
        )
    return frames


def received_frames(sweep: Sweep, row: int, is_lost: npt.NDArray[np.bool_], receive: Receive) -> Received:
    """What a receiver shows of one stream of which some frames were lost.

    Parameters
    ----------
    sweep : opened sweep
    row : row in /streams
    is_lost : which frames, in decoding order, shape=(T,); not the first
    receive : where to decode; a file from elsewhere wants a `codecsim.decoder_process.DecoderProcess`

    Raises
    ------
    CodecError
        As `receive`, with the name of the stream.
    StoreError
        If the stream cannot be read.
    """
    codec = str(sweep.column("codec")[row])
    width, height = (int(sweep.column(name)[row]) for name in ("width", "height"))
    packets, pts = sweep.packets(row), sweep.packet_column(row, "pts")
    with _naming(sweep, row):
        return receive(packets, pts, is_lost, codec, width=width, height=height)


@contextmanager
def _naming(sweep: Sweep, row: int) -> Iterator[None]:
    """Let errors of the decoder name the stream."""
    try:
        yield
    except CodecError as error:
        raise CodecError(f"{sweep.path}: {sweep.name(row)}: {error}") from error
