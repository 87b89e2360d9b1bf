"""Writing a corpus that appears whole or not at all, in constant memory."""

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Sequence as Ordered
from pathlib import Path
from types import TracebackType
from typing import Self

import h5py
import numpy as np
import numpy.typing as npt

from codecsim.atomic import sweep_leftovers
from codecsim.corpus.reading import Corpus
from codecsim.corpus.schema import CHUNK_FRAMES, HR_SIDE, MAX_FPS, SCHEMA, SCHEMA_VERSION, Frames
from codecsim.errors import UsageError
from codecsim.hdf5 import is_name, put_attributes, replacing_hdf5


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
        if not 0 < fps < MAX_FPS:
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
        self._block = np.empty((CHUNK_FRAMES, HR_SIDE, HR_SIDE), np.uint8)
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
        if self._pending == CHUNK_FRAMES:
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
