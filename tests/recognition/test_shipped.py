"""The networks that come with codecsim: all there, of one training, small, and what they say they are."""

from pathlib import Path

import numpy as np
import pytest
import torch

from codecsim.errors import UsageError
from recognition.methods import get_method
from recognition.models import read_tensors, save_model
from recognition.shipped import NAMES, load_shipped, ship, shipped, shipped_path
from recognition.training import weights_path

_MOST_BYTES = 25_000_000


def test_all_methods_of_figure_4_are_there_in_25_megabytes() -> None:
    assert [path.stem for path in shipped()] == list(NAMES)
    assert sum(path.stat().st_size for path in shipped()) < _MOST_BYTES


@pytest.mark.parametrize("name", NAMES)
def test_each_is_what_it_says(name: str) -> None:
    model = load_shipped(name)
    assert model.method == get_method(name)
    assert (model.variant, model.labels) == ("paper", ("valence",))
    assert sum(each.numel() for each in model.network.parameters()) == 1_333_849
    tensors, _ = read_tensors(shipped_path(name))
    assert {value.dtype for value in tensors.values()} == {torch.float16}
    with torch.inference_mode():
        told = model.network(torch.rand(2, 1, 96, 96))
    assert told.shape == (2, 1)
    assert np.isfinite(told.numpy()).all()


def test_all_are_of_one_corpus_schedule_seed_and_arithmetic() -> None:
    settings = [load_shipped(name).provenance["settings"] for name in NAMES]
    for what in ("corpus_digest", "schedule", "seed", "every", "precision", "delay_seconds", "fold"):
        assert len({str(each[what]) for each in settings}) == 1, what
    assert all(load_shipped(name).provenance["best"]["score"] > 0.15 for name in NAMES)


def test_other_methods_are_refused_by_name() -> None:
    with pytest.raises(
        UsageError, match="no trained model of method 'joint-6' comes with codecsim; there are: hr, lr-3"
    ):
        load_shipped("joint-6")


def test_shipping_halves_the_precision_and_keeps_what_is_known(tmp_path: Path) -> None:
    for name in NAMES:
        method = get_method(name)
        torch.manual_seed(1)
        provenance = {
            "method": name,
            "variant": "paper",
            "labels": ["valence"],
            "trained_on": list(method.trained_on),
            "sr_scale": method.sr_scale,
        }
        save_model(weights_path(tmp_path / "from", name, 3), method.build(variant="paper"), provenance)
    made = ship(tmp_path / "from", seed=3, target=tmp_path / "to")
    assert [path.name for path in made] == [f"{name}.safetensors" for name in NAMES]
    whole, _ = read_tensors(weights_path(tmp_path / "from", "hr", 3))
    half, metadata = read_tensors(made[0])
    assert metadata["method"] == "hr"
    for key, value in whole.items():
        assert half[key].dtype == torch.float16
        torch.testing.assert_close(half[key].float(), value, rtol=2**-10, atol=1e-7)
