"""AV1 headers that no encoder at hand writes: made here field by field, read by FFmpeg as a witness, and then by us.

As in `test_written_h264`: timing and decoder models, frame ids, overridden sizes, super-resolution, tiles of listed
sizes, short signalling, segments, screen content, film grain, global motion, forward key frames shown later.
"""

import random

import pytest

from codecsim.bitstream import units
from tests.codecsim.bitstream.av1_fields import (
    INTER,
    INTRA_ONLY,
    KEY,
    SWITCH,
    chance,
    delta_q,
    distance,
    filters,
    frame_size,
    grain,
    motion,
    references,
    segments,
    superres,
    tiles,
)
from tests.codecsim.bitstream.streams import header_ends, trace
from tests.codecsim.bitstream.test_bits import to_bytes
from tests.codecsim.bitstream.writer import Writer


def obu(kind: int, bits: str) -> bytes:
    payload = to_bytes(bits + "0" * (-len(bits) % 8))
    size = bytes([len(payload)]) if len(payload) < 128 else bytes([len(payload) & 127 | 128, len(payload) >> 7])
    return bytes([kind << 3 | 2]) + size + payload


def sequence(w: Writer) -> dict:
    seq: dict = {"points": [], "removal": 0, "presentation": 0, "model": 0}
    profile = w.u(3, w.rng.choice([0, 0, 1, 2]))
    w.u(2, 0)
    delay = 0
    if w.u(1):
        w.u(32, 1)
        w.u(32, 25)
        equal = w.u(1)
        if equal:
            w.ue(0, 9)  # uvlc is the same code up to 2³² − 2
        seq["model"] = w.u(1)
        if seq["model"]:
            delay = w.u(5) + 1
            w.u(32, 1)
            seq["removal"] = w.u(5) + 1
            seq["presentation"] = w.u(5) + 1
            if equal:
                seq["presentation"] = 0
    display = w.u(1)
    for i in range(1 + w.u(5, w.rng.randint(0, 2))):
        point = w.u(12, [0x101, 0x103, 0x102][i])
        if w.u(5, w.rng.choice([5, 8, 13])) > 7:
            w.u(1)
        if seq["model"] and w.u(1):
            seq["points"].append(point)
            w.u(delay)
            w.u(delay)
            w.u(1)
        if display and w.u(1):
            w.u(4, 3)
    seq["size_bits"] = (1 + w.u(4, w.rng.randint(12, 15)), 1 + w.u(4, w.rng.randint(12, 15)))
    seq["size"] = tuple(1 + w.u(n, w.rng.choice([63, 500, 5000])) for n in seq["size_bits"])
    seq["id"] = seq["delta_id"] = 0
    if chance(w, 0.3):
        seq["delta_id"] = 2 + w.u(4, 8)
        seq["id"] = seq["delta_id"] + 1 + w.u(3, 2)
    seq["superblock"] = 6 + w.u(1)
    w.u(2)
    w.u(2)
    seq["warped"] = w.u(1)
    w.u(1)
    hints = chance(w, 0.8)
    seq["mvs"] = 0
    if hints:
        w.u(1)
        seq["mvs"] = w.u(1)
    seq["screen"] = 2 if w.u(1) else w.u(1)
    seq["integer"] = 2
    if seq["screen"]:
        seq["integer"] = 2 if w.u(1) else w.u(1)
    seq["hint"] = 1 + w.u(3, 6) if hints else 0
    seq["superres"], seq["cdef"], seq["restoration"] = w.u(1), w.u(1), w.u(1)
    high = w.u(1)
    twelve = w.u(1) if profile == 2 and high else 0
    seq["mono"] = 0 if profile == 1 else chance(w, 0.2)
    srgb = 0
    if w.u(1):
        srgb = int(profile == 1 and w.rng.random() < 0.5)
        w.u(24, 0x010D00 if srgb else 0x010101)
    seq["both"] = 1
    seq["apart"] = 0
    if seq["mono"]:
        w.u(1)
    else:
        if srgb:
            seq["both"] = 0
        else:
            w.u(1)
            x, y = (1, 1) if profile == 0 else (0, 0) if profile == 1 else (1, 0)
            if profile == 2 and twelve:
                x = w.u(1)
                y = w.u(1) if x else 0
            seq["both"] = x & y
            if seq["both"]:
                w.u(2, 1)
        seq["apart"] = w.u(1)
    seq["grain"] = w.u(1)
    return seq


def frame(w: Writer, seq: dict, slots: list, first: bool, number: int) -> tuple[bool, bool]:
    """A frame header; whether it repeats a frame, and whether it shows one."""
    rng = w.rng
    hint = number % (1 << seq["hint"]) if seq["hint"] else 0
    if chance(w, 0.0 if first else 0.15):  # show_existing_frame
        i = rng.choice([k for k, slot in enumerate(slots) if slot["type"] == KEY] or [0])
        w.u(3, i)
        w.u(seq["presentation"])
        w.u(seq["id"], slots[i]["id"])
        if slots[i]["type"] == KEY:
            slots[:] = [dict(slots[i]) for _ in range(8)]
        return True, True
    kind = w.u(2, KEY if first else rng.choice([KEY, INTER, INTER, INTER, INTER, INTRA_ONLY, SWITCH]))
    show = w.u(1, 1 if first or kind == SWITCH else None)
    showable = int(kind != KEY)
    if show:
        w.u(seq["presentation"])
    else:
        showable = w.u(1)
    resilient = 1
    if not (kind == SWITCH or (kind == KEY and show)):
        resilient = chance(w, 0.3)
    intra = kind in (KEY, INTRA_ONLY)
    fixed_cdf = w.u(1)
    screen = w.u(1) if seq["screen"] == 2 else seq["screen"]
    integer = (w.u(1) if seq["integer"] == 2 else seq["integer"]) if screen else 0
    identity = w.u(seq["id"], number + 1 if seq["id"] else None)
    override = 1 if kind == SWITCH else chance(w, 0.3)
    w.u(seq["hint"], hint)
    primary = 7 if intra or resilient else w.u(3, rng.choice([7, rng.randrange(7)]))
    if seq["model"] and w.u(1):
        for point in seq["points"]:
            if point & 1 and point >> 8 & 1:
                w.u(seq["removal"])
    refresh = 255 if kind == SWITCH or (kind == KEY and show) else w.u(8, rng.randrange(255))
    if resilient and seq["hint"] and (not intra or refresh != 255):
        for slot in slots:
            w.u(seq["hint"], slot["hint"])
    chosen: list = []
    precise = intrabc = 0
    if intra:
        size, width = frame_size(w, seq, override)
        if w.u(1):
            w.u(32)
        if screen and width == size[0]:
            intrabc = w.u(1)
    else:
        chosen = references(w, seq, slots, hint, identity)
        if override and not resilient:
            size = None
            for slot in chosen:
                if chance(w, 0.2):
                    size = slot["size"]
                    width = superres(w, seq, size[0])
                    break
            if size is None:
                size, width = frame_size(w, seq, 1)
                if w.u(1):
                    w.u(32)
        else:
            size, width = frame_size(w, seq, override)
            if w.u(1):
                w.u(32)
        if not integer:
            precise = w.u(1)
        if not w.u(1):
            w.u(2)
        w.u(1)
        if not resilient and seq["mvs"]:
            w.u(1)
    if not fixed_cdf:
        w.u(1)
    tiles(w, seq["superblock"], width, size[1])
    base = w.u(8, rng.choice([0, 0, 1, 120, 255]))
    deltas = [delta_q(w)]
    if not seq["mono"]:
        diff = w.u(1) if seq["apart"] else 0
        deltas += [delta_q(w) for _ in range(4 if diff else 2)]
    if w.u(1):
        w.u(12 if seq["apart"] else 8)
    enabled, alternates = segments(w, chosen[primary]["alternates"] if primary < 7 else None)
    indices = [min(255, max(0, base + a)) if enabled and a is not None else base for a in alternates]
    lossless = not any(indices) and not any(deltas)
    delta_present = w.u(1) if base else 0
    if delta_present:
        w.u(2)
        if not intrabc and w.u(1):
            w.u(3)
    filters(w, seq, lossless, intrabc, width == size[0])
    if not lossless:
        w.u(1)
    compound = 0 if intra else w.u(1)
    if compound and seq["hint"]:
        distances = [distance(slot["hint"], hint, seq["hint"]) for slot in chosen]
        before, after = {d for d in distances if d < 0}, {d for d in distances if d > 0}
        if before and (after or len(before) >= 2):
            w.u(1)
    if not intra and not resilient and seq["warped"]:
        w.u(1)
    w.u(1)
    if not intra:
        motion(w, precise)
    if seq["grain"] and (show or showable):
        grain(w, seq, slots, chosen, kind)
    for i in range(8):
        if refresh >> i & 1:
            slots[i] = {"type": kind, "hint": hint, "size": size, "alternates": alternates, "id": identity}
    return False, show == 1


@pytest.mark.parametrize("seed", range(60))
def test_written_headers(seed):
    rng = random.Random(seed)
    w = Writer(rng)
    seq = sequence(w)
    packets, lengths, shown = [], [], []
    slots: list = [None] * 8
    for number in range(12):
        packet = b"\x12\0" + (obu(1, w.bits + "1") if number == 0 else b"")
        header = Writer(rng)
        repeated, visible = frame(header, seq, slots, number == 0, number)
        if repeated:
            packet += obu(3, header.bits + "1")
            lengths.append(-(-(len(header.bits) + 1) // 8) * 8)
        else:
            bits = header.bits + "0" * (-len(header.bits) % 8)
            packet += obu(6, bits + "0" * 8 + "1101101" * 11)
            lengths.append(len(bits))
        packets.append(packet)
        shown.append(visible)
    text, complete = trace(packets, "av1")
    assert complete, text[-3000:]
    found = [unit for unit in units(packets, "av1") if unit.slice_type]
    assert [unit.bits_slice_headers for unit in found] == lengths
    assert [unit.bits_slice_headers + unit.bits_nal_overhead for unit in found] == header_ends(text, "av1")
    assert [not unit.kind.startswith("hidden") for unit in found] == shown
