"""The byte stream format of ITU-T H.264 Annex B and H.265 Annex B: start codes and emulation prevention."""

from collections.abc import Iterator

from codecsim.bitstream.unit import UNITS_MAX
from codecsim.errors import BitstreamError

EMULATION_PREVENTION = b"\0\0\3"
"""Two zero bytes and the emulation_prevention_three_byte that keeps them from looking like a start code.

The pattern cannot overlap itself, so `bytes.count` counts exactly and `bytes.replace` removes exactly what
clause 7.3.1 of H.264 and 7.3.1.1 of H.265 say.
"""

_START_CODE = b"\0\0\1"


def split(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Split a packet at its start codes.

    Yields
    ------
    offset, n_bytes, nal : where the unit begins and how long it is, both with its start code, leading zeros and
        trailing zeros; and the NAL unit itself, from its header on, still with emulation prevention. A zero byte right
        before a start code belongs to that start code, zeros before it to the unit that they follow. The spans cover
        the packet exactly. `nal` is empty where nothing but zeros follows a start code.

    Raises
    ------
    BitstreamError
        If the packet does not begin with zeros and a start code, or has more than `UNITS_MAX` units.
    """
    found = data.find(_START_CODE)
    if found < 0 or any(data[:found]):
        raise BitstreamError("no start code 00 00 01 at the start of the packet: is this Annex B, not AVCC or HVCC?")
    offset = n_units = 0
    while found >= 0:
        n_units += 1
        if n_units > UNITS_MAX:
            raise BitstreamError(f"more than {UNITS_MAX} NAL units in one packet")
        first = found + 3
        found = data.find(_START_CODE, first)
        nal = data[first : found if found >= 0 else len(data)].rstrip(b"\0")
        end = found - (found > first + len(nal)) if found >= 0 else len(data)
        yield offset, end - offset, nal
        offset = end


def unescape(nal: bytes) -> bytes:
    """The NAL unit without its emulation_prevention_three_bytes."""
    return nal.replace(EMULATION_PREVENTION, b"\0\0")
