"""ARFF files, the text format of Weka, as far as data sets use it: attributes of numbers and of strings, dense rows.

``scipy.io.arff`` refuses string attributes, which the files of AVEC have.

Source: Weka's manual, "Attribute-Relation File Format": keywords in any case, comments after ``%``, names and strings
in quotes where they hold blanks, ``?`` for a missing value.
"""

import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from codecsim.errors import SourceError
from codecsim.sources.tables import read_text

_NUMERIC = frozenset({"numeric", "real", "integer"})
_ATTRIBUTE = re.compile(
    r"@attribute\s+(?:'(?P<quoted>[^']*)'|\"(?P<double>[^\"]*)\"|(?P<plain>\S+))\s+(?P<type>.+)", re.IGNORECASE
)
_CELL = re.compile(r"""\s*(?:'([^']*)'|"([^"]*)"|([^,'"][^,]*?|))\s*(?:,|$)""")


@dataclass(frozen=True, slots=True)
class Arff:
    """Rows of an ARFF file.

    Attributes
    ----------
    path : of the file
    attributes : names, in their order
    lines : shape=(N,), line of each row
    numbers : attribute → shape=(N,), NaN where missing
    strings : attribute → N strings, "" where missing
    """

    path: Path
    attributes: tuple[str, ...]
    lines: npt.NDArray[np.int64]
    numbers: dict[str, npt.NDArray[np.float64]]
    strings: dict[str, list[str]]

    def column(self, name: str) -> npt.NDArray[np.float64]:
        """Values of a numeric attribute, whose name is taken in any case; `SourceError` where there is none."""
        for each, values in self.numbers.items():
            if each.lower() == name.lower():
                return values
        raise SourceError(f"{self.path}: no numeric attribute {name!r}; it has {', '.join(self.attributes)}")


def read_arff(path: Path) -> Arff:
    """Read an ARFF file.

    Raises
    ------
    SourceError
        If the file cannot be read, is no ARFF file, or uses attributes or rows of other kinds; with the line.
    """
    lines = read_text(path, "labels", kind="an ARFF file").split("\n")
    types: dict[str, str] = {}
    first = 0
    for number, line in enumerate(lines, 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("%"):
            continue
        keyword = stripped.split(None, 1)[0].lower()
        if keyword == "@data":
            first = number
            break
        if keyword == "@attribute":
            name, kind = _attribute(path, number, stripped)
            if name in types:
                raise SourceError(f"{path}, line {number}: a second attribute {name!r}")
            types[name] = kind
        elif keyword != "@relation":
            raise SourceError(
                f"{path}, line {number}: {stripped[:60]!r} is no line of an ARFF header (@relation, @attribute, @data)"
            )
    if not first or not types:
        raise SourceError(f"{path}: no {'@attribute' if first else '@data'} line; is it a whole ARFF file?")
    rows, row_lines = [], []
    for number, line in enumerate(lines[first:], first + 1):
        stripped = line.strip()
        if stripped and not stripped.startswith("%"):
            rows.append(_cells(path, number, stripped, len(types)))
            row_lines.append(number)
    if not rows:
        raise SourceError(f"{path}: no row after @data in line {first}")
    numbers, strings = {}, {}
    for column, (name, kind) in enumerate(types.items()):
        if kind == "string":
            strings[name] = ["" if row[column] == "?" else row[column] for row in rows]
        else:
            values = [_number(path, line, name, row[column]) for line, row in zip(row_lines, rows, strict=True)]
            numbers[name] = np.array(values)
    return Arff(path, tuple(types), np.array(row_lines), numbers, strings)


def _attribute(path: Path, number: int, line: str) -> tuple[str, str]:
    """Name and kind of an attribute: "number" or "string"."""
    match = _ATTRIBUTE.fullmatch(line)
    if not match:
        raise SourceError(f"{path}, line {number}: an attribute is written '@attribute NAME TYPE', not {line[:60]!r}")
    kind = match["type"].strip().lower()
    if kind not in _NUMERIC and kind != "string":
        raise SourceError(
            f"{path}, line {number}: an attribute of type {match['type'].strip()[:40]!r}; numeric ones and strings are "
            "read"
        )
    name = next(name for name in match.group("quoted", "double", "plain") if name is not None)
    return name, "string" if kind == "string" else "number"


def _cells(path: Path, number: int, line: str, n_expected: int) -> list[str]:
    if line.startswith("{"):
        raise SourceError(f"{path}, line {number}: a sparse row; dense ones are read")
    cells, at = [], 0
    while True:
        match = _CELL.match(line, at)
        if not match:
            raise SourceError(
                f"{path}, line {number}: {line[at:][:40]!r}: a quote that is not closed, or text after one"
            )
        cells.append(next((cell for cell in match.groups() if cell is not None), ""))
        at = match.end()
        if not match[0].endswith(","):
            break
    if len(cells) != n_expected:
        raise SourceError(f"{path}, line {number}: {len(cells)} values, the header has {n_expected} attributes")
    return cells


def _number(path: Path, line: int, name: str, cell: str) -> float:
    if cell == "?":
        return math.nan
    try:
        value = float(cell)
    except ValueError:
        value = math.inf
    if math.isinf(value):
        raise SourceError(f"{path}, line {line}, attribute {name!r}: {cell!r} is not a number; a missing one is ?")
    return value
