"""Corpus: face tracks of 96×96 gray frames, with labels where there are any, in one HDF5 file.

Layout (``schema = "codecsim-corpus"``, ``schema_version = 1``)::

    /sequences/NAME            attributes: subject, split, fps, source, digest
        frames                 uint8 (T, 96, 96), chunked by frame groups, compressed without loss
        pts_seconds            float64 (T,), time of each frame in its source
        boxes                  float32 (T, 4), x, y, w, h of the crop in source pixels; where known
        labels/TASK            float32 (T,), NaN where unlabelled, or an integer type for classes

``fps`` is the mean frame rate of the source, so that T / fps is the time that the frames stand for.
``digest`` is the SHA-256 of the frames' bytes in C order: the identity that content keys are made of.
"""

import contextlib
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import h5py
import numpy as np
import numpy.typing as npt

from codecsim.atomic import replacing, sweep_leftovers
from codecsim.errors import StoreError, UsageError

SCHEMA = "codecsim-corpus"
SCHEMA_VERSION = 1
HR_SIDE = 96
"""Side of an HR frame in pixels (Cheng et al. 2017, section 4)."""

_CHUNK_FRAMES = 64
_MAX_FRAMES = 2**24
"""Most frames of one sequence that are believed (7.8 days at 25 fps): a damaged file must not take all memory."""

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
    digest: str
    tasks: tuple[str, ...]


class Corpus:
    """A corpus file, opened to read. Use it as a context manager."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._file = open_hdf5(self.path, SCHEMA, SCHEMA_VERSION, "corpus")
        if not isinstance(self._file.get("sequences"), h5py.Group):
            self._file.close()
            raise StoreError(
                f"{self.path}: not a whole corpus (no group /sequences); make it again with `codecsim prepare`"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; frames that were read stay valid."""
        self._file.close()

    def sequences(self) -> list[Sequence]:
        """All sequences, by name, in the order in which they were written."""
        return [self.sequence(name) for name in self._file["sequences"]]

    def sequence(self, name: str) -> Sequence:
        """Describe the sequence `name`; `StoreError` where it is missing or damaged."""
        group = self._group(name)
        frames = group["frames"]
        try:
            described = Sequence(
                corpus=self.path,
                name=name,
                n_frames=int(frames.shape[0]),
                fps=float(group.attrs["fps"]),
                subject=str(group.attrs["subject"]),
                split=str(group.attrs["split"]),
                source=str(group.attrs["source"]),
                digest=str(group.attrs["digest"]),
                tasks=tuple(group["labels"]) if "labels" in group else (),
            )
        except (KeyError, ValueError, TypeError) as error:
            raise StoreError(f"{self.path}: sequence {name!r} lacks a needed attribute: {error}") from error
        if not (0 < described.fps < 1e6):
            raise StoreError(f"{self.path}: sequence {name!r} has fps = {described.fps}; a positive number is needed")
        return described

    def frames(self, name: str, start: int = 0, stop: int | None = None) -> Frames:
        """HR frames `start` (inclusive) to `stop` (exclusive) of a sequence: uint8, shape=(T, 96, 96)."""
        dataset = self._group(name)["frames"]
        try:
            return np.asarray(dataset[start:stop])
        except OSError as error:
            raise StoreError(
                f"{self.path}: the frames of {name!r} are damaged ({error}); make the corpus again"
            ) from error

    def labels(self, name: str, task: str) -> npt.NDArray[np.generic]:
        """Labels of one task, shape=(T,); float32 with NaN where unlabelled, or integer classes."""
        return self._series(name, f"labels/{task}")

    def boxes(self, name: str) -> npt.NDArray[np.generic]:
        """Crop of each frame in source pixels (x, y, w, h): float32, shape=(T, 4)."""
        return self._series(name, "boxes")

    def pts_seconds(self, name: str) -> npt.NDArray[np.generic]:
        """Time of each frame in its source, in seconds: float64, shape=(T,)."""
        return self._series(name, "pts_seconds")

    def _group(self, name: str) -> h5py.Group:
        group = self._file["sequences"].get(name)
        if group is None:
            raise StoreError(
                f"{self.path}: no sequence {name!r}; it holds {', '.join(self._file['sequences']) or 'none'}"
            )
        frames = group.get("frames") if isinstance(group, h5py.Group) else None
        if (
            not isinstance(frames, h5py.Dataset)
            or frames.dtype != np.uint8
            or frames.ndim != 3
            or frames.shape[1:] != (HR_SIDE, HR_SIDE)
            or not 0 < frames.shape[0] <= _MAX_FRAMES
        ):
            raise StoreError(
                f"{self.path}: sequence {name!r} lacks frames of uint8 (T, {HR_SIDE}, {HR_SIDE}); make the corpus again"
            )
        return group

    def _series(self, name: str, key: str) -> npt.NDArray[np.generic]:
        group = self._group(name)
        dataset = group.get(key)
        if not isinstance(dataset, h5py.Dataset) or dataset.shape[:1] != group["frames"].shape[:1]:
            raise StoreError(f"{self.path}: sequence {name!r} has no {key} with a row a frame")
        return np.asarray(dataset[:])


class CorpusWriter:
    """Writes a corpus file that appears at `path` whole, when the context ends without an error.

    Parameters
    ----------
    path : where the corpus is to stand
    attributes : extra root attributes (text or numbers), for instance how the corpus was made
    """

    def __init__(self, path: str | Path, *, attributes: Mapping[str, str | int | float] | None = None) -> None:
        self.path = Path(path)
        self._attributes = dict(attributes or {})
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        sweep_leftovers(self.path)
        temporary = self._stack.enter_context(replacing(self.path))
        self._file = self._stack.enter_context(h5py.File(temporary, "w", libver="v110", track_order=True))
        self._file.attrs.update({"schema": SCHEMA, "schema_version": SCHEMA_VERSION, **self._attributes})
        self._file.create_group("sequences", track_order=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return self._stack.__exit__(kind, error, trace)

    @contextlib.contextmanager
    def sequence(
        self, name: str, *, fps: float, subject: str = "", split: str = "", source: str = ""
    ) -> Iterator["SequenceWriter"]:
        """Add one sequence; append frames to what this yields. Its digest is written when the context ends.

        Raises
        ------
        UsageError
            If the name is taken, empty, or holds a slash.
        """
        if not name or "/" in name or name in (".", "..") or name in self._file["sequences"]:
            raise UsageError(f"a corpus cannot take {name!r} as a sequence: names are unique, not empty, without '/'")
        group = self._file["sequences"].create_group(name, track_order=True)
        writer = SequenceWriter(group)
        yield writer
        writer.finish()
        group.attrs.update({"subject": subject, "split": split, "fps": float(fps), "source": source})


class SequenceWriter:
    """Takes the frames of one sequence, a batch at a time, in constant memory."""

    def __init__(self, group: h5py.Group) -> None:
        self._group = group
        self._hash = hashlib.sha256()
        self._frames = group.create_dataset(
            "frames",
            shape=(0, HR_SIDE, HR_SIDE),
            maxshape=(None, HR_SIDE, HR_SIDE),
            chunks=(_CHUNK_FRAMES, HR_SIDE, HR_SIDE),
            dtype=np.uint8,
            shuffle=False,
            compression="gzip",
            compression_opts=1,
        )
        self._pending: list[Frames] = []
        self._times: list[float] = []
        self._boxes: list[tuple[float, float, float, float]] = []

    @property
    def n_frames(self) -> int:
        """Frames that were appended so far."""
        return int(self._frames.shape[0]) + len(self._pending)

    def append(
        self, frame: Frames, *, pts_seconds: float, box: tuple[float, float, float, float] | None = None
    ) -> None:
        """Append one HR frame: uint8, shape=(96, 96), its time in the source, its crop (x, y, w, h) if known."""
        if frame.shape != (HR_SIDE, HR_SIDE) or frame.dtype != np.uint8:
            raise UsageError(f"a corpus takes frames of uint8 ({HR_SIDE}, {HR_SIDE}), not {frame.dtype} {frame.shape}")
        self._pending.append(frame)
        self._times.append(pts_seconds)
        if box is not None:
            self._boxes.append(box)
        if len(self._pending) == _CHUNK_FRAMES:
            self._flush()

    def labels(self, task: str, values: npt.NDArray[np.generic]) -> None:
        """Attach the labels of one task, shape=(T,), once all frames are appended."""
        if values.shape != (self.n_frames,):
            raise UsageError(f"labels {task!r} have shape {values.shape}; the sequence has {self.n_frames} frames")
        self._group.require_group("labels").create_dataset(task, data=values)

    def finish(self) -> None:
        """Write what is pending and the digest."""
        self._flush()
        self._group.create_dataset("pts_seconds", data=np.asarray(self._times, np.float64))
        if self._boxes:
            if len(self._boxes) != self.n_frames:
                raise UsageError(f"{len(self._boxes)} boxes for {self.n_frames} frames: give one for each, or none")
            self._group.create_dataset("boxes", data=np.asarray(self._boxes, np.float32))
        self._group.attrs["digest"] = self._hash.hexdigest()

    def _flush(self) -> None:
        if not self._pending:
            return
        block = np.stack(self._pending)
        self._hash.update(block.data)
        start = self._frames.shape[0]
        self._frames.resize(start + len(block), axis=0)
        self._frames[start:] = block
        self._pending.clear()


def open_hdf5(path: Path, schema: str, version: int, what: str) -> h5py.File:
    """Open an HDF5 file of ours to read, after its schema was checked.

    Raises
    ------
    StoreError
        If the file is missing, is not HDF5, is damaged, or is of another schema or schema version.
    """
    try:
        file = h5py.File(path, "r")
    except FileNotFoundError:
        raise StoreError(f"{path}: no such file") from None
    except OSError as error:
        raise StoreError(f"{path}: not a {what} file, or damaged ({error})") from error
    found = file.attrs.get("schema"), file.attrs.get("schema_version")
    if found[0] != schema:
        file.close()
        raise StoreError(f"{path}: not a {what} file: its schema is {found[0]!r}, {schema!r} is needed")
    if found[1] != version:
        file.close()
        raise StoreError(
            f"{path}: {what} of schema version {found[1]}, this codecsim reads version {version}; "
            "open it with the codecsim that wrote it, or make it again"
        )
    return file


def is_corpus(path: Path) -> bool:
    """Whether `path` is an HDF5 file that claims to be a corpus."""
    try:
        with h5py.File(path, "r") as file:
            return bool(file.attrs.get("schema") == SCHEMA)
    except OSError:
        return False
