"""Methods that were compared, made by hand."""

import numpy as np

from pipelines.comparison import Cell, Comparison
from pipelines.predictions import Truth

SETTINGS = {
    "variant": "paper",
    "schedule": "tiny",
    "loss": "mse",
    "precision": "fp32",
    "every": 1,
    "phase": {"iterations": 2, "batch": 4},
    "sr_phase": {},
}


def comparison(*, is_avec2016: bool = False) -> Comparison:
    """Two seeds, three subjects of 50 frames; at s = 3 ``joint`` is right, ``lr`` noisy, ``hr`` perfect."""
    subjects = np.repeat(["a", "b", "c"], 50)
    target = np.sin(np.arange(150) / 5)[:, None]
    noise = np.random.default_rng(0).normal(0, 1, (2, 150, 1))
    cells = (
        Cell("hr", "hr", 1, np.stack([target, target]), SETTINGS),
        Cell("joint", "joint-3", 3, target + 0.1 * noise, SETTINGS),
        Cell("lr", "lr-3", 3, target + 1.0 * noise, SETTINGS),
    )
    truth = Truth(
        targets=target.astype(np.float32),
        recordings=subjects,
        subjects=subjects,
        fps=np.full(150, 25.0),
        labels=("valence",),
        every=1,
        corpus="0" * 64,
        frames="1" * 64,
        is_avec2016=is_avec2016,
    )
    return Comparison(cells, truth, seeds=(0, 1), hardware=("an abacus",))
