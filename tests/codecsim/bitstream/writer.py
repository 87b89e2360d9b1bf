"""Bits of headers, written field by field."""

import random
from collections.abc import Callable

from codecsim.bitstream import units
from tests.codecsim.bitstream.streams import header_ends, trace
from tests.codecsim.bitstream.test_bits import escape, se_code, to_bytes, ue_code


class Writer:
    """Random bits with the names of the fields only where they matter."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.bits = ""

    def u(self, n: int, value: int | None = None) -> int:
        value = self.rng.getrandbits(n) if value is None and n else value or 0
        self.bits += f"{value:0{n}b}" if n else ""
        return value

    def ue(self, low: int, high: int | None = None) -> int:
        value = low if high is None else self.rng.randint(low, high)
        self.bits += ue_code(value)
        return value

    def se(self, low: int, high: int | None = None) -> int:
        value = low if high is None else self.rng.randint(low, high)
        self.bits += se_code(value)
        return value

    def nal(self, header: bytes, *, trailing: bool = True) -> bytes:
        bits = self.bits + ("1" if trailing else "")
        return b"\0\0\0\1" + header + escape(to_bytes(bits + "0" * (-len(bits) % 8)))


def check(
    standard: str, nal_header: int, write: Callable[[random.Random], tuple[list[bytes], list[int]]], seed: int
) -> None:
    """Read a stream with FFmpeg, and then with ours; `nal_header` is the bits before a slice header."""
    packets, lengths = write(random.Random(seed))
    text, complete = trace(packets, standard)
    assert complete, text[-2000:]
    assert header_ends(text, standard) == [nal_header + length for length in lengths]
    found = [unit for unit in units(packets, standard) if unit.slice_type]
    assert [unit.bits_slice_headers for unit in found] == lengths
