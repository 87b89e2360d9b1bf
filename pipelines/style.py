"""How every picture looks, and how it is saved: colour-blind safe, readable in print, the words of the tables."""

from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.figure import Figure
from PIL import Image

from codecsim.atomic import replacing
from codecsim.errors import UsageError

_DPI = 200

STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "0.9",
    "legend.frameon": False,
    "lines.linewidth": 1.3,
    "lines.markersize": 4,
    "pdf.fonttype": 42,
}


def checked_target(target: str | Path) -> Path:
    """The PNG to write; `UsageError` where it has another ending."""
    if Path(target).suffix != ".png":
        raise UsageError(f"{target}: the picture is written as PNG and PDF; name it *.png")
    return Path(target)


def save(figure: Figure, target: Path) -> list[Path]:
    """Write a figure as PNG and, under the same name, as PDF; returns both paths. Same figure, same bytes."""
    paths = [target, target.with_suffix(".pdf")]
    with replacing(paths[0]) as temporary:
        FigureCanvasAgg(figure).print_figure(temporary, format="png", dpi=_DPI)
        _shrink(temporary)
    with replacing(paths[1]) as temporary:
        FigureCanvasPdf(figure).print_figure(temporary, format="pdf", dpi=_DPI, metadata={"CreationDate": None})
    return paths


def _shrink(png: Path) -> None:
    """Store a picture without colours as gray levels: pictures of faces become half as large."""
    with Image.open(png) as saved:
        picture = saved.convert("RGB")
    red, green, blue = picture.split()
    if red.tobytes() == green.tobytes() == blue.tobytes():
        red.save(png, format="png", optimize=True, dpi=(_DPI, _DPI))
