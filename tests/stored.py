"""What a sweep file holds, in plain Python."""

from pathlib import Path

from codecsim.store import Sweep

Told = tuple[str, str, int, str, str, int]
"""Sequence, key, factor, method, label, seed."""


def predictions_in(path: Path) -> dict[Told, list[float]]:
    """Every series of numbers, in the order of the file."""
    with Sweep(path) as sweep:
        table = sweep.predictions
        identities = zip(
            *(table[name].tolist() for name in ("sequence", "key", "scale", "method", "label", "seed")), strict=True
        )
        extents = zip(table["offset"].tolist(), table["n_values"].tolist(), strict=True)
        return {
            told: sweep.predicted_between(start, start + length).tolist()
            for told, (start, length) in zip(identities, extents, strict=True)
        }
