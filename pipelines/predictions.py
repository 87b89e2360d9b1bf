"""Predictions kept as the raw data of a table: ``OUT/predictions/NAME.seedN.SPLIT.npz``.

Of each factor s there is an array ``sS``, shape=(N, K), float32, and beside them ``made_by``, JSON: how the network was
trained and where, the digest of its weights, and that of the frames that it was shown. ``truth.SPLIT.npz`` holds what
is true of these frames. They are small enough to be published with a table, which is made again of them, without the
weights and the frames that are not.
"""

import hashlib
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from codecsim.atomic import replacing
from codecsim.errors import StoreError, UsageError
from recognition.checkpoints import different
from recognition.data import Faces

Predicted = npt.NDArray[np.float32]

_MADE_BY = "made_by"
_MADE_OF = {"settings", "weights", "frames", "hardware"}
_TRUE = {
    "targets": ("f", 2),
    "recordings": ("U", 1),
    "subjects": ("U", 1),
    "fps": ("f", 1),
    "labels": ("U", 1),
    "every": ("i", 0),
    "corpus": ("U", 0),
    "frames": ("U", 0),
    "is_avec2016": ("b", 0),
}
"""NumPy kind and number of axes of each field of `Truth`."""

_BY_FRAME = ("recordings", "subjects", "fps")

_MAX_BYTES = 2**28
"""Most that is unpacked from one file: 67 million numbers."""


@dataclass(frozen=True)
class Kept:
    """What one network told of one split.

    Attributes
    ----------
    made_by : what it depends on: ``settings`` of the training, ``weights`` and ``frames`` as digests; and ``hardware``
    predicted : of each factor, shape=(N, K)
    """

    made_by: Mapping[str, Any]
    predicted: Mapping[int, Predicted]

    def is_of(self, settings: Mapping[str, Any], frames: str) -> bool:
        """Whether a network of such settings told it of these frames; which weights it had is not asked."""
        known = dict(self.made_by["settings"])
        known.pop("starts_from", None)
        return self.made_by["frames"] == frames and not different(known, settings)


@dataclass(frozen=True)
class Truth:
    """What networks were tested on, without the frames.

    Attributes
    ----------
    targets : float32, shape=(N, K), NaN where unlabelled
    recordings, subjects : the sequence and the person of each frame, shape=(N,)
    fps : frames per second of what was shown, shape=(N,)
    labels : names of the K labels
    every : every so many frames of the split were shown
    corpus, frames : digests
    is_avec2016 : whether the corpus is of the data that the paper's figures are of
    """

    targets: Predicted
    recordings: npt.NDArray[np.str_]
    subjects: npt.NDArray[np.str_]
    fps: npt.NDArray[np.float64]
    labels: tuple[str, ...]
    every: int
    corpus: str
    frames: str
    is_avec2016: bool

    @property
    def rate(self) -> float:
        """Frames per second of all recordings.

        Raises
        ------
        UsageError
            If they have several.
        """
        rates = np.unique(self.fps.round(6))
        if len(rates) > 1:
            raise UsageError(
                f"post-processing needs one frame rate; these recordings have {rates[0]:g} to {rates[-1]:g}"
            )
        return float(rates[0])


def read_predictions(path: Path) -> Kept | None:
    """What is kept in a file; None where there is none.

    Raises
    ------
    StoreError
        If the file is damaged.
    """
    arrays = _read(path, {_MADE_BY})
    if arrays is None:
        return None
    try:
        made_by = json.loads(str(arrays.pop(_MADE_BY)))
        predicted = {int(name[1:]): _checked(values, name, "f", 2) for name, values in arrays.items()}
        if not made_by.keys() >= _MADE_OF or not isinstance(made_by["settings"], dict):
            raise ValueError("what made them is not said")
    except (ValueError, AttributeError, RecursionError) as error:
        raise _damaged(path, error) from error
    return Kept(made_by, predicted)


def write_predictions(path: Path, kept: Kept) -> None:
    """Keep predictions, whole or not at all."""
    arrays = {f"s{s}": values.astype(np.float32) for s, values in sorted(kept.predicted.items())}
    _write(path, {_MADE_BY: np.array(json.dumps(kept.made_by)), **arrays})


def truth_path(folder: Path, split: str) -> Path:
    """Where what is true of a split is kept, in the folder of the weights."""
    return folder / "predictions" / f"truth.{split}.npz"


def read_truth(path: Path) -> Truth | None:
    """What was true of the frames of a split; None where that is not kept. Raises as `read_predictions`."""
    arrays = _read(path, set(_TRUE))
    if arrays is None:
        return None
    try:
        for name, (kind, n_axes) in _TRUE.items():
            _checked(arrays[name], name, kind, n_axes)
        n_frames, n_labels = arrays["targets"].shape
        if len(arrays["labels"]) != n_labels or {len(arrays[name]) for name in _BY_FRAME} != {n_frames}:
            raise ValueError("its arrays have different lengths")
    except ValueError as error:
        raise _damaged(path, error) from error
    return Truth(
        targets=arrays["targets"],
        recordings=arrays["recordings"],
        subjects=arrays["subjects"],
        fps=arrays["fps"],
        labels=tuple(arrays["labels"].tolist()),
        every=int(arrays["every"]),
        corpus=str(arrays["corpus"]),
        frames=str(arrays["frames"]),
        is_avec2016=bool(arrays["is_avec2016"]),
    )


def write_truth(path: Path, truth: Truth) -> None:
    """Keep what is true of a split, whole or not at all."""
    _write(path, {each.name: np.array(getattr(truth, each.name)) for each in fields(Truth)})


def _read(path: Path, needed: set[str]) -> dict[str, npt.NDArray[Any]] | None:
    if not path.exists():
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            n_bytes = sum(packed.file_size for packed in archive.infolist())
        if n_bytes > _MAX_BYTES:
            raise ValueError(f"it claims to unpack to {n_bytes} bytes; at most {_MAX_BYTES} are read")
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        if not needed <= arrays.keys():
            raise ValueError(f"it lacks {', '.join(sorted(needed - arrays.keys()))}")
    except Exception as error:  # zipfile, zlib and NumPy raise a dozen kinds
        raise _damaged(path, error) from error
    return arrays


def _checked(values: npt.NDArray[Any], name: str, kind: str, n_axes: int) -> npt.NDArray[Any]:
    """The same array, of this NumPy kind and with so many axes."""
    if not isinstance(values, np.ndarray) or values.dtype.kind != kind or values.ndim != n_axes:
        raise ValueError(f"{name} is no array of kind {kind!r} with {n_axes} axes")
    return values


def _write(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def _damaged(path: Path, error: Exception) -> StoreError:
    return StoreError(f"{path}: no predictions, or damaged ({error}); remove it to have them made again")


def frames_digest(faces: Faces) -> str:
    """SHA-256 (hexadecimal) of all frames."""
    return hashlib.sha256(np.ascontiguousarray(faces.frames.cpu().numpy()).data).hexdigest()
