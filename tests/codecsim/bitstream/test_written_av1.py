"""AV1 headers that no encoder at hand writes: made here field by field, read by FFmpeg as a witness, and then by us.

As in `test_written_h264`: timing and decoder models, frame ids, overridden sizes, super-resolution, tiles of listed
sizes, short signalling, segments, screen content, film grain, global motion, forward key frames shown later.
"""

import random

import pytest

from codecsim.bitstream import units
from tests.codecsim.bitstream.streams import header_ends, trace
from tests.codecsim.bitstream.test_bits import to_bytes
from tests.codecsim.bitstream.writer import Writer

KEY, INTER, INTRA_ONLY, SWITCH = range(4)
FEATURES = ((8, 1), (6, 1), (6, 1), (6, 1), (6, 1), (3, 0), (0, 0), (0, 0))


def obu(kind: int, bits: str) -> bytes:
    payload = to_bytes(bits + "0" * (-len(bits) % 8))
    size = bytes([len(payload)]) if len(payload) < 128 else bytes([len(payload) & 127 | 128, len(payload) >> 7])
    return bytes([kind << 3 | 2]) + size + payload


def chance(w: Writer, probability: float) -> int:
    return w.u(1, int(w.rng.random() < probability))


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


def distance(a: int, b: int, bits: int) -> int:
    difference = (a - b) % (1 << bits)
    return difference - (1 << bits) if difference >> (bits - 1) else difference


def delta_q(w: Writer) -> int:
    return w.u(7, w.rng.choice([0, 3, 127])) if chance(w, 0.2) else 0


def superres(w: Writer, seq: dict, width: int) -> int:
    if seq["superres"] and w.u(1):
        denominator = 9 + w.u(3)
        return (width * 8 + denominator // 2) // denominator
    return width


def frame_size(w: Writer, seq: dict, override: int) -> tuple[tuple[int, int], int]:
    size = seq["size"]
    if override:
        size = tuple(1 + w.u(n, w.rng.randrange(most)) for n, most in zip(seq["size_bits"], size, strict=True))
    return size, superres(w, seq, size[0])


def references(w: Writer, seq: dict, slots: list, hint: int, identity: int) -> list:
    chosen = None
    if seq["hint"]:
        past = [i for i, slot in enumerate(slots) if distance(slot["hint"], hint, seq["hint"]) < 0]
        if w.u(1, int(bool(past) and w.rng.random() < 0.5)):
            last, golden = w.u(3, w.rng.choice(past)), w.u(3, w.rng.choice(past))
            chosen = set_frame_refs([slot["hint"] for slot in slots], hint, last, golden, seq["hint"])
    found = []
    for i in range(7):
        index = w.u(3) if chosen is None else chosen[i]
        if seq["id"]:
            w.u(seq["delta_id"], (identity - slots[index]["id"] - 1) % (1 << seq["delta_id"]))
        found.append({**slots[index], "index": index})
    return found


def set_frame_refs(slot_hints: list[int], hint: int, last: int, golden: int, bits: int) -> list[int]:
    """Clause 7.8, word for word."""
    refs = [-1] * 7
    refs[0], refs[3] = last, golden
    used = [i in (last, golden) for i in range(8)]
    current = 1 << (bits - 1)
    hints = [current + distance(h, hint, bits) for h in slot_hints]

    def find(wanted, better):
        ref, best = -1, None
        for i in range(8):
            if not used[i] and wanted(hints[i]) and (ref < 0 or better(hints[i], best)):
                ref, best = i, hints[i]
        return ref

    def latest_backward():
        return find(lambda h: h >= current, lambda h, best: h >= best)

    def earliest_backward():
        return find(lambda h: h >= current, lambda h, best: h < best)

    def latest_forward():
        return find(lambda h: h < current, lambda h, best: h >= best)

    for place, search in ((6, latest_backward), (4, earliest_backward), (5, earliest_backward)):
        ref = search()
        if ref >= 0:
            refs[place] = ref
            used[ref] = True
    for place in (1, 2, 4, 5, 6):
        if refs[place] < 0:
            ref = latest_forward()
            if ref >= 0:
                refs[place] = ref
                used[ref] = True
    earliest = hints.index(min(hints))
    return [earliest if ref < 0 else ref for ref in refs]


def tile_log2(block: int, target: int) -> int:
    k = 0
    while block << k < target:
        k += 1
    return k


def tiles(w: Writer, shift: int, width: int, height: int) -> None:
    columns, rows = (-(-(-(-n // 8) * 8) // (1 << shift)) for n in (width, height))
    widest, area = 4096 >> shift, 4096 * 2304 >> 2 * shift
    least_columns = tile_log2(widest, columns)
    least = max(least_columns, tile_log2(area, rows * columns))
    if chance(w, 0.6):
        columns_log2 = uniform(w, least_columns, tile_log2(1, min(columns, 64)))
        rows_log2 = uniform(w, max(least - columns_log2, 0), tile_log2(1, min(rows, 64)))
        n = -(-columns // -(-columns >> columns_log2)) * -(-rows // -(-rows >> rows_log2))
    else:
        widths = listed(w, columns, widest)
        area = rows * columns >> (least + 1) if least else rows * columns
        heights = listed(w, rows, max(area // max(widths), 1))
        columns_log2, rows_log2 = tile_log2(1, len(widths)), tile_log2(1, len(heights))
        n = len(widths) * len(heights)
    if columns_log2 + rows_log2:
        w.u(columns_log2 + rows_log2, w.rng.randrange(n))
        w.u(2, 3)


def uniform(w: Writer, log2: int, most: int) -> int:
    more = w.rng.choice([0.3, 0.95])
    while log2 < most and chance(w, more):
        log2 += 1
    return log2


def listed(w: Writer, superblocks: int, most: int) -> list[int]:
    sizes: list[int] = []
    while sum(sizes) < superblocks:
        n = min(superblocks - sum(sizes), most)
        value = w.rng.randrange(n // 2, n)
        width = n.bit_length()
        short = (1 << width) - n
        if value < short:
            w.u(width - 1, value)
        else:
            w.u(width - 1, (value + short) >> 1)
            w.u(1, (value + short) & 1)
        sizes.append(value + 1)
    return sizes


def segments(w: Writer, before) -> tuple[int, list]:
    if not chance(w, 0.4):
        return 0, [None] * 8
    update = 1
    if before is not None:
        if w.u(1):
            w.u(1)
        update = w.u(1)
    if not update:
        return 1, before
    alternates: list = []
    for _ in range(8):
        alternate = None
        for feature, (bits, signed) in enumerate(FEATURES):
            if chance(w, 0.4):
                value = w.rng.choice([0, -1, -120, 5, 99]) if feature == 0 else w.rng.getrandbits(bits) if bits else 0
                w.u(bits + signed, value % (1 << (bits + signed)))
                if feature == 0:
                    alternate = value
        alternates.append(alternate)
    return 1, alternates


def filters(w: Writer, seq: dict, lossless: bool, intrabc: int, full_width: bool) -> None:
    if not lossless and not intrabc:
        levels = (w.u(6, w.rng.choice([0, 9])), w.u(6, w.rng.choice([0, 9])))
        if any(levels) and not seq["mono"]:
            w.u(12)
        w.u(3)
        if w.u(1) and w.u(1):
            for _ in range(10):
                if w.u(1):
                    w.u(7)
        if seq["cdef"]:
            w.u(2)
            for _ in range(1 << w.u(2)):
                w.u(6)
                if not seq["mono"]:
                    w.u(6)
    if not (lossless and full_width) and not intrabc and seq["restoration"]:
        kinds = [w.u(2, w.rng.choice([0, 0, 1, 2, 3])) for _ in range(1 if seq["mono"] else 3)]
        if any(kinds):
            if w.u(1) and seq["superblock"] == 6:
                w.u(1)
            if seq["both"] and any(kinds[1:]):
                w.u(1)


def motion(w: Writer, precise: int) -> None:
    for _ in range(7):
        if chance(w, 0.3):
            zoom = w.u(1)
            translation = 0 if zoom else w.u(1)
            for _ in range(0 if translation else 2 if zoom else 4):
                subexp(w, 2 * 4096 + 1)
            for _ in range(2):
                subexp(w, 2 * (1 << (8 + precise)) + 1 if translation else 2 * 4096 + 1)


def subexp(w: Writer, n: int) -> None:
    base, bits = 0, 3
    while n > base + 3 * (1 << bits):
        if not chance(w, 0.7):
            w.u(bits)
            return
        base += 1 << bits
        bits = bits + 1 if base > 8 else bits
    n -= base
    value = w.rng.randrange(n)
    width = n.bit_length()
    short = (1 << width) - n
    w.u(width - 1, value if value < short else (value + short) >> 1)
    if value >= short:
        w.u(1, (value + short) & 1)


def grain(w: Writer, seq: dict, slots: list, chosen: list, kind: int) -> None:
    if not w.u(1):
        return
    w.u(16)
    if kind == INTER and not w.u(1):
        w.u(3, w.rng.choice(chosen)["index"])
        return

    def points(most: int) -> int:
        n = w.u(4, w.rng.choice([0, 1, most]))
        for i in range(n):
            w.u(8, 10 * i)
            w.u(8)
        return n

    luma = points(14)
    from_luma = 0 if seq["mono"] else w.u(1)
    cb = cr = 0
    if not (seq["mono"] or from_luma or (seq["both"] and not luma)):
        cb, cr = points(10), points(10)
    w.u(2)
    lag = w.u(2)
    n = 2 * lag * (lag + 1)
    if luma:
        for _ in range(n):
            w.u(8)
        n += 1
    for plane in (cb, cr):
        if from_luma or plane:
            for _ in range(n):
                w.u(8)
    w.u(4)
    for plane in (cb, cr):
        if plane:
            w.u(25)
    w.u(2)


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
