"""Damage of bytes, of packets, of text and of JSON, drawn from a generator; `tests.fuzz.hdf5` knows HDF5."""

import io
import json
import struct
import zipfile
from collections.abc import Callable, Sequence

import numpy as np

Rng = np.random.Generator
Mutate = Callable[[Rng, bytes], bytes]

_EDITS_MAX = 4
_HEAD_BYTES = 96
_BYTES_MAX = 2**20
_EDGES = (*(2**n - 1 for n in (0, 1, 2, 7, 8, 15, 16, 31, 32, 63, 64)), 2**7, 2**15, 2**24, 2**31)
"""Integers where something ends."""

_NUMBERS = (
    "nan",
    "inf",
    "-inf",
    "1e999",
    "-0",
    "0",
    "-1",
    "1_0",
    "٣",
    "²",
    "0x10",
    "1,5",
    "9" * 400,
    "1e308",
    "5e-324",
)
_MARKS = (
    "",
    " ",
    '"',
    "'",
    '""',
    ";",
    ",",
    "\t",
    "\r",
    "\u2028",
    "\ufeff",
    "é",
    "/",
    "..",
    "?",
    "%",
    "{0 1}",
    "[" * 5000,
)
_WORDS = ("true", "null", "time", "frame", "@data", "@attribute a string", "<!DOCTYPE a>", "<a>" * 3000, "a" * 200_000)
_CELLS = _NUMBERS + _MARKS + _WORDS
"""Text in the place of a cell."""

_PLAIN = (
    None,
    True,
    0,
    -1,
    2**63,
    10**400,
    1e308,
    float("nan"),
    float("inf"),
    "",
    "joint-4",
    "os:system",
    "\ud800",
    "1",
)
_NESTED: tuple[object, ...] = ([], {}, [[]], [None], [1, [2]], ["a", 1], {"a": 1}, [0] * 5000, "a" * 5000)
_VALUES = _PLAIN + _NESTED
"""JSON in the place of a value."""

_SHAPES = ((), (0,), (1,), (3, 0), (2, 2, 2), (6,), (6, 1), (2**22,))
_DTYPES = ("f4", "f8", "i8", "u1", "bool", "c16", "S3", "U3", "V4", "M8[s]", [("a", "f4")])


def bytes_of(rng: Rng, data: bytes) -> bytes:
    """One to four edits anywhere, half of them near the start, where headers lie."""
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, _EDITS_MAX + 1))):
        _edit(rng, changed)
    return bytes(changed[:_BYTES_MAX])


def packets_of(rng: Rng, data: bytes) -> bytes:
    """Edits inside of packets, or of their order; `data` as `framed` makes it."""
    packets = unframed(data)
    for _ in range(int(rng.integers(1, 3))):
        at = int(rng.integers(len(packets)))
        kind = rng.integers(10)
        if kind == 0:
            packets.insert(at, packets[int(rng.integers(len(packets)))])
        elif kind == 1 and len(packets) > 1:
            del packets[at]
        elif kind == 2:
            packets[at] = packets[at] + packets[int(rng.integers(len(packets)))]
        else:
            packets[at] = bytes_of(rng, packets[at])
    return framed(packets)


def text_of(rng: Rng, data: bytes) -> bytes:
    """Cells and lines replaced, repeated, left out or swapped; one time in four plain bytes."""
    if rng.integers(4) == 0:
        return bytes_of(rng, data)
    lines = data.decode().split("\n")
    for _ in range(int(rng.integers(1, _EDITS_MAX))):
        at = int(rng.integers(len(lines)))
        kind = rng.integers(8)
        if kind == 0 and len(lines) > 1:
            del lines[at]
        elif kind == 1:
            lines.insert(at, lines[int(rng.integers(len(lines)))])
        elif kind == 2:
            lines.insert(at, _CELLS[rng.integers(len(_CELLS))])
        else:
            delimiter = next((each for each in ";, \t" if each in lines[at]), ",")
            cells = lines[at].split(delimiter)
            cells[int(rng.integers(len(cells)))] = _CELLS[rng.integers(len(_CELLS))]
            lines[at] = delimiter.join(cells)
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def json_of(rng: Rng, data: bytes) -> bytes:
    """A value anywhere in it replaced, or left out; one time in four text."""
    if rng.integers(4) == 0:
        return text_of(rng, data)
    return json.dumps(changed_json(rng, json.loads(data))).encode()


def changed_json(rng: Rng, value: object) -> object:
    """The same with one or two values replaced by others, or left out."""
    for _ in range(int(rng.integers(1, 3))):
        value = _changed(rng, value)
    return value


def prefixed_json(rng: Rng, data: bytes) -> bytes:
    """A safetensors file: its JSON header changed, its length left to be right or not; half the time plain bytes."""
    if rng.integers(2):
        return bytes_of(rng, data)
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    inner = header["__metadata__"]
    if rng.integers(4):
        inner["codecsim"] = json.dumps(changed_json(rng, json.loads(inner["codecsim"])))
        if rng.integers(8) == 0:
            inner["codecsim"] = str(_CELLS[rng.integers(len(_CELLS))])
    else:
        header = changed_json(rng, header)
    written = json.dumps(header).encode()
    claimed = len(written) if rng.integers(8) else int(_EDGES[rng.integers(len(_EDGES))])
    return struct.pack("<Q", claimed) + written + data[8 + length :]


def arrays_of(rng: Rng, data: bytes) -> bytes:
    """An NPZ file: an array of another type or shape, or that claims more than it holds, JSON changed; or bytes."""
    if rng.integers(3) == 0:
        return bytes_of(rng, data)
    with np.load(io.BytesIO(data)) as stored:
        arrays = {name: _npy(stored[name]) for name in stored.files}
        names = list(arrays)
        name = names[int(rng.integers(len(names)))]
        held, kind = stored[name], rng.integers(8)
    if kind == 0:
        del arrays[name]
    elif kind == 1:
        arrays[_CELLS[rng.integers(len(_CELLS))][:100]] = arrays.pop(name)
    elif kind == 2:
        arrays[name] = _npy(np.zeros(_SHAPES[rng.integers(len(_SHAPES))], _DTYPES[rng.integers(len(_DTYPES))]))
    elif kind == 3:
        shape = str(held.shape).encode()
        claimed = b"(1099511627776,)" if rng.integers(2) else b"(67108864,)"
        arrays[name] = arrays[name].replace(shape, claimed.ljust(len(shape)))
    elif kind == 4 and held.dtype.kind == "U" and not held.shape:
        text = str(held)
        arrays[name] = _npy(np.array(json.dumps(changed_json(rng, json.loads(text))) if text[:1] == "{" else "{"))
    elif kind == 5:
        arrays[name] = _npy(held.astype("S" if held.dtype.kind == "U" else "f8"))
    else:
        arrays[name] = bytes_of(rng, arrays[name])
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for each, written in arrays.items():
            archive.writestr(f"{each}.npy", written)
    return made.getvalue()


def framed(packets: Sequence[bytes]) -> bytes:
    """Packets as one file: each after its length."""
    return b"".join(struct.pack(">I", len(packet)) + packet for packet in packets)


def unframed(data: bytes) -> list[bytes]:
    """Inverse of `framed`."""
    packets, at = [], 0
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        packets.append(data[at + 4 : at + 4 + length])
        at += 4 + length
    return packets


def _npy(array: np.ndarray) -> bytes:
    written = io.BytesIO()
    np.save(written, array, allow_pickle=False)
    return written.getvalue()


def _edit(rng: Rng, data: bytearray) -> None:
    size = len(data)
    if not size:
        data += rng.bytes(int(rng.integers(1, 9)))
        return
    at = int(rng.integers(min(size, _HEAD_BYTES) if rng.integers(2) else size))
    span = int(min(size - at, 2 ** rng.integers(9)))
    kind = rng.integers(9)
    if kind <= 1:
        data[at] ^= 1 << int(rng.integers(8))
    elif kind == 2:
        data[at] = int(rng.integers(256))
    elif kind == 3:
        del data[at:]
    elif kind == 4:
        data[at:at] = rng.bytes(span)
    elif kind == 5:
        data[at:at] = data[at : at + span] * int(rng.choice([1, 1, 1, 300]))
    elif kind == 6:
        del data[at : at + span]
    elif kind == 7:
        data[at : at + span] = bytes([int(rng.choice([0, 255]))]) * span
    else:
        width = int(rng.choice([1, 2, 4, 8]))
        value = _EDGES[rng.integers(len(_EDGES))] % 256**width
        data[at : at + width] = value.to_bytes(width, "little" if rng.integers(2) else "big")


def _changed(rng: Rng, value: object) -> object:
    """The value with something in it replaced."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else []
    if not len(keys) or rng.integers(6) == 0:
        return _VALUES[rng.integers(len(_VALUES))]
    held = value.copy()  # type: ignore[attr-defined]
    key = keys[int(rng.integers(len(keys)))]
    if rng.integers(6) == 0:
        del held[key]
    else:
        held[key] = _changed(rng, held[key])
    return held
