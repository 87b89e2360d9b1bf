"""The times of a recording's frames: mended where they are odd, measured, and judged even or uneven."""

import heapq
import math
from fractions import Fraction

import numpy as np
import numpy.typing as npt

_JITTER_SECONDS = 0.0025
"""Containers that round times to milliseconds let even intervals differ by one or two."""


class Clock:
    """Gives each decoded frame its time in seconds from the start of the recording, always later than the one before.

    Parameters
    ----------
    nominal_interval_seconds : from frame to frame, where a frame has no time of its own
    start_seconds : what the container calls the start; a transport stream may begin anywhere
    listed_seconds : shape=(N,), ascending: times of all pictures of the file in their order, those that are lost
        included. They are used instead of what the frames claim, and end the recording

    Attributes
    ----------
    n_frames : frames that were given a time
    first_seconds, last_seconds : of the first and last of them
    frame_interval_min_seconds, frame_interval_max_seconds : between frames with no lost one between; NaN where none
    """

    def __init__(
        self,
        nominal_interval_seconds: float,
        start_seconds: float,
        listed_seconds: npt.NDArray[np.float64] | None = None,
    ) -> None:
        if listed_seconds is not None and len(listed_seconds) > 1:
            nominal_interval_seconds = float(np.median(np.diff(listed_seconds)))
        self.nominal_interval_seconds = nominal_interval_seconds
        self._start_seconds = start_seconds
        self._listed_seconds = listed_seconds
        self._n_lost = 0
        self.n_frames = 0
        self.first_seconds = self.last_seconds = math.nan
        self.frame_interval_min_seconds = self.frame_interval_max_seconds = math.nan
        self._n_mended = self._n_jumps = 0
        self._jump_seconds = 0.0

    @property
    def fps(self) -> float:
        """Mean frames per second; the nominal figure for a single frame."""
        span = self.last_seconds - self.first_seconds
        return (self.n_frames - 1) / span if self.n_frames > 1 and span > 0 else 1 / self.nominal_interval_seconds

    @property
    def is_variable_frame_rate(self) -> bool:
        """Whether the intervals differ by more than rounding and a tenth of the mean."""
        spread = self.frame_interval_max_seconds - self.frame_interval_min_seconds
        return spread > max(_JITTER_SECONDS, 0.1 / self.fps)

    def is_over(self, n_lost: int) -> bool:
        """Whether times are listed and none is left for a frame that comes after `n_lost` lost ones."""
        at = self.n_frames + self._n_lost + n_lost
        return self._listed_seconds is not None and at >= len(self._listed_seconds)

    def next(self, pts: int | None, time_base: Fraction | None, *, n_lost: int = 0) -> float:
        """Time of the next frame, before which `n_lost` are missing, from what it claims or from the list."""
        before = self.last_seconds
        self._n_lost += n_lost
        if self._listed_seconds is None:
            seconds = self._mended(pts, time_base)
        else:
            seconds = float(self._listed_seconds[self.n_frames + self._n_lost])
        if self.n_frames == 0:
            self.first_seconds = seconds
        elif not n_lost:
            interval = seconds - before
            # The first comparison with NaN keeps the interval.
            self.frame_interval_min_seconds = min(interval, self.frame_interval_min_seconds)
            self.frame_interval_max_seconds = max(interval, self.frame_interval_max_seconds)
        self.last_seconds = seconds
        self.n_frames += 1
        return seconds

    def warnings(self) -> list[str]:
        """What a person should know about the times."""
        said = []
        if self.is_variable_frame_rate:
            said.append(
                f"The frame rate varies: {1000 * self.frame_interval_min_seconds:.1f} to "
                f"{1000 * self.frame_interval_max_seconds:.1f} ms between frames. Each frame keeps its own time, and "
                f"fps is the mean, {self.fps:.3f}."
            )
        if self._n_mended and self._n_mended == self.n_frames:
            said.append(f"The file holds no times; {1 / self.nominal_interval_seconds:.3f} frames/s were assumed.")
        elif self._n_mended:
            said.append(f"{self._n_mended} frames had no time, or that of the frame before; theirs were filled in.")
        if self._n_jumps:
            said.append(f"The clock was set back {self._n_jumps} times; the times go on evenly from there.")
        return said

    def _mended(self, pts: int | None, time_base: Fraction | None) -> float:
        nominal, before = self.nominal_interval_seconds, self.last_seconds
        if pts is None or time_base is None:
            self._n_mended += 1
            return before + nominal if self.n_frames else 0.0
        seconds = float(pts * time_base) - self._start_seconds + self._jump_seconds
        if self.n_frames and seconds < before - 1:
            # Set back, as where recordings were joined: go on from here.
            self._jump_seconds += before + nominal - seconds
            self._n_jumps += 1
            return before + nominal
        if self.n_frames and seconds <= before:
            # Half an interval on, so that the next frame, if its own time is right, still comes later.
            self._n_mended += 1
            return before + nominal / 2
        return seconds


class Roll:
    """Calls the roll of coded pictures: those that were read from the file and never came out of the decoder.

    A decoder drops some pictures without an error, for instance those that lean on a damaged key frame. In H.264 and
    HEVC each packet makes one picture of the same time, so that a time that is passed over is a picture lost. Other
    codecs have packets that show nothing, and in interlaced video a packet may be half a picture: there only the
    decoder's own errors are counted.
    """

    CODECS = frozenset({"h264", "hevc"})

    def __init__(self, codec: str) -> None:
        self.is_called = codec in self.CODECS
        self._times: list[int] = []
        self._latest: int | None = None

    def expect(self, pts: int | None, time_base: Fraction) -> None:
        """A packet was read."""
        if pts is None or (self._latest is not None and (self._latest - pts) * time_base > 1):
            self.stop()  # the clock was set back
        elif self.is_called:
            self._latest = pts if self._latest is None else max(pts, self._latest)
            heapq.heappush(self._times, pts)

    def n_passed_over(self, pts: int | None) -> int:
        """Pictures of before `pts`, the time of a decoded frame, that never came; at the end, with None, all left."""
        n_lost = 0
        while self._times and (pts is None or self._times[0] <= pts):
            n_lost += pts is None or self._times[0] < pts
            heapq.heappop(self._times)
        return n_lost

    def stop(self) -> None:
        """Call no more: the times cannot be relied on."""
        self.is_called = False
        self._times.clear()
