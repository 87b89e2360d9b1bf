"""Pictures of sweeps: rate–distortion curves."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from codecsim.errors import UsageError
from codecsim.store import Sweep
from pipelines.figures.style import (
    RATE_NAMES,
    STYLE,
    caption,
    checked_target,
    plain_ticks,
    save,
    scale_name,
    scale_style,
)
from pipelines.tables import Point, asked_for, comparable, counted, points, pooled_rate, rows_of, sequences_of

_LINES = ("-", "--", ":", "-.")
_REFERENCE_CODEC = "x264"
_RESAMPLES = 2000
_SEQUENCES_FOR_A_BAND = 3

_QUALITIES = {"psnr_{}_db": "PSNR (dB)", "ssim_{}": "SSIM"}
_REFERENCES = {
    "hr": "decoded and enlarged against the 96×96 HR frames",
    "lr": "decoded against the LR frames: codec loss alone",
}


def plot_rd(
    sweep: str | Path,
    target: str | Path,
    *,
    reference: Literal["hr", "lr"] = "hr",
    sequences: Iterable[str] = (),
) -> list[Path]:
    """Draw the rate–distortion figure of a sweep: PSNR and SSIM against three rates, a curve a factor.

    Sequences are pooled: rates by bits over pixels (or seconds) of all, qualities by their mean. From three sequences
    on, a band shows the 95 % bootstrap interval of the mean quality over sequences. Only points of the same sequences
    are drawn; the caption counts the others.

    Parameters
    ----------
    sweep : sweep file
    target : PNG to write; a PDF of the same name is put beside it
    reference : "hr" for the whole loss, "lr" for the codec's alone
    sequences : draw these alone; default: all

    Returns
    -------
    paths : the PNG and the PDF

    Raises
    ------
    UsageError
        If the sweep holds no stream, none of a sequence, or `target` does not end in .png.
    """
    target = checked_target(target)
    with Sweep(sweep) as opened, mpl.rc_context(STYLE):
        if not len(opened):
            raise UsageError(f"{sweep} holds no stream: there is nothing to draw")
        figure = _rd_figure(opened, reference, rows_of(opened, sequences))
    return save(figure, target)


def _rd_figure(sweep: Sweep, reference: str, rows: list[int] | None) -> Figure:
    shown, n_left_out = comparable(sweep, points(sweep, rows))
    curves: dict[tuple[str, str, int], list[Point]] = {}
    for point in shown:
        curves.setdefault((point.label, point.mode, point.scale), []).append(point)
    pairs = sorted({key[:2] for key in curves}, key=lambda pair: (pair[0] != _REFERENCE_CODEC, pair))
    styles = {pair: _LINES[index % len(_LINES)] for index, pair in enumerate(pairs)}
    figure = Figure(figsize=(9.2, 5.2), layout="constrained")
    axes = figure.subplots(len(_QUALITIES), len(RATE_NAMES), sharey="row", sharex="col")
    for column, (rate, rate_label) in enumerate(RATE_NAMES.items()):
        for line, (quality, quality_label) in enumerate(_QUALITIES.items()):
            axis = axes[line, column]
            for (label, mode, scale), members in curves.items():
                rates = np.array([pooled_rate(sweep, point, rate) for point in members])
                values = [sweep.streams[quality.format(reference)][point.rows] for point in members]
                _curve(axis, rates, values, linestyle=styles[label, mode], **scale_style(scale))
            axis.set_xscale("log")
            plain_ticks(axis)
            if line == len(_QUALITIES) - 1:
                axis.set_xlabel(rate_label)
            if column == 0:
                axis.set_ylabel(f"{quality_label}, {reference.upper()}")
    _legend(figure, curves, styles)
    sequences = sorted(sequences_of(sweep, shown[0]))
    who = sequences[0] if len(sequences) == 1 else f"{len(sequences)} sequences"
    bands = ["bands: 95 % bootstrap over sequences"] if len(sequences) >= _SEQUENCES_FOR_A_BAND else []
    rest = [f"{counted([n_left_out], 'point')} of other sequences left out"] if n_left_out else []
    caption(figure, [who, *(_values(curves, *pair) for pair in pairs), _REFERENCES[reference], *bands, *rest])
    return figure


def _curve(axis: Any, rates: npt.NDArray[np.float64], values: list[npt.NDArray[np.float64]], **style: Any) -> None:
    """One curve: `rates` of the points, and the quality of each sequence at each point."""
    means = np.array([np.mean(each) for each in values])
    order = np.argsort(rates)
    shown = order[np.isfinite(means[order])]
    axis.plot(rates[shown], means[shown], markerfacecolor="white", **style)
    if shown.size and min(map(len, values)) >= _SEQUENCES_FOR_A_BAND:
        low, high = np.array([_interval(values[index]) for index in shown]).T
        axis.fill_between(rates[shown], low, high, color=style["color"], alpha=0.15, linewidth=0)


def _interval(values: npt.NDArray[np.float64]) -> tuple[float, float]:
    """95 % percentile bootstrap of the mean over sequences, seeded."""
    picks = np.random.default_rng(0).integers(0, len(values), (_RESAMPLES, len(values)))
    low, high = np.percentile(values[picks].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)


def _legend(figure: Figure, curves: Any, styles: Any) -> None:
    scales = sorted({scale for _, _, scale in curves})
    handles = [Line2D([], [], markerfacecolor="white", **scale_style(scale)) for scale in scales]
    labels = list(map(scale_name, scales))
    if len(styles) > 1:
        handles += [Line2D([], [], color="0.3", linestyle=line) for line in styles.values()]
        labels += [f"{label}, {mode}" for label, mode in styles]
    figure.legend(handles, labels, loc="outside upper center", ncols=min(6, len(labels)))


def _values(curves: Any, label: str, mode: str) -> str:
    values = [point.value for key, members in curves.items() if key[:2] == (label, mode) for point in members]
    return f"{label}, {asked_for(mode, values)}"
