"""Figure 4 of Cheng et al. 2017: how well networks read decoded frames, against QP or rate."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from codecsim.errors import UsageError
from pipelines.curve import MEASURE_NAMES, MEASURES, RATES, Curve
from pipelines.figures.selection import Selection, ceiling_name, select
from pipelines.figures.style import (
    INCHES_A_CHARACTER,
    RATE_NAMES,
    STYLE,
    caption,
    checked_target,
    legend_above,
    log_ticks,
    method_styles,
    save,
    scale_name,
)
from recognition.intervals import Interval

Against = Literal["qp", "bpp_lr", "bpp_hr", "rate_kbps"]

_MOST_FACTORS = 6
_FEW_FACTORS = 3  # up to so many columns are wide
_LEAST_INCHES = 5.0
_WIDE, _NARROW, _BESIDE = 3.1, 2.05, 0.1  # inches a column, and of it beside the axis
_BETWEEN_TICKS = 1  # characters
_FEW_METHODS = 4  # up to so many bands are told apart where they are as dark as others
_MARKERS_OF_A_NARROW_LINE = 6
_MARGIN, _GAP, _NONE_WIDTH = 0.04, 0.07, 0.2  # of the length of the axis that curves take
_NARROW_NONE_WIDTH = 0.3
_NONE = "none"

Floats = npt.NDArray[np.float64]


def plot_figure4(
    curves: Sequence[Curve],
    target: str | Path,
    *,
    against: Against = "qp",
    measures: Sequence[str] = ("cc", "ccc"),
    label: str | None = None,
    codec: str | None = None,
    mode: str | None = None,
) -> list[Path]:
    """Draw measures of every method against QP or rate, a row a measure and a column a factor, with 95 % bands.

    "none" on the horizontal axis is where LR frames that were never coded stand; it is no QP or rate, and a dotted
    line leads there. Their intervals are bars, side by side. The ceiling is a dashed line across.

    Parameters
    ----------
    curves : of a sweep, as `pipelines.curves.curves` gives them
    target : PNG to write; a PDF of the same name is put beside it
    against : "qp" for what the encoder was asked for (QP or CRF), or a rate, on a logarithmic axis
    measures : of `pipelines.curve.MEASURES`; those of the paper by default
    label, codec, mode : which curves, where there are several; `codec` with its options, as in `Curve.codec`

    Returns
    -------
    paths : the PNG and the PDF

    Raises
    ------
    UsageError
        If there is nothing to draw, or more than a picture holds (several labels, references, codecs or modes, or more
        than 6 factors), there is no such measure, bit rates were asked for and `against` is "qp", or `target` does not
        end in .png.

    Source
    ------
    Cheng et al. 2017, figure 4.
    """
    target = checked_target(target)
    with mpl.rc_context(STYLE):
        figure = _figure4(select(curves, label=label, codec=codec, mode=mode), against, measures)
    return save(figure, target)


def plot_gain(
    curves: Sequence[Curve],
    target: str | Path,
    *,
    against: Against = "qp",
    measures: Sequence[str] = ("cc", "ccc"),
    label: str | None = None,
    codec: str | None = None,
    mode: str | None = None,
) -> list[Path]:
    """Draw what methods gain on the anchor of their curves, as figure 4 is drawn, with paired 95 % bands around it.

    A method is as good as the anchor at 0. The same subjects, and seeds, are drawn for both, so that a band may leave 0
    where those of the two methods overlap in figure 4.

    Parameters
    ----------
    curves : of a sweep against labels, as `pipelines.curves.curves` gives them with an anchor
    target, against, measures, label, codec, mode : as in `plot_figure4`

    Returns
    -------
    paths : the PNG and the PDF

    Raises
    ------
    UsageError
        As in `plot_figure4`; and if no gain is known, or gains are on several families.
    """
    target = checked_target(target)
    gained = [gain for gain in (curve.gained() for curve in curves) if gain.points]
    families = sorted({curve.anchor_family for curve in gained})
    if not families:
        raise UsageError("no gain is known: no other method was shown the same streams as the anchor, with labels")
    if len(families) > 1:
        raise UsageError(f"gains on {' and '.join(families)} in one picture would not be told apart; pass those on one")
    with mpl.rc_context(STYLE):
        shown = replace(select(gained, label=label, codec=codec, mode=mode), gain_on=families[0])
        figure = _figure4(shown, against, measures)
    return save(figure, target)


@dataclass(frozen=True)
class _Across:
    """Where things stand on the horizontal axis.

    Attributes
    ----------
    against : what it shows
    low, high : the smallest and the largest value of the curves
    none_width : of the place for frames that were never coded, as a share of the way from `low` to `high`; 0 for none
    """

    against: Against
    low: float
    high: float
    none_width: float

    @classmethod
    def of(cls, curves: Sequence[Curve], against: Against, none_width: float) -> "_Across":
        """The axis that holds all points of some curves."""
        values = np.concatenate([_values(curve, against) for curve in curves])
        low, high = float(values.min()), float(values.max())
        if math.isclose(low, high, rel_tol=1e-6):
            low, high = (low - 1, high + 1) if against == "qp" else (low / 2, high * 2)
        return cls(against, low, high, none_width if any(curve.uncompressed for curve in curves) else 0)

    @property
    def is_rate(self) -> bool:
        """Rates are logarithmic, and grow towards frames that were never coded; QP falls towards them."""
        return self.against != "qp"

    def at(self, share: float) -> float:
        """The value that lies so far on the way from `low` to `high`."""
        low, high = self.low, self.high
        return low * (high / low) ** share if self.is_rate else low + share * (high - low)

    def none_at(self, share: float) -> float:
        """The place that lies so far on the way through that of frames never coded, away from the curves."""
        away = _GAP + share * self.none_width
        return self.at(1 + away if self.is_rate else -away)

    def share(self, value: float) -> float:
        """How far on the way from `low` to `high` a value lies."""
        low, high = self.low, self.high
        return math.log(value / low) / math.log(high / low) if self.is_rate else (value - low) / (high - low)

    def prepare(self, axis: Any, n_ticks: int, inches: float) -> None:
        """Set scale, limits and ticks of an axis that is so many inches long."""
        axis.set_xscale("log" if self.is_rate else "linear")
        ticks = self._apart(
            [(tick, f"{tick:g}") for tick in self._ticks(n_ticks) if self.low <= tick <= self.high],
            inches / (1 + _MARGIN + (_GAP + self.none_width if self.none_width else _MARGIN)),
        )
        ends = [self.at(-_MARGIN), self.at(1 + _MARGIN)]
        if self.none_width:
            ticks.append((self.none_at(0.5), _NONE))
            ends[1 if self.is_rate else 0] = self.none_at(1)
            axis.axvspan(self.none_at(0), self.none_at(1), color="0.95", linewidth=0, zorder=0)
        axis.set_xticks([tick for tick, _ in ticks], [text for _, text in ticks])
        between = LogLocator(subs=range(1, 10)).tick_values(self.low, self.high) if self.is_rate else []
        axis.set_xticks([tick for tick in between if self.low <= tick <= self.high], minor=True)
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.set_xlim(ends)

    def _apart(self, ticks: Iterable[tuple[float, str]], inches: float) -> list[tuple[float, str]]:
        """Ticks whose texts do not touch those before, where the way from `low` to `high` is so many inches long."""
        kept: list[tuple[float, str]] = []
        for tick, text in ticks:
            characters = (len(text) + len(kept[-1][1])) / 2 + _BETWEEN_TICKS if kept else 0
            if not kept or (self.share(tick) - self.share(kept[-1][0])) * inches >= characters * INCHES_A_CHARACTER:
                kept.append((tick, text))
        return kept

    def _ticks(self, most: int) -> Iterable[float]:
        if self.is_rate:
            return log_ticks(self.low, self.high, most=most)
        return MaxNLocator(most, steps=[1, 2, 3, 6, 10]).tick_values(self.low, self.high)


@dataclass(frozen=True)
class _Panel:
    """One measure of every method at one factor."""

    axis: Any
    measure: str
    across: _Across
    styles: Mapping[str, dict[str, Any]]
    is_wide: bool

    def draw(self, coded: Iterable[Curve], ceilings: Sequence[Curve]) -> None:
        """Draw curves, and beside them what frames give that were never coded."""
        order = list(self.styles)
        curves = sorted(coded, key=lambda curve: order.index(curve.family))
        still = [curve for curve in (*curves, *ceilings) if curve.uncompressed]
        places = [self.across.none_at((index + 1) / (len(still) + 1)) for index in range(len(still))]
        for index, curve in enumerate(curves):
            self._curve(curve, index)
        for curve, place in zip(still, places, strict=True):
            if self.across.none_width:
                self._bar(place, curve.uncompressed[self.measure], self.styles[curve.family]["color"])
            if curve.points:
                self._uncoded(curve, place)
            else:
                self._ceiling(curve)

    def _curve(self, curve: Curve, index: int) -> None:
        """A line through the points with its band; a bar in place of the band where there is a single point.

        Narrow panels have room for a few markers a line, at other points of the next line.
        """
        x, style = _values(curve, self.across.against), self.styles[curve.family]
        intervals = [point.metrics[self.measure] for point in curve.points]
        step = 1 if self.is_wide else -(-len(x) // _MARKERS_OF_A_NARROW_LINE)
        marked = slice(index % step, None, step)
        self.axis.plot(x, curve.estimates(self.measure), label=curve.family, markersize=3.5, markevery=marked, **style)
        if len(x) == 1:
            self._bar(float(x[0]), intervals[0], style["color"])
            return
        low, high = (np.array([getattr(each, end) for each in intervals]) for end in ("low", "high"))
        alpha = 0.13 if len(self.styles) <= _FEW_METHODS + 1 else 0.08
        self.axis.fill_between(x, low, high, color=style["color"], alpha=alpha, linewidth=0, label=curve.family)

    def _uncoded(self, curve: Curve, place: float) -> None:
        """An open marker, to which a dotted line leads from the nearest point."""
        x, y = _values(curve, self.across.against), curve.estimates(self.measure)
        estimate, style = curve.uncompressed[self.measure].estimate, self.styles[curve.family]
        known = np.flatnonzero(np.isfinite(y))
        if known.size:
            nearest = known[np.argmin(np.abs(x[known] - place))]
            ends = [x[nearest], place], [y[nearest], estimate]
            self.axis.plot(
                *ends, color=style["color"], linestyle=":", linewidth=0.8, label=f"{curve.family} to {_NONE}"
            )
        look = {**style, "linestyle": "", "markerfacecolor": "white"}
        self.axis.plot([place], [estimate], label=f"{curve.family}, {_NONE}", **look)

    def _ceiling(self, curve: Curve) -> None:
        level, colour = curve.uncompressed[self.measure].estimate, self.styles[curve.family]["color"]
        self.axis.axhline(level, color=colour, linestyle="--", linewidth=1, label=ceiling_name(curve))

    def _bar(self, x: float, interval: Interval, colour: str) -> None:
        ends = [x, x], [interval.low, interval.high]
        self.axis.plot(*ends, color=colour, linewidth=0.9, alpha=0.6, label="interval")


def _figure4(shown: Selection, against: Against, measures: Sequence[str]) -> Figure:
    _check(shown, against, measures)
    scales, every = shown.scales, (*shown.coded, *shown.ceilings)
    is_wide = len(scales) <= _FEW_FACTORS
    styles = method_styles(curve.family for curve in every)
    width = max(_LEAST_INCHES, 0.8 + len(scales) * (_WIDE if is_wide else _NARROW))
    figure = Figure(figsize=(width, 0.8 + 2.4 * len(measures)), layout="constrained")
    axes = figure.subplots(len(measures), len(scales), sharey="row", sharex="col", squeeze=False)
    for column, s in enumerate(scales):
        within = shown.coded if against == "qp" else shown.of(s)
        across = _Across.of(within, against, _NONE_WIDTH if is_wide else _NARROW_NONE_WIDTH)
        for axis, measure in zip(axes[:, column], measures, strict=True):
            across.prepare(axis, *((5, _WIDE - _BESIDE) if is_wide else (4, _NARROW - _BESIDE)))
            _Panel(axis, measure, across, styles, is_wide).draw(shown.of(s), shown.ceilings)
        axes[0, column].set_title(scale_name(s))
        axes[-1, column].set_xlabel(_axis_name(shown.mode, against, is_wide))
    for axis, measure in zip(axes[:, 0], measures, strict=True):
        axis.set_ylabel(shown.measure_name(measure))
    for axis in axes.flat if shown.gain_on else ():
        axis.axhline(0, color="0.5", linewidth=0.8, zorder=0.9, label=f"as {shown.gain_on}")
    method_legend(figure, shown, styles)
    measured = [interval for curve in shown.coded for interval in _intervals(curve, measures)]
    bands = "bands and bars" if any(curve.uncompressed for curve in shown.coded) else "bands"
    parts = shown.caption(" and ".join(MEASURE_NAMES[measure] for measure in measures))
    caption(figure, [*parts, *bands_explained(shown, measured, bands), *_none_explained(shown)])
    return figure


def _check(shown: Selection, against: str, measures: Sequence[str]) -> None:
    if against not in ("qp", *RATES):
        raise UsageError(f"against={against!r}: recognition is drawn against qp, {', '.join(RATES)}")
    check_measures(measures)
    if against == "qp" and shown.mode == "bitrate":
        raise UsageError("against='qp': these streams were asked for by bit rate; draw against='rate_kbps'")
    if len(shown.scales) > _MOST_FACTORS:
        factors = ", ".join(map(str, shown.scales))
        raise UsageError(f"{len(shown.scales)} factors ({factors}): {_MOST_FACTORS} fit; pass the curves of fewer")


def check_measures(measures: Sequence[str]) -> None:
    """Refuse measures that cannot be drawn, or none, with a `UsageError`."""
    if not measures or set(measures) - set(MEASURES):
        raise UsageError(f"measures={', '.join(measures)}: one or more of {', '.join(MEASURES)} can be drawn")


def method_legend(figure: Figure, shown: Selection, styles: Mapping[str, dict[str, Any]]) -> None:
    """Put a legend above a figure: the methods, and the ceilings."""
    coded = {curve.family for curve in shown.coded}
    handles = [Line2D([], [], **style) for family, style in styles.items() if family in coded]
    names = [family for family in styles if family in coded]
    for curve in shown.ceilings:
        handles.append(Line2D([], [], color=styles[curve.family]["color"], linestyle="--", linewidth=1))
        names.append(ceiling_name(curve))
    legend_above(figure, handles, names)


def _axis_name(mode: str, against: Against, is_wide: bool) -> str:
    if against == "qp":
        return mode.upper()
    return RATE_NAMES[against] if is_wide else RATE_NAMES[against].replace(" (", "\n(")


def _values(curve: Curve, against: Against) -> Floats:
    return np.array([point.value for point in curve.points]) if against == "qp" else curve.rates(against)


def _intervals(curve: Curve, measures: Sequence[str]) -> list[Interval]:
    """Those of some measures that have an estimate."""
    found = [metrics[measure] for metrics in (point.metrics for point in curve.points) for measure in measures]
    return [interval for interval in found if np.isfinite(interval.estimate)]


def bands_explained(shown: Selection, measured: Sequence[Interval], what: str) -> list[str]:
    """What the intervals of a figure are, as a part of its caption; `what` says how they are drawn."""
    over = "subjects and seeds" if any(len(curve.seeds) > 1 for curve in shown.coded) else "subjects"
    drawn = f"{'paired ' if shown.gain_on else ''}95 % bootstrap over {over}"
    known = [np.isfinite(interval.low) for interval in measured]
    if all(known) and known:
        return [f"{what}: {drawn}"]
    if any(known):
        return [f"{what}: {drawn}, where one is defined"]
    if all(len(curve.subjects) == 1 for curve in shown.coded):
        return ["no bands: one person tells nothing of others"]
    return ["no bands: no resample of the people defines them"]


def _none_explained(shown: Selection) -> list[str]:
    return ["none: LR frames never coded"] if any(curve.uncompressed for curve in shown.coded) else []
