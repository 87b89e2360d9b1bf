"""One stream of a sweep as a file that other programs read: elementary stream, container, or decoded frames."""

import io
from fractions import Fraction
from pathlib import Path

import av
import av.error

from codecsim.atomic import replacing
from codecsim.codecs import Codec, codec_of_stream
from codecsim.decode import Frames
from codecsim.decoder_process import DecoderProcess
from codecsim.errors import CodecError, UsageError
from codecsim.store.decoding import stored_frames
from codecsim.store.sweep import Sweep

_RAW_FORMATS = {"h264": "h264", "hevc": "hevc", "av1": "obu"}
_CONTAINERS = {".mp4": "mp4", ".mkv": "matroska", ".ivf": "ivf"}


def extract(sweep: Sweep, row: int, target: Path) -> int:
    """Write the stream in `row` to `target`; its suffix says how. Returns the bytes written.

    Parameters
    ----------
    sweep : opened sweep
    row : row in /streams
    target : the codec's own suffix (.264, .265, .obu, .ivf) for the elementary stream as it is stored; .mp4 or .mkv
        for a container, whose bytes no ledger counts; .y4m for the decoded LR frames; .bin for the bare bytes

    Raises
    ------
    UsageError
        If the suffix is none of these, or another codec's.
    CodecError
        If its codec is not known, or it cannot be decoded where decoded frames are asked for.
    StoreError
        If these are others than when it was stored.
    """
    codec = codec_of_stream(str(sweep.streams["codec"][row]))
    suffix = target.suffix.lower()
    packets = sweep.packets(row)
    if suffix == ".y4m":
        with DecoderProcess() as decoder:
            data = _y4m(stored_frames(sweep, row, decoder.decode), _rate(sweep, row))
    elif suffix == ".bin" or (suffix == codec.suffix and codec.standard in _RAW_FORMATS):
        data = b"".join(packets)
    elif suffix in _CONTAINERS and (suffix != ".ivf" or codec.standard in ("vp9", "av1")):
        data = _container(sweep, row, packets, codec, _CONTAINERS[suffix])
    else:
        raise UsageError(
            f"cannot write {codec.name} as {target.suffix or 'a file without suffix'}: "
            f"use {codec.suffix}, .mp4, .mkv, .y4m (decoded frames) or .bin (bare bytes)"
        )
    with replacing(target) as temporary:
        temporary.write_bytes(data)
    return len(data)


def _rate(sweep: Sweep, row: int) -> Fraction:
    return Fraction(float(sweep.streams["fps"][row])).limit_denominator(60_060)


def _y4m(frames: Frames, rate: Fraction) -> bytes:
    """YUV4MPEG2 with gray frames; XCOLORRANGE says that luma spans 0 to 255."""
    _, height, width = frames.shape
    header = f"YUV4MPEG2 W{width} H{height} F{rate.numerator}:{rate.denominator} Ip A1:1 Cmono XCOLORRANGE=FULL\n"
    return header.encode() + b"".join(b"FRAME\n" + frame.tobytes() for frame in frames)


def _container(sweep: Sweep, row: int, packets: list[bytes], codec: Codec, name: str) -> bytes:
    table = sweep.packet_table(row)
    target, rate = io.BytesIO(), _rate(sweep, row)
    try:
        with av.open(target, "w", format=name) as container:
            stream = container.add_stream(codec.encoder, rate=rate)
            assert isinstance(stream, av.VideoStream)
            stream.width, stream.height = (int(sweep.streams[side][row]) for side in ("width", "height"))
            stream.pix_fmt = codec.pix_fmts[0]
            for index, data in enumerate(packets):
                packet = av.Packet(data)
                packet.stream, packet.time_base = stream, 1 / rate
                packet.pts, packet.dts = int(table["pts"][index]), int(table["dts"][index])
                packet.duration = 1
                packet.is_keyframe = bool(table["key"][index])
                container.mux(packet)
    except av.error.FFmpegError as error:
        raise CodecError(f"cannot put {sweep.name(row)} into {name}: {error}") from error
    return target.getvalue()
