"""Other people's networks, several labels, several processes."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from torch import Tensor, nn

from recognition import training
from recognition.methods import get_method
from recognition.models import load_model, read_provenance
from tests.pipelines.command import ROOT, environment
from tests.recognition.small import schedule, setup
from tests.recognition.trainings import (
    SMALL_3,
    StoppedError,
    log,
    names,
    same,
    stop,
    stop_at,
    train,
    weights,
)


class Tied(nn.Module):
    """Two layers that share their weights, and a count of batches."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.one = nn.Linear(96, 96)
        self.two = nn.Linear(96, 96)
        self.two.weight = self.one.weight
        self.norm = nn.BatchNorm1d(96)
        self.last = nn.Linear(96, outputs)

    def forward(self, x: Tensor) -> Tensor:
        told: Tensor = self.last(self.norm(self.two(self.one(x.mean((1, 2))))))
        return told


def test_a_network_with_shared_weights_and_counters_is_trained_stopped_and_saved(corpus: Path, tmp_path: Path) -> None:
    name = f"{__name__}:Tied-3"
    with pytest.raises(StoppedError):
        train(setup(corpus), tmp_path, method=name, report=stop_at(1))
    done = train(setup(corpus), tmp_path, method=name)
    whole = train(setup(corpus), tmp_path / "whole", method=name)
    assert same(weights(done.path), weights(whole.path))
    network = load_model(done.path, method=get_method(name)).network
    assert isinstance(network, Tied)
    assert network.two.weight is network.one.weight
    assert int(network.norm.num_batches_tracked) > 0
    assert read_provenance(done.path)["own"] is True


def test_two_labels_make_two_outputs(corpus: Path, tmp_path: Path) -> None:
    done = train(setup(corpus, labels=("arousal", "valence")), tmp_path)
    assert weights(done.path)["tell.weight"].shape[0] == 2
    assert load_model(done.path, method=get_method(SMALL_3)).labels == ("arousal", "valence")


# Processes that train together ---------------------------------------------------------------------------------------

_TOGETHER = """
import os, sys, time
from pathlib import Path
import torch
torch.set_num_threads(1)
from recognition import training
from tests.recognition.small import schedule, setup
from tests.recognition.test_training import train

def slowed(function, seconds):
    def slow(*given):
        time.sleep(seconds)
        return function(*given)
    return slow

plain = training.load_checkpoint
if os.environ["RANK"] == "0":
    training.save_model = slowed(training.save_model, 0.2)
else:
    training.load_checkpoint = slowed(plain, 2)
    training.save_model = training.save_checkpoint = training._write_log = None
    training.Recognition.check = lambda self, network: {"score": 0.0}

corpus, out = map(Path, sys.argv[1:])
for seed in (2, 0, 1):
    assert train(setup(corpus, schedule=schedule(batch=5, patience=1)), out, seed=seed).path.exists()
    training.load_checkpoint = plain
"""


def test_two_processes_train_the_network_of_one(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The small network draws nothing; its gradients are summed in another order.

    Of seed 2 nothing but the weights was left to be written. The first process is slow to write; the other is slow to
    read, writes nothing, and sees other scores.
    """
    few = setup(corpus, schedule=schedule(batch=5, patience=1))
    with monkeypatch.context() as patched:
        patched.setattr(training, "save_model", stop)
        with pytest.raises(StoppedError):
            train(few, tmp_path / "two", seed=2)
    script = tmp_path / "together.py"
    script.write_text(_TOGETHER)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", script]
    done = subprocess.run(
        [*map(str, command), str(corpus), str(tmp_path / "two")],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for seed in (0, 1, 2):
        alone = train(few, tmp_path / "one", seed=seed)
        together = tmp_path / "two" / alone.path.name
        for name, value in weights(alone.path).items():
            np.testing.assert_allclose(weights(together)[name], value, rtol=1e-5, atol=1e-7, err_msg=name)
        for one, two in zip(log(alone.log), log(tmp_path / "two" / alone.log.name), strict=True):
            assert {name: float(value) for name, value in two.items()} == pytest.approx(
                {name: float(value) for name, value in one.items()}, rel=1e-4
            )
        assert read_provenance(together)["processes"] == 2
    assert names(tmp_path / "two") == names(tmp_path / "one")
