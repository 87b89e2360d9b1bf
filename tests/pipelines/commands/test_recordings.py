"""`codecsim prepare` of data sets whose recordings are videos, as whole commands."""

from pathlib import Path

import pytest

from codecsim.corpus import Corpus
from tests.codecsim.sources.datasets.mmi_trees import write_session
from tests.codecsim.sources.datasets.rated_trees import ramp, write_boxes, write_gold, write_raters, write_recording
from tests.pipelines.command import codecsim, program, refusal


@pytest.fixture
def avec(tmp_path: Path) -> Path:
    root = tmp_path / "AVEC_2016"
    for name in ("train_1", "dev_1", "test_1"):
        write_recording(root / f"recordings_video/{name}.mp4")
        for task in ("arousal", "valence"):
            write_gold(root / f"ratings_gold_standard/{task}/{name}.arff", ramp(1e-4), n_rows=31)
    return root


def listing(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


def test_avec2016_in_two_processes_writes_the_corpus_and_nothing_else(avec: Path, tmp_path: Path) -> None:
    before, out = listing(tmp_path), tmp_path / "avec.h5"
    done = program("prepare", "avec2016", avec, "--out", out, "--workers", 2, exit_code=0)
    assert f"{out}: 3 sequences, 87 frames" in done.stdout
    assert "3 of 3 recordings made now" in done.stdout
    assert "Note: train_1: 1 of 30 frames lie outside of 0.020 to 1.220 s and were left out." in done.stderr
    assert listing(tmp_path) == sorted([*before, out])
    with Corpus(out) as corpus:
        assert corpus.attribute("data_set") == "avec2016"
        assert [each.name for each in corpus.sequences()] == ["train_1", "dev_1", "test_1"]
    done = codecsim("prepare", "avec2016", avec, "--out", out, "--splits", "dev", "--workers", 1, exit_code=0)
    assert f"{out}: 1 sequences, 29 frames" in done.stdout
    assert "0 of 1 recordings made now" in done.stdout


def test_avec2016_with_boxes_drops_small_ones(avec: Path, tmp_path: Path) -> None:
    boxes = {0.04 * n: (5.0, 5.0, 101.0 if n % 2 else 100.0, 120.0) for n in range(30)}
    write_boxes(tmp_path / "boxes/dev_1.csv", boxes)
    arguments = ["prepare", "avec2016", avec, "--out", tmp_path / "dev.h5", "--splits", "dev", "--workers", 1]
    done = codecsim(*arguments, "--boxes", tmp_path / "boxes", "--drop-small", exit_code=0)
    assert "1 sequences, 15 frames" in done.stdout
    assert "dev_1: 14 frames were left out: their face has no box of its own" in done.stderr.replace("\n", " ")


def test_avec2016_refuses_what_it_cannot_read(avec: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.h5"
    said = codecsim("prepare", "avec2016", tmp_path, "--out", out, exit_code=1)
    assert refusal(said).startswith(f"{tmp_path}: no AVEC 2016 here: looked for recordings_video/")
    said = codecsim("prepare", "avec2016", avec, "--out", out, "--splits", "train,validation", exit_code=2)
    assert refusal(said).endswith("no split 'validation'; there are: train, dev, test")
    labels = avec / "ratings_gold_standard/valence/dev_1.arff"
    labels.write_text(labels.read_text().replace("dev_1,0.08,", "dev_1,0.08,x"))
    said = codecsim("prepare", "avec2016", avec, "--out", out, exit_code=1)
    assert (
        refusal(said) == f"{labels}, line 11, attribute 'GoldStandard': 'x0.000200' is not a number; a missing one is ?"
    )
    assert not out.exists()


def test_recola_takes_its_splits_from_a_file(tmp_path: Path) -> None:
    root, out = tmp_path / "RECOLA", tmp_path / "recola.h5"
    write_recording(root / "Video_recordings_MP4/P16.mp4")
    for task in ("arousal", "valence"):
        write_raters(root / f"Ratings_affective_behaviour_CCC_centred/{task}/P16.csv", lambda n, k: 0.5, n_rows=31)
    (tmp_path / "splits.csv").write_text("name,split\nP16,train\n")
    done = codecsim("prepare", "recola", root, "--out", out, "--split-file", tmp_path / "splits.csv", exit_code=0)
    assert f"{out}: 1 sequences, 29 frames" in done.stdout
    with Corpus(out) as corpus:
        assert corpus.attribute("data_set") == "recola"
        assert corpus.sequence("P16").split == "train"
    said = codecsim("prepare", "recola", tmp_path, "--out", out, exit_code=1)
    assert refusal(said).startswith(f"{tmp_path}: no RECOLA here: looked for Video_recordings_MP4/P*.mp4 (found 0)")


def test_mmi_says_what_it_left_out_even_where_all_was_there(tmp_path: Path) -> None:
    root, out = tmp_path / "MMI", tmp_path / "mmi.h5"
    write_session(root, 1, "S001-001", "1")
    write_session(root, 2, "S001-002", None)
    for n_new in (1, 0):
        done = codecsim("prepare", "mmi", root, "--out", out, "--workers", 1, exit_code=0)
        assert f"{out}: 1 sequences, 25 frames" in done.stdout
        assert f"{n_new} of 1 recordings made now" in done.stdout
        assert "Note: 1 sessions without an emotion were left out." in done.stderr
    with Corpus(out) as corpus:
        assert corpus.attribute("data_set") == "mmi"
    said = codecsim("prepare", "mmi", root, "--out", out, "--views", "1", exit_code=1)
    assert "1 sessions without view 1 were left out." in refusal(said)
    said = codecsim("prepare", "mmi", root, "--out", out, "--views", "3", exit_code=2)
    assert refusal(said).endswith("no view '3'; there are: 0, 1, 2")
