"""Boxes and labels from CSV files, joined with frames on time.

Both kinds: a header row; ``,`` or ``;`` between cells; UTF-8 with or without a byte order mark; any line ends; empty
lines skipped; the point is the decimal sign. Times are seconds from the start of the recording.
"""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from codecsim.errors import SourceError
from codecsim.faces import Square

_MAX_BYTES = 2**28
_MAX_SIDE = 65_536.0
_EPSILON = 1e-6  # times are written with a few digits, and half an interval must count as half

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Boxes:
    """Boxes of one person, in order of time.

    Attributes
    ----------
    person : as the file names them; "" where it does not
    seconds : shape=(N,), strictly ascending; where the file counts frames, their number times the frame interval
    boxes : shape=(N, 4), x, y, w, h in source pixels, display orientation
    is_by_frame : whether the file counts frames
    """

    person: str
    seconds: Floats
    boxes: Floats
    is_by_frame: bool

    def square(self, seconds: float, tolerance: float, max_gap_seconds: float) -> tuple[Square, bool, float] | None:
        """Where to cut at a time, whether that was interpolated, and the box's shorter side; None where no box tells.

        Parameters
        ----------
        seconds : time of the frame; where the file counts frames, its number times the frame interval
        tolerance : a box this near in time is the frame's own; half a frame interval
        max_gap_seconds : between two boxes no further apart than this the frame's box is interpolated
        """
        after = int(np.searchsorted(self.seconds, seconds))
        beside = [n for n in (after - 1, after) if 0 <= n < len(self.seconds)]
        nearest = min(beside, key=lambda n: abs(self.seconds[n] - seconds))
        if abs(self.seconds[nearest] - seconds) <= tolerance + _EPSILON:
            return _cut(self.boxes[nearest], False)
        if len(beside) == 2:
            gap = self.seconds[after] - self.seconds[after - 1]
            if gap <= max_gap_seconds + _EPSILON:
                share = (seconds - self.seconds[after - 1]) / gap
                return _cut((1 - share) * self.boxes[after - 1] + share * self.boxes[after], True)
        return None


@dataclass(frozen=True, slots=True)
class Labels:
    """Label series of one recording.

    Attributes
    ----------
    path : of the file
    seconds : shape=(N,), strictly ascending
    tasks : name → values, shape=(N,): float64 with NaN where unlabelled, or int64 where all cells are whole numbers
    """

    path: Path
    seconds: Floats
    tasks: Mapping[str, Floats | npt.NDArray[np.int64]]

    @property
    def interval_seconds(self) -> float:
        """Median time between labels; NaN for a single one."""
        return float(np.median(np.diff(self.seconds))) if len(self.seconds) > 1 else math.nan

    def at(self, seconds: Floats, frame_interval: float) -> dict[str, npt.NDArray[np.generic]]:
        """Labels of frames: the nearest within half a label interval.

        Parameters
        ----------
        seconds : shape=(T,), times of the frames
        frame_interval : stands in for the label interval where there is one label only

        Returns
        -------
        labels : task → shape=(T,): float32, NaN where no label is near; int32 for classes where every frame has one
        """
        tolerance = self.tolerance(frame_interval)
        after = np.searchsorted(self.seconds, seconds).clip(0, len(self.seconds) - 1)
        before = (after - 1).clip(0)
        is_before = np.abs(self.seconds[before] - seconds) <= np.abs(self.seconds[after] - seconds)
        nearest = np.where(is_before, before, after)
        is_near = np.abs(self.seconds[nearest] - seconds) <= tolerance + _EPSILON
        joined: dict[str, npt.NDArray[np.generic]] = {}
        for task, values in self.tasks.items():
            if values.dtype == np.int64 and is_near.all():
                joined[task] = values[nearest].astype(np.int32)
            else:
                joined[task] = np.where(is_near, values[nearest], np.nan).astype(np.float32)
        return joined

    def span(self) -> tuple[float, float]:
        """Times of the first and the last frame that has a label, if frames come as often as labels."""
        tolerance = self.tolerance(0)
        return float(self.seconds[0]) - tolerance, float(self.seconds[-1]) + tolerance

    def tolerance(self, frame_interval: float) -> float:
        """Half a label interval in seconds."""
        interval = self.interval_seconds
        return (frame_interval if math.isnan(interval) else interval) / 2


def read_boxes(path: Path, *, frame_interval: float) -> list[Boxes]:
    """Read a boxes file: columns ``time`` or ``frame``, ``x``, ``y``, ``w``, ``h``; ``person`` where there are several.

    Parameters
    ----------
    path : CSV file
    frame_interval : seconds from one frame to the next, for files that count frames (from 0)

    Returns
    -------
    boxes : one for each person, in order of their first box

    Raises
    ------
    SourceError
        If the file cannot be read, lacks a column, or holds a cell that is no number, a box without area, or two boxes
        of one person for the same time; with the line and the column.
    """
    table = Table(path, "boxes")
    when = "time" if "time" in table.columns else "frame"
    for column in (when, "x", "y", "w", "h"):
        if column not in table.columns:
            missing = "'time' (or 'frame')" if column == "frame" else repr(column)
            raise SourceError(
                f"{path}: no column {missing} in the header "
                f"({', '.join(table.columns)}); boxes need time or frame, then x, y, w, h"
            )
    rows: dict[str, list[tuple[float, int, list[float]]]] = {}
    for line, cells in table.rows:
        moment = table.number(line, cells, when)
        if when == "frame":
            if moment < 0 or moment != math.floor(moment):
                raise SourceError(f"{path}, line {line}: frame {moment:g}; frames are counted 0, 1, 2, …")
            moment *= frame_interval
        box = [table.number(line, cells, column) for column in ("x", "y", "w", "h")]
        if not (0 < box[2] <= _MAX_SIDE and 0 < box[3] <= _MAX_SIDE and max(map(abs, box)) <= _MAX_SIDE):
            raise SourceError(
                f"{path}, line {line}: box x, y, w, h = {', '.join(f'{v:g}' for v in box)}; w and h must be above 0 "
                f"and all below {_MAX_SIDE:g}. Leave the line out where there is no face"
            )
        person = cells[table.columns.index("person")].strip() if "person" in table.columns else ""
        rows.setdefault(person, []).append((moment, line, box))
    boxes = []
    for person, found in rows.items():
        found.sort(key=lambda row: row[:2])
        _refuse_repeats(path, [(moment, line) for moment, line, _ in found], "box", person)
        seconds = np.array([moment for moment, _, _ in found])
        boxes.append(Boxes(person, seconds, np.array([box for _, _, box in found]), when == "frame"))
    return sorted(boxes, key=lambda of_person: float(of_person.seconds[0]))


def read_labels(path: Path) -> Labels:
    """Read a labels file: a column ``time`` and one column a task.

    An empty cell and ``nan`` mean unlabelled. A column of whole numbers only holds classes.

    Raises
    ------
    SourceError
        If the file cannot be read, lacks the columns, or holds a cell that is no number, or a time twice; with the
        line and the column.
    """
    table = Table(path, "labels")
    if "time" not in table.columns:
        raise SourceError(f"{path}: no column 'time' in the header ({', '.join(table.columns)}); it holds seconds")
    tasks = [column for column in table.columns if column != "time"]
    if not tasks:
        raise SourceError(f"{path}: no column beside 'time'; give one column a task, for instance valence")
    for task in tasks:
        if not task or "/" in task or task in (".", ".."):
            raise SourceError(f"{path}: a task cannot be called {task!r}; name every column, without '/'")
    read = sorted((table.number(line, cells, "time"), line, cells) for line, cells in table.rows)
    _refuse_repeats(path, [(moment, line) for moment, line, _ in read], "label", "")
    series: dict[str, Floats | npt.NDArray[np.int64]] = {}
    for task in tasks:
        values = np.array([table.number(line, cells, task, may_be_missing=True) for _, line, cells in read])
        written = [cells[table.columns.index(task)].strip().lstrip("+-") for _, _, cells in read]
        is_class = all(cell.isdecimal() for cell in written) and float(np.abs(values).max()) < 2**31
        series[task] = values.astype(np.int64) if is_class else values
    return Labels(path, np.array([moment for moment, _, _ in read]), series)


class Table:
    """Cells of a CSV file.

    Parameters
    ----------
    path : CSV file
    what : what it holds, for messages
    without_header : names of the columns where the first row holds as many numbers and no names; None where it must
        hold names

    Attributes
    ----------
    columns : names in the header, without blanks around them
    rows : (line that the row ends at, its cells)

    Raises
    ------
    SourceError
        If the file cannot be read, has no header or no row, or a row of another length.
    """

    def __init__(self, path: Path, what: str, *, without_header: Sequence[str] | None = None) -> None:
        self.path = path
        lines = read_text(path, what).lstrip("\n")
        header = lines.split("\n", 1)[0]
        delimiter = ";" if header.count(";") >= max(1, header.count(",")) else ","
        reader = csv.reader(io.StringIO(lines), delimiter=delimiter, strict=True)
        self.rows: list[tuple[int, list[str]]] = []
        self.columns: list[str] = []
        try:
            for cells in reader:
                if not any(cell.strip() for cell in cells):
                    continue
                if not self.columns and without_header and len(cells) == len(without_header):
                    self.columns = list(without_header) if all(map(_is_number, cells)) else []
                if not self.columns:
                    self.columns = [cell.strip() for cell in cells]
                elif len(cells) != len(self.columns):
                    raise SourceError(
                        f"{path}, line {reader.line_num}: {len(cells)} cells, the header has {len(self.columns)}"
                    )
                else:
                    self.rows.append((reader.line_num, cells))
        except csv.Error as error:
            raise SourceError(f"{path}, line {reader.line_num}: not CSV ({error})") from error
        self._check_header(what)

    def number(self, line: int, cells: Sequence[str], column: str, *, may_be_missing: bool = False) -> float:
        """A cell as a finite number; NaN where it may be missing and is."""
        cell = cells[self.columns.index(column)].strip()
        if may_be_missing and not cell:
            return math.nan
        try:
            value = float(cell)
        except ValueError:
            value = math.inf
        if math.isfinite(value) or (may_be_missing and math.isnan(value)):
            return value
        hint = "; the decimal sign is a point" if "," in cell else ""
        raise SourceError(f"{self.path}, line {line}, column {column!r}: {cell!r} is not a number{hint}")

    def _check_header(self, what: str) -> None:
        if not self.columns:
            raise SourceError(f"{self.path}: an empty file; {what} need a header row and a row for each time")
        if all(_is_number(cell) for cell in self.columns):
            raise SourceError(
                f"{self.path}: the first row holds numbers ({', '.join(self.columns)}); it must name the columns"
            )
        repeated = {column for column in self.columns if self.columns.count(column) > 1}
        if repeated:
            raise SourceError(f"{self.path}: column {sorted(repeated)[0]!r} stands twice in the header")
        if not self.rows:
            raise SourceError(f"{self.path}: a header and no row")


def read_text(path: Path, what: str, *, kind: str = "a CSV file") -> str:
    """Read a file of text: UTF-8 with or without a byte order mark, any line ends, which become ``\\n``.

    Parameters
    ----------
    path : the file
    what, kind : what it holds, and the kind of file that this is kept in, for messages

    Raises
    ------
    SourceError
        If the file cannot be read, is larger than 256 MiB, or is no text.
    """
    try:
        if path.is_dir():
            raise SourceError(f"{path}: a directory, not {kind} of {what}")
        if path.stat().st_size > _MAX_BYTES:
            raise SourceError(f"{path}: {path.stat().st_size} bytes; {kind} of {what} has at most {_MAX_BYTES}")
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise SourceError(f"{path}: no such file of {what}") from None
    except UnicodeDecodeError:
        raise SourceError(f"{path}: not text in UTF-8; {what} are read from {kind}") from None
    except SourceError:
        raise
    except OSError as error:
        raise SourceError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
    if "\0" in text:
        raise SourceError(f"{path}: not a text file; {what} are read from {kind}")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _cut(box: Floats, interpolated: bool) -> tuple[Square, bool, float]:
    return Square.around(*box.tolist()), interpolated, float(box[2:].min())


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _refuse_repeats(path: Path, moments: Sequence[tuple[float, int]], what: str, person: str) -> None:
    for (before, _), (moment, line) in pairwise(moments):
        if moment == before:
            of_whom = f" of person {person!r}" if person else ""
            hint = "; several persons need a column person" if what == "box" and not person else ""
            raise SourceError(f"{path}, line {line}: a second {what}{of_whom} for the time {moment:g} s{hint}")
