"""From a method and a corpus to weights in a folder: resumable, repeatable, never trained twice."""

import csv
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from codecsim.corpus import Corpus, corpus_digest
from codecsim.errors import StoreError, TrainingError, UsageError
from recognition import training
from recognition.checkpoints import load_checkpoint, save_checkpoint
from recognition.data import Faces, hold_out, load_faces
from recognition.loop import Moment, State
from recognition.methods import get_method
from recognition.metrics import ccc
from recognition.models import load_model, read_provenance, read_tensors, write_tensors
from recognition.networks import ValenceCNN
from recognition.resampling import as_received, luma
from recognition.schedules import Phase
from recognition.tasks import Recognition
from recognition.training import Setup, Trained, Trainer
from tests.pipelines.command import ROOT, environment
from tests.recognition.small import SMALL, SmallNetwork, phase, schedule, setup, write_corpus

SMALL_3 = f"{SMALL}-3"
STEM = SMALL_3.replace(":", ".")


class Forgetful(SmallNetwork):
    """The small network with something drawn at random at every step."""

    def forward(self, x: Tensor) -> Tensor:
        told: Tensor = self.tell(nn.functional.dropout(torch.relu(self.look(x)).flatten(1), 0.5, self.training))
        return told


FORGETFUL = f"{__name__}:Forgetful-3"


def weights(path: Path) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in read_tensors(path)[0].items()}


def log(path: Path) -> list[dict[str, str]]:
    """The rows of a log without what a clock says."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [{name: row[name] for name in row if name not in ("seconds", "frames_per_second")} for row in rows]


def same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(value, other[name]) for name, value in one.items())


def train(chosen: Setup, out: Path, *, method: str = SMALL_3, seed: int = 0, **options: Any) -> Trained:
    return Trainer(chosen, out, **options).train(get_method(method), seed=seed)[-1]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# Methods of the paper ------------------------------------------------------------------------------------------------


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


# Taking up again -----------------------------------------------------------------------------------------------------


class StoppedError(Exception):
    """Training that someone stopped."""


def stop(*_: object) -> None:
    raise StoppedError


def stop_at(look: int) -> Callable[[str, Moment], None]:
    seen: list[Moment] = []

    def report(_: str, moment: Moment) -> None:
        seen.append(moment)
        if len(seen) > look:
            raise StoppedError

    return report


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_training_that_is_stopped_after_every_look_comes_to_the_same_weights_and_log(
    corpus: Path, tmp_path: Path, precision: str
) -> None:
    chosen = setup(corpus, precision=precision)
    whole = train(chosen, tmp_path / "whole", method=FORGETFUL)
    for _ in range(len(log(whole.log)) - 1):
        with pytest.raises(StoppedError):
            train(chosen, tmp_path / "stopped", method=FORGETFUL, report=stop_at(1))
        assert names(tmp_path / "stopped") == [f"{whole.path.stem}.checkpoint.safetensors"]
    moments: list[Moment] = []
    done = train(chosen, tmp_path / "stopped", method=FORGETFUL, report=lambda _, moment: moments.append(moment))
    assert [moment.step for moment in moments] == [8]
    assert same(weights(done.path), weights(whole.path))
    assert log(done.log) == log(whole.log)
    assert names(tmp_path / "stopped") == names(tmp_path / "whole")


def test_what_a_killed_process_was_writing_is_cleared_away(corpus: Path, tmp_path: Path) -> None:
    for kind in ("safetensors", "csv", "checkpoint.safetensors"):
        (tmp_path / f".{STEM}.seed0.{kind}.999999999.tmp").write_text("half")
    train(setup(corpus), tmp_path)
    assert names(tmp_path) == [f"{STEM}.seed0.csv", f"{STEM}.seed0.safetensors"]


def test_training_that_was_stopped_before_its_weights_were_written_only_writes_them(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(setup(corpus), tmp_path / "whole")
    with monkeypatch.context() as patched:
        patched.setattr(training, "save_model", stop)
        with pytest.raises(StoppedError):
            train(setup(corpus), tmp_path / "stopped")
    done = train(setup(corpus), tmp_path / "stopped", report=stop)
    assert same(weights(done.path), weights(whole.path))
    assert log(done.log) == log(whole.log)


def test_a_checkpoint_of_other_settings_is_not_gone_on_from(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(StoppedError):
        train(setup(corpus), tmp_path, report=stop_at(1))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(UsageError, match=r"training began with other settings \(loss: mse then, ccc now\); .*--force"):
        train(setup(corpus, loss="ccc"), tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    forced = train(setup(corpus, loss="ccc"), tmp_path, force=True)
    fresh = train(setup(corpus, loss="ccc"), tmp_path / "fresh")
    assert same(weights(forced.path), weights(fresh.path))


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-100]),
        lambda path: path.write_bytes(b"\0" * 500),
        lambda path: write_tensors(path, read_tensors(path)[0], {"settings": {}}),
        lambda path: write_tensors(path, read_tensors(path)[0], {**read_tensors(path)[1], "settings": "none"}),
        lambda path: write_tensors(path, {"elsewhere/x": torch.zeros(1)}, read_tensors(path)[1]),
    ],
    ids=["cut", "zeros", "no state", "no settings", "other tensors"],
)
def test_a_damaged_checkpoint_is_refused_until_training_begins_again(
    corpus: Path, tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    with pytest.raises(StoppedError):
        train(setup(corpus), tmp_path, report=stop_at(1))
    damage(tmp_path / f"{STEM}.seed0.checkpoint.safetensors")
    with pytest.raises(StoreError, match=r"checkpoint\.safetensors: "):
        train(setup(corpus), tmp_path)
    assert train(setup(corpus), tmp_path, force=True).is_new


def test_a_checkpoint_of_a_network_that_was_changed_since_is_refused(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(StoppedError):
        train(setup(corpus), tmp_path, report=stop_at(1))
    path = tmp_path / f"{STEM}.seed0.checkpoint.safetensors"
    write_tensors(path, {"network/tell.weight": torch.zeros(1, 7)}, read_tensors(path)[1])
    with pytest.raises(UsageError, match=r"training began with another network \(.*tell\.weight.*\); --force"):
        train(setup(corpus), tmp_path)


def test_a_checkpoint_holds_all_of_a_state(tmp_path: Path) -> None:
    state = State(step=7, best=0.5, waited=1, drops=2, done=True, history=[{"step": 7, "score": float("nan")}])
    for index, group in enumerate(("network", "best_network", "momentum")):
        getattr(state, group)["layer.weight"] = torch.full((2, 3), float(index))
    save_checkpoint(tmp_path / "c.safetensors", state, {"seed": 1})
    found = load_checkpoint(tmp_path / "c.safetensors", {"seed": 1})
    assert repr(found) == repr(state)
    assert load_checkpoint(tmp_path / "none.safetensors", {"seed": 1}) is None


# What is there already -----------------------------------------------------------------------------------------------


def test_what_is_there_is_not_trained_again(corpus: Path, tmp_path: Path) -> None:
    first = train(setup(corpus), tmp_path)
    before = first.path.read_bytes()
    again = train(setup(corpus), tmp_path, report=stop_at(0))
    assert (first.is_new, again.is_new) == (True, False)
    assert (again.path, again.log) == (first.path, first.log)
    assert first.path.read_bytes() == before


_CHANGES: list[tuple[dict[str, Any], str]] = [
    ({"loss": "mse+ccc"}, r"loss: mse then, mse\+ccc now"),
    ({"labels": ("arousal",)}, r"labels: \['valence'\] then, \['arousal'\] now"),
    ({"variant": "released"}, "variant: paper then, released now"),
    ({"every": 2}, "every: 1 then, 2 now"),
    ({"delay_seconds": 0.1}, "delay_seconds: 0.0 then, 0.1 now"),
    ({"fold": 1}, "fold: 0 then, 1 now"),
    ({"precision": "bf16"}, "precision: fp32 then, bf16 now"),
    ({"schedule": schedule(batch=3)}, "phase: {.*'batch': 4.*} then, {.*'batch': 3.*} now"),
]


@pytest.mark.parametrize(("change", "message"), _CHANGES, ids=[next(iter(change)) for change, _ in _CHANGES])
def test_weights_of_other_settings_are_not_taken_for_these(
    corpus: Path, small_trained: Path, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(
        UsageError, match=rf"trained with other settings \({message}\); name another folder, or --force"
    ):
        train(setup(corpus, **change), small_trained)


@pytest.fixture(scope="module")
def small_trained(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained")
    train(setup(corpus), out)
    return out


def test_weights_of_another_corpus_are_not_taken_for_these(small_trained: Path, tmp_path: Path) -> None:
    other = write_corpus(tmp_path / "other.h5", n_frames=7)
    with pytest.raises(UsageError, match="trained with other settings \\(corpus_digest: "):
        train(setup(other), small_trained)


def test_a_method_whose_sr_fcn_became_another_is_not_taken_for_this(real: Real, tmp_path: Path) -> None:
    shutil.copytree(real.out, tmp_path, dirs_exist_ok=True)
    sr = tmp_path / "sr-fcn-4.seed0.safetensors"
    tensors, metadata = read_tensors(sr)
    write_tensors(sr, {name: value + 1 for name, value in tensors.items()}, metadata)
    with pytest.raises(UsageError, match=r"joint-4\.seed0\.safetensors: trained with other settings \(starts_from: "):
        Trainer(real.setup, tmp_path).train(get_method("joint-4"), seed=0)


def test_force_trains_again_and_networks_of_many_methods_once(corpus: Path, tmp_path: Path) -> None:
    few = schedule(iterations=1, batch=1, check_frames=2)
    chosen = setup(corpus, schedule=few, every=4)
    made = [get_method("joint-4"), get_method("max-only-4", sr_scale=4)]
    for force in (False, True):
        trainer = Trainer(chosen, tmp_path, force=force)
        news = [[each.is_new for each in trainer.train(method, seed=0)] for method in made]
        assert news == [[True, True], [False, True]]
    again = Trainer(chosen, tmp_path)
    assert not any(each.is_new for method in made for each in again.train(method, seed=0))


# What goes astray ----------------------------------------------------------------------------------------------------


def test_a_loss_that_is_no_number_leaves_the_checkpoint_before_it(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    factors = iter([1, 1, 1, 1, float("nan")])
    plain = Recognition.loss
    monkeypatch.setattr(Recognition, "loss", lambda *given: plain(*given) * next(factors, 1))
    with pytest.raises(TrainingError, match=r"the loss is nan at step 5; the checkpoint of step 4 is kept\."):
        train(setup(corpus), tmp_path)
    assert names(tmp_path) == [f"{STEM}.seed0.checkpoint.safetensors"]
    assert read_tensors(tmp_path / names(tmp_path)[0])[1]["state"]["step"] == 4


def test_the_best_look_is_a_number_where_one_is(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = iter([float("nan"), 0.1, 0.3, 0.2])
    monkeypatch.setattr(Recognition, "check", lambda self, network: {"score": next(scores)})
    assert read_provenance(train(setup(corpus), tmp_path).path)["best"]["score"] == 0.3


def test_a_loss_or_variant_or_precision_that_is_not_there_is_refused(corpus: Path, tmp_path: Path) -> None:
    for change, message in (
        ({"loss": "mae"}, "no loss 'mae'"),
        ({"variant": "caffe"}, "no variant 'caffe'"),
        ({"precision": "fp8"}, "no precision 'fp8'; there are fp32, tf32, bf16"),
        ({"precision": "tf32"}, "precision tf32 is for GPUs; this is cpu"),
        ({"device": "cuda:99"}, "device 'cuda:99': torch .* finds . GPUs here; take cpu or auto"),
        ({"device": "gpu"}, "device 'gpu': auto, cpu, cuda or cuda:NUMBER are allowed"),
        ({"device": "meta"}, "device 'meta': auto, cpu, cuda or cuda:NUMBER are allowed"),
    ):
        with pytest.raises(UsageError, match=message):
            train(setup(corpus, **change), tmp_path)
    assert not list(tmp_path.iterdir())


# Other people's networks ---------------------------------------------------------------------------------------------


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
