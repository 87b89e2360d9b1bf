"""Raters, gold standards and frame times, as AVEC 2016 and RECOLA write them."""

from pathlib import Path

import numpy as np
import pytest

from codecsim.errors import SourceError
from codecsim.sources.datasets.ratings import read_frame_times, read_gold_standard, read_ratings


def written(folder: Path, text: str, name: str = "train_1.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode())
    return path


def test_raters_have_names_without_blanks_and_no_rating_of_time_0(tmp_path: Path) -> None:
    path = written(tmp_path, "time;FM1 ;FF3\r\n0;9;9\r\n0.04;-0.5;1\r\n0.08;;0.25 \r\n")
    ratings = read_ratings(path)
    assert list(ratings.tasks) == ["FM1", "FF3"]
    assert ratings.seconds.tolist() == [0.04, 0.08]
    np.testing.assert_array_equal(ratings.tasks["FM1"], [-0.5, np.nan])
    assert all(values.dtype == np.float64 for values in ratings.tasks.values())


def test_rows_may_be_numbered_instead_of_timed(tmp_path: Path) -> None:
    ratings = read_ratings(written(tmp_path, ";FM1 ;FM2 \n0;9;9\n1;0.1;0.2\n2;0.3;0.4\n"))
    assert list(ratings.tasks) == ["FM1", "FM2"]
    np.testing.assert_allclose(ratings.seconds, [0.04, 0.08])
    assert ratings.tasks["FM2"].tolist() == [0.2, 0.4]


def test_a_gold_standard_is_the_mean_of_the_raters(tmp_path: Path) -> None:
    gold = read_gold_standard(written(tmp_path, "time;a;b;c\n0;1;1;1\n0.04;0.1;0.2;0.6\n0.08;0.1;;0.1\n"))
    assert gold.seconds.tolist() == [0.04, 0.08]
    np.testing.assert_allclose(gold.values, [0.3, np.nan])


def test_two_columns_without_a_header_are_times_and_a_gold_standard(tmp_path: Path) -> None:
    path = written(tmp_path, "0,0.5\n0.04,0.25\n0.08,-0.5\n")
    assert list(read_ratings(path).tasks) == ["gold_standard"]
    assert read_gold_standard(path).values.tolist() == [0.25, -0.5]


def test_the_second_column_of_frame_times_counts(tmp_path: Path) -> None:
    assert read_frame_times(written(tmp_path, "frame;time\n1;0.04\n2;0.08\n3;0.16\n")).tolist() == [0.04, 0.08, 0.16]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("t;FM1\n0;1\n", "no column 'time' and one a rater in the header (t, FM1)"),
        ("time\n0\n1\n", "no column 'time' and one a rater in the header (time)"),
        ("time;a\n0;1\n0.04;2\n0.04;3\n", "line 4: the time 0.04 s is not after that of the row before"),
        ("time;a\n0;1\n0.04;x\n", "line 3, column 'a': 'x' is not a number"),
        (";a\n0;1\n2;1\n", "line 3: row number 2, not 1; or name the column 'time'"),
        ("time;a\n0;1\n", "no row after time 0"),
        ("time;a\n0.04;1;2\n", "line 2: 3 cells, the header has 2"),
        ("1;2;3\n4;5;6\n", "the first row holds numbers"),
    ],
)
def test_wrong_ratings_are_refused_with_their_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SourceError) as caught:
        read_ratings(written(tmp_path, text))
    assert "train_1.csv" in str(caught.value)
    assert said in str(caught.value)


def test_wrong_gold_standards_and_frame_times_are_refused_with_their_line(tmp_path: Path) -> None:
    header = "@relation x\n@attribute frameTime numeric\n@attribute GoldStandard numeric\n@data\n"
    path = written(tmp_path, header + "0.08,1\n0.04,1\n", "train_1.arff")
    with pytest.raises(SourceError, match=r"train_1.arff, line 6: the time 0.04 s is not after"):
        read_gold_standard(path)
    path = written(tmp_path, header + "0.08,1\n?,1\n", "train_1.arff")
    with pytest.raises(SourceError, match=r"train_1.arff, line 6: the time nan s is not after"):
        read_gold_standard(path)
    with pytest.raises(SourceError, match=r"one column \(time\); times of frames stand in the second"):
        read_frame_times(written(tmp_path, "time\n0.04\n"))
    with pytest.raises(SourceError, match=r"line 3: the time 0.04 s is not after that of the row before"):
        read_frame_times(written(tmp_path, "frame;time\n1;0.04\n2;0.04\n"))
