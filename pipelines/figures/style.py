"""How every picture looks, and how it is saved: colour-blind safe, readable in print, the words of the tables."""

import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter
from PIL import Image

from codecsim.atomic import replacing
from codecsim.corpus import HR_SIDE
from codecsim.errors import UsageError

DPI = 200

STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "0.9",
    "legend.frameon": False,
    "lines.linewidth": 1.3,
    "lines.markersize": 4,
    "pdf.fonttype": 42,
}

RATE_NAMES = {
    "bpp_lr": "bits per transmitted pixel (bpp_lr)",
    "bpp_hr": "bits per HR pixel (bpp_hr)",
    "rate_kbps": "rate (kbit/s)",
}

_SCALE_COLOURS = {
    1: "#000000",
    2: "#666666",
    3: "#0072B2",
    4: "#D55E00",
    6: "#009E73",
    8: "#CC79A7",
    12: "#E69F00",
    16: "#56B4E9",
}
_SCALE_MARKERS = {1: "*", 2: "P", 3: "o", 4: "s", 6: "^", 8: "v", 12: "D", 16: "X"}

_METHODS: dict[str, tuple[str, str, Any]] = {
    "hr": ("#000000", "*", "-"),
    "lr": ("#0072B2", "o", (0, (4, 1.5))),
    "non-joint": ("#009E73", "^", ":"),
    "non-joint-image": ("#56B4E9", "v", "-."),
    "joint": ("#D55E00", "s", "-"),
    "joint-oa": ("#CC79A7", "D", (0, (8, 1.5))),
    "mix": ("#E69F00", "P", (0, (4, 1, 1, 1, 1, 1))),
    "max-only": ("#666666", "X", (0, (1, 1.5))),
}
"""Colour (Okabe and Ito), marker and line of each family of methods, in the order of every legend."""

_OTHER_METHODS = (
    ("#332288", (0, (6, 1, 2, 1))),
    ("#882255", (0, (2, 1))),
    ("#117733", (0, (8, 1, 1, 1))),
    ("#999933", (0, (3, 2, 1, 2, 1, 2))),
)
_OTHER_MARKERS = ("<", ">", "h", "p", "d")
_TICK_STEPS = ((1,), (1, 3), (1, 2, 5), (1, 2, 3, 5), (1, 1.5, 2, 3, 4, 5, 7), (1, 1.2, 1.5, *range(2, 10)))
_DECADES = {2.2: 2, 0.8: 4, 0.45: 5}
"""Below so many decades a logarithmic axis gets these steps."""

_CAPTION_CHARACTERS = 15.5  # of 8 pt, in an inch
_LEGEND_INCHES = 0.73  # of an entry: line and space

INCHES_A_CHARACTER = 0.075
"""Of text of 9 pt, in legends and beside ticks."""


def scale_style(scale: int) -> dict[str, Any]:
    """Colour and marker of a factor."""
    return {"color": _SCALE_COLOURS.get(scale, "#999999"), "marker": _SCALE_MARKERS.get(scale, ".")}


def scale_name(scale: int) -> str:
    """A factor with the size of its LR frames: "s = 3 (32×32)"."""
    return f"s = {scale} ({HR_SIDE // scale}×{HR_SIDE // scale})"


def method_styles(families: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Colour, marker and line of each family of methods, in the order of every legend.

    The families of `recognition.methods` look the same in every picture. Others come after them by name, and look the
    same wherever the same of them are drawn; 20 of them differ.
    """
    wanted = set(families)
    looks = {family: look for family, look in _METHODS.items() if family in wanted}
    for index, family in enumerate(sorted(wanted - looks.keys())):
        colour, line = _OTHER_METHODS[index % len(_OTHER_METHODS)]
        looks[family] = colour, _OTHER_MARKERS[index % len(_OTHER_MARKERS)], line
    return {
        family: {"color": colour, "marker": marker, "linestyle": line}
        for family, (colour, marker, line) in looks.items()
    }


def plain_ticks(axis: Any) -> None:
    """Ticks of a logarithmic horizontal axis as plain numbers, as many as its limits ask for."""
    low, high = axis.get_xlim()
    if np.log10(high / low) < max(_DECADES):
        axis.set_xticks(log_ticks(low, high))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.xaxis.set_minor_formatter(NullFormatter())


_FEWEST_TICKS, _MOST_EVEN_TICKS = 2, 5


def log_ticks(low: float, high: float, *, most: int = 100) -> list[float]:
    """Round numbers between `low` and `high` for a logarithmic axis, `most` of them where that many suffice.

    Where fewer than two would be there, the range is so narrow that a few stand at equal steps.
    """
    densest = max((steps for decades, steps in _DECADES.items() if np.log10(high / low) < decades), default=0)
    exponents = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    ticks: list[float] = []
    for steps in _TICK_STEPS[densest::-1]:
        ticks = [tick for exponent in exponents for step in steps if low <= (tick := step * 10.0**exponent) <= high]
        if len(ticks) <= most:
            break
    if len(ticks) < _FEWEST_TICKS:
        few = min(max(_FEWEST_TICKS, most), _MOST_EVEN_TICKS)
        even = np.asarray(MaxNLocator(few, steps=[1, 2, 5, 10]).tick_values(low, high)).tolist()
        inside = [tick for tick in even if low <= tick <= high]
        ticks = inside[:: max(1, -(-len(inside) // max(_FEWEST_TICKS, most)))]
    return ticks


def caption(figure: Figure, parts: Sequence[str]) -> None:
    """Write what a figure shows beneath it, parts separated by semicolons; lines end between parts where they can."""
    width = int(_CAPTION_CHARACTERS * figure.get_figwidth())
    lines = [""]
    for index, part in enumerate(parts):
        text = part + (";" if index < len(parts) - 1 else "")
        joined = f"{lines[-1]} {text}".strip()
        if len(joined) <= width:
            lines[-1] = joined
        else:
            lines += textwrap.wrap(text, width)
    figure.supxlabel("\n".join(line for line in lines if line), fontsize=8, color="0.35")


def legend_above(figure: Figure, handles: Sequence[Any], names: Sequence[str]) -> None:
    """Put a legend above a figure, in as few rows as fit its width."""
    n_columns = legend_columns(names, figure.get_figwidth())
    figure.legend(handles, names, loc="outside upper center", ncols=n_columns, handlelength=3)


def legend_columns(names: Sequence[str], inches: float) -> int:
    """How many columns of a legend fit side by side; its entries go down a column first."""
    rows, widths = 1, [_LEGEND_INCHES + INCHES_A_CHARACTER * len(name) for name in names]
    while rows < len(names) and sum(map(max, _chunks(widths, rows))) > inches:
        rows += 1
    return -(-len(names) // rows)


def _chunks(values: Sequence[float], length: int) -> list[Sequence[float]]:
    return [values[start : start + length] for start in range(0, len(values), length)]


def picture(axis: Any, pixels: npt.NDArray[np.uint8]) -> None:
    """Show gray pixels as they are."""
    axis.set_axis_off()
    axis.imshow(pixels, cmap="gray", vmin=0, vmax=255, interpolation="nearest")


def checked_target(target: str | Path) -> Path:
    """The PNG to write; `UsageError` where it has another ending."""
    if Path(target).suffix != ".png":
        raise UsageError(f"{target}: the picture is written as PNG and PDF; name it *.png")
    return Path(target)


def save(figure: Figure, target: Path) -> list[Path]:
    """Write a figure as PNG and, under the same name, as PDF; returns both paths. Same figure, same bytes."""
    paths = [target, target.with_suffix(".pdf")]
    with replacing(paths[0]) as temporary:
        FigureCanvasAgg(figure).print_figure(temporary, format="png", dpi=DPI)
        _shrink(temporary)
    figure.set_layout_engine(None)  # it is laid out: the PDF takes that over, and is drawn once instead of twice
    with replacing(paths[1]) as temporary, mpl.rc_context(STYLE):
        FigureCanvasPdf(figure).print_figure(temporary, format="pdf", dpi=DPI, metadata={"CreationDate": None})
    return paths


def _shrink(png: Path) -> None:
    """Store a picture without colours as gray levels: pictures of faces become half as large."""
    with Image.open(png) as saved:
        picture = saved.convert("RGB")
    red, green, blue = picture.split()
    if red.tobytes() == green.tobytes() == blue.tobytes():
        red.save(png, format="png", optimize=True, dpi=(DPI, DPI))
