"""`codecsim methods` and `codecsim train`: networks from a corpus, and every way in which that is refused."""

import csv
import signal
import sys
from pathlib import Path

import pytest

from codecsim.corpus import CorpusWriter
from recognition.methods import FAMILIES
from recognition.models import load_model, read_provenance, read_tensors
from recognition.schedules import SCHEDULES
from tests.faults.sweeps import ended, names, signal_group, started, wait_for
from tests.pipelines.command import Outcome, codecsim, refusal
from tests.recognition.small import SMALL, write_corpus

SMALL_3 = f"{SMALL}-3"
STEM = f"{SMALL_3}.seed0".replace(":", ".")
pytestmark = pytest.mark.usefixtures("one_thread")

FEW = ("--device", "cpu", "--schedule", "cpu", "--batch", 8)
EVERY = SCHEDULES["cpu"].scratch.check_every


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("learnt") / "corpus.h5")


def train(corpus: Path, out: Path, *arguments: object, method: str = SMALL_3, exit_code: int = 0) -> Outcome:
    return codecsim("train", method, corpus, "--out", out, *FEW, *arguments, exit_code=exit_code)


def log(folder: Path) -> list[dict[str, str]]:
    with (folder / f"{STEM}.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


# What they do --------------------------------------------------------------------------------------------------------


def test_methods_lists_every_family_and_how_to_name_ones_own() -> None:
    said = codecsim("methods", exit_code=0)
    rows = [line.split() for line in said.stdout.splitlines()[2 : 2 + len(FAMILIES)]]
    assert [row[0] for row in rows] == [each.name if each.trained_on else f"{each.name}-s" for each in FAMILIES]
    assert {row[0]: (row[1], row[2]) for row in rows} == {
        "hr": ("1", "–"),
        "lr-s": ("s", "–"),
        "non-joint-s": ("s", "s"),
        "non-joint-image-s": ("s", "s"),
        "joint-s": ("s", "s"),
        "joint-oa": ("3+4+6", "12"),
        "mix": ("3+4+6", "–"),
        "max-only-s": ("s", "12"),
    }
    assert "Any other: package.module:factory" in said.stdout


def test_a_network_of_ones_own_may_lie_in_the_current_folder(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mynet.py").write_text("from tests.recognition.small import SmallNetwork as tiny\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    train(corpus, tmp_path / "out", "--iterations", 1, method="mynet:tiny-4")
    assert (tmp_path / "out" / "mynet.tiny-4.seed0.safetensors").exists()


def test_train_leaves_weights_a_log_and_its_picture_and_a_second_run_trains_nothing(
    corpus: Path, tmp_path: Path
) -> None:
    arguments = ("--seeds", "0-1", "--iterations", EVERY + 10)
    said = train(corpus, tmp_path, *arguments)
    stems = [STEM, STEM.replace("seed0", "seed1")]
    files = [f"{stem}.{kind}" for stem in stems for kind in ("csv", "pdf", "png", "safetensors")]
    assert names(tmp_path) == files
    assert (tmp_path / f"{STEM}.png").read_bytes().startswith(b"\x89PNG")
    rows = [line.split() for line in said.stdout.splitlines()[2:]]
    assert [row[:2] for row in rows] == [[SMALL_3, "0"], [SMALL_3, "1"]]
    assert [row[-1] for row in rows] == [str(tmp_path / f"{stem}.safetensors") for stem in stems]
    best = read_provenance(tmp_path / f"{STEM}.safetensors")["best"]
    assert rows[0][2:5] == [str(best["step"]), f"{best['score']:.3f}", "CCC"]
    told = said.stderr.splitlines()
    looks = (EVERY, EVERY + 10)
    assert [line.split(", loss")[0] for line in told] == [f"{SMALL_3}: step {step} of {looks[1]}" for step in looks] * 2
    assert [row["step"] for row in log(tmp_path)] == list(map(str, looks))
    before = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.iterdir()}
    again = train(corpus, tmp_path, *arguments)
    assert again.stdout == said.stdout
    assert again.stderr == "All of it was there already; --force trains again.\n"
    assert {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.iterdir()} == before


def test_options_reach_the_training(corpus: Path, tmp_path: Path) -> None:
    chosen = ("--labels", "arousal,valence", "--loss", "mse+ccc", "--every", 2, "--delay", 0.1, "--fold", 1)
    train(corpus, tmp_path, *chosen, "--iterations", 2, "--precision", "bf16", "--factors", "4,6", "--seeds", 3)
    found = read_provenance(tmp_path / f"{SMALL}-4+6.seed3.safetensors".replace(":", "."))
    settings = found["settings"]
    assert (found["labels"], settings["loss"], settings["every"]) == (["arousal", "valence"], "mse+ccc", 2)
    assert (settings["delay_seconds"], settings["fold"], settings["precision"]) == (0.1, 1, "bf16")
    assert (settings["phase"]["iterations"], settings["phase"]["batch"]) == (2, 8)
    assert (settings["schedule"], settings["seed"], found["trained_on"]) == ("cpu", 3, [4, 6])


def test_a_method_of_the_paper_is_trained_after_its_sr_fcn(corpus: Path, tmp_path: Path) -> None:
    few = ("--sr-iterations", 1, "--iterations", 1, "--batch", 2, "--every", 4, "--variant", "released")
    said = train(corpus, tmp_path, *few, method="joint-4")
    rows = [line.split() for line in said.stdout.splitlines()[2:]]
    assert [(row[0], row[4]) for row in rows] == [("sr-fcn-4", "dB"), ("joint-4", "CCC")]
    assert "sr-fcn-4: step 1 of 1, loss" in said.stderr
    assert load_model(tmp_path / "joint-4.seed0.safetensors").variant == "released"
    assert (tmp_path / "sr-fcn-4.seed0.png").exists()
    again = train(corpus, tmp_path, *few, method="sr-fcn-4")
    assert "All of it was there already" in again.stderr
    assert [line.split()[0] for line in again.stdout.splitlines()[2:]] == ["sr-fcn-4"]


def test_force_trains_again(corpus: Path, tmp_path: Path) -> None:
    train(corpus, tmp_path, "--iterations", 2)
    train(corpus, tmp_path, "--iterations", 3, "--force")
    assert read_provenance(tmp_path / f"{STEM}.safetensors")["steps"] == 3


# Killed and interrupted ----------------------------------------------------------------------------------------------


def tensors(folder: Path) -> dict[str, bytes]:
    return {name: value.numpy().tobytes() for name, value in read_tensors(folder / f"{STEM}.safetensors")[0].items()}


LOOKS = 4
STEPS = ("--iterations", LOOKS * EVERY, "--batch", 2)


@pytest.fixture(scope="module")
def whole(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a training leaves that nothing happened to."""
    out = tmp_path_factory.mktemp("whole")
    train(corpus, out, *STEPS)
    return out


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_training_that_is_killed_or_interrupted_goes_on_to_the_same_weights_and_log(
    corpus: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    checkpoint = tmp_path / f"{STEM}.checkpoint.safetensors"
    with started("train", SMALL_3, corpus, "--out", tmp_path, *FEW, *STEPS) as process:
        wait_for(checkpoint.exists, "a first look", timeout=60)
        signal_group(process, number)
        stopped = ended(process)
    assert stopped.exit_code == (-9 if number == signal.SIGKILL else 130)
    assert "Traceback" not in stopped.stderr
    assert (number == signal.SIGINT) == stopped.stderr.endswith("the same command takes up where it stopped.\n")
    assert [name for name in names(tmp_path) if not name.startswith(".")] == [checkpoint.name]
    reached = read_tensors(checkpoint)[1]["state"]["step"]
    assert EVERY <= reached < LOOKS * EVERY
    went_on = train(corpus, tmp_path, *STEPS)
    assert went_on.stderr.startswith(f"{SMALL_3}: step {reached + EVERY} of {LOOKS * EVERY}")
    assert names(tmp_path) == names(whole)
    assert tensors(tmp_path) == tensors(whole)
    clock = ("seconds", "frames_per_second")
    rows = [[{name: row[name] for name in row if name not in clock} for row in log(each)] for each in (tmp_path, whole)]
    assert rows[0] == rows[1]


# What is refused -----------------------------------------------------------------------------------------------------

_PARSED = [
    ("--variant", "caffe", "'caffe' is not one of 'paper', 'released'."),
    ("--schedule", "fast", "'fast' is not one of 'paper', 'released', 'gpu', 'cpu'."),
    ("--loss", "mae", "'mae' is not one of 'mse', 'ccc', 'mse+ccc'."),
    ("--precision", "fp16", "'fp16' is not one of 'fp32', 'tf32', 'bf16'."),
    ("--iterations", "0", "0 is not in the range x>=1."),
    ("--sr-iterations", "0", "0 is not in the range x>=1."),
    ("--batch", "0", "0 is not in the range x>=1."),
    ("--every", "0", "0 is not in the range x>=1."),
    ("--fold", "-1", "-1 is not in the range x>=0."),
    ("--delay", "-1", "-1.0 is not in the range x>=0."),
    ("--labels", ",", "no label given; write one, or more with commas between"),
    ("--seeds", "0:2", "seed '0:2': did you mean 0-2? Ranges are written 18-40, 18-40:2 or 18,24,30"),
    ("--seeds", "0.5", "seed 0.5 is not a whole number"),
    ("--factors", "3+4", "factor '3+4' is not a range. Ranges are written 18-40, 18-40:2 or 18,24,30"),
    ("--sr-scale", "x", "'x' is not a valid integer."),
]


@pytest.mark.parametrize(("option", "value", "message"), _PARSED, ids=[f"{o} {v}" for o, v, _ in _PARSED])
def test_values_that_cannot_be_read(corpus: Path, tmp_path: Path, option: str, value: str, message: str) -> None:
    said = codecsim("train", "lr-4", corpus, "--out", tmp_path, option, value, exit_code=2)
    assert said.stderr.startswith("Usage: codecsim train [OPTIONS] METHOD CORPUS\n")
    assert refusal(said) == f"Invalid value for '{option}': {message}"
    assert not list(tmp_path.iterdir())


_FACTORS = "1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 96"
_METHODS = "hr, lr-s, non-joint-s, non-joint-image-s, joint-s, joint-oa, mix, max-only-s"

_REFUSED = [
    ("oracle", f"no method 'oracle'; there are {_METHODS}, s a factor, and package.module:factory"),
    ("joint", "method joint needs a factor: name it joint-4, or give the factors to train on"),
    ("joint-5", f"factor s = 5 does not divide the HR side of 96 pixels; allowed: {_FACTORS}"),
    ("sr-fcn-5", f"factor s = 5 does not divide the HR side of 96 pixels; allowed: {_FACTORS}"),
    ("lr-4 --factors 3,5", f"factor s = 5 does not divide the HR side of 96 pixels; allowed: {_FACTORS}"),
    ("joint-oa --sr-scale 5", f"factor s = 5 does not divide the HR side of 96 pixels; allowed: {_FACTORS}"),
    ("mix --sr-scale 12", "method mix does not start from the SR-FCN of a factor of one's choice"),
    (
        "sr-fcn-4 --factors 3",
        "sr-fcn-4 is trained on the factor in its name; --factors and --sr-scale are for methods",
    ),
    (
        "sr-fcn-4 --sr-scale 3",
        "sr-fcn-4 is trained on the factor in its name; --factors and --sr-scale are for methods",
    ),
    (
        "non-joint --factors 3,4",
        "method non-joint-3+4: its layers of an SR-FCN stay as they are, so it takes one factor",
    ),
    (
        "no_such_package:network-4",
        "method 'no_such_package:network': ModuleNotFoundError (No module named 'no_such_package'); "
        "package.module:factory is needed, importable from here",
    ),
    (f"{SMALL}", f"method {SMALL} needs a factor: name it {SMALL}-4, or give the factors to train on"),
    ("lr-4 --labels joy", "CORPUS: sequence ada_1 has no label 'joy'; it has arousal, smile, valence"),
    ("lr-4 --labels smile", "CORPUS: label 'smile' is a class; labels that are numbers over time are needed"),
    ("lr-4 --delay 9", "CORPUS: no frame of split 'train' is labelled with valence"),
    ("lr-4 --delay nan", "every 1 frames, delay nan s, labels ['valence']: 1, 0 s, one or more"),
    ("lr-4 --fold 2", "fold 2 of 4 subjects: 0 to 1 are allowed"),
    ("lr-4 --seeds 4294967296", "seed 4294967296: 0 to 4294967295 are allowed"),
    ("lr-4 --device tpu", "device 'tpu': auto, cpu, cuda or cuda:NUMBER are allowed"),
    ("lr-4 --precision tf32", "precision tf32 is for GPUs; this is cpu: take fp32, or bf16 where the processor has it"),
]


@pytest.mark.parametrize(("arguments", "message"), _REFUSED, ids=[each[0] for each in _REFUSED])
def test_requests_that_cannot_work(corpus: Path, tmp_path: Path, arguments: str, message: str) -> None:
    method, *options = arguments.split()
    said = codecsim("train", method, corpus, "--out", tmp_path / "out", *FEW, *options, exit_code=2)
    assert refusal(said) == message.replace("CORPUS", str(corpus))
    assert not list(tmp_path.iterdir())


def test_a_corpus_of_too_few_people_or_without_a_train_split(tmp_path: Path) -> None:
    few = write_corpus(tmp_path / "few.h5", people=("ada", "ben", "cy"))
    said = train(few, tmp_path / "out", exit_code=2)
    assert refusal(said) == "3 subjects to train on: a fold would hold fewer than 2; 4 subjects or more are needed"
    none = write_corpus(tmp_path / "none.h5", people=())
    said = train(none, tmp_path / "out", exit_code=2)
    assert refusal(said) == f"{none}: no split 'train'; it has dev"
    with CorpusWriter(tmp_path / "empty.h5"):
        pass
    said = train(tmp_path / "empty.h5", tmp_path / "out", exit_code=2)
    assert refusal(said) == f"{tmp_path / 'empty.h5'}: no split 'train'; it has no sequences"


def test_what_is_no_corpus(small_sweep: Path, tmp_path: Path) -> None:
    assert str(tmp_path / "none.h5") in refusal(train(tmp_path / "none.h5", tmp_path / "out", exit_code=1))
    assert "codecsim-sweep" in refusal(train(small_sweep, tmp_path / "out", exit_code=1))
    (tmp_path / "text.h5").write_text("valence")
    assert str(tmp_path / "text.h5") in refusal(train(tmp_path / "text.h5", tmp_path / "out", exit_code=1))
    assert names(tmp_path) == ["text.h5"]


def test_weights_of_other_settings_are_kept(corpus: Path, tmp_path: Path) -> None:
    train(corpus, tmp_path, "--iterations", 2)
    before = (tmp_path / f"{STEM}.safetensors").read_bytes()
    said = train(corpus, tmp_path, "--iterations", 2, "--loss", "ccc", exit_code=2)
    assert refusal(said) == (
        f"{tmp_path / STEM}.safetensors: trained with other settings (loss: mse then, ccc now); "
        "name another folder, or --force"
    )
    assert (tmp_path / f"{STEM}.safetensors").read_bytes() == before


def test_files_in_the_place_of_weights_that_are_none(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / f"{STEM}.safetensors").write_bytes(b"\x80\x04pickle")
    message = refusal(train(corpus, tmp_path, "--iterations", 2, exit_code=1))
    assert message.startswith(f"{tmp_path / STEM}.safetensors: a pickle, as torch.save writes it")


def test_a_folder_that_cannot_be_written(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    said = train(corpus, tmp_path / "file" / "out", "--iterations", 2, exit_code=1)
    *told, message = said.stderr.splitlines()
    assert [line.split(",")[0] for line in told] == [f"{SMALL_3}: step 2 of 2"]
    assert message.startswith(f"Error: cannot write {tmp_path / 'file' / 'out' / STEM}.checkpoint.safetensors: Not a")
