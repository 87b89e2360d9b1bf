"""How well networks read streams that lost packets on their way, against the share of packets lost."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from codecsim.channel import INTACT, Channel
from codecsim.errors import UsageError
from pipelines.curve import MEASURE_NAMES, Curve, CurvePoint
from pipelines.figures.recognition import bands_explained, check_measures, method_legend
from pipelines.figures.selection import Selection, ceiling_name, select
from pipelines.figures.style import STYLE, caption, checked_target, method_styles, save, scale_name
from pipelines.tables import counted

_VALUES = 3
_MOST_ROWS = 9
_MOST_FACTORS = 6
_MOST_TICKS = 6
_FEW_METHODS = 4  # up to so many bands are told apart where they are as dark as others

Kind = tuple[float, int]
"""What channels of a picture have in common: their burst, 0 of independent losses, and their seed."""


def kinds(curves: Sequence[Curve]) -> list[Kind]:
    """The kinds of channels of which there are curves that belong to one of whole streams of the same sequences."""
    whole = {_line_of(curve) for curve in curves if curve.channel == INTACT}
    return sorted({_kind(curve.channel) for curve in curves if curve.channel != INTACT and _line_of(curve) in whole})


def plot_loss(
    curves: Sequence[Curve],
    target: str | Path,
    *,
    measures: Sequence[str] = ("ccc",),
    qp: Sequence[float] = (),
    label: str | None = None,
    codec: str | None = None,
    mode: str | None = None,
    burst: float | None = None,
    loss_seed: int | None = None,
) -> list[Path]:
    """Draw measures against the share of packets lost: a line a method with its 95 % band, a column a factor.

    Rows are operating values, for each measure. The axis is logarithmic but for the way from 0 to the smallest rate.

    Parameters
    ----------
    curves : of a sweep, as `pipelines.curves.curves` gives them with losses
    target : PNG to write; a PDF of the same name is put beside it
    measures : of `pipelines.curve.MEASURES`
    qp : operating values (QP, CRF or kbit/s) to draw; default: three, spread over those that all curves have
        in common, or that any has
    label, codec, mode : which curves, where there are several; `codec` with its options, as in `Curve.codec`
    burst, loss_seed : of the channels, where there are several kinds of them; a burst of 0 are independent losses

    Returns
    -------
    paths : the PNG and the PDF

    Raises
    ------
    UsageError
        If there is nothing to draw, or more than a picture holds (several labels, references, codecs, modes or kinds of
        channels, more than 6 factors or 9 rows), there is no such measure or value, or `target` does not end in .png.
    """
    target = checked_target(target)
    with mpl.rc_context(STYLE):
        shown = select(curves, label=label, codec=codec, mode=mode)
        figure = _loss_figure(_chosen(curves, shown, qp=qp, burst=burst, loss_seed=loss_seed), measures)
    return save(figure, target)


@dataclass(frozen=True)
class _Line:
    """A method at a factor: its curve of whole streams, and those of the same sequences with losses, by rising loss."""

    whole: Curve
    lossy: tuple[Curve, ...]

    def at(self, value: float) -> tuple[list[float], list[CurvePoint]]:
        """Percent of packets lost, and the points there, at an operating value."""
        found = [
            (100 * curve.loss, point)
            for curve in (self.whole, *self.lossy)
            for point in curve.points
            if point.value == value
        ]
        return [percent for percent, _ in found], [point for _, point in found]


@dataclass(frozen=True)
class _Chosen:
    """What a picture shows.

    Attributes
    ----------
    shown : curves of whole streams
    lines : of these, with the curves with losses that belong to them
    kind : of channels
    values : operating values, a row each
    n_left_out : curves with losses of other sequences than those of whole streams
    """

    shown: Selection
    lines: tuple[_Line, ...]
    kind: Kind
    values: tuple[float, ...]
    n_left_out: int

    def caption(self, measures: Sequence[str]) -> list[str]:
        """What the picture shows, as parts of a caption."""
        burst, seed = self.kind
        how = f"in bursts of {burst:g} packets on average" if burst else "independent of each other"
        points = [point for line in self.lines for value in self.values for point in line.at(value)[1]]
        return [
            *self.shown.caption(" and ".join(MEASURE_NAMES[measure] for measure in measures)),
            *([f"{counted([self.n_left_out], 'curve')} of other sequences left out"] if self.n_left_out else []),
            f"losses {how}, seed {seed}",
            *bands_explained(self.shown, [point.metrics[each] for point in points for each in measures], "bands"),
        ]


def _chosen(
    curves: Sequence[Curve], shown: Selection, *, qp: Sequence[float], burst: float | None, loss_seed: int | None
) -> _Chosen:
    wanted = {_line_of(curve)[:4] for curve in shown.coded}
    lossy = [curve for curve in curves if curve.channel != INTACT and _line_of(curve)[:4] in wanted]
    kind = _one_kind([*shown.coded, *lossy], burst, loss_seed)
    lossy = [curve for curve in lossy if _kind(curve.channel) == kind]
    lines = tuple(_line(whole, lossy) for whole in shown.coded)
    n_left_out = len(lossy) - sum(len(line.lossy) for line in lines)
    return _Chosen(shown, lines, kind, tuple(_values(shown, qp)), n_left_out)


def _kind(channel: Channel) -> Kind:
    return 0.0 if channel.is_independent else channel.burst, channel.seed


def _one_kind(curves: Sequence[Curve], burst: float | None, loss_seed: int | None) -> Kind:
    """The kind of channel that a picture is of: the only one, or the one that is asked for."""
    held = kinds(curves)
    if not held:
        raise UsageError(
            "no method has read these streams with losses by all of its seeds yet; codecsim evaluate FILE --loss "
            "0.01,0.05 lets them"
        )
    left = [each for each in held if burst in (None, each[0]) and loss_seed in (None, each[1])]
    if len(left) == 1:
        return left[0]
    named = "; ".join(f"burst={length:g}, loss_seed={seed}" for length, seed in left or held)
    if left:
        raise UsageError(f"{len(left)} kinds of channels in one picture would not be told apart; choose one of {named}")
    raise UsageError(f"no stream came through such a channel; there is {named} (a burst of 0: independent losses)")


def _line(whole: Curve, lossy: Sequence[Curve]) -> _Line:
    own = [curve for curve in lossy if _line_of(curve) == _line_of(whole)]
    return _Line(whole, tuple(sorted(own, key=lambda curve: curve.loss)))


def _line_of(curve: Curve) -> tuple[Hashable, ...]:
    """What curves of one line have in common."""
    return curve.codec, curve.mode, curve.label, curve.reference, curve.method, curve.s, curve.sequences


def _values(shown: Selection, asked: Sequence[float]) -> list[float]:
    """Operating values to draw: those asked for, or some that all curves have, or that any has where there is none."""
    held = [{point.value for point in curve.points} for curve in shown.coded]
    known = sorted(set.union(*held))
    if missing := [value for value in asked if value not in known]:
        there = ", ".join(f"{value:g}" for value in known)
        raise UsageError(f"no curve has {', '.join(f'{value:g}' for value in missing)}; there are {there}")
    common = sorted(set.intersection(*held)) or known
    spread = np.linspace(0, len(common) - 1, min(_VALUES, len(common))).round().astype(int)
    return list(asked) or [common[index] for index in spread]


def _loss_figure(chosen: _Chosen, measures: Sequence[str]) -> Figure:
    shown, rows = chosen.shown, list(product(measures, chosen.values))
    _check(shown, measures, rows)
    every = (*shown.coded, *shown.ceilings)
    styles = method_styles(curve.family for curve in every)
    width = max(5.0, 0.8 + len(shown.scales) * (3.1 if len(shown.scales) <= _VALUES else 2.05))
    figure = Figure(figsize=(width, 1.0 + 1.75 * len(rows)), layout="constrained")
    axes = figure.subplots(
        len(rows), len(shown.scales), sharey="row" if measures[1:] else "all", sharex=True, squeeze=False
    )
    percents = sorted({0.0, *(100 * curve.loss for line in chosen.lines for curve in line.lossy)})
    _prepare(axes[0, 0], percents)
    for across, (measure, value) in zip(axes, rows, strict=True):
        for axis, s in zip(across, shown.scales, strict=True):
            for line in chosen.lines:
                if line.whole.s == s:
                    _draw(axis, line, measure, value, styles)
            for curve in shown.ceilings:
                level = curve.uncompressed[measure].estimate
                look = {"color": styles[curve.family]["color"], "linestyle": "--", "linewidth": 1}
                axis.axhline(level, label=ceiling_name(curve), **look)
        across[0].set_ylabel(f"{shown.measure_name(measure)}\n{_at(shown.mode, value)}")
    for axis, s in zip(axes[0], shown.scales, strict=True):
        axis.set_title(scale_name(s))
    for axis in axes[-1]:
        axis.set_xlabel("packets lost (%)")
    method_legend(figure, shown, styles)
    caption(figure, chosen.caption(measures))
    return figure


def _check(shown: Selection, measures: Sequence[str], rows: Sequence[object]) -> None:
    check_measures(measures)
    if len(rows) > _MOST_ROWS:
        raise UsageError(f"{len(rows)} rows of measures and values: {_MOST_ROWS} fit; choose fewer")
    if len(shown.scales) > _MOST_FACTORS:
        factors = ", ".join(map(str, shown.scales))
        raise UsageError(f"{len(shown.scales)} factors ({factors}): {_MOST_FACTORS} fit; pass the curves of fewer")


def _prepare(axis: Any, percents: Sequence[float]) -> None:
    """Set scale and ticks of the horizontal axis, which all panels share."""
    axis.set_xscale("symlog", linthresh=percents[1], linscale=0.5)
    step = -(-(len(percents) - 1) // (_MOST_TICKS - 1))
    ticks = [percents[0], *percents[:0:-step][::-1]]
    axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.xaxis.set_minor_locator(NullLocator())


def _draw(axis: Any, line: _Line, measure: str, value: float, styles: Mapping[str, dict[str, Any]]) -> None:
    """One method in one panel."""
    x, points = line.at(value)
    family, intervals = line.whole.family, [point.metrics[measure] for point in points]
    axis.plot(x, [each.estimate for each in intervals], label=family, markersize=3.5, **styles[family])
    low, high = ([getattr(each, end) for each in intervals] for end in ("low", "high"))
    alpha = 0.13 if len(styles) <= _FEW_METHODS + 1 else 0.08
    axis.fill_between(x, low, high, color=styles[family]["color"], alpha=alpha, linewidth=0, label=family)


def _at(mode: str, value: float) -> str:
    return f"{value:g} kbit/s" if mode == "bitrate" else f"{mode.upper()} {value:g}"
