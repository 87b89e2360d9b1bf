"""Corpus: face tracks of 96×96 gray frames, with labels where there are any, in one HDF5 file.

Layout (``schema = "codecsim-corpus"``, ``schema_version = 1``)::

    /sequences/NAME            attributes: subject, split, fps, source, preparation (how it was made, JSON), digest,
                               recording (a mark of all that it was made from, where it is known)
        frames                 uint8 (T, 96, 96), chunked by frame groups, compressed without loss
        pts_seconds            float64 (T,), time of each frame in its source
        boxes                  float32 (T, 4), x, y, w, h of the crop in source pixels; where known
        labels/TASK            float32 (T,), NaN where unlabelled, or an integer type for classes;
                               attribute ``classes``: their names as JSON, class k being the k-th, where they have names
        series/NAME            float32 (T, K), what else is known of each frame; attribute ``columns``: K names as JSON

``fps`` is the mean frame rate of the source, so that T / fps is the time that the frames stand for.
``digest`` is the SHA-256 of the frames' bytes in C order: the identity that content keys are made of.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

SCHEMA = "codecsim-corpus"
SCHEMA_VERSION = 1
HR_SIDE = 96
"""Side of an HR frame in pixels (Cheng et al. 2017, section 4)."""

CHUNK_FRAMES = 64
MAX_FRAMES = 2**24
"""Most frames of one sequence that are believed (7.8 days at 25 fps): a damaged file must not take all memory."""

MAX_FPS = 1e6
ATTRIBUTES = ("subject", "split", "fps", "source", "preparation", "recording", "digest")
"""Of a sequence, under the names that `Sequence` has for them."""

Frames = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Sequence:
    """What is known of one face track without reading its frames.

    Attributes
    ----------
    corpus : path of the corpus file that holds it
    name : unique within the corpus
    n_frames : T
    fps : mean frames per second of the source
    subject, split, source : as given when the corpus was made; "" where unknown
    preparation : how the frames were made of the source: JSON, "" where unknown
    recording : a mark of all that it was made from; "" where unknown
    digest : SHA-256 (hexadecimal) of the frames' bytes
    tasks : names of the label series
    """

    corpus: Path
    name: str
    n_frames: int
    fps: float
    subject: str
    split: str
    source: str
    preparation: str
    recording: str
    digest: str
    tasks: tuple[str, ...]


def corpus_digest(sequences: Iterable[Sequence]) -> str:
    """What sequences show, in one number: SHA-256 (hexadecimal) over lines ``NAME DIGEST`` in their order."""
    return hashlib.sha256("".join(f"{each.name} {each.digest}\n" for each in sequences).encode()).hexdigest()
