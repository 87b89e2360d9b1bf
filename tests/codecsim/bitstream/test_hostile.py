"""Damaged streams: the bits still add up, or `BitstreamError`, and never another reading than FFmpeg's."""

import random
from functools import lru_cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codecsim.bitstream import STANDARDS, count_bits, units
from codecsim.errors import BitstreamError
from tests.codecsim.bitstream.streams import encode, header_ends, trace

OPTIONS = {
    "h264": [
        ({"qp": "24", "x264-params": "slices=2:bframes=2:aud=1"}, {"size": (64, 64)}),
        ({"qp": "28", "x264-params": "tff=1:weightp=2"}, {"size": (64, 64), "pix_fmt": "yuv420p", "fade": True}),
        ({"qp": "28", "x264-params": "cqm=jvt"}, {"size": (64, 64), "pix_fmt": "yuv444p"}),
    ],
    "hevc": [
        ({"x265-params": "qp=24:aud=1"}, {}),
        ({"x265-params": "qp=24:wpp=1:weightb=1"}, {"size": (96, 96), "pix_fmt": "yuv420p", "fade": True}),
        ({"x265-params": "qp=24:multi-pass-opt-rps=1:hrd=1:vbv-maxrate=200:vbv-bufsize=200"}, {}),
    ],
    "av1": [
        ({"qp": "40"}, {"size": (64, 64), "pix_fmt": "yuv420p"}),
        ({"qp": "40", "svtav1-params": "film-grain=20"}, {"size": (64, 64), "pix_fmt": "yuv420p"}),
    ],
    "vp9": [
        ({"crf": "30", "b": "0"}, {"pix_fmt": "yuv420p"}),
        ({"crf": "30", "b": "0", "aq-mode": "1"}, {"size": (96, 96), "pix_fmt": "yuv444p"}),
    ],
}
FIRST_PAYLOAD_BYTE = {"h264": 5, "hevc": 6, "av1": 1, "vp9": 0}


@lru_cache
def streams(standard: str) -> list[list[bytes]]:
    return [
        [bytes(packet) for packet in encode(standard, options, **{**keywords, "n": 6})]
        for options, keywords in OPTIONS[standard]
    ]


def adds_up_or_is_refused(packets: list[bytes], standard: str) -> None:
    try:
        ledger = count_bits(packets, standard)
    except BitstreamError:
        return
    assert ledger.bits_total == 8 * sum(map(len, packets))
    assert (ledger.packet_bits >= 0).all()
    assert ledger.packet_bits.sum(axis=1).tolist() == [8 * len(packet) for packet in packets]


@pytest.mark.parametrize("standard", STANDARDS)
@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_flipped_and_cut_streams(standard, data):
    packets = list(data.draw(st.sampled_from(streams(standard))))
    for _ in range(data.draw(st.integers(0, 3))):
        i = data.draw(st.integers(0, len(packets) - 1))
        damaged = bytearray(packets[i])
        position = data.draw(st.integers(0, min(120, len(damaged) - 1)))
        damaged[position] ^= data.draw(st.integers(1, 255))
        packets[i] = bytes(damaged)
    i = data.draw(st.integers(0, len(packets) - 1))
    cut = data.draw(st.integers(0, len(packets[i])))
    packets[i] = packets[i][cut:] if data.draw(st.booleans()) else packets[i][:cut]
    adds_up_or_is_refused(packets, standard)


@pytest.mark.parametrize("standard", STANDARDS)
@settings(deadline=None, max_examples=100)
@given(packets=st.lists(st.binary(max_size=60), max_size=4))
def test_noise(standard, packets):
    adds_up_or_is_refused([*streams(standard)[0][:1], *packets], standard)
    adds_up_or_is_refused([b"\0\0\1" + packet for packet in packets], standard)


@pytest.mark.parametrize("standard", STANDARDS)
def test_damaged_headers_are_read_as_ffmpeg_reads_them(standard):
    # flips in parameter sets lead to syntax that no encoder here ever writes: field pictures, slice groups, tiles …
    rng = random.Random(f"flips of {standard}")
    n_compared = 0
    for _ in range(80):
        packets = list(rng.choice(streams(standard)))
        i = rng.choice([0, rng.randrange(len(packets))])
        unit = rng.choice([unit for unit in units(packets, standard) if unit.packet == i])
        position = unit.offset + rng.randrange(FIRST_PAYLOAD_BYTE[standard], 30)
        if position >= unit.offset + unit.n_bytes:
            continue
        damaged = bytearray(packets[i])
        damaged[position] ^= 1 << rng.randrange(8)
        packets[i] = bytes(damaged)
        text, complete = trace(packets, standard)
        theirs = header_ends(text, standard)
        if not complete:
            theirs = theirs[:-1]  # the header in which FFmpeg met the error
        ours, refused = header_lengths(packets, standard)
        if complete and not refused and len(ours) != len(theirs):
            continue  # FFmpeg's demuxer dropped a unit
        n = min(len(ours), len(theirs))
        assert ours[:n] == theirs[:n], (i, position)
        n_compared += n
    assert n_compared > 100


def header_lengths(packets: list[bytes], standard: str) -> tuple[list[int], bool]:
    first = {"h264": 8, "hevc": 16, "av1": 0, "vp9": 0}[standard]
    ends = []
    try:
        for unit in units(packets, standard):
            if unit.slice_type:
                overhead = unit.bits_nal_overhead if standard == "av1" else 0
                ends.append(first + overhead + unit.bits_slice_headers)
    except BitstreamError:
        return ends, True
    return ends, False


@pytest.mark.parametrize("standard", STANDARDS)
def test_the_message_says_where(standard):
    packets = streams(standard)[0]
    with pytest.raises(BitstreamError, match=r"^packet 1, unit at byte 0: "):
        count_bits([packets[0], b"\x80" * 9], standard)


@pytest.mark.parametrize(
    ("standard", "packet"),
    [
        ("h264", b"\0\0\1\x67" + b"\x64\0\x0a" + b"\xff" * 3 + b"\0" * 12 + b"\xff"),  # sizes of 32 leading zeros
        ("h264", b"\0\0\1\x09\xf0" * 50_000),
        ("hevc", b"\0\0\1\x42\1" + b"\xff" * 5000),
        ("av1", b"\x12\0" * 50_000),
        ("av1", b"\x0a\xff\xff\xff\xff\x0f"),
        ("vp9", b"\xdf" * 50_000),
    ],
)
def test_nothing_large_comes_of_small_input(standard, packet):
    with pytest.raises(BitstreamError):
        count_bits([packet], standard)


@pytest.mark.parametrize(("standard", "unit"), [("h264", b"\0\0\1\x09"), ("hevc", b"\0\0\1\x46\1"), ("av1", b"\x12\0")])
def test_units_of_a_packet_are_bounded(standard, unit):
    with pytest.raises(BitstreamError, match="more than 65536"):
        count_bits([unit * 70_000], standard)
