"""AV1: open bitstream units in the low-overhead format, with frame headers to the exact bit.

Purposes: OBU headers, their sizes and temporal delimiters are NAL overhead; sequence headers are parameter sets;
metadata is SEI; frame_header_obu(), with byte_alignment() in an OBU_FRAME and trailing bits in an OBU_FRAME_HEADER, is
header; tile groups are slice data, type I for key frames and intra-only frames, else P, as AV1 has no type B. Tile
lists, padding and reserved types are other. A frame that is not shown is counted in the packet that carries it.

Source: "AV1 Bitstream & Decoding Process Specification" with errata 1, clauses 5.3 to 5.11.
"""

import math

from codecsim.bitstream.av1_frame import INTRA_ONLY, KEY, Frame, Slots, read_frame, show_existing
from codecsim.bitstream.av1_sequence import Sequence, read_sequence
from codecsim.bitstream.bits import BitReader, leb128
from codecsim.bitstream.quantizer import AV1_QUANTIZER
from codecsim.bitstream.unit import UNITS_MAX, Geometry, Span, Unit, plain_unit, slice_unit
from codecsim.errors import BitstreamError

_SEQUENCE, _DELIMITER, _HEADER, _TILES, _METADATA, _FRAME, _REDUNDANT = range(1, 8)  # obu_type, clause 6.2.2
_PLAIN = {
    _SEQUENCE: ("sequence header", "bits_parameter_sets"),
    _DELIMITER: ("temporal delimiter", "bits_nal_overhead"),
    _METADATA: ("metadata", "bits_sei"),
    8: ("tile list", "bits_other"),
    15: ("padding", "bits_other"),
}
_FRAME_KINDS = ("key frame", "inter frame", "intra-only frame", "switch frame")


class Av1Parser:
    """Units of an AV1 stream, packet after packet; see `codecsim.bitstream.unit.Parser`."""

    def __init__(self) -> None:
        self.geometry: Geometry | None = None
        self.offset = 0
        self._sequence: Sequence | None = None
        self._sequence_payload = b""
        self._slots: Slots = [None] * 8
        self._frame: Frame | None = None  # whose tiles are still to come: SeenFrameHeader of clause 5.9.1

    def parse(self, packet: int, data: bytes) -> list[Unit]:
        """Units of one packet, a temporal unit."""
        units = []
        self.offset = 0
        if not data:
            raise BitstreamError("empty packet")
        while self.offset < len(data):
            offset = self.offset
            header = data[offset]
            if header & 0x80:
                raise BitstreamError("obu_forbidden_bit is set")
            first = offset + 1
            layers = 0
            if header & 4:
                if first == len(data):
                    raise BitstreamError("OBU header ends early")
                layers = data[first]
                first += 1
            end = len(data)
            if header & 2:
                size, n_bytes = leb128(data, first, end)
                first += n_bytes
                if size > end - first:
                    raise BitstreamError(f"OBU of {size} bytes where {end - first} are left; is this section 5 format?")
                end = first + size
            overhead = 8 * (first - offset)
            obu_type = header >> 3 & 15
            if obu_type in (_FRAME, _HEADER, _REDUNDANT, _TILES):
                unit = self._picture((packet, offset, end - offset), obu_type, layers, data[first:end], overhead)
            else:
                if obu_type == _SEQUENCE:
                    self._read_sequence(data[first:end])
                elif obu_type == _DELIMITER:
                    self._frame = None
                kind, purpose = _PLAIN.get(obu_type, (f"OBU type {obu_type}", "bits_other"))
                unit = plain_unit((packet, offset, end - offset), kind, overhead, purpose)
            units.append(unit)
            if len(units) > UNITS_MAX:
                raise BitstreamError(f"more than {UNITS_MAX} OBUs in one packet")
            self.offset = end
        return units

    def _read_sequence(self, payload: bytes) -> None:
        if payload != self._sequence_payload:
            self._sequence = read_sequence(BitReader(payload))
            self._sequence_payload = payload

    def _show(self, seq: Sequence, frame: Frame) -> None:
        width, height = frame.upscaled_width, frame.height
        before = self.geometry
        if before is None or (before.width, before.height, before.chroma) != (width, height, seq.chroma):
            self.geometry = Geometry(width, height, width + 7 & ~7, height + 7 & ~7, seq.chroma)

    def _picture(self, span: Span, obu_type: int, layers: int, payload: bytes, overhead: int) -> Unit:
        """An OBU with a frame header, tiles or both."""
        seq = self._sequence
        if seq is None:
            raise BitstreamError("frame before the first sequence header")
        r = BitReader(payload)
        frame, qp, repeated = self._frame, math.nan, False
        if obu_type == _TILES:
            if frame is None:
                raise BitstreamError("tile group without a frame header before it")
            kind = "tile group"
        elif frame is not None:  # frame_header_copy(), clause 5.9.1
            if obu_type == _FRAME:
                raise BitstreamError("OBU_FRAME while tiles of the frame before it are missing")
            r.skip(r.bits_left())
            kind = "redundant frame header"
        elif obu_type == _REDUNDANT:
            raise BitstreamError("redundant frame header without a frame header before it")
        else:
            repeated = not seq.reduced_still_picture_header and r.u(1) == 1
            if repeated:
                if obu_type == _FRAME:
                    raise BitstreamError("OBU_FRAME with show_existing_frame; only OBU_FRAME_HEADER may have it")
                frame, kind = show_existing(r, seq, self._slots), "repeat frame"
            else:
                frame = read_frame(r, seq, self._slots, layers >> 5, layers >> 3 & 3)
                kind = _FRAME_KINDS[frame.frame_type]
                self._frame = frame
            if frame.shown or repeated:
                self._show(seq, frame)
            qp = AV1_QUANTIZER[frame.base_q_idx]
            if obu_type == _FRAME:
                r.align()
            else:
                r.skip(r.bits_left())
        header = r.position
        if obu_type in (_TILES, _FRAME) and _last_tiles(r, frame):
            self._frame = None
        slice_type = "I" if frame.frame_type in (KEY, INTRA_ONLY) else "P"
        if not (frame.shown or repeated):
            kind = f"hidden {kind}"
        return slice_unit(span, kind, slice_type, qp=qp, overhead=overhead, header=header)


def _last_tiles(r: BitReader, frame: Frame) -> bool:
    """Whether a tile group, clause 5.11.1, holds the last tile of its frame."""
    if frame.tiles == 1 or not r.u(1):
        return True
    first, last = r.u(frame.tile_bits), r.u(frame.tile_bits)
    if not first <= last < frame.tiles:
        raise BitstreamError(f"tile group from {first} to {last} in a frame of {frame.tiles} tiles")
    return last == frame.tiles - 1
