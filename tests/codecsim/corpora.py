"""A small corpus with all that a corpus can hold, and a reader of all of it."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

from codecsim.corpus import Corpus, CorpusWriter

RNG = np.random.default_rng(7)
FRAMES = {"zoe": RNG.integers(0, 256, (130, 96, 96), np.uint8), "anna": RNG.integers(0, 256, (64, 96, 96), np.uint8)}
VALENCE = np.where(np.arange(130) % 7 == 0, np.nan, np.sin(np.arange(130))).astype(np.float32)
EMOTION = (np.arange(130) % 8).astype(np.int16)
EMOTIONS = ("neutral", "anger", "contempt", "disgust", "fear", "happiness", "sadness", "surprise")
BOXES = np.stack([np.arange(130), np.arange(130) / 3, np.full(130, 50.5), np.full(130, 61)], axis=1).astype(np.float32)


def write(path: Path) -> Path:
    with CorpusWriter(path, attributes={"made_by": "a test", "margin": 0.25}) as writer:
        with writer.sequence("zoe", fps=29.97, subject="s1", split="train", source="zoe.mp4") as sequence:
            for i, frame in enumerate(FRAMES["zoe"]):
                assert sequence.n_frames == i
                sequence.append(frame, pts_seconds=i / 29.97, box=tuple(BOXES[i]))
            sequence.labels("valence", VALENCE)
            sequence.labels("emotion", EMOTION, classes=EMOTIONS)
            sequence.series("pose", BOXES[:, :2], columns=("yaw", "pitch"))
        with writer.sequence("anna", fps=25) as sequence:
            for i, frame in enumerate(FRAMES["anna"]):
                sequence.append(frame, pts_seconds=i / 25)
    return path


def read_everything(path: Path) -> None:
    with Corpus(path) as corpus:
        for sequence in corpus.sequences():
            corpus.frames(sequence.name)
            corpus.pts_seconds(sequence.name)
            for task in sequence.tasks:
                corpus.labels(sequence.name, task)
                corpus.classes(sequence.name, task)
            for series in corpus.series_names(sequence.name):
                corpus.series(sequence.name, series)


def edited(path: Path, edit: Callable[[h5py.File], None]) -> Path:
    with h5py.File(path, "r+") as file:
        edit(file)
    return path
