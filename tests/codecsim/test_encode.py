"""Encoding and decoding: repeatable, bit-exact against the ffmpeg program, and honest when something is wrong."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from codecsim.bitstream import count_bits, units
from codecsim.codecs import CODECS, EncoderSettings
from codecsim.decode import decode
from codecsim.encode import encode, encoder_version
from codecsim.errors import CodecError, UsageError
from codecsim.scaling import FACTORS, downscale
from tests.clips import carphone_faces

POINTS = [(codec, scale) for codec in CODECS for scale in (3, 4, 12) if 96 // scale >= CODECS[codec].min_side]


@pytest.mark.parametrize(("codec", "scale"), POINTS)
def test_the_same_frames_give_the_same_bytes(codec: str, scale: int) -> None:
    frames = downscale(carphone_faces()[:40], scale)
    streams = {encode(frames, EncoderSettings(codec=codec), 28, fps=25.0).packets for _ in range(4)}
    assert len(streams) == 1


@pytest.mark.parametrize(("codec", "scale"), POINTS)
def test_decoding_gives_every_frame_close_to_what_went_in(codec: str, scale: int) -> None:
    frames = downscale(carphone_faces(), scale)
    stream = encode(frames, EncoderSettings(codec=codec), 12, fps=25.0)
    decoded = decode(stream.packets, codec, width=stream.width, height=stream.height)
    assert decoded.shape == frames.shape
    assert np.abs(decoded.astype(int) - frames).mean() < 2.5
    assert sorted(stream.pts) == list(range(len(frames)))


@settings(max_examples=15, deadline=None)
@given(
    frames=st.sampled_from([1, 2, 3, 5, 6]).flatmap(
        lambda side: arrays(np.uint8, st.tuples(st.integers(1, 5), st.just(side), st.just(side)))
    ),
    options=st.sampled_from([{}, {"bframes": 0}, {"gop": 1}, {"low_delay": True}]),
)
def test_x264_at_qp_0_is_lossless_in_any_size(frames: np.ndarray, options: dict[str, int]) -> None:
    stream = encode(frames, EncoderSettings(**options), 0, fps=25.0)
    decoded = decode(stream.packets, "x264", width=stream.width, height=stream.height)
    np.testing.assert_array_equal(decoded, frames)


@pytest.mark.parametrize("pix_fmt", ["gray", "yuv420p"])
def test_luma_is_decoded_as_the_ffmpeg_program_decodes_it(pix_fmt: str, tmp_path: Path) -> None:
    if shutil.which("ffmpeg") is None:
        pytest.skip("needs the ffmpeg program")
    frames = downscale(carphone_faces(), 4)
    stream = encode(frames, EncoderSettings(pix_fmt=pix_fmt), 24, fps=25.0)
    (tmp_path / "lr.264").write_bytes(b"".join(stream.packets))
    command = f"ffmpeg -v error -i {tmp_path}/lr.264 -vf extractplanes=y -f rawvideo {tmp_path}/lr.raw"
    subprocess.run(command.split(), check=True)
    theirs = np.fromfile(tmp_path / "lr.raw", np.uint8).reshape(frames.shape)
    np.testing.assert_array_equal(decode(stream.packets, "x264", width=24, height=24), theirs)


@pytest.mark.parametrize(("codec", "mode", "value"), [("x264", "crf", 28), ("x265", "bitrate", 32), ("vp9", "crf", 40)])
def test_the_other_modes_reach_the_encoder(codec: str, mode: str, value: float) -> None:
    frames = downscale(carphone_faces(), 3)
    stream = encode(frames, EncoderSettings.from_json(codec, mode, "{}"), value, fps=25.0)
    kbps = stream.n_bytes * 8 * 25 / len(frames) / 1000
    constant = encode(frames, EncoderSettings(codec=codec), min(value, 51), fps=25.0)
    assert stream.packets != constant.packets
    if mode == "bitrate":
        assert value / 2 < kbps < value * 2


def test_structure_settings_show_in_the_bitstream() -> None:
    frames = downscale(carphone_faces(), 3)

    def types(**options: object) -> str:
        packets = encode(frames, EncoderSettings(**options), 28, fps=25.0).packets
        return "".join(count_bits(packets, "h264").pict_type)

    assert "B" in types()
    assert "B" not in types(bframes=0)
    assert "B" not in types(low_delay=True)
    assert set(types(gop=1)) == {"I"}
    assert types(gop=30).count("I") == 4


def test_a_damaged_stream_is_refused_not_concealed() -> None:
    stream = encode(downscale(carphone_faces(), 3), EncoderSettings(), 24, fps=25.0)
    missing = stream.packets[:50] + stream.packets[51:]
    with pytest.raises(CodecError):
        decode((*missing, b"\0\0\1\x65garbage"), "x264", width=32, height=32)
    with pytest.raises(CodecError):
        decode([packet[: len(packet) // 2] for packet in stream.packets], "x264", width=32, height=32)
    with pytest.raises(CodecError, match="a frame of 32×32 yuv420p came out; 24×24"):
        decode(stream.packets, "x264", width=24, height=24)


def test_a_packet_without_a_frame_is_missed_in_the_count() -> None:
    frames = downscale(carphone_faces()[:30], 3)
    coded = encode(frames, EncoderSettings("svtav1"), 30, fps=25.0).packets
    temporal_delimiter = b"\x12\x00"
    with pytest.raises(CodecError, match="svtav1: 30 frames came out of 31 packets"):
        decode((*coded, temporal_delimiter), "svtav1", width=32, height=32)
    first, second, *rest = encode(frames, EncoderSettings(), 24, fps=25.0).packets
    idr = next(unit for unit in units([first], "h264") if unit.slice_type)
    with pytest.raises(CodecError, match="x264: 0 frames came out of 29 packets"):
        decode((first[: idr.offset] + second, *rest), "x264", width=32, height=32)


def test_damage_that_the_decoder_would_conceal_is_an_error() -> None:
    packets = list(encode(downscale(carphone_faces(), 3), EncoderSettings(), 24, fps=25.0).packets)
    packets[60] = packets[60][:7] + bytes([packets[60][7] ^ 2]) + packets[60][8:]
    with pytest.raises(CodecError, match="x264: decoding failed after 58 of 120 frames"):
        decode(packets, "x264", width=32, height=32)


def test_wrong_frames_are_refused() -> None:
    with pytest.raises(UsageError, match=r"frames of float64 \(2, 8, 8\): uint8 \(T, H, W\)"):
        encode(np.zeros((2, 8, 8)), EncoderSettings(), 24, fps=25.0)
    with pytest.raises(UsageError, match=r"frames of uint8 \(0, 8, 8\)"):
        encode(np.zeros((0, 8, 8), np.uint8), EncoderSettings(), 24, fps=25.0)


def test_x264_codes_every_factor() -> None:
    for scale in FACTORS:
        frames = downscale(carphone_faces()[:4], scale)
        stream = encode(frames, EncoderSettings(), 24, fps=25.0)
        assert decode(stream.packets, "x264", width=stream.width, height=stream.height).shape == frames.shape


def test_versions_name_the_build() -> None:
    assert encoder_version("x264").startswith("x264 - core 165; FFmpeg 8.")
    assert encoder_version("x265").startswith("x265 (build 216)")
    assert "PyAV 18." in encoder_version("vp9")
