"""AVEC 2016 to a corpus, on small trees in its layout."""

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from codecsim.corpus import Corpus
from codecsim.errors import SourceError
from codecsim.sources.assembly import AssemblyReport, assemble
from codecsim.sources.datasets.avec2016 import SPLITS, find_recordings
from pipelines.commands.preparing import AVEC_SPLITS
from tests.codecsim.sources.datasets.rated_trees import (
    N_LABELS,
    RATERS,
    label_rows,
    ramp,
    write_boxes,
    write_gold,
    write_raters,
    write_recording,
    write_times,
)
from tests.codecsim.sources.footage import blank, carphone_rgb

SLOPES = {"arousal": 1e-4, "valence": -1e-4}


def write_labels(root: Path, name: str, *, n_rows: int = N_LABELS) -> None:
    for task, slope in SLOPES.items():
        write_gold(root / f"ratings_gold_standard/{task}/{name}.arff", ramp(slope), n_rows=n_rows)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """train_1 with raters and times of frames, dev_2 without, test_3 without labels; 30 frames each."""
    root = tmp_path_factory.mktemp("avec") / "AVEC_2016"
    for name in ("train_1", "dev_2", "test_3"):
        write_recording(root / f"recordings_video/{name}.mp4")
    (root / "recordings_video/notes.mp4").write_bytes(b"not one of the recordings")
    write_times(root / "recordings_video_frame_time/train_1.csv", [0.04 * n for n in range(1, 31)])
    for name in ("train_1", "dev_2"):
        write_labels(root, name)
    for task in SLOPES:
        write_raters(root / f"ratings_individual/{task}/train_1.csv", lambda n, k: k + n * 1e-3)
    return root


def copy_of(tree: Path, folder: Path) -> Path:
    return Path(shutil.copytree(tree, folder / "copy"))


def prepare(root: Path, out: Path, **options: object) -> AssemblyReport:
    return assemble(out, find_recordings(root, **options), workers=1)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def prepared(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[AssemblyReport, Path]:
    out = tmp_path_factory.mktemp("out") / "avec.h5"
    return prepare(tree, out), out


def test_recordings_are_sequences_with_subject_split_and_source(prepared: tuple[AssemblyReport, Path]) -> None:
    with Corpus(prepared[1]) as corpus:
        assert [(each.name, each.subject, each.split, each.source) for each in corpus.sequences()] == [
            ("train_1", "train_1", "train", "recordings_video/train_1.mp4"),
            ("dev_2", "dev_2", "dev", "recordings_video/dev_2.mp4"),
            ("test_3", "test_3", "test", "recordings_video/test_3.mp4"),
        ]
        made = json.loads(corpus.sequence("train_1").preparation)["avec2016"]
        assert made["times"] == "recordings_video_frame_time/train_1.csv"
        assert made["raters_arousal"] == "ratings_individual/arousal/train_1.csv"


def test_labels_are_joined_on_the_times_of_frames_where_these_are_there(prepared: tuple[AssemblyReport, Path]) -> None:
    with Corpus(prepared[1]) as corpus:
        np.testing.assert_allclose(corpus.pts_seconds("train_1"), 0.04 * np.arange(1, 31))
        for task, slope in SLOPES.items():
            labels = corpus.labels("train_1", task)
            assert labels.dtype == np.float32
            assert label_rows(labels, slope) == [*range(1, 31)]


def test_without_them_the_frame_at_time_0_has_no_label_and_is_left_out(prepared: tuple[AssemblyReport, Path]) -> None:
    report, out = prepared
    with Corpus(out) as corpus:
        np.testing.assert_allclose(corpus.pts_seconds("dev_2"), 0.04 * np.arange(1, 30), atol=1e-6)
        assert label_rows(corpus.labels("dev_2", "valence"), SLOPES["valence"]) == [*range(1, 30)]
    assert "dev_2: 1 of 30 frames lie outside of 0.020 to 300.020 s and were left out." in report.notes


def test_the_test_part_is_unlabelled_and_whole(prepared: tuple[AssemblyReport, Path]) -> None:
    report, out = prepared
    with Corpus(out) as corpus:
        assert (corpus.sequence("test_3").tasks, corpus.sequence("test_3").n_frames) == ((), 30)
    assert "test_3 has no gold standard and is unlabelled." in report.notes


def test_raters_are_kept_by_their_names(prepared: tuple[AssemblyReport, Path]) -> None:
    with Corpus(prepared[1]) as corpus:
        assert corpus.series_names("train_1") == ("raters_arousal", "raters_valence")
        assert corpus.series_names("dev_2") == ()
        values, columns = corpus.series("train_1", "raters_valence")
        assert columns == RATERS
        np.testing.assert_allclose(values, np.arange(6) + 1e-3 * np.arange(1, 31)[:, None], atol=1e-6)


def test_centred_raters_serve_where_there_are_no_others(tree: Path, tmp_path: Path) -> None:
    root = copy_of(tree, tmp_path)
    (root / "ratings_individual").rename(root / "ratings_individual_centred")
    (recording,) = find_recordings(root, splits=("train",))
    assert recording.raters["valence"] == root / "ratings_individual_centred/valence/train_1.csv"


def test_all_7500_labels_are_used_for_as_many_frames(tmp_path: Path) -> None:
    root, out = tmp_path / "avec", tmp_path / "out.h5"
    write_recording(root / "recordings_video/train_1.mp4", blank(7500, height=32, width=32))
    seconds = [0.04 * n for n in range(1, 7501)]
    write_times(root / "recordings_video_frame_time/train_1.csv", seconds)
    write_labels(root, "train_1")
    write_boxes(tmp_path / "boxes/train_1.csv", dict.fromkeys(seconds, (0, 0, 32, 32)))
    report = prepare(root, out, boxes=tmp_path / "boxes")
    assert report.n_frames == 7500
    assert [said for said in report.notes if "left out" in said or "label" in said or "listed" in said] == []
    with Corpus(out) as corpus:
        assert label_rows(corpus.labels("train_1", "arousal"), SLOPES["arousal"]) == [*range(1, 7501)]
        assert corpus.sequence("train_1").fps == pytest.approx(25)


def test_small_boxes_are_dropped_as_in_the_published_scripts(tmp_path: Path) -> None:
    root, out = tmp_path / "avec", tmp_path / "out.h5"
    write_recording(root / "recordings_video/train_1.mp4", carphone_rgb()[:10].repeat(2, axis=1).repeat(2, axis=2))
    write_labels(root, "train_1", n_rows=20)
    boxes = {0.04 * n: (20.0, 20.0, 120.0, 140.0) for n in range(10) if n != 4}
    boxes[0.04 * 6] = (20, 20, 100, 140)
    write_boxes(tmp_path / "boxes/train_1.csv", boxes)
    report = prepare(root, out, boxes=tmp_path / "boxes", drop_small=True)
    with Corpus(out) as corpus:
        assert label_rows(corpus.labels("train_1", "arousal"), SLOPES["arousal"]) == [1, 2, 3, 5, 7, 8, 9]
        assert corpus.boxes("train_1")[0].tolist() == [10, 20, 140, 140]
    assert any(said.startswith("train_1: 2 frames were left out: their face has no box") for said in report.notes)
    assert prepare(root, out, boxes=tmp_path / "boxes").n_frames == 9


def test_of_two_faces_the_longer_seen_is_kept(tmp_path: Path) -> None:
    root, out = tmp_path / "avec", tmp_path / "out.h5"
    rgb = carphone_rgb()[:40]
    visitor = np.concatenate([blank(15), rgb[15:40]])
    write_recording(root / "recordings_video/train_1.mp4", np.concatenate([visitor, rgb], axis=2))
    write_labels(root, "train_1", n_rows=50)
    report = prepare(root, out)
    with Corpus(out) as corpus:
        assert [each.name for each in corpus.sequences()] == ["train_1"]
        assert corpus.sequence("train_1").n_frames == 39
        assert corpus.boxes("train_1")[:, 0].min() > 176
    assert any(said.startswith("train_1: Of 2 face tracks the longest was kept") for said in report.notes)


def test_a_damaged_recording_is_left_out_and_the_rest_kept(tree: Path, tmp_path: Path) -> None:
    root = copy_of(tree, tmp_path)
    (root / "recordings_video/train_1.mp4").write_bytes(b"\0" * 1000)
    write_recording(root / "recordings_video/dev_2.mp4", blank(30))
    report = prepare(root, tmp_path / "out.h5")
    assert report.n_sequences == 1
    assert report.notes[0].startswith(f"train_1 was left out: {root}/recordings_video/train_1.mp4: not a video")
    assert report.notes[1].startswith(f"dev_2 was left out: {root}/recordings_video/dev_2.mp4: no face was found")


def test_what_it_depends_on_is_its_identity(tree: Path, tmp_path: Path) -> None:
    root = copy_of(tree, tmp_path)

    def identities(**options: object) -> list[str]:
        return [each.identity() for each in find_recordings(root, **options)]  # type: ignore[arg-type]

    before = identities()
    assert identities() == before
    assert all(json.loads(each) for each in before)
    assert str(tmp_path) not in "".join(before)
    assert identities(drop_small=True)[0] != before[0]
    write_raters(root / "ratings_individual/valence/train_1.csv", lambda n, k: 0.5)
    after = identities()
    assert (after[0] != before[0], after[1:] == before[1:]) == (True, True)
    first = find_recordings(root)[0]
    assert pickle.loads(pickle.dumps(first)).identity() == after[0]


def test_boxes_have_an_identity_and_one_file_a_recording(tree: Path, tmp_path: Path) -> None:
    root = copy_of(tree, tmp_path)
    folder = tmp_path / "boxes"
    write_boxes(folder / "train_1.csv", {0.04: (1, 1, 90, 90)})
    (recording,) = find_recordings(root, boxes=folder, splits=("train",))
    before = recording.identity()
    write_boxes(folder / "train_1.csv", {0.04: (1, 1, 90, 80)})
    assert recording.identity() != before
    with pytest.raises(SourceError, match=r"boxes: no boxes for 2 of 3 recordings: dev_2.csv, test_3.csv; give a file"):
        find_recordings(root, boxes=folder)
    (folder / "train_1.csv").write_text("time,x,y,w,h\n0.04,1,1,-90,90\n")
    with pytest.raises(SourceError, match=r"train_1.csv, line 2: box x, y, w, h = 1, 1, -90, 90"):
        find_recordings(root, boxes=folder, splits=("train",))


def test_the_splits_that_help_shows_are_those_that_there_are() -> None:
    assert AVEC_SPLITS == SPLITS


def test_a_wrong_root_is_told_what_was_looked_for(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"none: no such folder; ROOT is the folder that holds AVEC 2016"):
        find_recordings(tmp_path / "none")
    with pytest.raises(SourceError) as caught:
        find_recordings(tree / "recordings_video")
    assert str(caught.value) == (
        f"{tree}/recordings_video: no AVEC 2016 here: looked for recordings_video/{{train,dev,test}}_{{1…9}}.mp4 "
        "(found 0) and ratings_gold_standard/{arousal,valence}/NAME.arff (found 0); ROOT is the folder that holds them"
    )
    root = copy_of(tree, tmp_path)
    (root / "recordings_video/train_1.mp4").unlink()
    with pytest.raises(SourceError, match=r"no recording of train among dev_2, test_3 in recordings_video"):
        find_recordings(root, splits=("train",))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("ratings_gold_standard/valence/dev_2.arff", None, "1 label files are missing: valence/dev_2.arff; copy them"),
        ("ratings_gold_standard/valence/dev_2.arff", "@relation x\n@data\n", "dev_2.arff: no @attribute line"),
        (
            "ratings_individual/arousal/train_1.csv",
            "time;FM1 \n0;0\n0.04;x\n",
            "train_1.csv, line 3, column 'FM1': 'x'",
        ),
        ("recordings_video_frame_time/train_1.csv", "n;t\n1;0.1\n2;0\n", "train_1.csv, line 3: the time 0 s is not"),
    ],
)
def test_wrong_tables_are_errors_before_any_work(
    tree: Path, tmp_path: Path, name: str, content: str | None, said: str
) -> None:
    root = copy_of(tree, tmp_path)
    (root / name).unlink()
    if content is not None:
        (root / name).write_text(content)
    with pytest.raises(SourceError) as caught:
        find_recordings(root)
    assert said in str(caught.value)


def test_labels_of_different_times_are_refused(tree: Path, tmp_path: Path) -> None:
    root = copy_of(tree, tmp_path)
    path = write_gold(root / "ratings_gold_standard/valence/dev_2.arff", ramp(1), n_rows=100)
    with pytest.raises(SourceError, match=f"{path}: 99 labels, whose times are not those of the 7500 in .*arousal"):
        find_recordings(root)
