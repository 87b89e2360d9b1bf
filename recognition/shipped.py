"""The trained models that come with codecsim: the methods of Figure 4, from SynthFace, in half precision.

``python -m recognition.shipped FOLDER`` makes them of the networks that `codecsim table1` left in FOLDER.
"""

import sys
from pathlib import Path

import torch

from codecsim.errors import UsageError
from recognition.models import Model, load_model, read_provenance, save_model

NAMES = ("hr", "lr-3", "lr-4", "non-joint-3", "non-joint-4", "joint-3", "joint-4", "joint-oa")
"""Methods of Figure 4; `hr` is the ceiling."""

_FOLDER = Path(__file__).resolve().parent / "weights"


def shipped() -> list[Path]:
    """The files, in the order of `NAMES`."""
    return [path for name in NAMES if (path := _FOLDER / f"{name}.safetensors").exists()]


def shipped_path(name: str) -> Path:
    """The file of a method's trained model.

    Raises
    ------
    UsageError
        If no such model comes with codecsim.
    """
    path = _FOLDER / f"{name}.safetensors"
    if name not in NAMES or not path.exists():
        there = ", ".join(each.stem for each in shipped()) or "none"
        raise UsageError(
            f"no trained model of method {name!r} comes with codecsim; there are: {there}. "
            "Train it, and name the folder that it is in"
        )
    return path


def load_shipped(name: str) -> Model:
    """A trained model by the name of its method; raises as `shipped_path`."""
    return load_model(shipped_path(name))


def ship(folder: Path, *, seed: int = 0, target: Path = _FOLDER) -> list[Path]:
    """Bring the networks of one seed into the package, as float16, with what is known of their making."""
    made = []
    for name in NAMES:
        source = folder / f"{name}.seed{seed}.safetensors"
        path = target / f"{name}.safetensors"
        save_model(path, load_model(source).network, read_provenance(source), dtype=torch.float16)
        made.append(path)
    return made


if __name__ == "__main__":
    for written in ship(Path(sys.argv[1])):
        print(written, written.stat().st_size)
