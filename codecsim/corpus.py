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

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Sequence as Ordered
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np
import numpy.typing as npt

from codecsim.atomic import sweep_leftovers
from codecsim.errors import CodecsimError, StoreError, UsageError
from codecsim.hdf5 import (
    DAMAGE,
    attribute,
    is_name,
    is_stored,
    member,
    members,
    open_hdf5,
    opened,
    put_attributes,
    replacing_hdf5,
    text,
)

SCHEMA = "codecsim-corpus"
SCHEMA_VERSION = 1
HR_SIDE = 96
"""Side of an HR frame in pixels (Cheng et al. 2017, section 4)."""

_CHUNK_FRAMES = 64
_MAX_FRAMES = 2**24
"""Most frames of one sequence that are believed (7.8 days at 25 fps): a damaged file must not take all memory."""

_MAX_FPS = 1e6
_ATTRIBUTES = ("subject", "split", "fps", "source", "preparation", "recording", "digest")
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


class Corpus:
    """A corpus file, opened to read. Use it as a context manager."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._file = open_hdf5(self.path, SCHEMA, SCHEMA_VERSION, "corpus")
        try:
            with self._damage("the list of sequences"):
                self._sequences = member(self._file, "sequences")
                if not isinstance(self._sequences, h5py.Group):
                    raise StoreError(
                        f"{self.path}: not a whole corpus (no group /sequences); make it again with `codecsim prepare`"
                    )
        except BaseException:
            self._file.close()
            raise

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
        with self._damage("the list of sequences"):
            names = members(self._sequences)
        return [self.sequence(name) for name in names]

    def sequence(self, name: str) -> Sequence:
        """Describe the sequence `name`; `StoreError` where it is missing or damaged."""
        with self._damage(f"sequence {name!r}"):
            group, frames = self._group(name)
            labels = member(group, "labels")
            tasks = tuple(members(labels)) if isinstance(labels, h5py.Group) else ()
            try:
                described = Sequence(
                    corpus=self.path,
                    name=name,
                    n_frames=int(frames.shape[0]),
                    fps=float(attribute(group, "fps")),
                    subject=attribute(group, "subject"),
                    split=attribute(group, "split"),
                    source=attribute(group, "source"),
                    preparation=attribute(group, "preparation", ""),
                    recording=attribute(group, "recording", ""),
                    digest=attribute(group, "digest"),
                    tasks=tasks,
                )
            except (KeyError, ValueError, TypeError) as error:
                raise StoreError(f"{self.path}: sequence {name!r} lacks a needed attribute: {error}") from error
        if not 0 < described.fps < _MAX_FPS:
            raise StoreError(f"{self.path}: sequence {name!r} has fps = {described.fps}; a positive number is needed")
        return described

    def attribute(self, name: str) -> str:
        """An attribute of the whole corpus, as text; "" where it has none of this name."""
        with self._damage(f"attribute {name!r}"):
            return text(attribute(self._file, name, ""))

    def frames(self, name: str, start: int = 0, stop: int | None = None) -> Frames:
        """HR frames `start` (inclusive) to `stop` (exclusive) of a sequence: uint8, shape=(T, 96, 96)."""
        with self._damage(f"the picture data of {name!r}"):
            return np.asarray(self._group(name)[1][start:stop])

    def labels(self, name: str, task: str) -> npt.NDArray[np.generic]:
        """Labels of one task, shape=(T,); float32 with NaN where unlabelled, or integer classes."""
        return self._series(name, ("labels", task))

    def classes(self, name: str, task: str) -> tuple[str, ...]:
        """Names of the classes of a task, class k being the k-th; empty where they have none."""
        return self._names(name, ("labels", task), "classes")

    def series_names(self, name: str) -> tuple[str, ...]:
        """What else is known of each frame of a sequence."""
        with self._damage(f"series of {name!r}"):
            found = member(self._group(name)[0], "series")
            return tuple(members(found)) if isinstance(found, h5py.Group) else ()

    def series(self, name: str, series: str) -> tuple[npt.NDArray[np.generic], tuple[str, ...]]:
        """Values of one series, float32, shape=(T, K), and the names of its K columns."""
        columns = self._names(name, ("series", series), "columns")
        return self._series(name, ("series", series), len(columns)), columns

    def boxes(self, name: str) -> npt.NDArray[np.generic]:
        """Crop of each frame in source pixels (x, y, w, h): float32, shape=(T, 4)."""
        return self._series(name, ("boxes",), 4)

    def pts_seconds(self, name: str) -> npt.NDArray[np.generic]:
        """Time of each frame in its source, in seconds: float64, shape=(T,)."""
        return self._series(name, ("pts_seconds",))

    def copy_into(self, group: h5py.Group, name: str) -> None:
        """Copy the sequence `name` into a group of another file: all that a corpus holds of it, packed as it is.

        HDF5's own copy takes whatever else lies there, and what is forged ends the process or spoils its memory.
        """
        known = self.sequence(name)
        series = self.series_names(name)
        with self._damage(f"sequence {name!r}"):
            source, frames = self._group(name)
            made = group.create_group(name, track_order=True)
            _copy_frames(frames, made)
            for key in ("pts_seconds", *(["boxes"] if "boxes" in source else [])):
                _copy_numbers(source, made, key)
            for folder, keys in (("labels", known.tasks), ("series", series)):
                for key in keys:
                    _copy_numbers(member(source, folder), made.require_group(folder), key)
            put_attributes(made, {key: getattr(known, key) for key in _ATTRIBUTES})

    def _group(self, name: str) -> tuple[h5py.Group, h5py.Dataset]:
        """The group of a sequence and its frames, after it was made sure that these can be read in safety."""
        group = member(self._sequences, name)
        if group is None:
            raise StoreError(f"{self.path}: no sequence {name!r}; it holds {', '.join(self._sequences) or 'none'}")
        frames = member(group, "frames")
        if (
            not is_stored(frames)
            or frames.dtype != np.uint8
            or frames.shape[1:] != (HR_SIDE, HR_SIDE)
            or not 0 < frames.shape[0] <= _MAX_FRAMES
        ):
            raise StoreError(
                f"{self.path}: sequence {name!r} lacks frames of uint8 (T, {HR_SIDE}, {HR_SIDE}) stored in this file; "
                "make the corpus again"
            )
        return group, frames

    def _series(self, name: str, keys: tuple[str, ...], *columns: int) -> npt.NDArray[np.generic]:
        key = "/".join(keys)
        with self._damage(f"{key} of {name!r}"):
            found: Any
            found, frames = self._group(name)
            for part in keys:
                found = member(found, part)
            if not is_stored(found) or found.shape != (frames.shape[0], *columns) or found.dtype.kind not in "fiu":
                raise StoreError(f"{self.path}: sequence {name!r} has no {key} with a row a frame")
            return np.asarray(found[:])

    def _names(self, name: str, keys: tuple[str, ...], listed_in: str) -> tuple[str, ...]:
        """Names kept as JSON in an attribute of a dataset."""
        key = "/".join(keys)
        with self._damage(f"{key} of {name!r}"):
            found: Any = self._group(name)[0]
            for part in keys:
                found = member(found, part)
            if not is_stored(found):
                raise StoreError(f"{self.path}: sequence {name!r} has no {key}")
            names = json.loads(text(attribute(found, listed_in, "")) or "[]")
            if not isinstance(names, list) or not all(isinstance(each, str) for each in names):
                raise StoreError(f"{self.path}: {listed_in} of {key} of {name!r} are no list of names")
            return tuple(names)

    @contextlib.contextmanager
    def _damage(self, what: str) -> Iterator[None]:
        """HDF5 meets damage with errors of any kind; each becomes a `StoreError`."""
        try:
            yield
        except CodecsimError:
            raise
        except DAMAGE as error:
            raise StoreError(f"{self.path}: {what} is damaged ({error}); make the corpus again") from error


def _copy_numbers(source: h5py.Group, target: h5py.Group, key: str) -> None:
    """Copy a dataset of numbers and the names that are listed in its attributes."""
    held = member(source, key)
    if not is_stored(held) or held.dtype.kind not in "fiu":
        raise ValueError(f"{key} is no dataset of numbers in this file")
    made = target.create_dataset(key, data=held[()])
    for listed_in in ("classes", "columns"):
        if names := attribute(held, listed_in, ""):
            put_attributes(made, {listed_in: names})


def _copy_frames(frames: h5py.Dataset, target: h5py.Group) -> None:
    """Copy frames chunk by chunk as these are packed; unpack them only where they are packed in another way."""
    plan, chunks = frames.id.get_create_plist(), frames.chunks
    filters = [plan.get_filter(index)[0] for index in range(plan.get_nfilters())]
    is_as_ours = chunks is not None and filters == [h5py.h5z.FILTER_DEFLATE]
    made = target.create_dataset(
        "frames",
        shape=frames.shape,
        dtype=np.uint8,
        maxshape=(None if chunks is not None and chunks[0] < len(frames) else len(frames), HR_SIDE, HR_SIDE),
        chunks=chunks if is_as_ours else (min(_CHUNK_FRAMES, len(frames)), HR_SIDE, HR_SIDE),
        compression="gzip",
        compression_opts=1,
    )
    if not is_as_ours:
        for start in range(0, len(frames), _CHUNK_FRAMES):
            made[start : start + _CHUNK_FRAMES] = frames[start : start + _CHUNK_FRAMES]
        return
    for index in range(frames.id.get_num_chunks()):
        place = frames.id.get_chunk_info(index).chunk_offset
        mask, packed = frames.id.read_direct_chunk(place)
        made.id.write_direct_chunk(place, packed, mask)


class CorpusWriter:
    """Writes a corpus file that appears at `path` whole, when the context ends without an error.

    Parameters
    ----------
    path : where the corpus is to stand
    attributes : extra root attributes (text or numbers), for instance how the corpus was made
    recording : given to every sequence: a mark of all that they are made from
    """

    def __init__(
        self, path: str | Path, *, attributes: Mapping[str, str | int | float] | None = None, recording: str = ""
    ) -> None:
        self.path = Path(path)
        self._attributes = dict(attributes or {})
        self._recording = recording

    def __enter__(self) -> Self:
        sweep_leftovers(self.path)
        with contextlib.ExitStack() as stack:
            self._file, self._check_disk = stack.enter_context(replacing_hdf5(self.path, track_order=True))
            put_attributes(self._file, {"schema": SCHEMA, "schema_version": SCHEMA_VERSION, **self._attributes})
            self._file.create_group("sequences", track_order=True)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return self._stack.__exit__(kind, error, trace)

    @contextlib.contextmanager
    def sequence(
        self,
        name: str,
        *,
        fps: float,
        subject: str = "",
        split: str = "",
        source: str = "",
        preparation: str = "",
    ) -> Iterator["SequenceWriter"]:
        """Add one sequence; append frames to what this yields. Its digest is written when the context ends.

        Where the context ends with an error, the sequence is taken out again.

        Raises
        ------
        UsageError
            If the name is taken, empty, no UTF-8 or holds a slash, `fps` is not positive, or no frame was appended.
        """
        if not is_name(name) or name in self._file["sequences"]:
            raise UsageError(f"a corpus cannot take {name!r} as a sequence: names are unique UTF-8 text without '/'")
        if not 0 < fps < _MAX_FPS:
            raise UsageError(f"sequence {name!r} has fps = {fps}; a positive number of frames per second is needed")
        group = self._file["sequences"].create_group(name, track_order=True)
        try:
            writer = SequenceWriter(group, self._check_disk)
            yield writer
            writer.finish()
            given = {"subject": subject, "split": split, "source": source, "preparation": preparation}
            put_attributes(group, {"fps": float(fps), "recording": self._recording, **given})
        except BaseException:
            del self._file["sequences"][name]
            raise

    def copy(self, corpus: Corpus, name: str) -> None:
        """Copy a sequence as it is out of another corpus, without compressing it again.

        Raises
        ------
        StoreError
            If the other corpus lacks the sequence.
        UsageError
            If the name is taken.
        """
        if name in self._file["sequences"]:
            raise UsageError(f"the corpus holds a sequence {name!r} already")
        corpus.copy_into(self._file["sequences"], name)
        self._check_disk()

    def annotate(self, attributes: Mapping[str, str | int | float]) -> None:
        """Set root attributes that are known only now."""
        put_attributes(self._file, attributes)


class SequenceWriter:
    """Takes the frames of one sequence, a batch at a time, in constant memory."""

    def __init__(self, group: h5py.Group, check_disk: Callable[[], None]) -> None:
        self._group = group
        self._check_disk = check_disk
        self._hash = hashlib.sha256()
        self._frames: h5py.Dataset | None = None
        self._block = np.empty((_CHUNK_FRAMES, HR_SIDE, HR_SIDE), np.uint8)
        self._pending = 0
        self._times: list[float] = []
        self._boxes: list[tuple[float, float, float, float]] = []

    @property
    def n_frames(self) -> int:
        """Frames that were appended so far."""
        return len(self._times)

    def append(
        self, frame: Frames, *, pts_seconds: float, box: tuple[float, float, float, float] | None = None
    ) -> None:
        """Append one HR frame, copied: uint8, shape=(96, 96), its time in the source, its crop (x, y, w, h)."""
        if frame.shape != (HR_SIDE, HR_SIDE) or frame.dtype != np.uint8:
            raise UsageError(f"a corpus takes frames of uint8 ({HR_SIDE}, {HR_SIDE}), not {frame.dtype} {frame.shape}")
        self._block[self._pending] = frame
        self._pending += 1
        self._times.append(pts_seconds)
        if box is not None:
            self._boxes.append(box)
        if self._pending == _CHUNK_FRAMES:
            self._flush()

    def labels(self, task: str, values: npt.NDArray[np.generic], *, classes: Ordered[str] = ()) -> None:
        """Attach the labels of one task, shape=(T,), once all frames are appended.

        Parameters
        ----------
        values : float32 with NaN where unlabelled, or an integer type for classes
        classes : names of the classes, class k being the k-th
        """
        if not is_name(task) or task in self._group.get("labels", ()):
            raise UsageError(f"a sequence cannot take {task!r} as a task: names are unique UTF-8 text without '/'")
        if values.shape != (self.n_frames,):
            raise UsageError(f"labels {task!r} have shape {values.shape}; the sequence has {self.n_frames} frames")
        if classes and not (values.dtype.kind in "iu" and values.min() >= 0 and values.max() < len(classes)):
            raise UsageError(
                f"labels {task!r} with {len(classes)} named classes must be integers in 0–{len(classes) - 1}"
            )
        dataset = self._group.require_group("labels").create_dataset(task, data=values)
        if classes:
            put_attributes(dataset, {"classes": json.dumps(list(classes))})

    def series(self, name: str, values: npt.NDArray[np.generic], *, columns: Ordered[str]) -> None:
        """Attach what else is known of each frame, shape=(T, K), with names of its columns, once all are appended."""
        if not is_name(name) or name in self._group.get("series", ()):
            raise UsageError(f"a sequence cannot take {name!r} as a series: names are unique UTF-8 text without '/'")
        if values.shape != (self.n_frames, len(columns)) or not columns:
            raise UsageError(
                f"series {name!r} has shape {values.shape}; {self.n_frames} frames × {len(columns)} columns are needed"
            )
        dataset = self._group.require_group("series").create_dataset(name, data=np.asarray(values, np.float32))
        put_attributes(dataset, {"columns": json.dumps(list(columns))})

    def finish(self) -> None:
        """Write what is pending and the digest."""
        if self.n_frames == 0:
            raise UsageError(f"sequence {self._group.name.rpartition('/')[2]!r} has no frames; leave it out")
        self._flush(is_last=True)
        self._group.create_dataset("pts_seconds", data=np.asarray(self._times, np.float64))
        if self._boxes:
            if len(self._boxes) != self.n_frames:
                raise UsageError(f"{len(self._boxes)} boxes for {self.n_frames} frames: give one for each, or none")
            self._group.create_dataset("boxes", data=np.asarray(self._boxes, np.float32))
        put_attributes(self._group, {"digest": self._hash.hexdigest()})

    def _flush(self, *, is_last: bool = False) -> None:
        if self._pending == 0:
            return
        block = self._block[: self._pending]
        self._hash.update(block.data)
        if self._frames is None:
            self._frames = self._create_frames(block, may_grow=not is_last)
        else:
            start = self._frames.shape[0]
            self._frames.resize(start + len(block), axis=0)
            self._frames[start:] = block
        self._pending = 0
        self._check_disk()

    def _create_frames(self, block: Frames, *, may_grow: bool) -> h5py.Dataset:
        """Chunks are no longer than a short sequence, since a chunk is stored whole; one that stays alone needs no
        index, which takes as long to write and to read as a still.
        """
        return self._group.create_dataset(
            "frames",
            data=block,
            maxshape=(None if may_grow else len(block), HR_SIDE, HR_SIDE),
            chunks=block.shape,
            shuffle=False,
            compression="gzip",
            compression_opts=1,
        )


def is_corpus(path: Path) -> bool:
    """Whether `path` is an HDF5 file that claims to be a corpus."""
    try:
        with opened(path) as file:
            return text(attribute(file, "schema", "")) == SCHEMA
    except DAMAGE:
        return False
