"""Damage of HDF5 files: structure changed through h5py as a hostile writer would, bytes changed, checksums made right.

HDF5 checks the metadata of our files with Jenkins' lookup3, so that bytes that merely flip are refused at the door.
Whoever forges a file makes the checksum right again; `bytes_and_checksums` does so for the superblock and the object
headers.

Source: HDF5 File Format Specification 3.0, II.A.2 (superblock 2 and 3) and IV.A.1.b (object header 2).
"""

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from codecsim.hdf5 import DAMAGE
from tests.fuzz.mutations import Rng, bytes_of, changed_json

_SUPERBLOCK_BYTES = 48
_WORD = 0xFFFFFFFF
_SMALL_SHAPES = (None, (), (0,), (1,), (3,), (2, 3), (5, 96, 96))
_SHAPES = (*_SMALL_SHAPES, (2**16,), (2**40,), (3, 2**40), (2**62, 4), (2**24 + 1, 96, 96))
_DTYPES: tuple[Any, ...] = (
    *("u1", "i1", ">i2", "u4", "i8", "u8", ">f2", "f4", "f8", "g", "c16", "bool", "S1", "S70000", "V7"),
    *(h5py.string_dtype(), h5py.string_dtype("ascii", 3), h5py.vlen_dtype("f4"), h5py.ref_dtype, h5py.regionref_dtype),
    *(h5py.enum_dtype({"a": 1, "b": 2}, "i4"), np.dtype([("a", "f4"), ("b", "S3")]), np.dtype(("f4", (3,)))),
)
_NUMBERS = (0, 1, -1, 2**31, 2**63 - 1, -(2**63), 1e308, 1e-308, float("nan"), float("inf"), 0.5)
_ATTRIBUTES: tuple[Any, ...] = (
    *_NUMBERS,
    *("", "{", "[" * 60_000, "{}", "null", '{"a": [1]}', '[{"sequences": 1}]', "qp", "bitrate", "a/b", "x" * 60_000),
    *(np.bytes_(b"\xff\xfe"), np.bytes_(b"a\0b"), h5py.Empty("f4"), h5py.Empty("S3"), np.array([b"a", b"b"])),
    *(np.zeros((2, 2)), np.zeros(0), True, 1 + 2j, np.array([(1, b"a")], [("a", "i4"), ("b", "S3")])),
)
_NAMES = (b"", b"x264", b"vp9", b"crf", b"nothing", b"\xff", b"..", b"a/b", b"0" * 64)
_TEXTS = (*_NAMES, b"{", b"[1]", b'{"raw": 1}', b'{"qp": 1}')


def file_of(rng: Rng, data: bytes, scratch: Path) -> bytes:
    """A damaged copy of an HDF5 file: its structure, its bytes, or its bytes under checksums that are right."""
    kind = rng.integers(8)
    if kind == 0:
        return bytes_of(rng, data)
    if kind <= 2:
        return bytes_and_checksums(rng, data)
    scratch.write_bytes(data)
    with h5py.File(scratch, "r+", libver="v110") as file:
        for _ in range(int(rng.integers(1, 3))):
            with contextlib.suppress(*DAMAGE):  # h5py refuses some of what is drawn
                _STRUCTURE[rng.integers(len(_STRUCTURE))](rng, file)
    changed = scratch.read_bytes()
    if rng.integers(8) == 0:
        return bytes_and_checksums(rng, changed)
    return _heap(rng, changed) if rng.integers(2) else changed


def bytes_and_checksums(rng: Rng, data: bytes) -> bytes:
    """One to three bytes of one block of metadata changed, and its checksum made right."""
    blocks = _checked_blocks(data)
    start, stop = blocks[int(rng.integers(len(blocks)))]
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 4))):
        at = int(rng.integers(start + 4, stop))
        changed[at] = int(rng.choice([0, 1, 0x7F, 0x80, 0xFF, changed[at] ^ 1 << int(rng.integers(8))]))
    changed[stop : stop + 4] = lookup3(bytes(changed[start:stop])).to_bytes(4, "little")
    return bytes(changed)


def lookup3(data: bytes) -> int:
    """Bob Jenkins' ``hashlittle`` of lookup3.c with initval 0, as HDF5 takes it for its checksums."""
    state = [0xDEADBEEF + len(data) & _WORD] * 3
    if not data:
        return state[2]
    words = [int.from_bytes(data[at : at + 4], "little") for at in range(0, len(data), 4)]
    words += [0] * (-len(words) % 3)
    for at in range(0, len(words), 3):
        state = [each + word & _WORD for each, word in zip(state, words[at : at + 3], strict=True)]
        if at + 3 < len(words):
            for step, n_bits in enumerate((4, 6, 8, 16, 19, 4)):  # mix()
                x, y, z = step % 3, (step + 2) % 3, (step + 1) % 3
                state[x] = (state[x] - state[y] & _WORD) ^ _rotated(state[y], n_bits)
                state[y] = state[y] + state[z] & _WORD
    for step, n_bits in enumerate((14, 11, 25, 16, 4, 14, 24)):  # final()
        x, y = (step + 2) % 3, (step + 1) % 3
        state[x] = (state[x] ^ state[y]) - _rotated(state[y], n_bits) & _WORD
    return state[2]


def _rotated(value: int, n_bits: int) -> int:
    return (value << n_bits | value >> 32 - n_bits) & _WORD


def _checked_blocks(data: bytes) -> list[tuple[int, int]]:
    """Start and end of the superblock and of the first chunk of each object header; their checksums follow."""
    blocks = [(0, _SUPERBLOCK_BYTES - 4)]
    at = data.find(b"OHDR")
    while at >= 0:
        flags = data[at + 5]
        size_at = at + 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
        size_bytes = 1 << (flags & 3)
        stop = size_at + size_bytes + int.from_bytes(data[size_at : size_at + size_bytes], "little")
        if stop + 4 <= len(data):
            blocks.append((at, stop))
        at = data.find(b"OHDR", at + 4)
    return blocks


def _nodes(file: h5py.File) -> list[str]:
    """Paths of all groups and datasets."""
    names: list[str] = []
    file.visit(names.append)
    return names or ["/"]


def _any_node(rng: Rng, file: h5py.File) -> str:
    names = _nodes(file)
    return names[int(rng.integers(len(names)))]


def _remove(rng: Rng, file: h5py.File) -> None:
    name = _any_node(rng, file)
    if name != "/":
        del file[name]


def _replace(rng: Rng, file: h5py.File) -> None:
    """A dataset of another type, shape or layout in the place of something."""
    name = _any_node(rng, file)
    before = file[name]
    shape = getattr(before, "shape", (3,)) if rng.integers(2) else _SHAPES[rng.integers(len(_SHAPES))]
    dtype = getattr(before, "dtype", "f4") if rng.integers(3) == 0 else _DTYPES[rng.integers(len(_DTYPES))]
    options: dict[str, Any] = {}
    if shape and rng.integers(2):
        options["chunks"] = tuple(min(n, 2**12) or 1 for n in shape)
        options["maxshape"] = (None,) * len(shape)
        filters = ({}, {"compression": "gzip"}, {"compression": "lzf"}, {"fletcher32": True}, {"scaleoffset": 3})
        options |= filters[rng.integers(len(filters))]
    _remove_named(file, name)
    file.create_dataset(name, shape, dtype if shape is not None else "f4", **options)


def _huge_chunk(rng: Rng, file: h5py.File) -> None:
    name = _any_node(rng, file)
    _remove_named(file, name)
    file.create_dataset(name, (8,), "u1", chunks=(int(rng.choice([2**20, 2**27, 2**31])),), maxshape=(None,))
    if rng.integers(2):
        file[name].id.write_direct_chunk((0,), b"\0" * 64)


def _deflated_twice(rng: Rng, file: h5py.File) -> None:
    name = _any_node(rng, file)
    _remove_named(file, name)
    plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plan.set_chunk((2**20,))
    for _ in range(2):
        plan.set_deflate(9)
    made = h5py.h5d.create(
        file.id, name.encode(), h5py.h5t.NATIVE_UINT8, h5py.h5s.create_simple((2**22,)), plan, _links()
    )
    h5py.Dataset(made)[:] = 0


def _value(rng: Rng, file: h5py.File) -> None:
    """One element of a dataset replaced."""
    held = file[_any_node(rng, file)]
    if not isinstance(held, h5py.Dataset) or not held.shape or not held.size:
        return
    at = tuple(int(rng.integers(n)) for n in held.shape)
    value = _TEXTS[rng.integers(len(_TEXTS))] if held.dtype.kind == "S" else _NUMBERS[rng.integers(len(_NUMBERS))]
    held[at] = value


def _attribute(rng: Rng, file: h5py.File) -> None:
    """An attribute set to something else, or taken away."""
    node = file[_any_node(rng, file)] if rng.integers(2) else file
    names = list(node.attrs) or ["fps"]
    name = names[int(rng.integers(len(names)))]
    if rng.integers(8) == 0 and name in node.attrs:
        del node.attrs[name]
        return
    value = _ATTRIBUTES[rng.integers(len(_ATTRIBUTES))]
    if rng.integers(2) and (before := _json(node.attrs.get(name))) is not None:
        value = json.dumps(changed_json(rng, before))
    node.attrs[name] = value


def _link(rng: Rng, file: h5py.File) -> None:
    """A link in the place of something: soft, to a loop, into another file, to a pipe that nobody writes."""
    name = _any_node(rng, file)
    targets = (
        *(h5py.SoftLink("/" + name), h5py.SoftLink("/" + _any_node(rng, file)), h5py.SoftLink("/none")),
        *(h5py.ExternalLink("pipe", "/"), h5py.ExternalLink("other.h5", "/" + name), h5py.ExternalLink(".", "/")),
    )
    _remove_named(file, name)
    file[name] = targets[rng.integers(len(targets))]


def _hard_link(rng: Rng, file: h5py.File) -> None:
    """A name for what has one already: a group may become a member of itself."""
    name, held = _any_node(rng, file), file[_any_node(rng, file)]
    _remove_named(file, name)
    file[name] = held


def _elsewhere(rng: Rng, file: h5py.File) -> None:
    """A dataset whose data lie in other files: virtual, or external storage."""
    name = _any_node(rng, file)
    _remove_named(file, name)
    if rng.integers(2):
        layout = h5py.VirtualLayout((8,), "u1")
        layout[:] = h5py.VirtualSource(str(rng.choice(["pipe", "other.h5", "."])), "bitstream", (8,))
        file.create_virtual_dataset(name, layout)
    else:
        file.create_dataset(name, (8,), "u1", external=[(str(rng.choice(["pipe", "other.h5"])), 0, 8)])


def _extra(rng: Rng, file: h5py.File) -> None:
    """A member that nobody expects: a named type, a group, an odd name."""
    name = _any_node(rng, file)
    odd = str(rng.choice([" ", "x" * 5000, "\u202e", "features/li3ddct", "predicted", "predictions", "labels"]))
    where = f"{name}/{odd}" if isinstance(file[name], h5py.Group) else odd
    file[where] = np.dtype("f4") if rng.integers(2) else np.zeros((2, 315), "f4")


def _heap(rng: Rng, data: bytes) -> bytes:
    """Bytes of a heap, where text of variable length lies, changed: it has no checksum."""
    at = data.find(b"GCOL")
    if at < 0:
        return data
    first = at + 4 + int(rng.integers(80))
    span = int(rng.choice([1, 2, 8, 16]))
    return data[:first] + bytes([int(rng.choice([0, 0, 1, 255]))]) * span + data[first + span :]


_STRUCTURE: tuple[Callable[[Rng, h5py.File], None], ...] = (
    *(_remove, _replace, _replace, _replace, _huge_chunk, _deflated_twice),
    *(_value, _value, _value, _value, _value, _attribute, _attribute, _attribute, _attribute),
    *(_link, _hard_link, _elsewhere, _extra),
)


def _remove_named(file: h5py.File, name: str) -> None:
    if name in file and name != "/":
        del file[name]


def _links() -> h5py.h5p.PropLCID:
    """Groups on the way are made where they are missing."""
    plan = h5py.h5p.create(h5py.h5p.LINK_CREATE)
    plan.set_create_intermediate_group(True)
    return plan


def _json(value: object) -> object:
    try:
        return json.loads(value.decode() if isinstance(value, bytes) else str(value))
    except ValueError:
        return None
