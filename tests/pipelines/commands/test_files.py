"""The commands that read a sweep: info, ledger, extract, verify, compare, plot; and bench's help."""

import csv
import io
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt
import pytest

from codecsim import open_sweep
from codecsim.bitstream import PURPOSES
from codecsim.decode import decode
from tests.pipelines.command import codecsim, program, refusal

needs_ffmpeg = pytest.mark.skipif(
    not (shutil.which("ffmpeg") and shutil.which("ffprobe")), reason="needs the ffmpeg and ffprobe programs"
)

_PURPOSE_HEADERS = {
    "par. sets": "bits_parameter_sets",
    "SEI": "bits_sei",
    "NAL": "bits_nal_overhead",
    "headers": "bits_slice_headers",
    "data I": "bits_slice_data_i",
    "data P": "bits_slice_data_p",
    "data B": "bits_slice_data_b",
    "other": "bits_other",
}


@pytest.fixture(scope="module")
def all_codecs(small_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four streams, one a codec: 30 frames, s = 3, QP 30."""
    from codecsim import Corpus
    from tests.clips import write_corpus

    folder = tmp_path_factory.mktemp("codecs")
    with Corpus(small_corpus) as corpus:
        one = write_corpus(folder / "one.h5", {"anna": np.asarray(corpus.frames("anna"))})
    out = folder / "sweep.h5"
    grid = ("--scales", "3", "--qp", "30", "--codec", "x264,x265,svtav1,vp9", "--no-plot")
    codecsim("sweep", one, "--out", out, *grid, exit_code=0)
    return out


def decoded(sweep_file: Path, codec: str) -> npt.NDArray[np.uint8]:
    """Frames of one stream, by our own decoder."""
    with open_sweep(sweep_file) as sweep:
        row = sweep.one(codec)
        return decode(sweep.packets(row), codec, width=32, height=32)


def ffmpeg_luma(path: Path, *demuxer: str) -> npt.NDArray[np.uint8]:
    """Luma planes by the ffmpeg program: extractplanes leaves the range alone, -pix_fmt gray would not."""
    done = subprocess.run(
        ["ffmpeg", "-v", "error", *demuxer, "-i", str(path), "-vf", "extractplanes=y", "-f", "rawvideo", "-"],
        capture_output=True,
        check=True,
    )
    assert done.stderr == b""
    return np.frombuffer(done.stdout, np.uint8).reshape(-1, 32, 32)


def test_info_of_a_sweep(carphone_sweep: Path) -> None:
    said = codecsim("info", carphone_sweep, exit_code=0)
    first, *_, last = said.stdout.splitlines()
    assert first.startswith(f"{carphone_sweep}: sweep, 46 streams of 1 sequences (carphone), 5520 frames, ")
    assert re.search(r"made with codecsim \d.*, ffmpeg .*, pyav \d+.*, x264 x264 - core \d+", last)
    assert "x264   3  32×32  32×32       0%       23  qp 18–40" in said.stdout
    assert said.stderr == ""


def test_info_of_a_corpus(small_corpus: Path) -> None:
    lines = codecsim("info", small_corpus, exit_code=0).stdout.splitlines()
    assert lines[0].startswith(f"{small_corpus}: corpus, 2 sequences, 60 frames of 96×96, ")
    assert [line.split()[:6] for line in lines[-2:]] == [
        ["anna", "anna", "dev", "30", "25.000", "–"],
        ["bo", "bo", "dev", "30", "25.000", "–"],
    ]


def test_the_ledger_adds_up(carphone_sweep: Path) -> None:
    said = codecsim("ledger", carphone_sweep, "--csv", exit_code=0)
    assert said.stderr == ""
    rows = list(csv.DictReader(io.StringIO(said.stdout)))
    assert len(rows) == 46
    with open_sweep(carphone_sweep) as sweep:
        stored = {
            (str(sweep.column("scale")[row]), f"qp {sweep.column('qp_requested')[row]:g}"): {
                name: int(sweep.column(name)[row]) for name in ("n_bytes", *PURPOSES)
            }
            for row in range(len(sweep))
        }
    assert sorted(_PURPOSE_HEADERS.values()) == sorted(PURPOSES)
    for row in rows:
        bits, purposes = int(row["bits"]), stored[row["s"], row["value"]]
        assert {name: int(row[header]) for header, name in _PURPOSE_HEADERS.items()} == {
            name: purposes[name] for name in PURPOSES
        }
        assert sum(int(row[header]) for header in _PURPOSE_HEADERS) == bits == 8 * purposes["n_bytes"]
        side = 96 // int(row["s"])
        assert row["bpp_lr"] == f"{bits / (120 * side * side):.4f}"
        assert row["bpp_coded"] == f"{bits / (120 * 32 * 32):.4f}"
        assert row["bpp_hr"] == f"{bits / (120 * 96 * 96):.4f}"


def test_the_ledger_says_why_s_4_costs_more(carphone_sweep: Path) -> None:
    said = codecsim("ledger", carphone_sweep, exit_code=0)
    assert len(said.stdout.splitlines()) == 2 + 46
    (ratio, padding, per_pixel) = re.search(
        r"x264, s = 4 against s = 3 \(qp 18–40\): ([\d.]+) × the bits per transmitted pixel = ([\d.]+) × by padding "
        r"\(24×24 is coded as 32×32\) × ([\d.]+) per coded pixel\.",
        said.stderr,
    ).groups()
    assert float(padding) == pytest.approx(32**2 / 24**2, abs=0.005)
    assert float(ratio) == pytest.approx(float(padding) * float(per_pixel), abs=0.02)


def test_the_ledger_of_some_streams(small_sweep: Path) -> None:
    for chosen, n_streams in (("s3/qp24", 2), ("anna/s3/qp24", 1), ("0", 1)):
        (row,) = csv.DictReader(io.StringIO(codecsim("ledger", small_sweep, "--stream", chosen, "--csv").stdout))
        assert (row["s"], row["value"], row["streams"]) == ("3", "qp 24", str(n_streams))
    with open_sweep(small_sweep) as sweep:
        key = sweep.column("key")[5]
        name = sweep.name(5)
    by_key, by_name = (codecsim("ledger", small_sweep, "--stream", chosen, "--csv") for chosen in (key[:12], name))
    assert by_key == by_name


def test_the_ledger_of_frames(small_sweep: Path) -> None:
    said = codecsim("ledger", small_sweep, "--stream", "anna/s3/qp24", "--frames", "--csv", exit_code=0)
    rows = list(csv.DictReader(io.StringIO(said.stdout)))
    with open_sweep(small_sweep) as sweep:
        row = sweep.one("anna/s3/qp24")
        assert sum(int(frame["bytes"]) for frame in rows) == sweep.column("n_bytes")[row]
    assert [frame["frame"] for frame in rows] == [str(index) for index in range(30)]
    assert sorted(int(frame["pts"]) for frame in rows) == list(range(30))
    assert (rows[0]["type"], rows[0]["key"]) == ("I", "yes")
    assert {frame["type"] for frame in rows} == {"I", "P", "B"}
    assert {frame["qp"] for frame in rows if frame["type"] == "P"} == {"24"}
    table = codecsim("ledger", small_sweep, "--stream", "anna/s3/qp24", "--frames", exit_code=0)
    assert len(table.stdout.splitlines()) == 2 + 30


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--frames"], "--frames shows one stream; say which with --stream"),
        (
            ["--stream", "s5"],
            "{file}: no stream 's5'; name one by its row, key or name, such as anna/x264/s3/qp24",
        ),
        (
            ["--stream", "s3", "--frames"],
            "{file}: 4 streams are meant by 's3' (0 = anna/x264/s3/qp24, 1 = anna/x264/s3/qp36, "
            "4 = bo/x264/s3/qp24, 5 = bo/x264/s3/qp36); say which, by row or key",
        ),
    ],
)
def test_the_ledger_refuses(small_sweep: Path, arguments: list[str], message: str) -> None:
    said = codecsim("ledger", small_sweep, *arguments, exit_code=2)
    assert refusal(said) == message.format(file=small_sweep)


@needs_ffmpeg
def test_extract_of_h264(all_codecs: Path, tmp_path: Path) -> None:
    raw, frames = tmp_path / "out.264", tmp_path / "out.y4m"
    with open_sweep(all_codecs) as sweep:
        row = sweep.one("x264")
        stored, name = sweep.bitstream(row), sweep.name(row)
    said = program("extract", all_codecs, "x264", raw, exit_code=0)
    assert said.stderr == ""
    assert said.stdout.startswith(f"{raw}: {name}, ")
    assert said.stdout.endswith(f" ({len(stored)} bytes are the stream's)\n")
    assert raw.read_bytes() == stored
    codecsim("extract", all_codecs, "x264", frames, exit_code=0)
    header, _, body = frames.read_bytes().partition(b"\n")
    assert header == b"YUV4MPEG2 W32 H32 F25:1 Ip A1:1 Cmono XCOLORRANGE=FULL"
    assert len(body) == 30 * (6 + 32 * 32)
    pixels = np.frombuffer(body, np.uint8).reshape(30, 6 + 32 * 32)[:, 6:].reshape(30, 32, 32)
    np.testing.assert_array_equal(pixels, decoded(all_codecs, "x264"))
    np.testing.assert_array_equal(ffmpeg_luma(raw), pixels)
    np.testing.assert_array_equal(ffmpeg_luma(frames), pixels)


@needs_ffmpeg
@pytest.mark.parametrize(
    ("codec", "suffix", "demuxer"),
    [
        ("x264", ".mp4", []),
        ("x264", ".mkv", []),
        ("x265", ".265", []),
        ("x265", ".mp4", []),
        ("svtav1", ".obu", ["-f", "obu"]),
        ("svtav1", ".ivf", []),
        ("svtav1", ".mp4", []),
        ("vp9", ".ivf", []),
        ("vp9", ".mkv", []),
        ("vp9", ".y4m", []),
    ],
)
def test_other_programs_read_what_is_extracted(
    all_codecs: Path, tmp_path: Path, codec: str, suffix: str, demuxer: list[str]
) -> None:
    target = tmp_path / f"out{suffix}"
    codecsim("extract", all_codecs, codec, target, exit_code=0)
    assert [path.name for path in tmp_path.iterdir()] == [target.name]
    np.testing.assert_array_equal(ffmpeg_luma(target, *demuxer), decoded(all_codecs, codec))
    if suffix in (".mp4", ".mkv"):
        probed = subprocess.run(
            ["ffprobe", "-v", "error", "-show_entries", "frame=pts_time", "-of", "csv=p=0", str(target)],
            capture_output=True,
            text=True,
            check=True,
        )
        seconds = np.array([float(line.strip(",")) for line in probed.stdout.split()])
        np.testing.assert_allclose(np.diff(seconds), 1 / 25, atol=1e-3)


def test_bare_bytes_of_any_codec(all_codecs: Path, tmp_path: Path) -> None:
    for codec in ("x264", "x265", "svtav1", "vp9"):
        codecsim("extract", all_codecs, codec, tmp_path / "out.bin", exit_code=0)
        with open_sweep(all_codecs) as sweep:
            assert (tmp_path / "out.bin").read_bytes() == sweep.bitstream(sweep.one(codec))


@pytest.mark.parametrize(
    ("codec", "target", "message"),
    [
        ("x264", "out.ivf", "cannot write x264 as .ivf: use .264, "),
        ("x264", "out", "cannot write x264 as a file without suffix: use .264, "),
        ("vp9", "out.264", "cannot write vp9 as .264: use .ivf, "),
        ("x265", "out.264", "cannot write x265 as .264: use .265, "),
    ],
)
def test_extract_refuses_other_suffixes(
    all_codecs: Path, tmp_path: Path, codec: str, target: str, message: str
) -> None:
    said = codecsim("extract", all_codecs, codec, tmp_path / target, exit_code=2)
    assert refusal(said) == message + ".mp4, .mkv, .y4m (decoded frames) or .bin (bare bytes)"
    assert not list(tmp_path.iterdir())


def flip_a_byte(file: h5py.File) -> None:
    file["bitstream"][int(file["streams/offset"][1]) + int(file["streams/n_bytes"][1]) - 20] ^= 0x10


def move_a_bit(file: h5py.File) -> None:
    file["streams/bits_sei"][1] += 8


def forge_the_stream_digest(file: h5py.File) -> None:
    digest = file["streams/stream_sha256"][1]
    file["streams/stream_sha256"][1] = b"0" * len(digest)


def forge_the_decoded_digest(file: h5py.File) -> None:
    digest = file["streams/decoded_sha256"][1]
    file["streams/decoded_sha256"][1] = b"0" * len(digest)


def change_a_packet(file: h5py.File) -> None:
    first = int(file["streams/first_packet"][1])
    file["packets/n_bytes"][first + 3] += 1
    file["packets/n_bytes"][first + 4] -= 1


def change_a_qp(file: h5py.File) -> None:
    file["packets/qp"][int(file["streams/first_packet"][1]) + 3] += 1


def change_a_rate(file: h5py.File) -> None:
    file["streams/bpp_lr"][1] *= 1.001


_DAMAGES = [
    (flip_a_byte, "stream_sha256 is "),
    (move_a_bit, "bits_sei is "),
    (forge_the_stream_digest, "stream_sha256 is 0000"),
    (forge_the_decoded_digest, "decoded_sha256 is 0000"),
    (change_a_packet, "its packets do not begin where its frames do"),
    (change_a_qp, "the QPs of its frames are not those in the bitstream"),
    (change_a_rate, "bpp_lr is "),
]


@pytest.mark.parametrize(("damage", "said_of_it"), _DAMAGES, ids=[damage.__name__ for damage, _ in _DAMAGES])
def test_verify_names_the_damaged_stream(
    small_sweep: Path, tmp_path: Path, damage: Callable[[h5py.File], None], said_of_it: str
) -> None:
    copy = Path(shutil.copy(small_sweep, tmp_path / "copy.h5"))
    with h5py.File(copy, "r+") as file:
        damage(file)
    said = codecsim("verify", copy, exit_code=1)
    assert said.stdout == ""
    *problems, last = said.stderr.splitlines()
    assert problems
    assert all(problem.startswith(f"{copy}: anna/x264/s3/qp36: ") for problem in problems)
    # A flipped byte may break decoding before anything is compared.
    assert damage is flip_a_byte or any(said_of_it in problem for problem in problems)
    assert re.fullmatch(r"Error: (1 problem|[2-9] problems); run the sweep again for what is not there, .*", last)


def test_verify_looks_at_the_file_as_a_whole(small_sweep: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copy(small_sweep, tmp_path / "copy.h5"))
    with h5py.File(copy, "r+") as file:
        file["bitstream"].resize(file["bitstream"].shape[0] + 5, axis=0)
    said = codecsim("verify", copy, exit_code=1)
    assert f"{copy}: the file: the streams do not lie end to end in /bitstream\n" in said.stderr


def test_verify_misses_what_was_asked_for(small_sweep: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copy(small_sweep, tmp_path / "copy.h5"))
    with h5py.File(copy, "r+") as file:
        (grid,) = json.loads(file.attrs["grids"])
        file.attrs["grids"] = json.dumps([grid, grid | {"scales": [4], "values": [24, 25.5]}])
    said = codecsim("verify", copy, exit_code=1)
    assert said.stderr.splitlines() == [
        f"{copy}: anna/x264/s4/qp25.5: was asked for and is not there",
        f"{copy}: bo/x264/s4/qp25.5: was asked for and is not there",
        "Error: 2 problems; run the sweep again for what is not there, with --force to replace what is wrong",
    ]


@pytest.mark.parametrize(
    "grids",
    ["[1]", '[{"scales": [3]}]', json.dumps([{name: [0] * 10**4 for name in ("sequences", "scales", "values")}])],
)
def test_verify_survives_damaged_grids(small_sweep: Path, tmp_path: Path, grids: str) -> None:
    copy = Path(shutil.copy(small_sweep, tmp_path / "copy.h5"))
    with h5py.File(copy, "r+") as file:
        held = json.loads(grids)
        for grid in held if "values" in grids else []:
            grid |= {"codecs": dict.fromkeys(map(str, range(10)), "{}"), "mode": "qp"}
        file.attrs["grids"] = json.dumps(held)
    assert f"{copy}: the file: its attribute 'grids' is damaged (" in codecsim("verify", copy, exit_code=1).stderr


def test_verify_of_whole_files(carphone_sweep: Path, all_codecs: Path) -> None:
    for path, n_streams, workers in ((carphone_sweep, 46, []), (all_codecs, 4, ["--workers", "2"])):
        with open_sweep(path) as sweep:
            bits = 8 * sweep.n_bytes
        said = program("verify", path, *workers, exit_code=0)
        assert said.stderr == ""
        assert said.stdout == (
            f"{path}: {n_streams} streams, {bits} bits: all counted again, decoded again, and as the file says\n"
        )


def test_compare_of_equal_bits(small_sweep: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copy(small_sweep, tmp_path / "copy.h5"))
    said = program("compare", small_sweep, copy, exit_code=0)
    assert said.stderr == ""
    assert said.stdout == "8 streams compared: 0 moved by more than 0 bits, 0 missing\n"


def test_compare_shows_where_bits_moved(small_sweep: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copy(small_sweep, tmp_path / "copy.h5"))
    with h5py.File(copy, "r+") as file:
        assert [name for name in PURPOSES if name not in file["streams"]] == []
        base = int(file["streams/bits_total"][1])
        file["streams/bits_slice_data_p"][1] += 24
        file["streams/bits_sei"][1] -= 8
        file["streams/bits_total"][1] += 16
    said = codecsim("compare", small_sweep, copy, exit_code=1)
    assert said.stderr == ""
    header, _, row, empty, last = said.stdout.splitlines()
    assert header.split() == ["stream", "base", "new", "moved", "share", "where"]
    assert re.split(r"  +", row) == [
        "anna/x264/s3/qp36",
        str(base),
        str(base + 16),
        "+16",
        f"{16 / base:+.2%}",
        "sei -8, slice_data_p +24",
    ]
    assert empty == ""
    assert last == "8 streams compared: 1 moved by more than 0 bits, 0 missing"
    assert codecsim("compare", small_sweep, copy, "--tolerance-bits", "24").exit_code == 0
    assert codecsim("compare", small_sweep, copy, "--tolerance-bits", "23").exit_code == 1


def test_compare_names_missing_streams(small_corpus: Path, small_sweep: Path, tmp_path: Path) -> None:
    smaller = tmp_path / "smaller.h5"
    codecsim("sweep", small_corpus, "--out", smaller, "--scales", "3", "--qp", "24", "--no-plot", exit_code=0)
    said = codecsim("compare", small_sweep, smaller, exit_code=1)
    assert said.stdout == "2 streams compared: 0 moved by more than 0 bits, 6 missing\n"
    assert sorted(said.stderr.splitlines()) == [
        f"{smaller} lacks {who}/x264/{point}" for who in ("anna", "bo") for point in ("s3/qp36", "s4/qp24", "s4/qp36")
    ]
    other_way = codecsim("compare", smaller, small_sweep, exit_code=0)
    assert other_way.stderr == f"6 streams are only in {small_sweep}\n"


def test_compare_refuses(small_sweep: Path, carphone_sweep: Path) -> None:
    said = codecsim("compare", small_sweep, carphone_sweep, exit_code=2)
    assert refusal(said) == (
        f"{small_sweep} and {carphone_sweep} have no operating point in common: nothing can be compared"
    )
    said = codecsim("compare", small_sweep, small_sweep, "--tolerance-bits", "-1", exit_code=2)
    assert refusal(said) == "a tolerance of -1 bits: 0 or more is needed"


@pytest.mark.parametrize("reference", ["hr", "lr"])
def test_plot_draws_png_and_pdf(carphone_sweep: Path, tmp_path: Path, reference: str) -> None:
    import matplotlib.image

    target = tmp_path / "figure.png"
    said = codecsim("plot", carphone_sweep, "--figure", "rd", "--reference", reference, "--out", target, exit_code=0)
    assert said.stdout == f"{target}\n{target.with_suffix('.pdf')}\n"
    assert said.stderr == ""
    picture = matplotlib.image.imread(target)[..., :3]
    assert picture.shape[0] > 800
    assert picture.shape[1] > 1500
    assert (picture < 0.9).any(axis=2).mean() > 0.01  # not an empty page
    for colour in ((0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)):  # the curves of s = 3 and s = 4
        assert (np.abs(picture - np.array(colour) / 255).max(axis=2) < 0.02).sum() > 1000
    assert target.with_suffix(".pdf").read_bytes().startswith(b"%PDF-")
    assert target.with_suffix(".pdf").stat().st_size > 15_000


def test_plot_as_a_program_beside_the_file(small_sweep: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copy(small_sweep, tmp_path / "copy.h5"))
    said = program("plot", copy, exit_code=0)
    assert said.stderr == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy.h5", "copy.rd.pdf", "copy.rd.png"]
    said = codecsim("plot", copy, "--out", tmp_path / "figure.svg", exit_code=2)
    assert refusal(said) == f"{tmp_path / 'figure.svg'}: the picture is written as PNG and PDF; name it *.png"


def test_bench_says_what_it_measures() -> None:
    said = " ".join(codecsim("bench", "--help", exit_code=0).stdout.split())
    assert "encode Compare the encoder side" in said
    assert "evaluate Compare reading the streams" in said
    assert "--rounds" in codecsim("bench", "encode", "--help", exit_code=0).stdout
    for name in ("render", "train", "infer"):
        assert "--device" in codecsim("bench", name, "--help", exit_code=0).stdout
