"""Parameter sets of ITU-T H.265: what slice headers and the size of the pictures depend on."""

from dataclasses import dataclass

from codecsim.bitstream.bits import BitReader
from codecsim.bitstream.unit import CHROMA, Geometry
from codecsim.errors import BitstreamError

_SIDE_MAX = 2**16  # eight times what level 6.2 allows
_DELTA_POCS_MAX = 16  # sps_max_dec_pic_buffering_minus1, clause 7.4.3.2.1

RefPicSet = tuple[tuple[tuple[int, bool], ...], tuple[tuple[int, bool], ...]]
"""Pictures before and after the current one, nearest first: DeltaPoc, and whether the current picture uses them."""


@dataclass(frozen=True, slots=True)
class Sps:
    """What a slice segment header needs of seq_parameter_set_rbsp()."""

    geometry: Geometry
    separate_colour_planes: bool
    chroma_array_type: int
    qp_min: int
    poc_lsb_bits: int
    ctbs: int
    ref_pic_sets: tuple[RefPicSet, ...]
    long_term: bool
    long_term_used: tuple[bool, ...]
    temporal_mvp: bool
    sao: bool
    integer_mv_choice: bool


@dataclass(frozen=True, slots=True)
class Pps:
    """What a slice segment header needs of pic_parameter_set_rbsp()."""

    sps_id: int
    dependent_slices: bool
    output_flag: bool
    extra_bits: int
    cabac_init: bool
    n_refs_default: tuple[int, int]
    qp_initial: int
    chroma_qp_offsets: bool
    weighted_p: bool
    weighted_b: bool
    entry_points: bool
    loop_filter_across_slices: bool
    deblocking_override: bool
    deblocking_disabled: bool
    lists_modification: bool
    extension: bool
    chroma_qp_offset_lists: bool
    current_picture_ref: bool
    act_qp_offsets: bool


def read_sps(r: BitReader) -> tuple[int, Sps]:
    """seq_parameter_set_rbsp(), clause 7.3.2.2; the id and the set."""
    r.u(4)  # sps_video_parameter_set_id
    sub_layers = r.u(3)
    if sub_layers > 6:
        raise BitstreamError(f"sps_max_sub_layers_minus1 is {sub_layers}; at most 6 is allowed")
    r.u(1)
    _profile_tier_level(r, sub_layers)
    sps_id = r.ue(15, "sps_seq_parameter_set_id")
    chroma_format = r.ue(3, "chroma_format_idc")
    separate_planes = chroma_format == 3 and r.u(1) == 1
    array_type = 0 if separate_planes else chroma_format
    width = r.ue(_SIDE_MAX, "pic_width_in_luma_samples")
    height = r.ue(_SIDE_MAX, "pic_height_in_luma_samples")
    left = right = top = bottom = 0
    if r.u(1):
        left, right, top, bottom = r.ue(), r.ue(), r.ue(), r.ue()
    luma_depth = r.ue(8, "bit_depth_luma_minus8") + 8
    chroma_depth = r.ue(8, "bit_depth_chroma_minus8") + 8
    poc_lsb_bits = r.ue(12, "log2_max_pic_order_cnt_lsb_minus4") + 4
    for _ in range(sub_layers + 1 if r.u(1) else 1):
        r.ue(15, "sps_max_dec_pic_buffering_minus1")
        r.ue()
        r.ue()
    log2_min_cb = r.ue(3, "log2_min_luma_coding_block_size_minus3") + 3
    log2_ctb = log2_min_cb + r.ue(6 - log2_min_cb, "log2_diff_max_min_luma_coding_block_size")
    for _ in range(4):  # transform block sizes and hierarchy depths
        r.ue()
    if r.u(1) and r.u(1):
        _scaling_list_data(r)
    r.u(1)  # amp_enabled_flag
    sao = r.u(1)
    if r.u(1):
        r.u(8)
        r.ue()
        r.ue()
        r.u(1)
    sets: list[RefPicSet] = []
    n_sets = r.ue(64, "num_short_term_ref_pic_sets")
    for _ in range(n_sets):
        sets.append(read_ref_pic_set(r, sets, n_sets))
    long_term = r.u(1)
    used: list[bool] = []
    if long_term:
        for _ in range(r.ue(32, "num_long_term_ref_pics_sps")):
            r.u(poc_lsb_bits)
            used.append(r.u(1) == 1)
    temporal_mvp = r.u(1)
    r.u(1)  # strong_intra_smoothing_enabled_flag
    if r.u(1):
        _vui(r, sub_layers)
    integer_mv_choice = r.u(1) == 1 and _sps_extensions(r, chroma_format, luma_depth, chroma_depth)
    mask = (1 << log2_min_cb) - 1
    if width & mask or height & mask:
        raise BitstreamError(f"SPS codes {width}×{height} pixels, which are not whole blocks of {mask + 1}")
    unit_x = 2 if chroma_format in (1, 2) else 1  # SubWidthC, SubHeightC: table 6-1
    unit_y = 2 if chroma_format == 1 else 1
    geometry = Geometry(
        width - unit_x * (left + right), height - unit_y * (top + bottom), width, height, CHROMA[chroma_format]
    )
    if geometry.width < 1 or geometry.height < 1:
        raise BitstreamError(f"SPS crops its {width}×{height} picture to {geometry.width}×{geometry.height}")
    return sps_id, Sps(
        geometry=geometry,
        separate_colour_planes=separate_planes,
        chroma_array_type=array_type,
        qp_min=-6 * (luma_depth - 8),
        poc_lsb_bits=poc_lsb_bits,
        ctbs=-(-width >> log2_ctb) * -(-height >> log2_ctb),
        ref_pic_sets=tuple(sets),
        long_term=long_term == 1,
        long_term_used=tuple(used),
        temporal_mvp=temporal_mvp == 1,
        sao=sao == 1,
        integer_mv_choice=integer_mv_choice,
    )


def read_pps(r: BitReader) -> tuple[int, Pps]:
    """pic_parameter_set_rbsp(), clause 7.3.2.3; the id and the set."""
    pps_id = r.ue(63, "pps_pic_parameter_set_id")
    sps_id = r.ue(15, "pps_seq_parameter_set_id")
    dependent_slices, output_flag, extra_bits = r.u(1), r.u(1), r.u(3)
    r.u(1)  # sign_data_hiding_enabled_flag
    cabac_init = r.u(1)
    n_refs_l0, n_refs_l1 = r.ue(14, "num_ref_idx_l0_default") + 1, r.ue(14, "num_ref_idx_l1_default") + 1
    qp_initial = 26 + r.se()
    r.u(1)  # constrained_intra_pred_flag
    transform_skip = r.u(1)
    if r.u(1):
        r.ue()  # diff_cu_qp_delta_depth
    r.se()
    r.se()
    chroma_qp_offsets, weighted_p, weighted_b = r.u(1), r.u(1), r.u(1)
    r.u(1)  # transquant_bypass_enabled_flag
    tiles, wavefront = r.u(1), r.u(1)
    if tiles:
        columns, rows = r.ue(_SIDE_MAX, "num_tile_columns_minus1"), r.ue(_SIDE_MAX, "num_tile_rows_minus1")
        if not r.u(1):
            for _ in range(columns + rows):
                r.ue()
        r.u(1)
    across_slices = r.u(1)
    deblocking_override = deblocking_disabled = 0
    if r.u(1):
        deblocking_override, deblocking_disabled = r.u(1), r.u(1)
        if not deblocking_disabled:
            r.se()
            r.se()
    if r.u(1):
        _scaling_list_data(r)
    lists_modification = r.u(1)
    r.ue()  # log2_parallel_merge_level_minus2
    extension = r.u(1)
    qp_offset_lists = current_ref = act_offsets = False
    if r.u(1):
        qp_offset_lists, current_ref, act_offsets = _pps_extensions(r, transform_skip == 1)
    return pps_id, Pps(
        sps_id=sps_id,
        dependent_slices=dependent_slices == 1,
        output_flag=output_flag == 1,
        extra_bits=extra_bits,
        cabac_init=cabac_init == 1,
        n_refs_default=(n_refs_l0, n_refs_l1),
        qp_initial=qp_initial,
        chroma_qp_offsets=chroma_qp_offsets == 1,
        weighted_p=weighted_p == 1,
        weighted_b=weighted_b == 1,
        entry_points=tiles == 1 or wavefront == 1,
        loop_filter_across_slices=across_slices == 1,
        deblocking_override=deblocking_override == 1,
        deblocking_disabled=deblocking_disabled == 1,
        lists_modification=lists_modification == 1,
        extension=extension == 1,
        chroma_qp_offset_lists=qp_offset_lists,
        current_picture_ref=current_ref,
        act_qp_offsets=act_offsets,
    )


def read_ref_pic_set(r: BitReader, sets: list[RefPicSet] | tuple[RefPicSet, ...], n_sets: int) -> RefPicSet:
    """st_ref_pic_set(len(sets)), clauses 7.3.7 and 7.4.8; in a slice header all `n_sets` of the SPS are in `sets`."""
    index = len(sets)
    if index and r.u(1):
        back = r.ue(index - 1, "delta_idx_minus1") + 1 if index == n_sets else 1
        sign = r.u(1)
        delta = (1 - 2 * sign) * (r.ue(2**15 - 1, "abs_delta_rps_minus1") + 1)
        before, after = sets[index - back]
        chosen = []
        for poc, _ in (*before, *after, (0, False)):
            used = r.u(1) == 1
            if used or r.u(1):
                chosen.append((poc + delta, used))
        # equations 7-61 and 7-62 visit the pictures in this order, which is by distance
        earlier = tuple(sorted((p for p in chosen if p[0] < 0), reverse=True))
        later = tuple(sorted(p for p in chosen if p[0] > 0))
    else:
        n_earlier = r.ue(_DELTA_POCS_MAX, "num_negative_pics")
        n_later = r.ue(_DELTA_POCS_MAX - n_earlier, "num_positive_pics")
        earlier, later = _pictures(r, n_earlier, -1), _pictures(r, n_later, 1)
    if len(earlier) + len(later) > _DELTA_POCS_MAX:
        raise BitstreamError(f"a reference picture set has more than {_DELTA_POCS_MAX} pictures")
    return earlier, later


def _pictures(r: BitReader, n: int, direction: int) -> tuple[tuple[int, bool], ...]:
    poc = 0
    pictures = []
    for _ in range(n):
        poc += direction * (r.ue(2**15 - 1, "delta_poc_minus1") + 1)
        pictures.append((poc, r.u(1) == 1))
    return tuple(pictures)


def _profile_tier_level(r: BitReader, sub_layers: int) -> None:
    """profile_tier_level(1, sub_layers), clause 7.3.3."""
    r.u(96)
    if sub_layers:
        present = [(r.u(1), r.u(1)) for _ in range(8)][:sub_layers]
        for profile, level in present:
            r.u(88 * profile + 8 * level)


def _scaling_list_data(r: BitReader) -> None:
    """scaling_list_data(), clause 7.3.4."""
    for size in range(4):
        for _ in range(0, 6, 3 if size == 3 else 1):
            if not r.u(1):
                r.ue()
                continue
            if size > 1:
                r.se()
            for _ in range(min(64, 1 << (4 + 2 * size))):
                r.se()


def _vui(r: BitReader, sub_layers: int) -> None:
    """vui_parameters(), clause E.2.1."""
    if r.u(1) and r.u(8) == 255:
        r.u(32)
    if r.u(1):
        r.u(1)
    if r.u(1):
        r.u(4)
        if r.u(1):
            r.u(24)
    if r.u(1):
        r.ue()
        r.ue()
    r.u(3)
    if r.u(1):
        for _ in range(4):
            r.ue()
    if r.u(1):
        r.u(64)
        if r.u(1):
            r.ue()
        if r.u(1):
            _hrd(r, sub_layers)
    if r.u(1):
        r.u(3)
        for _ in range(5):
            r.ue()


def _hrd(r: BitReader, sub_layers: int) -> None:
    """hrd_parameters(1, sub_layers), clause E.2.2."""
    kinds = r.u(1) + r.u(1)
    sub_pictures = 0
    if kinds:
        sub_pictures = r.u(1)
        r.u(19 * sub_pictures + 8 + 4 * sub_pictures + 15)
    for _ in range(sub_layers + 1):
        fixed_rate = r.u(1) or r.u(1)
        low_delay = 0
        if fixed_rate:
            r.ue()
        else:
            low_delay = r.u(1)
        n_buffers = 1 if low_delay else r.ue(31, "cpb_cnt_minus1") + 1
        for _ in range(kinds * n_buffers):
            for _ in range(2 + 2 * sub_pictures):
                r.ue()
            r.u(1)


def _sps_extensions(r: BitReader, chroma_format: int, luma_depth: int, chroma_depth: int) -> bool:
    """Extensions of an SPS, clauses 7.3.2.2.2 and 7.3.2.2.3; whether slices choose integer motion vectors."""
    in_range, multilayer, three_d, screen = r.u(1), r.u(1), r.u(1), r.u(1)
    r.u(4)
    if not screen:
        return False
    if three_d:
        raise BitstreamError("SPS has both 3D and screen content extensions, which this parser does not read")
    r.u(9 * in_range + multilayer)
    r.u(1)  # sps_curr_pic_ref_enabled_flag
    if r.u(1):
        r.ue()
        r.ue()
        if r.u(1):
            n = r.ue() + 1
            r.skip(n * (luma_depth + (2 * chroma_depth if chroma_format else 0)))
    return r.u(2) == 2  # motion_vector_resolution_control_idc


def _pps_extensions(r: BitReader, transform_skip: bool) -> tuple[bool, bool, bool]:
    """Extensions of a PPS, clauses 7.3.2.3.2 and 7.3.2.3.3.

    Returns
    -------
    chroma_qp_offset_lists, current_picture_ref, act_qp_offsets : whether slice headers have or heed these
    """
    in_range, multilayer, three_d, screen = r.u(1), r.u(1), r.u(1), r.u(1)
    r.u(4)
    qp_offset_lists = current_ref = act_offsets = 0
    if in_range:
        if transform_skip:
            r.ue()
        r.u(1)
        qp_offset_lists = r.u(1)
        if qp_offset_lists:
            r.ue()
            for _ in range(2 * (r.ue(5, "chroma_qp_offset_list_len_minus1") + 1)):
                r.se()
        r.ue()
        r.ue()
    if screen:
        if multilayer or three_d:
            raise BitstreamError("PPS has screen content beside other extensions, which this parser does not read")
        current_ref = r.u(1)
        act_offsets = r.u(1) and r.u(1)
    return qp_offset_lists == 1, current_ref == 1, act_offsets == 1
