"""Streams of a sweep file back to the frames that they were when stored, or an error that names the stream."""

import hashlib

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
    try:
        frames = decode(packets, codec, width=width, height=height)
    except CodecError as error:
        raise CodecError(f"{sweep.path}: {sweep.name(row)}: {error}") from error
    if hashlib.sha256(frames.data).hexdigest() != digest:
        raise StoreError(
            f"{sweep.path}: {sweep.name(row)} decodes to other frames than when it was stored; see codecsim verify"
        )
    return frames
