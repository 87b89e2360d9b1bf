"""Boxes and labels in CSV files."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codecsim.errors import SourceError
from codecsim.sources.tables import Boxes, Labels, read_boxes, read_labels

INTERVAL = 0.04


def table(folder: Path, text: str | bytes, name: str = "table.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    "text",
    [
        "time,x,y,w,h\n0,1,2,30,40\n0.04,5,6,30,40\n",
        "\ufefftime;x;y;w;h\r\n0;1;2;30;40\r\n0.04;5;6;30;40\r\n",
        "\n x , y ,w,h,time\n\n5,6,30,40,0.04\n1,2,30,40,0\n\n",
        "frame,x,y,w,h\r0,1,2,30,40\r1,5,6,30,40",
        '"time";"note";"x";"y";"w";"h"\n0;"a;b";1;2;30;40\n0.04;;5;6;30;40\n',
    ],
)
def test_boxes_are_read_however_they_are_written(tmp_path: Path, text: str) -> None:
    (boxes,) = read_boxes(table(tmp_path, text), frame_interval=INTERVAL)
    np.testing.assert_allclose(boxes.seconds, [0, 0.04])
    np.testing.assert_array_equal(boxes.boxes, [[1, 2, 30, 40], [5, 6, 30, 40]])
    assert boxes.is_by_frame == ("frame" in text)


def test_persons_come_in_order_of_appearance(tmp_path: Path) -> None:
    text = "time,x,y,w,h,person\n1,1,1,9,9,ann\n0.5,2,2,9,9,bob\n1.5,3,3,9,9,ann\n"
    bob, ann = read_boxes(table(tmp_path, text), frame_interval=INTERVAL)
    assert (bob.person, bob.seconds.tolist()) == ("bob", [0.5])
    assert (ann.person, ann.seconds.tolist()) == ("ann", [1, 1.5])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "an empty file"),
        ("time,x,y,w,h\n", "a header and no row"),
        ("0,1,2,30,40\n0.04,1,2,30,40\n", "the first row holds numbers"),
        ("time,x,y,w\n0,1,2,3\n", "no column 'h' in the header"),
        ("x,y,w,h\n1,2,3,4\n", "no column 'time' (or 'frame') in the header"),
        ("time,x,x,y,w,h\n0,1,1,2,3,4\n", "column 'x' stands twice"),
        (
            "time,x,y,w,h\n0,1,2,30,40\n0.04,1,2,-30,40\n",
            "line 3: box x, y, w, h = 1, 2, -30, 40; w and h must be above 0",
        ),
        ("time,x,y,w,h\n0,1,2,nan,40\n", "line 2, column 'w': 'nan' is not a number"),
        ("time,x,y,w,h\n0,1,2,1e9,40\n", "line 2: box"),
        ("time,x,y,w,h\n\n0,1,,30,40\n", "line 3, column 'y': '' is not a number"),
        ("time;x;y;w;h\n0,5;1;2;30;40\n", "line 2, column 'time': '0,5' is not a number; the decimal sign is a point"),
        ("time,x,y,w,h\n0,1,2,30\n", "line 2: 4 cells, the header has 5"),
        ("frame,x,y,w,h\n0.5,1,2,30,40\n", "line 2: frame 0.5; frames are counted 0, 1, 2"),
        ("frame,x,y,w,h\n-1,1,2,30,40\n", "line 2: frame -1"),
        (
            "time,x,y,w,h\n0,1,2,3,4\n0,5,6,7,8\n",
            "line 3: a second box for the time 0 s; several persons need a column",
        ),
        (b"time,x\xff,y,w,h\n", "not text in UTF-8"),
        (b"time,x\x00,y,w,h\n0,1,2,3,4\n", "not a text file"),
        ('time,x,y,w,h\n"0,1,2,3,4\n', "not CSV"),
    ],
)
def test_wrong_boxes_are_refused_with_their_line(tmp_path: Path, text: str | bytes, said: str) -> None:
    with pytest.raises(SourceError) as caught:
        read_boxes(table(tmp_path, text), frame_interval=INTERVAL)
    assert "table.csv" in str(caught.value)
    assert said in str(caught.value)


def test_missing_tables_are_said(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such file of boxes"):
        read_boxes(tmp_path / "none.csv", frame_interval=INTERVAL)
    with pytest.raises(SourceError, match="a directory, not a CSV file of labels"):
        read_labels(tmp_path)


def test_boxes_are_joined_on_the_nearest_time() -> None:
    boxes = Boxes("", np.array([0, 0.04, 0.12]), np.array([[0, 0, 10, 10], [4, 0, 10, 10], [12, 0, 10, 10]]), False)
    half = INTERVAL / 2

    def left(seconds: float, max_gap: float) -> tuple[float, bool] | None:
        found = boxes.square(seconds, half, max_gap)
        return None if found is None else (found[0].x - 5, found[1])

    assert left(0.019, 0) == (0, False)
    assert left(0.021, 0) == (4, False)
    assert left(-0.02, 0) == (0, False)
    assert left(-0.021, 1) is None
    assert left(0.14, 0) == (12, False)
    assert left(0.15, 1) is None
    assert left(0.08, 0.07) is None
    assert left(0.08, 0.08) == (pytest.approx(8), True)


def test_a_box_is_widened_to_a_square_about_its_centre() -> None:
    boxes = Boxes("", np.array([0.0]), np.array([[10.0, 20, 30, 50]]), False)
    found = boxes.square(0, 0.02, 0)
    assert found is not None
    assert (found[0].x, found[0].y, found[0].side) == (25, 45, 50)


def test_labels_are_joined_on_time_and_missing_ones_are_nan(tmp_path: Path) -> None:
    text = "time,valence,emotion\n0,0.5,3\n0.04,,4\n0.08,nan,5\n0.12,-0.25,6\n"
    labels = read_labels(table(tmp_path, text))
    joined = labels.at(np.array([0.001, 0.041, 0.079, 0.139, 0.141]), INTERVAL)
    assert joined["valence"].dtype == np.float32
    np.testing.assert_array_equal(joined["valence"], np.array([0.5, np.nan, np.nan, -0.25, np.nan], np.float32))
    assert joined["emotion"].dtype == np.float32, "a frame without a class makes them real numbers"
    np.testing.assert_array_equal(joined["emotion"], [3, 4, 5, 6, np.nan])
    classes = labels.at(np.array([0.0, 0.12]), INTERVAL)["emotion"]
    assert classes.dtype == np.int32
    np.testing.assert_array_equal(classes, [3, 6])


def test_a_single_label_reaches_half_a_frame(tmp_path: Path) -> None:
    labels = read_labels(table(tmp_path, "time;valence\n1;0.5\n"))
    joined = labels.at(np.array([0.9, 0.98, 1.02, 1.03]), INTERVAL)["valence"]
    np.testing.assert_array_equal(np.isnan(joined), [True, False, False, True])


@given(
    times=st.lists(st.integers(0, 500), min_size=2, max_size=30, unique=True),
    frames=st.lists(st.integers(-50, 550), min_size=1, max_size=30),
)
def test_labels_are_those_of_the_nearest_time(times: list[int], frames: list[int]) -> None:
    ticks = np.array(sorted(times))
    labels = Labels(Path("labels.csv"), ticks / 100, {"tick": ticks.astype(float)})
    half = float(np.median(np.diff(ticks))) / 2
    for frame, found in zip(frames, labels.at(np.array(frames) / 100, INTERVAL)["tick"].tolist(), strict=True):
        away = abs(ticks - frame).min()
        if away > half:
            assert np.isnan(found)
        else:
            assert abs(found - frame) == away


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("time\n0\n", "no column beside 'time'"),
        ("seconds,valence\n0,1\n", "no column 'time' in the header (seconds, valence)"),
        ("time,valence\n0,0.5\n0.04,high\n", "line 3, column 'valence': 'high' is not a number"),
        ("time,valence\n0,inf\n", "line 2, column 'valence': 'inf' is not a number"),
        ("time,valence\n,0.5\n", "line 2, column 'time': '' is not a number"),
        ("time,valence\n1,0.5\n0,0.5\n1,0.25\n", "line 4: a second label for the time 1 s"),
        ("time,a/b\n0,1\n", "a task cannot be called 'a/b'"),
        ("time,valence,\n0,1,\n", "a task cannot be called ''"),
    ],
)
def test_wrong_labels_are_refused_with_their_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SourceError) as caught:
        read_labels(table(tmp_path, text))
    assert said in str(caught.value)
