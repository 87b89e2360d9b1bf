"""RECOLA to a corpus, on small trees in its layout."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from codecsim.corpus import Corpus
from codecsim.errors import SourceError
from codecsim.sources.assembly import AssemblyReport, assemble
from codecsim.sources.datasets.recola import find_recordings
from tests.codecsim.sources.datasets.rated_trees import N_LABELS, RATERS, write_boxes, write_raters, write_recording

RATINGS = "Ratings_affective_behaviour_CCC_centred"


def trace(n: int, k: int) -> float:
    """Rating of row n by rater k; the raters' mean is n / 1000."""
    return n / 1000 + (k - 2.5) / 10


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """P9 and P16 with ratings, P13 without."""
    root = tmp_path_factory.mktemp("recola") / "RECOLA"
    for name in ("P16", "P9", "P13"):
        write_recording(root / f"Video_recordings_MP4/{name}.mp4")
    for name, n_rows in (("P16", N_LABELS), ("P9", 21)):
        write_raters(root / f"{RATINGS}/arousal/{name}.csv", trace, n_rows=n_rows)
        write_raters(root / f"{RATINGS}/valence/{name}.csv", lambda n, k: -trace(n, k), n_rows=n_rows)
    return root


def copy_of(tree: Path, folder: Path) -> Path:
    return Path(shutil.copytree(tree, folder / "copy"))


@pytest.fixture(scope="module")
def prepared(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[AssemblyReport, Path]:
    out = tmp_path_factory.mktemp("out") / "recola.h5"
    return assemble(out, find_recordings(tree), workers=1), out


def test_recordings_are_sequences_by_number(prepared: tuple[AssemblyReport, Path]) -> None:
    with Corpus(prepared[1]) as corpus:
        assert [(each.name, each.subject, each.split, each.source) for each in corpus.sequences()] == [
            (name, name, "", f"Video_recordings_MP4/{name}.mp4") for name in ("P9", "P13", "P16")
        ]


def test_the_gold_standard_is_the_mean_of_the_raters_who_are_kept(prepared: tuple[AssemblyReport, Path]) -> None:
    with Corpus(prepared[1]) as corpus:
        assert corpus.labels("P16", "valence").dtype == np.float32
        np.testing.assert_allclose(corpus.labels("P16", "arousal"), np.arange(1, 30) / 1000, atol=1e-6)
        np.testing.assert_allclose(corpus.labels("P16", "valence"), -np.arange(1, 30) / 1000, atol=1e-6)
        values, columns = corpus.series("P16", "raters_valence")
        assert columns == RATERS
        np.testing.assert_allclose(values[:, 5], -np.arange(1, 30) / 1000 - 0.25, atol=1e-6)


def test_frames_after_the_last_rating_are_left_out_and_said(prepared: tuple[AssemblyReport, Path]) -> None:
    report, out = prepared
    with Corpus(out) as corpus:
        np.testing.assert_allclose(corpus.pts_seconds("P9"), 0.04 * np.arange(1, 21), atol=1e-6)
    assert "P9: 10 of 30 frames lie outside of 0.020 to 0.820 s and were left out." in report.notes


def test_a_recording_without_ratings_is_kept_unlabelled_and_said(prepared: tuple[AssemblyReport, Path]) -> None:
    report, out = prepared
    with Corpus(out) as corpus:
        assert (corpus.sequence("P13").tasks, corpus.sequence("P13").n_frames) == ((), 30)
    assert "P13 has no gold standard and is unlabelled." in report.notes


def test_a_gold_standard_without_raters_is_taken_as_it_is(tree: Path, tmp_path: Path) -> None:
    root, out = copy_of(tree, tmp_path), tmp_path / "out.h5"
    for task in ("arousal", "valence"):
        (root / f"{RATINGS}/{task}/P9.csv").write_text("".join(f"{n * 0.04:.2f},{n / 8}\n" for n in range(31)))
        write_boxes(tmp_path / "boxes/P9.csv", {0.04 * n: (5, 5, 90, 90) for n in range(30)})
    for name in ("P13", "P16"):
        (root / f"Video_recordings_MP4/{name}.mp4").unlink()
    assemble(out, find_recordings(root, boxes=tmp_path / "boxes"), workers=1)
    with Corpus(out) as corpus:
        np.testing.assert_allclose(corpus.labels("P9", "valence"), np.arange(1, 30) / 8)
        assert corpus.series_names("P9") == ()
        assert corpus.boxes("P9")[0].tolist() == [5, 5, 90, 90]


def test_a_file_may_tell_the_splits(tree: Path, tmp_path: Path) -> None:
    path = tmp_path / "splits.csv"
    path.write_text("split;name\ndev;P9\ntrain ; P16\ntest;P99\n")
    recordings = find_recordings(tree, split_file=path)
    assert [(each.name, each.split) for each in recordings] == [("P9", "dev"), ("P13", ""), ("P16", "train")]
    assert recordings[0].identity() != find_recordings(tree)[0].identity()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name,part\nP9,dev\n", "no columns 'name' and 'split' in the header (name, part)"),
        ("name,split\nP9,valid\n", "line 2: no split 'valid'; there are train, dev, test"),
        ("name,split\nP9,dev\n9,dev\n", "line 3: '9' is no recording's name; they are written P16"),
        ("name,split\nP9,dev\nP9,train\n", "line 3: 'P9' stands there twice"),
    ],
)
def test_wrong_splits_are_refused_with_their_line(tree: Path, tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "splits.csv"
    path.write_text(text)
    with pytest.raises(SourceError) as caught:
        find_recordings(tree, split_file=path)
    assert str(caught.value).startswith(str(path))
    assert said in str(caught.value)


def test_a_wrong_root_and_missing_or_wrong_ratings_are_told(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError) as caught:
        find_recordings(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}: no RECOLA here: looked for Video_recordings_MP4/P*.mp4 (found 0) and "
        f"{RATINGS}/{{arousal,valence}}/P*.csv (found 0); ROOT is the folder that holds them"
    )
    root = copy_of(tree, tmp_path)
    ratings = root / RATINGS / "valence/P9.csv"
    ratings.write_text(ratings.read_text().replace("\n0.08;", "\n0.04;"))
    with pytest.raises(SourceError, match=r"P9.csv, line 4: the time 0.04 s is not after that of the row before"):
        find_recordings(root)
    ratings.unlink()
    with pytest.raises(SourceError, match=r"1 files of ratings are missing: valence/P9.csv"):
        find_recordings(root)
    shutil.rmtree(root / RATINGS)
    with pytest.raises(SourceError, match=r"P\*.mp4 \(found 3\) and .*P\*.csv \(found 0\)"):
        find_recordings(root)
