"""Predictions and targets of several people, for tests of metrics and their intervals."""

import numpy as np
import pytest

ROUNDING = 1e-12  # float64 sums of a few hundred values near 1, in another order
METRICS = ("rmse", "cc", "ccc")
NAMES = [f"{metric}{way}" for way in ("", "_recording", "_within") for metric in METRICS]


def walks(
    sizes: list[int], seed: int = 0, n_models: int | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Predictions, targets, recordings and subjects: two recordings a subject, each with an offset."""
    rng, n = np.random.default_rng(seed), sum(sizes)
    recordings = np.repeat([f"r{number}" for number in range(len(sizes))], sizes)
    subjects = np.repeat([f"s{number // 2}" for number in range(len(sizes))], sizes)
    target = rng.standard_normal(n) + np.repeat(rng.standard_normal(len(sizes)), sizes)
    shape = n if n_models is None else (n_models, n)
    predicted = (
        0.6 * target + 0.2 + 0.5 * rng.standard_normal(shape) + np.repeat(rng.standard_normal(len(sizes)), sizes)
    )
    return predicted, target, recordings, subjects


def same(found: dict[str, float], wanted: dict[str, float]) -> None:
    assert {name: found[name] for name in wanted} == pytest.approx(wanted, rel=0, abs=ROUNDING, nan_ok=True)
