"""Table 1 as a picture."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from codecsim.errors import UsageError
from pipelines.comparison import Cell
from pipelines.figures import table1 as table1_figure
from pipelines.figures.table1 import plot_table1
from pipelines.table1 import Summary, summarise
from tests.pipelines.compared import SETTINGS, comparison
from tests.pipelines.pictures import assert_text_is_legible, caption_of, legend_of

SCALES = (3, 4, 6)


@cache
def summary(
    labels: tuple[str, ...] = ("valence",), seeds: tuple[int, ...] = (0, 1), *, is_still: bool = False
) -> Summary:
    """``lr`` at s = 3, 4 and 6, ``joint`` at 3 and 6 alone; ``hr`` is 0.5 away or, if still, always says the same."""
    made = comparison()
    truth = replace(made.truth, labels=labels, targets=np.repeat(made.truth.targets, len(labels), 1))
    hr, joint, lr = (np.repeat(each.predicted, len(labels), 2) for each in made.cells)
    cells = [Cell("hr", "hr", 1, np.zeros_like(hr) if is_still else hr + 0.5, SETTINGS)]
    cells += [Cell("lr", f"lr-{s}", s, lr * s / 3, SETTINGS) for s in SCALES]
    cells += [Cell("joint", f"joint-{s}", s, joint, SETTINGS) for s in (3, 6)]
    kept = tuple(replace(each, predicted=each.predicted[: len(seeds)]) for each in cells)
    return summarise(replace(made, cells=kept, truth=truth, seeds=seeds), SCALES)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Figure]:
    """Figures that were to be saved."""
    figures: list[Figure] = []
    monkeypatch.setattr(table1_figure, "save", lambda figure, target: figures.append(figure) or [target])
    return figures


def test_a_method_stands_where_the_table_says_with_its_interval(drawn: list[Figure], tmp_path: Path) -> None:
    told = summary()
    plot_table1(told, tmp_path / "table1.png")
    (figure,) = drawn
    for axis, measure in zip(figure.axes, ("ccc", "ccc_within"), strict=True):
        entries = [each.entries[measure] for each in told.columns if each.family == "lr"]
        points, between = axis.lines[1], axis.collections
        assert points.get_ydata() == pytest.approx([each.mean for each in entries])
        bars = [bar.get_segments()[0] for bar in between if tuple(bar.get_color()[0]) == to_rgba(points.get_color())]
        ends = [(each.interval.low, each.interval.high) for each in entries]
        assert np.array(bars)[..., 1] == pytest.approx(np.array(ends))
        assert np.array(bars)[..., 0] == pytest.approx(np.stack([points.get_xdata()] * 2, 1))
        assert [text.get_text() for text in axis.get_xticklabels()] == ["3", "4", "6"]
    assert [axis.get_title() for axis in figure.axes] == ["CCC", "CCC within subjects"]


def test_methods_stand_side_by_side_around_their_factor(drawn: list[Figure], tmp_path: Path) -> None:
    plot_table1(summary(), tmp_path / "table1.png")
    lr, joint = (line.get_xdata() for line in drawn[0].axes[0].lines[1:])
    assert np.all(lr < joint)
    assert np.abs([lr - np.arange(3), joint - np.arange(3)]).max() < 0.3


def test_a_factor_that_was_not_tested_is_not_bridged(drawn: list[Figure], tmp_path: Path) -> None:
    plot_table1(summary(), tmp_path / "table1.png")
    joint = drawn[0].axes[0].lines[2].get_ydata()
    assert np.isnan(joint).tolist() == [False, True, False]


def test_the_ceiling_goes_across_with_its_interval(drawn: list[Figure], tmp_path: Path) -> None:
    told = summary()
    plot_table1(told, tmp_path / "table1.png")
    axis = drawn[0].axes[0]
    entry = told.columns[0].entries["ccc"]
    assert axis.lines[0].get_ydata() == pytest.approx([entry.mean] * 2)
    band = axis.patches[0].get_extents().transformed(axis.transData.inverted())
    assert (band.y0, band.y1) == pytest.approx((entry.interval.low, entry.interval.high))
    assert legend_of(drawn[0]) == ["hr on HR frames", "lr", "joint"]


@pytest.mark.parametrize(
    ("seeds", "said"),
    [((0, 1), "seeds 0, 1; 95 % intervals over subjects and seeds"), ((4,), "seed 4; 95 % intervals over subjects")],
)
def test_the_caption_says_whose_intervals_these_are(
    drawn: list[Figure], tmp_path: Path, seeds: tuple[int, ...], said: str
) -> None:
    plot_table1(summary(seeds=seeds), tmp_path / "table1.png")
    assert caption_of(drawn[0]) == f"3 people of 00000000…; {said}"


def test_each_label_has_a_row(drawn: list[Figure], tmp_path: Path) -> None:
    plot_table1(summary(("valence", "arousal")), tmp_path / "table1.png")
    assert [axis.get_ylabel() for axis in drawn[0].axes] == ["valence", "", "arousal", ""]


@pytest.mark.parametrize("labels", [("valence",), ("valence", "arousal")])
def test_text_is_legible(drawn: list[Figure], tmp_path: Path, labels: tuple[str, ...]) -> None:
    plot_table1(summary(labels), tmp_path / "table1.png")
    assert_text_is_legible(drawn[0])


@pytest.mark.filterwarnings("error")
def test_a_ceiling_without_a_ccc_is_not_drawn(tmp_path: Path) -> None:
    paths = plot_table1(summary(is_still=True), tmp_path / "table1.png")
    assert [path.name for path in paths] == ["table1.png", "table1.pdf"]
    assert all(path.stat().st_size > 1000 for path in paths)


def test_what_cannot_be_drawn_is_refused(tmp_path: Path) -> None:
    nothing = replace(summary(), columns=())
    with pytest.raises(UsageError, match=r"table1\.png: a table without a method has no picture"):
        plot_table1(nothing, tmp_path / "table1.png")
    with pytest.raises(UsageError, match=r"table1\.svg: the picture is written as PNG and PDF; name it \*\.png"):
        plot_table1(summary(), tmp_path / "table1.svg")
    assert not list(tmp_path.iterdir())
