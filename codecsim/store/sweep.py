"""Sweep: the HDF5 file of streams, packets and ledgers, opened to read."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import h5py
import numpy as np
import numpy.typing as npt

from codecsim.errors import StoreError, UsageError
from codecsim.hdf5 import DAMAGE, attribute, is_stored, member, open_hdf5, text
from codecsim.store.schema import (
    FEATURES,
    PACKET_COLUMNS,
    PREDICTION_COLUMNS,
    SCHEMA,
    SCHEMA_VERSION,
    STREAM_COLUMNS,
    Column,
    storage_dtype,
)

Table = dict[str, npt.NDArray[Any]]
_Kind = TypeVar("_Kind", list[Any], dict[str, Any])

_MAX_STREAM_BYTES = 2**31


class Sweep:
    """A sweep file, opened to read. Use it as a context manager.

    Examples
    --------
    >>> with codecsim.open_sweep("results/sweep.h5") as sweep:  # doctest: +SKIP
    ...     table = pandas.DataFrame(sweep.streams)
    ...     table.groupby(["scale", "qp_requested"]).bpp_lr.mean()

    Raises
    ------
    StoreError
        If the file is missing, damaged, not a sweep, or of another schema version.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._file = open_hdf5(self.path, SCHEMA, SCHEMA_VERSION, "sweep")
        self._groups: dict[str, Any] = {}
        self._datasets: dict[str, h5py.Dataset] = {}
        self._columns: Table = {}
        try:
            self._check()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __len__(self) -> int:
        return int(self._datasets["streams/key"].shape[0])

    @property
    def n_bytes(self) -> int:
        """Bytes of all elementary streams."""
        return int(self._datasets["bitstream"].shape[0])

    @property
    def n_packets(self) -> int:
        """Coded frames of all streams."""
        return int(self._datasets["packets/stream"].shape[0])

    @property
    def n_predicted(self) -> int:
        """Numbers of all predictions."""
        return int(self._datasets["predicted"].shape[0]) if "predicted" in self._datasets else 0

    def close(self) -> None:
        """Close the file; what was read stays valid."""
        self._file.close()

    @property
    def grids(self) -> list[dict[str, Any]]:
        """The sweeps that were asked for, oldest first."""
        return self._attribute("grids", list)

    @property
    def digests(self) -> dict[str, set[str]]:
        """SHA-256 of the HR frames of each sequence that was asked for; several where the name stood for several."""
        found: dict[str, set[str]] = {}
        try:
            for grid in self.grids:
                for name, digest in grid["sequences"].items():
                    found.setdefault(name, set()).add(digest)
        except (LookupError, TypeError, AttributeError) as error:
            raise StoreError(f"{self.path}: its attribute 'grids' is damaged ({error!r})") from error
        return found

    @property
    def corpora(self) -> list[str]:
        """Where the corpora lay, seen from the folder of this file."""
        return [str(path) for path in self._attribute("corpora", list)]

    @property
    def attributes(self) -> dict[str, Any]:
        """All of these, as they are written into a file that takes this one's place."""
        return {"grids": self.grids, "versions": self.versions, "corpora": self.corpora}

    @property
    def versions(self) -> dict[str, str]:
        """Versions of codecsim and of the libraries that made the file."""
        return {name: str(version) for name, version in self._attribute("versions", dict).items()}

    @property
    def streams(self) -> Table:
        """All columns, a row a stream; text as str. ``pandas.DataFrame(sweep.streams)`` is the whole table."""
        return {column.name: self.column(column.name) for column in STREAM_COLUMNS}

    def column(self, name: str) -> npt.NDArray[Any]:
        """One column of /streams, shape=(n_streams,); read once."""
        if name not in self._columns:
            self._columns[name] = self._decoded(name)
        return self._columns[name]

    def _decoded(self, name: str) -> npt.NDArray[Any]:
        column = _column_of(name, STREAM_COLUMNS)
        return self._text(self._raw("streams", column), f"/streams/{name}")

    def _text(self, values: npt.NDArray[Any], name: str) -> npt.NDArray[Any]:
        try:
            return np.char.decode(values, "utf-8") if values.dtype.kind == "S" else values
        except UnicodeDecodeError as error:
            raise StoreError(f"{self.path}: {name} is damaged ({error})") from error

    def raw_streams(self) -> Table:
        """All columns as they are stored: text as UTF-8 bytes."""
        return {column.name: self._raw("streams", column) for column in STREAM_COLUMNS}

    def features(self, name: str) -> npt.NDArray[np.float32]:
        """A vector-valued measure, shape=(n_streams, length); NaN where it was not asked for."""
        if name not in FEATURES:
            raise UsageError(f"no feature {name!r}; there are: {', '.join(FEATURES)}")
        shape = len(self), FEATURES[name]
        held = self._group("features")
        if held is None or name not in held:
            return np.full(shape, np.nan, np.float32)
        dataset = self._opened(f"features/{name}", Column(name, "float32", ""))
        if dataset.shape != shape:
            raise StoreError(f"{self.path}: /features/{name} is {dataset.shape}, not {shape}; the file is damaged")
        return self._read(dataset)

    def held_features(self) -> Table:
        """The vector-valued measures that the file holds, by name, as `features` gives them."""
        return {name: self.features(name) for name in FEATURES if self._names("features", name)}

    @property
    def predictions(self) -> Table:
        """All columns of /predictions, a row a series of numbers; text as str. Without rows where nothing was told."""
        return {name: self._text(values, f"/predictions/{name}") for name, values in self.raw_predictions().items()}

    def raw_predictions(self) -> Table:
        """The columns of /predictions as they are stored: text as UTF-8 bytes."""
        if "predicted" not in self._datasets:
            return {column.name: np.empty(0, storage_dtype(column)) for column in PREDICTION_COLUMNS}
        return {column.name: self._raw("predictions", column) for column in PREDICTION_COLUMNS}

    def predicted_between(self, start: int, stop: int) -> npt.NDArray[np.float32]:
        """Numbers `start` (inclusive) to `stop` (exclusive) of /predicted."""
        held = self.n_predicted
        if not 0 <= start <= stop <= held:
            raise StoreError(f"{self.path}: predictions {start} to {stop} lie outside the {held} that it holds")
        return self._read(self._datasets["predicted"], slice(start, stop)) if held else np.empty(0, np.float32)

    def bitstream(self, row: int) -> bytes:
        """The elementary stream of one row."""
        offset, n_bytes = int(self.column("offset")[row]), int(self.column("n_bytes")[row])
        return self.bytes_between(offset, offset + n_bytes).tobytes()

    def bytes_between(self, start: int, stop: int) -> npt.NDArray[np.uint8]:
        """Bytes `start` (inclusive) to `stop` (exclusive) of /bitstream."""
        dataset = self._datasets["bitstream"]
        if not 0 <= start <= stop <= dataset.shape[0] or stop - start > _MAX_STREAM_BYTES:
            raise StoreError(f"{self.path}: bytes {start} to {stop} lie outside the {dataset.shape[0]} that it holds")
        return self._read(dataset, slice(start, stop))

    def packet_table(self, row: int) -> Table:
        """Columns of /packets for one stream, in decoding order."""
        return self.packets_between(*self._packet_extent(row))

    def packet_column(self, row: int, name: str) -> npt.NDArray[Any]:
        """One column of /packets for one stream, in decoding order: shape=(n_packets,)."""
        column = _column_of(name, PACKET_COLUMNS)
        return self._packet_columns([column], *self._packet_extent(row))[name]

    def packets_between(self, start: int, stop: int) -> Table:
        """Rows `start` (inclusive) to `stop` (exclusive) of /packets."""
        return self._packet_columns(PACKET_COLUMNS, start, stop)

    def _packet_extent(self, row: int) -> tuple[int, int]:
        first = int(self.column("first_packet")[row])
        return first, first + int(self.column("n_packets")[row])

    def _packet_columns(self, columns: Iterable[Column], start: int, stop: int) -> Table:
        length = self.n_packets
        if not 0 <= start <= stop <= length:
            raise StoreError(f"{self.path}: packets {start} to {stop} lie outside the {length} that it holds")
        return {
            column.name: self._read(self._datasets[f"packets/{column.name}"], slice(start, stop)) for column in columns
        }

    def packets(self, row: int) -> list[bytes]:
        """Elementary-stream bytes of each coded frame of one stream, in decoding order."""
        sizes = self.packet_column(row, "n_bytes").astype(np.int64)
        data = self.bitstream(row)
        if (sizes < 0).any() or sizes.sum() != len(data):
            raise StoreError(
                f"{self.path}: the packets of stream {row} hold {sizes.sum()} bytes, the stream {len(data)}"
            )
        ends = np.cumsum(sizes)
        return [data[end - size : end] for end, size in zip(ends, sizes, strict=True)]

    def name(self, row: int) -> str:
        """Short name of a stream: SEQUENCE/CODEC/s3/qp24."""
        sequence, codec, scale, mode = (self.column(name)[row] for name in ("sequence", "codec", "scale", "mode"))
        value = self.column(_VALUE_COLUMNS[mode])[row] if mode in _VALUE_COLUMNS else float("nan")
        return f"{sequence}/{codec}/s{scale}/{mode}{value:g}"

    def find(self, text: str) -> list[int]:
        """Rows that `text` names: a row number, the start of a key (6 digits or more), or a name or parts of it.

        Parts are separated by "/" and match whole parts of the name: "s3/qp24", "carphone/s3", "x264".
        """
        if text.isdigit() and int(text) < len(self):
            return [int(text)]
        keys = self.column("key")
        if len(text) >= 6 and (rows := np.flatnonzero(np.char.startswith(keys, text))).size:
            return [int(row) for row in rows]
        wanted = text.split("/")
        return [row for row in range(len(self)) if set(wanted) <= set(self.name(row).split("/"))]

    def one(self, text: str) -> int:
        """The single row that `text` names; `UsageError` where there is none, or more than one."""
        rows = self.find(text)
        if len(rows) == 1:
            return rows[0]
        if not rows:
            shown = self.name(0) if len(self) else "none: it is empty"
            raise UsageError(f"{self.path}: no stream {text!r}; name one by its row, key or name, such as {shown}")
        shown = ", ".join(f"{row} = {self.name(row)}" for row in rows[:4]) + (", …" if len(rows) > 4 else "")
        raise UsageError(f"{self.path}: {len(rows)} streams are meant by {text!r} ({shown}); say which, by row or key")

    def _attribute(self, name: str, kind: type[_Kind]) -> _Kind:
        """A root attribute, JSON of this kind; an empty one where the file has none."""
        try:
            value = json.loads(text(attribute(self._file, name))) if name in self._file.attrs else kind()
        except DAMAGE as error:
            raise StoreError(f"{self.path}: its attribute {name!r} is damaged ({error})") from error
        if not isinstance(value, kind):
            raise StoreError(
                f"{self.path}: its attribute {name!r} is damaged (a {type(value).__name__}, not a {kind.__name__})"
            )
        return value

    def _check(self) -> None:
        groups = {"streams": STREAM_COLUMNS, "packets": PACKET_COLUMNS}
        if "predictions" in self._file or "predicted" in self._file:
            groups["predictions"] = PREDICTION_COLUMNS
            self._opened("predicted", Column("predicted", "float32", ""))
        for group, columns in groups.items():
            held = [column for column in columns if column.default is None or self._names(group, column.name)]
            lengths = {self._opened(f"{group}/{column.name}", column).shape for column in held}
            if len(lengths) != 1 or len(next(iter(lengths))) != 1:
                raise StoreError(f"{self.path}: the columns of /{group} have different lengths; the file is damaged")
        self._opened("bitstream", Column("bitstream", "uint8", ""))

    def _names(self, group: str, name: str) -> bool:
        """Whether anything stands under a name, be it a link; also where that cannot be told."""
        try:
            held = self._group(group)
            return isinstance(held, h5py.Group) and held.id.links.exists(name.encode())
        except DAMAGE:
            return True

    def _group(self, name: str) -> Any:
        """A group of the file, which "" stands for, opened once: opening takes as long as looking into it."""
        if name not in self._groups:
            self._groups[name] = member(self._file, name) if name else self._file
        return self._groups[name]

    def _opened(self, name: str, column: Column) -> h5py.Dataset:
        """A dataset of this very file, of the type of `column`, that claims no more than it can hold."""
        group, _, last = name.rpartition("/")
        try:
            dataset = member(self._group(group), last)
            fits = is_stored(dataset) and dataset.dtype.kind == np.dtype(storage_dtype(column)).kind
        except DAMAGE:
            fits = False
        if not fits:
            raise StoreError(f"{self.path}: /{name} is missing or of another type; the file is damaged, or not ours")
        self._datasets[name] = dataset
        return self._datasets[name]

    def _raw(self, group: str, column: Column) -> npt.NDArray[Any]:
        """A column as it is stored, or its default where the file is older than the column."""
        dataset = self._datasets.get(f"{group}/{column.name}")
        if dataset is not None:
            return self._read(dataset)
        return np.full(self._datasets[f"{group}/key"].shape, column.default, storage_dtype(column))

    def _read(self, dataset: h5py.Dataset, rows: slice = slice(None)) -> npt.NDArray[Any]:
        try:
            return np.asarray(dataset[rows])
        except DAMAGE as error:
            raise StoreError(f"{self.path}: {dataset.name} is damaged ({error})") from error


def _column_of(name: str, columns: Sequence[Column]) -> Column:
    """The column of this name; `UsageError` where there is none."""
    for column in columns:
        if column.name == name:
            return column
    raise UsageError(f"no column {name!r}; there are: {', '.join(column.name for column in columns)}")


_VALUE_COLUMNS = {"qp": "qp_requested", "crf": "crf_requested", "bitrate": "bitrate_kbps_requested"}


def value_column(mode: str) -> str:
    """Name of the column that holds the operating value of a rate-control mode; `StoreError` where it is none."""
    if mode not in _VALUE_COLUMNS:
        raise StoreError(
            f"rate-control mode {mode!r} in a sweep file; there are {', '.join(_VALUE_COLUMNS)}: the file is damaged, "
            "or of a newer codecsim"
        )
    return _VALUE_COLUMNS[mode]


def open_sweep(path: str | Path) -> Sweep:
    """Open a sweep file to read; see `Sweep`."""
    return Sweep(path)
