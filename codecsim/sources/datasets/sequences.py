"""Numbered pictures to a sequence of a corpus: what data sets of image files have in common."""

import math
from collections.abc import Callable, Iterator
from itertools import chain

from codecsim.corpus import CorpusWriter, SequenceWriter
from codecsim.errors import UsageError
from codecsim.sources.cropping import Box, Pixels

MAX_FPS = 1000.0

NumberedFrame = tuple[int, Pixels, Box | None]
"""Number in the recording, HR frame, uint8 (96, 96), and its crop (x, y, w, h) where known."""


def add_sequence(
    writer: CorpusWriter,
    name: str,
    frames: Iterator[NumberedFrame],
    *,
    fps: float,
    first_number: int,
    finish: Callable[[SequenceWriter, list[int]], None],
    subject: str = "",
    split: str = "",
    source: str = "",
    preparation: str = "",
) -> int:
    """Add a sequence of numbered frames, each at its number's time; nothing where there are no frames.

    Parameters
    ----------
    frames : in order of their numbers, which may have gaps; all with a box, or none
    first_number : the number of the frame at 0 s
    finish : attaches labels and series, given the numbers of the frames that were added

    Returns
    -------
    n_frames : frames added
    """
    first = next(frames, None)
    if first is None:
        return 0
    numbers: list[int] = []
    with writer.sequence(
        name, fps=fps, subject=subject, split=split, source=source, preparation=preparation
    ) as sequence:
        for number, frame, box in chain([first], frames):
            sequence.append(frame, pts_seconds=(number - first_number) / fps, box=box)
            numbers.append(number)
        finish(sequence, numbers)
    return len(numbers)


def check_fps(fps: float) -> None:
    """Refuse a frame rate that none is: `UsageError`."""
    if not (math.isfinite(fps) and 0 < fps <= MAX_FPS):
        raise UsageError(f"{fps} frames per second: above 0 and up to {MAX_FPS:g} are allowed")


def left_out(name: str, count: int, what: str) -> list[str]:
    """A sentence for a person to read, where anything was left out."""
    return [f"{name}: {count} {what} and were left out."] if count else []
