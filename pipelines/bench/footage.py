"""Corpora of any size for benchmarks: the clip of the demo, again and again."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from codecsim.corpus import Corpus, CorpusWriter
from codecsim.simulator import DEFAULT_QP
from codecsim.sources.demo import unpack_demo
from pipelines.feeding import FEEDING

SIDE = 24
"""Of LR frames: s = 4."""


@dataclass(frozen=True)
class Footage:
    """What is encoded at s = 4, and how much of it is shown.

    Attributes
    ----------
    clips, n_frames : so many clips of so many frames, made of the demo; 0 for the demo as it is
    qps : quantisation parameters
    every : every so many frames are shown
    workers : that encode; None for as many as there are cores
    """

    qps: Sequence[float]
    every: int
    clips: int = 0
    n_frames: int = 0
    workers: int | None = 1


FOOTAGE = {
    "cpu": (Footage(DEFAULT_QP, FEEDING["cpu"].every), Footage((24,), 1, clips=6, n_frames=100)),
    "cuda": (Footage(DEFAULT_QP, FEEDING["cuda"].every, clips=96, n_frames=300, workers=None),),
}
"""On the CPU, what `codecsim sweep` makes of the demo at one factor; and few streams of which every frame is shown, so
that none is decoded in vain. For a GPU so much that what comes before and after, 0.7 s, hardly counts."""


def write_clips(path: Path, number: int, n_frames: int) -> None:
    """A corpus of one clip, again and again, each time of another person and a little to the right."""
    demo = path.with_name("demo.h5")
    if not demo.exists():
        with CorpusWriter(demo) as writer:
            unpack_demo(writer)
    with Corpus(demo) as corpus:
        name = corpus.sequences()[0].name
        frames, said = (read(name)[:n_frames] for read in (corpus.frames, lambda of: corpus.labels(of, "valence")))
    with CorpusWriter(path) as writer:
        for index in range(number):
            with writer.sequence(f"clip{index}", fps=25, subject=f"{index}", split="dev", source="demo") as sequence:
                for at, frame in enumerate(np.roll(frames, index % 48, axis=2)):
                    sequence.append(frame, pts_seconds=at / 25)
                sequence.labels("valence", said)
