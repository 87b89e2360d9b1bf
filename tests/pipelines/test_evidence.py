"""Where labels are: on corpora whose answer is known."""

from pathlib import Path

import numpy as np
import pytest

from codecsim.corpus import CorpusWriter
from codecsim.errors import UsageError
from pipelines import evidence
from pipelines.evidence import count_faces, read_labels
from tests.clips import carphone_faces
from tests.pipelines.command import codecsim

N_FRAMES = 40


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The label is a bright square, and one face unit, but for an offset a subject; brightness and pose are noise."""
    path, rng = tmp_path_factory.mktemp("evidence") / "c.h5", np.random.default_rng(0)
    with CorpusWriter(path) as writer:
        for number in range(16):
            label = rng.uniform(-1, 1, N_FRAMES)
            split = "train" if number < 10 else "dev"
            with writer.sequence(f"{split}_{number}", fps=25, subject=f"s{number}", split=split) as out:
                for frame in range(N_FRAMES):
                    picture = np.full((96, 96), 120 + rng.integers(-20, 20), np.int64) + rng.integers(-9, 9, (96, 96))
                    # Beside it lies its opposite: at s = 16 the two cancel.
                    picture[20:24, 40:42] += int(60 * label[frame])
                    picture[20:24, 42:44] -= int(60 * label[frame])
                    out.append(picture.clip(0, 255).astype(np.uint8), pts_seconds=frame / 25)
                out.labels("valence", (label + 0.4 * (-1) ** number).astype(np.float32))
                noise = rng.standard_normal((N_FRAMES, 2))
                out.series("units", np.stack([label, noise[:, 0]], 1), columns=("smile", "jaw"))
                out.series("pose", noise, columns=("yaw", "pitch"))
    return path


def test_the_label_is_read_where_it_is_and_nowhere_else(corpus: Path) -> None:
    found = {each.what: each for each in read_labels(corpus, task="valence", every=1, factors=(1, 16))}
    assert list(found) == ["face units", "brightness and pose", "pixels, s = 1", "pixels, s = 16"]
    assert 0.7 < found["face units"].score < 0.9  # variances 1/3 of it and 0.16: half or more is told
    assert found["face units"].within > 0.99
    assert abs(found["brightness and pose"].score) < 0.2
    for each in found.values():
        assert each.low < each.score < each.high
    assert found["face units"].low > found["brightness and pose"].high
    assert found["pixels, s = 1"].score > 0.5
    assert found["pixels, s = 16"].score < 0.3
    assert (found["face units"].n_train, found["face units"].n_dev) == (10 * N_FRAMES, 6 * N_FRAMES)


def test_the_command_prints_a_row_an_input(corpus: Path) -> None:
    done = codecsim("evidence", corpus, "--task", "valence", "--every", "2", exit_code=0)
    assert "face units" in done.stdout
    assert "pixels, s = 16" in done.stdout
    assert "valence: 200 frames of train, 120 of dev, one in 2" in done.stdout


@pytest.fixture(scope="module")
def expressions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sequences from gray to one of three patterns: the class is in the last frame alone. Face units know it too."""
    path, rng = tmp_path_factory.mktemp("expressions") / "c.h5", np.random.default_rng(1)
    with CorpusWriter(path) as writer:
        for number in range(60):
            which, n_frames = number % 3, int(rng.integers(3, 9))
            split = "train" if number < 42 else "dev"
            with writer.sequence(f"{number}", fps=30, subject=f"s{number // 3}", split=split) as out:
                for frame in range(n_frames):
                    picture = rng.integers(100, 130, (96, 96))
                    if frame == n_frames - 1:
                        picture[30 * which : 30 * which + 20] += 80
                    out.append(picture.astype(np.uint8), pts_seconds=frame / 30)
                out.labels("expression", np.full(n_frames, which, np.int32), classes=("anger", "fear", "joy"))
                shown = np.eye(3)[which] * np.linspace(0, 1, n_frames)[:, None]
                out.series("units", shown, columns=("a", "b", "c"))
                out.series("pose", rng.standard_normal((n_frames, 2)), columns=("yaw", "pitch"))
    return path


def test_classes_are_read_at_the_last_frame(expressions: Path) -> None:
    found = {each.what: each for each in read_labels(expressions, task="expression", factors=(8,))}
    assert {(each.measure, each.n_train, each.n_dev) for each in found.values()} == {("accuracy", 42, 18)}
    assert found["face units"].score == 1
    assert found["pixels, s = 8"].score == 1
    assert found["brightness and pose"].score < 0.75
    assert found["face units"].chance == pytest.approx(1 / 3)


def test_the_command_says_what_chance_is(expressions: Path) -> None:
    said = codecsim("evidence", expressions, "--task", "expression", exit_code=0).stdout
    assert "accuracy" in said
    assert "within" not in said
    assert "always the same class: 0.333" in said
    assert "faces found in 0 of 60 frames of all splits (0.00%)" in said


def test_faces_are_counted_where_there_are_any(tmp_path: Path) -> None:
    path = tmp_path / "c.h5"
    with CorpusWriter(path) as writer, writer.sequence("a", fps=25) as out:
        for frame in (carphone_faces()[0], np.full((96, 96), 90, np.uint8), carphone_faces()[9]):
            out.append(frame, pts_seconds=out.n_frames / 25)
    assert count_faces(path, every=1) == (2, 3)
    assert count_faces(path, every=2) == (2, 2)


def test_a_label_that_is_not_there_is_refused(corpus: Path) -> None:
    with pytest.raises(UsageError, match="no label 'joy'; it has valence"):
        read_labels(corpus, task="joy")


def test_the_penalty_is_chosen_on_subjects_that_were_not_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The input is the subject's number, so that a fit shows whom it knows."""
    people = np.repeat(np.arange(12), 7)
    values, labels = people[:, None].astype(float), np.sin(np.arange(84.0))[:, None]
    fits, real = [], evidence._ridge

    def noting(known: np.ndarray, wanted: np.ndarray, unknown: np.ndarray) -> np.ndarray:
        fits.append((set(known[:, 0]), set(unknown[:, 0])))
        return real(known, wanted, unknown)

    monkeypatch.setattr(evidence, "_ridge", noting)
    evidence._read("subject", values, labels, people.astype(str), people < 9)
    assert len(fits) == 6
    assert all(known.isdisjoint(unknown) for known, unknown in fits)
    assert set.union(*(unknown for _, unknown in fits[:5])) == set(range(9))
    assert fits[5] == (set(range(9)), {9, 10, 11})


def test_heads_that_are_turned_can_be_left_out(corpus: Path) -> None:
    """Yaw and pitch are drawn from N(0, 1): within ±1 lie 0.683² = 0.47 of the frames."""
    found = read_labels(corpus, task="valence", every=1, factors=(16,), frontal_degrees=1)
    assert 0.4 < found[0].n_train / (10 * N_FRAMES) < 0.53
    assert found[0].within > 0.99
    said = codecsim("evidence", corpus, "--task", "valence", "--every", "1", "--frontal", "1", exit_code=0).stdout
    assert f"valence: {found[0].n_train} frames of train" in said


def test_too_few_subjects_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.h5"
    with CorpusWriter(path) as writer, writer.sequence("a", fps=25, split="train") as out:
        out.append(np.zeros((96, 96), np.uint8), pts_seconds=0)
        out.labels("valence", np.zeros(1, np.float32))
    with pytest.raises(UsageError, match="1 subjects in split train and 0 in dev"):
        read_labels(path, task="valence")


def test_the_interval_of_an_accuracy_is_over_subjects() -> None:
    """Of two subjects with 1 of 4 and 6 of 6 frames told, a resample has 0.25, 0.7 or 1."""
    correct, subjects = np.arange(10) >= 3, np.repeat(["a", "b"], [4, 6])
    assert evidence._accuracy_interval(correct, subjects) == (0.25, 1)
    assert evidence._accuracy_interval(correct, np.repeat("a", 10)) == (0.7, 0.7)
