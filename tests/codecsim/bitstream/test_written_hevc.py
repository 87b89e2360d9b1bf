"""HEVC headers that no encoder at hand writes: made here field by field, read by FFmpeg as a witness, and then by us.

Each syntax element is drawn at random within what the standard allows, so long-term references, slice segments,
scaling lists and the like all occur. What FFmpeg refuses fails the test: the writer is to blame.
"""

import random

import pytest

from tests.codecsim.bitstream.writer import Writer, check


def hevc_rps(w: Writer, sets: list[dict[int, bool]], in_slice: bool) -> dict[int, bool]:
    """st_ref_pic_set(len(sets)): DeltaPoc and used_by_curr_pic of each picture."""
    if sets and w.u(1, int(w.rng.random() < 0.6)):
        back = 1 + w.ue(0, len(sets) - 1) if in_slice else 1
        sign = w.u(1)
        delta = (1 - 2 * sign) * (1 + w.ue(0, 5))
        before = sets[-back]
        pictures = {}
        in_order = [*sorted((p for p in before if p < 0), reverse=True), *sorted(p for p in before if p > 0), 0]
        for poc in in_order:
            used = w.u(1)
            kept = used or w.u(1, int(poc + delta != 0 and len(pictures) < 6 and w.rng.random() < 0.5))
            if kept and poc + delta:
                pictures[poc + delta] = used == 1
        return pictures
    pictures = {}
    counts = w.ue(0, 3), w.ue(0, 2)
    for n, direction in zip(counts, (-1, 1), strict=True):
        poc = 0
        for _ in range(n):
            poc += direction * (1 + w.ue(0, 7))
            pictures[poc] = w.u(1) == 1
    return pictures


def hevc_hrd(w: Writer, sub_layers: int) -> None:
    kinds = w.u(1) + w.u(1)
    sub_pictures = 0
    if kinds:
        sub_pictures = w.u(1)
        w.u(19 if sub_pictures else 0)
        w.u(8)
        w.u(4 if sub_pictures else 0)
        w.u(15)
    for _ in range(sub_layers + 1):
        fixed = w.u(1) or w.u(1)
        low_delay = 0
        if fixed:
            w.ue(0, 9)
        else:
            low_delay = w.u(1)
        n = 1 if low_delay else 1 + w.ue(0, 3)
        for _ in range(kinds * n):
            for _ in range(4 if sub_pictures else 2):
                w.ue(0, 999)
            w.u(1)


def hevc_vui(w: Writer, sub_layers: int) -> None:
    if w.u(1) and w.u(8, w.rng.choice([1, 255])) == 255:
        w.u(32)
    if w.u(1):
        w.u(1)
    if w.u(1):
        w.u(4, 10)
        if w.u(1):
            w.u(24, 0x010101)
    if w.u(1):
        w.ue(0, 5)
        w.ue(0, 5)
    w.u(3)
    if w.u(1):
        for _ in range(4):
            w.ue(0, 2)
    if w.u(1):
        w.u(32, 1001)
        w.u(32, 25000)
        if w.u(1):
            w.ue(0, 9)
        if w.u(1):
            hevc_hrd(w, sub_layers)
    if w.u(1):
        w.u(3)
        w.ue(0, 9)
        for _ in range(4):
            w.ue(0, 9)


def hevc_scaling_lists(w: Writer) -> None:
    for size in range(4):
        for matrix in range(0, 6, 3 if size == 3 else 1):
            if not w.u(1):
                w.ue(0, matrix // (3 if size == 3 else 1))
                continue
            if size > 1:
                w.se(0, 8)
            for _ in range(min(64, 1 << (4 + 2 * size))):
                w.se(0, 1)


def hevc_profile(w: Writer, sub_layers: int) -> None:
    w.u(8, 4)  # profile space, tier, profile_idc: range extensions
    w.u(32, 1 << 27)
    w.u(48, 0x900000000000)
    w.u(8, 120)
    present = [(w.u(1), w.u(1)) for _ in range(sub_layers)]
    if sub_layers:
        w.u(2 * (8 - sub_layers), 0)
    for profile, level in present:
        if profile:
            w.u(8, 4)
            w.u(80, 1 << 75)
        if level:
            w.u(8, 120)


def hevc_vps(w: Writer) -> None:
    w.u(6, 3)
    w.u(6, 0)
    w.u(3, 6)
    w.u(1, 1)
    w.u(16, 0xFFFF)
    hevc_profile(w, 6)
    w.u(1, 0)
    w.ue(15)
    w.ue(0)
    w.ue(0)
    w.u(6, 0)
    w.ue(0)
    w.u(2, 0)


def hevc_sps(w: Writer) -> dict:
    w.u(4, 0)
    sub_layers = w.u(3, w.rng.randint(0, 6))
    w.u(1, 1)
    hevc_profile(w, sub_layers)
    w.ue(3)
    chroma = w.ue(0, 3)
    planes = w.u(1) if chroma == 3 else 0
    columns, rows = 2 * w.rng.randint(5, 9), 2 * w.rng.randint(2, 9)
    w.ue(8 * columns)
    w.ue(8 * rows)
    w.u(1, 0)
    depth = 8 + w.ue(0, 4)
    w.ue(0, 4)
    lsb_bits = 4 + w.ue(0, 12)
    for _ in range(sub_layers + 1 if w.u(1) else 1):
        w.ue(15)
        w.ue(0)
        w.ue(0)
    w.ue(0)
    ctb = 8 << w.ue(1, 3)
    w.ue(0)
    w.ue(1)
    w.ue(0)
    w.ue(0)
    if w.u(1) and w.u(1):
        hevc_scaling_lists(w)
    w.u(1)
    sao = w.u(1)
    if w.u(1):
        w.u(8, 0x77)
        w.ue(0)
        w.ue(0)
        w.u(1)
    n_sets = w.ue(0, 9)
    sets: list[dict[int, bool]] = []
    for _ in range(n_sets):
        sets.append(hevc_rps(w, sets, False))
    long_term = w.u(1)
    candidates = []
    if long_term:
        for _ in range(w.ue(0, 5)):
            w.u(lsb_bits)
            candidates.append(w.u(1))
    mvp = w.u(1)
    w.u(1)
    if w.u(1):
        hevc_vui(w, sub_layers)
    if w.u(1):
        w.u(8, 0x80)
        w.u(9)
    return {
        "array": 0 if planes else chroma,
        "planes": planes,
        "depth": depth,
        "lsb_bits": lsb_bits,
        "ctbs": (-(-8 * columns // ctb), -(-8 * rows // ctb)),
        "sao": sao,
        "sets": sets,
        "long_term": long_term,
        "candidates": candidates,
        "mvp": mvp,
    }


def hevc_pps(w: Writer, ctbs: tuple[int, int], array: int) -> dict:
    w.ue(9)
    w.ue(3)
    pps = {"dependent": w.u(1), "output": w.u(1), "extra": w.u(3, w.rng.randint(0, 2))}
    w.u(1)
    pps["cabac_init"] = w.u(1)
    pps["default"] = (1 + w.ue(0, 5), 1 + w.ue(0, 5))
    pps["qp"] = 26 + w.se(-9, 9)
    w.u(1)
    skip = w.u(1)
    if w.u(1):
        w.ue(0)
    w.se(0)
    w.se(0)
    pps["chroma_offsets"], pps["weighted_p"], pps["weighted_b"] = w.u(1), w.u(1), w.u(1)
    w.u(1)
    tiles, pps["wavefront"] = w.u(1, int(ctbs[0] > 1 and ctbs[1] > 1 and w.rng.random() < 0.4)), w.u(1)
    pps["entries"] = 0
    if tiles:
        w.ue(1)
        w.ue(1)
        if not w.u(1):
            w.ue(0)
            w.ue(0)
        w.u(1)
        pps["entries"] = 3
    if pps["wavefront"]:
        pps["entries"] = ctbs[1] - 1
    pps["has_entries"] = tiles or pps["wavefront"]
    pps["across"] = w.u(1)
    pps["override"] = pps["unfiltered"] = 0
    if w.u(1):
        pps["override"], pps["unfiltered"] = w.u(1), w.u(1)
        if not pps["unfiltered"]:
            w.se(-3, 3)
            w.se(-3, 3)
    if w.u(1):
        hevc_scaling_lists(w)
    pps["modification"] = w.u(1)
    w.ue(0)
    pps["extension"] = w.u(1)
    pps["offset_lists"] = 0
    if w.u(1):
        w.u(8, 0x80)
        if skip:
            w.ue(0)
        w.u(1)
        pps["offset_lists"] = w.u(1, int(array == 3 and w.rng.random() < 0.5))
        if pps["offset_lists"]:
            w.ue(0)
            for _ in range(2 * (1 + w.ue(0, 5))):
                w.se(-3, 3)
        w.ue(0)
        w.ue(0)
    return pps


def hevc_slice(w: Writer, sps: dict, pps: dict, nal_type: int, first: bool) -> None:
    w.u(1, int(first))
    if 16 <= nal_type <= 23:
        w.u(1)
    w.ue(9)
    dependent = 0
    if not first:
        if pps["dependent"]:
            dependent = w.u(1)
        n_ctbs = sps["ctbs"][0] * sps["ctbs"][1]
        w.u((n_ctbs - 1).bit_length(), w.rng.randrange(1, n_ctbs))
    if not dependent:
        hevc_independent(w, sps, pps, nal_type)
    if pps["has_entries"]:
        n = w.ue(0, pps["entries"])
        if n:
            n_bits = 1 + w.ue(0, 31)
            for _ in range(n):
                w.u(n_bits)
    if pps["extension"]:
        w.u(8 * w.ue(0, 9))
    w.bits += "1" + "0" * (-(len(w.bits) + 1) % 8)


def hevc_independent(w: Writer, sps: dict, pps: dict, nal_type: int) -> None:
    # the type comes before the pictures that decide whether it may be P or B: the pictures are written apart, first
    w.u(pps["extra"])
    apart = Writer(w.rng)
    n_used = mvp = 0
    if nal_type not in (19, 20):
        apart.u(sps["lsb_bits"])
        sets = sps["sets"]
        if not apart.u(1, int(bool(sets) and w.rng.random() < 0.6)):
            chosen = hevc_rps(apart, sets, True)
        else:
            chosen = sets[apart.u((len(sets) - 1).bit_length(), w.rng.randrange(len(sets)))]
        n_used = sum(chosen.values())
        if sps["long_term"]:
            candidates = sps["candidates"]
            n_from_sps = apart.ue(0, min(2, len(candidates))) if candidates else 0
            for i in range(n_from_sps + apart.ue(0, 2)):
                if i < n_from_sps:
                    index = apart.u((len(candidates) - 1).bit_length(), w.rng.randrange(len(candidates)))
                    n_used += candidates[index]
                else:
                    apart.u(sps["lsb_bits"])
                    n_used += apart.u(1)
                if apart.u(1):
                    apart.ue(0, 2)
        if sps["mvp"]:
            mvp = apart.u(1)
    slice_type = w.ue(w.rng.randint(0, 2) if n_used and nal_type < 16 else 2)
    if pps["output"]:
        w.u(1)
    if sps["planes"]:
        w.u(2, w.rng.randint(0, 2))
    w.bits += apart.bits
    filtered = 0
    if sps["sao"]:
        filtered = w.u(1)
        if sps["array"]:
            filtered |= w.u(1)
    if slice_type < 2:
        hevc_inter(w, sps, pps, slice_type, (n_used, mvp))
    w.se(-9, 9)
    if pps["chroma_offsets"]:
        w.se(-3, 3)
        w.se(-3, 3)
    if pps["offset_lists"]:
        w.u(1)
    unfiltered = pps["unfiltered"]
    if pps["override"] and w.u(1):
        unfiltered = w.u(1)
        if not unfiltered:
            w.se(-3, 3)
            w.se(-3, 3)
    if pps["across"] and (filtered or not unfiltered):
        w.u(1)


def hevc_inter(w: Writer, sps: dict, pps: dict, slice_type: int, pictures: tuple[int, int]) -> None:
    n_used, mvp = pictures
    counts = pps["default"]
    if w.u(1):
        counts = (1 + w.ue(0, 14), 1 + w.ue(0, 14) if slice_type == 0 else 0)
    lists = counts if slice_type == 0 else counts[:1]
    if pps["modification"] and n_used > 1:
        for n in lists:
            if w.u(1):
                for _ in range(n):
                    w.u((n_used - 1).bit_length(), w.rng.randrange(n_used))
    if slice_type == 0:
        w.u(1)
    if pps["cabac_init"]:
        w.u(1)
    if mvp:
        from_l0 = w.u(1) if slice_type == 0 else 1
        n = counts[0] if from_l0 else counts[1]
        if n > 1:
            w.ue(0, n - 1)
    if pps["weighted_b"] if slice_type == 0 else pps["weighted_p"]:
        w.ue(0, 7)
        if sps["array"]:
            w.se(0)
        for n in lists:
            luma = [w.u(1) for _ in range(n)]
            chroma = [w.u(1) if sps["array"] else 0 for _ in range(n)]
            for i in range(n):
                for _ in range(2 * luma[i] + 4 * chroma[i]):
                    w.se(-60, 60)
    w.ue(0, 4)


def hevc_stream(rng: random.Random) -> tuple[list[bytes], list[int]]:
    """Packets of an SPS, a PPS and two slice segments each, and how many bits each slice segment header has."""
    packets, lengths = [], []
    for _ in range(5):
        w = Writer(rng)
        hevc_vps(w)
        packet = w.nal(bytes([32 << 1, 1]))
        w = Writer(rng)
        sps = hevc_sps(w)
        packet += w.nal(bytes([33 << 1, 1]))
        w = Writer(rng)
        pps = hevc_pps(w, sps["ctbs"], sps["array"])
        packet += w.nal(bytes([34 << 1, 1]))
        nal_type = rng.choice([1, 1, 1, 19, 21])
        for first in (True, False):
            w = Writer(rng)
            hevc_slice(w, sps, pps, nal_type, first)
            lengths.append(len(w.bits))
            w.bits += "1101" * 9
            packet += w.nal(bytes([nal_type << 1, 1]))
        packets.append(packet)
    return packets, lengths


@pytest.mark.parametrize("seed", range(40))
def test_written_headers(seed):
    check("hevc", 16, hevc_stream, seed)
