"""Elements of small XML files of unknown origin."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.parsers import expat

from codecsim.errors import SourceError

_MAX_BYTES = 2**20
"""Annotations of a clip have a few kilobytes."""


@dataclass(frozen=True, slots=True)
class Element:
    """One element: the line that it begins in, its name, its attributes."""

    line: int
    name: str
    attributes: Mapping[str, str]


def read_elements(path: Path) -> list[Element]:
    """All elements of an XML file, in the order in which they begin.

    A document type declaration is refused: entities, which are declared there, can blow a few bytes up to gigabytes or
    name other files.

    Raises
    ------
    SourceError
        If the file cannot be read, is larger than a megabyte, no well-formed XML, or declares a document type; with the
        line.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise SourceError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
    if len(data) > _MAX_BYTES:
        raise SourceError(f"{path}: more than {_MAX_BYTES} bytes; annotations are small XML files")
    elements: list[Element] = []
    parser = expat.ParserCreate()

    def begin(name: str, attributes: dict[str, str]) -> None:
        elements.append(Element(parser.CurrentLineNumber, name, attributes))

    def refuse(*_: object) -> None:
        raise SourceError(
            f"{path}, line {parser.CurrentLineNumber}: a document type declaration (<!DOCTYPE); for safety such files "
            "are not read: take it out"
        )

    parser.StartElementHandler = begin
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise SourceError(f"{path}, line {error.lineno}: not XML ({expat.ErrorString(error.code)})") from error
    except (LookupError, ValueError) as error:
        raise SourceError(f"{path}, line {parser.CurrentLineNumber}: not XML ({error})") from error
    return elements
