"""From a method and a corpus to weights in a folder: what each method trains, and what is said of it."""

import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from codecsim.corpus import Corpus, corpus_digest
from codecsim.errors import UsageError
from recognition import training
from recognition.data import Faces, hold_out, load_faces
from recognition.loop import State
from recognition.methods import get_method
from recognition.metrics import ccc
from recognition.models import load_model, read_provenance, read_tensors, write_tensors
from recognition.networks import ValenceCNN
from recognition.resampling import as_received, luma
from recognition.schedules import Phase
from recognition.tasks import Recognition
from recognition.training import Setup, Trained, Trainer
from tests.pipelines.command import ROOT
from tests.recognition.small import phase, schedule, setup
from tests.recognition.trainings import FORGETFUL, log, names, same, train, weights


@dataclass(frozen=True)
class Real:
    """Real networks after a few steps on few frames."""

    setup: Setup
    out: Path
    trained: dict[str, list[Trained]]

    def network(self, name: str) -> ValenceCNN:
        network = load_model(self.out / f"{name}.seed0.safetensors").network
        assert isinstance(network, ValenceCNN)
        return network


@pytest.fixture(scope="module")
def real(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Real:
    few = schedule(iterations=2, batch=2, check_frames=2, learning_rate=0.003)
    chosen, out = setup(corpus, schedule=few, every=4), tmp_path_factory.mktemp("real")
    trainer = Trainer(chosen, out)
    wanted = ("joint-4", "non-joint-4", "non-joint-image-4", "max-only-4")
    made = {name: trainer.train(replace(get_method(name), sr_scale=4), seed=0) for name in wanted}
    return Real(chosen, out, made)


def test_methods_of_one_factor_share_its_sr_fcn(real: Real) -> None:
    chains = {name: [(each.name, each.is_new) for each in chain] for name, chain in real.trained.items()}
    assert chains == {
        "joint-4": [("sr-fcn-4", True), ("joint-4", True)],
        "non-joint-4": [("sr-fcn-4", False), ("non-joint-4", True)],
        "non-joint-image-4": [("sr-fcn-4", False), ("non-joint-image-4", True)],
        "max-only-4": [("sr-fcn-4", False), ("max-only-4", True)],
    }


def untrained(name: str) -> dict[str, Tensor]:
    """Weights that a method's network has before its training."""
    torch.manual_seed(0)
    return get_method(name).build(variant="paper").state_dict()


def test_frozen_convolutions_are_those_of_the_sr_fcn_and_what_stands_on_them_learnt(real: Real) -> None:
    sr = weights(real.out / "sr-fcn-4.seed0.safetensors")
    found, before = weights(real.out / "non-joint-4.seed0.safetensors"), untrained("non-joint-4")
    for name, value in found.items():
        kind, _, rest = name.partition(".")
        if kind == "features":
            assert np.array_equal(value, sr[rest]), name
        else:
            assert not np.array_equal(value, before[name].numpy()), name


def test_joint_tunes_the_convolutions_that_it_starts_from_gently(real: Real) -> None:
    sr = weights(real.out / "sr-fcn-4.seed0.safetensors")
    found, before = weights(real.out / "joint-4.seed0.safetensors"), untrained("joint-4")
    for name in ("conv1.weight", "conv2.weight", "conv3.weight"):
        distance = np.abs(found[f"features.{name}"] - sr[name]).max()
        assert 0 < distance < 0.1 * np.abs(sr[name]).max(), name
    assert not np.array_equal(found["regressor.hidden.weight"], before["regressor.hidden.weight"].numpy())


def test_frames_restored_in_advance_are_those_that_the_whole_network_restores(real: Real) -> None:
    sr = weights(real.out / "sr-fcn-4.seed0.safetensors")
    found, before = weights(real.out / "non-joint-image-4.seed0.safetensors"), untrained("non-joint-image-4")
    for name, value in found.items():
        if name.startswith("restore.sr."):
            assert np.array_equal(value, sr[name.removeprefix("restore.sr.")]), name
        else:
            assert not np.array_equal(value, before[name].numpy()), name


def test_the_score_of_the_log_is_that_of_the_weights_that_are_kept(real: Real) -> None:
    _, fold = hold_out(
        load_faces(real.setup.corpus, split="train", labels=("valence",), device=torch.device("cpu"), every=4)
    )
    shown = fold.frames[:: len(fold) // 2], fold.targets[:: len(fold) // 2, 0].numpy()
    for name in ("joint-4", "non-joint-4", "non-joint-image-4"):
        model = load_model(real.out / f"{name}.seed0.safetensors")
        with torch.no_grad():
            told = model.network(luma(as_received(shown[0], 4)))[:, 0].numpy()
        # The frozen layers see other batches, and so sum in another order.
        assert model.provenance["best"]["score"] == pytest.approx(ccc(told, shown[1]), rel=1e-3), name


def test_provenance_says_all_that_the_weights_come_from(real: Real) -> None:
    found = read_provenance(real.out / "joint-4.seed0.safetensors")
    with Corpus(real.setup.corpus) as opened:
        digest = corpus_digest(opened.sequences())
    settings = found["settings"]
    assert (settings["seed"], settings["corpus_digest"], settings["schedule"]) == (0, digest, "test")
    assert settings["phase"]["iterations"] == 2
    assert (settings["loss"], settings["every"], settings["delay_seconds"], settings["fold"]) == ("mse", 4, 0.0, 0)
    assert settings["precision"] == "fp32"
    assert len(settings["starts_from"]) == 64
    assert (found["method"], found["variant"], found["labels"]) == ("joint-4", "paper", ["valence"])
    assert (found["trained_on"], found["sr_scale"], found["own"]) == ([4], 4, False)
    assert set(found["versions"]) == {"python", "codecsim", "torch", "numpy", "safetensors"}
    assert found["versions"]["torch"] == torch.__version__
    assert found["hardware"].startswith("CPU, 1 threads")
    assert (found["processes"], found["steps"]) == (1, 2)
    assert found["best"]["step"] == 2
    revision = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert found["revision"].removesuffix("+") == revision.stdout.strip()
    sr = read_provenance(real.out / "sr-fcn-4.seed0.safetensors")
    assert (sr["method"], sr["labels"], sr["trained_on"], sr["sr_scale"]) == ("sr-fcn-4", [], [4], 4)
    assert set(sr["best"]) >= {"step", "score", "psnr_db", "psnr_bicubic_db"}


def test_only_weights_and_logs_are_left(real: Real) -> None:
    stems = ["joint-4", "max-only-4", "non-joint-4", "non-joint-image-4", "sr-fcn-4"]
    assert names(real.out) == [f"{stem}.seed0.{kind}" for stem in stems for kind in ("csv", "safetensors")]


def test_each_network_is_trained_by_its_phase_of_the_schedule_in_the_precision_asked_for(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is handed to the loop, which is not run."""
    calls: list[tuple[str, int, int, str]] = []
    is_low: list[bool] = []
    read: list[dict[str, Any]] = []

    def fit(network: nn.Module, task: object, *, phase: Phase, started: Any, precision: str, **_: object) -> State:
        calls.append((type(task).__name__, phase.iterations, len(started), precision))
        return State(done=True, history=[{"step": 1, "score": 0.0}])

    def recognition(*parts: Faces, **given: Any) -> Recognition:
        is_low.append(torch.is_autocast_enabled("cpu"))
        return Recognition(*parts, **given)

    def load(path: Path, **given: Any) -> Faces:
        read.append(given)
        return load_faces(path, **given)

    for name, fake in (("fit", fit), ("Recognition", recognition), ("load_faces", load)):
        monkeypatch.setattr(training, name, fake)
    parts = {part: phase(iterations=n) for n, part in enumerate(("sr", "scratch", "tuned", "frozen"), 1)}
    chosen = setup(
        corpus, schedule=replace(schedule(), **parts), every=4, delay_seconds=0.2, precision="bf16", labels=("arousal",)
    )
    trainer = Trainer(chosen, tmp_path)
    for name in ("lr-4", "joint-4", "non-joint-4"):
        trainer.train(get_method(name), seed=0)
    assert calls == [
        ("Recognition", 2, 0, "bf16"),
        ("Reconstruction", 1, 0, "bf16"),
        ("Recognition", 3, 6, "bf16"),
        ("Recognition", 4, 0, "bf16"),
    ]
    assert is_low == [True] * 3
    assert [{name: each[name] for name in ("split", "labels", "every", "delay_seconds")} for each in read] == [
        {"split": "train", "labels": ("arousal",), "every": 4, "delay_seconds": 0.2}
    ]


# Seeds ---------------------------------------------------------------------------------------------------------------


def test_a_seed_gives_the_same_weights_and_log_whatever_was_drawn_before(corpus: Path, tmp_path: Path) -> None:
    first = train(setup(corpus), tmp_path / "1", method=FORGETFUL)
    torch.manual_seed(123)
    again = train(setup(corpus), tmp_path / "2", method=FORGETFUL)
    assert same(weights(first.path), weights(again.path))
    assert log(first.log) == log(again.log)
    assert len(log(first.log)) == 4


def test_another_seed_gives_other_weights(corpus: Path, tmp_path: Path) -> None:
    first, other = (train(setup(corpus), tmp_path, seed=seed) for seed in (0, 1))
    assert first.path != other.path
    assert not any(np.array_equal(value, weights(other.path)[name]) for name, value in weights(first.path).items())


@pytest.mark.parametrize("seed", [-1, 2**32, 10**30])
def test_seeds_beyond_32_bits_are_refused(corpus: Path, tmp_path: Path, seed: int) -> None:
    with pytest.raises(UsageError, match=f"seed {seed}: 0 to 4294967295 are allowed"):
        train(setup(corpus), tmp_path, seed=seed)
    train(setup(corpus), tmp_path, seed=2**32 - 1)


def test_a_method_whose_sr_fcn_became_another_is_not_taken_for_this(real: Real, tmp_path: Path) -> None:
    shutil.copytree(real.out, tmp_path, dirs_exist_ok=True)
    sr = tmp_path / "sr-fcn-4.seed0.safetensors"
    tensors, metadata = read_tensors(sr)
    write_tensors(sr, {name: value + 1 for name, value in tensors.items()}, metadata)
    with pytest.raises(UsageError, match=r"joint-4\.seed0\.safetensors: trained with other settings \(starts_from: "):
        Trainer(real.setup, tmp_path).train(get_method("joint-4"), seed=0)
