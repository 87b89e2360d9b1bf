"""Object headers of an HDF5 file, looked at before HDF5 opens what they stand for: some forged ones it survives not.

While HDF5 2.0 opens an object, it follows what the messages in its header refer to: the mapping of a virtual data set,
which lies in a global heap; the names of members of a group in the old format, or of external files, which lie in a
local heap; a type that lies in another object. Where the free space of a heap leads back to itself, HDF5 goes round for
ever, in a local heap until all memory is taken; where a type lies in an object of that very type, or the tree of an old
group's members grows out of itself, its stack overflows. So only groups pass whose heap and tree have an end, and data
sets that say all about themselves and hold their data in this file.

Source
------
HDF5 File Format Specification 3.0: II.A, superblock; III.A.1, B-trees of version 1; III.D, local heaps; IV.A.1, object
headers; IV.A.2, messages.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass

import h5py

_FIRST_BYTES = 512
_MOST_BYTES = 2**20
"""Of one header: a message has 64 kB at most, and more attributes than eight lie elsewhere by default."""

_MOST_CHUNKS = 256
_MOST_FREE = 2**12
"""Blocks of free space in a local heap."""

_MOST_NODES = 2**14
"""Of the tree of an old group: it has some million members by then."""

_DATA_TYPE, _EXTERNAL, _LAYOUT, _ATTRIBUTE, _CONTINUATION, _SYMBOL_TABLE = 0x03, 0x07, 0x08, 0x0C, 0x10, 0x11
_IS_SHARED = 0x02
_LAYOUT_VERSIONS = {1: 2, 2: 2, 3: 1, 4: 1, 5: 1}
"""Where each version of the layout message has the class."""

_LAYOUT_CLASSES = (0, 1, 2)
"""Compact, contiguous, chunked; 3 is virtual."""

_NO_FREE = 1
"""What stands for the end of the free space of a local heap."""


@dataclass(frozen=True, slots=True)
class ObjectHeaders:
    """The object headers of an open file.

    Attributes
    ----------
    descriptor : of the file
    base : where in the file its addresses begin, in bytes
    """

    descriptor: int
    base: int

    @classmethod
    def of(cls, file: h5py.h5f.FileID) -> "ObjectHeaders":
        """The headers of a file that h5py opened in its default way.

        Raises
        ------
        ValueError
            If it is no file on a disk, or its addresses or sizes have other than 8 bytes, as HDF5 writes by default.
        """
        plan = file.get_create_plist()
        if file.get_access_plist().get_driver() != h5py.h5fd.SEC2 or plan.get_sizes() != (8, 8):
            raise ValueError("HDF5 in another layout than the default one")
        return cls(file.get_vfd_handle(), plan.get_userblock())

    def check_root(self) -> None:
        """As `check`, of the root group."""
        version = self._read(8, 1)[0]
        if version > 3:
            raise ValueError(f"a superblock of version {version}")
        self.check(_number(self._read((64, 68, 36, 36)[version], 8), 0))

    def check(self, address: int) -> None:
        """Make sure that HDF5 can open the object whose header lies at `address`.

        Raises
        ------
        ValueError
            If it is a virtual data set, one with external files or of a type that it shares; if its header is damaged,
            longer than 1 MB or of more than 256 chunks; or if the heap or the tree of an old group is damaged.
        OSError, OverflowError
            If the file cannot be read there.
        """
        for kind, flags, data in self._messages(address):
            if flags & _IS_SHARED or (kind == _ATTRIBUTE and len(data) > 1 and data[0] > 1 and data[1]):
                raise ValueError("a header that shares messages with other objects")
            if kind == _EXTERNAL:
                raise ValueError("a data set in external files")
            if kind == _LAYOUT:
                _check_layout(data)
            elif kind == _SYMBOL_TABLE:
                self._check_tree(_number(data, 0))
                self._check_local_heap(_number(data, 8))

    def _messages(self, address: int) -> Iterator[tuple[int, int, bytes]]:
        """Type, flags and data of each message of a header; what continues it is followed, each piece once."""
        first = self._read(address, _FIRST_BYTES, or_less=True)
        is_new = first.startswith(b"OHDR")
        start, n_bytes, has_order = _new_prefix(first) if is_new else _old_prefix(first)
        chunks, n_left = {address + start: n_bytes}, _MOST_BYTES
        waiting = [(address + start, n_bytes)]
        while waiting:
            at, n_bytes = waiting.pop()
            n_left -= n_bytes
            if n_left < 0 or len(chunks) > _MOST_CHUNKS:
                raise ValueError("a header that is too long")
            inside = at == address + start and start + n_bytes <= len(first)
            chunk = first[start : start + n_bytes] if inside else self._read(at, n_bytes)
            for kind, flags, data in _messages_in(chunk, is_new=is_new, has_order=has_order):
                if kind == _CONTINUATION:
                    where, length = _number(data, 0), _number(data, 8)
                    if is_new:
                        if self._read(where, 4) != b"OCHK":
                            raise ValueError("a header that goes on where nothing is")
                        where, length = where + 4, length - 8
                    if length < 0 or where in chunks:
                        raise ValueError("a header that goes on in itself")
                    chunks[where] = length
                    waiting.append((where, length))
                yield kind, flags, data

    def _check_tree(self, root: int) -> None:
        """Visit every node of the tree of an old group once; its leaves' children, lists of members, are no nodes."""
        waiting, seen = [(root, -1)], {root}
        while waiting:
            address, expected = waiting.pop()
            head = self._read(address, 8)
            level, n_children = head[5], head[6] | head[7] << 8
            if not head.startswith(b"TREE\0") or expected not in (-1, level):
                raise ValueError("a tree that is none")
            if level == 0:
                continue
            entries = self._read(address + 24, 16 * n_children + 8)
            children = {_number(entries, 8 + 16 * index) for index in range(n_children)} - seen
            if len(children) < n_children or len(seen) + n_children > _MOST_NODES:
                raise ValueError("a tree that grows out of itself")
            seen |= children
            waiting += [(child, level - 1) for child in children]

    def _check_local_heap(self, address: int) -> None:
        """Follow the free space of a local heap to its end."""
        header = self._read(address, 32)
        size, free, start = (_number(header, at) for at in (8, 16, 24))
        if not header.startswith(b"HEAP"):
            raise ValueError("a heap that is none")
        seen: set[int] = set()
        while free not in (_NO_FREE, 2**64 - 1):
            if free in seen or len(seen) == _MOST_FREE or free + 16 > size:
                raise ValueError("a heap whose free space has no end")
            seen.add(free)
            free = _number(self._read(start + free, 8), 0)

    def _read(self, address: int, n_bytes: int, *, or_less: bool = False) -> bytes:
        data = os.pread(self.descriptor, n_bytes, self.base + address)
        if len(data) < n_bytes and not or_less:
            raise ValueError("an address behind the end of the file")
        return data


def _new_prefix(first: bytes) -> tuple[int, int, bool]:
    """Of a header of version 2: start and bytes of its messages, and whether each has a creation order."""
    if len(first) < 16 or first[4] != 2 or first[5] & 0xC0:
        raise ValueError("a damaged object header")
    flags = first[5]
    at = 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
    width = 1 << (flags & 3)
    return at + width, int.from_bytes(first[at : at + width], "little"), bool(flags & 4)


def _old_prefix(first: bytes) -> tuple[int, int, bool]:
    """The same of a header of version 1, whose messages have no order."""
    if len(first) < 16 or first[0] != 1:
        raise ValueError("a damaged object header")
    return 16, int.from_bytes(first[8:12], "little"), False


def _messages_in(chunk: bytes, *, is_new: bool, has_order: bool) -> Iterator[tuple[int, int, bytes]]:
    at, end = 0, len(chunk)
    n_head = (6 if has_order else 4) if is_new else 8
    while at + n_head <= end:
        if is_new:
            kind, size, flags = chunk[at], chunk[at + 1] | chunk[at + 2] << 8, chunk[at + 3]
        else:
            kind, size, flags = chunk[at] | chunk[at + 1] << 8, chunk[at + 2] | chunk[at + 3] << 8, chunk[at + 4]
        start, at = at + n_head, at + n_head + size
        if at > end:
            raise ValueError("a message that is longer than its header")
        yield kind, flags, chunk[start:at]


def _check_layout(data: bytes) -> None:
    place = _LAYOUT_VERSIONS.get(data[0]) if len(data) > 2 else None
    if place is None or data[place] not in _LAYOUT_CLASSES:
        raise ValueError("a data set whose data lie elsewhere, or nowhere")


def _number(data: bytes, at: int) -> int:
    if len(data) < at + 8:
        raise ValueError("a message that is shorter than what it says")
    return int.from_bytes(data[at : at + 8], "little")
