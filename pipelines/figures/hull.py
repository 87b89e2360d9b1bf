"""The picture of the hull: every operating point of a family of methods, and those that are worth choosing."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from codecsim.errors import UsageError
from pipelines.curve import MEASURE_NAMES, RISING, Curve
from pipelines.figures.selection import Selection, ceiling_name, select
from pipelines.figures.style import (
    RATE_NAMES,
    STYLE,
    caption,
    checked_target,
    legend_above,
    method_styles,
    plain_ticks,
    save,
    scale_name,
    scale_style,
)
from pipelines.hull import upper_hull

HullRate = Literal["bpp_hr", "rate_kbps"]
HullMeasure = Literal["cc", "ccc", "ccc_within"]

_MOST_COLUMNS = 4
_STEPS_OF_A_SEGMENT = 50
_HULL: dict[str, Any] = {"color": "black", "linewidth": 1.1, "zorder": 1.5}

Floats = npt.NDArray[np.float64]


def plot_hull(
    curves: Sequence[Curve],
    target: str | Path,
    *,
    against: HullRate = "bpp_hr",
    measure: HullMeasure = "ccc",
    label: str | None = None,
    codec: str | None = None,
    mode: str | None = None,
) -> list[Path]:
    """Draw every operating point of each family of methods by its factor, and the hull over all of them.

    Points on the hull are filled. Families with a single factor are left out where others have several.

    Parameters
    ----------
    curves : of a sweep, as `pipelines.curves.curves` gives them
    target : PNG to write; a PDF of the same name is put beside it
    against : a rate that is comparable between factors
    measure : "cc", "ccc" or "ccc_within"
    label, codec, mode : which curves, where there are several; `codec` with its options, as in `Curve.codec`

    Returns
    -------
    paths : the PNG and the PDF

    Raises
    ------
    UsageError
        If there is nothing to draw, more than a picture holds (several labels, references, codecs or modes), rate or
        measure is none of these, or `target` does not end in .png.
    """
    target = checked_target(target)
    with mpl.rc_context(STYLE):
        figure = _hull_figure(select(curves, label=label, codec=codec, mode=mode), against, measure)
    return save(figure, target)


def _hull_figure(shown: Selection, against: str, measure: str) -> Figure:
    _check(against, measure)
    families = _families(shown)
    n_columns = min(len(families), _MOST_COLUMNS)
    n_rows = -(-len(families) // n_columns)
    figure = Figure(figsize=(max(5.0, 0.8 + 2.4 * n_columns), 1.2 + 2.3 * n_rows), layout="constrained")
    axes = figure.subplots(n_rows, n_columns, sharex=True, sharey=True, squeeze=False)
    for axis in axes.flat[len(families) :]:
        axis.set_visible(False)
    for axis, family in zip(axes.flat, families, strict=False):
        axis.set_xscale("log")
        _draw(axis, [curve for curve in shown.coded if curve.family == family], against, measure)
        for ceiling in shown.ceilings:
            axis.axhline(ceiling.uncompressed[measure].estimate, **_ceiling_style(ceiling), label=ceiling_name(ceiling))
        axis.set_title(family)
    plain_ticks(axes[0, 0])
    for axis in axes.flat[len(families) - n_columns : len(families)]:
        axis.tick_params(labelbottom=True)
    for axis in axes[-1]:
        axis.set_xlabel(RATE_NAMES[against])
    for axis in axes[:, 0]:
        axis.set_ylabel(shown.measure_name(measure))
    _legend(figure, shown)
    mixed = "hull: mixtures of operating points in time, chosen on these very data"
    others = ", ".join(sorted({curve.family for curve in shown.coded} - set(families)))
    caption(
        figure,
        [
            *shown.caption(MEASURE_NAMES[measure]),
            mixed,
            *([f"left out, of one factor alone: {others}"] if others else []),
        ],
    )
    return figure


def _check(against: str, measure: str) -> None:
    if against == "bpp_lr":
        raise UsageError(
            "against='bpp_lr': bits per transmitted pixel are not comparable between factors, whose LR frames differ "
            "in size; draw against='bpp_hr' or 'rate_kbps'"
        )
    if against not in RATE_NAMES:
        raise UsageError(f"against={against!r}: a hull is drawn against bpp_hr or rate_kbps")
    if measure not in RISING:
        raise UsageError(f"measure={measure!r}: a hull is of {', '.join(RISING)}, of which more is better")


def _families(shown: Selection) -> list[str]:
    """Families of methods at several factors, in the order of every legend; all where none is."""
    factors: dict[str, set[int]] = {}
    for curve in shown.coded:
        factors.setdefault(curve.family, set()).add(curve.s)
    several = [family for family, found in factors.items() if len(found) > 1]
    return list(method_styles(several or factors))


def _draw(axis: Any, curves: Sequence[Curve], against: str, measure: str) -> None:
    """The points of one family, and their hull."""
    rates = np.concatenate([curve.rates(against) for curve in curves])
    values = np.concatenate([curve.estimates(measure) for curve in curves])
    corners = upper_hull(rates, values)
    is_corner = np.isin(np.arange(len(rates)), corners)
    axis.plot(*_mixtures(rates[corners], values[corners]), label="hull", **_HULL)
    start = 0
    for curve in curves:
        own = slice(start, start + len(curve.points))
        start = own.stop
        style = scale_style(curve.s)
        axis.plot(rates[own], values[own], color=style["color"], linewidth=0.6, alpha=0.6, label=f"s = {curve.s}, line")
        for chosen, face in ((is_corner[own], style["color"]), (~is_corner[own], "white")):
            x, y = rates[own][chosen], values[own][chosen]
            where = "on the hull" if face != "white" else "off the hull"
            axis.plot(x, y, linestyle="", markerfacecolor=face, label=f"s = {curve.s}, {where}", **style)


def _mixtures(rates: Floats, values: Floats) -> tuple[Floats, Floats]:
    """A line through corners that is straight in the rate, in steps that show it on a logarithmic axis."""
    if len(rates) < 2:
        return rates, values
    parts = [np.linspace(low, high, _STEPS_OF_A_SEGMENT) for low, high in pairwise(rates)]
    line = np.concatenate(parts)
    return line, np.interp(line, rates, values)


def _ceiling_style(ceiling: Curve) -> dict[str, Any]:
    return {"color": method_styles([ceiling.family])[ceiling.family]["color"], "linestyle": "--", "linewidth": 1}


def _legend(figure: Figure, shown: Selection) -> None:
    handles = [Line2D([], [], linestyle="", markerfacecolor="white", **scale_style(s)) for s in shown.scales]
    names = [scale_name(s) for s in shown.scales]
    handles += [Line2D([], [], marker="o", markerfacecolor="black", **_HULL)]
    names += ["hull"]
    for ceiling in shown.ceilings:
        handles.append(Line2D([], [], **_ceiling_style(ceiling)))
        names.append(ceiling_name(ceiling))
    legend_above(figure, handles, names)
