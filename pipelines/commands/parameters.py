"""What commands have in common: values that are more than a word, such as ranges, and options of networks."""

import re
from fractions import Fraction
from pathlib import Path

import click

FILE = click.Path(path_type=Path)

PRECISIONS = ("fp32", "tf32", "bf16")

DEVICE = click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:NUMBER.")
PRECISION = click.option(
    "--precision", type=click.Choice(PRECISIONS), default="fp32", show_default=True, help="Of the arithmetic."
)

MAX_VALUES = 10_000
"""Most values that one range may stand for."""

_WRITTEN = "Ranges are written 18-40, 18-40:2 or 18,24,30"
_NUMBER = r"\d+(?:\.\d+)?"
_UP_TO = rf"(?:-(?P<last>{_NUMBER})(?::(?P<step>{_NUMBER}))?)?"


class Ranges(click.ParamType[tuple[float, ...]]):
    """Numbers as ``18-40``, ``18-40:2``, ``18,24,30`` or a mixture; both ends belong to a range.

    Parameters
    ----------
    what : the field's word for the number, for messages
    whole : whether only whole numbers are allowed; these come out as int
    signed : whether numbers below 0 are taken too, for others to refuse, who know what is allowed
    """

    name = "range"

    def __init__(self, what: str, *, whole: bool = False, signed: bool = False) -> None:
        self.what = what
        self.whole = whole
        self._pattern = re.compile(f"(?P<first>{'-?' if signed else ''}{_NUMBER}){_UP_TO}")

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        """Parse `value`, or fail with what was meant by it."""
        if isinstance(value, tuple):
            return value
        numbers: list[Fraction] = []
        for piece in str(value).split(","):
            match = self._pattern.fullmatch(piece.strip())
            if not match:
                self.fail(self._mistake(str(value), piece.strip()), param, ctx)
            first, last, step = (Fraction(text) if text else None for text in match.group("first", "last", "step"))
            assert first is not None
            last, step = first if last is None else last, Fraction(1) if step is None else step
            if step == 0 or last < first:
                self.fail(f"{self.what} {piece!r}: a range goes upwards, by steps above 0, as 18-40:2", param, ctx)
            if (last - first) / step + len(numbers) >= MAX_VALUES:
                self.fail(f"{self.what} {piece!r} stands for more than {MAX_VALUES} values", param, ctx)
            numbers += [first + step * index for index in range(int((last - first) / step) + 1)]
        if self.whole and (odd := next((number for number in numbers if number.denominator != 1), None)) is not None:
            self.fail(f"{self.what} {float(odd):g} is not a whole number", param, ctx)
        return tuple(dict.fromkeys(int(number) if self.whole else float(number) for number in numbers))

    def _mistake(self, value: str, piece: str) -> str:
        if match := re.fullmatch(r"(\d+):(\d+)", piece):
            return f"{self.what} {value!r}: did you mean {match[1]}-{match[2]}? {_WRITTEN}"
        return f"{self.what} {value!r} is not a range. {_WRITTEN}"


class KeyValue(click.ParamType[tuple[str, str]]):
    """An encoder's own option, ``NAME=VALUE``."""

    name = "name=value"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """Split `value` at its first '='."""
        if isinstance(value, tuple):
            return value
        name, sign, text = str(value).partition("=")
        if not name or not sign:
            self.fail(f"encoder option {value!r} is not NAME=VALUE, as in ref=1", param, ctx)
        return name, text


class Names(click.ParamType[tuple[str, ...]]):
    """Words with commas between, each one of those allowed."""

    name = "names"

    def __init__(self, what: str, allowed: tuple[str, ...]) -> None:
        self.what = what
        self.allowed = allowed

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """Split `value` at commas and check each word."""
        if isinstance(value, tuple):
            return value
        words = tuple(dict.fromkeys(word.strip() for word in str(value).split(",") if word.strip()))
        for word in words:
            if word not in self.allowed:
                self.fail(f"no {self.what} {word!r}; there are: {', '.join(self.allowed)}", param, ctx)
        return words


class Counts(click.ParamType[tuple[int, ...]]):
    """Three whole numbers, for train, dev and test, as ``240,48,48``, or where `one` is true, one for all."""

    name = "counts"

    def __init__(self, *, one: bool = False) -> None:
        self.one = one

    def convert(
        self, value: str | tuple[int, ...], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        parts = [part.strip() for part in value.split(",")]
        if self.one:
            parts *= 3 if len(parts) == 1 else 1
        if len(parts) != 3 or not all(part.isdecimal() for part in parts):
            wanted = "one whole number is needed, or three," if self.one else "three whole numbers are needed,"
            self.fail(f"{value!r}: {wanted} for train, dev and test, as 240,48,48", param, ctx)
        return tuple(int(part) for part in parts)


class Words(click.ParamType[tuple[str, ...]]):
    """Words with commas between, of any kind: labels, methods."""

    name = "words"

    def __init__(self, what: str) -> None:
        self.what = what

    def convert(
        self, value: str | tuple[str, ...], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """Split `value` at commas."""
        if isinstance(value, tuple):
            return value
        words = tuple(dict.fromkeys(word.strip() for word in value.split(",") if word.strip()))
        if not words:
            self.fail(f"no {self.what} given; write one, or more with commas between", param, ctx)
        return words


def beside(out: Path, name: str) -> Path:
    """What lies beside a sweep file: ``sweep.NAME`` of ``sweep.h5``, ``run1.5.NAME`` of ``run1.5``."""
    stem = out.stem if out.suffix in (".h5", ".hdf5") else out.name
    return out.with_name(f"{stem}.{name}")
