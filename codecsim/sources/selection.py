"""Which frames and which persons of a recording go into a corpus."""

import dataclasses
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from codecsim.sources.spool import Spool
from codecsim.sources.tracking import Placed

_EPSILON_SECONDS = 1e-6  # times are sums of binary fractions, and the ends of a time are wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is wanted of a recording: all that shows a face, unless told otherwise.

    Attributes
    ----------
    first_seconds, last_seconds : frames before and after are left out; both ends are wanted
    min_face_side : frames are left out whose face has no box of its own, but an interpolated one, or a box with a side
        of this many source pixels or less (see `codecsim.sources.tracking.Placed`); None keeps them
    is_single : whether it shows one person, so that the longest track alone is wanted
    """

    first_seconds: float = -math.inf
    last_seconds: float = math.inf
    min_face_side: float | None = None
    is_single: bool = False

    def in_time(self, seconds: float) -> bool:
        """Whether a frame of this time is wanted."""
        return self.first_seconds - _EPSILON_SECONDS <= seconds <= self.last_seconds + _EPSILON_SECONDS

    def takes(self, face: Placed) -> bool:
        """Whether a frame with the face in this place is wanted."""
        return self.min_face_side is None or not (face.interpolated or face.face_side <= self.min_face_side)

    def provenance(self) -> dict[str, float | bool]:
        """What was asked for beyond all, for JSON."""
        default = Wanted()
        return {name: value for name, value in dataclasses.asdict(self).items() if value != getattr(default, name)}

    def described(self, n_small: int) -> str:
        """Sentence on `n_small` frames that were not taken."""
        return (
            f"{n_small} frames were left out: their face has no box of its own, or one with a side of "
            f"{self.min_face_side:g} pixels or less."
        )


def in_order(spools: Iterable[Spool], min_frames: float) -> list[Spool]:
    """Tracks that are long enough, in order of appearance, then from left to right."""
    kept = [spool for spool in spools if len(spool) >= min_frames - 1e-6]
    return sorted(kept, key=lambda spool: (spool.indices[0], spool.first_left))


def longest(spools: Sequence[Spool]) -> tuple[Spool, str]:
    """The track of most frames, the first of equals, and a sentence on the others; "" where there are none."""
    chosen = max(spools, key=len)
    others = [
        f"{len(spool)} frames from {spool.seconds[0]:.2f} to {spool.seconds[-1]:.2f} s"
        for spool in spools
        if spool is not chosen
    ]
    if not others:
        return chosen, ""
    return chosen, (
        f"Of {len(spools)} face tracks the longest was kept, of {len(chosen)} frames; left out: {', '.join(others)}."
    )
