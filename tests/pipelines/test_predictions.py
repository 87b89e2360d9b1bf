"""Predictions and truth as files: what comes back, and what is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from codecsim.errors import StoreError
from pipelines import predictions
from pipelines.predictions import Kept, Truth, read_predictions, read_truth, write_predictions, write_truth

MADE_BY = {"settings": {"seed": 0}, "weights": "0", "frames": "1", "hardware": "none"}
VALUES = np.linspace(-1, 1, 12, dtype=np.float32).reshape(6, 2)
PEOPLE = np.array(["anna"] * 3 + ["bo"] * 3)
TRUTH = Truth(VALUES, PEOPLE, PEOPLE, np.full(6, 25.0), ("valence", "arousal"), 2, "2", "3", False)


def rewritten(path: Path, **changes: Any) -> Path:
    with np.load(path) as stored:
        arrays = dict(stored)
    np.savez(path, **{**arrays, **changes})
    return path


def refused(read: Callable[[Path], object], path: Path, why: str) -> None:
    with pytest.raises(StoreError) as caught:
        read(path)
    assert str(caught.value) == f"{path}: no predictions, or damaged ({why}); remove it to have them made again"


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    write_predictions(tmp_path / "kept.npz", Kept(MADE_BY, {3: VALUES}))
    return tmp_path / "kept.npz"


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    write_truth(tmp_path / "truth.npz", TRUTH)
    return tmp_path / "truth.npz"


def test_what_is_kept_comes_back(kept: Path, truth: Path) -> None:
    found, true = read_predictions(kept), read_truth(truth)
    assert found is not None
    assert found.made_by == MADE_BY
    np.testing.assert_array_equal(found.predicted[3], VALUES)
    assert true is not None
    assert (true.labels, true.every, true.rate) == (("valence", "arousal"), 2, 25.0)
    np.testing.assert_array_equal(true.targets, VALUES)


@pytest.mark.parametrize("made_by", ["{}", "[]", "3", json.dumps({**MADE_BY, "settings": []})])
def test_predictions_that_do_not_say_what_made_them(kept: Path, made_by: str) -> None:
    with pytest.raises(StoreError, match="no predictions, or damaged"):
        read_predictions(rewritten(kept, made_by=np.array(made_by)))


def test_json_nested_without_end(kept: Path) -> None:
    with pytest.raises(StoreError, match="maximum recursion depth"):
        read_predictions(rewritten(kept, made_by=np.array("[" * 100_000)))


@pytest.mark.parametrize("values", [VALUES[0], VALUES.astype(int), np.array("text")])
def test_predictions_of_another_kind(kept: Path, values: np.ndarray) -> None:
    refused(read_predictions, rewritten(kept, s3=values), "s3 is no array of kind 'f' with 2 axes")


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("every", np.array("2"), "every is no array of kind 'i' with 0 axes"),
        ("every", np.array([2, 2]), "every is no array of kind 'i' with 0 axes"),
        ("is_avec2016", np.array([True, False]), "is_avec2016 is no array of kind 'b' with 0 axes"),
        ("fps", np.array(["fast"] * 6), "fps is no array of kind 'f' with 1 axes"),
        ("targets", VALUES[:, 0], "targets is no array of kind 'f' with 2 axes"),
        ("labels", np.array(["valence"]), "its arrays have different lengths"),
        ("subjects", PEOPLE[:5], "its arrays have different lengths"),
    ],
)
def test_truth_of_another_kind(truth: Path, name: str, value: np.ndarray, why: str) -> None:
    refused(read_truth, rewritten(truth, **{name: value}), why)


def test_an_archive_that_unpacks_to_more_than_is_believed(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predictions, "_MAX_BYTES", 2**16)
    path = rewritten(kept, s4=np.zeros((2**15, 1), np.float32))
    with pytest.raises(StoreError, match=r"it claims to unpack to 13[0-9]{4} bytes; at most 65536 are read"):
        read_predictions(path)
