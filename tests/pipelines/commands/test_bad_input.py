"""Bad input: one clear message, exit status 2 for usage and 1 otherwise, no traceback, and nothing lost or touched."""

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import pytest

from tests.clips import carphone_faces, write_corpus
from tests.pipelines.command import codecsim, counts, program, refusal
from tests.pipelines.media import write_clip, write_noise, write_sound


def listing(folder: Path) -> dict[str, str]:
    """Digest of every file under a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


# Values on the command line ------------------------------------------------------------------------------------------

_PARSED = [
    ("--qp", "18:40", "QP '18:40': did you mean 18-40? Ranges are written 18-40, 18-40:2 or 18,24,30"),
    ("--qp", "40-18", "QP '40-18': a range goes upwards, by steps above 0, as 18-40:2"),
    ("--qp", "18-40:0", "QP '18-40:0': a range goes upwards, by steps above 0, as 18-40:2"),
    ("--qp", "abc", "QP 'abc' is not a range. Ranges are written 18-40, 18-40:2 or 18,24,30"),
    ("--qp", "-3", "QP '-3' is not a range. Ranges are written 18-40, 18-40:2 or 18,24,30"),
    ("--qp", "", "QP '' is not a range. Ranges are written 18-40, 18-40:2 or 18,24,30"),
    ("--qp", "24.5", "QP 24.5 is not a whole number"),
    ("--qp", "0-99999999999", "QP '0-99999999999' stands for more than 10000 values"),
    ("--scales", "3;4", "factor '3;4' is not a range. Ranges are written 18-40, 18-40:2 or 18,24,30"),
    ("--crf", "x", "CRF 'x' is not a range. Ranges are written 18-40, 18-40:2 or 18,24,30"),
    ("--codec", "x266", "no codec 'x266'; there are: x264, x265, svtav1, vp9"),
    ("--quality", "vmaf", "no quality measure 'vmaf'; there are: strred, li3ddct"),
    ("--encoder-option", "ref", "encoder option 'ref' is not NAME=VALUE, as in ref=1"),
    ("--workers", "0", "0 is not in the range x>=1."),
]


@pytest.mark.parametrize(("option", "value", "message"), _PARSED, ids=[f"{o} {v}" for o, v, _ in _PARSED])
def test_values_that_cannot_be_read(tmp_path: Path, option: str, value: str, message: str) -> None:
    said = codecsim("sweep", "--out", tmp_path / "sweep.h5", option, value, exit_code=2)
    assert said.stderr.startswith("Usage: codecsim sweep [OPTIONS] [SOURCE]...\n")
    assert refusal(said) == f"Invalid value for '{option}': {message}"
    assert not list(tmp_path.iterdir())


_PRESETS = "ultrafast, superfast, veryfast, faster, fast, medium, slow, slower, veryslow, placebo"
_TUNES = "film, animation, grain, stillimage, psnr, ssim, fastdecode, zerolatency"
_FACTORS = "1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 96"

_REFUSED = [
    ("--scales 5", f"factor s = 5 does not divide the HR side of 96 pixels; allowed: {_FACTORS}"),
    ("--scales 0", f"factor s = 0 does not divide the HR side of 96 pixels; allowed: {_FACTORS}"),
    ("--qp 52", "QP 52 is outside x264's range of 0 to 51"),
    ("--codec x265 --qp 52", "QP 52 is outside x265's range of 0 to 51"),
    ("--codec svtav1 --qp 0", "QP 0 is outside svtav1's range of 1 to 63"),
    ("--codec vp9 --qp 64", "QP 64 is outside vp9's range of 0 to 63"),
    ("--codec x264,vp9 --qp 60", "QP 60 is outside x264's range of 0 to 51"),
    ("--crf 51.5", "CRF 51.5 is outside x264's range of 0 to 51"),
    ("--bitrate 0", "bit rate of 0 kbit/s: above 0 and up to 1000000 is allowed"),
    ("--codec svtav1 --bitrate 10", "no mode of svtav1 'bitrate'; there are: qp, crf"),
    ("--qp 30 --crf 30", "qp and crf exclude each other: give one of them"),
    (
        "--codec x265 --scales 6",
        "x265 cannot code 16×16 frames: its smallest side is 17 pixels; use a smaller factor s, or a codec that can "
        "(x264, svtav1, vp9)",
    ),
    (
        "--codec x264,x265 --scales 3,12",
        "x265 cannot code 8×8 frames: its smallest side is 17 pixels; use a smaller factor s, or a codec that can "
        "(x264, svtav1, vp9)",
    ),
    (
        "--codec svtav1 --scales 32",
        "svtav1 cannot code 3×3 frames: its smallest side is 4 pixels; use a smaller factor s, or a codec that can "
        "(x264, vp9)",
    ),
    ("--preset quick", f"no preset of x264 'quick'; there are: {_PRESETS}"),
    ("--tune face", f"no tune of x264 'face'; there are: {_TUNES}"),
    ("--codec vp9 --pix-fmt gray", "no pixel format of vp9 'gray'; there are: yuv420p"),
    ("--codec vp9 --bframes 2", "vp9 has no setting for the number of B frames; leave it out, or use x264, x265"),
    ("--bframes 17", "17 B frames: 0 to 16 are allowed"),
    ("--bframes 2 --low-delay", "low delay and B frames exclude each other: B frames are coded after later frames"),
    ("--gop 0", "GOP length 0: 1 to 100000 frames are allowed, 1 for I frames only"),
    ("--encoder-option reff=1", "x264 does not take the option reff=1; see the encoder's manual"),
    ("--encoder-option ref=many", "x264 does not take the option ref=many; see the encoder's manual"),
    ("--codec x265 --encoder-option reff=1", "x265 does not take the option reff=1; see the encoder's manual"),
    ("--codec svtav1 --encoder-option reff=1", "svtav1 does not take the option reff=1; see the encoder's manual"),
    ("--codec vp9 --encoder-option reff=1", "vp9 does not take the option reff=1; see the encoder's manual"),
]


@pytest.mark.parametrize(("options", "message"), _REFUSED, ids=[options for options, _ in _REFUSED])
def test_requests_that_can_never_work(small_corpus: Path, tmp_path: Path, options: str, message: str) -> None:
    said = codecsim("sweep", small_corpus, "--out", tmp_path / "sweep.h5", *options.split(), exit_code=2)
    assert refusal(said) == message
    assert not list(tmp_path.iterdir())


def test_codecs_that_know_each_option_of_their_own(small_corpus: Path, tmp_path: Path) -> None:
    """An encoder that takes whatever it is given would pass the tests above by refusing everything."""
    for codec, option in (("x264", "ref=2"), ("x265", "ref=2"), ("svtav1", "enable-tf=0"), ("vp9", "arnr-strength=0")):
        given = ("--scales", "3", "--qp", "40", "--codec", codec, "--encoder-option", option, "--no-plot")
        codecsim("sweep", small_corpus, "--out", tmp_path / f"{codec}.h5", *given, exit_code=0)


# Sources -------------------------------------------------------------------------------------------------------------

_NO_INDEX = (
    "{path}: not a video that FFmpeg can open (Invalid data found when processing input); a recording that was stopped "
    "by force may lack its index, and any other file is none"
)


def missing(path: Path) -> None:
    pass


def text(path: Path) -> None:
    path.write_text("not a video\n" * 100)


def empty(path: Path) -> None:
    path.touch()


def sound(path: Path) -> None:
    write_sound(path)


def no_frames(path: Path) -> None:
    path.write_bytes(b"YUV4MPEG2 W64 H64 F25:1 Ip A1:1 C420jpeg\n")


def cut_off(path: Path) -> None:
    write_clip(path, stop=5)
    os.truncate(path, path.stat().st_size // 2)


def noise(path: Path) -> None:
    write_noise(path)


def damaged_corpus(path: Path) -> None:
    write_corpus(path, {"anna": carphone_faces()[:9]})
    os.truncate(path, path.stat().st_size // 2)


def newer_corpus(path: Path) -> None:
    write_corpus(path, {"anna": carphone_faces()[:9]})
    with h5py.File(path, "r+") as file:
        file.attrs["schema_version"] = 2


_SOURCES: list[tuple[Callable[[Path], None], str, str]] = [
    (missing, "gone.mp4", "{path}: no such file; a source is a video, a corpus file, or one of carphone, demo"),
    (text, "text.mp4", _NO_INDEX),
    (empty, "empty.mp4", "{path}: an empty file; was the recording copied whole?"),
    (sound, "sound.m4a", "{path}: no video stream, only audio; give a recording with moving pictures"),
    (no_frames, "none.y4m", "{path}: no frame could be decoded (none found); is the recording complete?"),
    (cut_off, "cut.mp4", _NO_INDEX),
    (
        noise,
        "noise.mp4",
        "{path}: no face was found in 4 frames searched of 12, at longest sides of 160 pixels and confidence 0.6. "
        "If there are faces, give their boxes: --boxes FILE.csv with columns time,x,y,w,h",
    ),
]


@pytest.mark.parametrize(("make", "name", "message"), _SOURCES, ids=[make.__name__ for make, *_ in _SOURCES])
@pytest.mark.parametrize("command", ["sweep", "prepare"])
def test_sources_that_cannot_be_used(
    tmp_path: Path, command: str, make: Callable[[Path], None], name: str, message: str
) -> None:
    source, out = tmp_path / name, tmp_path / "out" / "out.h5"
    make(source)
    said = codecsim(*(("sweep",) if command == "sweep" else ("prepare", "video")), source, "--out", out, exit_code=1)
    assert refusal(said) == message.format(path=source)
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path != source]


def test_hdf5_files_that_are_no_corpora_are_no_sources(small_sweep: Path, tmp_path: Path) -> None:
    damaged_corpus(tmp_path / "cut.h5")
    for source, message in (
        (tmp_path / "cut.h5", "{path}: not a corpus file, or damaged (truncated file: eof = "),
        (small_sweep, "{path}: not a corpus file: its schema is 'codecsim-sweep', 'codecsim-corpus' is needed"),
    ):
        said = codecsim("sweep", source, "--out", tmp_path / "out.h5", exit_code=1)
        assert refusal(said).startswith(message.format(path=source))


def test_one_bad_source_among_good_ones_stops_the_sweep_before_it_begins(small_corpus: Path, tmp_path: Path) -> None:
    said = codecsim("sweep", small_corpus, tmp_path / "gone.mp4", "--out", tmp_path / "sweep.h5", exit_code=1)
    assert refusal(said).startswith(f"{tmp_path / 'gone.mp4'}: no such file")
    assert not list(tmp_path.iterdir())


def test_a_truncated_recording_is_used_as_far_as_it_goes(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "talk.mkv", stop=100)
    os.truncate(clip, clip.stat().st_size * 2 // 5)
    given = ("--out", tmp_path / "sweep.h5", "--scales", "3", "--qp", "40", "--no-plot")
    said = codecsim("sweep", clip, *given, exit_code=0)
    assert counts(said) == (1, 0)
    assert any(
        line.startswith("Note: talk: The file promises 4.00 s and ended at ") for line in said.stderr.splitlines()
    )


def test_a_corpus_of_another_version(tmp_path: Path) -> None:
    newer_corpus(tmp_path / "corpus.h5")
    said = codecsim("sweep", tmp_path / "corpus.h5", "--out", tmp_path / "sweep.h5", exit_code=1)
    assert refusal(said) == (
        f"{tmp_path / 'corpus.h5'}: corpus of schema version 2, this codecsim reads version 1; "
        "open it with the codecsim that wrote it, or make it again"
    )


def test_frames_that_are_not_those_of_their_digest(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus.h5", {"anna": carphone_faces()[:9]})
    with h5py.File(corpus, "r+") as file:
        frames = file["sequences/anna/frames"]
        frames[3] = 255 - frames[3]
    said = codecsim("sweep", corpus, "--out", tmp_path / "sweep.h5", "--qp", "30", exit_code=1)
    assert refusal(said).startswith(f"{corpus}: the frames of 'anna' have digest ")
    assert [path.name for path in tmp_path.iterdir()] == ["corpus.h5"]


def test_boxes_belong_to_one_recording(tmp_path: Path) -> None:
    clips = [write_clip(tmp_path / name, stop=3) for name in ("a.mp4", "b.mp4")]
    (tmp_path / "boxes.csv").write_text("frame,x,y,w,h\n0,60,20,96,96\n")
    given = ("--out", tmp_path / "corpus.h5", "--boxes", tmp_path / "boxes.csv")
    said = codecsim("prepare", "video", *clips, *given, exit_code=2)
    assert refusal(said) == "boxes and labels belong to one recording, and 2 were given: prepare them singly"


def test_a_grid_that_can_never_work_is_refused_before_the_faces_are_searched(tmp_path: Path) -> None:
    said = codecsim("sweep", "carphone", "--out", tmp_path / "sweep.h5", "--scales", "5", exit_code=2)
    assert refusal(said).startswith("factor s = 5 does not divide")
    assert not list(tmp_path.iterdir())


# Outputs -------------------------------------------------------------------------------------------------------------


def text_file(path: Path, sweep: Path) -> None:
    path.write_text("my notes\n")


def empty_file(path: Path, sweep: Path) -> None:
    path.touch()


def corpus_file(path: Path, sweep: Path) -> None:
    write_corpus(path, {"anna": carphone_faces()[:9]})


def other_hdf5(path: Path, sweep: Path) -> None:
    h5py.File(path, "w").close()


def other_version(path: Path, sweep: Path) -> None:
    shutil.copy(sweep, path)
    with h5py.File(path, "r+") as file:
        file.attrs["schema_version"] = 9


def truncated(path: Path, sweep: Path) -> None:
    shutil.copy(sweep, path)
    os.truncate(path, path.stat().st_size // 2)


def lacking_a_column(path: Path, sweep: Path) -> None:
    shutil.copy(sweep, path)
    with h5py.File(path, "r+") as file:
        del file["streams/n_bytes"]


def uneven(path: Path, sweep: Path) -> None:
    shutil.copy(sweep, path)
    with h5py.File(path, "r+") as file:
        file["packets/qp"].resize(3, axis=0)


def claiming_a_terabyte(path: Path, sweep: Path) -> None:
    shutil.copy(sweep, path)
    with h5py.File(path, "r+") as file:
        for column in file["packets"].values():
            column.resize(2**40, axis=0)


def folder(path: Path, sweep: Path) -> None:
    path.mkdir()


_HDF5 = "{path}: not a sweep file, or damaged ("
_OUTPUTS: list[tuple[Callable[[Path, Path], None], str]] = [
    (text_file, "{path}: no HDF5 file, or its start is damaged; a sweep file is needed"),
    (empty_file, "{path}: no HDF5 file, or its start is damaged; a sweep file is needed"),
    (corpus_file, "{path}: not a sweep file: its schema is 'codecsim-corpus', 'codecsim-sweep' is needed"),
    (other_hdf5, "{path}: not a sweep file: its schema is 'None', 'codecsim-sweep' is needed"),
    (
        other_version,
        "{path}: sweep of schema version 9, this codecsim reads version 1; open it with the codecsim that wrote it, "
        "or make it again",
    ),
    (truncated, _HDF5 + "truncated file: "),
    (lacking_a_column, "{path}: /streams/n_bytes is missing or of another type; the file is damaged, or not ours"),
    (uneven, "{path}: the columns of /packets have different lengths; the file is damaged"),
    (claiming_a_terabyte, "{path}: /packets/stream is missing or of another type; the file is damaged, or not ours"),
]


@pytest.mark.parametrize(("make", "message"), _OUTPUTS, ids=[make.__name__ for make, _ in _OUTPUTS])
def test_an_out_that_cannot_be_added_to_is_not_touched(
    small_corpus: Path, small_sweep: Path, tmp_path: Path, make: Callable[[Path, Path], None], message: str
) -> None:
    out = tmp_path / "sweep.h5"
    make(out, small_sweep)
    before = listing(tmp_path)
    said = codecsim("sweep", small_corpus, "--out", out, "--qp", "30", exit_code=1)
    assert refusal(said).startswith(message.format(path=out))
    assert refusal(said).endswith(". Nothing was touched: name another file with --out, or move this one away")
    forced = codecsim("sweep", small_corpus, "--out", out, "--qp", "30", "--force", exit_code=1)
    assert forced == said
    assert listing(tmp_path) == before


@pytest.mark.parametrize(("make", "message"), _OUTPUTS, ids=[make.__name__ for make, _ in _OUTPUTS])
def test_no_command_takes_it_for_a_sweep(
    small_sweep: Path, tmp_path: Path, make: Callable[[Path, Path], None], message: str
) -> None:
    path = tmp_path / "sweep.h5"
    make(path, small_sweep)
    of_corpora = ["info", "plot"]
    for command in ("ledger", "verify", "compare", "extract", *([] if make is corpus_file else of_corpora)):
        more = {"compare": [small_sweep], "extract": ["0", tmp_path / "out.264"]}.get(command, [])
        said = codecsim(command, path, *more, exit_code=1)
        assert refusal(said).startswith(message.format(path=path)), command
        assert [each.name for each in tmp_path.iterdir()] == ["sweep.h5"]


def test_out_must_not_be_a_folder(small_corpus: Path, tmp_path: Path) -> None:
    said = codecsim("sweep", small_corpus, "--out", tmp_path, "--qp", "30", exit_code=1)
    assert refusal(said) == f"{tmp_path} is a folder: name a file in it with --out"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", ["info", "ledger", "verify", "plot", "compare", "extract"])
def test_files_that_are_not_there(small_sweep: Path, tmp_path: Path, command: str) -> None:
    more = {"compare": [small_sweep], "extract": ["0", tmp_path / "out.264"]}.get(command, [])
    said = codecsim(command, tmp_path / "gone.h5", *more, exit_code=1)
    assert refusal(said) == f"{tmp_path / 'gone.h5'}: no such file; a sweep file is needed"


def test_an_out_that_cannot_be_written(small_corpus: Path, small_sweep: Path, tmp_path: Path) -> None:
    """Below a regular file nobody can write, not even root."""
    file = tmp_path / "file"
    file.write_text("mine")
    said = program("sweep", small_corpus, "--out", file / "sweep.h5", "--qp", "30", exit_code=1)
    assert refusal(said) == f"cannot write beside {file / 'sweep.h5'}: Not a directory; name another file with --out"
    for arguments in (
        ("sweep", "carphone", "--out", file / "sweep.h5"),
        ("prepare", "video", "carphone", "--out", file / "corpus.h5"),
        ("extract", small_sweep, "0", file / "out.264"),
        ("plot", small_sweep, "--out", file / "out.png"),
    ):
        said = codecsim(*arguments, exit_code=1)
        assert refusal(said).startswith(f"cannot write {file}/")
        assert "Not a directory" in refusal(said)
        assert refusal(said).endswith(
            "Free space or name a folder that you may write to, and run the same command again"
        )
    assert listing(tmp_path) == {"file": hashlib.sha256(b"mine").hexdigest()}


def test_text_in_a_column_that_is_no_text(small_sweep: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(small_sweep, tmp_path / "sweep.h5"))
    with h5py.File(path, "r+") as file:
        file["streams/sequence"][2] = b"\xff\xfe"
    for command in ("info", "ledger", "verify", "plot"):
        said = codecsim(command, path, exit_code=1)
        assert refusal(said).startswith(f"{path}: /streams/sequence is damaged ('utf-8' codec")


def test_attributes_that_are_no_json(small_corpus: Path, small_sweep: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(small_sweep, tmp_path / "sweep.h5"))
    with h5py.File(path, "r+") as file:
        file.attrs["versions"] = "{"
        file.attrs["grids"] = "["
    assert refusal(codecsim("info", path)).startswith(f"{path}: its attribute 'versions' is damaged")
    said = codecsim("sweep", small_corpus, "--out", path, "--qp", "30", "--no-plot", exit_code=1)
    assert refusal(said).startswith(f"{path}: its attribute 'grids' is damaged")


def test_damage_inside_a_file_that_opens(small_corpus: Path, small_sweep: Path, tmp_path: Path) -> None:
    """A bit that turned over on the disk: the checksum of its chunk tells."""
    path = Path(shutil.copy(small_sweep, tmp_path / "sweep.h5"))
    with h5py.File(path, "r") as file:
        where = file["bitstream"].id.get_chunk_info(0).byte_offset
    with path.open("r+b") as raw:
        raw.seek(where + 999)
        byte = raw.read(1)[0]
        raw.seek(where + 999)
        raw.write(bytes([byte ^ 1]))
    before = listing(tmp_path)
    said = codecsim("verify", path, exit_code=1)
    assert "/bitstream is damaged" in said.stderr
    extracted = codecsim("extract", path, "0", tmp_path / "out.264", exit_code=1)
    assert refusal(extracted).startswith(f"{path}: /bitstream is damaged (")
    assert listing(tmp_path) == before
