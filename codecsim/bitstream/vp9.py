"""VP9: frames, superframes and uncompressed headers to the exact bit.

Purposes: uncompressed_header() with its trailing_bits() and compressed_header() are header; the tiles are slice data,
type I for key frames and intra-only frames, else P, as VP9 has no type B; a superframe index is NAL overhead. A frame
that is not shown is counted in the packet that carries it; one that only shows an earlier frame is header, and any
padding after it is other.

Source: "VP9 Bitstream & Decoding Process Specification" v0.7, clauses 6.1 to 6.2 and Annex B.
"""

from typing import NamedTuple

from codecsim.bitstream.bits import BitReader
from codecsim.bitstream.quantizer import VP9_QUANTIZER
from codecsim.bitstream.unit import Geometry, Span, Unit, plain_unit, slice_unit
from codecsim.errors import BitstreamError

_SYNC_CODE = 0x498342
_CS_RGB = 7
_FEATURE_BITS = (9, 7, 2, 0)  # with their signs, clause 6.2.11
_CHROMA = {(1, 1): "4:2:0", (1, 0): "4:2:2", (0, 0): "4:4:4", (0, 1): "4:4:0"}  # by subsampling_x, subsampling_y


class _Reference(NamedTuple):
    width: int
    height: int
    chroma: str
    slice_type: str
    qp: float


class Vp9Parser:
    """Units of a VP9 stream, packet after packet; see `codecsim.bitstream.unit.Parser`."""

    def __init__(self) -> None:
        self.geometry: Geometry | None = None
        self.offset = 0
        self._slots: list[_Reference | None] = [None] * 8
        self._chroma = "4:2:0"

    def parse(self, packet: int, data: bytes) -> list[Unit]:
        """Units of one packet: its frames and, in a superframe, the index after them."""
        self.offset = 0
        if not data:
            raise BitstreamError("empty packet")
        sizes, index_bytes = _superframe(data)
        units = []
        for size in sizes:
            frame = data[self.offset : self.offset + size]
            units.append(self._frame((packet, self.offset, size), frame))
            self.offset += size
        if index_bytes:
            units.append(plain_unit((packet, self.offset, index_bytes), "superframe index", 0, "bits_nal_overhead"))
        return units

    def _frame(self, span: Span, frame: bytes) -> Unit:
        """uncompressed_header(), clause 6.2."""
        r = BitReader(frame)
        if r.u(2) != 2:
            raise BitstreamError("frame_marker is not 2")
        profile = r.u(1) | r.u(1) << 1
        if profile == 3 and r.u(1):
            raise BitstreamError("profiles above 3 are reserved")
        if r.u(1):
            shown = self._reference(r.u(3))
            r.align()
            self._show(shown.width, shown.height, shown.chroma)
            return slice_unit(
                span, "repeat frame", shown.slice_type, qp=shown.qp, overhead=0, header=r.position, other=r.bits_left()
            )
        flags = r.u(3)
        inter, show, error_resilient = flags >> 2, flags >> 1 & 1, flags & 1
        kind, slice_type, refresh = "key frame", "I", 0xFF
        if not inter:
            self._sync(r)
            self._chroma = _color_config(r, profile)
            width, height = _frame_size(r)
            _render_size(r)
        else:
            intra_only = 0 if show else r.u(1)
            if not error_resilient:
                r.u(2)  # reset_frame_context
            if intra_only:
                kind = "intra-only frame"
                self._sync(r)
                self._chroma = _color_config(r, profile) if profile else "4:2:0"
                refresh = r.u(8)
                width, height = _frame_size(r)
                _render_size(r)
            else:
                kind, slice_type = "inter frame", "P"
                refresh = r.u(8)
                width, height = self._inter(r)
        r.u(2 if error_resilient else 4)  # refresh_frame_context, frame_parallel_decoding_mode, frame_context_idx
        _loop_filter(r)
        base_q_idx = r.u(8)
        for _ in range(3):
            if r.u(1):
                r.u(5)
        if r.u(1):
            _segmentation(r)
        _tile_info(r, width)
        compressed_bytes = r.u(16)
        if not compressed_bytes:
            raise BitstreamError("header_size_in_bytes is 0")
        r.align()
        header = r.position + 8 * compressed_bytes
        if header > 8 * len(frame):
            raise BitstreamError(f"headers of {header // 8} bytes in a frame of {len(frame)} bytes")
        qp = VP9_QUANTIZER[base_q_idx]
        if refresh:
            reference = _Reference(width, height, self._chroma, slice_type, qp)
            for i in range(8):
                if refresh >> i & 1:
                    self._slots[i] = reference
        if show:
            self._show(width, height, self._chroma)
        return slice_unit(span, kind if show else f"hidden {kind}", slice_type, qp=qp, overhead=0, header=header)

    def _inter(self, r: BitReader) -> tuple[int, int]:
        """References, size and interpolation filter of an inter frame, clauses 6.2 and 6.2.5; width and height."""
        references = [r.u(4) >> 1 for _ in range(3)]  # ref_frame_idx, and ref_frame_sign_bias which is not needed
        sources = [self._reference(i) for i in references]
        for source in sources:
            if r.u(1):
                width, height = source.width, source.height
                break
        else:
            width, height = _frame_size(r)
        _render_size(r)
        r.u(1)  # allow_high_precision_mv
        if not r.u(1):
            r.u(2)
        return width, height

    def _reference(self, i: int) -> _Reference:
        reference = self._slots[i]
        if reference is None:
            raise BitstreamError(f"frame refers to slot {i}, which holds no frame yet")
        return reference

    def _show(self, width: int, height: int, chroma: str) -> None:
        before = self.geometry
        if before is None or (before.width, before.height, before.chroma) != (width, height, chroma):
            self.geometry = Geometry(width, height, width + 7 & ~7, height + 7 & ~7, chroma)

    def _sync(self, r: BitReader) -> None:
        if r.u(24) != _SYNC_CODE:
            raise BitstreamError("frame_sync_code is not 49 83 42")


def _superframe(data: bytes) -> tuple[list[int], int]:
    """Sizes of the frames and of the superframe index, Annex B; without an index one frame is the whole packet."""
    marker = data[-1]
    if marker & 0xE0 == 0xC0:
        n_frames, size_bytes = (marker & 7) + 1, (marker >> 3 & 3) + 1
        index_bytes = 2 + n_frames * size_bytes
        if index_bytes <= len(data) and data[-index_bytes] == marker:
            first = len(data) - index_bytes + 1
            sizes = [
                int.from_bytes(data[first + i * size_bytes : first + (i + 1) * size_bytes], "little")
                for i in range(n_frames)
            ]
            if sum(sizes) + index_bytes != len(data) or not all(sizes):
                raise BitstreamError(
                    f"superframe index of {index_bytes} bytes lists frames of {sizes} bytes in {len(data)} bytes"
                )
            return sizes, index_bytes
    return [len(data)], 0


def _color_config(r: BitReader, profile: int) -> str:
    """color_config(), clause 6.2.2; the chroma format."""
    if profile >= 2:
        r.u(1)  # ten_or_twelve_bit
    subsampled = (1, 1)
    if r.u(3) != _CS_RGB:
        r.u(1)  # color_range
        if profile & 1:
            subsampled = (r.u(1), r.u(1))
            r.u(1)
    elif profile & 1:
        subsampled = (0, 0)
        r.u(1)
    else:
        raise BitstreamError(f"RGB is not allowed in profile {profile}")
    return _CHROMA[subsampled]


def _frame_size(r: BitReader) -> tuple[int, int]:
    return r.u(16) + 1, r.u(16) + 1


def _render_size(r: BitReader) -> None:
    if r.u(1):
        r.u(32)


def _loop_filter(r: BitReader) -> None:
    """loop_filter_params(), clause 6.2.8."""
    r.u(9)
    if r.u(1) and r.u(1):
        for _ in range(6):
            if r.u(1):
                r.u(7)


def _segmentation(r: BitReader) -> None:
    """segmentation_params() of a frame that has segments, clause 6.2.11."""
    if r.u(1):
        for _ in range(7):
            if r.u(1):
                r.u(8)
        if r.u(1):
            for _ in range(3):
                if r.u(1):
                    r.u(8)
    if r.u(1):
        r.u(1)
        for _ in range(8):
            for n_bits in _FEATURE_BITS:
                if r.u(1):
                    r.u(n_bits)


def _tile_info(r: BitReader, width: int) -> None:
    """tile_info(), clause 6.2.13."""
    sb_columns = width + 63 >> 6
    log2 = 0
    while 64 << log2 < sb_columns:
        log2 += 1
    while sb_columns >> (log2 + 1) >= 4 and r.u(1):
        log2 += 1
    if r.u(1):
        r.u(1)
