"""What AV1 frame headers are made of, field by field: sizes, references, tiles, segments, filters, motion, grain."""

from tests.codecsim.bitstream.writer import Writer

KEY, INTER, INTRA_ONLY, SWITCH = range(4)
FEATURES = ((8, 1), (6, 1), (6, 1), (6, 1), (6, 1), (3, 0), (0, 0), (0, 0))


def chance(w: Writer, probability: float) -> int:
    return w.u(1, int(w.rng.random() < probability))


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
