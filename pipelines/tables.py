"""Tables of a sweep: the summary after a run, the bit ledger, frames of a stream."""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from codecsim.bitstream import PURPOSES
from codecsim.errors import UsageError
from codecsim.store import Sweep
from codecsim.store.sweep import value_column

Rows = tuple[list[str], list[list[str]]]
"""Header and rows of a table, as text."""

_SIDES = ("width", "height", "coded_width", "coded_height")
SHORT = {
    "bits_parameter_sets": "par. sets",
    "bits_sei": "SEI",
    "bits_nal_overhead": "NAL",
    "bits_slice_headers": "headers",
    "bits_slice_data_i": "data I",
    "bits_slice_data_p": "data P",
    "bits_slice_data_b": "data B",
    "bits_other": "other",
}
"""Purposes of bits as a header or a legend names them."""


@dataclass(frozen=True, slots=True)
class Point:
    """All streams of one operating point, pooled over sequences.

    Attributes
    ----------
    codec, options, mode : how they were coded
    scale : factor s
    value : QP, CRF or kbit/s
    rows : their rows in /streams
    """

    codec: str
    options: str
    mode: str
    scale: int
    value: float
    rows: npt.NDArray[np.intp]

    @property
    def label(self) -> str:
        """Codec and options, as one reads them."""
        return self.codec if self.options == "{}" else f"{self.codec} {self.options}"


def points(sweep: Sweep, rows: Sequence[int] | None = None) -> list[Point]:
    """Operating points of a sweep (or of some of its rows), ordered by codec, options, mode, factor and value."""
    streams = sweep.streams
    chosen = np.arange(len(sweep)) if rows is None else np.asarray(rows)
    grouped: dict[tuple[str, str, str, int, float], list[int]] = {}
    for row in chosen.tolist():
        mode = str(streams["mode"][row])
        value = float(streams[value_column(mode)][row])
        point = str(streams["codec"][row]), str(streams["options"][row]), mode, int(streams["scale"][row]), value
        grouped.setdefault(point, []).append(row)
    return [
        Point(codec, options, mode, scale, value, np.array(members))
        for (codec, options, mode, scale, value), members in sorted(grouped.items())
    ]


def sequences_of(sweep: Sweep, point: Point) -> frozenset[str]:
    """Names of the sequences that a point pools."""
    return frozenset(sweep.column("sequence")[point.rows].tolist())


def rows_of(sweep: Sweep, sequences: Iterable[str]) -> list[int] | None:
    """Rows of some sequences; None for all rows where none is named."""
    names, held = list(sequences), sweep.column("sequence")
    for name in names:
        if name not in held:
            raise UsageError(f"{sweep.path}: no sequence {name!r}; it holds {', '.join(sorted(set(held.tolist())))}")
    return np.flatnonzero(np.isin(held, names)).tolist() if names else None


def comparable(sweep: Sweep, found: list[Point]) -> tuple[list[Point], int]:
    """Points that pool the same sequences, those that most points pool, and how many others there are.

    A curve through points of different sequences would show the sequences, not the codec.
    """
    sets = [sequences_of(sweep, point) for point in found]
    common = max(Counter(sets).items(), key=lambda item: (item[1], len(item[0])))[0]
    shown = [point for point, pooled in zip(found, sets, strict=True) if pooled == common]
    return shown, len(found) - len(shown)


def asked_for(mode: str, values: Iterable[float]) -> str:
    """The values that an encoder was asked for, as a caption says it: "QP 18–40"."""
    span = _span(list(values), "g")
    return f"bit rate {span} kbit/s" if mode == "bitrate" else f"{mode.upper()} {span}"


def counted(numbers: Sequence[int], one: str, many: str = "") -> str:
    """A number with its noun, or the smallest and the largest of several: "1 point", "2–8 people"."""
    low, high = min(numbers), max(numbers)
    noun = one if high == 1 else many or f"{one}s"
    return f"{high} {noun}" if low == high else f"{low}–{high} {noun}"


def pooled_bpp(sweep: Sweep, point: Point, area: str = "lr") -> float:
    """Bits of all sequences ÷ pixels of all sequences, in bits per pixel.

    `area` says which pixels: "lr" transmitted ones, "coded" with padding, "hr" those of the HR frames.
    """
    streams, rows = sweep.streams, point.rows
    if area == "hr":
        return float(np.average(streams["bpp_hr"][rows], weights=streams["n_frames"][rows]))
    width, height = ("width", "height") if area == "lr" else ("coded_width", "coded_height")
    pixels = streams["n_frames"][rows].astype(np.int64) * streams[width][rows] * streams[height][rows]
    return float(streams["bits_total"][rows].sum() / pixels.sum())


def pooled_kbps(sweep: Sweep, point: Point) -> float:
    """Bits of all sequences ÷ seconds of all sequences, in kbit/s."""
    streams, rows = sweep.streams, point.rows
    return float(np.average(streams["rate_kbps"][rows], weights=streams["n_frames"][rows] / streams["fps"][rows]))


def pooled_rate(sweep: Sweep, point: Point, rate: str) -> float:
    """One of ``bpp_lr``, ``bpp_coded``, ``bpp_hr`` and ``rate_kbps``, pooled."""
    return pooled_kbps(sweep, point) if rate == "rate_kbps" else pooled_bpp(sweep, point, rate.removeprefix("bpp_"))


def summary(sweep: Sweep) -> Rows:
    """One row a codec and factor: sizes, operating values, rates and qualities."""
    streams = sweep.streams
    header = ["codec", "s", "LR", "coded", "padding", "streams", "value", "bpp_lr", "kbps", "PSNR lr", "PSNR hr"]
    lines = []
    for (label, mode, scale), members in _grouped(points(sweep), lambda point: (point.label, point.mode, point.scale)):
        rows = np.concatenate([point.rows for point in members])
        width, height, coded_width, coded_height = (int(streams[name][rows[0]]) for name in _SIDES)
        lines.append(
            [
                label,
                str(scale),
                f"{width}×{height}",
                f"{coded_width}×{coded_height}",
                f"{1 - width * height / (coded_width * coded_height):.0%}",
                str(len(rows)),
                f"{mode} {_span([point.value for point in members], 'g')}",
                _span(streams["bpp_lr"][rows], ".3f"),
                _span(streams["rate_kbps"][rows], ".1f"),
                _span(streams["psnr_lr_db"][rows], ".1f"),
                _span(streams["psnr_hr_db"][rows], ".1f"),
            ]
        )
    return header, lines


def ledger(sweep: Sweep, rows: Sequence[int] | None = None) -> Rows:
    """The bit ledger: one row an operating point, bits pooled over sequences; the purposes add up to `bits`."""
    streams = sweep.streams
    header = ["codec", "s", "value", "streams", "bits", *SHORT.values(), "bpp_lr", "bpp_coded", "bpp_hr"]
    lines = []
    for point in points(sweep, rows):
        bits = {name: int(streams[name][point.rows].sum()) for name in ("bits_total", *PURPOSES)}
        lines.append(
            [
                point.label,
                str(point.scale),
                f"{point.mode} {point.value:g}",
                str(len(point.rows)),
                *(str(bits[name]) for name in ("bits_total", *PURPOSES)),
                *(f"{pooled_bpp(sweep, point, area):.4f}" for area in ("lr", "coded", "hr")),
            ]
        )
    return header, lines


def frames(sweep: Sweep, row: int) -> Rows:
    """The coded frames of one stream, in decoding order: type, QP and bytes."""
    table = sweep.packet_table(row)
    header = ["frame", "pts", "dts", "type", "key", "qp", "bytes"]
    lines = [
        [
            str(index),
            str(table["pts"][index]),
            str(table["dts"][index]),
            table["pict_type"][index].decode(),
            "yes" if table["key"][index] else "no",
            f"{table['qp'][index]:g}",
            str(table["n_bytes"][index]),
        ]
        for index in range(len(table["pts"]))
    ]
    return header, lines


def padding_explained(sweep: Sweep, rows: Sequence[int] | None = None) -> list[str]:
    """Why one factor costs more bits per transmitted pixel than the next smaller one, as sentences.

    bpp_lr = (coded pixels / LR pixels) × bpp_coded holds exactly, so the ratio of two bpp_lr is exactly the ratio of
    their paddings times the ratio of their bits per coded pixel. Values that both factors have of the same sequences
    are averaged in the logarithm, which keeps the product exact.
    """
    sentences = []
    streams = sweep.streams
    for (label, mode), members in _grouped(points(sweep, rows), lambda point: (point.label, point.mode)):
        by_scale = {
            scale: {point.value: point for point in same} for (scale,), same in _grouped(members, lambda p: (p.scale,))
        }
        for small, large in zip(sorted(by_scale), sorted(by_scale)[1:], strict=False):
            common = [
                value
                for value in sorted(by_scale[small].keys() & by_scale[large].keys())
                if sequences_of(sweep, by_scale[small][value]) == sequences_of(sweep, by_scale[large][value])
            ]
            if not common:
                continue
            lr, coded = (_mean_ratio(sweep, by_scale[large], by_scale[small], common, area) for area in ("lr", "coded"))
            row = int(by_scale[large][common[0]].rows[0])
            width, height, coded_width, coded_height = (int(streams[name][row]) for name in _SIDES)
            sentences.append(
                f"{label}, s = {large} against s = {small} ({mode} {_span(common, 'g')}): {lr:.2f} × the bits per "
                f"transmitted pixel = {lr / coded:.2f} × by padding ({width}×{height} is coded as "
                f"{coded_width}×{coded_height}) × {coded:.2f} per coded pixel."
            )
    return sentences


def _mean_ratio(
    sweep: Sweep, upper: dict[float, Point], lower: dict[float, Point], values: Sequence[float], area: str
) -> float:
    """Geometric mean, over operating values, of the ratio of two factors' bits per pixel."""
    logs = [np.log(pooled_bpp(sweep, upper[v], area) / pooled_bpp(sweep, lower[v], area)) for v in values]
    return float(np.exp(np.mean(logs)))


def to_csv(rows: Rows) -> str:
    """A table as CSV with a header."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(rows[0])
    writer.writerows(rows[1])
    return text.getvalue()


def to_markdown(rows: Rows) -> str:
    """A table in Markdown."""
    header, lines = rows
    written = [header, ["---"] * len(header), *lines]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in written)


def _grouped(items: Sequence[Point], key: Any) -> Iterator[tuple[Any, list[Point]]]:
    groups: dict[Any, list[Point]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    yield from groups.items()


def _span(values: Sequence[float] | npt.NDArray[Any], form: str) -> str:
    finite = np.asarray(values, float)
    finite = finite[~np.isnan(finite)]
    if not finite.size:
        return "–"
    low, high = f"{finite.min():{form}}", f"{finite.max():{form}}"
    return low if low == high else f"{low}–{high}"
