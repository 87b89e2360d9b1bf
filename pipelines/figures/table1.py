"""Table 1 as a picture: what every method tells at every factor, and how sure that is."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from codecsim.errors import UsageError
from pipelines.curve import MEASURE_NAMES
from pipelines.figures.style import STYLE, caption, checked_target, legend_above, method_styles, save
from pipelines.table1 import CEILING, Column, Entry, Summary

MEASURES = ("ccc", "ccc_within")

_SPREAD = 0.5  # of the way between two factors that the methods at one of them take
_PANEL_INCHES = 3.4, 2.6


def plot_table1(summary: Summary, target: str | Path) -> list[Path]:
    """Draw CCC, and CCC within subjects, of every method against the factor: a row a label, a column a measure.

    Bars are 95 % intervals over subjects and seeds. Methods stand side by side at each factor; the ceiling is a dashed
    line across, its interval a band.

    Parameters
    ----------
    summary : as `pipelines.table1.summarise` gives it
    target : PNG to write; a PDF of the same name is put beside it

    Returns
    -------
    paths : the PNG and the PDF

    Raises
    ------
    UsageError
        If the table is empty, or `target` does not end in .png.
    """
    target = checked_target(target)
    if not summary.columns:
        raise UsageError(f"{target}: a table without a method has no picture")
    with mpl.rc_context(STYLE):
        figure = _figure(summary)
    return save(figure, target)


def _figure(summary: Summary) -> Figure:
    compared = summary.comparison
    labels = compared.truth.labels
    styles = method_styles(each.family for each in summary.columns)
    width, height = _PANEL_INCHES
    figure = Figure(figsize=(width * len(MEASURES), height * len(labels) + 0.8), layout="constrained")
    grid = figure.subplots(len(labels), len(MEASURES), sharex=True, sharey="row", squeeze=False)
    handles: dict[str, Any] = {}
    for row, label in zip(grid, labels, strict=True):
        row[0].set_ylabel(label)
        columns = [each for each in summary.columns if each.label == label]
        for axis, measure in zip(row, MEASURES, strict=True):
            handles |= _Panel(axis, measure, summary.scales, styles).draw(columns)
    for axis, measure in zip(grid[0], MEASURES, strict=True):
        axis.set_title(MEASURE_NAMES[measure])
    for axis in grid[-1]:
        axis.set_xlabel("factor s")
    names = ["hr on HR frames" if family == CEILING else family for family in styles]
    legend_above(figure, [handles[family] for family in styles], names)
    n_people = len(set(compared.truth.subjects.tolist()))
    n_seeds = len(compared.seeds)
    seeds = f"seed{'s' * (n_seeds > 1)} {', '.join(map(str, compared.seeds))}"
    caption(figure, [f"{n_people} people of {compared.truth.corpus[:8]}…", seeds, f"95 % intervals {compared.drawn}"])
    return figure


@dataclass(frozen=True)
class _Panel:
    """One measure of one label.

    Attributes
    ----------
    axis : to draw on
    measure : of `MEASURES`
    scales : factors, in the order in which they stand on the horizontal axis
    styles : of each family, in the order in which they stand side by side
    """

    axis: Any
    measure: str
    scales: Sequence[int]
    styles: Mapping[str, Mapping[str, Any]]

    def draw(self, columns: Sequence[Column]) -> dict[str, Any]:
        """Draw all families; gives a line of each, for the legend."""
        self.axis.set_xticks(range(len(self.scales)), list(map(str, self.scales)))
        self.axis.grid(visible=False, axis="x")
        handles = {}
        for place, family in enumerate(self.styles):
            told = {each.s: each.entries[self.measure] for each in columns if each.family == family}
            shift = _SPREAD * ((place + 0.5) / len(self.styles) - 0.5)
            handles[family] = self._ceiling(told) if family == CEILING else self._points(family, told, shift)
        return handles

    def _points(self, family: str, told: Mapping[int, Entry], shift: float) -> Any:
        """The means of one family, joined where neighbouring factors were both tested."""
        style = self.styles[family]
        means = [told[s].mean if s in told else math.nan for s in self.scales]
        (line,) = self.axis.plot([place + shift for place in range(len(means))], means, **style)
        for place, s in enumerate(self.scales):
            if s in told:
                interval = told[s].interval
                self.axis.vlines(place + shift, interval.low, interval.high, color=style["color"], linewidth=0.9)
        return line

    def _ceiling(self, told: Mapping[int, Entry]) -> Any:
        """Across all factors, since HR frames have none."""
        (entry,) = told.values()
        colour = self.styles[CEILING]["color"]
        self.axis.axhspan(entry.interval.low, entry.interval.high, color=colour, alpha=0.08, linewidth=0)
        return self.axis.axhline(entry.mean, color=colour, linestyle="--", linewidth=1)
