"""Which way up the frames of a recording are, as its container says."""

from dataclasses import dataclass
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from av.sidedata.sidedata import Type

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Orientation:
    """One of the eight ways to hold a picture: transposed or not, then each axis mirrored or not."""

    is_transposed: bool = False
    flips_x: bool = False
    flips_y: bool = False

    @property
    def is_mirrored(self) -> bool:
        """Whether it is more than a rotation."""
        return self.is_transposed ^ self.flips_x ^ self.flips_y

    @property
    def rotation_degrees(self) -> int:
        """Counter-clockwise, before any mirroring of x."""
        flips_x = self.flips_x ^ self.is_mirrored
        if self.is_transposed:
            return 270 if flips_x else 90
        return 180 if flips_x else 0

    def turned(self, degrees: int) -> "Orientation":
        """The same, and then turned counter-clockwise by `degrees`, a multiple of 90."""
        turned = self
        for _ in range(degrees // 90 % 4):
            turned = Orientation(not turned.is_transposed, turned.flips_y, not turned.flips_x)
        return turned

    def apply(self, picture: Pixels) -> Pixels:
        """Turn a picture, shape=(H, W) or (H, W, 3); the result is contiguous."""
        if self.is_transposed:
            picture = picture.swapaxes(0, 1)
        if self.flips_y:
            picture = picture[::-1]
        if self.flips_x:
            picture = picture[:, ::-1]
        return np.ascontiguousarray(picture)


def orientation_of(frame: av.VideoFrame) -> Orientation:
    """How the display matrix of a frame asks for it to be held, to the nearest quarter turn."""
    side_data: Any = frame.side_data  # its type stub does not know that it is asked by type
    if Type.DISPLAYMATRIX not in side_data:
        return Orientation()
    # Row-vector convention of FFmpeg: (x', y') = (a·x + c·y, b·x + d·y).
    a, b, _, c, d = np.frombuffer(side_data[Type.DISPLAYMATRIX], np.int32)[:5].tolist()
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return Orientation(False, a < 0, d < 0)
    return Orientation(True, c < 0, b < 0)
