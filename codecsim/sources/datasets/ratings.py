"""Traces of several raters, gold standards and times of frames, as AVEC 2016 and RECOLA write them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from codecsim.errors import SourceError
from codecsim.sources.datasets.arff import read_arff
from codecsim.sources.tables import Floats, Labels, Table

GOLD_STANDARD = "gold_standard"

_INTERVAL_SECONDS = 0.04
"""From one rating to the next, where a file numbers its rows instead of timing them."""


@dataclass(frozen=True, slots=True)
class Trace:
    """A gold standard.

    Attributes
    ----------
    path : of the file
    seconds : shape=(N,), strictly ascending, after 0
    values : shape=(N,), NaN where unlabelled
    """

    path: Path
    seconds: Floats
    values: Floats


def read_ratings(path: Path) -> Labels:
    """Read a CSV file with a column ``time`` in seconds and one a rater, named by the header.

    Instead of times, a first column without a name may number the rows from 0, one for each 0.04 s. A file of two
    columns without a header holds times and a gold standard. The rating of time 0 is left out, as all that use these
    data leave it out: there are 7501 for 7500 frames.

    Returns
    -------
    ratings : a task a rater: float64, NaN where missing

    Raises
    ------
    SourceError
        If the file cannot be read or is of another kind; with the line.
    """
    table = Table(path, "ratings", without_header=("time", GOLD_STANDARD))
    when = "time" if "time" in table.columns else table.columns[0]
    raters = [column for column in table.columns if column not in (when, "")]
    if when not in ("time", "") or not raters:
        raise SourceError(f"{path}: no column 'time' and one a rater in the header ({', '.join(table.columns)})")
    moments = [table.number(line, cells, when) for line, cells in table.rows]
    lines = [line for line, _ in table.rows]
    if when == "":
        for n, (line, moment) in enumerate(zip(lines, moments, strict=True)):
            if moment != n:
                raise SourceError(f"{path}, line {line}: row number {moment:g}, not {n}; or name the column 'time'")
        moments = [n * _INTERVAL_SECONDS for n in range(len(moments))]
    seconds, is_used = _used(path, moments, lines)
    columns = {
        rater: np.array([table.number(line, cells, rater, may_be_missing=True) for line, cells in table.rows])
        for rater in raters
    }
    return Labels(path, seconds, {rater: values[is_used] for rater, values in columns.items()})


def read_gold_standard(path: Path) -> Trace:
    """Read a gold standard: an ARFF file of AVEC, or the mean of the raters of a CSV file.

    A mean is unlabelled where a rater is missing. The label of time 0 is left out, as by `read_ratings`.

    Raises
    ------
    SourceError
        If the file cannot be read or is of another kind; with the line.
    """
    if path.suffix.lower() == ".arff":
        arff = read_arff(path)
        seconds, is_used = _used(path, arff.column("frameTime"), arff.lines.tolist())
        return Trace(path, seconds, arff.column("GoldStandard")[is_used])
    ratings = read_ratings(path)
    return Trace(path, ratings.seconds, np.mean([*ratings.tasks.values()], axis=0))


def read_frame_times(path: Path) -> Floats:
    """Times of all pictures of a recording, in order: the second column of a CSV file with a header; shape=(N,).

    Raises
    ------
    SourceError
        If the file cannot be read, has one column, or a time that is no number or not after the one before.
    """
    table = Table(path, "frame times")
    if len(table.columns) < 2:
        raise SourceError(f"{path}: one column ({table.columns[0]}); times of frames stand in the second")
    moments = [table.number(line, cells, table.columns[1]) for line, cells in table.rows]
    return _ascending(path, moments, [line for line, _ in table.rows])


def _used(path: Path, moments: Sequence[float] | Floats, lines: Sequence[int]) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Times after 0, and which rows these are."""
    seconds = _ascending(path, moments, lines)
    is_used = seconds > 0
    if not is_used.any():
        raise SourceError(f"{path}: no row after time 0")
    return seconds[is_used], is_used


def _ascending(path: Path, moments: Sequence[float] | Floats, lines: Sequence[int]) -> Floats:
    seconds = np.asarray(moments, np.float64)
    steps = np.diff(seconds, prepend=-np.inf)
    if not (steps > 0).all():
        at = int(np.argmin(steps > 0))
        raise SourceError(f"{path}, line {lines[at]}: the time {seconds[at]:g} s is not after that of the row before")
    return seconds
