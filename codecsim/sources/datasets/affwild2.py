"""Aff-Wild2: videos of people in the wild with valence and arousal a frame, in the aligned crops that come with it.

ROOT holds ``VA_Set/Train_Set/VIDEO.txt`` and ``VA_Set/Validation_Set/VIDEO.txt`` (``VA_Estimation_Challenge`` in later
releases), with a header ``valence,arousal`` and a row a frame of the video, −5 where there is no valid label; and
``cropped_aligned/VIDEO/00001.jpg``, …, frame n having row n, with gaps where no face was found. VIDEO ends in ``_left``
or ``_right`` where two people of one video are labelled. The crops of 112×112 pixels are resampled whole to 96×96.

The frame rate is that of the raw video where it lies in ``batch1``, ``batch2``, …; else 30 is assumed.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from codecsim.corpus import CorpusWriter, SequenceWriter
from codecsim.errors import SourceError
from codecsim.sources.datasets.images import Tolerant, numbered_images, read_aligned
from codecsim.sources.datasets.sequences import NumberedFrame, add_sequence, check_fps, left_out
from codecsim.sources.datasets.trees import mark_file
from codecsim.sources.decoding import VideoReader
from codecsim.sources.tables import read_text

VERSION = 1
"""Raised when the same files give other frames or labels, so that nothing older is taken for them."""

FPS = 30.0
"""Assumed where nothing tells."""

TASKS = ("valence", "arousal")
SPLITS = {"train": "Train_Set", "dev": "Validation_Set"}

_LABEL_FOLDERS = ("VA_Set", "VA_Estimation_Challenge")
_IMAGES = "cropped_aligned"
_IMAGE = r"([0-9]{5,9})\.jpg"
_RAW_ENDINGS = (".mp4", ".avi")
_INVALID = -5.0

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Person:
    """One person in one video.

    Attributes
    ----------
    root : folder of the data set
    labels, raw : label file and raw video, from `root`; `raw` is "" where it is not there
    split : train or dev
    fps : frames per second; None for the raw video's, or the assumed ones
    size : images
    mark : of all files
    """

    root: Path
    labels: str
    raw: str
    split: str
    fps: float | None
    size: int
    mark: str

    @property
    def name(self) -> str:
        """Of the label file and of the folder of images."""
        return Path(self.labels).stem

    def identity(self) -> str:
        """Files and options, as JSON."""
        known = {"version": VERSION, "fps": self.fps, "split": self.split, "files": self.mark, "raw": self.raw}
        return json.dumps({"affwild2": known})

    def add_to(self, writer: CorpusWriter) -> tuple[str, ...]:
        """Add every frame that has an image and a row of labels, valid or not."""
        labels = _read_labels(self.root / self.labels)  # (rows, 2)
        source = f"{_IMAGES}/{self.name}"
        if not (self.root / source).is_dir():
            return (f"{self.name}: labels, and no folder {source}; it was left out.",)
        images = numbered_images(self.root / source, _IMAGE).paths
        fps, said = self._rate()
        inside = [number for number in images if 1 <= number <= len(labels)]
        read = Tolerant(read_aligned)

        def frames() -> Iterator[NumberedFrame]:
            for number in inside:
                frame = read(images[number])
                if frame is not None:
                    yield number, frame, None

        def finish(sequence: SequenceWriter, kept: list[int]) -> None:
            for task, values in zip(TASKS, labels[np.array(kept) - 1].T, strict=True):
                sequence.labels(task, values)

        add_sequence(
            writer,
            self.name,
            frames(),
            fps=fps,
            first_number=1,
            finish=finish,
            subject=self.name,
            split=self.split,
            source=source,
            preparation=self.identity(),
        )
        return (
            *said,
            *left_out(self.name, len(images) - len(inside), f"images lie beyond the {len(labels)} rows of labels"),
            *left_out(self.name, len(labels) - len(inside), f"of {len(labels)} rows of labels have no image"),
            *read.notes(self.name),
        )

    def _rate(self) -> tuple[float, list[str]]:
        """Frames per second, and what a person should know about them."""
        if self.fps is not None:
            return self.fps, []
        if not self.raw:
            return FPS, []
        try:
            with VideoReader(self.root / self.raw) as reader:
                return 1 / reader.clock.nominal_interval_seconds, []
        except SourceError as error:
            return FPS, [f"{self.name}: {FPS:g} frames per second were assumed ({error})."]


def find_recordings(root: Path, *, fps: float | None = None) -> list[Person]:
    """List the labelled people of Aff-Wild2's valence–arousal set.

    Parameters
    ----------
    root : folder that holds the labels, ``cropped_aligned`` and, if at hand, ``batch1``, ``batch2``, …
    fps : frames per second of all videos; None for those of each raw video, or 30 where it is not there

    Raises
    ------
    SourceError
        If the folder holds something else, or a video is in both splits.
    UsageError
        If `fps` is none.
    """
    if fps is not None:
        check_fps(fps)
    labels = {
        split: sorted(
            path
            for held in _LABEL_FOLDERS
            for path in (root / held / folder).glob("*.txt")
            if not path.name.startswith(".") and path.is_file()
        )
        for split, folder in SPLITS.items()
    }
    images = root / _IMAGES
    n_found = sum((images / path.stem).is_dir() for paths in labels.values() for path in paths)
    if not n_found:
        counted = " and ".join(f"{SPLITS[split]}/*.txt (found {len(paths)})" for split, paths in labels.items())
        raise SourceError(
            f"{root}: no Aff-Wild2 here: looked for {counted} in {' or '.join(_LABEL_FOLDERS)}, and for images as "
            f"{_IMAGES}/VIDEO/00001.jpg (found {n_found} folders with labels); ROOT is the folder that holds these"
        )
    raw = {
        path.stem: path.relative_to(root).as_posix()
        for path in sorted(root.glob("batch*/*"))
        if path.suffix.lower() in _RAW_ENDINGS
    }
    seen: dict[str, Path] = {}
    recordings = []
    for split, paths in labels.items():
        for path in paths:
            if path.stem in seen:
                raise SourceError(f"{path}: a second label file of {path.stem}, beside {seen[path.stem]}; remove one")
            seen[path.stem] = path
            recordings.append(_person(root, path, raw, split, fps))
    return recordings


def _person(root: Path, labels: Path, raw: dict[str, str], split: str, fps: float | None) -> Person:
    name = labels.stem
    video = raw.get(name) or raw.get(name.removesuffix("_left").removesuffix("_right"), "")
    folder = root / _IMAGES / name
    images = numbered_images(folder, _IMAGE) if folder.is_dir() else None
    marks = [images.mark if images else "", mark_file(labels), mark_file(root / video) if video else ""]
    size = max(1, len(images.paths)) if images else 1
    return Person(root, labels.relative_to(root).as_posix(), video, split, fps, size, " ".join(marks))


def _read_labels(path: Path) -> Floats:
    """Valence and arousal of each frame: float32, shape=(N, 2), both NaN where one of them is invalid."""
    header, *rows = read_text(path, "labels", kind="a text file").rstrip().split("\n")
    columns = tuple(cell.strip().lower() for cell in header.split(","))
    if columns != TASKS:
        raise SourceError(f"{path}, line 1: {header!r}; the header reads {','.join(TASKS)}")
    if not rows:
        raise SourceError(f"{path}: a header and no row")
    labels = np.array([_values(path, line, row) for line, row in enumerate(rows, 2)], np.float32)
    labels[(labels == _INVALID).any(axis=1)] = np.nan
    return labels


def _values(path: Path, line: int, row: str) -> list[float]:
    try:
        values = [float(cell) for cell in row.split(",")]
    except ValueError:
        values = []
    if len(values) != len(TASKS) or not all(-1 <= value <= 1 or value == _INVALID for value in values):
        raise SourceError(
            f"{path}, line {line}: {row!r}; a row holds valence and arousal of −1 to 1, or {_INVALID:g} where invalid"
        )
    return values
