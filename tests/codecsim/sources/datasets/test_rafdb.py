"""RAF-DB from its label file to a corpus of stills, on a small tree in its layout."""

import dataclasses
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from codecsim.corpus import Corpus
from codecsim.errors import SourceError
from codecsim.scaling import resize
from codecsim.sources.assembly import AssemblyReport, assemble
from codecsim.sources.datasets import rafdb
from codecsim.sources.datasets.images import read_gray
from codecsim.sources.datasets.rafdb import CLASSES, find_recordings

RNG = np.random.default_rng(5)
STILLS = {"train_00001": 5, "train_00002": 1, "train_00003": 7, "train_00004": 4, "test_0001": 2, "test_0002": 6}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "basic"
    (root / "EmoLabel").mkdir(parents=True)
    (root / "Image" / "aligned").mkdir(parents=True)
    write_labels(root, "".join(f"{name}.jpg {number}\n" for name, number in STILLS.items()))
    for name in STILLS:
        Image.fromarray(RNG.integers(0, 256, (100, 100, 3), np.uint8)).save(image(root, name))
    return root


def write_labels(root: Path, text: str) -> None:
    (root / "EmoLabel" / "list_patition_label.txt").write_bytes(text.encode())


def image(root: Path, name: str) -> Path:
    return root / "Image" / "aligned" / f"{name}_aligned.jpg"


def make(root: Path) -> tuple[AssemblyReport, Path]:
    out = root.parent / "corpus.h5"
    return assemble(out, find_recordings(root), workers=1), out


def test_every_still_is_a_sequence_of_one_frame(root: Path) -> None:
    report, out = make(root)
    assert (report.n_sequences, report.n_frames, report.notes) == (6, 6, ())
    with Corpus(out) as corpus:
        assert [each.name for each in corpus.sequences()] == list(STILLS)
        for each in corpus.sequences():
            assert (each.n_frames, each.fps, each.subject, each.tasks) == (1, 1, "", ("expression",))
            assert each.split == each.name.split("_")[0]
            assert each.source == f"Image/aligned/{each.name}_aligned.jpg"
            np.testing.assert_array_equal(
                corpus.frames(each.name)[0], resize(read_gray(image(root, each.name)), 96, 96)
            )
            assert corpus.pts_seconds(each.name).tolist() == [0]
            assert corpus.labels(each.name, "expression").tolist() == [STILLS[each.name] - 1]
            assert corpus.classes(each.name, "expression") == CLASSES


def test_the_classes_are_those_of_the_data_set() -> None:
    assert dict(enumerate(CLASSES, 1)) == {
        1: "surprise", 2: "fear", 3: "disgust", 4: "happiness", 5: "sadness", 6: "anger", 7: "neutral"
    }  # fmt: skip


def test_windows_line_ends_and_blanks(root: Path) -> None:
    write_labels(root, "\r\n".join(f"{name}.jpg {number} " for name, number in STILLS.items()) + "\r\n\r\n")
    assert make(root)[0].n_sequences == 6


def test_stills_go_in_batches_of_one_split(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rafdb, "_BATCH", 3)
    found = find_recordings(root)
    assert [(each.name, each.size) for each in found] == [
        ("train_00001 to train_00003", 3),
        ("train_00004 to train_00004", 1),
        ("test_0001 to test_0002", 2),
    ]
    assert pickle.loads(pickle.dumps(found)) == found


def test_the_identity_changes_with_files_and_labels(root: Path) -> None:
    (train, test) = find_recordings(root)
    assert [each.identity() for each in find_recordings(root)] == [train.identity(), test.identity()]
    os.utime(image(root, "train_00002"), ns=(1, 2))
    touched = find_recordings(root)
    assert touched[0].identity() != train.identity()
    assert touched[1].identity() == test.identity()
    relabelled = tuple((name, 0) for name, _ in test.labels)
    assert dataclasses.replace(test, labels=relabelled).identity() != test.identity()


def test_what_is_missing_or_damaged_is_counted(root: Path) -> None:
    image(root, "train_00001").unlink()
    image(root, "train_00002").write_bytes(image(root, "train_00002").read_bytes()[:500])
    Image.new("L", (100, 90)).save(image(root, "test_0001"))
    Image.new("L", (100, 100)).save(image(root, "train_99999"))
    report, out = make(root)
    with Corpus(out) as corpus:
        assert [each.name for each in corpus.sequences()] == ["train_00003", "train_00004", "test_0002"]
    assert report.notes[:2] == (
        "list_patition_label.txt: 1 of 6 labelled images are not in Image/aligned.",
        "Image/aligned: 1 images have no label and were left out.",
    )
    train, test = report.notes[2:]
    assert train.startswith("train_00002 to train_00004: 1 images could not be read and were left out; the first: ")
    assert "train_00002_aligned.jpg: the image is damaged or cut short" in train
    assert "test_0001_aligned.jpg: a picture of 100×90 pixels; aligned faces are square" in test


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("train_00002.jpg 8", "line 2: 'train_00002.jpg 8'; lines read train_00001.jpg 5, with a class of 1 to 7"),
        ("train_00002.jpg", "line 2: 'train_00002.jpg'; lines read"),
        ("dev_00002.jpg 3", "line 2: 'dev_00002.jpg 3'; lines read"),
        ("../train_00002.jpg 3", "line 2: '../train_00002.jpg 3'; lines read"),
        ("train_00001.jpg 3", "line 2: a second label for train_00001.jpg"),
    ],
)
def test_label_files_that_are_wrong(root: Path, row: str, message: str) -> None:
    write_labels(root, f"train_00001.jpg 5\n{row}\n")
    with pytest.raises(SourceError) as caught:
        find_recordings(root)
    assert f"list_patition_label.txt, {message}" in str(caught.value)


def test_an_empty_label_file(root: Path) -> None:
    write_labels(root, "\n")
    with pytest.raises(SourceError, match="no label in it; lines read"):
        find_recordings(root)


def test_a_folder_that_is_not_raf_db(root: Path) -> None:
    with pytest.raises(SourceError) as caught:
        find_recordings(root.parent)
    assert str(caught.value) == (
        f"{root.parent}: no RAF-DB here: looked for EmoLabel/list_patition_label.txt and the folder Image/aligned, "
        "lacking EmoLabel/list_patition_label.txt and Image/aligned; ROOT is the folder that holds EmoLabel and Image, "
        "called basic in the download"
    )


def test_no_labelled_image_at_all(root: Path) -> None:
    for name in STILLS:
        image(root, name).unlink()
    with pytest.raises(SourceError, match="none of the 6 labelled images is here; looked for files as train_00001_al"):
        find_recordings(root)
