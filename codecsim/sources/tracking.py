"""Which face in one picture is which in the next, and where each of them was in the frames between.

The tracker sees the frames of a recording in order, with detections on some of them, and tells with a fixed delay where
each person's face is in each frame. It follows positions and sizes only; it does not know persons apart by their looks.
A face that was lost is taken for the same person where it turns up again within reach of its last place.
"""

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from codecsim.faces import Detection, FaceSettings, Square

_REACH_SIDES = 0.7
"""How far, in face sides, a face may move from where it is expected: two faces side by side are a whole side apart."""
_REACH_SIDES_PER_SECOND = 1.5
"""How much further for each second since it was seen; a quick head moves by about its own size in a second."""
_MAX_REACH_SIDES = 2.0
"""And never further than this: beyond it somebody else is as likely."""
_MAX_SIZE_RATIO = 1.6
"""How much larger or smaller it may be: leaning into the camera does that, another person further back does more."""
_SPEED_SECONDS = 0.5
"""Motion is carried on for this long, then the face is expected to have stopped."""
_TIME_EPSILON = 1e-6
"""Times are sums of binary fractions: a gap of exactly the limit must count as one."""


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a face is in one frame.

    Attributes
    ----------
    square : smoothed, in the pixels that the detections were given in
    interpolated : whether the detector was asked, between the two finds around this frame, and saw nothing
    face_side : side of the face's box without margin, in the same pixels: the shorter of a given box, the longer of a
        detected one, since detections are followed as squares
    """

    square: Square
    interpolated: bool
    face_side: float


@dataclass(frozen=True, slots=True)
class _Point:
    index: int
    seconds: float
    square: Square
    interpolated: bool


@dataclass(slots=True)
class _Track:
    number: int
    first_seconds: float
    last: _Point
    last_search: int
    speed: tuple[float, float] = (0.0, 0.0)
    path: deque[_Point] = field(default_factory=deque)


class Tracker:
    """Follows faces through the frames of one recording.

    Parameters
    ----------
    settings : its `margin`, `max_gap_seconds`, `smoothing_seconds`, `min_track_seconds` and `max_persons` are used

    Attributes
    ----------
    n_discarded : tracks that were too short
    n_ignored : detections that would have begun a track while `max_persons` were followed already
    """

    def __init__(self, settings: FaceSettings) -> None:
        self._settings = settings
        self._tracks: list[_Track] = []
        self._frames: deque[tuple[int, float]] = deque()
        self._n_searches = 0
        self._n_tracks = 0
        self.n_ignored = self.n_discarded = 0

    @property
    def delay_seconds(self) -> float:
        """A frame's faces are settled once a frame this much later was added."""
        return self._settings.max_gap_seconds + self._settings.smoothing_seconds / 2

    def numbers(self) -> set[int]:
        """Tracks that are followed, or that lasted long enough to be kept."""
        return {track.number for track in self._tracks}

    def add(self, index: int, seconds: float, detections: Sequence[Detection] | None) -> None:
        """Add the next frame; `detections` is None where it was not searched, empty where nobody was found."""
        self._frames.append((index, seconds))
        if detections is None:
            return
        self._n_searches += 1
        squares = [
            Square.around(d.x, d.y, d.w, d.h, margin=self._settings.margin)
            for d in sorted(detections, key=lambda d: d.x)
        ]
        pairs = sorted(
            (cost, track.number, number)
            for track in self._tracks
            for number, square in enumerate(squares)
            if (cost := self._cost(track, square, seconds)) <= 1
        )
        tracks = {track.number: track for track in self._tracks}
        free = set(range(len(squares)))
        for _, track_number, number in pairs:
            if number in free and track_number in tracks:
                free.remove(number)
                self._extend(tracks.pop(track_number), index, seconds, squares[number])
        wanted = [track for track in self._tracks if self._is_wanted(track, seconds)]
        self.n_discarded += len(self._tracks) - len(wanted)
        self._tracks = wanted
        for number in sorted(free):
            self._begin(index, seconds, squares[number])

    def finish(self) -> None:
        """Say that no frame follows: faces seen in the last search stay where they were to the end."""
        for track in self._tracks:
            if track.last_search == self._n_searches:
                last = track.last
                track.path.extend(
                    _Point(index, seconds, last.square, False) for index, seconds in self._frames if index > last.index
                )

    def faces(self, index: int) -> dict[int, Placed]:
        """Faces in frame `index` by track number; ask for the frames in order, each once, when it is settled."""
        while self._frames and self._frames[0][0] < index:
            self._frames.popleft()
        placed = {}
        for track in self._tracks:
            here = self._smoothed(track, index)
            if here is not None:
                placed[track.number] = here
        return placed

    def _cost(self, track: _Track, square: Square, seconds: float) -> float:
        """0 where a face is just where the track expects it, 1 at the end of its reach."""
        elapsed = seconds - track.last.seconds
        carried = min(elapsed, _SPEED_SECONDS)
        last = track.last.square
        away = math.hypot(
            square.x - last.x - track.speed[0] * carried,
            square.y - last.y - track.speed[1] * carried,
        )
        reach = min(_REACH_SIDES + _REACH_SIDES_PER_SECOND * elapsed, _MAX_REACH_SIDES)
        growth = abs(math.log(square.side / last.side)) / math.log(_MAX_SIZE_RATIO)
        # The margin is part of the side, so sides are measured without it.
        side = min(square.side, last.side) / (1 + self._settings.margin)
        return max(away / (reach * side), growth)

    def _is_wanted(self, track: _Track, seconds: float) -> bool:
        is_confirmed = track.last.seconds - track.first_seconds + _TIME_EPSILON >= self._settings.min_track_seconds
        return is_confirmed or seconds - track.last.seconds <= self._settings.max_gap_seconds + _TIME_EPSILON

    def _begin(self, index: int, seconds: float, square: Square) -> None:
        if len(self._tracks) >= self._settings.max_persons:
            self.n_ignored += 1
            return
        point = _Point(index, seconds, square, False)
        track = _Track(self._n_tracks, seconds, point, self._n_searches)
        track.path.append(point)
        self._tracks.append(track)
        self._n_tracks += 1

    def _extend(self, track: _Track, index: int, seconds: float, square: Square) -> None:
        last, elapsed = track.last, seconds - track.last.seconds
        if elapsed <= self._settings.max_gap_seconds + _TIME_EPSILON:
            was_lost = track.last_search < self._n_searches - 1
            for between, moment in self._frames:
                if last.index < between < index:
                    share = (moment - last.seconds) / elapsed
                    track.path.append(_Point(between, moment, _between(last.square, square, share), was_lost))
        if elapsed > 0:
            # Half of the old speed is kept: whole-pixel boxes alone would make it jump.
            track.speed = (
                (track.speed[0] + (square.x - last.square.x) / elapsed) / 2,
                (track.speed[1] + (square.y - last.square.y) / elapsed) / 2,
            )
        track.last = _Point(index, seconds, square, False)
        track.last_search = self._n_searches
        track.path.append(track.last)

    def _smoothed(self, track: _Track, index: int) -> Placed | None:
        path, half = track.path, self._settings.smoothing_seconds / 2
        at = next((n for n, point in enumerate(path) if point.index >= index), len(path))
        if at == len(path) or path[at].index != index:
            return None
        here = path[at]
        # Only points before it that later frames can no longer need are forgotten.
        while path[0].seconds < here.seconds - half - _TIME_EPSILON:
            path.popleft()
            at -= 1
        window = [
            point
            for offset, point in enumerate(path)
            if point.seconds <= here.seconds + half + _TIME_EPSILON
            and point.index - here.index == offset - at  # no frame is missing between
        ]
        square = _local_line(window, here.seconds, half)
        return Placed(square, here.interpolated, square.side / (1 + self._settings.margin))


def steady(squares: Sequence[Square | None], seconds: Sequence[float], settings: FaceSettings) -> list[Square | None]:
    """Where the one face of a recording is in each frame, from where it was seen: as `Tracker` has it.

    Parameters
    ----------
    squares : of each frame, margin included; None where the face was not seen
    seconds : times of the frames, ascending
    settings : its `max_gap_seconds` and `smoothing_seconds` are used

    Returns
    -------
    squares : smoothed, and interpolated over short gaps; None in longer ones, before the first and after the last
    """
    seen = [
        _Point(n, moment, square, False)
        for n, (moment, square) in enumerate(zip(seconds, squares, strict=True))
        if square is not None
    ]
    path: dict[int, _Point] = {point.index: point for point in seen}
    for last, point in pairwise(seen):
        elapsed = point.seconds - last.seconds
        if elapsed <= settings.max_gap_seconds + _TIME_EPSILON:
            for n in range(last.index + 1, point.index):
                square = _between(last.square, point.square, (seconds[n] - last.seconds) / elapsed)
                path[n] = _Point(n, seconds[n], square, True)
    half = settings.smoothing_seconds / 2
    steadied: list[Square | None] = [None] * len(squares)
    for n, here in path.items():
        steadied[n] = _local_line(_run(path, here, half), here.seconds, half)
    return steadied


def _run(path: Mapping[int, _Point], here: _Point, half: float) -> list[_Point]:
    """Points within `half` seconds of one of them with no frame missing between."""
    found = []
    for first, step in ((here.index, 1), (here.index - 1, -1)):
        n = first
        while n in path and abs(path[n].seconds - here.seconds) <= half + _TIME_EPSILON:
            found.append(path[n])
            n += step
    return found


def _between(a: Square, b: Square, share: float) -> Square:
    return Square(a.x + (b.x - a.x) * share, a.y + (b.y - a.y) * share, a.side + (b.side - a.side) * share)


def _local_line(window: Sequence[_Point], seconds: float, half: float) -> Square:
    """Value at `seconds` of the straight line through the points of `window`, the nearer ones counting more.

    The line, rather than the mean, keeps the ends of a track from lagging behind a moving face. The weights are those
    of LOWESS (Cleveland 1979), (1 − |u|³)³.
    """
    times = np.array([point.seconds - seconds for point in window])
    values = np.array([(point.square.x, point.square.y, point.square.side) for point in window])  # (n, 3)
    weights = (1 - np.minimum(np.abs(times) / (half * (1 + 1e-9) + _TIME_EPSILON), 1) ** 3) ** 3
    weights /= weights.sum()
    mean_time = weights @ times
    mean = weights @ values
    spread = weights @ (times - mean_time) ** 2
    if spread > _TIME_EPSILON**2:
        slope = (weights * (times - mean_time)) @ (values - mean) / spread
        mean = mean - slope * mean_time
    x, y, side = mean.tolist()
    return Square(x, y, max(side, 1.0))
