"""The hull is the best that mixtures of operating points reach, and its picture shows which points those are."""

import math
import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from codecsim.errors import UsageError
from pipelines.curve import Curve
from pipelines.figures.hull import _hull_figure, plot_hull
from pipelines.figures.selection import select
from pipelines.figures.style import STYLE
from pipelines.hull import on_hull, upper_hull
from tests.pipelines.pictures import assert_text_is_legible, caption_of, ceiling, curve, legend_of

POINTS = st.lists(st.tuples(st.integers(1, 40), st.integers(-30, 30)), min_size=1, max_size=30)

CHEAP = curve("lr-4", 4, levels=(0.5, 0.48, 0.46, 0.2), rate=1.0)
DEAR = curve("lr-3", 3, levels=(0.7, 0.69, 0.55, 0.1), rate=4.0)


def drawn(curves: Sequence[Curve], against: Any = "bpp_hr", measure: Any = "ccc") -> Figure:
    with mpl.rc_context(STYLE):
        return _hull_figure(select(curves), against, measure)


def lines(axis: Any, label: str) -> list[Any]:
    return [each for each in axis.lines if each.get_label() == label]


def points(axis: Any, label: str) -> set[tuple[float, float]]:
    (found,) = lines(axis, label)
    return {(round(x, 9), round(y, 9)) for x, y in zip(found.get_xdata(), found.get_ydata(), strict=True)}


def test_corners_of_a_staircase() -> None:
    rates = [1, 2, 3, 4, 5, 6]
    values = [0.1, 0.4, 0.5, 0.7, 0.65, 0.7]
    assert upper_hull(rates, values).tolist() == [0, 1, 3]
    assert upper_hull(rates[::-1], values[::-1]).tolist() == [5, 4, 2]


def test_mixtures_are_on_a_line_in_the_rate_not_in_its_logarithm() -> None:
    rates, values = np.array([1.0, 2.0, 4.0]), [0.2, 0.33, 0.5]
    assert upper_hull(rates, values).tolist() == [0, 1, 2]
    assert upper_hull(np.log(rates), values).tolist() == [0, 2]


def test_a_point_on_the_line_between_two_corners_is_none() -> None:
    assert upper_hull([1, 2, 3], [1, 2, 3]).tolist() == [0, 2]


def test_unknown_values_are_passed_over() -> None:
    assert upper_hull([1, 2, math.nan, 3], [0.1, math.nan, 9, 0.2]).tolist() == [0, 3]
    assert upper_hull([1], [math.nan]).size == 0
    assert upper_hull([], []).size == 0


def test_one_value_a_rate() -> None:
    message = "rates of shape (2,) and values of shape (3,): a hull takes one value a rate"
    with pytest.raises(UsageError, match=re.escape(message)):
        upper_hull([1, 2], [1, 2, 3])


@given(POINTS)
def test_no_mixture_of_points_is_above_the_hull(given_points: list[tuple[int, int]]) -> None:
    rates, values = np.array(given_points, float).T
    corners = upper_hull(rates, values)
    x, y = rates[corners], values[corners]
    assert x[0] == rates.min()
    assert y[0] == values[rates == rates.min()].max()
    assert y[-1] == values.max()
    assert x[-1] == rates[values == values.max()].min()
    slopes = np.diff(y) / np.diff(x)
    assert (np.diff(x) > 0).all()
    assert (slopes > 0).all()
    assert (np.diff(slopes) < 0).all()
    best = np.interp(rates, x, y)
    assert (values <= best + 1e-9).all()


@given(POINTS, st.randoms(use_true_random=False), st.sampled_from([0.125, 2.0, 1024.0]))
def test_neither_order_nor_unit_of_the_points_matters(
    given_points: list[tuple[int, int]], random: Any, unit: float
) -> None:
    rates, values = np.array(given_points, float).T
    order = list(range(len(rates)))
    random.shuffle(order)
    before, after = upper_hull(rates, values), upper_hull(unit * rates[order], values[order])
    assert (rates[before]).tolist() == (rates[order][after]).tolist()
    assert (values[before]).tolist() == (values[order][after]).tolist()


def test_points_on_the_hull_over_all_factors_are_filled() -> None:
    axis = drawn([CHEAP, DEAR]).axes[0]
    every = [(point.bpp_hr, point.metrics["ccc"].estimate) for each in (DEAR, CHEAP) for point in each.points]
    corners = upper_hull(*zip(*every, strict=True))
    on = {(round(every[k][0], 9), round(every[k][1], 9)) for k in corners}
    assert points(axis, "s = 3, on the hull") | points(axis, "s = 4, on the hull") == on
    assert len(points(axis, "s = 4, on the hull")) == 3
    assert len(points(axis, "s = 3, on the hull")) == 2
    assert len(points(axis, "s = 3, off the hull")) == 2
    (filled,), (open_,) = lines(axis, "s = 3, on the hull"), lines(axis, "s = 3, off the hull")
    assert to_hex(filled.get_markerfacecolor()) == to_hex(filled.get_color()) == to_hex(open_.get_color())
    assert open_.get_markerfacecolor() == "white"


def test_the_hull_is_drawn_straight_in_the_rate() -> None:
    axis = drawn([CHEAP, DEAR]).axes[0]
    (hull,) = lines(axis, "hull")
    x, y = hull.get_xdata(), hull.get_ydata()
    corners = sorted(points(axis, "s = 3, on the hull") | points(axis, "s = 4, on the hull"))
    assert len(x) > 20 * len(corners)
    np.testing.assert_allclose(y, np.interp(x, *zip(*corners, strict=True)), atol=1e-8)
    for (a, _), (b, _) in pairwise(corners):
        assert ((x > a) & (x < b)).sum() > 20
    assert axis.get_xscale() == "log"


def test_a_panel_is_a_family_at_several_factors() -> None:
    curves = [curve("joint-oa", 3), CHEAP, DEAR, curve("joint-oa", 4), curve("mix", 3), ceiling(0.72)]
    figure = drawn(curves, "rate_kbps")
    assert [axis.get_title() for axis in figure.axes if axis.get_visible()] == ["lr", "joint-oa"]
    assert legend_of(figure) == ["s = 3 (32×32)", "s = 4 (24×24)", "hull", "hr on HR frames"]
    assert caption_of(figure).endswith("; left out, of one factor alone: mix")
    for axis in figure.axes:
        (level,) = lines(axis, "hr on HR frames")
        assert level.get_ydata() == pytest.approx([0.72] * 2)
    assert {axis.get_xlim() for axis in figure.axes} == {figure.axes[0].get_xlim()}


def test_a_method_for_any_factor_and_one_of_its_name_for_a_single_factor_are_two_families() -> None:
    curves = [curve("joint-oa", 3), curve("joint-oa", 4), curve("joint-oa-4", 4), curve("own-3", 3), curve("own-4", 4)]
    assert [each.family for each in curves] == ["joint-oa", "joint-oa", "joint-oa-4", "own", "own"]
    assert caption_of(drawn(curves)).endswith("; left out, of one factor alone: joint-oa-4")


def test_where_no_family_has_several_factors_all_are_drawn() -> None:
    figure = drawn([curve("joint-3", 3), curve("lr-3", 3)])
    assert [axis.get_title() for axis in figure.axes] == ["lr", "joint"]


def test_the_caption_says_that_the_hull_is_of_mixtures() -> None:
    said = caption_of(drawn([CHEAP, DEAR], measure="cc"))
    assert said == (
        "8 people of dev, 1000 frames; seeds 0, 1; x264, QP 18–36; CC against the labels (valence); "
        "hull: mixtures of operating points in time, chosen on these very data"
    )


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        (
            {"against": "bpp_lr"},
            "against='bpp_lr': bits per transmitted pixel are not comparable between factors, whose LR frames differ "
            "in size; draw against='bpp_hr' or 'rate_kbps'",
        ),
        ({"against": "qp"}, "against='qp': a hull is drawn against bpp_hr or rate_kbps"),
        ({"measure": "rmse"}, "measure='rmse': a hull is of cc, ccc, ccc_within, of which more is better"),
        ({"measure": "f1"}, "measure='f1': a hull is of cc, ccc, ccc_within, of which more is better"),
        ({"codec": "vp9"}, "nothing of codec 'vp9'"),
    ],
)
def test_what_is_no_hull_is_refused(chosen: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        plot_hull([CHEAP, DEAR], tmp_path / "h.png", **chosen)


@pytest.mark.parametrize("families", [("lr",), ("lr", "joint", "mix", "max-only"), ("lr", "joint", "mix", "hr", "own")])
def test_text_is_legible(families: tuple[str, ...]) -> None:
    curves = [
        curve(f"{family}-{s}", s, rate=rate) for family in families for s, rate in ((3, 1), (4, 1.8), (6, 4), (16, 30))
    ]
    assert_text_is_legible(drawn([*curves, ceiling()], "rate_kbps"))


def test_the_picture_is_written_as_png_and_pdf_and_the_same_each_time(tmp_path: Path) -> None:
    first = plot_hull([CHEAP, DEAR], tmp_path / "a.png", against="rate_kbps")
    assert [path.name for path in first] == ["a.png", "a.pdf"]
    second = plot_hull([CHEAP, DEAR], tmp_path / "b.png", against="rate_kbps")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_points_on_the_hull_are_named_by_factor_and_value() -> None:
    corners = on_hull([CHEAP, DEAR])
    every = [(curve.s, point) for curve in (CHEAP, DEAR) for point in curve.points]
    rates, values = [point.bpp_hr for _, point in every], [point.metrics["ccc"].estimate for _, point in every]
    assert corners == {(every[index][0], every[index][1].value) for index in upper_hull(rates, values)}
    assert 1 < len(corners) < len(every)
    assert on_hull([]) == on_hull([ceiling()]) == set()
