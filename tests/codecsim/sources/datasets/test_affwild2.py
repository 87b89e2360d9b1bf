"""Aff-Wild2 to a corpus, on a small tree in its layout: invalid rows, gaps, two people in a video."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from codecsim.corpus import Corpus
from codecsim.errors import SourceError, UsageError
from codecsim.scaling import resize
from codecsim.sources.assembly import AssemblyReport, assemble
from codecsim.sources.datasets.affwild2 import find_recordings
from codecsim.sources.datasets.images import read_gray
from tests.codecsim.sources.footage import blank, write_video

RNG = np.random.default_rng(6)
ROWS = [(0.1, -0.2), (-5, -5), (0.5, -5), (1, -1), (-0.25, 0.75), (0, 0)]


def add_person(root: Path, name: str, split: str = "Train_Set", *, numbers: tuple[int, ...] = (1, 2, 3, 4, 6)) -> None:
    labels = root / "VA_Set" / split / f"{name}.txt"
    labels.parent.mkdir(parents=True, exist_ok=True)
    labels.write_text("valence,arousal\n" + "".join(f"{valence},{arousal}\n" for valence, arousal in ROWS))
    folder = root / "cropped_aligned" / name
    folder.mkdir(parents=True)
    (folder / ".DS_Store").touch()
    for number in numbers:
        Image.fromarray(RNG.integers(0, 256, (112, 112, 3), np.uint8)).save(folder / f"{number:05d}.jpg")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "aff"
    add_person(root, "10-60-1280x720")
    add_person(root, "video2_left")
    add_person(root, "video2_right", numbers=(2, 3))
    add_person(root, "6-30-1920x1080", "Validation_Set", numbers=(1, 2, 3, 4, 5, 6))
    return root


def make(root: Path, **options: float) -> tuple[AssemblyReport, Path]:
    out = root.parent / "corpus.h5"
    return assemble(out, find_recordings(root, **options), workers=1), out


def test_frames_meet_their_rows(root: Path) -> None:
    _, out = make(root)
    with Corpus(out) as corpus:
        assert [(each.name, each.subject, each.split) for each in corpus.sequences()] == [
            (name, name, split)
            for name, split in (
                ("10-60-1280x720", "train"),
                ("video2_left", "train"),
                ("video2_right", "train"),
                ("6-30-1920x1080", "dev"),
            )
        ]
        each = corpus.sequence("10-60-1280x720")
        assert (each.fps, each.source) == (30, "cropped_aligned/10-60-1280x720")
        np.testing.assert_allclose(corpus.pts_seconds(each.name), np.array([0, 1, 2, 3, 5]) / 30)
        valence, arousal = (corpus.labels(each.name, task) for task in ("valence", "arousal"))
        assert valence.dtype == np.float32
        np.testing.assert_array_equal(valence, np.float32([0.1, np.nan, np.nan, 1, 0]))
        np.testing.assert_array_equal(arousal, np.float32([-0.2, np.nan, np.nan, -1, 0]))
        for index, number in enumerate((1, 2, 3, 4, 6)):
            gray = read_gray(root / each.source / f"{number:05d}.jpg")
            np.testing.assert_array_equal(corpus.frames(each.name)[index], resize(gray, 96, 96))


def test_what_is_left_out_is_counted(root: Path) -> None:
    folder = root / "cropped_aligned"
    for number in (7, 8, 0):
        Image.new("L", (112, 112)).save(folder / "video2_left" / f"{number:05d}.jpg")
    (folder / "6-30-1920x1080" / "00002.jpg").write_bytes(b"\xff\xd8\xff")
    report, out = make(root)
    *gaps, damaged = report.notes
    assert gaps == [
        "10-60-1280x720: 1 of 6 rows of labels have no image and were left out.",
        "video2_left: 3 images lie beyond the 6 rows of labels and were left out.",
        "video2_left: 1 of 6 rows of labels have no image and were left out.",
        "video2_right: 4 of 6 rows of labels have no image and were left out.",
    ]
    assert damaged.startswith("6-30-1920x1080: 1 images could not be read and were left out; the first: ")
    with Corpus(out) as corpus:
        assert corpus.sequence("video2_left").n_frames == 5
        np.testing.assert_allclose(corpus.labels("6-30-1920x1080", "valence"), [0.1, np.nan, 1, -0.25, 0])


def test_a_person_without_images_does_not_stop_the_rest(root: Path) -> None:
    labels = root / "VA_Set" / "Train_Set"
    (labels / "gone.txt").write_bytes((labels / "video2_left.txt").read_bytes())
    (labels / "void.txt").write_bytes((labels / "video2_left.txt").read_bytes())
    (labels / "._void.txt").write_bytes(b"\0\5\26\7")
    (root / "cropped_aligned" / "void").mkdir()
    report, _ = make(root)
    assert report.n_sequences == 4
    assert "gone: labels, and no folder cropped_aligned/gone; it was left out." in report.notes
    assert "void: 6 of 6 rows of labels have no image and were left out." in report.notes


def test_windows_line_ends_blanks_and_the_later_name_of_the_folder(root: Path) -> None:
    (root / "VA_Set").rename(root / "VA_Estimation_Challenge")
    labels = root / "VA_Estimation_Challenge" / "Train_Set" / "video2_left.txt"
    labels.write_bytes(b"Valence, Arousal \r\n0.1, 0.2\r\n-5.0,-5.0 \r\n0.3,0.4\r\n\r\n")
    _, out = make(root)
    with Corpus(out) as corpus:
        np.testing.assert_array_equal(corpus.labels("video2_left", "arousal"), np.float32([0.2, np.nan, 0.4]))


def test_the_frame_rate_is_asked_for_or_that_of_the_raw_video(root: Path) -> None:
    (root / "batch1").mkdir()
    write_video(root / "batch1" / "video2.mp4", blank(4), rate=24)
    (root / "batch1" / "10-60-1280x720.avi").write_bytes(b"no video")
    found = {each.name: each for each in find_recordings(root)}
    assert found["video2_left"].raw == found["video2_right"].raw == "batch1/video2.mp4"
    report, out = make(root)
    with Corpus(out) as corpus:
        assert {each.name: each.fps for each in corpus.sequences()} == {
            "10-60-1280x720": 30,
            "video2_left": 24,
            "video2_right": 24,
            "6-30-1920x1080": 30,
        }
        np.testing.assert_allclose(corpus.pts_seconds("video2_right"), [1 / 24, 2 / 24])
    (note,) = [note for note in report.notes if "assumed" in note]
    assert note.startswith(f"10-60-1280x720: 30 frames per second were assumed ({root}/batch1/10-60-1280x720.avi: not")
    _, out = make(root, fps=50)
    with Corpus(out) as corpus:
        assert {each.fps for each in corpus.sequences()} == {50}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0.1,0.2\n0.3,0.4\n", "line 1: '0.1,0.2'; the header reads valence,arousal"),
        ("arousal,valence\n0.1,0.2\n", "line 1: 'arousal,valence'; the header reads valence,arousal"),
        ("valence,arousal\n", "a header and no row"),
        (
            "valence,arousal\n0.1,0.2\n\n0.3,0.4\n",
            "line 3: ''; a row holds valence and arousal of −1 to 1, or -5",
        ),
        ("valence,arousal\n0.1,0.2\n0.3\n", "line 3: '0.3'; a row holds"),
        ("valence,arousal\n0.1,0.2,0.3\n", "line 2: '0.1,0.2,0.3'; a row holds"),
        ("valence,arousal\n0.1,1.2\n", "line 2: '0.1,1.2'; a row holds"),
        ("valence,arousal\n0.1,nan\n", "line 2: '0.1,nan'; a row holds"),
    ],
)
def test_label_files_that_are_wrong(root: Path, text: str, message: str) -> None:
    (root / "VA_Set" / "Train_Set" / "video2_left.txt").write_text(text)
    with pytest.raises(SourceError) as caught:
        make(root)
    assert "video2_left.txt" in str(caught.value)
    assert message in str(caught.value)


def test_the_identity_changes_with_files_and_options(root: Path) -> None:
    def identity(**options: float) -> str:
        (found,) = [each for each in find_recordings(root, **options) if each.name == "video2_left"]
        assert pickle.loads(pickle.dumps(found)).identity() == found.identity()
        return found.identity()

    identities = [identity(), identity(), identity(fps=25)]
    os.utime(root / "cropped_aligned" / "video2_left" / "00002.jpg", ns=(1, 2))
    identities.append(identity())
    os.utime(root / "VA_Set" / "Train_Set" / "video2_left.txt", ns=(1, 2))
    identities.append(identity())
    (root / "batch2").mkdir()
    (root / "batch2" / "video2.mp4").write_bytes(b"1")
    identities.append(identity())
    assert identities[0] == identities[1]
    assert len(set(identities)) == 5


def test_a_video_in_both_splits(root: Path) -> None:
    labels = root / "VA_Set" / "Validation_Set" / "video2_left.txt"
    labels.write_text("valence,arousal\n0,0\n")
    with pytest.raises(SourceError, match=r"Validation_Set/video2_left\.txt: a second label file of video2_left, "):
        find_recordings(root)


def test_a_folder_that_is_not_aff_wild2(root: Path) -> None:
    (root / "cropped_aligned").rename(root / "cropped")
    with pytest.raises(SourceError) as caught:
        find_recordings(root)
    assert str(caught.value) == (
        f"{root}: no Aff-Wild2 here: looked for Train_Set/*.txt (found 3) and Validation_Set/*.txt (found 1) in VA_Set "
        "or VA_Estimation_Challenge, and for images as cropped_aligned/VIDEO/00001.jpg (found 0 folders with labels); "
        "ROOT is the folder that holds these"
    )


@pytest.mark.parametrize("fps", [0, -25, 1001, float("nan"), float("inf")])
def test_frame_rates_that_are_none(root: Path, fps: float) -> None:
    with pytest.raises(UsageError, match="frames per second: above 0 and up to 1000 are allowed"):
        find_recordings(root, fps=fps)
