"""Face strips: what is left of a face at each factor and QP, and what each method reads in it."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from codecsim.corpus import HR_SIDE
from codecsim.errors import UsageError
from pipelines.curve import family_of
from pipelines.figures.style import DPI, STYLE, checked_target, legend_columns, method_styles, picture, save, scale_name

_FACE_INCHES = 3 * HR_SIDE / DPI  # every pixel of a face is 3×3 of the picture
_GAP_INCHES, _MARGIN_INCHES = 0.08, 0.1
_TITLE_INCHES, _TITLE_GAP_INCHES, _ROW_TITLE_INCHES, _LINE_INCHES, _LEGEND_ROW_INCHES = 0.25, 0.05, 0.24, 0.16, 0.2
_MARKER_PLACE = 0.3  # of the width of a face, where its predictions stand

Styles = Mapping[str, dict[str, Any]]


@dataclass(frozen=True, eq=False)
class Strip:
    """One frame of a face as networks are shown it at one factor: uncoded, and decoded at some QPs.

    Attributes
    ----------
    s : factor
    titles : of each column: "HR", "LR, uncoded", "QP 24", …
    frames : uint8, shape=(n, 96, 96): one a column, decoded and enlarged
    predictions : method → what it reads in each column, shape=(n,); NaN where it was not shown the frame
    truth : what the corpus says of the frame; None where it says nothing

    Raises
    ------
    UsageError
        If there is no column, or not one title, frame and prediction of every method for each.
    """

    s: int
    titles: Sequence[str]
    frames: npt.NDArray[np.uint8]
    predictions: Mapping[str, Sequence[float]]
    truth: float | None = None

    def __post_init__(self) -> None:
        n = len(self.titles)
        if self.frames.dtype != np.uint8 or self.frames.shape != (n, HR_SIDE, HR_SIDE) or not n:
            raise UsageError(
                f"strip of s = {self.s}: {self.frames.dtype} frames of shape {self.frames.shape} for {n} columns; "
                f"they are uint8 of shape (columns, {HR_SIDE}, {HR_SIDE}), with at least one column"
            )
        for method, read in self.predictions.items():
            if len(read) != n:
                raise UsageError(f"strip of s = {self.s}: {len(read)} predictions of {method} for {n} columns")

    @property
    def families(self) -> dict[str, Sequence[float]]:
        """Predictions by the family of the method: ``joint`` of ``joint-3``; by the method where two are of one."""
        families = {method: family_of(method, self.s) for method in self.predictions}
        shared = {family for family, number in Counter(families.values()).items() if number > 1}
        return {
            method if families[method] in shared else families[method]: read
            for method, read in self.predictions.items()
        }


def plot_strips(shown: Sequence[Strip], target: str | Path) -> list[Path]:
    """Draw strips one below the other, under every face what each method reads in it.

    Methods have the markers and the order of figure 4.

    Parameters
    ----------
    shown : rows, all with the same columns
    target : PNG to write; a PDF of the same name is put beside it

    Returns
    -------
    paths : the PNG and the PDF

    Raises
    ------
    UsageError
        If there is no strip, their columns differ, or `target` does not end in .png.
    """
    target = checked_target(target)
    with mpl.rc_context(STYLE):
        figure = _strips_figure(shown)
    return save(figure, target)


def _strips_figure(shown: Sequence[Strip]) -> Figure:
    if not shown:
        raise UsageError("no strip: there is nothing to draw")
    titles = list(shown[0].titles)
    for strip in shown:
        if list(strip.titles) != titles:
            raise UsageError(f"strips of other columns: {', '.join(titles)}, and {', '.join(strip.titles)}")
    styles = method_styles(family for strip in shown for family in strip.families)
    page = _Page(len(titles), [len(strip.families) for strip in shown], styles)
    for column, title in enumerate(titles):
        page.write(page.middle(column), page.titles_at, title, ha="center", va="bottom")
    for row, strip in enumerate(shown):
        _row(page, row, strip, styles)
    return page.figure


class _Page:
    """A figure with a legend, laid out in inches from the top left, so that pixels of faces are whole pixels of it.

    Parameters
    ----------
    n_columns : faces in a row
    n_lines : of text under the faces of each row
    styles : of the methods
    """

    def __init__(self, n_columns: int, n_lines: Sequence[int], styles: Styles) -> None:
        self.width = 2 * _MARGIN_INCHES + n_columns * (_FACE_INCHES + _GAP_INCHES) - _GAP_INCHES
        legend_rows = -(-len(styles) // legend_columns(list(styles), self.width)) if styles else 0
        self.titles_at = _MARGIN_INCHES + legend_rows * _LEGEND_ROW_INCHES + _TITLE_INCHES - _TITLE_GAP_INCHES
        heights = [_ROW_TITLE_INCHES + _FACE_INCHES + (lines + 0.75) * _LINE_INCHES for lines in n_lines]
        self.rows_at = [self.titles_at + _TITLE_GAP_INCHES + sum(heights[:row]) for row in range(len(heights))]
        self.height = self.titles_at + _TITLE_GAP_INCHES + sum(heights) + _MARGIN_INCHES
        self.figure = Figure(figsize=(self.width, self.height))
        if styles:
            self._legend(styles)

    def left(self, column: int) -> float:
        """Left edge of a column."""
        return _MARGIN_INCHES + column * (_FACE_INCHES + _GAP_INCHES)

    def middle(self, column: int) -> float:
        """Middle of a column."""
        return self.left(column) + _FACE_INCHES / 2

    def face(self, column: int, down: float, pixels: npt.NDArray[np.uint8]) -> None:
        """Show a face in a column, its upper edge so far down."""
        place = self._place(self.left(column), down + _FACE_INCHES)
        size = _FACE_INCHES / self.width, _FACE_INCHES / self.height
        picture(self.figure.add_axes((*place, *size)), pixels)

    def write(self, right: float, down: float, text: str, **how: Any) -> None:
        """Write text."""
        self.figure.text(*self._place(right, down), text, **how)

    def mark(self, right: float, down: float, style: Mapping[str, Any]) -> None:
        """Put the marker of a method."""
        x, y = self._place(right, down)
        self.figure.add_artist(Line2D([x], [y], **{**style, "linestyle": ""}))

    def _legend(self, styles: Styles) -> None:
        handles = [Line2D([], [], **{**style, "linestyle": ""}) for style in styles.values()]
        self.figure.legend(
            handles,
            list(styles),
            loc="upper center",
            ncols=legend_columns(list(styles), self.width),
            borderaxespad=0.2,
            handlelength=1,
            handletextpad=0.3,
        )

    def _place(self, right: float, down: float) -> tuple[float, float]:
        return right / self.width, 1 - down / self.height


def _row(page: _Page, row: int, strip: Strip, styles: Styles) -> None:
    """One strip: its title, its faces, and under each of them what the methods read."""
    down = page.rows_at[row]
    truth = "" if strip.truth is None else f", label {_signed(strip.truth)}"
    page.write(page.left(0), down + _ROW_TITLE_INCHES / 2, scale_name(strip.s) + truth, va="center", weight="bold")
    down += _ROW_TITLE_INCHES
    read = strip.families
    for column, pixels in enumerate(strip.frames):
        page.face(column, down, pixels)
        place = page.left(column) + _MARKER_PLACE * _FACE_INCHES
        for line, family in enumerate(family for family in styles if family in read):
            below = down + _FACE_INCHES + (line + 0.7) * _LINE_INCHES
            page.mark(place, below, styles[family])
            page.write(place + 0.12, below, _signed(read[family][column]), va="center_baseline", fontsize=8)


def _signed(value: float) -> str:
    """A prediction or a label with its sign; a dash where it is not known."""
    return "–" if math.isnan(value) else f"{value:+.2f}".replace("-", "−")
