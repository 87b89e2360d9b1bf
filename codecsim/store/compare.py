"""The bpp regression test: which streams of two sweeps differ in their bits, and in which purpose."""

from dataclasses import dataclass
from pathlib import Path

from codecsim.bitstream import PURPOSES
from codecsim.errors import UsageError
from codecsim.store.sweep import Sweep

_OPERATING_POINT = (
    *("sequence", "codec", "options", "mode", "scale"),
    *("qp_requested", "crf_requested", "bitrate_kbps_requested"),
)


@dataclass(frozen=True, slots=True)
class Moved:
    """A stream whose bits differ by more than was allowed.

    Attributes
    ----------
    stream : its short name
    bits_base, bits_new : bits_total in both files
    purposes : (purpose, bits in new − bits in base) of those that moved
    """

    stream: str
    bits_base: int
    bits_new: int
    purposes: tuple[tuple[str, int], ...]

    @property
    def bits_moved(self) -> int:
        """Bits in new − bits in base."""
        return self.bits_new - self.bits_base


@dataclass(frozen=True, slots=True)
class Comparison:
    """What two sweeps have in common and where they differ.

    Attributes
    ----------
    n_common : operating points that both hold
    moved : those whose bits differ by more than the tolerance, largest first
    n_other_bytes : those of equal bits whose bytes differ
    missing, added : names that only the base, or only the new file, holds
    """

    n_common: int
    moved: tuple[Moved, ...]
    n_other_bytes: int
    missing: tuple[str, ...]
    added: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether no bit moved beyond the tolerance and no stream of the base is missing."""
        return not self.moved and not self.missing


def compare(base: str | Path, new: str | Path, *, tolerance_bits: int = 0) -> Comparison:
    """Compare the bits of two sweeps, operating point by operating point.

    Streams are matched by sequence, codec, options, mode, factor and operating value, not by content key: another
    encoder build is what one wants to compare.

    Parameters
    ----------
    base, new : sweep files
    tolerance_bits : largest difference of any purpose, and of the sum, that is let pass

    Raises
    ------
    UsageError
        If the tolerance is negative, or the files have no operating point in common.
    """
    if tolerance_bits < 0:
        raise UsageError(f"a tolerance of {tolerance_bits} bits: 0 or more is needed")
    with Sweep(base) as first, Sweep(new) as second:
        rows_base, rows_new = _rows(first), _rows(second)
        common = [point for point in rows_base if point in rows_new]
        if not common:
            raise UsageError(f"{base} and {new} have no operating point in common: nothing can be compared")
        moved, n_other_bytes = [], 0
        for point in common:
            row_base, row_new = rows_base[point], rows_new[point]
            bits_base, bits_new = (
                {purpose: int(sweep.streams[purpose][row]) for purpose in (*PURPOSES, "bits_total")}
                for sweep, row in ((first, row_base), (second, row_new))
            )
            changes = {purpose: bits_new[purpose] - bits_base[purpose] for purpose in bits_base}
            if max(map(abs, changes.values())) > tolerance_bits:
                moved.append(
                    Moved(
                        first.name(row_base),
                        bits_base["bits_total"],
                        bits_new["bits_total"],
                        tuple((purpose, changes[purpose]) for purpose in PURPOSES if changes[purpose]),
                    )
                )
            elif not any(changes.values()):
                digests = first.streams["stream_sha256"][row_base], second.streams["stream_sha256"][row_new]
                n_other_bytes += digests[0] != digests[1]
        return Comparison(
            n_common=len(common),
            moved=tuple(sorted(moved, key=lambda each: -abs(each.bits_moved))),
            n_other_bytes=n_other_bytes,
            missing=tuple(first.name(row) for point, row in rows_base.items() if point not in rows_new),
            added=tuple(second.name(row) for point, row in rows_new.items() if point not in rows_base),
        )


def _rows(sweep: Sweep) -> dict[tuple[str, ...], int]:
    columns = [map(str, sweep.streams[name].tolist()) for name in _OPERATING_POINT]
    return {point: row for row, point in enumerate(zip(*columns, strict=True))}
