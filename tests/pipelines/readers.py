"""A corpus that sweeps in a moment, and small networks that read it: untrained, but always the same."""

from pathlib import Path

import numpy as np
import torch

from codecsim.corpus import CorpusWriter
from recognition.methods import get_method
from recognition.models import origin, save_model
from recognition.training import weights_path
from tests.clips import carphone_faces
from tests.recognition.small import SMALL, SmallNetwork

SMALL_3, SMALL_4, SMALL_HR = (f"{SMALL}-{s}" for s in (3, 4, 1))
FPS = 25.0
N_FRAMES = 12
PEOPLE = ("ada", "ben", "cy")


def write_corpus(path: Path, *, labelled: bool = True, people: tuple[str, ...] = PEOPLE) -> Path:
    """A recording of each person: real frames, with valence and a class of emotion."""
    with CorpusWriter(path) as writer:
        for number, name in enumerate(people):
            with writer.sequence(f"{name}_1", fps=FPS, subject=name, split="dev", source="test") as sequence:
                for index, frame in enumerate(carphone_faces()[30 * number :][:N_FRAMES]):
                    sequence.append(np.roll(frame, 7 * number, axis=1), pts_seconds=index / FPS)
                if labelled:
                    sequence.labels("valence", valence(number))
                    sequence.labels("emotion", np.zeros(N_FRAMES, np.int16), classes=("calm",))
    return path


def valence(number: int) -> np.ndarray:
    """Of the person of this number, whose first frame is unlabelled."""
    told = np.sin(np.arange(N_FRAMES) / 2 + number).astype(np.float32)
    told[0] = np.nan
    return told


def save_small(
    folder: Path, name: str, *, seed: int = 0, labels: tuple[str, ...] = ("valence",), **settings: float
) -> Path:
    """A small network, as training leaves it."""
    torch.manual_seed(seed + 10 * len(name))
    path, method = weights_path(folder, name, seed), get_method(name)
    provenance = {
        "method": name,
        "variant": "paper",
        "labels": list(labels),
        "trained_on": list(method.trained_on),
        "sr_scale": 0,
        "own": True,
        "settings": {"seed": seed, "delay_seconds": 0.0, **settings},
    }
    save_model(path, SmallNetwork(len(labels)), {**provenance, **origin()})
    return path
