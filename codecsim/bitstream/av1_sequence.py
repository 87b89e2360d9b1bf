"""AV1: the sequence header.

Source: "AV1 Bitstream & Decoding Process Specification" with errata 1, clause 5.5.
"""

from dataclasses import dataclass

from codecsim.bitstream.bits import BitReader
from codecsim.errors import BitstreamError

SELECT = 2
"""Value of a sequence-wide choice that leaves it to every frame: SELECT_SCREEN_CONTENT_TOOLS, SELECT_INTEGER_MV."""

_BT709, _SRGB, _IDENTITY = 1, 13, 0  # color_primaries, transfer_characteristics, matrix_coefficients


@dataclass(frozen=True, slots=True)
class Sequence:
    """What frame headers depend on, named as in the specification where it has a name."""

    width: int  # max_frame_width_minus_1 + 1; frames may override it
    height: int
    chroma: str
    reduced_still_picture_header: bool
    presentation_time_bits: int  # 0 where frame headers have no temporal_point_info
    decoder_model: bool
    removal_time_bits: int
    timed_operating_points: tuple[int, ...]  # operating_point_idc of those with a decoder model
    frame_width_bits: int
    frame_height_bits: int
    frame_id_bits: int  # 0 where there are no frame ids
    delta_frame_id_bits: int
    use_128x128_superblock: bool
    warped_motion: bool
    ref_frame_mvs: bool
    force_screen_content_tools: int
    force_integer_mv: int
    order_hint_bits: int  # 0 where there are no order hints
    superres: bool
    cdef: bool
    restoration: bool
    mono_chrome: bool
    subsampled_both: bool
    separate_uv_delta_q: bool
    film_grain: bool


def read_sequence(r: BitReader) -> Sequence:
    """sequence_header_obu(), clause 5.5.1."""
    profile = r.u(3)
    if profile > 2:
        raise BitstreamError(f"seq_profile is {profile}; at most 2 is allowed")
    r.u(1)  # still_picture
    reduced = r.u(1)
    presentation_bits = removal_bits = decoder_model = 0
    timed: list[int] = []
    if reduced:
        r.u(5)
    else:
        delay_bits = 0
        if r.u(1):
            r.u(64)
            equal_interval = r.u(1)
            if equal_interval:
                r.uvlc()
            decoder_model = r.u(1)
            if decoder_model:
                delay_bits = r.u(5) + 1
                r.u(32)
                removal_bits = r.u(5) + 1
                presentation_bits = r.u(5) + 1
                if equal_interval:
                    presentation_bits = 0
        display_delay = r.u(1)
        for _ in range(r.u(5) + 1):
            operating_point = r.u(12)
            if r.u(5) > 7:
                r.u(1)
            if decoder_model and r.u(1):
                timed.append(operating_point)
                r.u(2 * delay_bits + 1)
            if display_delay and r.u(1):
                r.u(4)
    width_bits, height_bits = r.u(4) + 1, r.u(4) + 1
    width, height = r.u(width_bits) + 1, r.u(height_bits) + 1
    id_bits = delta_id_bits = 0
    if not reduced and r.u(1):
        delta_id_bits = r.u(4) + 2
        id_bits = r.u(3) + delta_id_bits + 1
        if id_bits > 16:
            raise BitstreamError(f"frame ids of {id_bits} bits; at most 16 are allowed")
    use_128 = r.u(1)
    r.u(2)  # enable_filter_intra, enable_intra_edge_filter
    warped = ref_frame_mvs = order_hint_bits = 0
    screen_tools = integer_mv = SELECT
    if not reduced:
        r.u(2)  # enable_interintra_compound, enable_masked_compound
        warped = r.u(1)
        r.u(1)  # enable_dual_filter
        order_hint = r.u(1)
        if order_hint:
            r.u(1)  # enable_jnt_comp
            ref_frame_mvs = r.u(1)
        if not r.u(1):
            screen_tools = r.u(1)
        if screen_tools and not r.u(1):
            integer_mv = r.u(1)
        if order_hint:
            order_hint_bits = r.u(3) + 1
    superres, cdef, restoration = r.u(1), r.u(1), r.u(1)
    mono, subsampling, separate_uv = _color_config(r, profile)
    film_grain = r.u(1)
    chroma = "4:0:0" if mono else {(1, 1): "4:2:0", (1, 0): "4:2:2", (0, 0): "4:4:4"}[subsampling]
    return Sequence(
        width=width,
        height=height,
        chroma=chroma,
        reduced_still_picture_header=reduced == 1,
        presentation_time_bits=presentation_bits,
        decoder_model=decoder_model == 1,
        removal_time_bits=removal_bits,
        timed_operating_points=tuple(timed),
        frame_width_bits=width_bits,
        frame_height_bits=height_bits,
        frame_id_bits=id_bits,
        delta_frame_id_bits=delta_id_bits,
        use_128x128_superblock=use_128 == 1,
        warped_motion=warped == 1,
        ref_frame_mvs=ref_frame_mvs == 1,
        force_screen_content_tools=screen_tools,
        force_integer_mv=integer_mv,
        order_hint_bits=order_hint_bits,
        superres=superres == 1,
        cdef=cdef == 1,
        restoration=restoration == 1,
        mono_chrome=mono,
        subsampled_both=subsampling == (1, 1),
        separate_uv_delta_q=separate_uv,
        film_grain=film_grain == 1,
    )


def _color_config(r: BitReader, profile: int) -> tuple[bool, tuple[int, int], bool]:
    """color_config(), clause 5.5.2.

    Returns
    -------
    mono_chrome, (subsampling_x, subsampling_y), separate_uv_delta_q
    """
    bit_depth = 8
    if r.u(1):
        bit_depth = 12 if profile == 2 and r.u(1) else 10
    mono = profile != 1 and r.u(1) == 1
    description = (r.u(8), r.u(8), r.u(8)) if r.u(1) else None
    if mono:
        r.u(1)
        return True, (1, 1), False
    if description == (_BT709, _SRGB, _IDENTITY):
        subsampling = (0, 0)
    else:
        r.u(1)
        if profile == 0:
            subsampling = (1, 1)
        elif profile == 1:
            subsampling = (0, 0)
        elif bit_depth == 12:
            horizontal = r.u(1)
            subsampling = (horizontal, r.u(1) if horizontal else 0)
        else:
            subsampling = (1, 0)
        if subsampling == (1, 1):
            r.u(2)
    return False, subsampling, r.u(1) == 1
