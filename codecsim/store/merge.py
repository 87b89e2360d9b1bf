"""Parts: what finished batches leave beside OUT, and how they become OUT.

A batch of jobs writes one part into the folder ``OUT.parts``, under another name, flushed, synced and renamed. At the
end the parts and what OUT already held become the new OUT in the same way. A kill at any moment therefore loses the
batches in flight and nothing else.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import numpy.typing as npt

from codecsim.errors import StoreError
from codecsim.store.records import SweepWriter
from codecsim.store.schema import FEATURES
from codecsim.store.sweep import Sweep, Table

_COPY_BYTES = 2**26
_ORDER = ("sequence", "codec", "options", "mode", "scale")
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


def part_files(folder: Path) -> list[Path]:
    """The parts in `folder`, oldest first."""
    return sorted(folder.glob("*.h5"), key=lambda path: (path.stat().st_mtime_ns, path.name))


def merge(out: Path, folder: Path, attributes: Mapping[str, object]) -> int:
    """Make `out` of what it held and of the parts in `folder`, then remove these. Returns its number of streams.

    Rows are ordered by sequence, codec, options, mode, factor and operating value. Where a job stands twice, the
    newer row is kept.
    """
    parts = part_files(folder)
    sources = ([out] if out.exists() else []) + parts
    tables = [_table(path) for path in sources]
    rows = {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}
    source = np.repeat(np.arange(len(tables)), [len(table["key"]) for table in tables])
    order = _order(rows, _newest(rows))
    rows = {name: values[order] for name, values in rows.items()}
    features = {name: rows.pop(name) for name in FEATURES}
    _write(out, attributes, rows, features, sources=sources, source=source[order])
    for part in parts:
        part.unlink()
    return len(order)


def update_measures(out: Path, found: Mapping[int, Mapping[str, npt.NDArray[np.float64]]]) -> None:
    """Fill in measures of some rows of `out`, on a copy that then takes its place.

    Parameters
    ----------
    out : sweep file
    found : row → measure → value, shape=(1,) for a column and (length,) for a feature
    """
    with Sweep(out) as sweep:
        rows = sweep.raw_streams()
        features = {name: sweep.features(name) for name in FEATURES}
        attributes = {"grids": sweep.grids, "versions": sweep.versions}
    for row, measures in found.items():
        for name, value in measures.items():
            if name in features:
                features[name][row] = value
            else:
                rows[name][row] = value[0]
    _write(out, attributes, rows, features, sources=[out], source=np.zeros(len(rows["key"]), np.intp))


def _write(
    out: Path,
    attributes: Mapping[str, object],
    rows: Table,
    features: Mapping[str, npt.NDArray[np.float32]],
    *,
    sources: Sequence[Path],
    source: npt.NDArray[np.intp],
) -> None:
    """Write `out` of rows whose packets and bytes lie in `sources[source]`, where the rows say."""
    old_offset, old_packet = rows["offset"], rows["first_packet"]
    rows = rows | {"offset": _starts(rows["n_bytes"]), "first_packet": _starts(rows["n_packets"])}
    with SweepWriter(out, attributes) as writer:
        writer.streams(rows)
        for name, values in features.items():
            writer.features(name, values)
        runs = _runs(source, old_offset, rows["n_bytes"], old_packet, rows["n_packets"])
        for index, same in groupby(runs, key=lambda run: source[run[0]]):
            with Sweep(sources[int(index)]) as sweep:
                for start, stop in same:
                    last, lengths = stop - 1, rows["n_packets"][start:stop]
                    packets = sweep.packets_between(int(old_packet[start]), int(old_packet[last] + lengths[-1]))
                    packets["stream"] = np.repeat(np.arange(start, stop, dtype=np.int32), lengths)
                    end = int(old_offset[last] + rows["n_bytes"][last])
                    writer.append(packets, sweep.bytes_between(int(old_offset[start]), end))


def _table(path: Path) -> Table:
    """Columns and features of one source."""
    with Sweep(path) as sweep:
        return sweep.raw_streams() | {name: sweep.features(name) for name in FEATURES}


def _newest(rows: Table) -> npt.NDArray[np.intp]:
    """Indices of the last row of each (sequence, key)."""
    identity = np.char.add(np.char.add(rows["key"], b"/"), rows["sequence"])
    _, first_of_reversed = np.unique(identity[::-1], return_index=True)
    return np.asarray(len(identity) - 1 - first_of_reversed)


def _order(rows: Table, kept: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    value = np.nan_to_num(rows[_VALUES[0]])
    for name in _VALUES[1:]:
        value = value + np.nan_to_num(rows[name])
    keys = [rows["key"], value, *(rows[name] for name in reversed(_ORDER))]
    return kept[np.lexsort([key[kept] for key in keys])]


def _starts(lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)[:-1]]).astype(np.int64)


def _runs(
    source: npt.NDArray[np.intp],
    offset: npt.NDArray[np.int64],
    n_bytes: npt.NDArray[np.int64],
    packet: npt.NDArray[np.int64],
    n_packets: npt.NDArray[np.int64],
) -> Iterator[tuple[int, int]]:
    """Ranges of rows that lie end to end in one source, each up to some 64 MB, so that they are copied at once."""
    start = copied = 0
    for row in range(1, len(source) + 1):
        copied += int(n_bytes[row - 1])
        if (
            row == len(source)
            or source[row] != source[row - 1]
            or offset[row] != offset[row - 1] + n_bytes[row - 1]
            or packet[row] != packet[row - 1] + n_packets[row - 1]
            or copied >= _COPY_BYTES
        ):
            yield start, row
            start, copied = row, 0
