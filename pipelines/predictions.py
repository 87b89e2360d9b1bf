"""Predictions kept as the raw data of a table: ``OUT/predictions/NAME.seedN.SPLIT.npz``.

Of each factor s there is an array ``sS``, shape=(N, K), float32, and beside them ``made_by``, JSON: how the network was
trained and where, the digest of its weights, and that of the frames that it was shown. They are small enough to be
published with a table, and the command that made it makes it again of them, without the weights that are not.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from codecsim.atomic import replacing
from codecsim.errors import StoreError
from recognition.checkpoints import different
from recognition.data import Faces

Predicted = npt.NDArray[np.float32]

_MADE_BY = "made_by"


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


def read_predictions(path: Path) -> Kept | None:
    """What is kept in a file; None where there is none.

    Raises
    ------
    StoreError
        If the file is damaged.
    """
    if not path.exists():
        return None
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            made_by = json.loads(str(arrays[_MADE_BY]))
            predicted = {int(name[1:]): arrays[name] for name in arrays.files if name != _MADE_BY}
        if not {"settings", "weights", "frames", "hardware"} <= made_by.keys():
            raise ValueError("what made them is not said")
    except Exception as error:  # zipfile, zlib and NumPy raise a dozen kinds
        raise StoreError(f"{path}: no predictions, or damaged ({error}); remove it to have them made again") from error
    return Kept(made_by, predicted)


def write_predictions(path: Path, kept: Kept) -> None:
    """Keep predictions, whole or not at all."""
    arrays = {f"s{s}": values.astype(np.float32) for s, values in sorted(kept.predicted.items())}
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **{_MADE_BY: np.array(json.dumps(kept.made_by))}, **arrays)  # type: ignore[arg-type]


def frames_digest(faces: Faces) -> str:
    """SHA-256 (hexadecimal) of all frames."""
    return hashlib.sha256(np.ascontiguousarray(faces.frames.cpu().numpy()).data).hexdigest()
