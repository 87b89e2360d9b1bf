"""Reading bits: fixed fields, Exp-Golomb codes, and the odd integers of AV1, all bounds-checked.

A `BitReader` keeps a small window of the data as one integer, so that a field costs a shift and a mask however long
the data is. Reading past the end raises `BitstreamError`, never anything else.
"""

from codecsim.errors import BitstreamError

_WINDOW_BYTES = 48  # most slice headers fit, and integers this short are shifted in one go
_UE_ZEROS_MAX = 31  # ue(v) is at most 2³² − 2

_UE_TABLE_BITS = 9
_UE_TABLE_MASK = (1 << _UE_TABLE_BITS) - 1
_NOT_IN_TABLE = (0, 0)


def _ue_table() -> list[tuple[int, int]]:
    """Length and value of the Exp-Golomb code at the start of every 9 bits, (0, 0) where it is longer than they."""
    table = []
    for bits in range(1 << _UE_TABLE_BITS):
        length = 2 * (_UE_TABLE_BITS - bits.bit_length()) + 1
        table.append((length, (bits >> _UE_TABLE_BITS - length) - 1) if length <= _UE_TABLE_BITS else _NOT_IN_TABLE)
    return table


_UE_TABLE = _ue_table()


class BitReader:
    """Reads a byte string from its most significant bit on.

    Parameters
    ----------
    data : the bytes to read
    position : bit at which to begin, counted from the start of `data`; afterwards always the next bit to be read
    """

    __slots__ = ("_data", "_window", "_window_end", "position")

    def __init__(self, data: bytes, position: int = 0) -> None:
        first = position >> 3
        chunk = data[first : first + _WINDOW_BYTES]
        self._data = data
        self._window = int.from_bytes(chunk, "big")
        self._window_end = 8 * (first + len(chunk))
        self.position = position

    def u(self, n: int) -> int:
        """Unsigned integer of `n` bits, 0 ≤ n ≤ 256; u(n) and f(n) of the standards."""
        end = self.position + n
        if end > self._window_end:
            self._refill(n)
        self.position = end
        return self._window >> (self._window_end - end) & (1 << n) - 1

    def take_zeros(self, n: int) -> bool:
        """Pass over `n` bits, 1 ≤ n ≤ 256, if they are all 0; otherwise stay. Whether they were."""
        start = self.position  # stays in the window: u() refills from here on
        if self.u(n):
            self.position = start
            return False
        return True

    def ue(self, largest: int = 2**32 - 2, what: str = "ue(v)") -> int:
        """Unsigned Exp-Golomb code, ITU-T H.264 clause 9.1; `BitstreamError` where it exceeds `largest`."""
        shift = self._window_end - self.position - _UE_TABLE_BITS
        length, value = _UE_TABLE[self._window >> shift & _UE_TABLE_MASK] if shift >= 0 else _NOT_IN_TABLE
        if not length:
            length, value = self._long_ue(what)
        self.position += length
        if value > largest:
            raise BitstreamError(f"{what} is {value}; at most {largest} is allowed")
        return value

    def se(self) -> int:
        """Signed Exp-Golomb code, ITU-T H.264 clause 9.1.1."""
        code = self.ue(what="se(v)")
        return (code + 1) >> 1 if code & 1 else -(code >> 1)

    def su(self, n: int) -> int:
        """Two's complement integer of `n` bits, AV1 clause 4.10.6."""
        value = self.u(n)
        return value - (1 << n) if value >> (n - 1) else value

    def ns(self, n: int) -> int:
        """Non-symmetric unsigned value below `n`, AV1 clause 4.10.7."""
        width = n.bit_length()
        short = (1 << width) - n
        value = self.u(width - 1)
        return value if value < short else (value << 1) - short + self.u(1)

    def uvlc(self) -> int:
        """Variable-length value, AV1 clause 4.10.3; unlike ue(v) it has a meaning for 32 leading zeros and more."""
        zeros = 0
        while not self.u(1):
            zeros += 1
        return 2**32 - 1 if zeros >= 32 else self.u(zeros) + (1 << zeros) - 1

    def skip(self, n: int) -> None:
        """Pass over `n` bits, however many."""
        end = self.position + n
        if end > 8 * len(self._data):
            raise BitstreamError(f"ends early: {n} bits wanted at bit {self.position} of {8 * len(self._data)}")
        self.position = end
        if end > self._window_end:
            self._refill(0)

    def align(self) -> None:
        """Pass over what is left of a byte that was begun."""
        self.skip(-self.position % 8)

    def bits_left(self) -> int:
        """Bits between `position` and the end of the data."""
        return 8 * len(self._data) - self.position

    def _long_ue(self, what: str) -> tuple[int, int]:
        """Length and value of an Exp-Golomb code that is not in the table or runs out of the window."""
        self._refill(0)
        left = self._window_end - self.position
        tail = self._window & (1 << left) - 1
        zeros = left - tail.bit_length()
        length = 2 * zeros + 1
        if length > left or zeros > _UE_ZEROS_MAX:
            raise BitstreamError(f"no valid Exp-Golomb code for {what} at bit {self.position}")
        return length, (tail >> (left - length)) - 1

    def _refill(self, n: int) -> None:
        first = self.position >> 3
        chunk = self._data[first : first + _WINDOW_BYTES]
        self._window = int.from_bytes(chunk, "big")
        self._window_end = 8 * (first + len(chunk))
        if self.position + n > self._window_end:
            raise BitstreamError(f"ends early: {n} bits wanted at bit {self.position} of {8 * len(self._data)}")


def leb128(data: bytes, start: int, stop: int) -> tuple[int, int]:
    """Little-endian base-128 value at byte `start` of `data`, below `stop`; AV1 clause 4.10.5.

    Returns
    -------
    value, n_bytes : the value, below 2³², and the bytes it took, at most 8
    """
    value = 0
    for i in range(min(8, stop - start)):
        byte = data[start + i]
        value |= (byte & 0x7F) << 7 * i
        if byte < 0x80:
            if value >= 2**32:
                raise BitstreamError(f"leb128 value {value} at byte {start} exceeds 32 bits")
            return value, i + 1
    raise BitstreamError(f"leb128 value at byte {start} has no end")
