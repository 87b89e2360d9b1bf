"""The bit ledger of H.264, HEVC, AV1 and VP9 streams: every bit attributed to a unit and a purpose."""

from codecsim.bitstream.ledger import STANDARDS, Ledger, count_bits, units
from codecsim.bitstream.unit import PURPOSES, Unit

__all__ = ["PURPOSES", "STANDARDS", "Ledger", "Unit", "count_bits", "units"]
