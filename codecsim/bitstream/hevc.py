"""ITU-T H.265 (Annex B): slice segment headers to the exact bit.

Purposes: start codes, zero bytes around them, the two bytes of NAL headers and every emulation_prevention_three_byte
are NAL overhead; VPS, SPS and PPS payloads are parameter sets; slice_segment_header() of clause 7.3.6.1, which ends
with byte_alignment(), is header; all that follows is slice data. Delimiters, filler and NAL units of further layers
(nuh_layer_id > 0) are other. A dependent slice segment has the type and QP of the slice that it belongs to.
"""

from codecsim.bitstream.annexb import EMULATION_PREVENTION, split, unescape
from codecsim.bitstream.bits import BitReader
from codecsim.bitstream.hevc_sets import Pps, Sps, read_pps, read_ref_pic_set, read_sps
from codecsim.bitstream.unit import Geometry, Unit, plain_unit, slice_unit
from codecsim.errors import BitstreamError

_B, _P, _I = range(3)  # slice_type, table 7-7
_TYPES = "BPI"

_SLICES = {*range(10), *range(16, 22)}  # nal_unit_type, table 7-1
_IRAP = range(16, 24)
_IDR = (19, 20)
_SPS, _PPS = 33, 34
_SLICE_KINDS = {16: "BLA slice", 17: "BLA slice", 18: "BLA slice", 19: "IDR slice", 20: "IDR slice", 21: "CRA slice"}
_PLAIN = {
    32: ("VPS", "bits_parameter_sets"),
    _SPS: ("SPS", "bits_parameter_sets"),
    _PPS: ("PPS", "bits_parameter_sets"),
    35: ("AUD", "bits_other"),
    36: ("end of sequence", "bits_other"),
    37: ("end of bitstream", "bits_other"),
    38: ("filler", "bits_other"),
    39: ("SEI", "bits_sei"),
    40: ("suffix SEI", "bits_sei"),
}


class HevcParser:
    """Units of an HEVC stream, packet after packet; see `codecsim.bitstream.unit.Parser`."""

    def __init__(self) -> None:
        self.geometry: Geometry | None = None
        self.offset = 0
        self._sps: dict[int, Sps] = {}
        self._pps: dict[int, Pps] = {}
        self._slice: tuple[int, float] | None = None  # type and QP of the last independent slice segment

    def parse(self, packet: int, data: bytes) -> list[Unit]:
        """Units of one packet."""
        units = []
        self.offset = 0
        for offset, n_bytes, nal in split(data):
            self.offset = offset
            if len(nal) < 2:
                raise BitstreamError(f"NAL unit of {len(nal)} bytes; its header alone has 2")
            if nal[0] & 0x80:
                raise BitstreamError("forbidden_zero_bit is set")
            emulation = nal.count(EMULATION_PREVENTION)
            overhead = 8 * (n_bytes - len(nal) + 2 + emulation)
            if emulation:
                nal = unescape(nal)  # noqa: PLW2901
            nal_type = nal[0] >> 1
            span = (packet, offset, n_bytes)
            layer = (nal[0] & 1) << 5 | nal[1] >> 3
            if nal_type in _SLICES and not layer:
                slice_type, qp, header = self._slice_header(nal, nal_type)
                kind = _SLICE_KINDS.get(nal_type) or f"{_TYPES[slice_type]} slice"
                units.append(slice_unit(span, kind, _TYPES[slice_type], qp=qp, overhead=overhead, header=header))
                continue
            if not layer and nal_type == _SPS:
                sps_id, sps = read_sps(BitReader(nal, 16))
                self._sps[sps_id] = sps
            elif not layer and nal_type == _PPS:
                pps_id, pps = read_pps(BitReader(nal, 16))
                self._pps[pps_id] = pps
            kind, purpose = _PLAIN.get(nal_type, (f"NAL unit type {nal_type}", "bits_other"))
            if layer:
                kind += f" of layer {layer}"
            units.append(plain_unit(span, kind, overhead, purpose))
        return units

    def _slice_header(self, nal: bytes, nal_type: int) -> tuple[int, float, int]:
        """slice_segment_header(), clause 7.3.6.1.

        Returns
        -------
        slice_type, qp, n_bits : slice_type, SliceQpY, and bits from the first after the NAL header on
        """
        r = BitReader(nal, 16)
        first = r.u(1)
        if nal_type in _IRAP:
            r.u(1)  # no_output_of_prior_pics_flag
        pps_id = r.ue(63, "slice_pic_parameter_set_id")
        pps = self._pps.get(pps_id)
        if pps is None:
            raise BitstreamError(f"slice refers to PPS {pps_id}, which was not sent before it")
        sps = self._sps.get(pps.sps_id)
        if sps is None:
            raise BitstreamError(f"slice refers to SPS {pps.sps_id}, which was not sent before it")
        self.geometry = sps.geometry
        dependent = 0
        if not first:
            if pps.dependent_slices:
                dependent = r.u(1)
            r.u((sps.ctbs - 1).bit_length())  # slice_segment_address
        if not dependent:
            self._slice = _independent(r, sps, pps, nal_type)
        elif self._slice is None:
            raise BitstreamError("dependent slice segment without a slice before it")
        if pps.entry_points:
            n_offsets = r.ue(what="num_entry_point_offsets")
            if n_offsets:
                r.skip(n_offsets * (r.ue(31, "offset_len_minus1") + 1))
        if pps.extension:
            r.skip(8 * r.ue(256, "slice_segment_header_extension_length"))
        if not r.u(1):
            raise BitstreamError("byte_alignment() at the end of a slice segment header begins with 0, not 1")
        r.align()
        assert self._slice is not None
        return *self._slice, r.position - 16


def _independent(r: BitReader, sps: Sps, pps: Pps, nal_type: int) -> tuple[int, float]:
    """Part of a slice segment header that dependent slice segments take over; slice_type and SliceQpY."""
    r.u(pps.extra_bits)
    slice_type = r.ue(2, "slice_type")
    if pps.output_flag:
        r.u(1)
    if sps.separate_colour_planes:
        r.u(2)
    n_used, temporal_mvp = int(pps.current_picture_ref), 0
    if nal_type not in _IDR:
        n_used += _reference_pictures(r, sps)
        if sps.temporal_mvp:
            temporal_mvp = r.u(1)
    loop_filtered = 0
    if sps.sao:
        loop_filtered = r.u(2 if sps.chroma_array_type else 1)
    if slice_type != _I:
        _inter(r, sps, pps, slice_type, n_used, temporal_mvp=temporal_mvp)
    qp = pps.qp_initial + r.se()
    if not sps.qp_min <= qp <= 51:
        raise BitstreamError(f"slice QP is {qp}; allowed: {sps.qp_min} to 51")
    if pps.chroma_qp_offsets:
        r.se()
        r.se()
    if pps.act_qp_offsets:
        r.se()
        r.se()
        r.se()
    if pps.chroma_qp_offset_lists:
        r.u(1)
    deblocking_disabled = pps.deblocking_disabled
    if pps.deblocking_override and r.u(1):
        deblocking_disabled = r.u(1) == 1
        if not deblocking_disabled:
            r.se()
            r.se()
    if pps.loop_filter_across_slices and (loop_filtered or not deblocking_disabled):
        r.u(1)
    return slice_type, float(qp)


def _reference_pictures(r: BitReader, sps: Sps) -> int:
    """Reference picture sets of a slice; NumPicTotalCurr of equation 7-55, without the current picture."""
    r.u(sps.poc_lsb_bits)
    sets = sps.ref_pic_sets
    if not r.u(1):
        chosen = read_ref_pic_set(r, sets, len(sets))
    else:
        index = r.u((len(sets) - 1).bit_length()) if len(sets) > 1 else 0
        if index >= len(sets):
            raise BitstreamError(f"short_term_ref_pic_set_idx is {index}; the SPS has {len(sets)} sets")
        chosen = sets[index]
    n_used = sum(used for pictures in chosen for _, used in pictures)
    if sps.long_term:
        candidates = sps.long_term_used
        n_from_sps = r.ue(32, "num_long_term_sps") if candidates else 0
        for i in range(n_from_sps + r.ue(32, "num_long_term_pics")):
            if i < n_from_sps:
                index = r.u((len(candidates) - 1).bit_length())
                if index >= len(candidates):
                    raise BitstreamError(f"lt_idx_sps is {index}; the SPS has {len(candidates)} pictures")
                n_used += candidates[index]
            else:
                r.u(sps.poc_lsb_bits)
                n_used += r.u(1)
            if r.u(1):
                r.ue()  # delta_poc_msb_cycle_lt
    return n_used


def _inter(r: BitReader, sps: Sps, pps: Pps, slice_type: int, n_used: int, *, temporal_mvp: int) -> None:
    """Fields of P and B slices: reference lists, their modification, collocated picture, weights."""
    n_refs = pps.n_refs_default if slice_type == _B else (pps.n_refs_default[0], 0)
    if r.u(1):
        n_refs = (
            r.ue(14, "num_ref_idx_l0_active_minus1") + 1,
            r.ue(14, "num_ref_idx_l1_active_minus1") + 1 if slice_type == _B else 0,
        )
    if pps.lists_modification and n_used > 1:
        for n in n_refs if slice_type == _B else n_refs[:1]:
            if r.u(1):
                r.u(n * (n_used - 1).bit_length())
    if slice_type == _B:
        r.u(1)  # mvd_l1_zero_flag
    if pps.cabac_init:
        r.u(1)
    if temporal_mvp:
        from_l0 = r.u(1) if slice_type == _B else 1
        if n_refs[0 if from_l0 else 1] > 1:
            r.ue(14, "collocated_ref_idx")
    if pps.weighted_b if slice_type == _B else pps.weighted_p:
        if pps.current_picture_ref:
            raise BitstreamError("weighted prediction beside current picture referencing: this parser cannot read it")
        _pred_weight_table(r, sps, n_refs)
    r.ue(4, "five_minus_max_num_merge_cand")
    if sps.integer_mv_choice:
        r.u(1)


def _pred_weight_table(r: BitReader, sps: Sps, n_refs: tuple[int, int]) -> None:
    """pred_weight_table(), clause 7.3.6.3, where no reference is the current picture."""
    r.ue(7, "luma_log2_weight_denom")
    if sps.chroma_array_type:
        r.se()
    for n in n_refs:
        luma = r.u(n)
        chroma = r.u(n) if sps.chroma_array_type else 0
        for _ in range(2 * luma.bit_count() + 4 * chroma.bit_count()):
            r.se()
