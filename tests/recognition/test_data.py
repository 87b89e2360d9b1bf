"""Labelled frames from a corpus, and the fold of people that is held out."""

from pathlib import Path

import numpy as np
import pytest
import torch

from codecsim.corpus import Corpus, CorpusWriter, corpus_digest
from codecsim.errors import UsageError
from recognition import data
from recognition.data import Faces, hold_out, load_faces
from tests.recognition.small import N_FRAMES, TRAIN, valence

CPU = torch.device("cpu")
NAN = float("nan")
NOISE = np.random.default_rng(3).integers(0, 256, (12, 96, 96), np.uint8)


def write(path: Path, *, fps: float = 4.0, **labels: dict[str, list[float]]) -> Path:
    """A corpus of split train: a sequence a keyword, whose frames are the first ones of `NOISE`."""
    with CorpusWriter(path) as writer:
        for name, series in labels.items():
            with writer.sequence(name, fps=fps, subject=name[0], split="train") as sequence:
                for index in range(len(next(iter(series.values()), [0]))):
                    sequence.append(NOISE[index], pts_seconds=index / fps)
                for task, values in series.items():
                    sequence.labels(task, np.array(values, np.float32))
    return path


def load(corpus: Path, *, labels: tuple[str, ...] = ("valence",), split: str = "train", **options: float) -> Faces:
    return load_faces(corpus, split=split, labels=labels, device=CPU, **options)


# What is read --------------------------------------------------------------------------------------------------------


def test_frames_of_a_split_come_with_their_labels_people_and_recordings(corpus: Path) -> None:
    faces = load(corpus, labels=("arousal", "valence"))
    assert len(faces) == len(TRAIN) * N_FRAMES
    expected = np.concatenate([valence(N_FRAMES, seed=seed) for seed in range(len(TRAIN))])
    assert np.array_equal(faces.targets.numpy(), np.stack([-expected, expected], 1))
    assert faces.subjects.tolist() == [name for name in TRAIN for _ in range(N_FRAMES)]
    assert faces.recordings.tolist() == [f"{name}_1" for name in TRAIN for _ in range(N_FRAMES)]
    assert faces.fps.tolist() == [10.0] * len(faces)
    assert faces.labels == ("arousal", "valence")
    with Corpus(corpus) as opened:
        assert np.array_equal(faces.frames.numpy(), np.concatenate([opened.frames(f"{name}_1") for name in TRAIN]))
        assert faces.digest == corpus_digest(opened.sequences())
    assert set(load(corpus, split="dev").subjects) == {"eve"}


def test_frames_without_any_label_are_left_out_and_holes_stay_where_another_is_known(tmp_path: Path) -> None:
    path = write(tmp_path / "c.h5", a={"valence": [1, NAN, 3, NAN], "arousal": [NAN, NAN, 6, 7]})
    faces = load(path, labels=("valence", "arousal"))
    np.testing.assert_array_equal(faces.targets.numpy(), [[1, NAN], [3, 6], [NAN, 7]])
    assert np.array_equal(faces.frames.numpy(), NOISE[[0, 2, 3]])
    assert len(faces.recordings) == len(faces.subjects) == len(faces.fps) == 3


def test_every_so_many_frames_are_taken_from_the_first_of_each_recording(tmp_path: Path) -> None:
    path = write(tmp_path / "c.h5", a={"valence": [0, 1, 2, 3, 4, 5, 6]}, b={"valence": [10, 11, 12, 13]})
    faces = load(path, every=3)
    assert faces.targets.flatten().tolist() == [0, 3, 6, 10, 13]
    assert np.array_equal(faces.frames.numpy(), NOISE[[0, 3, 6, 0, 3]])
    assert faces.fps.tolist() == pytest.approx([4 / 3] * 5)


def test_a_frame_gets_the_label_that_stands_later_and_the_last_frames_none(tmp_path: Path) -> None:
    path = write(tmp_path / "c.h5", a={"valence": [0, 1, 2, 3, 4]}, b={"valence": [10, 11, NAN, 13]})
    faces = load(path, delay_seconds=0.5)  # two frames at 4 a second
    assert faces.recordings.tolist() == ["a", "a", "a", "b"]
    assert faces.targets.flatten().tolist() == [2, 3, 4, 13]
    assert np.array_equal(faces.frames.numpy(), NOISE[[0, 1, 2, 1]])


def test_the_delay_is_counted_in_frames_of_the_recording_before_any_is_left_out(tmp_path: Path) -> None:
    path = write(tmp_path / "c.h5", a={"valence": [0, 1, 2, 3, 4, 5, 6]})
    faces = load(path, delay_seconds=0.7, every=2)  # 2.8 frames, to the nearest: three
    assert faces.targets.flatten().tolist() == [3, 5]
    assert np.array_equal(faces.frames.numpy(), NOISE[[0, 2]])


def test_a_recording_shorter_than_the_delay_has_no_labels(tmp_path: Path) -> None:
    path = write(tmp_path / "c.h5", a={"valence": [0, 1, 2, 3]}, b={"valence": [0, 1, 2, 3, 4, 5]})
    assert load(path, delay_seconds=1.0).recordings.tolist() == ["b", "b"]
    assert load(path, delay_seconds=1.25).recordings.tolist() == ["b"]
    with pytest.raises(UsageError, match="no frame of split 'train' is labelled with valence"):
        load(path, delay_seconds=100)


def test_people_without_a_name_are_told_apart_by_their_recordings(tmp_path: Path) -> None:
    with CorpusWriter(tmp_path / "c.h5") as writer:
        for name in ("first", "second"):
            with writer.sequence(name, fps=1, split="train") as sequence:
                sequence.append(NOISE[0], pts_seconds=0)
                sequence.labels("valence", np.zeros(1, np.float32))
    assert load(tmp_path / "c.h5").subjects.tolist() == ["first", "second"]


def test_labels_in_double_precision_are_taken(tmp_path: Path) -> None:
    with CorpusWriter(tmp_path / "c.h5") as writer, writer.sequence("a", fps=1, split="train") as sequence:
        sequence.append(NOISE[0], pts_seconds=0)
        sequence.labels("valence", np.array([0.1]))
    assert load(tmp_path / "c.h5").targets.dtype == torch.float32


# What is refused -----------------------------------------------------------------------------------------------------


def test_a_split_that_is_not_there_is_refused(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no split 'test'; it has dev, train"):
        load(corpus, split="test")
    with CorpusWriter(tmp_path / "bare.h5") as writer, writer.sequence("a", fps=1) as sequence:
        sequence.append(NOISE[0], pts_seconds=0)
    with pytest.raises(UsageError, match=r"no split 'train'; it has \(none\)"):
        load(tmp_path / "bare.h5")
    with CorpusWriter(tmp_path / "empty.h5"):
        pass
    with pytest.raises(UsageError, match="no split 'train'; it has no sequences"):
        load(tmp_path / "empty.h5")


def test_labels_that_are_not_there_are_refused(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"sequence ada_1 has no label 'joy'; it has .*valence"):
        load(corpus, labels=("valence", "joy"))
    with pytest.raises(UsageError, match="sequence a has no label 'valence'; it has no labels at all"):
        load(write(tmp_path / "c.h5", a={}))


def test_classes_are_refused(corpus: Path) -> None:
    with pytest.raises(UsageError, match="label 'smile' is a class; labels that are numbers over time are needed"):
        load(corpus, labels=("smile",))


def test_a_corpus_without_a_known_label_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "c.h5", a={"valence": [NAN, NAN], "arousal": [NAN, NAN]})
    with pytest.raises(UsageError, match="no frame of split 'train' is labelled with valence or arousal"):
        load(path, labels=("valence", "arousal"))


@pytest.mark.parametrize(
    "options",
    [
        {"every": 0},
        {"delay_seconds": -0.1},
        {"delay_seconds": NAN},
        {"delay_seconds": float("inf")},
        {"labels": ()},
    ],
    ids=str,
)
def test_numbers_that_make_no_sense_are_refused(corpus: Path, options: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=r"every .* frames, delay .* s, labels .*: 1, 0 s, one or more"):
        load(corpus, **options)


def test_a_corpus_larger_than_the_memory_is_refused_before_a_frame_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "c.h5", a={"valence": [0, 1, 2, 3, 4]}, b={"valence": [0, 1, 2]})
    monkeypatch.setattr(data, "free_bytes", lambda device: 5 * 96**2 / 0.6)
    assert len(load(path, every=2)) == 5
    monkeypatch.setattr(data, "free_bytes", lambda device: 7.9 * 96**2 / 0.6)
    monkeypatch.setattr(Corpus, "frames", None)
    with pytest.raises(UsageError, match=r"8 frames take .* free on cpu.*ake every 2th frame or fewer"):
        load(path)


# The fold ------------------------------------------------------------------------------------------------------------


def people(n: int, *, n_frames: int = 3) -> Faces:
    """Frames of n people, each of which is filled with the number of its person."""
    numbers = torch.arange(n).repeat_interleave(n_frames)
    names = np.array([f"p{number:02d}" for number in numbers.tolist()])
    return Faces(
        numbers.to(torch.uint8).reshape(-1, 1, 1).expand(-1, 96, 96),
        numbers.float().reshape(-1, 1),
        names,
        names,
        numbers.numpy().astype(float),
        ("valence",),
        "digest",
    )


@pytest.mark.parametrize(("n", "n_folds"), [(4, 2), (5, 2), (7, 3), (12, 6), (13, 6), (40, 6)])
def test_folds_share_no_person_and_together_hold_everyone(n: int, n_folds: int) -> None:
    faces = people(n)
    held_ever: list[str] = []
    for fold in range(n_folds):
        learn, held = hold_out(faces, fold=fold)
        assert not set(learn.subjects) & set(held.subjects)
        assert len(learn) + len(held) == len(faces)
        assert len(set(held.subjects)) >= 2
        held_ever += sorted(set(held.subjects))
    assert sorted(held_ever) == sorted(set(faces.subjects))
    with pytest.raises(UsageError, match=f"fold {n_folds} of {n} subjects: 0 to {n_folds - 1} are allowed"):
        hold_out(faces, fold=n_folds)
    with pytest.raises(UsageError, match="fold -1 of"):
        hold_out(faces, fold=-1)


def test_everything_known_of_a_frame_goes_with_it() -> None:
    for part in hold_out(people(4)):
        numbers = [int(name[1:]) for name in part.subjects]
        assert part.frames[:, 5, 5].tolist() == part.targets.flatten().tolist() == part.fps.tolist() == numbers
        assert part.recordings.tolist() == part.subjects.tolist()
        assert (part.labels, part.digest) == (("valence",), "digest")


@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_fold_of_one_person_is_refused(n: int) -> None:
    with pytest.raises(
        UsageError, match=f"{n} subjects to train on: a fold would hold fewer than 2; 4 subjects or more"
    ):
        hold_out(people(n))
