"""The ledger: what the encoders themselves say of their frames, sizes, purposes, and refusals."""

import math
from dataclasses import asdict

import numpy as np
import pytest

from codecsim.bitstream import PURPOSES, STANDARDS, Unit, count_bits, units
from codecsim.bitstream.quantizer import AV1_QUANTIZER, QINDEX, VP9_QUANTIZER
from codecsim.errors import BitstreamError, UsageError
from tests.codecsim.bitstream.streams import encode

CONSTANT_QP = {
    "h264": [
        ({"qp": qp}, {"size": size, "n": 60}) for qp in ("0", "24", "40") for size in ((32, 32), (24, 24), (6, 6))
    ],
    "hevc": [({"x265-params": f"qp={qp}"}, {"size": (32, 24), "n": 60}) for qp in (0, 24, 48)],
    "av1": [({"qp": qp}, {"size": (64, 64), "pix_fmt": "yuv420p", "n": 40}) for qp in ("1", "24", "63")],
    "vp9": [
        ({"b": "0", "crf": qp, "qmin": qp, "qmax": qp}, {"pix_fmt": "yuv420p", "n": 40}) for qp in ("0", "24", "63")
    ],
}


@pytest.mark.parametrize("standard", STANDARDS)
def test_types_and_qp_are_those_that_the_encoder_reports(standard):
    # FFmpeg hands on each encoder's own word, in the side data of the packet: QP × 118 (FF_QP2LAMBDA), picture type
    for options, keywords in CONSTANT_QP[standard]:
        packets = encode(standard, options, **keywords)
        statistics = [bytes(packet.get_sidedata("quality_stats")) for packet in packets]
        ledger = count_bits(packets, standard)
        assert ledger.pict_type == ["?IPB"[block[4]] for block in statistics]
        reported = np.array([int.from_bytes(block[:4], "little") / 118 for block in statistics])
        np.testing.assert_allclose(ledger.qp, reported, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("standard", "keywords", "size", "coded", "chroma"),
    [
        ("h264", {"size": (32, 32)}, (32, 32), (32, 32), "4:0:0"),
        ("h264", {"size": (24, 24)}, (24, 24), (32, 32), "4:0:0"),
        ("h264", {"size": (6, 6)}, (6, 6), (16, 16), "4:0:0"),
        ("h264", {"size": (50, 34), "pix_fmt": "yuv420p"}, (50, 34), (64, 48), "4:2:0"),
        ("h264", {"size": (50, 35), "pix_fmt": "yuv422p"}, (50, 35), (64, 48), "4:2:2"),
        ("h264", {"size": (51, 35), "pix_fmt": "yuv444p"}, (51, 35), (64, 48), "4:4:4"),
        ("hevc", {"size": (32, 32)}, (32, 32), (32, 32), "4:0:0"),
        ("hevc", {"size": (34, 26)}, (34, 26), (40, 32), "4:0:0"),
        ("hevc", {"size": (34, 26), "pix_fmt": "yuv420p"}, (34, 26), (40, 32), "4:2:0"),
        ("av1", {"size": (66, 70), "pix_fmt": "yuv420p"}, (66, 70), (72, 72), "4:2:0"),
        ("vp9", {"size": (24, 24), "pix_fmt": "yuv420p"}, (24, 24), (24, 24), "4:2:0"),
        ("vp9", {"size": (6, 9), "pix_fmt": "yuv444p"}, (6, 9), (8, 16), "4:4:4"),
    ],
)
def test_sizes(standard, keywords, size, coded, chroma):
    ledger = count_bits(encode(standard, {}, n=2, **keywords), standard)
    assert (ledger.width, ledger.height) == size
    assert (ledger.coded_width, ledger.coded_height) == coded
    assert ledger.chroma == chroma


@pytest.mark.parametrize("standard", STANDARDS)
def test_units_cover_every_packet_and_make_up_the_ledger(standard):
    packets = encode(standard, {}, n=40, size=(64, 64), pix_fmt="yuv420p")
    found = list(units(packets, standard))
    for i, packet in enumerate(packets):
        position = 0
        for unit in (unit for unit in found if unit.packet == i):
            assert unit.offset == position
            assert sum(unit.bits) == 8 * unit.n_bytes
            assert unit.bits == tuple(asdict(unit)[purpose] for purpose in PURPOSES)
            position += unit.n_bytes
        assert position == packet.size
    ledger = count_bits([memoryview(packet) for packet in packets], standard)
    assert tuple(ledger.bits) == PURPOSES
    assert list(ledger.bits.values()) == np.sum([unit.bits for unit in found], axis=0).tolist()
    assert ledger.packet_bits.shape == (len(packets), len(PURPOSES))
    assert ledger.packet_bits.sum(axis=1).tolist() == [8 * packet.size for packet in packets]
    assert ledger.bits_total == 8 * sum(packet.size for packet in packets)


def test_h264_units_of_a_stream_taken_apart_by_hand():
    def packed(*codes: str) -> bytes:
        return int("".join(codes), 2).to_bytes(len("".join(codes)) // 8, "big")

    # Baseline; id 0, 4 bits of frame_num, order count type 2, 1 reference, 1×1 macroblocks, no cropping, no VUI, stop
    sps = b"\x42\x00\x0a" + packed("1", "1", "011", "010", "0", "1", "1", "1", "1", "0", "0", "1")
    # ids 0 and 0, CAVLC, 1 slice group, 1 reference, no weights, QP 26, no deblocking control, stop and alignment
    pps = packed("1", "1", "0", "0", "1", "1", "1", "0", "00", "1", "1", "1", "0", "0", "0", "1", "0000000")
    # first_mb 0, type 7, PPS 0, frame_num 0, idr_pic_id 0, marking, slice_qp_delta −2, and three bits of data
    idr = packed("1", "0001000", "1", "0000", "1", "00", "00101", "101")
    packet = b"\0\0\0\1\x67" + sps + b"\0\0\0\1\x68" + pps + b"\0\0\1\x65" + idr + b"\0\0\3\1\x80" + b"\0\0"
    found = list(units([packet], "h264"))
    assert [(unit.kind, unit.offset, unit.n_bytes) for unit in found] == [
        ("SPS", 0, 10),
        ("PPS", 10, 8),
        ("IDR slice", 18, 14),
    ]
    assert [unit.bits_nal_overhead for unit in found] == [40, 40, 8 * (3 + 1 + 1 + 2)]
    assert [unit.bits_parameter_sets for unit in found] == [40, 24, 0]
    header = 1 + 7 + 1 + 4 + 1 + 2 + 5
    assert found[2].bits_slice_headers == header
    assert found[2].bits_slice_data_i == 8 * 7 - header
    assert (found[2].slice_type, found[2].qp) == ("I", 24.0)


def test_purposes_of_what_is_no_slice():
    options = {"b": "100k", "x264-params": "nal-hrd=cbr:vbv-maxrate=100:vbv-bufsize=100:filler=1:aud=1"}
    found = list(units(encode("h264", options, n=40), "h264"))
    purposes = {"SPS": "bits_parameter_sets", "PPS": "bits_parameter_sets", "SEI": "bits_sei"}
    purposes |= {"AUD": "bits_other", "filler": "bits_other"}
    assert purposes.keys() <= {unit.kind for unit in found}
    for unit in found:
        if unit.kind in purposes:
            used = {purpose for purpose, bits in zip(PURPOSES, unit.bits, strict=True) if bits}
            assert used == {"bits_nal_overhead", purposes[unit.kind]}
            assert math.isnan(unit.qp)
            assert unit.slice_type == ""


def test_av1_hidden_frames_are_counted_where_they_lie_and_shown_frames_named():
    packets = encode("av1", {"qp": "40"}, n=40, size=(64, 64), pix_fmt="yuv420p")
    found = list(units(packets, "av1"))
    kinds = [unit.kind for unit in found]
    assert kinds.count("temporal delimiter") == len(packets)
    assert kinds.count("hidden inter frame") == kinds.count("repeat frame") > 0
    assert all(unit.bits_nal_overhead == 8 * unit.n_bytes for unit in found if unit.kind == "temporal delimiter")
    ledger = count_bits(packets, "av1")
    shown = [unit for unit in found if unit.slice_type and not unit.kind.startswith("hidden")]
    assert [unit.qp for unit in shown] == ledger.qp.tolist()


def test_quantisers_follow_the_table_of_libvpx():
    # vp9/encoder/vp9_quantize.c: quantizer_to_qindex
    assert QINDEX[:3] == (0, 4, 8)
    assert QINDEX[-3:] == (244, 249, 255)
    assert len(QINDEX) == 64
    for quantizer, index in enumerate(QINDEX):
        assert VP9_QUANTIZER[index] == AV1_QUANTIZER[index] == quantizer
    assert (VP9_QUANTIZER[81], AV1_QUANTIZER[81], AV1_QUANTIZER[82]) == (21, 20, 21)


def test_parameter_sets_may_come_before_the_stream():
    packets = [bytes(packet) for packet in encode("h264", {}, n=3)]
    cut = next(unit.offset for unit in units(packets[:1], "h264") if unit.kind == "IDR slice")
    with pytest.raises(BitstreamError, match="PPS 0, which was not sent"):
        count_bits([packets[0][cut:]], "h264")
    apart = count_bits([packets[0][:cut], packets[0][cut:], *packets[1:]], "h264")
    assert apart.pict_type[:2] == ["", "I"]
    assert math.isnan(apart.qp[0])
    assert apart.bits == count_bits(packets, "h264").bits


@pytest.mark.parametrize("standard", STANDARDS)
def test_a_change_of_size_is_refused_by_the_ledger_and_not_by_the_units(standard):
    packets = [
        bytes(packet) for side in (64, 96) for packet in encode(standard, {}, n=2, size=(side, side), pix_fmt="yuv420p")
    ]
    assert len(list(units(packets, standard))) >= len(packets)
    with pytest.raises(BitstreamError, match="change from 64×64 4:2:0 to 96×96 4:2:0"):
        count_bits(packets, standard)


def test_a_picture_of_several_slices_has_the_least_restricted_type_and_the_mean_qp():
    packets = [bytes(packet) for packet in encode("h264", {"qp": "24"}, n=20)]
    apart = count_bits(packets, "h264")
    first_b = apart.pict_type.index("B")
    joined = count_bits([b"".join(packets[:2]), b"".join(packets[2 : first_b + 2])], "h264")
    assert joined.pict_type == ["P", "B"]
    np.testing.assert_allclose(joined.qp, [apart.qp[:2].mean(), apart.qp[2 : first_b + 2].mean()], rtol=1e-12)


def test_refusals_of_requests():
    with pytest.raises(UsageError, match="h264, hevc, av1, vp9"):
        count_bits([], "mpeg2")
    with pytest.raises(BitstreamError, match="no picture in the 0 packets"):
        count_bits([], "h264")
    with pytest.raises(TypeError):
        count_bits([10**9], "h264")  # bytes(10**9) would be a gigabyte of zeros


def test_a_unit_is_small_and_frozen():
    unit = Unit(0, 0, 1, "AUD", "", math.nan, 0, 0, 8, 0, 0, 0, 0, 0)
    assert not hasattr(unit, "__dict__")
