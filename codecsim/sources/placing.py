"""Where the faces of a recording are: found by a detector, or given in a file."""

import math
from collections import Counter, deque
from collections.abc import Set as AbstractSet
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Protocol, Self

from codecsim.errors import FaceError, SourceError
from codecsim.faces import Detection, Detector, FaceSettings
from codecsim.sources.decoding import DecodedFrame, VideoReader
from codecsim.sources.tables import read_boxes
from codecsim.sources.tracking import Placed, Tracker

_LARGEST_PAUSE = 32
"""While nobody is in sight, every so many searches the larger sides are tried again."""
_EASY_SIDE = 40
"""A face of this many searched pixels is found without fail (18 is the least), so a smaller picture will do."""

_LOOKAHEAD_FRAMES = 8
"""Frames that are decoded while searches before them still run: enough to keep both busy, little enough to hold."""


class Placer(Protocol):
    """Tells where the faces are in each frame. Squares are in source pixels, tracks have numbers."""

    @property
    def description(self) -> str:
        """Where the places come from, for provenance."""

    @property
    def settled_seconds(self) -> float:
        """Places of frames up to this time are settled."""

    def add(self, frame: DecodedFrame) -> None:
        """Look at the next frame."""

    def finish(self) -> None:
        """Say that no frame follows."""

    def faces(self, index: int, seconds: float) -> dict[int, Placed]:
        """Places in a settled frame by track; each frame once, in order."""

    def tracks(self) -> AbstractSet[int]:
        """Tracks that are not known to be errors."""

    @property
    def n_discarded(self) -> int:
        """Tracks that are."""

    def min_frames(self) -> float:
        """Least frames of a track that is kept; asked at the end."""

    def nobody(self, n_short: int) -> FaceError:
        """Why there is no track, where there is none but `n_short` that were too short."""

    def warnings(self) -> list[str]:
        """What a person should know about the places."""


class FoundFaces:
    """Places from a detector: searched on some frames, followed, smoothed and interpolated.

    Searches begin with the smallest side. While nobody is in sight the larger ones are tried after the first, second,
    fourth, … search in vain, and a side that found a face is kept until the faces are large enough for a smaller one.

    The detector runs in one thread of its own, while the next frames are decoded. It sees them in order, and what it
    finds is used with a fixed delay, so that the places do not depend on timing.
    """

    def __init__(self, detector: Detector, reader: VideoReader, settings: FaceSettings) -> None:
        self._detector = detector
        self._reader = reader
        self._settings = settings
        self._tracker = Tracker(settings)
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="faces")
        self._pending: deque[tuple[int, float, Future[list[Detection]] | None]] = deque()
        self._searched_seconds = -math.inf
        self.settled_seconds = -math.inf
        # From here on the worker's own.
        self._level = 0
        self._n_in_vain = 0
        self._found_seconds = -math.inf
        self._n_searches = 0
        self._sides_tried: Counter[int] = Counter()
        self._n_small = 0

    @property
    def description(self) -> str:
        return f"{self._detector.name} {self._detector.version}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._worker.shutdown(cancel_futures=True)

    def add(self, frame: DecodedFrame) -> None:
        seconds = frame.pts_seconds
        is_due = (
            frame.index % self._settings.detect_every == 0
            # At low frame rates a few frames may last longer than the longest gap that is bridged.
            or seconds - self._searched_seconds >= self._settings.max_gap_seconds / 2
        )
        future = None
        if is_due:
            self._searched_seconds = seconds
            future = self._worker.submit(self._search, frame)
        self._pending.append((frame.index, seconds, future))
        if len(self._pending) > _LOOKAHEAD_FRAMES:
            self._track_next()

    def finish(self) -> None:
        while self._pending:
            self._track_next()
        self._tracker.finish()
        self.settled_seconds = math.inf

    def faces(self, index: int, seconds: float) -> dict[int, Placed]:
        return self._tracker.faces(index)

    def tracks(self) -> AbstractSet[int]:
        return self._tracker.numbers()

    @property
    def n_discarded(self) -> int:
        return self._tracker.n_discarded

    def min_frames(self) -> float:
        shortest = self._settings.min_track_seconds * self._reader.clock.fps
        return shortest if self._reader.n_frames > shortest else 1  # of a very short recording all is kept

    def nobody(self, n_short: int) -> FaceError:
        sides = ", ".join(map(str, sorted(self._sides_tried)))
        almost = ""
        if n_short:
            almost = f"; {n_short} tracks were shorter than {self._settings.min_track_seconds:g} s"
        elif self._n_small:
            almost = f"; {self._n_small} faces were smaller than {self._settings.min_side:g} pixels"
        return FaceError(
            f"{self._reader.path}: no face was found in {self._n_searches} frames searched of {self._reader.n_frames}, "
            f"at longest sides of {sides} pixels and confidence {self._settings.confidence:g}{almost}. "
            "If there are faces, give their boxes: --boxes FILE.csv with columns time,x,y,w,h"
        )

    def warnings(self) -> list[str]:
        if not self._tracker.n_ignored:
            return []
        return [
            f"Faces beyond the first {self._settings.max_persons} persons were left out "
            f"({self._tracker.n_ignored} detections); raise max_persons to keep them."
        ]

    def _track_next(self) -> None:
        index, seconds, future = self._pending.popleft()
        self._tracker.add(index, seconds, None if future is None else future.result())
        self.settled_seconds = seconds - self._tracker.delay_seconds

    def _search(self, frame: DecodedFrame) -> list[Detection]:
        """Faces in source pixels, at the side that serves, or at a larger one where nobody is in sight."""
        self._n_searches += 1
        source_side = max(frame.luma.shape) * self._reader.shrink
        sides = sorted({min(side, source_side) for side in self._settings.detect_sides})
        self._level = min(self._level, len(sides) - 1)
        found = self._search_at(frame, sides[self._level])
        if found:
            smallest = min(max(face.w, face.h) for face in found)
            if self._level and smallest * sides[self._level - 1] / source_side >= _EASY_SIDE:
                self._level -= 1
        elif frame.pts_seconds - self._found_seconds > self._settings.max_gap_seconds:
            self._n_in_vain += 1
            if self._n_in_vain.bit_count() == 1 or self._n_in_vain % _LARGEST_PAUSE == 0:
                found = self._search_larger(frame, sides)
        if found:
            self._n_in_vain = 0
            self._found_seconds = frame.pts_seconds
        return found

    def _search_larger(self, frame: DecodedFrame, sides: list[int]) -> list[Detection]:
        for level in range(self._level + 1, len(sides)):
            found = self._search_at(frame, sides[level])
            if found:
                self._level = level
                return found
        return []

    def _search_at(self, frame: DecodedFrame, side: int) -> list[Detection]:
        self._sides_tried[side] += 1
        picture = frame.thumbnail(side)
        fx = frame.luma.shape[1] * self._reader.shrink / picture.shape[1]
        fy = frame.luma.shape[0] * self._reader.shrink / picture.shape[0]
        sure = [d for d in self._detector(picture) if d.confidence >= self._settings.confidence]
        faces = [Detection(d.x * fx, d.y * fy, d.w * fx, d.h * fy, d.confidence) for d in sure]
        large = [face for face in faces if max(face.w, face.h) >= self._settings.min_side]
        self._n_small += len(faces) - len(large)
        return large


class GivenBoxes:
    """Places from a boxes file, cut out as they are."""

    def __init__(self, path: Path, reader: VideoReader, settings: FaceSettings) -> None:
        self._path = path
        self._reader = reader
        self._max_gap_seconds = settings.max_gap_seconds
        self._persons = read_boxes(path, frame_interval=reader.clock.nominal_interval_seconds)
        self._matched: Counter[int] = Counter()

    @property
    def description(self) -> str:
        return f"boxes of {self._path.name}"

    @property
    def settled_seconds(self) -> float:
        return math.inf

    def add(self, frame: DecodedFrame) -> None:
        pass

    def finish(self) -> None:
        pass

    def faces(self, index: int, seconds: float) -> dict[int, Placed]:
        interval = self._reader.clock.nominal_interval_seconds
        width, height = (n * self._reader.shrink for n in (self._reader.width, self._reader.height))
        placed = {}
        for number, person in enumerate(self._persons):
            moment = index * interval if person.is_by_frame else seconds
            found = person.square(moment, interval / 2, self._max_gap_seconds)
            if found is None:
                continue
            square, interpolated, face_side = found
            if not square.overlaps(width, height):
                raise SourceError(
                    f"{self._path}: the box for {seconds:.3f} s lies outside of the {width}×{height} frame; boxes are "
                    "x, y (upper left corner), w, h in pixels of the recording as it is displayed"
                )
            placed[number] = Placed(square, interpolated, face_side)
        return placed

    def tracks(self) -> AbstractSet[int]:
        return set(range(len(self._persons)))

    @property
    def n_discarded(self) -> int:
        return 0

    def min_frames(self) -> float:
        return 1

    def nobody(self, n_short: int) -> FaceError:
        first = min(person.seconds[0] for person in self._persons)
        last = max(person.seconds[-1] for person in self._persons)
        clock = self._reader.clock
        return FaceError(
            f"{self._path}: no box falls on a frame: boxes from {first:.3f} to {last:.3f} s, frames from "
            f"{clock.first_seconds:.3f} to {clock.last_seconds:.3f} s; times are seconds from the start"
        )

    def warnings(self) -> list[str]:
        said = []
        if self._reader.n_failed_frames and any(person.is_by_frame for person in self._persons):
            said.append("The boxes count frames and some frames could not be decoded: boxes after them may be late.")
        tolerance = self._reader.clock.nominal_interval_seconds / 2
        n_outside = sum(
            int(
                (
                    (person.seconds < self._reader.clock.first_seconds - tolerance)
                    | (person.seconds > self._reader.clock.last_seconds + tolerance)
                ).sum()
            )
            for person in self._persons
        )
        if n_outside:
            said.append(f"{n_outside} boxes lie before or after the recording and were not used.")
        return said
