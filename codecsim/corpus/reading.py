"""Reading a corpus without trust: whatever is damaged or forged in it ends as a `StoreError`."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np
import numpy.typing as npt

from codecsim.corpus.copying import copy_frames, copy_numbers
from codecsim.corpus.schema import ATTRIBUTES, HR_SIDE, MAX_FPS, MAX_FRAMES, SCHEMA, SCHEMA_VERSION, Frames, Sequence
from codecsim.errors import CodecsimError, StoreError
from codecsim.hdf5 import DAMAGE, attribute, is_stored, member, members, open_hdf5, opened, put_attributes, text


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
        if not 0 < described.fps < MAX_FPS:
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
            copy_frames(frames, made)
            for key in ("pts_seconds", *(["boxes"] if "boxes" in source else [])):
                copy_numbers(source, made, key)
            for folder, keys in (("labels", known.tasks), ("series", series)):
                for key in keys:
                    copy_numbers(member(source, folder), made.require_group(folder), key)
            put_attributes(made, {key: getattr(known, key) for key in ATTRIBUTES})

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
            or not 0 < frames.shape[0] <= MAX_FRAMES
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


def is_corpus(path: Path) -> bool:
    """Whether `path` is an HDF5 file that claims to be a corpus."""
    try:
        with opened(path) as file:
            return text(attribute(file, "schema", "")) == SCHEMA
    except DAMAGE:
        return False
