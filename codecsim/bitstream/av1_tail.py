"""AV1: the parts of a frame header that follow the references: tiles, quantiser, segments, filters, film grain.

Each function passes over one structure and returns only what later fields depend on.

Source: "AV1 Bitstream & Decoding Process Specification" with errata 1, clauses 5.9.11 to 5.9.20 and 5.9.30.
"""

from codecsim.bitstream.av1_sequence import Sequence
from codecsim.bitstream.bits import BitReader
from codecsim.errors import BitstreamError

Segments = tuple[int | None, ...] | None
"""SEG_LVL_ALT_Q of the eight segments, None where one has none; None as a whole where segmentation is off."""

_FEATURE_BITS = (9, 7, 7, 7, 7, 3, 0, 0)  # with their signs, clause 5.9.14
_TILE_SIDES_MAX = 64  # MAX_TILE_COLS, MAX_TILE_ROWS


def tile_info(r: BitReader, seq: Sequence, width: int, height: int) -> tuple[int, int]:
    """tile_info(), clause 5.9.15; NumTiles, and TileColsLog2 + TileRowsLog2."""
    shift = 7 if seq.use_128x128_superblock else 6
    columns = (width + 7 >> 3) * 8 + (1 << shift) - 1 >> shift
    rows = (height + 7 >> 3) * 8 + (1 << shift) - 1 >> shift
    widest, largest = 4096 >> shift, 4096 * 2304 >> 2 * shift
    least_columns = _tile_log2(widest, columns)
    least = max(least_columns, _tile_log2(largest, rows * columns))
    if r.u(1):
        columns_log2, n_columns = _uniform(r, columns, least_columns)
        rows_log2, n_rows = _uniform(r, rows, max(least - columns_log2, 0))
    else:
        n_columns, tile_width = _explicit(r, columns, widest)
        columns_log2 = _tile_log2(1, n_columns)
        area = rows * columns >> (least + 1 if least else 0)
        n_rows, _ = _explicit(r, rows, max(area // tile_width, 1))
        rows_log2 = _tile_log2(1, n_rows)
    tile_bits = columns_log2 + rows_log2
    if tile_bits:
        r.u(tile_bits + 2)  # context_update_tile_id, tile_size_bytes_minus_1
    return n_columns * n_rows, tile_bits


def _tile_log2(unit: int, target: int) -> int:
    """tile_log2(), clause 5.9.16."""
    return max(0, -(-target // unit) - 1).bit_length()


def _uniform(r: BitReader, superblocks: int, least: int) -> tuple[int, int]:
    """Tiles of equal size along one side; TileColsLog2 or TileRowsLog2, and their number."""
    log2 = least
    most = _tile_log2(1, min(superblocks, _TILE_SIDES_MAX))
    while log2 < most and r.u(1):
        log2 += 1
    side = superblocks + (1 << log2) - 1 >> log2
    return log2, -(-superblocks // side)


def _explicit(r: BitReader, superblocks: int, most: int) -> tuple[int, int]:
    """Tiles of listed sizes along one side; their number and the largest size."""
    n, start, largest = 0, 0, 0
    while start < superblocks:
        side = r.ns(min(superblocks - start, most)) + 1
        start += side
        largest = max(largest, side)
        n += 1
        if n > _TILE_SIDES_MAX:
            raise BitstreamError(f"more than {_TILE_SIDES_MAX} tile rows or columns")
    return n, largest


def quantization_params(r: BitReader, seq: Sequence) -> tuple[int, bool]:
    """quantization_params(), clause 5.9.12; base_q_idx, and whether any delta to it is not 0."""
    base_q_idx = r.u(8)
    deltas = _delta_q(r)
    if not seq.mono_chrome:
        apart = seq.separate_uv_delta_q and r.u(1)  # diff_uv_delta
        for _ in range(4 if apart else 2):
            deltas |= _delta_q(r)
    if r.u(1):
        r.u(12 if seq.separate_uv_delta_q else 8)
    return base_q_idx, deltas != 0


def _delta_q(r: BitReader) -> int:
    """read_delta_q(), clause 5.9.13, without its sign."""
    return r.u(7) if r.u(1) else 0


def segmentation_params(r: BitReader, before: Segments, primary: bool) -> Segments:
    """segmentation_params(), clause 5.9.14.

    Parameters
    ----------
    before : segments of the primary reference frame
    primary : whether there is a primary reference frame
    """
    if not r.u(1):
        return None
    if primary:
        if r.u(1):
            r.u(1)  # segmentation_temporal_update
        if not r.u(1):
            return before or (None,) * 8
    alternates: list[int | None] = []
    for _ in range(8):
        alternate = None
        for feature, n_bits in enumerate(_FEATURE_BITS):
            if r.u(1):
                value = r.su(n_bits) if n_bits else 0
                if feature == 0:
                    alternate = value
        alternates.append(alternate)
    return tuple(alternates)


def loop_filter_params(r: BitReader, seq: Sequence) -> None:
    """loop_filter_params(), clause 5.9.11, of a frame that has a loop filter."""
    if r.u(12) and not seq.mono_chrome:
        r.u(12)
    r.u(3)
    if r.u(1) and r.u(1):
        for _ in range(10):
            if r.u(1):
                r.u(7)


def cdef_params(r: BitReader, seq: Sequence) -> None:
    """cdef_params(), clause 5.9.19, of a frame that has them."""
    r.u(2)
    r.u((6 if seq.mono_chrome else 12) << r.u(2))


def restoration_params(r: BitReader, seq: Sequence) -> None:
    """lr_params(), clause 5.9.20, of a frame that has them."""
    luma = r.u(2)
    chroma = 0 if seq.mono_chrome else r.u(4)
    if not luma and not chroma:
        return
    if r.u(1) and not seq.use_128x128_superblock:
        r.u(1)
    if chroma and seq.subsampled_both:
        r.u(1)


def film_grain_params(r: BitReader, seq: Sequence, inter: bool) -> None:
    """film_grain_params(), clause 5.9.30, of a frame that has them."""
    if not r.u(1):
        return
    r.u(16)
    if inter and not r.u(1):
        r.u(3)
        return
    n_luma = _points(r, 14)
    from_luma = 0 if seq.mono_chrome else r.u(1)
    n_cb = n_cr = 0
    if not (seq.mono_chrome or from_luma or (seq.subsampled_both and not n_luma)):
        n_cb, n_cr = _points(r, 10), _points(r, 10)
    r.u(2)
    lag = r.u(2)
    n_coefficients = 2 * lag * (lag + 1)
    if n_luma:
        r.u(8 * n_coefficients)
        n_coefficients += 1
    for has_plane in (from_luma or n_cb, from_luma or n_cr):
        if has_plane:
            r.u(8 * n_coefficients)
    r.u(4)
    for n in (n_cb, n_cr):
        if n:
            r.u(25)
    r.u(2)


def _points(r: BitReader, most: int) -> int:
    """Points of a film grain scaling function; their number."""
    n = r.u(4)
    if n > most:
        raise BitstreamError(f"film grain has {n} points; at most {most} are allowed")
    r.u(16 * n)
    return n
