"""Face strips show frames as they are, and under each what every method reads in it."""

import math
import re
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

from codecsim.errors import UsageError
from pipelines.figures.strips import Strip, _strips_figure, plot_strips
from pipelines.figures.style import STYLE, method_styles
from tests.pipelines.pictures import assert_text_is_legible, legend_of

TITLES = ("HR, uncoded", "LR, uncoded", "QP 24", "QP 36")
FRAMES = np.random.default_rng(0).integers(0, 256, (4, 96, 96), dtype=np.uint8)


def strip(s: int, *, truth: float | None = 0.25, titles: tuple[str, ...] = TITLES) -> Strip:
    read = {
        "joint-oa": (0.1, 0.2, 0.3, -0.4),
        f"lr-{s}": (math.nan, 0.5, 0.6, 0.7),
        f"joint-{s}": (0.8, 0.9, 1.0, -1.1),
    }
    return Strip(s, titles, FRAMES, read, truth)


def drawn(*shown: Strip) -> Figure:
    with mpl.rc_context(STYLE):
        return _strips_figure(shown)


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.texts]


def test_no_method_takes_the_line_of_another() -> None:
    """A method for any factor, and one that was trained for this factor alone, beside the paper's."""
    one, other = (0.1, 0.2, 0.3, 0.4), (0.5, 0.6, 0.7, 0.8)
    read = {"joint-oa": one, "joint-oa-4": other, "mynet:oa": one, "mynet:oa-4": other, "mynet:lr-4": one}
    shown = Strip(4, TITLES, FRAMES, read)
    families = {"joint-oa": one, "joint-oa-4": other, "mynet:oa": one, "mynet:oa-4": other, "mynet:lr": one}
    assert shown.families == families
    assert sorted(legend_of(drawn(shown))) == sorted(families)


def test_every_frame_is_shown_once_in_its_place() -> None:
    figure = drawn(strip(3), strip(4))
    assert len(figure.axes) == 8
    for index, axis in enumerate(figure.axes):
        (image,) = axis.images
        np.testing.assert_array_equal(image.get_array(), FRAMES[index % 4])
    boxes = [axis.get_position() for axis in figure.axes]
    assert boxes[0].x1 < boxes[1].x0
    assert boxes[1].y0 == boxes[0].y0
    assert boxes[4].y1 < boxes[0].y0
    width, height = figure.get_size_inches()
    assert all(box.width * width == pytest.approx(1.44) == box.height * height for box in boxes)


def test_titles_name_factor_label_and_columns() -> None:
    said = texts(drawn(strip(3), strip(4, truth=-0.5)))
    assert [text for text in said if text in TITLES] == list(TITLES)
    assert [text for text in said if text.startswith("s = ")] == [
        "s = 3 (32×32), label +0.25",
        "s = 4 (24×24), label −0.50",
    ]


def test_predictions_stand_under_their_frame_in_the_order_of_figure_4() -> None:
    figure = drawn(strip(3))
    styles = method_styles(["joint-oa", "lr", "joint"])
    assert legend_of(figure) == ["lr", "joint", "joint-oa"] == list(styles)
    expected = {"lr": ("–", "+0.50", "+0.60", "+0.70"), "joint": ("+0.80", "+0.90", "+1.00", "−1.10")}
    expected["joint-oa"] = ("+0.10", "+0.20", "+0.30", "−0.40")
    for column, axis in enumerate(figure.axes):
        box = axis.get_position()
        below = sorted(
            (text for text in figure.texts if box.x0 < text.get_position()[0] < box.x1 and text.get_fontsize() == 8),
            key=lambda text: -text.get_position()[1],
        )
        assert [text.get_text() for text in below] == [expected[family][column] for family in styles]
        for text, (family, style) in zip(below, styles.items(), strict=True):
            x, y = text.get_position()
            assert y < box.y0
            (marker,) = [
                line for line in figure.artists if line.get_ydata() == [y] and box.x0 < line.get_xdata()[0] < x
            ]
            assert to_hex(marker.get_color()) == style["color"].lower(), family
            assert marker.get_marker() == style["marker"]


def test_columns_are_the_same_in_all_rows() -> None:
    other = strip(4, titles=("HR, uncoded", "LR, uncoded", "QP 24", "QP 30"))
    message = (
        "strips of other columns: HR, uncoded, LR, uncoded, QP 24, QP 36, and HR, uncoded, LR, uncoded, QP 24, QP 30"
    )
    with pytest.raises(UsageError, match=re.escape(message)):
        drawn(strip(3), other)
    with pytest.raises(UsageError, match="no strip: there is nothing to draw"):
        drawn()


@pytest.mark.parametrize(
    ("titles", "frames", "read", "message"),
    [
        (TITLES, FRAMES[:3], {}, "strip of s = 3: uint8 frames of shape (3, 96, 96) for 4 columns; they are uint8"),
        (TITLES, FRAMES / 255, {}, "strip of s = 3: float64 frames of shape (4, 96, 96) for 4 columns"),
        (TITLES, FRAMES[:, :32, :32], {}, "strip of s = 3: uint8 frames of shape (4, 32, 32) for 4 columns"),
        ((), FRAMES[:0], {}, "strip of s = 3: uint8 frames of shape (0, 96, 96) for 0 columns"),
        (TITLES, FRAMES, {"lr-3": [0.1]}, "strip of s = 3: 1 predictions of lr-3 for 4 columns"),
    ],
)
def test_a_strip_that_does_not_fit_together_is_refused(
    titles: tuple[str, ...], frames: np.ndarray, read: dict[str, list[float]], message: str
) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        Strip(3, titles, frames, read)


def test_text_is_legible() -> None:
    assert_text_is_legible(drawn(strip(3), strip(12)))
    few = Strip(
        3, ("HR", "QP 40"), FRAMES[:2], {f"{family}-3": (0, 1) for family in ("lr", "non-joint-image", "max-only")}
    )
    assert_text_is_legible(drawn(few))


def test_pixels_of_faces_are_whole_pixels_of_the_picture(tmp_path: Path) -> None:
    png, pdf = plot_strips([strip(3), strip(4)], tmp_path / "s.png")
    assert pdf.read_bytes().startswith(b"%PDF")
    with Image.open(png) as saved:
        picture = np.asarray(saved.convert("L")).astype(int)
    height, width = picture.shape
    for axis, frame in zip(drawn(strip(3), strip(4)).axes, (*FRAMES, *FRAMES), strict=True):
        box = axis.get_position()
        top, left = round((1 - box.y1) * height), round(box.x0 * width)
        shown = picture[top : top + 288, left : left + 288]
        assert (
            np.abs(shown - np.kron(frame, np.ones((3, 3), int))).max() <= 1
        )  # rounding of the map from gray to colour


def test_a_strip_without_predictions_or_colours_is_drawn_the_same_each_time(tmp_path: Path) -> None:
    shown = [Strip(6, TITLES, FRAMES, {})]
    first, second = (plot_strips(shown, tmp_path / name) for name in ("a.png", "b.png"))
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    figure = drawn(Strip(6, TITLES, FRAMES, {}, truth=None))
    assert not figure.legends
    assert texts(figure) == [*TITLES, "s = 6 (16×16)"]
