"""AV1: the frame header, and the state of the reference slots that it depends on.

Source: "AV1 Bitstream & Decoding Process Specification" with errata 1, clauses 5.9 and 7.20 to 7.21.
"""

from dataclasses import dataclass

from codecsim.bitstream.av1_motion import global_motion_params, short_references, skip_mode_allowed
from codecsim.bitstream.av1_sequence import SELECT, Sequence
from codecsim.bitstream.av1_tail import (
    Segments,
    cdef_params,
    film_grain_params,
    loop_filter_params,
    quantization_params,
    restoration_params,
    segmentation_params,
    tile_info,
)
from codecsim.bitstream.bits import BitReader
from codecsim.errors import BitstreamError

KEY, INTER, INTRA_ONLY, SWITCH = range(4)  # frame_type, clause 6.8.2
_NO_PRIMARY = 7  # PRIMARY_REF_NONE


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame as a reference slot keeps it, and what its header says of it."""

    frame_type: int
    shown: bool
    base_q_idx: int
    order_hint: int
    upscaled_width: int
    height: int
    segments: Segments
    tiles: int
    tile_bits: int


Slots = list[Frame | None]
"""The eight reference slots."""


def show_existing(r: BitReader, seq: Sequence, slots: Slots) -> Frame:
    """uncompressed_header(), clause 5.9.2, after a show_existing_frame of 1; a key frame refreshes every slot, 7.21."""
    i = r.u(3)
    frame = slots[i]
    if frame is None:
        raise BitstreamError(f"show_existing_frame names slot {i}, which holds no frame yet")
    r.u(seq.presentation_time_bits)
    r.u(seq.frame_id_bits)
    if frame.frame_type == KEY:
        slots[:] = [frame] * 8
    return frame


def read_frame(r: BitReader, seq: Sequence, slots: Slots, temporal_id: int, spatial_id: int) -> Frame:
    """uncompressed_header(), clause 5.9.2, after a show_existing_frame of 0, and the update of `slots`, clause 7.20."""
    reduced = seq.reduced_still_picture_header
    frame_type, show, showable, error_resilient = KEY, 1, 0, 1
    if not reduced:
        frame_type, show = r.u(2), r.u(1)
        if show:
            r.u(seq.presentation_time_bits)
            showable = int(frame_type != KEY)
        else:
            showable = r.u(1)
        if not (frame_type == SWITCH or (frame_type == KEY and show)):
            error_resilient = r.u(1)
    intra = frame_type in (KEY, INTRA_ONLY)
    disable_cdf_update = r.u(1)
    screen_tools = seq.force_screen_content_tools
    if screen_tools == SELECT:
        screen_tools = r.u(1)
    integer_mv = 0
    if screen_tools:
        integer_mv = r.u(1) if seq.force_integer_mv == SELECT else seq.force_integer_mv
    r.u(seq.frame_id_bits)
    size_override = 1 if frame_type == SWITCH else 0 if reduced else r.u(1)
    hint = r.u(seq.order_hint_bits)
    primary = _NO_PRIMARY if intra or error_resilient else r.u(3)
    if seq.decoder_model and r.u(1):
        for point in seq.timed_operating_points:
            if not point or (point >> temporal_id & 1 and point >> (spatial_id + 8) & 1):
                r.u(seq.removal_time_bits)
    refresh = 0xFF if frame_type == SWITCH or (frame_type == KEY and show) else r.u(8)
    if error_resilient and seq.order_hint_bits and (not intra or refresh != 0xFF):
        _reference_order_hints(r, seq, slots)
    references: list[Frame] = []
    high_precision = intrabc = 0
    if intra:
        size = _frame_size(r, seq, size_override)
        _render_size(r)
        if screen_tools and size[0] == size[2]:
            intrabc = r.u(1)
    else:
        references = _references(r, seq, slots, hint)
        if size_override and not error_resilient:
            size = _frame_size_with_refs(r, seq, references)
        else:
            size = _frame_size(r, seq, size_override)
            _render_size(r)
        if not integer_mv:
            high_precision = r.u(1)
        if not r.u(1):
            r.u(2)  # interpolation_filter
        r.u(1)  # is_motion_mode_switchable
        if not error_resilient and seq.ref_frame_mvs:
            r.u(1)
    upscaled_width, height, width = size
    if not reduced and not disable_cdf_update:
        r.u(1)  # disable_frame_end_update_cdf
    tiles, tile_bits = tile_info(r, seq, width, height)
    base_q_idx, deltas = quantization_params(r, seq)
    before = references[primary] if primary != _NO_PRIMARY else None
    segments = segmentation_params(r, before.segments if before else None, before is not None)
    delta_q = r.u(1) if base_q_idx else 0
    if delta_q:
        r.u(2)
        if not intrabc and r.u(1):
            r.u(3)
    lossless = not deltas and (not base_q_idx if segments is None else _all_lossless(base_q_idx, segments))
    if not lossless and not intrabc:
        loop_filter_params(r, seq)
        if seq.cdef:
            cdef_params(r, seq)
    if seq.restoration and not intrabc and not (lossless and width == upscaled_width):
        restoration_params(r, seq)
    if not lossless:
        r.u(1)  # tx_mode_select
    if not intra and r.u(1) and seq.order_hint_bits:  # reference_select
        hints = [reference.order_hint for reference in references]
        if skip_mode_allowed(hints, hint, seq.order_hint_bits):
            r.u(1)
    if not intra and not error_resilient and seq.warped_motion:
        r.u(1)
    r.u(1)  # reduced_tx_set
    if not intra:
        global_motion_params(r, high_precision)
    if seq.film_grain and (show or showable):
        film_grain_params(r, seq, frame_type == INTER)
    frame = Frame(frame_type, show == 1, base_q_idx, hint, upscaled_width, height, segments, tiles, tile_bits)
    if refresh:
        for i in range(8):
            if refresh >> i & 1:
                slots[i] = frame
    return frame


def _reference_order_hints(r: BitReader, seq: Sequence, slots: Slots) -> None:
    """ref_order_hint[]: a slot that does not hold this frame was lost, and stands for a grey frame of that hint."""
    for i in range(8):
        hint = r.u(seq.order_hint_bits)
        slot = slots[i]
        if slot is None or slot.order_hint != hint:
            slots[i] = Frame(INTER, False, 0, hint, seq.width, seq.height, None, 1, 0)


def _references(r: BitReader, seq: Sequence, slots: Slots, hint: int) -> list[Frame]:
    """ref_frame_idx[] of an inter frame: the seven frames that it may predict from."""
    chosen = None
    if seq.order_hint_bits and r.u(1):
        last, golden = r.u(3), r.u(3)
        hints = [slot.order_hint if slot else 0 for slot in slots]
        chosen = short_references(hints, hint, last, golden, seq.order_hint_bits)
    elif not seq.delta_frame_id_bits:
        packed = r.u(21)
        chosen = [packed >> shift & 7 for shift in range(18, -1, -3)]
    references = []
    for i in range(7):
        index = r.u(3) if chosen is None else chosen[i]
        if seq.delta_frame_id_bits:
            r.u(seq.delta_frame_id_bits)
        slot = slots[index]
        if slot is None:
            raise BitstreamError(f"frame refers to slot {index}, which holds no frame yet")
        references.append(slot)
    return references


def _frame_size(r: BitReader, seq: Sequence, override: int) -> tuple[int, int, int]:
    """frame_size(), clause 5.9.5; UpscaledWidth, FrameHeight, FrameWidth."""
    width, height = seq.width, seq.height
    if override:
        width, height = r.u(seq.frame_width_bits) + 1, r.u(seq.frame_height_bits) + 1
    return width, height, _superres(r, seq, width)


def _frame_size_with_refs(r: BitReader, seq: Sequence, references: list[Frame]) -> tuple[int, int, int]:
    """frame_size_with_refs(), clause 5.9.7."""
    for reference in references:
        if r.u(1):
            return reference.upscaled_width, reference.height, _superres(r, seq, reference.upscaled_width)
    size = _frame_size(r, seq, 1)
    _render_size(r)
    return size


def _superres(r: BitReader, seq: Sequence, width: int) -> int:
    """superres_params(), clause 5.9.8; FrameWidth."""
    if seq.superres and r.u(1):
        denominator = r.u(3) + 9
        return (8 * width + denominator // 2) // denominator
    return width


def _render_size(r: BitReader) -> None:
    if r.u(1):
        r.u(32)


def _all_lossless(base_q_idx: int, segments: tuple[int | None, ...]) -> bool:
    """CodedLossless, clause 5.9.2, where no delta of the quantiser index is set."""
    return all(base_q_idx + (alternate or 0) <= 0 for alternate in segments)
