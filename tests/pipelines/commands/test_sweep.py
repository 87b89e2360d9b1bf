"""`codecsim sweep` and `codecsim prepare`: what they make, what they say, and what they do not do again."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from codecsim import Corpus, open_sweep
from codecsim.codecs import CODECS
from tests.pipelines.command import Outcome, codecsim, counts, program
from tests.pipelines.media import write_clip


def streams(path: Path) -> dict[tuple[str, str], bytes]:
    """(sequence, key) → elementary stream."""
    with open_sweep(path) as sweep:
        names = zip(sweep.column("sequence").tolist(), sweep.column("key").tolist(), strict=True)
        return {name: sweep.bitstream(row) for row, name in enumerate(names)}


def test_the_main_command_makes_the_sweep_and_the_picture(carphone_run: tuple[Path, Outcome]) -> None:
    out, said = carphone_run
    with open_sweep(out) as sweep:
        assert len(sweep) == 46
        assert {(s, qp) for s, qp in zip(sweep.column("scale"), sweep.column("qp_requested"), strict=True)} == {
            (s, qp) for s in (3, 4) for qp in range(18, 41)
        }
        assert set(sweep.column("n_frames")) == {120}
    picture = out.parent / "sweep.rd"
    assert sorted(path.name for path in out.parent.iterdir()) == [
        "sweep.corpus",
        "sweep.h5",
        "sweep.rd.pdf",
        "sweep.rd.png",
    ]
    table, _, end = said.stdout.partition("\n\n")
    assert table.splitlines()[0].split() == (
        ["codec", "s", "LR", "coded", "padding", "streams", "value", "bpp_lr", "kbps", "PSNR", "lr", "PSNR", "hr"]
    )
    assert [line.split()[:8] for line in table.splitlines()[2:]] == [
        ["x264", "3", "32×32", "32×32", "0%", "23", "qp", "18–40"],
        ["x264", "4", "24×24", "32×32", "44%", "23", "qp", "18–40"],
    ]
    lines = end.splitlines()
    assert lines[0].startswith(f"{out}: 46 streams, ")
    assert counts(said) == (46, 0)
    assert lines[1:] == [f"{picture}.png", f"{picture}.pdf"]
    assert said.stderr.startswith("Note: carphone: the crop is ")
    assert said.stderr.count("\n") == 1


def test_a_second_run_does_nothing_again(carphone_sweep: Path) -> None:
    before = carphone_sweep.read_bytes()
    for said in (
        codecsim("sweep", "carphone", "--out", carphone_sweep, "--no-plot", exit_code=0),
        program("sweep", "carphone", "--out", carphone_sweep, "--no-plot", exit_code=0),
    ):
        assert counts(said) == (0, 46)
        assert said.stderr == ""
    assert carphone_sweep.read_bytes() == before


def test_a_wider_grid_does_only_what_is_missing(small_corpus: Path, small_sweep: Path, tmp_path: Path) -> None:
    out = Path(shutil.copy(small_sweep, tmp_path / "sweep.h5"))
    before = streams(out)
    said = codecsim("sweep", small_corpus, "--out", out, "--scales", "3,4,6", "--qp", "24-36:6", "--no-plot")
    assert counts(said) == (2 * 3 * 3 - 8, 8)
    after = streams(out)
    assert len(after) == 18
    assert {name: after[name] for name in before} == before
    with open_sweep(out) as sweep:
        assert [grid["values"] for grid in sweep.grids] == [[24, 36], [24, 30, 36]]


def test_force_does_everything_again(small_corpus: Path, small_sweep: Path, tmp_path: Path) -> None:
    out = Path(shutil.copy(small_sweep, tmp_path / "sweep.h5"))
    said = codecsim("sweep", small_corpus, "--out", out, "--qp", "24", "--force", "--no-plot", exit_code=0)
    assert counts(said) == (4, 0)
    assert streams(out) == streams(small_sweep)
    with open_sweep(out) as new, open_sweep(small_sweep) as old:
        moved = new.column("encode_seconds") != old.column("encode_seconds")
        assert (moved == (new.column("qp_requested") == 24)).all()


@pytest.mark.parametrize(("option", "mode"), [("--crf", "crf"), ("--bitrate", "bitrate")])
def test_other_modes(small_corpus: Path, tmp_path: Path, option: str, mode: str) -> None:
    out = tmp_path / "sweep.h5"
    said = codecsim("sweep", small_corpus, "--out", out, "--scales", "3", option, "20.5,28", "--no-plot", exit_code=0)
    assert f"{mode} 20.5–28" in said.stdout
    with open_sweep(out) as sweep:
        assert set(sweep.column("mode")) == {mode}
        requested = sweep.column({"crf": "crf_requested", "bitrate": "bitrate_kbps_requested"}[mode])
        assert sorted(requested) == [20.5, 20.5, 28, 28]
        assert np.isnan(sweep.column("qp_requested")).all()
        rates = sweep.column("rate_kbps").reshape(2, 2)
        assert (rates[:, 0] > rates[:, 1]).all() if mode == "crf" else (rates[:, 0] < rates[:, 1]).all()


def test_all_codecs_in_one_sweep_with_a_picture(small_corpus: Path, tmp_path: Path) -> None:
    out, codecs = tmp_path / "sweep.h5", "x264,x265,svtav1,vp9"
    said = program("sweep", small_corpus, "--out", out, "--scales", "3", "--qp", "30,40", "--codec", codecs)
    assert (said.exit_code, said.stderr) == (0, "")
    assert counts(said) == (2 * 2 * 4, 0)
    with open_sweep(out) as sweep:
        assert sorted(set(sweep.column("codec"))) == sorted(CODECS)
        assert set(CODECS) < set(sweep.versions)
    assert out.with_suffix(".rd.png").stat().st_size > 20_000
    assert codecsim("verify", out).exit_code == 0


def test_options_reach_the_encoder(small_corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "sweep.h5"
    grid = ("--out", out, "--scales", "3", "--qp", "30", "--no-plot")
    codecsim("sweep", small_corpus, *grid, exit_code=0)
    given = ("--low-delay", "--preset", "fast", "--tune", "psnr", "--gop", "10", "--pix-fmt", "yuv420p")
    said = codecsim("sweep", small_corpus, *grid, *given, "--encoder-option", "ref=1", "--encoder-option", "me=dia")
    assert counts(said) == (2, 0)
    with open_sweep(out) as sweep:
        (low,) = (row for row in sweep.find("anna") if sweep.column("options")[row] != "{}")
        (plain,) = (row for row in sweep.find("anna") if sweep.column("options")[row] == "{}")
        assert json.loads(sweep.column("options")[low]) == {
            "gop": 10,
            "low_delay": True,
            "pix_fmt": "yuv420p",
            "preset": "fast",
            "raw": [["ref", "1"], ["me", "dia"]],
            "tune": "psnr",
        }
        types = {row: sweep.packet_table(row)["pict_type"].tolist() for row in (low, plain)}
        assert types[low] == ([b"I"] + 9 * [b"P"]) * 3
        assert b"B" in types[plain]
        banner = sweep.bitstream(low)
        for setting in (b"ref=1 ", b"me=dia", b"bframes=0", b"keyint=10 "):
            assert setting in banner, setting
        assert sweep.bitstream(plain).find(b"ref=3 ") > 0


@pytest.mark.parametrize("codec", ["x265", "vp9", "svtav1"])
def test_options_of_other_codecs(small_corpus: Path, tmp_path: Path, codec: str) -> None:
    own = {"x265": "ref=1", "vp9": "arnr-strength=0", "svtav1": "enable-tf=0"}[codec]
    said = codecsim(
        *("sweep", small_corpus, "--out", tmp_path / "sweep.h5", "--scales", "3", "--qp", "30", "--codec", codec),
        *("--low-delay", "--gop", "10", "--encoder-option", own, "--no-plot"),
    )
    assert counts(said) == (2, 0)
    with open_sweep(tmp_path / "sweep.h5") as sweep:
        table = sweep.packet_table(0)
        assert (table["pts"] == np.arange(30)).all()
        assert table["pict_type"][::10].tolist() == 3 * [b"I"]


def test_the_number_of_workers_does_not_change_a_byte(small_corpus: Path, small_sweep: Path, tmp_path: Path) -> None:
    out = tmp_path / "sweep.h5"
    said = program("sweep", small_corpus, "--out", out, "--qp", "24,36", "--no-plot", "--workers", "2", exit_code=0)
    assert counts(said) == (8, 0)
    assert said.stderr == ""
    assert streams(out) == streams(small_sweep)
    assert [path.name for path in tmp_path.iterdir()] == ["sweep.h5"]


def test_several_sources_of_different_kinds(small_corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    clips = [write_clip(tmp_path / "talk.mp4"), write_clip(tmp_path / "b" / "talk.mkv", 60, 80)]
    out = tmp_path / "sweep.h5"
    given = ("sweep", *clips, small_corpus, "--out", out, "--scales", "3", "--qp", "30", "--no-plot")
    said = codecsim(*given, exit_code=0)
    assert counts(said) == (4, 0)
    with open_sweep(out) as sweep:
        found = dict(zip(sweep.column("sequence").tolist(), sweep.column("n_frames").tolist(), strict=True))
    assert found == {f"{tmp_path.name}_talk": 25, "b_talk": 20, "anna": 30, "bo": 30}
    assert sorted(line.split(": ")[1] for line in said.stderr.splitlines()) == sorted(
        ["b_talk", f"{tmp_path.name}_talk"]
    )
    again = codecsim(*given, exit_code=0)
    assert counts(again) == (0, 4)
    assert again.stderr == ""


def test_prepare_video_makes_a_corpus(tmp_path: Path) -> None:
    clip, out = write_clip(tmp_path / "talk.mp4"), tmp_path / "new" / "corpus.h5"
    labels = tmp_path / "labels.csv"
    labels.write_text("time,valence\n" + "".join(f"{index / 25},{index / 25}\n" for index in range(25)))
    said = codecsim(
        *("prepare", "video", clip, "--out", out, "--labels", labels, "--subject", "carl", "--split", "dev"),
        exit_code=0,
    )
    header, _, row, *_ = said.stdout.splitlines()
    assert header.split() == ["sequence", "frames", "interpolated", "dropped", "seconds", "face", "px"]
    assert row.split()[:2] == ["talk", "25"]
    assert said.stdout.splitlines()[-1].startswith(f"{out}: ")
    assert [line.startswith("Note: talk: the crop is ") for line in said.stderr.splitlines()] == [True]
    with Corpus(out) as corpus:
        (sequence,) = corpus.sequences()
        assert (sequence.name, sequence.subject, sequence.split, sequence.n_frames) == ("talk", "carl", "dev", 25)
        np.testing.assert_allclose(corpus.labels("talk", "valence"), np.arange(25) / 25, atol=1e-6)
    swept = codecsim("sweep", out, "--out", tmp_path / "sweep.h5", "--scales", "3", "--qp", "30", "--no-plot")
    assert counts(swept) == (1, 0)


def test_prepare_takes_boxes_instead_of_the_detector(tmp_path: Path) -> None:
    clip, boxes, out = write_clip(tmp_path / "talk.mp4"), tmp_path / "boxes.csv", tmp_path / "corpus.h5"
    boxes.write_text("frame,x,y,w,h\n" + "".join(f"{index},60,20,96,96\n" for index in range(25)))
    said = codecsim("prepare", "video", clip, "--out", out, "--boxes", boxes, exit_code=0)
    assert said.stderr == ""
    with Corpus(out) as corpus:
        assert (corpus.boxes("talk") == [60, 20, 96, 96]).all()


def test_slow_measures_are_added_to_what_is_there(small_corpus: Path, small_sweep: Path, tmp_path: Path) -> None:
    out = Path(shutil.copy(small_sweep, tmp_path / "sweep.h5"))
    given = ("sweep", small_corpus, "--out", out, "--scales", "3", "--qp", "36", "--quality", "strred", "--no-plot")
    assert counts(codecsim(*given, exit_code=0)) == (0, 2)
    assert streams(out) == streams(small_sweep)
    with open_sweep(out) as sweep:
        measured = np.isfinite(sweep.column("strred"))
        assert sorted(map(sweep.name, np.flatnonzero(measured))) == ["anna/x264/s3/qp36", "bo/x264/s3/qp36"]
        assert len(sweep.grids) == 1
    assert codecsim("verify", out).exit_code == 0
