"""The bit ledger: every bit of an elementary stream attributed to a unit and a purpose.

A stream is its packets in decoding order, as an encoder hands them out: access units in Annex B form (H.264, HEVC),
temporal units in the low-overhead format (AV1), frames and superframes (VP9). Container bytes have no place here.
"""

import math
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from codecsim.bitstream.av1 import Av1Parser
from codecsim.bitstream.h264 import H264Parser
from codecsim.bitstream.hevc import HevcParser
from codecsim.bitstream.unit import PURPOSES, Geometry, Parser, Unit
from codecsim.bitstream.vp9 import Vp9Parser
from codecsim.errors import BitstreamError, UsageError

Packet = bytes | bytearray | memoryview
"""Anything with the buffer protocol: an `av.Packet` will do."""

_PARSERS: dict[str, Callable[[], Parser]] = {
    "h264": H264Parser,
    "hevc": HevcParser,
    "av1": Av1Parser,
    "vp9": Vp9Parser,
}

STANDARDS = tuple(_PARSERS)
"""Standards whose streams can be read."""


@dataclass(frozen=True)
class Ledger:
    """Where the bits of a stream went.

    Attributes
    ----------
    standard : "h264", "hevc", "av1" or "vp9"
    width, height : pixels that are shown, after cropping
    coded_width, coded_height : pixels that are coded. H.264: whole macroblocks of 16; HEVC: whole coding blocks of
        MinCbSizeY; AV1 and VP9: whole mode-info units of 8
    chroma : "4:0:0", "4:2:0", …
    bits : bits by purpose, in the order of `PURPOSES`; their sum is 8 × the bytes of all packets
    pict_type : list of length n_packets, "I", "P" or "B"; "" for a packet that shows no picture. "B" where any slice
        is B, else "P" where any is P. AV1 and VP9 have no type B
    qp : float64, shape=(n_packets,); mean over the slices of the picture that is shown, NaN where there is none
    packet_bits : int64, shape=(n_packets, len(PURPOSES))
    """

    standard: str
    width: int
    height: int
    coded_width: int
    coded_height: int
    chroma: str
    bits: dict[str, int]
    pict_type: list[str]
    qp: npt.NDArray[np.float64]
    packet_bits: npt.NDArray[np.int64]

    @property
    def bits_total(self) -> int:
        """8 × the bytes of the stream."""
        return sum(self.bits.values())


def count_bits(packets: Iterable[Packet], standard: str) -> Ledger:
    """Count the bits of a stream by purpose, packet by packet.

    Parameters
    ----------
    packets : packets in decoding order, the first one with the parameter sets
    standard : one of `STANDARDS`

    Returns
    -------
    ledger : see `Ledger`; its bits add up to exactly 8 × the bytes of `packets`

    Raises
    ------
    BitstreamError
        If the stream is empty, malformed, or changes the size or chroma format of its pictures.
    UsageError
        If `standard` is not one of `STANDARDS`.
    """
    parser = _parser(standard)
    geometry: Geometry | None = None
    rows, quantisers = array("q"), array("d")
    types: list[str] = []
    for index, packet in enumerate(packets):
        data = _as_bytes(packet)
        found = _parse(parser, index, data)
        if parser.geometry is not geometry:
            geometry = _same(geometry, parser.geometry, index)
        row = found[0].bits if len(found) == 1 else tuple(map(sum, zip(*(unit.bits for unit in found), strict=True)))
        if sum(row) != 8 * len(data):
            raise BitstreamError(f"packet {index}: {sum(row)} bits were counted in its {len(data)} bytes")
        rows.extend(row)
        pict_type, qp = _picture(found)
        types.append(pict_type)
        quantisers.append(qp)
    if geometry is None:
        raise BitstreamError(f"no picture in the {len(types)} packets of this {standard} stream")
    packet_bits = np.array(rows, dtype=np.int64).reshape(-1, len(PURPOSES))
    return Ledger(
        standard=standard,
        width=geometry.width,
        height=geometry.height,
        coded_width=geometry.coded_width,
        coded_height=geometry.coded_height,
        chroma=geometry.chroma,
        bits={purpose: int(bits) for purpose, bits in zip(PURPOSES, packet_bits.sum(axis=0), strict=True)},
        pict_type=types,
        qp=np.array(quantisers, dtype=np.float64),
        packet_bits=packet_bits,
    )


def units(packets: Iterable[Packet], standard: str) -> Iterator[Unit]:
    """Every unit of a stream in order; the spans of a packet's units cover it exactly.

    Parameters and Raises are those of `count_bits`; a change of size is no error here.
    """
    parser = _parser(standard)
    for index, packet in enumerate(packets):
        yield from _parse(parser, index, _as_bytes(packet))


def _parser(standard: str) -> Parser:
    if standard not in _PARSERS:
        raise UsageError(f"no bit ledger for standard {standard!r}; known: {', '.join(STANDARDS)}")
    return _PARSERS[standard]()


def _as_bytes(packet: Packet) -> bytes:
    return packet if type(packet) is bytes else bytes(memoryview(packet))


def _parse(parser: Parser, index: int, data: bytes) -> list[Unit]:
    try:
        return parser.parse(index, data)
    except BitstreamError as error:
        raise BitstreamError(f"packet {index}, unit at byte {parser.offset}: {error}") from None


def _same(before: Geometry | None, after: Geometry | None, index: int) -> Geometry | None:
    if before is not None and after is not None and before != after:
        raise BitstreamError(
            f"packet {index}: pictures change from {before.width}×{before.height} {before.chroma} to "
            f"{after.width}×{after.height} {after.chroma}; a ledger describes one size, so count the parts apart"
        )
    return after


def _picture(units: list[Unit]) -> tuple[str, float]:
    """Type and mean QP of the picture that a packet shows, or of its hidden frames where it shows none."""
    if len(units) == 1:
        return units[0].slice_type, units[0].qp
    coded = [unit for unit in units if unit.slice_type]
    shown = [unit for unit in coded if not unit.kind.startswith("hidden")] or coded
    quantisers = [unit.qp for unit in shown if not math.isnan(unit.qp)]
    qp = sum(quantisers) / len(quantisers) if quantisers else math.nan
    return max((unit.slice_type for unit in shown), key="IPB".index, default=""), qp
