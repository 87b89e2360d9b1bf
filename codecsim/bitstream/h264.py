"""ITU-T H.264 (Annex B): parameter sets, and slice headers to the exact bit.

Purposes: start codes, zero bytes around them, NAL headers and every emulation_prevention_three_byte are NAL overhead;
SPS, SPS extension, subset SPS and PPS payloads are parameter sets; slice_header() of clause 7.3.3 is header; all that
follows it (cabac alignment, slice data, trailing bits, cabac_zero_words) is slice data. Delimiters, filler, auxiliary
and scalable or multiview pictures are other. Types SP and SI count as P and I.
"""

import math
from dataclasses import dataclass

from codecsim.bitstream.annexb import EMULATION_PREVENTION, split, unescape
from codecsim.bitstream.bits import BitReader
from codecsim.bitstream.unit import CHROMA, Geometry, Span, Unit, plain_unit, slice_unit
from codecsim.errors import BitstreamError

_P, _B, _I, _SP, _SI = range(5)  # slice_type modulo 5, table 7-6
_COUNTED_AS = ("P", "B", "I", "P", "I")
_KINDS = ("P slice", "B slice", "I slice", "SP slice", "SI slice")

_SLICE, _PARTITION_A, _PARTITION_B, _PARTITION_C, _IDR = 1, 2, 3, 4, 5  # nal_unit_type, table 7-1
_SPS, _PPS = 7, 8
_PLAIN = {
    6: ("SEI", "bits_sei"),
    _SPS: ("SPS", "bits_parameter_sets"),
    _PPS: ("PPS", "bits_parameter_sets"),
    9: ("AUD", "bits_other"),
    10: ("end of sequence", "bits_other"),
    11: ("end of stream", "bits_other"),
    12: ("filler", "bits_other"),
    13: ("SPS extension", "bits_parameter_sets"),
    14: ("prefix NAL unit", "bits_other"),
    15: ("subset SPS", "bits_parameter_sets"),
    19: ("auxiliary slice", "bits_other"),
    20: ("extension slice", "bits_other"),
    21: ("depth slice", "bits_other"),
}
_WITH_CHROMA_FORMAT = {44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244}  # profile_idc, clause 7.3.2.1.1
_MB_SIDES_MAX = 2**12  # 65536 pixels, 60 times what level 6.2 allows in all


@dataclass(frozen=True, slots=True)
class _Sps:
    geometry: Geometry
    separate_colour_planes: bool
    chroma_array_type: int
    qp_min: int
    frame_num_bits: int
    poc_type: int
    poc_lsb_bits: int
    delta_poc_always_zero: bool
    frame_mbs_only: bool
    map_units: int


@dataclass(frozen=True, slots=True)
class _Pps:
    sps_id: int
    cabac: bool
    bottom_field_poc: bool
    n_refs_default: tuple[int, int]
    weighted_p: bool
    weighted_b_explicit: bool
    qp_initial: int
    deblocking_control: bool
    redundant_pictures: bool
    slice_group_change_rate: int  # 0 where slice headers have no slice_group_change_cycle


class H264Parser:
    """Units of an H.264 stream, packet after packet; see `codecsim.bitstream.unit.Parser`."""

    def __init__(self) -> None:
        self.geometry: Geometry | None = None
        self.offset = 0
        self._sps: dict[int, _Sps] = {}
        self._pps: dict[int, _Pps] = {}
        self._partitioned = ""

    def parse(self, packet: int, data: bytes) -> list[Unit]:
        """Units of one packet."""
        units = []
        self.offset = 0
        for offset, n_bytes, nal in split(data):
            self.offset = offset
            if not nal:
                raise BitstreamError("empty NAL unit")
            if nal[0] & 0x80:
                raise BitstreamError("forbidden_zero_bit is set")
            emulation = nal.count(EMULATION_PREVENTION)
            overhead = 8 * (n_bytes - len(nal) + 1 + emulation)
            if emulation:
                nal = unescape(nal)  # noqa: PLW2901
            nal_type = nal[0] & 0x1F
            span = (packet, offset, n_bytes)
            if nal_type in (_SLICE, _IDR, _PARTITION_A):
                slice_type, qp, header = self._slice_header(nal, nal_type)
                kind = "IDR slice" if nal_type == _IDR else _KINDS[slice_type]
                self._partitioned = _COUNTED_AS[slice_type] if nal_type == _PARTITION_A else ""
                units.append(slice_unit(span, kind, _COUNTED_AS[slice_type], qp=qp, overhead=overhead, header=header))
                continue
            if nal_type in (_PARTITION_B, _PARTITION_C):
                units.append(self._partition(span, nal_type, overhead))
                continue
            if nal_type == _SPS:
                self._read_sps(BitReader(nal, 8))
            elif nal_type == _PPS:
                self._read_pps(BitReader(nal, 8))
            kind, purpose = _PLAIN.get(nal_type, (f"NAL unit type {nal_type}", "bits_other"))
            units.append(plain_unit(span, kind, overhead, purpose))
        return units

    def _partition(self, span: Span, nal_type: int, overhead: int) -> Unit:
        """Data partition B or C, clause 7.3.2.9: its few bits of slice_id count as data."""
        if not self._partitioned:
            raise BitstreamError("data partition B or C without a partition A before it")
        kind = "data partition B" if nal_type == _PARTITION_B else "data partition C"
        return slice_unit(span, kind, self._partitioned, qp=math.nan, overhead=overhead, header=0)

    def _slice_header(self, nal: bytes, nal_type: int) -> tuple[int, float, int]:
        """slice_header(), clause 7.3.3.

        Returns
        -------
        slice_type, qp, n_bits : type modulo 5, SliceQPY, and bits from the first after the NAL header on
        """
        r = BitReader(nal, 8)
        r.ue()  # first_mb_in_slice
        slice_type = r.ue(9, "slice_type") % 5
        pps_id = r.ue(255, "pic_parameter_set_id")
        pps = self._pps.get(pps_id)
        if pps is None:
            raise BitstreamError(f"slice refers to PPS {pps_id}, which was not sent before it")
        sps = self._sps.get(pps.sps_id)
        if sps is None:
            raise BitstreamError(f"slice refers to SPS {pps.sps_id}, which was not sent before it")
        self.geometry = sps.geometry
        if sps.separate_colour_planes:
            r.u(2)
        r.u(sps.frame_num_bits)
        field = 0
        if not sps.frame_mbs_only:
            field = r.u(1)
            if field:
                r.u(1)  # bottom_field_flag
        if nal_type == _IDR:
            r.ue(65535, "idr_pic_id")
        if sps.poc_type == 0:
            r.u(sps.poc_lsb_bits)
            if pps.bottom_field_poc and not field:
                r.se()
        elif sps.poc_type == 1 and not sps.delta_poc_always_zero:
            r.se()
            if pps.bottom_field_poc and not field:
                r.se()
        if pps.redundant_pictures:
            r.ue(127, "redundant_pic_cnt")
        if slice_type == _B:
            r.u(1)  # direct_spatial_mv_pred_flag
        if slice_type in (_P, _SP, _B):
            _references(r, pps, sps, slice_type, 32 if field else 16)
        if nal[0] & 0x60:
            _dec_ref_pic_marking(r, nal_type)
        if pps.cabac and slice_type not in (_I, _SI):
            r.ue(2, "cabac_init_idc")
        qp = pps.qp_initial + r.se()
        if not sps.qp_min <= qp <= 51:
            raise BitstreamError(f"slice QP is {qp}; allowed: {sps.qp_min} to 51")
        if slice_type in (_SP, _SI):
            if slice_type == _SP:
                r.u(1)
            r.se()  # slice_qs_delta
        if pps.deblocking_control and r.ue(2, "disable_deblocking_filter_idc") != 1:
            r.se()
            r.se()
        if pps.slice_group_change_rate:
            cycles = -(-sps.map_units // pps.slice_group_change_rate)
            r.u(cycles.bit_length())  # Ceil(Log2(PicSizeInMapUnits ÷ SliceGroupChangeRate + 1)), clause 7.4.3
        return slice_type, float(qp), r.position - 8

    def _read_sps(self, r: BitReader) -> None:
        """seq_parameter_set_data(), clause 7.3.2.1.1, up to the VUI."""
        profile = r.u(8)
        r.u(16)  # constraint flags, level
        sps_id = r.ue(31, "seq_parameter_set_id")
        chroma_format, separate_planes, luma_depth = 1, False, 8
        if profile in _WITH_CHROMA_FORMAT:
            chroma_format = r.ue(3, "chroma_format_idc")
            separate_planes = chroma_format == 3 and r.u(1) == 1
            luma_depth += r.ue(6, "bit_depth_luma_minus8")
            r.ue(6, "bit_depth_chroma_minus8")
            r.u(1)  # qpprime_y_zero_transform_bypass_flag
            if r.u(1):
                for i in range(12 if chroma_format == 3 else 8):
                    if r.u(1):
                        _scaling_list(r, 16 if i < 6 else 64)
        frame_num_bits = r.ue(12, "log2_max_frame_num_minus4") + 4
        poc_type = r.ue(2, "pic_order_cnt_type")
        poc_lsb_bits, delta_always_zero = 0, False
        if poc_type == 0:
            poc_lsb_bits = r.ue(12, "log2_max_pic_order_cnt_lsb_minus4") + 4
        elif poc_type == 1:
            delta_always_zero = r.u(1) == 1
            r.se()
            r.se()
            for _ in range(r.ue(255, "num_ref_frames_in_pic_order_cnt_cycle")):
                r.se()
        r.ue(16, "max_num_ref_frames")
        r.u(1)  # gaps_in_frame_num_value_allowed_flag
        width_mbs = r.ue(_MB_SIDES_MAX - 1, "pic_width_in_mbs_minus1") + 1
        height_units = r.ue(_MB_SIDES_MAX - 1, "pic_height_in_map_units_minus1") + 1
        frame_mbs_only = r.u(1)
        if not frame_mbs_only:
            r.u(1)  # mb_adaptive_frame_field_flag
        r.u(1)  # direct_8x8_inference_flag
        left = right = top = bottom = 0
        if r.u(1):
            left, right, top, bottom = r.ue(), r.ue(), r.ue(), r.ue()
        array_type = 0 if separate_planes else chroma_format
        unit_x = 2 if array_type in (1, 2) else 1  # CropUnitX, CropUnitY: equations 7-19 to 7-22
        unit_y = (2 if array_type == 1 else 1) * (2 - frame_mbs_only)
        coded_width, coded_height = 16 * width_mbs, 16 * height_units * (2 - frame_mbs_only)
        width = coded_width - unit_x * (left + right)
        height = coded_height - unit_y * (top + bottom)
        if width < 1 or height < 1:
            raise BitstreamError(f"SPS crops its {coded_width}×{coded_height} picture to {width}×{height}")
        self._sps[sps_id] = _Sps(
            geometry=Geometry(width, height, coded_width, coded_height, CHROMA[chroma_format]),
            separate_colour_planes=separate_planes,
            chroma_array_type=array_type,
            qp_min=-6 * (luma_depth - 8),
            frame_num_bits=frame_num_bits,
            poc_type=poc_type,
            poc_lsb_bits=poc_lsb_bits,
            delta_poc_always_zero=delta_always_zero,
            frame_mbs_only=frame_mbs_only == 1,
            map_units=width_mbs * height_units,
        )

    def _read_pps(self, r: BitReader) -> None:
        """pic_parameter_set_rbsp(), clause 7.3.2.2, up to the transform flags."""
        pps_id = r.ue(255, "pic_parameter_set_id")
        sps_id = r.ue(31, "seq_parameter_set_id")
        cabac, bottom_field_poc = r.u(1), r.u(1)
        change_rate = _slice_groups(r)
        n_refs_l0, n_refs_l1 = r.ue(31, "num_ref_idx_l0_default") + 1, r.ue(31, "num_ref_idx_l1_default") + 1
        weighted_p, weighted_b = r.u(1), r.u(2)
        qp_initial = 26 + r.se()
        r.se()  # pic_init_qs_minus26
        r.se()  # chroma_qp_index_offset
        deblocking_control = r.u(1)
        r.u(1)  # constrained_intra_pred_flag
        redundant = r.u(1)
        self._pps[pps_id] = _Pps(
            sps_id=sps_id,
            cabac=cabac == 1,
            bottom_field_poc=bottom_field_poc == 1,
            n_refs_default=(n_refs_l0, n_refs_l1),
            weighted_p=weighted_p == 1,
            weighted_b_explicit=weighted_b == 1,
            qp_initial=qp_initial,
            deblocking_control=deblocking_control == 1,
            redundant_pictures=redundant == 1,
            slice_group_change_rate=change_rate,
        )


def _references(r: BitReader, pps: _Pps, sps: _Sps, slice_type: int, n_refs_max: int) -> None:
    """Reference counts, ref_pic_list_modification() and pred_weight_table(), clauses 7.3.3 to 7.3.3.2."""
    n_lists = 2 if slice_type == _B else 1
    n_refs = pps.n_refs_default
    if r.u(1):
        n_refs = (
            r.ue(n_refs_max - 1, "num_ref_idx_l0_active_minus1") + 1,
            r.ue(n_refs_max - 1, "num_ref_idx_l1_active_minus1") + 1 if n_lists == 2 else 0,
        )
    for n in n_refs[:n_lists]:
        if r.u(1):
            for _ in range(n + 1):
                operation = r.ue(3, "modification_of_pic_nums_idc")
                if operation == 3:
                    break
                r.ue()
            else:
                raise BitstreamError(f"more than {n} modifications of a list of {n} reference pictures")
    if pps.weighted_b_explicit if slice_type == _B else pps.weighted_p:
        r.ue(7, "luma_log2_weight_denom")
        if sps.chroma_array_type:
            r.ue(7, "chroma_log2_weight_denom")
        for n in n_refs[:n_lists]:
            for _ in range(n):
                if r.u(1):
                    r.se()
                    r.se()
                if sps.chroma_array_type and r.u(1):
                    for _ in range(4):
                        r.se()


def _dec_ref_pic_marking(r: BitReader, nal_type: int) -> None:
    """dec_ref_pic_marking(), clause 7.3.3.3."""
    if nal_type == _IDR:
        r.u(2)
    elif r.u(1):
        for _ in range(66):  # each of 32 fields unmarked and marked again, then operations 4 and 0
            operation = r.ue(6, "memory_management_control_operation")
            if operation == 0:
                return
            if operation != 5:
                r.ue()
            if operation == 3:
                r.ue()
        raise BitstreamError("memory management control operations without end")


def _scaling_list(r: BitReader, size: int) -> None:
    """scaling_list(), clause 7.3.2.1.1.1."""
    last = 8
    for _ in range(size):
        following = (last + r.se()) % 256
        if following == 0:
            return
        last = following


def _slice_groups(r: BitReader) -> int:
    """Slice groups of a PPS, clause 7.3.2.2; SliceGroupChangeRate of the types that evolve, else 0."""
    n_groups = r.ue(7, "num_slice_groups_minus1") + 1
    if n_groups == 1:
        return 0
    map_type = r.ue(6, "slice_group_map_type")
    if map_type == 0:
        for _ in range(n_groups):
            r.ue()
    elif map_type == 2:
        for _ in range(2 * (n_groups - 1)):
            r.ue()
    elif map_type in (3, 4, 5):
        r.u(1)
        return r.ue() + 1
    elif map_type == 6:
        r.skip((r.ue() + 1) * (n_groups - 1).bit_length())
    return 0
