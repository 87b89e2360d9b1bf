"""Curves and figures for the tests of pictures: curves made by hand, and checks of text that hold for every figure."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from pipelines.curve import Curve
from recognition.intervals import Difference, Interval
from tests.pipelines import handmade

PEOPLE = tuple(f"p{number}" for number in range(8))
QPS = (18.0, 24.0, 30.0, 36.0)
LEVELS = (0.60, 0.58, 0.50, 0.30)


def interval(estimate: float, half: float = 0.05) -> Interval:
    """A lopsided interval; NaN ends where `half` is NaN."""
    return Interval(estimate, estimate - half, estimate + 0.5 * half, 0)


def metrics(ccc: float, half: float = 0.05) -> dict[str, Interval]:
    """Metrics of which CC is larger than CCC by 0.1, and CCC within subjects by 0.2."""
    levels = {"rmse": 0.2, "cc": ccc + 0.1, "ccc": ccc, "ccc_within": ccc + 0.2}
    return {measure: interval(level, half) for measure, level in levels.items()}


def curve(
    method: str,
    s: int,
    *,
    levels: Sequence[float] = LEVELS,
    values: Sequence[float] = QPS,
    still: float | None = 0.62,
    half: float = 0.05,
    people: tuple[str, ...] = PEOPLE,
    rate: float = 1.0,
    **told: Any,
) -> Curve:
    """A curve whose bpp_lr is `rate` at its first value and halves at each further one; `told` replaces its fields."""
    made = handmade.curve([rate / s**2 * 2.0**-index for index in range(len(levels))], levels, s=s, method=method)
    points = tuple(
        replace(point, value=value, metrics=metrics(ccc, half), lost_ccc=None)
        for point, value, ccc in zip(made.points, values, levels, strict=True)
    )
    known = {} if still is None else metrics(still, half)
    made = replace(made, points=points, uncompressed=known, sequences=people, subjects=people, n_frames=1000)
    return replace(made, **told)


def on_anchor(found: Curve, anchor: str, gain: float = -0.1) -> Curve:
    """The same curve with gains on a method: `gain` of CCC without coding, 0.1 more at each value than at the last."""
    points = tuple(
        replace(point, gain=_differences(gain + 0.1 * (index + 1))) for index, point in enumerate(found.points)
    )
    return replace(found, points=points, anchor=anchor, uncompressed_gain=_differences(gain))


def _differences(ccc: float) -> dict[str, Difference]:
    return {name: Difference(each.estimate, each.low, each.high, 0, better=0.5) for name, each in metrics(ccc).items()}


def ceiling(level: float = 0.7, **of: Any) -> Curve:
    """What ``hr`` reads in HR frames."""
    return curve("hr", 1, levels=(), values=(), still=level, codec="", mode="", **of)


def caption_of(figure: Figure) -> str:
    """The caption in one line."""
    return " ".join(figure.get_supxlabel().split("\n"))


def legend_of(figure: Figure) -> list[str]:
    """Names in the legend of a figure, in its order."""
    (legend,) = figure.legends
    return [text.get_text() for text in legend.get_texts()]


def assert_text_is_legible(figure: Figure) -> None:
    """No text of a figure is cut off at its edges, and no two of them touch."""
    FigureCanvasAgg(figure).draw()
    texts = list(figure.texts)
    for legend in figure.legends:
        texts += legend.get_texts()
    for axis in figure.axes:
        if axis.get_visible() and axis.axison:
            texts += [axis.title, axis.xaxis.label, axis.yaxis.label, *_ticks(axis)]
    texts = [text for text in texts if text.get_text() and text.get_visible()]
    boxes = {text: text.get_window_extent() for text in texts}
    for text, box in boxes.items():
        assert box.x0 >= 0, text
        assert box.y0 >= 0, text
        assert box.x1 <= figure.bbox.width, text
        assert box.y1 <= figure.bbox.height, text
    touching = [(a.get_text(), b.get_text()) for a, b in combinations(texts, 2) if boxes[a].overlaps(boxes[b])]
    assert touching == []


def _ticks(axis: Any) -> list[Any]:
    """Labels of the ticks between the ends of both axes."""
    shown = []
    for labels, which, ends in (
        (axis.get_xticklabels(), 0, axis.get_xlim()),
        (axis.get_yticklabels(), 1, axis.get_ylim()),
    ):
        shown += [label for label in labels if min(ends) <= label.get_position()[which] <= max(ends)]
    return shown
