"""What was done to a recording, in numbers and in sentences for a person to read."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from codecsim.corpus import HR_SIDE
from codecsim.faces import FaceSettings
from codecsim.sources.decoding import VideoReader
from codecsim.sources.spool import Spool
from codecsim.sources.tables import Labels


@dataclass(frozen=True, slots=True)
class TrackReport:
    """One face track, as it went into the corpus.

    Attributes
    ----------
    sequence : name in the corpus
    n_frames : frames kept
    n_interpolated : of them, those whose box was interpolated over a gap in which the face was not seen
    n_dropped : frames between its first and its last that have no box
    n_small : frames left out because their box is small or was interpolated, where that was asked for
    first_seconds, last_seconds : times of its first and last frame
    mean_side : of the crop, in source pixels
    """

    sequence: str
    n_frames: int
    n_interpolated: int
    n_dropped: int
    n_small: int
    first_seconds: float
    last_seconds: float
    mean_side: float


@dataclass(frozen=True, slots=True)
class Report:
    """What was done to one recording.

    Attributes
    ----------
    n_frames : frames decoded
    n_failed_frames : frames that damage made undecodable; not among `n_frames`
    n_frames_outside : decoded frames outside of the time that was asked for
    n_frames_without_face : the other decoded frames in which no face was followed
    n_interpolated, n_dropped, n_small : sums over the tracks
    frame_interval_min_seconds, frame_interval_max_seconds : NaN for a single frame
    is_variable_frame_rate : whether they differ by more than rounding
    rotation_degrees : counter-clockwise, as it was applied
    fps : mean rate of the decoded frames
    tracks : in order of appearance
    detector : name and version, or the boxes file
    warnings : sentences for a person to read
    """

    n_frames: int
    n_failed_frames: int
    n_frames_outside: int
    n_frames_without_face: int
    n_interpolated: int
    n_dropped: int
    n_small: int
    frame_interval_min_seconds: float
    frame_interval_max_seconds: float
    is_variable_frame_rate: bool
    rotation_degrees: int
    fps: float
    tracks: tuple[TrackReport, ...]
    detector: str
    warnings: tuple[str, ...]


def track_report(sequence: str, spool: Spool) -> TrackReport:
    """Describe one track that went into the corpus."""
    indices, seconds, refused = spool.indices, spool.seconds, np.array(spool.refused, np.int64)
    n_refused_inside = int(((refused > indices[0]) & (refused < indices[-1])).sum())
    return TrackReport(
        sequence=sequence,
        n_frames=len(spool),
        n_interpolated=spool.n_interpolated,
        n_dropped=int(indices[-1] - indices[0]) + 1 - len(spool) - n_refused_inside,
        n_small=len(refused),
        first_seconds=float(seconds[0]),
        last_seconds=float(seconds[-1]),
        mean_side=spool.mean_side,
    )


def track_warnings(tracks: Sequence[TrackReport], n_short: int, settings: FaceSettings) -> list[str]:
    """What a person should know about the tracks that were kept, and of the `n_short` that were not."""
    said = []
    for track in tracks:
        if track.n_dropped:
            said.append(
                f"{track.sequence}: {track.n_dropped} frames were dropped, as the face was away for more than "
                f"{settings.max_gap_seconds:g} s; whoever came back in the same place is taken for the same person."
            )
        if track.mean_side < HR_SIDE:
            said.append(
                f"{track.sequence}: the crop is {track.mean_side:.0f} pixels wide in the source and was enlarged to "
                f"{HR_SIDE}; the HR frames hold less detail than they could."
            )
    if n_short:
        said.append(
            f"{n_short} face tracks of under {settings.min_track_seconds:g} s were left out as errors of the detector."
        )
    if len(tracks) > 1 and all(
        a.last_seconds < b.first_seconds or b.last_seconds < a.first_seconds for a, b in combinations(tracks, 2)
    ):
        said.append(
            f"The {len(tracks)} tracks are never in sight together; they may be one person who moved, or cuts between "
            "several. Persons are told apart by place, not by looks."
        )
    return said


def label_warnings(labels: Labels, kept: Sequence[Spool], reader: VideoReader) -> list[str]:
    """What a person should know about how labels met the frames of the tracks."""
    said = []
    tolerance = labels.tolerance(reader.clock.nominal_interval_seconds)
    is_before = labels.seconds < reader.clock.first_seconds - tolerance
    is_after = labels.seconds > reader.clock.last_seconds + tolerance
    if n_outside := int((is_before | is_after).sum()):
        said.append(
            f"{labels.path.name}: {n_outside} of {len(labels.seconds)} labels lie outside of the recording "
            f"({reader.clock.first_seconds:.3f} to {reader.clock.last_seconds:.3f} s) and were not used."
        )
    for task, values in labels.tasks.items():
        joined = [labels.at(spool.seconds, reader.clock.nominal_interval_seconds)[task] for spool in kept]
        if n_missing := sum(int(np.isnan(series).sum()) for series in joined):
            as_real = "; its classes are kept as real numbers" if values.dtype == np.int64 else ""
            said.append(
                f"{labels.path.name}: {n_missing} of {sum(map(len, joined))} frames have no label {task!r}{as_real}."
            )
    if len(kept) > 1:
        said.append(f"{labels.path.name}: the labels were given to each of the {len(kept)} tracks.")
    return said
