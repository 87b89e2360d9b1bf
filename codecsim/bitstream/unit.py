"""The smallest entry of the ledger: one NAL unit, OBU or VP9 frame, and what its bits are for."""

import math
from dataclasses import dataclass
from typing import Protocol

PURPOSES = (
    "bits_parameter_sets",
    "bits_sei",
    "bits_nal_overhead",
    "bits_slice_headers",
    "bits_slice_data_i",
    "bits_slice_data_p",
    "bits_slice_data_b",
    "bits_other",
)
"""What a bit can be for, in the order of every array that has a purpose axis."""

Span = tuple[int, int, int]
"""Where a unit lies: index of the packet, bytes from its start, length in bytes."""


@dataclass(frozen=True, slots=True)
class Unit:
    """One NAL unit (H.264, HEVC), OBU (AV1), or frame or superframe index (VP9).

    Attributes
    ----------
    packet : index of the packet that it lies in
    offset : bytes from the start of the packet; a start code belongs to the unit that it starts
    n_bytes : bytes of the unit, start code and trailing zeros included
    kind : "SPS", "IDR slice", "temporal delimiter", …; it begins with "hidden" where the unit belongs to a frame that
        is not shown by the packet that carries it (AV1, VP9)
    slice_type : "I", "P", "B", or "" where the unit has none
    qp : quantiser of the slice or frame header, NaN where there is none. H.264 and HEVC: SliceQpY. AV1 and VP9: the
        encoders' scale 0–63 (see `codecsim.bitstream.quantizer`)
    bits_parameter_sets … bits_other : bits by purpose; their sum is 8 × `n_bytes`
    """

    packet: int
    offset: int
    n_bytes: int
    kind: str
    slice_type: str
    qp: float
    bits_parameter_sets: int
    bits_sei: int
    bits_nal_overhead: int
    bits_slice_headers: int
    bits_slice_data_i: int
    bits_slice_data_p: int
    bits_slice_data_b: int
    bits_other: int

    @property
    def bits(self) -> tuple[int, int, int, int, int, int, int, int]:
        """Bits by purpose, in the order of `PURPOSES`."""
        return (
            self.bits_parameter_sets,
            self.bits_sei,
            self.bits_nal_overhead,
            self.bits_slice_headers,
            self.bits_slice_data_i,
            self.bits_slice_data_p,
            self.bits_slice_data_b,
            self.bits_other,
        )


@dataclass(frozen=True, slots=True)
class Geometry:
    """Size of the pictures of a stream.

    Attributes
    ----------
    width, height : pixels that are shown, after cropping
    coded_width, coded_height : pixels that are coded: whole macroblocks, coding blocks or mode-info units
    chroma : "4:0:0", "4:2:0", "4:2:2", "4:4:4" or "4:4:0"
    """

    width: int
    height: int
    coded_width: int
    coded_height: int
    chroma: str


CHROMA = ("4:0:0", "4:2:0", "4:2:2", "4:4:4")
"""chroma_format_idc of H.264 and HEVC."""


UNITS_MAX = 2**16
"""Units that one packet may have: a hundred times what a level allows, and yet little memory for hostile packets."""


class Parser(Protocol):
    """Reads the packets of one stream in order, keeping what later headers depend on.

    Attributes
    ----------
    geometry : size of the pictures, from the headers that the latest slice or frame refers to; None before the first
    offset : where in the packet the unit lies that is being read, for error messages
    """

    geometry: Geometry | None
    offset: int

    def parse(self, packet: int, data: bytes) -> list[Unit]:
        """Units of one packet, in order; `BitstreamError` where it is malformed."""
        ...


def plain_unit(span: Span, kind: str, overhead: int, purpose: str) -> Unit:
    """A unit without slice data: `overhead` bits of it are NAL overhead and the rest serves `purpose`."""
    packet, offset, n_bytes = span
    rest = 8 * n_bytes - overhead
    return Unit(
        packet,
        offset,
        n_bytes,
        kind,
        "",
        math.nan,
        rest if purpose == "bits_parameter_sets" else 0,
        rest if purpose == "bits_sei" else 0,
        overhead + (rest if purpose == "bits_nal_overhead" else 0),
        rest if purpose == "bits_slice_headers" else 0,
        0,
        0,
        0,
        rest if purpose == "bits_other" else 0,
    )


def slice_unit(
    span: Span, kind: str, slice_type: str, *, qp: float, overhead: int, header: int, other: int = 0
) -> Unit:
    """A unit of a slice or frame: bits that are neither `overhead`, `header` nor `other` are its data."""
    packet, offset, n_bytes = span
    data = 8 * n_bytes - overhead - header - other
    return Unit(
        packet,
        offset,
        n_bytes,
        kind,
        slice_type,
        qp,
        0,
        0,
        overhead,
        header,
        data if slice_type == "I" else 0,
        data if slice_type == "P" else 0,
        data if slice_type == "B" else 0,
        other,
    )
