"""What is laid over a head."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Surface:
    """A mesh that is added to a head: N vertices, M triangles.

    Attributes
    ----------
    vertices : float32, shape=(N, 3), in the coordinates of `identity`
    triangles : int64, shape=(M, 3), counter-clockwise from outside
    places : float32, shape=(M, 3, 2), where the corners look up their albedo in the atlas
    cutout : float32, shape=(N,); the surface ends where it falls below 0
    """

    vertices: npt.NDArray[np.float32]
    triangles: npt.NDArray[np.int64]
    places: npt.NDArray[np.float32]
    cutout: npt.NDArray[np.float32]
