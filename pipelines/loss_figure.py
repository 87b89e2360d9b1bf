"""How well networks read streams that lost packets on their way, against the share of packets lost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from codecsim.channel import INTACT, Channel
from codecsim.errors import UsageError
from pipelines.curves import MEASURE_NAMES, Curve, CurvePoint
from pipelines.recognition_figures import bands_explained, check_measures, method_legend
from pipelines.selection import Selection, ceiling_name, select
from pipelines.style import STYLE, caption, checked_target, method_styles, save, scale_name

_VALUES = 3
_MOST_ROWS = 9
_MOST_FACTORS = 6
_MOST_TICKS = 6
_FEW_METHODS = 4  # up to so many bands are told apart where they are as dark as others

Kind = tuple[float, int]
"""What channels of a picture have in common: their burst, 0 of independent losses, and their seed."""


def kinds(curves: Sequence[Curve]) -> list[Kind]:
    """The kinds of channels through which streams of some curves came."""
    return sorted({_kind(curve.channel) for curve in curves if curve.channel != INTACT})


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
    measures : of `pipelines.curves.MEASURES`
    qp : operating values (QP, CRF or kbit/s) to draw; default: three, spread over those that all curves have
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
        kind = _one_kind(_lossy(curves, shown), burst, loss_seed)
        lines = _lines(shown, [curve for curve in _lossy(curves, shown) if _kind(curve.channel) == kind])
        figure = _figure(shown, lines, kind, measures, _values(shown, qp))
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


def _kind(channel: Channel) -> Kind:
    return 0.0 if channel.is_independent else channel.burst, channel.seed


def _lossy(curves: Sequence[Curve], shown: Selection) -> list[Curve]:
    """Curves with losses of the codec, mode, label and reference that a picture shows."""
    first = shown.coded[0]
    wanted = first.codec, first.mode, first.label, first.reference
    same = [each for each in curves if (each.codec, each.mode, each.label, each.reference) == wanted]
    return [curve for curve in same if curve.channel != INTACT]


def _one_kind(lossy: Sequence[Curve], burst: float | None, loss_seed: int | None) -> Kind:
    """The kind of channel that a picture is of: the only one, or the one that is asked for."""
    held = kinds(lossy)
    if not held:
        raise UsageError(
            "no network has read streams with losses yet; codecsim evaluate FILE --loss 0.01,0.05 lets networks do so"
        )
    left = [each for each in held if burst in (None, each[0]) and loss_seed in (None, each[1])]
    if len(left) == 1:
        return left[0]
    named = "; ".join(f"burst={length:g}, loss_seed={seed}" for length, seed in left or held)
    if left:
        raise UsageError(f"{len(left)} kinds of channels in one picture would not be told apart; choose one of {named}")
    raise UsageError(f"no stream came through such a channel; there is {named} (a burst of 0: independent losses)")


def _lines(shown: Selection, lossy: Sequence[Curve]) -> list[_Line]:
    lines = []
    for whole in shown.coded:
        own = [
            each for each in lossy if (each.method, each.s, each.sequences) == (whole.method, whole.s, whole.sequences)
        ]
        lines.append(_Line(whole, tuple(sorted(own, key=lambda curve: curve.loss))))
    return lines


def _values(shown: Selection, asked: Sequence[float]) -> list[float]:
    """Operating values to draw: those asked for, or some that all curves have."""
    common = sorted(set.intersection(*({point.value for point in curve.points} for curve in shown.coded)))
    missing = [value for value in asked if value not in common]
    if missing or not common:
        held = ", ".join(f"{value:g}" for value in common) or "no common value"
        raise UsageError(f"not all curves have {', '.join(f'{value:g}' for value in missing)}; they have {held}")
    spread = np.linspace(0, len(common) - 1, min(_VALUES, len(common))).round().astype(int)
    return list(asked) or [common[index] for index in spread]


def _figure(
    shown: Selection, lines: Sequence[_Line], kind: Kind, measures: Sequence[str], values: Sequence[float]
) -> Figure:
    rows = [(measure, value) for measure in measures for value in values]
    _check(shown, measures, rows)
    every = (*shown.coded, *shown.ceilings)
    styles = method_styles(curve.family for curve in every)
    width = max(5.0, 0.8 + len(shown.scales) * (3.1 if len(shown.scales) <= _VALUES else 2.05))
    figure = Figure(figsize=(width, 1.0 + 1.75 * len(rows)), layout="constrained")
    axes = figure.subplots(
        len(rows), len(shown.scales), sharey="row" if measures[1:] else "all", sharex=True, squeeze=False
    )
    percents = sorted({0.0, *(100 * curve.loss for line in lines for curve in line.lossy)})
    _prepare(axes[0, 0], percents)
    for across, (measure, value) in zip(axes, rows, strict=True):
        for axis, s in zip(across, shown.scales, strict=True):
            for line in lines:
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
    found = [point for line in lines for value in values for point in line.at(value)[1]]
    measured = [point.metrics[measure] for point in found for measure in measures]
    parts = shown.caption(" and ".join(MEASURE_NAMES[measure] for measure in measures))
    caption(figure, [*parts, _losses_explained(kind), *bands_explained(shown, measured, "bands")])
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


def _losses_explained(kind: Kind) -> str:
    burst, seed = kind
    how = f"in bursts of {burst:g} packets on average" if burst else "independent of each other"
    return f"losses {how}, seed {seed}"
