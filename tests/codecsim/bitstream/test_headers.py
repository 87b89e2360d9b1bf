"""Every slice and frame header ends at exactly the bit where FFmpeg's ``trace_headers`` says that it ends.

The filter is a part of FFmpeg's coded bitstream framework and shares nothing with the parsers under test. It runs in
this process on the same bytes; by hand: ``ffmpeg -i STREAM -c copy -bsf:v trace_headers -f null -``.
"""

import shutil
import subprocess

import pytest

from codecsim.bitstream import count_bits, units
from tests.codecsim.bitstream.streams import debian_ffmpeg, encode, header_ends, read_ivf, trace

BIG = {"pix_fmt": "yuv420p", "size": (64, 64)}
FADE = {**BIG, "fade": True}

H264 = [
    ({"qp": "24"}, {}),
    ({"qp": "24"}, {"n": 600, "size": (16, 16)}),
    ({"qp": "0"}, {}),
    ({"qp": "0"}, BIG),
    ({"crf": "30"}, {}),
    ({"qp": "24", "x264-params": "bframes=8:b-pyramid=normal:ref=16:b-adapt=0"}, {}),
    ({"qp": "28", "x264-params": "weightp=2:weightb=1"}, FADE),
    ({"qp": "28", "x264-params": "slices=4"}, {"size": (96, 96)}),
    ({"qp": "28", "x264-params": "slice-max-size=60"}, {"size": (96, 96)}),
    ({"qp": "24", "x264-params": "tff=1"}, BIG),
    ({"qp": "24", "x264-params": "fake-interlaced=1"}, BIG),
    ({"qp": "24", "x264-params": "cabac=0"}, {}),
    ({"qp": "24", "x264-params": "open-gop=1:keyint=6:min-keyint=1:scenecut=0"}, {"n": 40}),
    ({"qp": "24", "x264-params": "keyint=1"}, {}),
    ({"qp": "24", "profile": "baseline"}, BIG),
    ({"qp": "24"}, {"pix_fmt": "yuv422p"}),
    ({"qp": "24"}, {"pix_fmt": "gray10le"}),
    ({"qp": "24", "x264-params": "aud=1:intra-refresh=1:keyint=8"}, {**BIG, "n": 40}),
    ({"b": "100k", "x264-params": "nal-hrd=cbr:vbv-maxrate=100:vbv-bufsize=100:filler=1"}, {"n": 40}),
    ({"qp": "24", "x264-params": "cqm=jvt:deblock=-3,2:direct=temporal:constrained-intra=1"}, {"pix_fmt": "yuv444p"}),
    ({"qp": "24", "x264-params": "no-deblock=1:stitchable=1"}, {"size": (24, 24)}),
    ({"qp": "24", "x264-params": "sps-id=7:bluray-compat=1:keyint=10"}, BIG),
]
HEVC = [
    ("qp=24", {}),
    ("qp=24", {"n": 300, "size": (24, 24)}),
    ("qp=0", {}),
    ("lossless=1", {}),
    ("crf=30", {}),
    ("qp=30:bframes=8:b-pyramid=1:ref=8", {"n": 40}),
    ("qp=24:weightp=1:weightb=1", {**FADE, "n": 40}),
    ("qp=24:wpp=1:ctu=64", {"size": (256, 256), "n": 8}),
    ("qp=24:slices=4:ctu=64", {"size": (256, 256), "n": 8}),
    ("qp=24:open-gop=1:keyint=10:min-keyint=1:scenecut=0", {"n": 60}),
    ("qp=24:open-gop=0:keyint=10:radl=2", {"n": 60}),
    ("qp=24:repeat-headers=1:aud=1:hrd=1:vbv-maxrate=200:vbv-bufsize=200:keyint=10", {"n": 40}),
    ("qp=24:multi-pass-opt-rps=1", {"n": 100}),
    ("qp=24:temporal-layers=3:bframes=7", {"n": 60}),
    ("qp=24:no-deblock=1:no-sao=1", {}),
    ("qp=24:deblock=-2,3:cbqpoffs=3:crqpoffs=-3", {"pix_fmt": "yuv444p", "size": (40, 24)}),
    ("qp=24:no-temporal-mvp=1:interlace=tff", BIG),
    ("qp=24:scaling-list=default:sar=5:colorprim=bt709:videoformat=pal", {}),
    ("qp=24", {"pix_fmt": "gray10le"}),
    ("qp=24:scc=1", BIG),
]
AV1 = [
    ({"qp": "24"}, {}),
    ({"crf": "40"}, {"n": 70}),
    ({"qp": "40", "svtav1-params": "film-grain=20"}, {}),
    ({"qp": "40", "svtav1-params": "tile-columns=2:tile-rows=1"}, {"size": (512, 256), "n": 4}),
    ({"qp": "40", "svtav1-params": "scm=1:enable-qm=1:qm-min=0"}, {}),
    ({"qp": "40", "svtav1-params": "superres-mode=1:superres-denom=12:superres-kf-denom=12"}, {"n": 8}),
    ({"qp": "0", "svtav1-params": "lossless=1"}, {"n": 8}),
    ({"qp": "40", "svtav1-params": "pred-struct=1:aq-mode=1"}, {}),
    ({"qp": "30", "svtav1-params": "sframe-dist=8:sframe-mode=1:hierarchical-levels=3:pred-struct=1"}, {"n": 30}),
    ({"qp": "40", "svtav1-params": "irefresh-type=1:keyint=16"}, {"n": 40}),
]
VP9 = [
    ({"crf": "24", "qmin": "24", "qmax": "24"}, {}),
    ({"crf": "24"}, {"n": 300, "size": (16, 16)}),
    ({"lossless": "1"}, {}),
    ({"crf": "30", "error-resilient": "1"}, {}),
    ({"crf": "30", "tile-columns": "1", "tile-rows": "1", "deadline": "realtime"}, {"size": (1024, 64), "n": 4}),
    ({"crf": "30", "aq-mode": "1"}, {}),
    ({"crf": "30", "aq-mode": "3", "deadline": "realtime", "cpu-used": "5"}, {"size": (352, 288), "n": 8}),
    ({"crf": "30"}, {"pix_fmt": "yuv444p"}),
    ({"crf": "30"}, {"pix_fmt": "yuv440p"}),
    ({"crf": "30", "g": "8"}, {}),
]
SOURCE = "testsrc2=size=128x96:rate=25:duration=0.8"
AV1_ELSEWHERE = [
    "-pix_fmt gray -c:v libaom-av1 -cpu-used 8 -crf 40",
    "-pix_fmt yuv444p -c:v libaom-av1 -cpu-used 8 -crf 40 -aq-mode 1",
    "-c:v libaom-av1 -cpu-used 8 -crf 40 -tiles 2x2 -g 10",
    "-c:v libaom-av1 -cpu-used 6 -crf 50 -denoise-noise-level 30",
    "-c:v libaom-av1 -cpu-used 8 -crf 40 -frames 1 -still-picture 1",
    "-c:v libaom-av1 -cpu-used 8 -crf 40 -aom-params error-resilient=1:frame-parallel=1:enable-order-hint=0",
    "-pix_fmt yuv422p10 -c:v libaom-av1 -cpu-used 8 -crf 40",
    "-frames 5 -c:v libaom-av1 -cpu-used 2 -crf 40 -vf rotate=t/2,scale=128:96",  # global motion
    "-pix_fmt yuv444p -c:v librav1e -speed 10 -qp 60 -tiles 4 -frames 8",
]


def check(packets: list[bytes], standard: str, n_units: int) -> None:
    first = {"h264": 8, "hevc": 16, "av1": 0, "vp9": 0}[standard]
    ours = [
        first + unit.bits_slice_headers + (unit.bits_nal_overhead if standard == "av1" else 0)
        for unit in units(packets, standard)
        if unit.slice_type
    ]
    text, complete = trace(packets, standard)
    assert complete
    assert ours == header_ends(text, standard)
    assert len(ours) >= n_units
    ledger = count_bits(packets, standard)
    assert ledger.bits_total == 8 * sum(map(len, packets))


@pytest.mark.parametrize(("options", "settings"), H264)
def test_h264(options, settings):
    packets = encode("h264", options, **settings)
    check([bytes(packet) for packet in packets], "h264", settings.get("n", 24))


@pytest.mark.parametrize(("options", "settings"), HEVC)
def test_hevc(options, settings):
    packets = encode("hevc", {"x265-params": options}, **settings)
    check([bytes(packet) for packet in packets], "hevc", settings.get("n", 24))


@pytest.mark.parametrize(("options", "settings"), AV1)
def test_av1(options, settings):
    packets = encode("av1", options, **{**BIG, **settings})
    check([bytes(packet) for packet in packets], "av1", settings.get("n", 24))


@pytest.mark.parametrize(("options", "settings"), VP9)
def test_vp9(options, settings):
    packets = encode("vp9", {"b": "0", **options}, **{**BIG, **settings})
    check([bytes(packet) for packet in packets], "vp9", settings.get("n", 24))


@pytest.mark.parametrize("arguments", AV1_ELSEWHERE)
def test_av1_of_other_encoders(arguments):
    check(debian_ffmpeg(SOURCE, *arguments.split()), "av1", 1)


def test_vp9_superframes(tmp_path):
    # only two passes give libvpx the hidden frames and repeated frames that travel in superframes
    if shutil.which("ffmpeg") is None:
        pytest.skip("needs the ffmpeg program")
    command = "ffmpeg -v error -y -f lavfi -i testsrc2=size=64x64:rate=25:duration=4 -c:v libvpx-vp9 -b:v 50k"
    command += " -lag-in-frames 25 -auto-alt-ref 6 -passlogfile log -f ivf"
    for number in "12":
        subprocess.run([*command.split(), "-pass", number, "two.ivf"], cwd=tmp_path, check=True)
    packets = read_ivf((tmp_path / "two.ivf").read_bytes())
    check(packets, "vp9", 101)
    found = list(units(packets, "vp9"))
    kinds = [unit.kind for unit in found]
    assert kinds.count("hidden inter frame") >= kinds.count("superframe index") > 0
    hidden = {unit.qp for unit in found if unit.kind == "hidden inter frame"}
    repeats = [i for i, unit in enumerate(found) if unit.kind == "repeat frame"]
    assert {found[i].qp for i in repeats} <= hidden
    assert any(found[i].qp != found[i - 1].qp for i in repeats)
    ledger = count_bits(packets, "vp9")
    assert ledger.bits["bits_nal_overhead"] > 0
    assert set(ledger.pict_type) == {"I", "P"}
