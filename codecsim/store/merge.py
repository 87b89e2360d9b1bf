"""Parts: what finished batches leave beside OUT, and how they become OUT.

A batch of jobs writes one part into the folder ``OUT.parts``, under another name, flushed, synced and renamed. At the
end the parts and what OUT already held become the new OUT in the same way. A kill at any moment therefore loses the
batches in flight and nothing else.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from codecsim.errors import StoreError
from codecsim.store.records import SweepWriter
from codecsim.store.schema import FEATURES
from codecsim.store.sweep import Sweep, Table

_COPY_BYTES = 2**26
_OPEN_FILES = 16
"""Rows of a sequence lie in a few parts, by turns: opening one takes as long as copying a thousand rows."""

_ORDER = ("sequence", "codec", "options", "mode", "scale")
_JOB = ("key", "sequence")
_PREDICTION = ("sequence", "method", "label", "seed", "scale", "key", "loss", "burst", "loss_seed")
"""What tells rows apart."""

_VALUES = ("qp_requested", "crf_requested", "bitrate_kbps_requested")


@dataclass(frozen=True, slots=True)
class Finished:
    """What is already there: (sequence, key) of every finished job, and parts that could not be read."""

    jobs: frozenset[tuple[str, str]]
    damaged: tuple[Path, ...]


def finished_jobs(out: Path, folder: Path) -> Finished:
    """Look up what `out` and the parts in `folder` hold. A part that cannot be read is set aside as NAME.damaged."""
    jobs: set[tuple[str, str]] = set()
    damaged = []
    for path in ([out] if out.exists() else []) + part_files(folder):
        try:
            with Sweep(path) as sweep:
                found = set(zip(sweep.column("sequence").tolist(), sweep.column("key").tolist(), strict=True))
                if path != out:
                    _read_through(sweep)
        except StoreError:
            if path == out:
                raise
            aside = path.with_suffix(".damaged")
            path.rename(aside)
            damaged.append(aside)
        else:
            jobs |= found
    return Finished(frozenset(jobs), tuple(damaged))


def _read_through(part: Sweep) -> None:
    """Read all of a part, so that its checksums are compared: what is damaged must not be met while merging."""
    part.raw_streams()
    part.packets_between(0, part.n_packets)
    part.bytes_between(0, part.n_bytes)
    told = part.raw_predictions()
    part.predicted_between(0, int(told["n_values"].sum()))


def part_files(folder: Path) -> list[Path]:
    """The parts in `folder`, oldest first."""
    return sorted(folder.glob("*.h5"), key=lambda path: (path.stat().st_mtime_ns, path.name))


def merge(out: Path, folder: Path, attributes: Mapping[str, object]) -> int:
    """Make `out` of what it held and of the parts in `folder`, then remove these. Returns its number of streams.

    Rows are ordered by sequence, codec, options, mode, factor and operating value; predictions by sequence, method,
    label, seed, factor, key and channel. Where a job, or a prediction, stands twice, the newer row is kept.
    """
    parts = part_files(folder)
    sources = ([out] if out.exists() else []) + parts
    tables, told = zip(*(_tables(path) for path in sources), strict=True)
    for name in {name for table in tables for name in FEATURES if name in table}:
        for table in tables:
            table.setdefault(name, np.full((len(table["key"]), FEATURES[name]), np.nan, np.float32))
    streams, predictions = _Rows.of(tables), _Rows.of(told)
    streams = streams.take(_order(streams.columns, _newest(streams.columns, _JOB)))
    newest = _newest(predictions.columns, _PREDICTION)
    keys = [predictions.columns[name][newest] for name in reversed(_PREDICTION)]
    predictions = predictions.take(newest[np.lexsort(keys)])
    features = {name: streams.columns.pop(name) for name in FEATURES if name in streams.columns}
    _write(out, attributes, streams, features, predictions, sources=sources)
    for part in parts:
        part.unlink()
    return len(streams.source)


def update_measures(out: Path, found: Mapping[int, Mapping[str, npt.NDArray[np.float64]]]) -> None:
    """Fill in measures of some rows of `out`, on a copy that then takes its place.

    Parameters
    ----------
    out : sweep file
    found : row → measure → value, shape=(1,) for a column and (length,) for a feature
    """
    with Sweep(out) as sweep:
        rows, told = sweep.raw_streams(), sweep.raw_predictions()
        features = {name: sweep.features(name) for name in FEATURES}
        attributes = sweep.attributes
    for row, measures in found.items():
        for name, value in measures.items():
            if name in features:
                features[name][row] = value
            else:
                rows[name][row] = value[0]
    _write(out, attributes, _Rows.of([rows]), features, _Rows.of([told]), sources=[out])


@dataclass(frozen=True, slots=True)
class _Rows:
    """Rows of a table out of several files.

    Attributes
    ----------
    columns : shape=(n,) or, of a feature, (n, length)
    source : which file each row is from, shape=(n,)
    """

    columns: Table
    source: npt.NDArray[np.intp]

    @classmethod
    def of(cls, tables: Sequence[Table]) -> "_Rows":
        lengths = [len(table["key"]) for table in tables]
        columns = {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}
        return cls(columns, np.repeat(np.arange(len(tables)), lengths))

    def take(self, chosen: npt.NDArray[np.intp]) -> "_Rows":
        return _Rows({name: values[chosen] for name, values in self.columns.items()}, self.source[chosen])


def _write(
    out: Path,
    attributes: Mapping[str, object],
    streams: _Rows,
    features: Mapping[str, npt.NDArray[np.float32]],
    predictions: _Rows,
    *,
    sources: Sequence[Path],
) -> None:
    """Write `out` of rows whose packets, bytes and predicted numbers lie in their sources, where the rows say."""
    rows, told = streams.columns, predictions.columns
    moved = rows | {"offset": _starts(rows["n_bytes"]), "first_packet": _starts(rows["n_packets"])}
    bytes_, packets = _Extent(rows["offset"], rows["n_bytes"], 1), _Extent(rows["first_packet"], rows["n_packets"], 1)
    numbers = _Extent(told["offset"], told["n_values"], told["n_values"].dtype.itemsize)
    with SweepWriter(out, attributes) as writer:
        writer.streams(moved)
        for name, values in features.items():
            writer.features(name, values)
        for sweep, start, stop in _runs(sources, streams.source, bytes_, packets):
            copied = sweep.packets_between(*packets.between(start, stop))
            copied["stream"] = np.repeat(np.arange(start, stop, dtype=np.int32), packets.length[start:stop])
            writer.append(copied, sweep.bytes_between(*bytes_.between(start, stop)))
        if len(predictions.source):
            writer.predictions(told | {"offset": _starts(told["n_values"])})
            for sweep, start, stop in _runs(sources, predictions.source, numbers):
                writer.append_predicted(sweep.predicted_between(*numbers.between(start, stop)))


@dataclass(frozen=True, slots=True)
class _Extent:
    """Where rows lie in a dataset: first item and number of items, shape=(n,), and the bytes of an item."""

    first: npt.NDArray[np.int64]
    length: npt.NDArray[np.int64]
    item_bytes: int

    def between(self, start: int, stop: int) -> tuple[int, int]:
        """First item and end of rows that lie end to end."""
        return int(self.first[start]), int(self.first[stop - 1] + self.length[stop - 1])

    def is_broken(self, row: int) -> bool:
        """Whether `row` does not follow the one before."""
        return bool(self.first[row] != self.first[row - 1] + self.length[row - 1])


def _tables(path: Path) -> tuple[Table, Table]:
    """Columns of the streams with the features that are held, and of the predictions, of one source."""
    with Sweep(path) as sweep:
        return sweep.raw_streams() | sweep.held_features(), sweep.raw_predictions()


def _newest(rows: Table, identity: Sequence[str]) -> npt.NDArray[np.intp]:
    """Indices of the last row of each identity, the columns that tell rows apart."""
    numbers = [np.unique(rows[name], return_inverse=True)[1] for name in identity]
    _, first_of_reversed = np.unique(np.stack(numbers)[:, ::-1], axis=1, return_index=True)
    return np.asarray(len(rows["key"]) - 1 - first_of_reversed)


def _order(rows: Table, kept: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    value = np.nan_to_num(rows[_VALUES[0]])
    for name in _VALUES[1:]:
        value = value + np.nan_to_num(rows[name])
    keys = [rows["key"], value, *(rows[name] for name in reversed(_ORDER))]
    return kept[np.lexsort([key[kept] for key in keys])]


def _starts(lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)[:-1]]).astype(np.int64)


def _runs(sources: Sequence[Path], source: npt.NDArray[np.intp], *extents: _Extent) -> Iterator[tuple[Sweep, int, int]]:
    """Ranges of rows that lie end to end in one source, each up to some 64 MB, so that they are copied at once."""
    opened: dict[int, Sweep] = {}  # least recently used first
    with ExitStack() as stack:
        stack.callback(lambda: _close(opened.values()))
        for start, stop in _ranges(source, extents):
            index = int(source[start])
            if index in opened:
                opened[index] = opened.pop(index)
            else:
                if len(opened) == _OPEN_FILES:
                    opened.pop(next(iter(opened))).close()
                opened[index] = Sweep(sources[index])
            yield opened[index], start, stop


def _close(sweeps: Iterable[Sweep]) -> None:
    for sweep in sweeps:
        sweep.close()


def _ranges(source: npt.NDArray[np.intp], extents: Sequence[_Extent]) -> Iterator[tuple[int, int]]:
    start = copied = 0
    largest = extents[0]
    for row in range(1, len(source) + 1):
        copied += int(largest.length[row - 1]) * largest.item_bytes
        if (
            row == len(source)
            or source[row] != source[row - 1]
            or any(extent.is_broken(row) for extent in extents)
            or copied >= _COPY_BYTES
        ):
            yield start, row
            start, copied = row, 0
