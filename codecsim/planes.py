"""Direct access to the luma plane of a PyAV picture: FFmpeg's own conversions rescale the range."""

import av
import numpy as np
import numpy.typing as npt


def luma(picture: av.VideoFrame) -> npt.NDArray[np.uint8]:
    """View of the first plane, shape=(height, width), through its line size; writable where the picture is."""
    plane = picture.planes[0]
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    return rows[: picture.height, : picture.width]
