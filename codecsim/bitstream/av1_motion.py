"""AV1: which frames a frame refers to, and what depends on their order.

Source: "AV1 Bitstream & Decoding Process Specification" with errata 1, clauses 5.9.22 to 5.9.29 and 7.8.
"""

from collections.abc import Sequence as Items

from codecsim.bitstream.bits import BitReader
from codecsim.errors import BitstreamError

_LAST, _LAST2, _LAST3, _GOLDEN, _BWDREF, _ALTREF2, _ALTREF = range(7)  # minus LAST_FRAME


def relative_distance(a: int, b: int, order_hint_bits: int) -> int:
    """get_relative_dist(a, b), clause 7.9.3, where order hints are in use."""
    half = 1 << (order_hint_bits - 1)
    difference = a - b
    return (difference & (half - 1)) - (difference & half)


def short_references(hints: Items[int], hint: int, last: int, golden: int, order_hint_bits: int) -> list[int]:
    """set_frame_refs(), clause 7.8: the slots of all references from two of them and the slots' order hints."""
    distances = [relative_distance(slot_hint, hint, order_hint_bits) for slot_hint in hints]
    if distances[last] >= 0 or distances[golden] >= 0:
        raise BitstreamError("frame_refs_short_signaling names a last or golden frame that is not earlier")
    chosen = [-1] * 7
    chosen[_LAST], chosen[_GOLDEN] = last, golden
    free = set(range(8)) - {last, golden}

    def take(reference: int, candidates: list[int], *, latest: bool) -> None:
        if candidates:  # of equal hints the highest slot is the latest and the lowest slot the earliest
            key = (lambda i: (-distances[i], -i)) if latest else (lambda i: (distances[i], i))
            slot = min(candidates, key=key)
            chosen[reference] = slot
            free.discard(slot)

    take(_ALTREF, [i for i in free if distances[i] >= 0], latest=True)
    take(_BWDREF, [i for i in free if distances[i] >= 0], latest=False)
    take(_ALTREF2, [i for i in free if distances[i] >= 0], latest=False)
    for reference in (_LAST2, _LAST3, _BWDREF, _ALTREF2, _ALTREF):
        if chosen[reference] < 0:
            take(reference, [i for i in free if distances[i] < 0], latest=True)
    earliest = min(range(8), key=lambda i: (distances[i], i))
    return [slot if slot >= 0 else earliest for slot in chosen]


def skip_mode_allowed(hints: Items[int], hint: int, order_hint_bits: int) -> bool:
    """skipModeAllowed of skip_mode_params(), clause 5.9.22, from the order hints of the seven references."""
    distances = {relative_distance(other, hint, order_hint_bits) for other in hints}
    earlier = {distance for distance in distances if distance < 0}
    later = {distance for distance in distances if distance > 0}
    return bool(earlier) and (bool(later) or len(earlier) > 1)


def global_motion_params(r: BitReader, high_precision: int) -> None:
    """global_motion_params() of an inter frame, clause 5.9.24.

    What is read back depends on the motion of an earlier frame, its length does not: so neither is kept.
    """
    if r.take_zeros(7):  # is_global of every reference
        return
    for _ in range(7):
        if r.u(1):
            rot_zoom = r.u(1)
            translation = 0 if rot_zoom else r.u(1)
            if not translation:
                for _ in range(2 if rot_zoom else 4):
                    _subexp(r, 2 * 2**12 + 1)  # GM_ABS_ALPHA_BITS
            abs_bits = 8 + high_precision if translation else 12  # GM_ABS_TRANS_ONLY_BITS, GM_ABS_TRANS_BITS
            for _ in range(2):
                _subexp(r, 2 * 2**abs_bits + 1)


def _subexp(r: BitReader, n: int) -> None:
    """decode_subexp(), clause 5.9.28."""
    base, i = 0, 0
    while True:
        n_bits = 2 + i if i else 3
        if n <= base + (3 << n_bits):
            r.ns(n - base)
            return
        if not r.u(1):
            r.u(n_bits)
            return
        i += 1
        base += 1 << n_bits
