"""What every picture has in common: looks that tell apart, round ticks, captions that fit, files that stay the same."""

import re
from pathlib import Path

import matplotlib as mpl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from codecsim.errors import UsageError
from pipelines.figures.style import STYLE, caption, checked_target, legend_above, log_ticks, method_styles, save
from recognition.methods import FAMILIES

KNOWN = [family.name for family in FAMILIES]


def drawn() -> Figure:
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(3, 2))
        figure.subplots().plot([1, 2, 3], color="#D55E00")
        caption(figure, ["one person", "bands"])
    return figure


def test_a_figure_is_saved_twice_as_the_same_bytes(tmp_path: Path) -> None:
    first = [path.read_bytes() for path in save(drawn(), tmp_path / "a.png")]
    second = [path.read_bytes() for path in save(drawn(), tmp_path / "b.png")]
    assert first == second
    assert b"CreationDate" not in first[1]
    assert first[0].startswith(b"\x89PNG")


def test_text_of_a_pdf_is_in_an_outline_font_that_printers_and_editors_take(tmp_path: Path) -> None:
    _, pdf = save(drawn(), tmp_path / "a.png")
    kinds = set(re.findall(rb"/Subtype /(Type\w+)", pdf.read_bytes()))
    assert kinds == {b"Type0"}


def test_a_picture_is_named_png() -> None:
    with pytest.raises(UsageError, match=re.escape("a.pdf: the picture is written as PNG and PDF; name it *.png")):
        checked_target("a.pdf")


def test_families_of_methods_differ_in_colour_marker_and_line() -> None:
    styles = method_styles([*reversed(KNOWN), "mynet:small", "a.b:c"])
    assert list(styles) == [*KNOWN, "a.b:c", "mynet:small"]
    for what in ("color", "marker"):
        assert len({style[what] for style in styles.values()}) == len(styles)
    coded = [family for family in styles if family != "hr"]
    assert len({styles[family]["linestyle"] for family in coded}) == len(coded)


def test_many_other_methods_are_told_apart() -> None:
    styles = method_styles(f"mynet:{number:02}" for number in range(20))
    assert len({(style["color"], style["marker"]) for style in styles.values()}) == 20


def test_a_family_looks_the_same_whatever_is_drawn_with_it() -> None:
    everything = method_styles(KNOWN)
    assert all(method_styles([family]) == {family: everything[family]} for family in KNOWN)


@given(st.floats(1e-4, 1e3), st.floats(1.05, 1e5), st.integers(3, 12))
@example(0.15625, 1.5, 3)
def test_ticks_are_round_inside_and_no_more_than_asked(low: float, ratio: float, most: int) -> None:
    high = low * ratio
    ticks = log_ticks(low, high, most=most)
    assert ticks == sorted(set(ticks))
    assert all(low <= tick <= high for tick in ticks)
    digits = 2 if ratio > 4 else 4
    assert all(float(f"{tick:.{digits}g}") == pytest.approx(tick, rel=1e-12) for tick in ticks)
    if ratio < 1e3:
        assert len(ticks) <= most


def test_more_ticks_are_put_on_fewer_decades() -> None:
    assert log_ticks(0.1, 100) == pytest.approx([0.1, 1, 10, 100])
    assert log_ticks(1, 10) == [1, 2, 5, 10]
    assert log_ticks(2, 8) == [2, 3, 4, 5, 7]
    assert log_ticks(2, 8, most=3) == [2, 3, 5]
    assert log_ticks(2, 8, most=2) == [2, 5]
    assert log_ticks(0.0121, 0.0149, most=4) == pytest.approx([0.013, 0.014])
    assert log_ticks(0.2213, 0.2391) == pytest.approx([0.225, 0.23, 0.235])


WORDS = st.lists(st.text("abc", min_size=1, max_size=20), min_size=1, max_size=9).map(" ".join)


@given(st.lists(WORDS, min_size=1, max_size=8), st.floats(3, 12))
def test_a_caption_keeps_every_word_and_no_line_is_wider_than_the_figure(parts: list[str], inches: float) -> None:
    figure = Figure(figsize=(inches, 2))
    caption(figure, parts)
    assert figure.get_supxlabel().split() == "; ".join(parts).split()
    assert max(map(len, figure.get_supxlabel().split("\n"))) <= 15.5 * inches


def test_a_caption_is_broken_between_parts() -> None:
    figure = Figure(figsize=(4, 2))
    caption(figure, ["16 people, 24000 frames", "seeds 0, 1, 2", "x264, QP 18–40", "bands: 95 % bootstrap"])
    assert figure.get_supxlabel().split("\n") == [
        "16 people, 24000 frames; seeds 0, 1, 2; x264, QP 18–40;",
        "bands: 95 % bootstrap",
    ]


def test_lines_of_a_caption_are_drawn_inside_the_figure() -> None:
    figure = Figure(figsize=(9, 2))
    caption(figure, ["16 people, 24000 frames, seeds 0, 1, 2, bands 95 % bootstrap over subjects and seeds " * 2])
    FigureCanvasAgg(figure).draw()
    (drawn_text,) = figure.texts
    assert 0.7 * figure.bbox.width < drawn_text.get_window_extent().width < figure.bbox.width


@pytest.mark.parametrize(("inches", "n_columns"), [(12, 6), (5, 3), (3.5, 2), (1, 1)])
def test_a_legend_has_as_few_rows_as_fit(inches: float, n_columns: int) -> None:
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(inches, 4), layout="constrained")
        names = ["lr", "non-joint", "joint", "joint-oa", "mix", "hr on HR frames"]
        legend_above(figure, [Line2D([], []) for _ in names], names)
    FigureCanvasAgg(figure).draw()
    (legend,) = figure.legends
    assert legend._ncols == n_columns
    assert inches == 1 or legend.get_window_extent().width < figure.bbox.width
