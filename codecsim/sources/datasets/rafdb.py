"""RAF-DB (basic): stills of seven expressions, in the aligned crops that come with it.

ROOT holds ``EmoLabel/list_patition_label.txt``, of lines as ``train_00001.jpg 5``, and
``Image/aligned/train_00001_aligned.jpg``. The crops of 100×100 pixels are resampled whole to 96×96.

A still becomes a sequence of one frame at one frame a second: coded as video it is one intra picture, and whatever rate
it has per second is the rate per still. Who is seen is not known.
"""

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from codecsim.corpus import CorpusWriter
from codecsim.errors import SourceError
from codecsim.sources.datasets.images import Tolerant, read_aligned
from codecsim.sources.datasets.trees import mark, stat_file
from codecsim.sources.tables import read_text

VERSION = 1
"""Raised when the same files give other frames or labels, so that nothing older is taken for them."""

FPS = 1.0
SPLITS = ("train", "test")
TASK = "expression"
CLASSES = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")
"""In the order of the classes 1 to 7 of the label file, which become 0 to 6."""

_LABELS = Path("EmoLabel", "list_patition_label.txt")
_IMAGES = Path("Image", "aligned")
_BATCH = 256
"""Stills of one recording: a file and a task for each still would cost more than the still."""

_ROW = re.compile(r"((?:train|test)_\d+)\.jpg[ \t]+([1-7])[ \t]*")


@dataclass(frozen=True, slots=True)
class Stills:
    """Some stills of one split, made at once.

    Attributes
    ----------
    root : folder of the data set
    labels : name and class 0 to 6 of each
    mark : of the image files
    remarks : what a person should know about the whole data set
    """

    root: Path
    labels: tuple[tuple[str, int], ...]
    mark: str
    remarks: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """First and last of them."""
        return f"{self.labels[0][0]} to {self.labels[-1][0]}"

    @property
    def size(self) -> int:
        """Stills."""
        return len(self.labels)

    def identity(self) -> str:
        """Labels, and names, sizes and times of the files, as JSON."""
        return json.dumps({"rafdb": VERSION, "labels": self.labels, "files": self.mark})

    def add_to(self, writer: CorpusWriter) -> tuple[str, ...]:
        """Add each still that can be read."""
        read = Tolerant(read_aligned)
        for name, number in self.labels:
            source = _image(name)
            frame = read(self.root / source)
            if frame is None:
                continue
            with writer.sequence(
                name,
                fps=FPS,
                split=name.partition("_")[0],
                source=source.as_posix(),
                preparation=json.dumps({"rafdb": VERSION}),
            ) as sequence:
                sequence.append(frame, pts_seconds=0.0)
                sequence.labels(TASK, np.array([number], np.int16), classes=CLASSES)
        return (*self.remarks, *read.notes(self.name))


def find_recordings(root: Path) -> list[Stills]:
    """List the labelled stills of RAF-DB, some 256 to a recording.

    Parameters
    ----------
    root : folder that holds ``EmoLabel`` and ``Image``

    Raises
    ------
    SourceError
        If the folder holds something else, or the label file a line that cannot be read.
    """
    if not ((root / _LABELS).is_file() and (root / _IMAGES).is_dir()):
        missing = [place.as_posix() for place in (_LABELS, _IMAGES) if not (root / place).exists()]
        raise SourceError(
            f"{root}: no RAF-DB here: looked for {_LABELS.as_posix()} and the folder {_IMAGES.as_posix()}, lacking "
            f"{' and '.join(missing) or 'their kind'}; ROOT is the folder that holds EmoLabel and Image, called basic "
            "in the download"
        )
    labels = _read_labels(root / _LABELS)
    found = {name: known for name in labels if (known := stat_file(root / _image(name)))}
    if not found:
        raise SourceError(
            f"{root / _IMAGES}: none of the {len(labels)} labelled images is here; looked for files as "
            f"{_image(next(iter(labels))).name}"
        )
    remarks = []
    if lost := len(labels) - len(found):
        remarks.append(f"{_LABELS.name}: {lost} of {len(labels)} labelled images are not in {_IMAGES.as_posix()}.")
    n_images = sum(name.endswith("_aligned.jpg") for name in os.listdir(root / _IMAGES))
    if n_images > len(found):
        remarks.append(f"{_IMAGES.as_posix()}: {n_images - len(found)} images have no label and were left out.")
    recordings: list[Stills] = []
    for split in SPLITS:
        names = [name for name in found if name.startswith(split)]
        for first in range(0, len(names), _BATCH):
            batch = names[first : first + _BATCH]
            files = mark((root / _image(name), found[name]) for name in batch)
            said = () if recordings else tuple(remarks)
            recordings.append(Stills(root, tuple((name, labels[name]) for name in batch), files, said))
    return recordings


def _image(name: str) -> Path:
    return _IMAGES / f"{name}_aligned.jpg"


def _read_labels(path: Path) -> dict[str, int]:
    """Class 0 to 6 of each still, by name without ending."""
    labels: dict[str, int] = {}
    for line, row in enumerate(read_text(path, "labels", kind="a text file").split("\n"), 1):
        if not row.strip():
            continue
        match = _ROW.fullmatch(row)
        if not match:
            raise SourceError(f"{path}, line {line}: {row!r}; lines read train_00001.jpg 5, with a class of 1 to 7")
        if match[1] in labels:
            raise SourceError(f"{path}, line {line}: a second label for {match[1]}.jpg")
        labels[match[1]] = int(match[2]) - 1
    if not labels:
        raise SourceError(f"{path}: no label in it; lines read train_00001.jpg 5")
    return labels
