"""Video files of any kind, decoded once from front to back, whatever is wrong with them.

Everything that a recording can be guilty of is met here: files that are none, missing streams, damaged packets, odd
times, rotation, frame rates and pixel formats. What could not be mended is counted and said in `VideoReader.warnings`.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import av.error
import numpy as np
import numpy.typing as npt
from av.video.reformatter import VideoReformatter

from codecsim.errors import VideoError
from codecsim.sources.clock import Clock, Roll
from codecsim.sources.orientation import Orientation, orientation_of

Pixels = npt.NDArray[np.uint8]

MAX_LUMA_PIXELS = 1920 * 1088
"""Frames with more luma than this (2 MP) are shrunk by a whole factor when they are decoded. A face that fills a tenth
of such a frame is still larger than an HR frame, and waiting frames stay within the memory that is set for them."""

_PLAIN_LUMA = frozenset(
    [f"{prefix}{sampling}p" for prefix in ("yuv", "yuvj", "yuva") for sampling in (420, 422, 440, 444)]
    + ["yuv410p", "yuv411p", "yuvj411p", "nv12", "nv21", "nv16", "nv24", "gray"]
)
"""Pixel formats whose plane 0 is 8-bit luma. swscale converts the others."""

_RANGE_MPEG, _RANGE_JPEG = 1, 2
_EXPAND = np.floor(((np.arange(256) - 16) * 255 / 219).clip(0, 255) + 0.5).astype(np.uint8)
"""Luma of limited range (16 to 235) to 0 to 255, rounded half up."""

_TEXT_FORMATS = frozenset({"tty", "bin", "xbin", "adf", "idf"})
"""Demuxers of FFmpeg that draw text files as pictures: a CSV file must not pass for a video."""

_MAX_DIMENSION = 16_384


@dataclass(frozen=True, slots=True)
class DecodedFrame:
    """One decoded frame, in display orientation.

    Attributes
    ----------
    index : position among the decoded frames, from 0
    pts_seconds : presentation time from the start of the recording; grows from frame to frame
    luma : uint8, shape=(H, W) of `VideoReader.height` and `width`; own memory
    is_limited : whether luma spans 16 to 235 and `full_range` is to expand it
    """

    index: int
    pts_seconds: float
    luma: Pixels
    is_limited: bool
    _frame: av.VideoFrame
    _orientation: Orientation
    _scaler: VideoReformatter

    def thumbnail(self, longest_side: int) -> Pixels:
        """The picture in RGB with its longest side at most `longest_side`: uint8, shape=(h, w, 3)."""
        frame = self._frame
        shrink = min(1.0, longest_side / max(frame.width, frame.height))
        width, height = (max(1, round(n * shrink)) for n in (frame.width, frame.height))
        small = self._scaler.reformat(frame, width, height, "rgb24", interpolation="BILINEAR")
        return self._orientation.apply(_plane(small, 3).reshape(height, width, 3))


def full_range(luma: Pixels, is_limited: bool) -> Pixels:
    """Luma at 0 to 255, as MATLAB's ``rgb2gray`` of the decoded RGB (BT.601) gives it."""
    return _EXPAND[luma] if is_limited else luma


class VideoReader:
    """Decodes the first video stream of a file. Use it as a context manager, and iterate over it once.

    FFmpeg decodes with as many threads as there are cores. An undamaged file gives the same frames on any number;
    how FFmpeg patches a damaged one may depend on their timing, and so may the frames that it calls damaged.

    Parameters
    ----------
    path : any file that FFmpeg opens
    times : shape=(N,), ascending: seconds of all pictures in their order, to be used instead of the container's times;
        pictures beyond them are left out
    turn_degrees : a multiple of 90 by which frames are turned counter-clockwise, after what the container asks for

    Attributes
    ----------
    n_frames_claimed : frames that the file says it has; None where it does not say
    seconds_claimed : its duration likewise
    clock : the times of the frames that were decoded so far
    width, height : of the luma, in display orientation, after shrinking; known with the first frame
    shrink : source pixels to one pixel of luma along each axis
    rotation_degrees : counter-clockwise, as the container asks for and `turn_degrees`, as applied: 0, 90, 180 or 270
    is_mirrored : whether the container also asks for mirroring, which was applied
    n_frames, n_failed_frames : decoded, and lost to damage, so far

    Raises
    ------
    VideoError
        If the file cannot be read, is no video, or holds no video stream.
    """

    def __init__(self, path: Path, *, times: npt.NDArray[np.float64] | None = None, turn_degrees: int = 0) -> None:
        self.path = path
        self._n_times = None if times is None else len(times)
        self._turn_degrees = turn_degrees
        self.warnings: list[str] = []
        self._container = _open(path)
        try:
            self._stream = self._choose_stream()
        except BaseException:
            self._container.close()
            raise
        stream = self._stream
        stream.thread_type = "AUTO"
        rate = stream.average_rate or stream.guessed_rate
        interval = 1 / float(rate) if rate and 1e-3 < rate < 1e4 else 1 / 25
        self.clock = Clock(interval, (self._container.start_time or 0) / av.time_base, times)
        self._roll = Roll(stream.codec_context.name)
        self.n_frames_claimed: int | None = stream.frames or None
        self.seconds_claimed = self._claimed_seconds()
        self.width = self.height = 0
        self.shrink = 1
        self.rotation_degrees = 0
        self.is_mirrored = False
        self.n_frames = self.n_failed_frames = 0
        self._n_resized = 0
        self._n_lost = 0
        self._is_cut = False
        self._is_interlaced = False
        self._size = (0, 0)
        self._scaler, self._small_scaler = VideoReformatter(), VideoReformatter()

    def __enter__(self) -> "VideoReader":
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()

    @property
    def n_frames_expected(self) -> int | None:
        """Frames to come by the file's own claims, for a progress bar; None where it claims nothing."""
        if self.n_frames_claimed or not self.seconds_claimed:
            return self.n_frames_claimed
        return max(1, round(self.seconds_claimed / self.clock.nominal_interval_seconds))

    def __iter__(self) -> Iterator[DecodedFrame]:
        for decoded in self._frames():
            frame = decoded
            if self.clock.is_over(self._n_lost):
                self._is_cut = True
                break
            if self.n_frames == 0:
                # Asked of the first frame only: in PyAV a frame and its side data hold on to each other, and a few
                # hundred frames would wait in memory for the garbage collector.
                orientation = orientation_of(frame).turned(self._turn_degrees)
                self._begin(frame, orientation)
            elif (frame.width, frame.height) != self._size:
                self._n_resized += 1
                frame = self._resized(frame)
            self._is_interlaced |= frame.interlaced_frame
            luma, is_limited = self._luma(frame)
            seconds = self.clock.next(frame.pts, frame.time_base, n_lost=self._n_lost)
            self._n_lost = 0
            self.n_frames += 1
            yield DecodedFrame(
                index=self.n_frames - 1,
                pts_seconds=seconds,
                luma=orientation.apply(luma),
                is_limited=is_limited,
                _frame=frame,
                _orientation=orientation,
                _scaler=self._small_scaler,
            )
        self._conclude()

    def _choose_stream(self) -> av.VideoStream:
        cover = av.stream.Disposition.attached_pic
        videos = [s for s in self._container.streams.video if not s.disposition & cover]
        if not videos:
            others = {s.type for s in self._container.streams if s.type and s.type != "video"}
            covers = {"a cover picture"} if self._container.streams.video else set()
            held = " and ".join(sorted(others | covers)) or "nothing"
            raise VideoError(f"{self.path}: no video stream, only {held}; give a recording with moving pictures")
        if len(videos) > 1:
            self.warnings.append(f"The file holds {len(videos)} video streams; only the first was read.")
        stream = videos[0]
        if stream.codec_context is None:
            raise VideoError(f"{self.path}: this FFmpeg has no decoder for the video; convert it to H.264")
        return stream

    def _claimed_seconds(self) -> float | None:
        if self._stream.duration and self._stream.time_base:
            return float(self._stream.duration * self._stream.time_base)
        # Sound may go on after the pictures, so the container's duration is theirs only where there is none.
        if self._container.duration and len(self._container.streams) == 1:
            return self._container.duration / av.time_base
        return None

    def _frames(self) -> Iterator[av.VideoFrame]:
        """Frames that decoded without an error; the others are counted."""
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except (av.FFmpegError, OSError) as error:
                self.warnings.append(f"The file could not be read to its end ({_reason(error)}).")
                packet = None
            if packet is not None and packet.size and not packet.is_discard:
                self._roll.expect(packet.pts, packet.time_base)
            try:
                frames = self._stream.decode(packet)
            except EOFError:
                return
            except (av.FFmpegError, ValueError):
                self._lose(not self._roll.is_called)
                frames = []
            for frame in frames:
                if frame.interlaced_frame:
                    self._roll.stop()
                self._lose(self._roll.n_passed_over(frame.pts) + frame.is_corrupt)
                if not frame.is_corrupt:
                    yield frame
            if packet is None:
                return

    def _lose(self, n_frames: int) -> None:
        self.n_failed_frames += n_frames
        self._n_lost += n_frames

    def _begin(self, frame: av.VideoFrame, orientation: Orientation) -> None:
        if max(frame.width, frame.height) > _MAX_DIMENSION:
            raise VideoError(
                f"{self.path}: frames of {frame.width}×{frame.height}; at most {_MAX_DIMENSION} pixels a side are read"
            )
        self.shrink = max(1, math.ceil(math.sqrt(frame.width * frame.height / MAX_LUMA_PIXELS)))
        self._size = frame.width, frame.height
        self.width, self.height = (max(1, n // self.shrink) for n in self._size)
        if orientation.is_transposed:
            self.width, self.height = self.height, self.width
        self.is_mirrored = orientation.is_mirrored
        self.rotation_degrees = orientation.rotation_degrees
        if self.shrink > 1:
            self.warnings.append(
                f"Frames of {frame.width}×{frame.height} were shrunk {self.shrink} times before the faces were cut out."
            )
        aspect = self._stream.sample_aspect_ratio
        if aspect and not 0.9 < aspect < 1.11:
            self.warnings.append(
                f"The pixels are not square ({aspect.numerator}:{aspect.denominator}), and faces keep their shape: "
                "rescale the recording first if their proportions matter."
            )

    def _resized(self, frame: av.VideoFrame) -> av.VideoFrame:
        pts, time_base = frame.pts, frame.time_base
        resized = self._scaler.reformat(frame, *self._size)
        resized.pts, resized.time_base = pts, time_base
        return resized

    def _luma(self, frame: av.VideoFrame) -> tuple[Pixels, bool]:
        """Luma before rotation, uint8 (H, W) after shrinking, and whether it is of limited range."""
        name = frame.format.name
        is_plain = name in _PLAIN_LUMA
        color_range = int(frame.color_range)
        if self.shrink > 1 or not is_plain:
            width, height = (max(1, n // self.shrink) for n in self._size)
            # Between equal formats swscale leaves the range alone; to "gray" it expands it.
            frame = self._scaler.reformat(frame, width, height, name if is_plain else "gray", interpolation="AREA")
        if not is_plain or name.startswith("yuvj"):
            is_limited = False
        elif name == "gray":
            is_limited = color_range == _RANGE_MPEG
        else:
            is_limited = color_range != _RANGE_JPEG
        return _plane(frame, 1), is_limited

    def _conclude(self) -> None:
        """Put what was found into sentences."""
        if not self._is_cut:
            self._lose(self._roll.n_passed_over(None))
        if self.n_frames == 0:
            tried = f"{self.n_failed_frames} damaged" if self.n_failed_frames else "none"
            raise VideoError(f"{self.path}: no frame could be decoded ({tried} found); is the recording complete?")
        say = self.warnings.append
        if self.n_failed_frames:
            say(
                f"{self.n_failed_frames} damaged frames could not be decoded and were left out; frames after them may "
                "be smeared until the next key frame."
            )
        n_pictures = self.n_frames + self.n_failed_frames
        if self._is_cut:
            say(f"The file goes on after the {self._n_times} times that are listed for it; the rest was left out.")
        elif self._n_times is not None and n_pictures < self._n_times:
            say(f"{self._n_times} times are listed for the file, which gave {n_pictures} pictures: it was cut short.")
        elif self.n_frames_claimed and n_pictures < self.n_frames_claimed:
            say(
                f"The file promises {self.n_frames_claimed} frames and gave {self.n_frames}: "
                "it was cut short, or its last part is damaged."
            )
        elif self.seconds_claimed:
            seconds = self.clock.last_seconds + self.clock.nominal_interval_seconds
            if seconds < self.seconds_claimed - max(0.5, 0.02 * self.seconds_claimed):
                say(f"The file promises {self.seconds_claimed:.2f} s and ended at {seconds:.2f} s: it was cut short.")
        if self._n_times is not None and self.n_failed_frames:
            say("Times are listed picture by picture: after damaged ones they may be off by a few frames.")
        self.warnings += self.clock.warnings()
        if self._n_resized:
            say(f"{self._n_resized} frames had another size than the first and were brought to that of the first.")
        if self._is_interlaced:
            say("The recording is interlaced, and both fields were kept; deinterlace it first if combs matter.")
        if self.is_mirrored:
            say("The container asks for a mirrored picture, and so the frames were mirrored.")


def _open(path: Path) -> "av.container.InputContainer":
    if path.is_dir():
        raise VideoError(f"{path}: a directory, not a video file; give one recording")
    try:
        with path.open("rb") as file:
            is_empty = not file.read(1)
    except FileNotFoundError:
        raise VideoError(f"{path}: no such file") from None
    except OSError as error:
        raise VideoError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
    if is_empty:
        raise VideoError(f"{path}: an empty file; was the recording copied whole?")
    try:
        # A playlist must not make FFmpeg fetch anything from elsewhere; nor may a colon in a name be a protocol.
        container = av.open(f"file:{path}", options={"protocol_whitelist": "file"}, metadata_errors="replace")
    except (av.FFmpegError, OSError, ValueError) as error:
        raise VideoError(
            f"{path}: not a video that FFmpeg can open ({_reason(error)}); a recording that was stopped by force may "
            "lack its index, and any other file is none"
        ) from error
    if container.format.name in _TEXT_FORMATS:
        container.close()
        raise VideoError(f"{path}: a text file, not a video; give a recording")
    return container


def _reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _plane(frame: av.VideoFrame, n_channels: int) -> Pixels:
    """Plane 0 as uint8 (H, W · channels), a copy; decoders pad their lines."""
    plane = frame.planes[0]
    padded: Pixels = np.frombuffer(memoryview(plane), np.uint8)
    lines = padded[: plane.line_size * frame.height].reshape(frame.height, plane.line_size)
    return lines[:, : frame.width * n_channels].copy()
