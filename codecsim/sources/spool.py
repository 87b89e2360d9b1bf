"""Crops of one face track, put by until the whole recording is known.

A sequence's name and its frame rate are known at the end of the recording only, and so is whether a track was an error
of the detector. Until then its HR frames lie in a temporary file without a name, which vanishes with the process.
"""

import tempfile
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from codecsim.corpus import HR_SIDE
from codecsim.sources.tracking import Placed

Box = tuple[float, float, float, float]

_FRAME_BYTES = HR_SIDE * HR_SIDE
_IN_MEMORY_BYTES = 64 * _FRAME_BYTES  # most errors of the detector never reach the disk


class Spool:
    """HR frames of one track with their places. Use it as a context manager.

    Attributes
    ----------
    n_interpolated : frames whose place was interpolated over a gap
    refused : positions in the recording of frames of this track that were not to be kept
    """

    def __init__(self, folder: Path) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES, dir=str(folder))  # noqa: SIM115
        self._indices = array("q")
        self._seconds = array("d")
        self._boxes = array("d")
        self.n_interpolated = 0
        self.refused: list[int] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._indices)

    @property
    def indices(self) -> npt.NDArray[np.int64]:
        """Positions of the frames in the recording: shape=(T,)."""
        return np.array(self._indices, np.int64)

    @property
    def seconds(self) -> npt.NDArray[np.float64]:
        """Times of the frames: shape=(T,)."""
        return np.array(self._seconds, np.float64)

    @property
    def mean_side(self) -> float:
        """Mean side of the crops in source pixels."""
        return float(np.mean(self._boxes[2::4]))

    @property
    def first_left(self) -> float:
        """Left edge of the first crop, in source pixels."""
        return self._boxes[0]

    def append(self, index: int, seconds: float, frame: npt.NDArray[np.uint8], box: Box, placed: Placed) -> None:
        """Append one HR frame, uint8 (96, 96)."""
        self._file.write(frame.tobytes())
        self._indices.append(index)
        self._seconds.append(seconds)
        self._boxes.extend(box)
        self.n_interpolated += placed.interpolated

    def frames(self) -> Iterator[tuple[npt.NDArray[np.uint8], float, Box]]:
        """Each HR frame with its time and its box (x, y, w, h), in order."""
        self._file.seek(0)
        for n, seconds in enumerate(self._seconds):
            pixels = np.frombuffer(self._file.read(_FRAME_BYTES), np.uint8)
            x, y, w, h = self._boxes[4 * n : 4 * n + 4]
            yield pixels.reshape(HR_SIDE, HR_SIDE), seconds, (x, y, w, h)

    def close(self) -> None:
        """Forget the frames."""
        self._file.close()
