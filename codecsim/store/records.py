"""Records: rows of a sweep in memory, and how they become an HDF5 file."""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import h5py
import numpy as np
import numpy.typing as npt

from codecsim.channel import INTACT
from codecsim.hdf5 import put_attributes, replacing_hdf5
from codecsim.store.schema import (
    PACKET_COLUMNS,
    PREDICTION_COLUMNS,
    SCHEMA,
    SCHEMA_VERSION,
    STREAM_COLUMNS,
    Column,
    storage_dtype,
)

_ROWS_A_CHUNK = 16_384
_BYTES_A_CHUNK = 2**15
_BUFFER_BYTES = 2**22


@dataclass(frozen=True, slots=True)
class Records:
    """Some streams with their packets and bytes.

    Attributes
    ----------
    streams : column name to shape=(n_streams,)
    packets : column name to shape=(n_packets,)
    bitstream : uint8, all elementary streams end to end
    """

    streams: Mapping[str, npt.NDArray[np.generic]]
    packets: Mapping[str, npt.NDArray[np.generic]]
    bitstream: npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Series:
    """What one network told of the frames of one stream, or what a corpus says of them: a number a frame.

    The fields are those of `PREDICTION_COLUMNS`.
    """

    sequence: str
    key: str
    scale: int
    method: str
    label: str
    seed: int
    weights: str
    precision: str
    delay_seconds: float
    every: int
    values: npt.NDArray[np.float32]
    loss: float = INTACT.loss
    burst: float = INTACT.burst
    loss_seed: int = INTACT.seed
    n_concealed: int = 0
    n_damaged: int = 0


def column_array(column: Column, values: Sequence[object]) -> npt.NDArray[np.generic]:
    """A column of `values` in the type that it is stored in."""
    if column.dtype == "text":
        return np.array([str(value).encode() for value in values], dtype=np.bytes_)
    return np.array(values, dtype=column.dtype)


def write_part(path: Path, records: Records) -> None:
    """Write a part: it appears at `path` whole, or not at all."""
    with SweepWriter(path) as writer:
        writer.streams(records.streams)
        writer.append(records.packets, records.bitstream)


def write_predictions(path: Path, series: Sequence[Series]) -> None:
    """Write a part that holds predictions alone."""
    lengths = np.array([len(each.values) for each in series], np.int64)
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    known = {"n_values": lengths, "offset": starts}
    columns = {
        column.name: known[column.name]
        if column.name in known
        else column_array(column, [getattr(each, column.name) for each in series])
        for column in PREDICTION_COLUMNS
    }
    with SweepWriter(path) as writer:
        writer.streams({column.name: column_array(column, []) for column in STREAM_COLUMNS})
        writer.predictions(columns)
        writer.append_predicted(np.concatenate([each.values for each in series]))


class SweepWriter:
    """Writes a sweep file front to back: the stream columns at once, packets and bytes in pieces, in bounded memory.

    The file appears at `path` whole, when the context ends without an error.

    Parameters
    ----------
    path : where the file is to stand
    attributes : root attributes, stored as JSON
    """

    def __init__(self, path: Path, attributes: Mapping[str, object] | None = None) -> None:
        self._path = path
        self._attributes = dict(attributes or {})
        self._predicted: _Appender | None = None

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._file, self._check_disk = stack.enter_context(replacing_hdf5(self._path))
            put_attributes(self._file, {"schema": SCHEMA, "schema_version": SCHEMA_VERSION})
            put_attributes(
                self._file, {name: json.dumps(value, sort_keys=True) for name, value in self._attributes.items()}
            )
            self._packets = {
                column.name: self._appender(f"packets/{column.name}", storage_dtype(column), _ROWS_A_CHUNK)
                for column in PACKET_COLUMNS
            }
            self._bitstream = self._appender("bitstream", np.dtype(np.uint8), _BYTES_A_CHUNK, compressed=False)
            stack.push(self._flush)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return self._stack.__exit__(kind, error, trace)

    def streams(self, streams: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Write all columns of /streams."""
        self._table("streams", STREAM_COLUMNS, streams)

    def predictions(self, predictions: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Write all columns of /predictions; the numbers themselves are appended."""
        self._table("predictions", PREDICTION_COLUMNS, predictions)
        self._predicted = self._appender("predicted", np.dtype(np.float32), _BYTES_A_CHUNK)

    def append_predicted(self, values: npt.NDArray[np.float32]) -> None:
        """Append numbers to /predicted."""
        assert self._predicted is not None
        self._predicted.append(values)

    def features(self, name: str, values: npt.NDArray[np.float32]) -> None:
        """Write a vector-valued measure, shape=(n_streams, length), where any of it is known."""
        if not np.isnan(values).all():
            self._file.create_dataset(f"features/{name}", data=values, chunks=True, compression="gzip")

    def append(self, packets: Mapping[str, npt.NDArray[np.generic]], bitstream: npt.NDArray[np.uint8]) -> None:
        """Append rows to /packets and bytes to /bitstream."""
        for name, appender in self._packets.items():
            appender.append(packets[name])
        self._bitstream.append(bitstream)

    def _table(self, group: str, columns: Sequence[Column], values: Mapping[str, npt.NDArray[np.generic]]) -> None:
        for column in columns:
            held = values[column.name]
            if column.dtype == "text":
                held = held.astype(h5py.string_dtype("utf-8", max(1, held.dtype.itemsize)))
            self._file.create_dataset(f"{group}/{column.name}", data=held)

    def _flush(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            for appender in (*self._packets.values(), self._bitstream, self._predicted):
                if appender is not None:
                    appender.flush()

    def _appender(self, name: str, dtype: np.dtype[np.generic], chunk: int, *, compressed: bool = True) -> "_Appender":
        filters = {"compression": "gzip", "compression_opts": 1, "shuffle": True} if compressed else {}
        dataset = self._file.create_dataset(
            name, shape=(0,), maxshape=(None,), chunks=(chunk,), dtype=dtype, fletcher32=True, **filters
        )
        return _Appender(dataset, self._check_disk)


class _Appender:
    """One growing dataset; small pieces are gathered before they are written. Each chunk carries a checksum."""

    def __init__(self, dataset: h5py.Dataset, check_disk: Callable[[], None]) -> None:
        self._dataset = dataset
        self._check_disk = check_disk
        self._pieces: list[npt.NDArray[np.generic]] = []
        self._pending = 0

    def append(self, piece: npt.NDArray[np.generic]) -> None:
        self._pieces.append(piece)
        self._pending += piece.nbytes
        if self._pending >= _BUFFER_BYTES:
            self.flush()

    def flush(self) -> None:
        if not self._pieces:
            return
        block = np.concatenate(self._pieces)
        start = self._dataset.shape[0]
        self._dataset.resize(start + len(block), axis=0)
        self._dataset[start:] = block
        self._pieces.clear()
        self._pending = 0
        self._check_disk()
