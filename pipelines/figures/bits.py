"""Where the bits of a sweep go: its ledger against QP, factors side by side, and what padding costs."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke

from codecsim.bitstream import PURPOSES
from codecsim.errors import UsageError
from codecsim.store import Sweep
from pipelines.figures.selection import one_coding
from pipelines.figures.style import RATE_NAMES, STYLE, caption, checked_target, legend_above, save
from pipelines.tables import SHORT, Point, asked_for, comparable, counted, points, pooled_bpp, rows_of, sequences_of

_LOOKS = {
    "bits_parameter_sets": ("#000000", ""),
    "bits_sei": ("#999999", "////"),
    "bits_nal_overhead": ("#E69F00", ""),
    "bits_slice_headers": ("#D55E00", "...."),
    "bits_slice_data_i": ("#0072B2", ""),
    "bits_slice_data_p": ("#56B4E9", "\\\\\\\\"),
    "bits_slice_data_b": ("#009E73", ""),
    "bits_other": ("#CC79A7", "xxxx"),
}
"""Colour (Okabe and Ito) and hatching of each purpose."""

_BAR_WIDTH = 0.8  # of the smallest step between two values
_FEW_FACTORS = 3  # up to so many panels are wide
_CODED = "per coded pixel (bpp_coded)"

Floats = npt.NDArray[np.float64]


def plot_bits(
    sweep: str | Path,
    target: str | Path,
    *,
    sequences: Iterable[str] = (),
    codec: str | None = None,
    mode: str | None = None,
) -> list[Path]:
    """Draw bits per transmitted pixel by purpose, stacked, against what the encoder was asked for: a panel a factor.

    The dashed line is bits per coded pixel. Coded pixels are whole macroblocks or coding blocks: 24×24 pixels are coded
    as 32×32. From the line to the top of a bar is what falls to the padding, if every coded pixel bears the same; bits
    of headers would be spent without padding, too. Sequences are pooled; only points of the same sequences are drawn,
    and the caption counts the others.

    Parameters
    ----------
    sweep : sweep file
    target : PNG to write; a PDF of the same name is put beside it
    sequences : count these alone; default: all
    codec, mode : which streams, where there are several; `codec` with its options, as in `pipelines.tables.Point.label`

    Returns
    -------
    paths : the PNG and the PDF

    Raises
    ------
    UsageError
        If the sweep holds no stream, none of a sequence, or several codecs or modes and none is chosen, or `target`
        does not end in .png.
    """
    target = checked_target(target)
    with Sweep(sweep) as opened, mpl.rc_context(STYLE):
        if not len(opened):
            raise UsageError(f"{sweep} holds no stream: there is nothing to draw")
        figure = _bits_figure(opened, rows_of(opened, sequences), codec=codec, mode=mode)
    return save(figure, target)


def _bits_figure(sweep: Sweep, rows: list[int] | None, *, codec: str | None, mode: str | None) -> Figure:
    found = points(sweep, rows)
    coding = one_coding(((point.label, point.mode) for point in found), codec=codec, mode=mode)
    shown, n_left_out = comparable(sweep, [point for point in found if (point.label, point.mode) == coding])
    scales = sorted({point.scale for point in shown})
    places = _places(shown)
    is_wide = len(scales) <= _FEW_FACTORS
    figure = Figure(figsize=(max(5.0, 0.8 + len(scales) * (3.1 if is_wide else 2.2)), 3.8), layout="constrained")
    axes = figure.subplots(1, len(scales), sharey=True, squeeze=False)[0]
    seen = [purpose for purpose in PURPOSES if any(sweep.streams[purpose][point.rows].any() for point in shown)]
    for axis, scale in zip(axes, scales, strict=True):
        members = [point for point in shown if point.scale == scale]
        _panel(axis, sweep, members, seen, places)
        axis.set_title(_padding(sweep, members[0], "" if is_wide else "\n"))
        axis.set_xlabel("bit rate asked for (kbit/s)" if shown[0].mode == "bitrate" else shown[0].mode.upper())
    axes[0].set_ylabel(RATE_NAMES["bpp_lr"])
    _legend(figure, seen)
    who = sorted(sequences_of(sweep, shown[0]))
    n_frames = int(sweep.column("n_frames")[shown[0].rows].sum())
    parts = [
        f"{who[0] if len(who) == 1 else counted([len(who)], 'sequence')}, {counted([n_frames], 'frame')}",
        f"{shown[0].label}, {asked_for(shown[0].mode, [point.value for point in shown])}",
        "above the dashed line: the padding's share, every coded pixel taken alike",
        *([f"{counted([n_left_out], 'point')} of other sequences left out"] if n_left_out else []),
    ]
    caption(figure, parts)
    return figure


def _panel(axis: Any, sweep: Sweep, members: Sequence[Point], seen: Sequence[str], places: dict[float, float]) -> None:
    """The bars of one factor, and bits per coded pixel across them."""
    x = np.array([places[point.value] for point in members])
    width = _BAR_WIDTH * min(np.diff(sorted(places.values())), default=1.0)
    top = np.zeros(len(members))
    for purpose in seen:
        colour, hatch = _LOOKS[purpose]
        height = np.array([_share(sweep, point, purpose) * pooled_bpp(sweep, point) for point in members])
        axis.bar(
            x, height, width, bottom=top, label=purpose, color=colour, hatch=hatch, edgecolor="white", linewidth=0.3
        )
        top += height
    coded = [pooled_bpp(sweep, point, "coded") for point in members]
    effects = [withStroke(linewidth=2.6, foreground="white")]
    axis.plot(x, coded, label=_CODED, path_effects=effects, **_coded_style())
    _value_ticks(axis, places)
    axis.grid(visible=False, axis="x")


def _places(shown: Sequence[Point]) -> dict[float, float]:
    """Where the bars of each value stand: QP and CRF where they are, bit rates at even distances."""
    values = sorted({point.value for point in shown})
    return {value: index if shown[0].mode == "bitrate" else value for index, value in enumerate(values)}


def _value_ticks(axis: Any, places: dict[float, float]) -> None:
    """A tick at every so many values, those whose labels fit."""
    every = -(-len(places) // 8)
    shown = list(places.items())[::every]
    axis.set_xticks([place for _, place in shown], [f"{value:g}" for value, _ in shown])


def _share(sweep: Sweep, point: Point, purpose: str) -> float:
    """The share of the bits of a point that are for a purpose."""
    bits, total = (int(sweep.column(name)[point.rows].sum()) for name in (purpose, "bits_total"))
    return bits / total


def _padding(sweep: Sweep, point: Point, end: str) -> str:
    """What a factor's frames are coded as: "s = 4: 24×24 coded as 32×32 (1.78 ×)"."""
    sides = ("width", "height", "coded_width", "coded_height")
    width, height, coded_width, coded_height = (int(sweep.column(name)[point.rows[0]]) for name in sides)
    start = f"s = {point.scale}:{end or ' '}{width}×{height}"
    if (width, height) == (coded_width, coded_height):
        return f"{start}, not padded"
    return f"{start} coded as {coded_width}×{coded_height} ({coded_width * coded_height / (width * height):.2f} ×)"


def _legend(figure: Figure, seen: Sequence[str]) -> None:
    handles: list[Any] = []
    for purpose in seen:
        colour, hatch = _LOOKS[purpose]
        handles.append(Patch(facecolor=colour, hatch=hatch, edgecolor="white", linewidth=0.3))
    handles.append(Line2D([], [], **_coded_style()))
    legend_above(figure, handles, [*(SHORT[purpose] for purpose in seen), _CODED])


def _coded_style() -> dict[str, Any]:
    return {"color": "black", "linestyle": "--", "linewidth": 1.2, "marker": "_", "markersize": 5}
