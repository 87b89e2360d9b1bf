"""Bits, Exp-Golomb codes, leb128 and the byte stream format, there and back again."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codecsim.bitstream.annexb import split, unescape
from codecsim.bitstream.bits import BitReader, leb128
from codecsim.errors import BitstreamError


def ue_code(value: int) -> str:
    bits = f"{value + 1:b}"
    return "0" * (len(bits) - 1) + bits


def se_code(value: int) -> str:
    return ue_code(2 * value - 1 if value > 0 else -2 * value)


def to_bytes(bits: str) -> bytes:
    bits += "0" * (-len(bits) % 8)
    return int(bits or "0", 2).to_bytes(len(bits) // 8, "big")


def escape(rbsp: bytes) -> bytes:
    """Insert emulation_prevention_three_bytes as clause 7.4.1 of H.264 tells an encoder to."""
    nal, zeros = bytearray(), 0
    for byte in rbsp:
        if zeros == 2 and byte <= 3:
            nal.append(3)
            zeros = 0
        nal.append(byte)
        zeros = zeros + 1 if byte == 0 else 0
    return bytes(nal)


u_fields = st.integers(0, 200).flatmap(lambda n: st.tuples(st.just("u"), st.just(n), st.integers(0, (1 << n) - 1)))
ue_fields = st.tuples(st.just("ue"), st.just(0), st.one_of(st.integers(0, 40), st.integers(0, 2**32 - 2)))
se_fields = st.tuples(st.just("se"), st.just(0), st.one_of(st.integers(-20, 20), st.integers(1 - 2**31, 2**31 - 1)))
skips = st.tuples(st.just("skip"), st.integers(0, 900), st.just(0))
fields = st.lists(st.one_of(u_fields, ue_fields, se_fields, skips), max_size=60)


@settings(deadline=None)
@given(fields, st.integers(0, 20))
def test_fields_read_back_what_was_written(fields, start):
    write = {
        "u": lambda n, value: f"{value:0{n}b}" if n else "",
        "ue": lambda _, value: ue_code(value),
        "se": lambda _, value: se_code(value),
        "skip": lambda n, _: "1" * n,
    }
    bits = "0" * start + "".join(write[kind](n, value) for kind, n, value in fields)
    reader = BitReader(to_bytes(bits), start)
    for kind, n, value in fields:
        if kind == "skip":
            reader.skip(n)
        else:
            assert (reader.u(n) if kind == "u" else getattr(reader, kind)()) == value
    assert reader.position == len(bits)
    assert reader.bits_left() == -len(bits) % 8


@pytest.mark.parametrize(
    ("data", "read"),
    [
        (b"\xff", lambda r: r.u(9)),
        (b"\xff", lambda r: r.skip(9)),
        (b"", lambda r: r.ue()),
        (b"\x00\x00", lambda r: r.ue()),
        (b"\x00" * 200, lambda r: r.ue()),
        (b"\x01", lambda r: r.ue()),
        (b"\x00\x00\x00\x00\xff\xff\xff\xff\xff", lambda r: r.ue()),  # 32 leading zeros
        (b"\x00" * 9, lambda r: r.uvlc()),
        (b"\x10", lambda r: r.ue(6)),  # 7, where at most 6 is allowed
    ],
)
def test_what_is_not_there_or_not_allowed_is_refused(data, read):
    with pytest.raises(BitstreamError):
        read(BitReader(data))


def test_largest_ue_is_read():
    assert BitReader(to_bytes(ue_code(2**32 - 2))).ue() == 2**32 - 2


@pytest.mark.parametrize(
    ("n", "codes"), [(1, [""]), (5, ["00", "01", "10", "110", "111"]), (4, ["00", "01", "10", "11"])]
)
def test_ns_of_av1(n, codes):
    # AV1 clause 4.10.7
    for value, code in enumerate(codes):
        reader = BitReader(to_bytes(code))
        assert (reader.ns(n), reader.position) == (value, len(code))


@pytest.mark.parametrize(("code", "value"), [("000000", 0), ("111111", -1), ("100000", -32), ("011111", 31)])
def test_su_of_av1(code, value):
    assert BitReader(to_bytes(code)).su(6) == value


@pytest.mark.parametrize(("code", "value"), [("1", 0), ("010", 1), ("00111", 6), ("0" * 32 + "1", 2**32 - 1)])
def test_uvlc_of_av1(code, value):
    reader = BitReader(to_bytes(code))
    assert (reader.uvlc(), reader.position) == (value, len(code))


def test_take_zeros_stays_where_a_bit_is_set():
    reader = BitReader(b"\x00\x10")
    assert reader.take_zeros(11)
    assert not reader.take_zeros(5)
    assert reader.u(1) == 1


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.binary(max_size=3), st.integers(0, 3))
def test_leb128_reads_back_what_was_written(value, before, padding):
    groups = [value >> shift & 0x7F for shift in range(0, max(7, value.bit_length()), 7)] + [0] * padding
    code = bytes([*(group | 0x80 for group in groups[:-1]), groups[-1]])
    data = before + code + b"\xff"
    assert leb128(data, len(before), len(data)) == (value, len(code))


@pytest.mark.parametrize("data", [b"", b"\x80", b"\xff" * 9, b"\xff\xff\xff\xff\x7f"])
def test_leb128_without_end_or_too_large_is_refused(data):
    with pytest.raises(BitstreamError):
        leb128(data, 0, len(data))


zeros_and_small = st.lists(st.sampled_from([0, 0, 0, 1, 2, 3, 4, 255]), max_size=60).map(bytes)


@settings(deadline=None)
@given(zeros_and_small)
def test_emulation_prevention_round_trip(rbsp):
    nal = escape(b"\x65" + rbsp + b"\x80")
    assert unescape(nal) == b"\x65" + rbsp + b"\x80"
    assert nal.count(b"\0\0\3") == len(nal) - len(rbsp) - 2
    assert b"\0\0\1" not in nal


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(2, 6), zeros_and_small), min_size=1, max_size=6), st.integers(0, 4))
def test_split_finds_every_unit_and_covers_the_packet(parts, trailing):
    nals = [escape(b"\x65" + rbsp + b"\x80") for _, rbsp in parts]
    starts = [b"\0" * zeros + b"\1" for zeros, _ in parts]
    packet = b"".join(start + nal for start, nal in zip(starts, nals, strict=True)) + b"\0" * trailing
    found = list(split(packet))
    assert [nal for _, _, nal in found] == nals
    position = 0
    for offset, n_bytes, nal in found:
        assert offset == position
        assert packet[offset : offset + n_bytes].strip(b"\0") in (b"\1" + nal, nal)
        position += n_bytes
    assert position == len(packet)
    for i, (offset, _, _) in enumerate(found[1:], 1):
        assert packet[offset:].startswith(b"\0\0\0\1" if len(starts[i]) > 3 else b"\0\0\1")


@pytest.mark.parametrize("data", [b"", b"\0\0\0", b"\0\0\0\x05\x65abc\0", b"\x09\0\0\1\x65"])
def test_a_packet_that_does_not_begin_with_a_start_code_is_refused(data):
    with pytest.raises(BitstreamError, match="start code"):
        list(split(data))
