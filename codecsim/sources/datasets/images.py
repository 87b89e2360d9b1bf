"""Image files of any kind to gray pictures, read without trust.

Gray is BT.601 luma at full range, 0 to 255: of a JPEG file its own luma plane, as of a video; of RGB what Pillow calls
"L", 0.299 R + 0.587 G + 0.114 B rounded. MATLAB's ``rgb2gray`` gives the same for 99.5 % of all colours and one level
more or less for the rest; gray pictures stay as they are.
"""

import os
import re
import struct
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from codecsim.errors import SourceError
from codecsim.sources.cropping import to_hr
from codecsim.sources.datasets.trees import mark

Pixels = npt.NDArray[np.uint8]

FORMATS = ("PNG", "JPEG", "BMP", "TIFF")
MAX_PIXELS = 2**26
"""Most pixels of a picture that is read (8192×8192): a file of a few kilobytes can claim to unpack to gigabytes."""

_DAMAGE = (OSError, SyntaxError, ValueError, TypeError, LookupError, RuntimeError, OverflowError, struct.error)
"""What Pillow raises when it meets damage."""


def read_gray(path: Path) -> Pixels:
    """Read an image file: PNG, JPEG, BMP or TIFF, the right way up by its EXIF orientation.

    Of 16 bits the upper 8 are kept, rounded; transparency is left out, as MATLAB's ``imread`` and OpenCV do; of several
    pictures in one file the first is read.

    Returns
    -------
    gray : uint8, shape=(H, W), own memory

    Raises
    ------
    SourceError
        If the file is missing, damaged, cut short, of another format, has more than `MAX_PIXELS` pixels or more than
        there is memory for, or pixels that are no colours of 8 or 16 bits.
    """
    try:
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd metadata, and of sizes that are checked here
            with Image.open(file, formats=FORMATS) as image:
                width, height = image.size
                if width * height > MAX_PIXELS:
                    raise _too_large(path, f"{width}×{height} pixels")
                if image.mode[0] in "IF" and not image.mode.startswith("I;16"):
                    raise SourceError(f"{path}: pixels of mode {image.mode}; 8 or 16 bits a channel are read")
                image.draft("L", None)
                return _gray(ImageOps.exif_transpose(image))
    except SourceError:
        raise
    except FileNotFoundError:
        raise SourceError(f"{path}: no such file") from None
    except MemoryError:
        raise SourceError(f"{path}: more pixels than there is memory for") from None
    except Image.DecompressionBombError:
        raise _too_large(path, "a picture of a size beyond all limits") from None
    except UnidentifiedImageError:
        raise SourceError(f"{path}: not an image, or damaged; {', '.join(FORMATS)} are read") from None
    except _DAMAGE as error:
        reason = getattr(error, "strerror", None) or error
        raise SourceError(f"{path}: the image is damaged or cut short ({reason})") from error


def read_aligned(path: Path) -> Pixels:
    """Read an image file that holds an aligned face and nothing else, and bring it whole to the size of an HR frame.

    Returns
    -------
    frame : uint8, shape=(96, 96)

    Raises
    ------
    SourceError
        As `read_gray`, and where the picture is not square.
    """
    gray = read_gray(path)
    height, width = gray.shape
    if width != height:
        raise SourceError(f"{path}: a picture of {width}×{height} pixels; aligned faces are square")
    return to_hr(gray)


def shrunk(gray: Pixels, longest_side: int) -> Pixels:
    """A picture, uint8 (H, W), with its longest side at most `longest_side`, averaged as it is made smaller."""
    height, width = gray.shape
    shrink = min(1.0, longest_side / max(height, width))
    size = max(1, round(width * shrink)), max(1, round(height * shrink))
    return np.asarray(Image.fromarray(gray).resize(size, Image.Resampling.BILINEAR))


class Tolerant:
    """Reads images, one damaged file among many not stopping the rest.

    Attributes
    ----------
    errors : what was wrong with those that could not be read
    """

    def __init__(self, read: Callable[[Path], Pixels]) -> None:
        self._read = read
        self.errors: list[SourceError] = []

    def __call__(self, path: Path) -> Pixels | None:
        """The picture in a file; None where it cannot be read."""
        try:
            return self._read(path)
        except SourceError as error:
            self.errors.append(error)
            return None

    def notes(self, name: str) -> list[str]:
        """A sentence for a person to read, where anything was lost."""
        if not self.errors:
            return []
        return [f"{name}: {len(self.errors)} images could not be read and were left out; the first: {self.errors[0]}."]


@dataclass(frozen=True, slots=True)
class Numbered:
    """The numbered images of a folder.

    Attributes
    ----------
    paths : by number, ascending
    mark : changes with the names, sizes and times of the files
    """

    paths: dict[int, Path]
    mark: str


def numbered_images(folder: Path, pattern: str) -> Numbered:
    """List the images of a folder whose names match a regular expression, the number being its first group.

    Raises
    ------
    SourceError
        If the folder cannot be listed, or two images have one number.
    """
    found: dict[int, tuple[Path, os.stat_result]] = {}
    compiled = re.compile(pattern)
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                match = compiled.fullmatch(entry.name)
                if match and entry.is_file():
                    number = int(match[1])
                    if number in found:
                        raise SourceError(
                            f"{folder}: {found[number][0].name} and {entry.name} are both image {number}; remove one"
                        )
                    found[number] = folder / entry.name, entry.stat()
    except SourceError:
        raise
    except OSError as error:
        raise SourceError(f"{folder}: cannot be listed ({error.strerror}); check its permissions") from error
    ordered = sorted(found.items())
    return Numbered({number: path for number, (path, _) in ordered}, mark(known for _, known in ordered))


def _gray(image: Image.Image) -> Pixels:
    if image.mode.startswith("I;16"):
        deep = np.asarray(image).astype(np.uint32)
        return ((deep * 255 + 2**15 - 1) // (2**16 - 1)).astype(np.uint8)
    return np.array(image.convert("L"))


def _too_large(path: Path, what: str) -> SourceError:
    return SourceError(f"{path}: {what}; at most {MAX_PIXELS} pixels are read")
