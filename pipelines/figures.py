"""Pictures of sweeps: rate–distortion curves."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullFormatter

from codecsim.corpus import HR_SIDE
from codecsim.errors import UsageError
from codecsim.store import Sweep
from pipelines.style import STYLE, checked_target, save
from pipelines.tables import Point, points, pooled_rate, sequences_of

_COLOURS = {
    1: "#000000",
    2: "#666666",
    3: "#0072B2",
    4: "#D55E00",
    6: "#009E73",
    8: "#CC79A7",
    12: "#E69F00",
    16: "#56B4E9",
}
_MARKERS = {1: "*", 2: "P", 3: "o", 4: "s", 6: "^", 8: "v", 12: "D", 16: "X"}
_LINES = ("-", "--", ":", "-.")
_REFERENCE_CODEC = "x264"
_RESAMPLES = 2000
_SEQUENCES_FOR_A_BAND = 3

_RATES = {
    "bpp_lr": "bits per transmitted pixel (bpp_lr)",
    "bpp_hr": "bits per HR pixel (bpp_hr)",
    "rate_kbps": "rate (kbit/s)",
}
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
        figure = _rd_figure(opened, reference, _rows_of(opened, sequences))
    return save(figure, target)


def _rows_of(sweep: Sweep, sequences: Iterable[str]) -> list[int] | None:
    """Rows of some sequences; None for all rows where none is named."""
    names, held = list(sequences), sweep.column("sequence")
    for name in names:
        if name not in held:
            raise UsageError(f"{sweep.path}: no sequence {name!r}; it holds {', '.join(sorted(set(held.tolist())))}")
    return np.flatnonzero(np.isin(held, names)).tolist() if names else None


def _rd_figure(sweep: Sweep, reference: str, rows: list[int] | None) -> Figure:
    shown, n_left_out = _comparable(sweep, points(sweep, rows))
    curves: dict[tuple[str, str, int], list[Point]] = {}
    for point in shown:
        curves.setdefault((point.label, point.mode, point.scale), []).append(point)
    pairs = sorted({key[:2] for key in curves}, key=lambda pair: (pair[0] != _REFERENCE_CODEC, pair))
    styles = {pair: _LINES[index % len(_LINES)] for index, pair in enumerate(pairs)}
    figure = Figure(figsize=(9.2, 5.2), layout="constrained")
    axes = figure.subplots(len(_QUALITIES), len(_RATES), sharey="row", sharex="col")
    for column, (rate, rate_label) in enumerate(_RATES.items()):
        for line, (quality, quality_label) in enumerate(_QUALITIES.items()):
            axis = axes[line, column]
            for (label, mode, scale), members in curves.items():
                rates = np.array([pooled_rate(sweep, point, rate) for point in members])
                values = [sweep.streams[quality.format(reference)][point.rows] for point in members]
                _curve(axis, rates, values, linestyle=styles[label, mode], **_scale_style(scale))
            axis.set_xscale("log")
            _plain_ticks(axis)
            if line == len(_QUALITIES) - 1:
                axis.set_xlabel(rate_label)
            if column == 0:
                axis.set_ylabel(f"{quality_label}, {reference.upper()}")
    _legend(figure, curves, styles)
    sequences = sorted(sequences_of(sweep, shown[0]))
    who = sequences[0] if len(sequences) == 1 else f"{len(sequences)} sequences"
    how = "; ".join(f"{label}, {_values(curves, label, mode)}" for label, mode in styles)
    band = "; bands: 95 % bootstrap over sequences" if len(sequences) >= _SEQUENCES_FOR_A_BAND else ""
    rest = f"; {n_left_out} points of other sequences left out" if n_left_out else ""
    figure.supxlabel(f"{who}; {how}; {_REFERENCES[reference]}{band}{rest}", fontsize=8, color="0.35")
    return figure


def _comparable(sweep: Sweep, found: list[Point]) -> tuple[list[Point], int]:
    """Points that pool the same sequences, those that most points pool, and how many others there are.

    A curve through points of different sequences would show the sequences, not the codec.
    """
    sets = [sequences_of(sweep, point) for point in found]
    common = max(Counter(sets).items(), key=lambda item: (item[1], len(item[0])))[0]
    shown = [point for point, pooled in zip(found, sets, strict=True) if pooled == common]
    return shown, len(found) - len(shown)


def _curve(axis: Any, rates: npt.NDArray[np.float64], values: list[npt.NDArray[np.float64]], **style: Any) -> None:
    """One curve: `rates` of the points, and the quality of each sequence at each point."""
    means = np.array([np.mean(each) for each in values])
    order = np.argsort(rates)
    shown = order[np.isfinite(means[order])]
    axis.plot(rates[shown], means[shown], markerfacecolor="white", **style)
    if shown.size and min(map(len, values)) >= _SEQUENCES_FOR_A_BAND:
        low, high = np.array([_interval(values[index]) for index in shown]).T
        axis.fill_between(rates[shown], low, high, color=style["color"], alpha=0.15, linewidth=0)


def _scale_style(scale: int) -> dict[str, Any]:
    return {"color": _COLOURS.get(scale, "#999999"), "marker": _MARKERS.get(scale, ".")}


def _interval(values: npt.NDArray[np.float64]) -> tuple[float, float]:
    """95 % percentile bootstrap of the mean over sequences, seeded."""
    picks = np.random.default_rng(0).integers(0, len(values), (_RESAMPLES, len(values)))
    low, high = np.percentile(values[picks].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)


def _plain_ticks(axis: Any) -> None:
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    low, high = axis.get_xlim()
    decades = np.log10(high / low)
    if decades < 2.2:
        wanted = (
            (1, 2, 5) if decades > 0.8 else (1, 1.5, 2, 3, 4, 5, 7) if decades > 0.45 else (1, 1.2, 1.5, *range(2, 10))
        )
        exponents = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
        ticks = [step * 10.0**exponent for exponent in exponents for step in wanted]
        axis.set_xticks([tick for tick in ticks if low <= tick <= high])
    axis.xaxis.set_minor_formatter(NullFormatter())


def _legend(figure: Figure, curves: Any, styles: Any) -> None:
    scales = sorted({scale for _, _, scale in curves})
    handles = [Line2D([], [], markerfacecolor="white", **_scale_style(scale)) for scale in scales]
    labels = [f"s = {scale} ({HR_SIDE // scale}×{HR_SIDE // scale})" for scale in scales]
    if len(styles) > 1:
        handles += [Line2D([], [], color="0.3", linestyle=line) for line in styles.values()]
        labels += [f"{label}, {mode}" for label, mode in styles]
    figure.legend(handles, labels, loc="outside upper center", ncols=min(6, len(labels)))


def _values(curves: Any, label: str, mode: str) -> str:
    values = [point.value for key, members in curves.items() if key[:2] == (label, mode) for point in members]
    unit = " kbit/s" if mode == "bitrate" else ""
    return f"{mode.upper() if mode != 'bitrate' else 'bit rate'} {min(values):g}–{max(values):g}{unit}"
