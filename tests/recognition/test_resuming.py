"""Training that is stopped goes on to the same weights; what is there is not trained again, and errors lose nothing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from codecsim.errors import StoreError, TrainingError, UsageError
from recognition import training
from recognition.checkpoints import load_checkpoint, save_checkpoint
from recognition.loop import Moment, State
from recognition.methods import get_method
from recognition.models import read_provenance, read_tensors, write_tensors
from recognition.tasks import Recognition
from recognition.training import Trainer
from tests.recognition.small import schedule, setup, write_corpus
from tests.recognition.trainings import (
    FORGETFUL,
    STEM,
    StoppedError,
    log,
    names,
    same,
    stop,
    stop_at,
    train,
    weights,
)


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


@pytest.mark.parametrize(
    ("tensor", "name", "value"),
    [("__dict__/step", "step", 7), ("history/0", "step", 7), ("network/x", "step", "7"), ("network/x", "history", {})],
)
def test_a_checkpoint_that_is_no_state_is_refused(tmp_path: Path, tensor: str, name: str, value: object) -> None:
    path = tmp_path / "c.safetensors"
    save_checkpoint(path, State(step=7), {"seed": 1})
    about = read_tensors(path)[1]
    write_tensors(path, {tensor: torch.zeros(1)}, {**about, "state": {**about["state"], name: value}})
    with pytest.raises(StoreError, match=r"c\.safetensors: no checkpoint of codecsim, or damaged"):
        load_checkpoint(path, {"seed": 1})


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
