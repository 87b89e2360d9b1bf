"""H.264 headers that no encoder at hand writes: made here field by field, read by FFmpeg as a witness, and then by us.

Each syntax element is drawn at random within what the standard allows, so field pictures, slice groups, memory
management and the like all occur. What FFmpeg refuses fails the test: the writer is to blame.
"""

import random

import pytest

from tests.codecsim.bitstream.writer import Writer, check


def h264_stream(rng: random.Random) -> tuple[list[bytes], list[int]]:
    """Packets of an SPS, a PPS and one slice each, and how many bits each slice header has."""
    packets, lengths = [], []
    for _ in range(6):
        w = Writer(rng)
        profile = rng.choice([66, 77, 88, 100, 244])
        w.u(8, profile)
        w.u(16, 40)
        w.ue(3)
        chroma, planes = 1, 0
        depth = 8
        if profile >= 100:
            chroma = w.ue(0, 3 if profile == 244 else 1)
            planes = w.u(1) if chroma == 3 else 0
            depth = 8 + w.ue(0, 2 if profile == 244 else 0)
            w.ue(depth - 8)
            w.u(1, 0)
            if w.u(1):
                for i in range(12 if chroma == 3 else 8):
                    if w.u(1):
                        for _ in range(16 if i < 6 else 64):
                            w.se(1)
        frame_num_bits = 4 + w.ue(0, 12)
        poc_type = w.ue(0, 2)
        lsb_bits = always_zero = 0
        if poc_type == 0:
            lsb_bits = 4 + w.ue(0, 12)
        elif poc_type == 1:
            always_zero = w.u(1)
            w.se(-5, 5)
            w.se(-5, 5)
            for _ in range(w.ue(0, 6)):
                w.se(-5, 5)
        w.ue(16)
        w.u(1)
        columns, rows = 1 + w.ue(3, 20), 1 + w.ue(3, 20)
        frames_only = w.u(1)
        if not frames_only:
            w.u(1)
        w.u(1, 1)
        w.u(2, 0)
        packet = w.nal(b"\x67")

        w = Writer(rng)
        w.ue(9)
        w.ue(3)
        cabac, bottom = w.u(1, int(profile not in (66, 88) and rng.random() < 0.5)), w.u(1)
        n_groups = 1 + w.ue(rng.choice([0, 0, 1, 3]) if profile in (66, 88) else 0)
        change = 0
        if n_groups > 1:
            kind = w.ue(0, 6) if n_groups == 2 else w.ue(rng.choice([0, 1, 2, 6]))
            if kind == 0:
                for _ in range(n_groups):
                    w.ue(0, 5)
            elif kind == 2:
                for _ in range(n_groups - 1):
                    w.ue(0)
                    w.ue(0, 3)
            elif kind in (3, 4, 5):
                w.u(1)
                change = 1 + w.ue(0, columns * rows - 1)
            elif kind == 6:
                w.ue(columns * rows - 1)
                for _ in range(columns * rows):
                    w.u((n_groups - 1).bit_length(), rng.randrange(n_groups))
        default = (1 + w.ue(0, 7), 1 + w.ue(0, 7))
        weighted_p, weighted_b = w.u(1, int(profile != 66 and rng.random() < 0.5)), w.u(2, rng.choice([0, 1, 2]))
        init_qp = w.se(-10, 10)
        w.se(0)
        w.se(0)
        deblocking = w.u(1)
        w.u(1)
        redundant = w.u(1, int(profile == 66 and rng.random() < 0.5))
        packet += w.nal(b"\x68")

        w = Writer(rng)
        idr = rng.random() < 0.3
        reference = idr or rng.random() < 0.5
        w.ue(0)
        slice_type = w.ue(rng.choice([2, 7] if idr else [0, 2, 5, 7] if profile == 66 else [0, 1, 2, 5, 6, 7])) % 5
        w.ue(9)
        if planes:
            w.u(2, 0)
        w.u(frame_num_bits, 0 if idr else None)
        field = 0
        if not frames_only:
            field = w.u(1)
            if field:
                w.u(1)
        if idr:
            w.ue(0, 65535)
        if poc_type == 0:
            w.u(lsb_bits)
        if poc_type == 0 or (poc_type == 1 and not always_zero):
            for _ in range(poc_type + (bottom and not field)):
                w.se(-9, 9)
        if redundant:
            w.ue(0)
        weights = (weighted_b == 1) if slice_type == 1 else weighted_p
        h264_references(w, slice_type, 32 if field else 16, default, (weights, chroma if not planes else 0))
        if reference and idr:
            w.u(2)
        elif reference and w.u(1):
            for operation in rng.sample([1, 2, 3, 4, 6], rng.randint(0, 5)) + [5] * rng.randint(0, 1):
                w.ue(operation)
                if operation != 5:
                    w.ue(0, 3)
                if operation == 3:
                    w.ue(0, 3)
            w.ue(0)
        if cabac and slice_type != 2:
            w.ue(0, 2)
        w.se(-15 - init_qp - 6 * (depth - 8), 15 - init_qp)
        if deblocking and w.ue(0, 2) != 1:
            w.se(-6, 6)
            w.se(-6, 6)
        if change:
            top = -(-columns * rows // change)
            w.u(top.bit_length(), rng.randint(0, top))
        lengths.append(len(w.bits))
        if cabac:
            w.bits += "1" * (-len(w.bits) % 8)
        w.bits += "1101" * 9
        packet += w.nal(bytes([(0x60 if reference else 0) | (5 if idr else 1)]))
        packets.append(packet)
    return packets, lengths


def h264_references(w, slice_type, most, default, weights):
    if slice_type == 1:
        w.u(1)
    if slice_type not in (0, 1):
        return
    counts = default
    if w.u(1):
        counts = (1 + w.ue(0, most - 1), 1 + w.ue(0, most - 1) if slice_type == 1 else 0)
    lists = counts if slice_type == 1 else counts[:1]
    for n in lists:
        if w.u(1):
            for _ in range(w.rng.randint(1, n)):
                if w.ue(0, 2) < 2:
                    w.ue(0, 3)
                else:
                    w.ue(0, 2)
            w.ue(3)
    weighted, chroma = weights
    if weighted:
        w.ue(0, 7)
        if chroma:
            w.ue(0, 7)
        for n in lists:
            for _ in range(n):
                if w.u(1):
                    w.se(-60, 60)
                    w.se(-60, 60)
                if chroma and w.u(1):
                    for _ in range(4):
                        w.se(-60, 60)


@pytest.mark.parametrize("seed", range(40))
def test_written_headers(seed):
    check("h264", 8, h264_stream, seed)
