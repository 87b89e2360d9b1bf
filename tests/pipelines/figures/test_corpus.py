"""Pictures of corpora show the frames that they say, and `info` counts what is there."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from codecsim.corpus import CorpusWriter
from codecsim.errors import UsageError
from codecsim.scaling import downscale, upscale
from pipelines.figures import corpus as corpus_figures
from pipelines.figures.corpus import plot_figure1, plot_sheet, plot_trace
from tests.clips import carphone_faces, write_corpus
from tests.codecsim import corpora
from tests.pipelines.command import codecsim, refusal

FEAR, JOY = 0, 1


@pytest.fixture(scope="module")
def felt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two subjects of split train and one of dev, with valence over time and raters; frame k is even gray of 2 k."""
    path = tmp_path_factory.mktemp("felt") / "felt.h5"
    valence = np.sin(np.arange(100) / 15).astype(np.float32)
    with CorpusWriter(path) as writer:
        for name, split in (("train_1", "train"), ("train_2", "train"), ("dev_1", "dev")):
            with writer.sequence(name, fps=25, subject=name, split=split, source="test") as sequence:
                for k in range(100):
                    sequence.append(np.full((96, 96), 2 * k, np.uint8), pts_seconds=k / 25)
                sequence.labels("arousal", -valence)
                sequence.labels("valence", valence)
                sequence.labels("valence_truth", valence)
                sequence.series("raters_valence", np.stack([valence] * 2, 1), columns=("rater_1", "rater_2"))
    return path


@pytest.fixture(scope="module")
def stills(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 subjects with a still of each of two classes."""
    path = tmp_path_factory.mktemp("stills") / "stills.h5"
    with CorpusWriter(path) as writer:
        for subject in range(30):
            for which in (FEAR, JOY):
                name = f"{subject}_{which}"
                with writer.sequence(name, fps=1, subject=f"s{subject}", split="train") as sequence:
                    sequence.append(np.full((96, 96), 40 + which, np.uint8), pts_seconds=0)
                    sequence.labels("expression", np.array([which], np.int32), classes=("fear", "joy"))
    return path


def pictures(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """The pictures that are drawn from now on."""
    drawn, real = [], corpus_figures.picture

    def noting(axis: object, pixels: np.ndarray) -> None:
        drawn.append(pixels)
        real(axis, pixels)

    monkeypatch.setattr(corpus_figures, "picture", noting)
    return drawn


def test_a_sheet_shows_where_a_label_is_lowest_and_highest(
    felt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = pictures(monkeypatch)
    paths = plot_sheet(felt, tmp_path / "sheet.png")
    valence = np.sin(np.arange(100) / 15)
    expected = [2 * int(np.argmin(valence)), 2 * int(np.argmax(valence))]
    assert [int(each[0, 0]) for each in drawn] == 3 * expected
    assert [path.name for path in paths] == ["sheet.png", "sheet.pdf"]
    with Image.open(paths[0]) as saved:
        assert saved.size[0] > 400
        assert saved.mode == "L"
    assert paths[1].read_bytes().startswith(b"%PDF")
    drawn.clear()
    plot_sheet(felt, tmp_path / "sheet.png", task="arousal", sequences=["dev_1"])
    assert [int(each[0, 0]) for each in drawn] == expected[::-1]


def test_a_sheet_of_more_sequences_than_fit_shows_one_of_each_subject(
    stills: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpus_figures, "_MOST_SEQUENCES", 14)
    drawn = pictures(monkeypatch)
    plot_sheet(stills, tmp_path / "sheet.png")
    assert [int(each[0, 0]) for each in drawn] == [40, 41] * 7
    drawn.clear()
    plot_sheet(stills, tmp_path / "sheet.png", sequences=["3_0", "3_1"])
    assert [int(each[0, 0]) for each in drawn] == [40, 41]


def test_figure_1_shows_what_a_network_sees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = write_corpus(tmp_path / "c.h5", {"clip": carphone_faces()[:5]})
    drawn = pictures(monkeypatch)
    plot_figure1(corpus, tmp_path / "f.png", frame=3)
    face = carphone_faces()[3:4]
    assert len(drawn) == 7
    np.testing.assert_array_equal(drawn[0], face[0])
    for s, shown in zip((3, 4, 6, 8, 12, 16), drawn[1:], strict=True):
        np.testing.assert_array_equal(shown, upscale(downscale(face, s))[0])


def test_figure_1_takes_the_dev_subject_where_its_label_is_highest(
    felt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = pictures(monkeypatch)
    plot_figure1(felt, tmp_path / "f.png")
    assert int(drawn[0][0, 0]) == 2 * int(np.argmax(np.sin(np.arange(100) / 15)))
    with pytest.raises(UsageError, match="dev_1 has frames 0 to 99, and 100 was asked for"):
        plot_figure1(felt, tmp_path / "f.png", frame=100)


def test_a_trace_shows_frames_evenly_spaced_in_time(
    felt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = pictures(monkeypatch)
    plot_trace(felt, tmp_path / "t.png", sequences=["train_2", "dev_1"])
    assert len(drawn) == 2
    assert drawn[0][0, ::96].tolist() == [2 * round(k * 99 / 9) for k in range(10)]
    with pytest.raises(UsageError, match="dev_1 has no label 'joy'; it has arousal, valence, valence_truth"):
        plot_trace(felt, tmp_path / "t.png", task="joy")


def test_a_class_has_no_trace(stills: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="0_0 has no label over time; it has expression"):
        plot_trace(stills, tmp_path / "t.png")


def test_a_corpus_without_labels_is_drawn(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "c.h5", {"clip": carphone_faces()[:3]})
    assert len(plot_sheet(corpus, tmp_path / "s.png")) == 2
    assert len(plot_figure1(corpus, tmp_path / "f.png")) == 2


def test_a_class_is_shown_at_the_last_frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with CorpusWriter(tmp_path / "c.h5") as writer, writer.sequence("a", fps=25) as sequence:
        for level in (1, 2, 3):
            sequence.append(np.full((96, 96), level, np.uint8), pts_seconds=level / 25)
        sequence.labels("expression", np.zeros(3, np.int32), classes=("joy",))
    drawn = pictures(monkeypatch)
    plot_sheet(tmp_path / "c.h5", tmp_path / "s.png")
    assert [int(each[0, 0]) for each in drawn] == [3]


def test_frames_without_a_label_are_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with CorpusWriter(tmp_path / "c.h5") as writer, writer.sequence("a", fps=25) as sequence:
        for level in range(6):
            sequence.append(np.full((96, 96), level, np.uint8), pts_seconds=level / 25)
        sequence.labels("valence", np.array([np.nan, np.nan, 0, 1, -1, np.nan], np.float32))
    drawn = pictures(monkeypatch)
    plot_sheet(tmp_path / "c.h5", tmp_path / "s.png")
    assert [int(each[0, 0]) for each in drawn] == [4, 3]


def test_a_label_that_is_nowhere_known_is_drawn(tmp_path: Path) -> None:
    with CorpusWriter(tmp_path / "c.h5") as writer, writer.sequence("a", fps=25) as sequence:
        sequence.append(np.zeros((96, 96), np.uint8), pts_seconds=0)
        sequence.labels("valence", np.array([np.nan], np.float32))
    assert len(plot_sheet(tmp_path / "c.h5", tmp_path / "s.png")) == 2


def test_the_command_draws_a_sheet_of_a_corpus_by_itself(felt: Path, tmp_path: Path) -> None:
    said = codecsim("plot", felt, "--out", tmp_path / "x.png", exit_code=0).stdout
    assert said.split() == [str(tmp_path / "x.png"), str(tmp_path / "x.pdf")]
    for figure in ("figure1", "trace"):
        codecsim("plot", felt, "--figure", figure, "--out", tmp_path / "y.png", exit_code=0)
    assert refusal(codecsim("plot", felt, "--figure", "rd")).endswith(
        "--figure rd is not of such a file; it has sheet, figure1, trace"
    )
    assert refusal(codecsim("plot", felt, "--frame", 3)) == "--frame is not for --figure sheet"
    assert refusal(codecsim("plot", felt, "--sequence", "x")).endswith(
        "no sequence 'x'; it holds train_1, train_2, dev_1"
    )


def test_info_counts_splits_labels_and_classes(felt: Path, stills: Path) -> None:
    lines = [" ".join(line.split()) for line in codecsim("info", felt, exit_code=0).stdout.splitlines()]
    assert "train 2 2 200 0.1 25.000" in lines
    assert "dev 1 1 100 0.1 25.000" in lines
    valence = np.sin(np.arange(100) / 15)
    numbers = f"{valence.min():.2f} to {valence.max():.2f}, mean {valence.mean():.2f}, deviation {valence.std():.2f}"
    assert f"valence 3 300 {numbers}" in lines
    assert "also known of each frame: raters_valence" in lines
    lines = codecsim("info", stills, exit_code=0).stdout.splitlines()
    assert any(line.split()[-4:] == ["fear", "30,", "joy", "30"] for line in lines)
    assert lines[-1] == "… and 20 more sequences; --all lists them"
    assert len(codecsim("info", stills, "--all", exit_code=0).stdout.splitlines()) == len(lines) + 20 - 2


def test_the_digest_of_a_corpus_is_of_its_names_and_frames(tmp_path: Path) -> None:
    clip = carphone_faces()[:6]
    said = [
        codecsim("info", write_corpus(tmp_path / f"{number}.h5", each), exit_code=0).stdout.splitlines()[1]
        for number, each in enumerate(({"a": clip}, {"a": clip}, {"b": clip}, {"a": clip[:5]}))
    ]
    assert said[0] == said[1]
    assert len(set(said)) == 3


def test_unlabelled_frames_are_not_counted(tmp_path: Path) -> None:
    said = codecsim("info", corpora.write(tmp_path / "c.h5"), exit_code=0).stdout
    n_known = int(np.isfinite(corpora.VALENCE).sum())
    assert any(line.split()[:3] == ["valence", "1", str(n_known)] for line in said.splitlines())
