"""Media files for the tests, made by PyAV."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from codecsim.sources.builtin import builtin_path


def write_clip(path: Path, start: int = 0, stop: int = 25) -> Path:
    """Frames `start` (inclusive) to `stop` (exclusive) of the talking head, as a video file of their own."""
    with av.open(str(builtin_path("carphone"))) as source:
        frames = list(source.decode(video=0))[start:stop]
    return _write(path, frames)


def write_noise(path: Path, n_frames: int = 12) -> Path:
    """A video of noise: no face."""
    rng = np.random.default_rng(0)
    shape = 180, 160
    noise = [rng.integers(0, 256, shape, np.uint8) for _ in range(n_frames)]
    return _write(path, [av.VideoFrame.from_ndarray(each, format="yuv420p") for each in noise])


def write_sound(path: Path) -> Path:
    """A second of silence, and no video."""
    with av.open(str(path), "w") as target:
        stream = target.add_stream("aac", rate=44_100, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 44_100), np.float32), format="fltp", layout="mono")
        sound.rate = 44_100
        target.mux(stream.encode(sound))
        target.mux(stream.encode(None))
    return path


def _write(path: Path, frames: list[av.VideoFrame]) -> Path:
    with av.open(str(path), "w") as target:
        stream = target.add_stream("libx264", rate=25, options={"crf": "12", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = frames[0].width, frames[0].height, "yuv420p"
        for index, frame in enumerate(frames):
            frame.pts, frame.time_base = index, Fraction(1, 25)
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    return path
