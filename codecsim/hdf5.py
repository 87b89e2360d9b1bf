"""HDF5 files of ours: written whole or not at all, and read without trust."""

import contextlib
import io
import math
import mmap
import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from codecsim.atomic import replacing
from codecsim.errors import StoreError
from codecsim.object_headers import ObjectHeaders

DAMAGE = (OSError, RuntimeError, LookupError, ValueError, TypeError, OverflowError)
"""What h5py raises when it meets damage."""

_MAX_CHUNK_BYTES = 2**26
_MAX_COMPRESSION = 1100
"""Most bytes that one stored byte can stand for: deflate reaches 1032."""
_HEAP = b"GCOL\1"
_HEAP_HEADER_BYTES = 16
"""Of a heap, and of each object in it."""

_FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32}


@contextlib.contextmanager
def replacing_hdf5(path: Path, *, track_order: bool = False) -> Iterator[tuple[h5py.File, Callable[[], None]]]:
    """Yield an HDF5 file to fill, which appears at `path` as with `replacing`, and a function to call now and then.

    HDF5 must not learn of a full disk: its error comes up as OSError or RuntimeError, in a call, in a destructor or
    while the file is closed, and the process dies of SIGSEGV when it exits. So the first error is kept here while HDF5
    goes on writing into the void; the function raises it, and so does the end of the context.

    Raises
    ------
    StoreError
        As `replacing`.
    """
    with replacing(path) as temporary, _Sink(temporary) as sink:
        try:
            with h5py.File(sink, "w", libver="v110", track_order=track_order) as file:
                yield file, sink.check
        except Exception:
            sink.check()
            raise
        sink.check()


def open_hdf5(path: Path, schema: str, version: int, what: str) -> h5py.File:
    """Open an HDF5 file of ours to read, after its schema was checked.

    Raises
    ------
    StoreError
        If the file is missing, is not HDF5, is damaged, or is of another schema or schema version.
    """
    if path.is_dir():
        raise StoreError(f"{path}: a folder; a {what} file is needed")
    try:
        file = opened(path)
    except (FileNotFoundError, NotADirectoryError):
        raise StoreError(f"{path}: no such file; a {what} file is needed") from None
    except OSError as error:
        if path.is_file() and not h5py.is_hdf5(path):
            raise StoreError(f"{path}: no HDF5 file, or its start is damaged; a {what} file is needed") from error
        reason = re.search(r"\(([^(),\n]+)", str(error))
        raise StoreError(f"{path}: not a {what} file, or damaged ({reason[1] if reason else error})") from error
    except DAMAGE as error:
        raise StoreError(f"{path}: not a {what} file, or damaged ({error})") from error
    try:
        found = text(attribute(file, "schema", "None")), str(attribute(file, "schema_version", "None"))
    except DAMAGE as error:
        file.close()
        raise StoreError(f"{path}: not a {what} file, or damaged ({error})") from error
    if found[0] != schema:
        file.close()
        raise StoreError(f"{path}: not a {what} file: its schema is {found[0]!r}, {schema!r} is needed")
    if found[1] != str(version):
        file.close()
        raise StoreError(
            f"{path}: {what} of schema version {found[1]}, this codecsim reads version {version}; "
            "open it with the codecsim that wrote it, or make it again"
        )
    return file


def opened(path: Path) -> h5py.File:
    """Open any HDF5 file to read, after its root group was looked at; raises what is in `DAMAGE`."""
    file = _File(path, "r")
    try:
        file.headers = ObjectHeaders.of(file.id)
        file.headers.check_root()
    except BaseException:
        file.close()
        raise
    return file


def is_hdf5(path: Path) -> bool:
    """Whether `path` begins as an HDF5 file."""
    return path.is_file() and bool(h5py.is_hdf5(path))


def put_attributes(node: h5py.Group | h5py.Dataset, attributes: Mapping[str, str | int | float]) -> None:
    """Set attributes, text at a fixed length: such text lies in the header, which has a checksum.

    Text of variable length lies in a heap without one, and HDF5 2.0 reads a damaged heap for ever.
    """
    for name, value in attributes.items():
        if isinstance(value, str):
            text = value.encode("utf-8", "surrogateescape")
            node.attrs.create(name, text, dtype=h5py.string_dtype("utf-8", max(1, len(text))))
        else:
            node.attrs[name] = value


def is_name(name: str) -> bool:
    """Whether HDF5 can have a member of this name."""
    return name not in ("", ".", "..") and name.encode("utf-8", "replace").translate(None, b"/\0").decode() == name


def text(value: object) -> str:
    """An attribute as str: of fixed length it comes as bytes."""
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)


def attribute(node: h5py.Group | h5py.Dataset, name: str, default: str | None = None) -> Any:
    """An attribute, text as `text` gives it.

    What we write, text of a fixed length and numbers, is read in less than half the time that ``node.attrs[name]``
    takes: corpora of stills have a hundred thousand of them.

    Raises
    ------
    KeyError
        If there is none of this name, and no default.
    ValueError
        As `check_heaps`, where it is of variable length.
    """
    try:
        found = h5py.h5a.open(node.id, name.encode())
    except KeyError:
        if default is None:
            raise
        return default
    kind = found.get_type()
    if isinstance(kind, h5py.h5t.TypeStringID):
        is_text, plain = True, None if kind.is_variable_str() else f"S{kind.get_size()}"
    else:
        is_text, plain = False, kind.dtype if isinstance(kind, h5py.h5t.TypeFloatID) else None
    if plain is None and not isinstance(kind, h5py.h5t.TypeIntegerID):
        check_heaps(node.file)
    if plain is None or found.get_space().get_simple_extent_npoints() != 1:
        value = node.attrs[name]
    else:
        held = np.empty((), plain)
        found.read(held, kind)
        value = held.item()
    return text(value) if is_text else value


def check_heaps(file: h5py.File) -> None:
    """Refuse a file that HDF5 would read for ever; to be called before anything of variable length is read.

    Text of variable length lies in heaps of many objects. HDF5 2.0 goes from one to the next by their sizes, and stays
    where it is when free space claims to have none.

    Raises
    ------
    ValueError
        If the file has such a heap, or heaps in another layout than that which HDF5 writes by default.

    Source
    ------
    HDF5 File Format Specification 3.0, III.E, Global Heap.
    """
    path = Path(file.filename)
    known = path.stat()
    if file.id.get_create_plist().get_sizes() != (8, 8) or not _has_good_heaps(path, known.st_size, known.st_mtime_ns):
        raise ValueError("text of variable length in a damaged heap")


@lru_cache(maxsize=16)
def _has_good_heaps(path: Path, n_bytes: int, _: int) -> bool:
    """Whether every object of every heap in a file of this size and time leads on to the next."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        heap = data.find(_HEAP)
        while heap >= 0:
            at = heap + _HEAP_HEADER_BYTES
            end = min(n_bytes, heap + int.from_bytes(data[heap + 8 : at], "little"))
            while at + _HEAP_HEADER_BYTES <= end:
                index = int.from_bytes(data[at : at + 2], "little")
                size = int.from_bytes(data[at + 8 : at + 16], "little")
                step = _HEAP_HEADER_BYTES + (size + 7 & ~7) if index else size
                if not _HEAP_HEADER_BYTES <= step < 2**63:
                    return False
                at += step
            heap = data.find(_HEAP, heap + 1)
    return True


def member(group: object, name: str) -> Any:
    """What `group` holds itself under `name`: None for paths and for links, which may lead into any other file.

    Raises
    ------
    ValueError, OSError, OverflowError
        As `ObjectHeaders.check`: HDF5 would not survive to open it.
    """
    if not isinstance(group, h5py.Group) or not is_name(name):
        return None
    links, key = group.id.links, name.encode()
    if not links.exists(key) or (link := links.get_info(key)).type != h5py.h5l.TYPE_HARD:
        return None
    headers = group.headers if isinstance(group, _File | _Group) else ObjectHeaders.of(h5py.h5i.get_file_id(group.id))
    headers.check(link.u)
    found = h5py.h5o.open(group.id, key)
    if isinstance(found, h5py.h5d.DatasetID):
        return h5py.Dataset(found, readonly=True)
    return _Group(found, headers) if isinstance(found, h5py.h5g.GroupID) else None


class _File(h5py.File):  # type: ignore[misc]  # h5py has no types
    """A file whose headers are known: to find them takes longer than to look at one."""

    headers: ObjectHeaders


class _Group(h5py.Group):  # type: ignore[misc]
    """A group of such a file."""

    def __init__(self, bound: h5py.h5g.GroupID, headers: ObjectHeaders) -> None:
        super().__init__(bound)
        self.headers = headers


def members(group: h5py.Group) -> list[str]:
    """Names of all that a group holds.

    Raises
    ------
    ValueError
        If one of them is no UTF-8: h5py gives it as bytes.
    """
    names = list(group)
    if not all(isinstance(name, str) for name in names):
        raise ValueError("a name that is not UTF-8")
    return names


def is_stored(dataset: object) -> bool:
    """Whether this is a dataset that lies in its own file, and holds no less than it claims, so that it can be read.

    A dataset that only declares a huge shape, refers to other files, or unpacks without bound would take all memory.
    """
    if not isinstance(dataset, h5py.Dataset) or dataset.shape is None:
        return False
    plan, item_bytes = dataset.id.get_create_plist(), dataset.dtype.itemsize
    layout = plan.get_layout()
    if layout == h5py.h5d.VIRTUAL or plan.get_external_count():
        return False
    filters = [plan.get_filter(i)[0] for i in range(plan.get_nfilters())]
    chunk = plan.get_chunk() if layout == h5py.h5d.CHUNKED else ()
    return (
        _FILTERS.issuperset(filters)
        and filters.count(h5py.h5z.FILTER_DEFLATE) <= 1
        and item_bytes * math.prod(chunk) <= _MAX_CHUNK_BYTES
        and item_bytes * math.prod(dataset.shape) <= _MAX_COMPRESSION * dataset.id.get_storage_size()
    )


class _Sink(io.FileIO):
    """A file that claims to take every byte, and keeps the first error."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "w+")
        self._error: OSError | None = None

    def check(self) -> None:
        """Raise the error that was kept, if there is one."""
        if self._error is not None:
            raise self._error

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        with self._keeping():
            written = 0
            while written < len(view):
                written += super().write(view[written:])
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        with self._keeping():
            return super().truncate(size)
        return size or 0

    @contextlib.contextmanager
    def _keeping(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._error = self._error or error
