"""Table 1: what is trained and tested, what the table says of it, and the whole command."""

import csv
import io
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from codecsim.corpus import CorpusWriter
from codecsim.errors import TrainingError
from pipelines.comparison import Cell
from pipelines.predictions import read_predictions, read_truth, write_predictions, write_truth
from pipelines.published import table1 as published
from pipelines.table1 import as_csv, as_markdown, as_text, summarise
from recognition.methods import Method
from recognition.metrics import ccc, rmse, score
from recognition.training import Trained, Trainer
from tests.pipelines.command import Outcome, codecsim, refusal
from tests.pipelines.compared import SETTINGS, comparison

_TINY = ("--iterations", 2, "--sr-iterations", 2, "--batch", 4, "--scales", 4, "--device", "cpu")


def write_faces(path: Path, rng: np.random.Generator) -> Path:
    """Six people to train on and three to test on, whose valence is how bright they are."""
    with CorpusWriter(path) as writer:
        for split, number in (("train", 6), ("dev", 3)):
            for person in range(number):
                with writer.sequence(f"{split}_{person}", fps=25, subject=f"{split}_{person}", split=split) as sequence:
                    valence = rng.uniform(-1, 1, 6).astype(np.float32)
                    for t, value in enumerate(valence):
                        noise = rng.normal(0, 20, (96, 96))
                        sequence.append((128 + 60 * value + noise).clip(0, 255).astype(np.uint8), pts_seconds=t / 25)
                    sequence.labels("valence", valence)
    return path


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_faces(tmp_path_factory.mktemp("faces") / "faces.h5", np.random.default_rng(4))


@pytest.fixture(scope="module")
def first(faces: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    """A table of three methods and two seeds, and what its command said: for `table` to copy, never written to."""
    out = tmp_path_factory.mktemp("first") / "table"
    given = ("--out", out, "--methods", "lr,joint,mix", "--seeds", "0-1", *_TINY)
    return out, codecsim("table1", faces, *given, exit_code=0)


@pytest.fixture
def table(first: tuple[Path, Outcome], tmp_path: Path) -> Path:
    """A copy of the folder of that table, with its networks and predictions."""
    return Path(shutil.copytree(first[0], tmp_path / "table"))


def _told(out: Path, name: str) -> npt.NDArray[np.float32]:
    """Predictions that a table keeps, at s = 4."""
    kept = read_predictions(out / "predictions" / f"{name}.npz")
    assert kept is not None
    return kept.predicted[4]


def _mark(out: Path, name: str) -> npt.NDArray[np.float32]:
    """Change predictions that a table keeps, and give the changed ones."""
    path = out / "predictions" / f"{name}.npz"
    kept = read_predictions(path)
    assert kept is not None
    changed = kept.predicted[4] + np.float32(1)
    write_predictions(path, replace(kept, predicted={4: changed}))
    return changed


def test_entries_are_means_over_seeds_with_the_interval_of_students_t() -> None:
    compared = comparison()
    column = next(each for each in summarise(compared, (3,)).columns if each.name == "lr-3")
    values = np.array([ccc(one[:, 0], compared.truth.targets[:, 0]) for one in compared.cells[2].predicted])
    entry = column.entries["ccc"]
    assert entry.mean == pytest.approx(values.mean(), abs=1e-12)
    # Two seeds: one degree of freedom, t = tan(0.475 π).
    assert entry.half_width == pytest.approx(math.tan(0.475 * math.pi) * abs(values[0] - values[1]) / 2, rel=1e-9)
    assert entry.interval.low < entry.mean < entry.interval.high
    first = score(
        compared.cells[2].predicted[0, :, 0], compared.truth.targets[:, 0], recordings=compared.truth.recordings
    )
    second = score(
        compared.cells[2].predicted[1, :, 0], compared.truth.targets[:, 0], recordings=compared.truth.recordings
    )
    assert entry.per_recording == pytest.approx((first.ccc_recording + second.ccc_recording) / 2)
    assert entry.within == pytest.approx((first.ccc_within + second.ccc_within) / 2)


def test_of_a_single_seed_the_interval_over_subjects_is_told() -> None:
    compared = comparison()
    alone = replace(
        compared, seeds=(0,), cells=tuple(replace(each, predicted=each.predicted[:1]) for each in compared.cells)
    )
    summary = summarise(alone, (3,))
    assert all(math.isnan(each.entries["ccc"].half_width) for each in summary.columns)
    assert "±" not in as_text(summary)
    lr = next(each.entries["ccc"] for each in summary.columns if each.name == "lr-3")
    shown = f"{lr.mean:.3f} [{lr.interval.low:.2f}, {lr.interval.high:.2f}]"
    assert shown in as_text(summary)
    assert f" {shown} |" in as_markdown(summary, ())
    assert "One seed; 95 % intervals over subjects in brackets; **best**" in as_markdown(summary, ())
    assert "Differences with 95 % intervals over subjects (10 000 paired resamples)." in as_markdown(summary, ())
    assert "what a step gains in CCC, over subjects\n" in as_text(summary)
    assert "what a step gains in CCC, over subjects and seeds\n" in as_text(summarise(compared, (3,)))
    assert "Means over seeds ± half of their 95 % interval (Student's t); **best**" in as_markdown(
        summarise(compared, (3,)), ()
    )


def test_the_best_method_is_marked_and_the_ceiling_is_no_rival() -> None:
    summary = summarise(comparison(), (3,))
    for measure in ("rmse", "cc", "ccc", "ccc_within"):
        best = summary.best("valence", 3, measure)
        assert best is not None
        assert best.name == "joint-3"
    marked = [line for line in as_text(summary).splitlines() if "*" in line]
    assert len(marked) == 4


def test_a_method_without_a_defined_measure_is_not_the_best() -> None:
    compared = comparison()
    still = Cell("lr", "lr-3", 3, np.zeros((2, 150, 1)), SETTINGS)
    summary = summarise(replace(compared, cells=(*compared.cells[:2], still)), (3,))
    best = summary.best("valence", 3, "ccc")
    assert best is not None
    assert best.name == "joint-3"
    assert "nan" in as_text(summary)


def test_gains_are_differences_of_means_with_intervals() -> None:
    compared = comparison()
    (gain,) = summarise(compared, (3,)).gains
    assert (gain.a, gain.b, gain.s) == ("joint-3", "lr-3", 3)
    means = {
        cell.family: np.mean([ccc(one[:, 0], compared.truth.targets[:, 0]) for one in cell.predicted])
        for cell in compared.cells
    }
    found = gain.differences["ccc"]
    assert found.estimate == pytest.approx(means["joint"] - means["lr"], abs=1e-12)
    assert 0 < found.low < found.estimate < found.high
    assert found.better == 1


def test_published_figures_stand_beside_those_of_avec2016_alone() -> None:
    own, others = (as_text(summarise(comparison(is_avec2016=flag), (3,))) for flag in (True, False))
    assert "paper" not in others
    (line,) = [line for line in own.splitlines() if line.startswith("CCC, paper")]
    assert line.split()[2:] == ["0.325", "0.302", "0.323"]  # hr, lr-3, joint-3


def test_published_figures() -> None:
    assert published("hr", 1) == {"rmse": 0.146, "cc": 0.430, "ccc": 0.325}
    assert published("joint-oa", 16) == {"rmse": 0.132, "cc": 0.273, "ccc": 0.172}
    assert published("lr", 6) == {"rmse": 0.149, "cc": 0.300, "ccc": 0.263}
    assert published("mix", 3) is None
    assert published("lr", 5) is None


def test_the_csv_holds_every_figure() -> None:
    summary = summarise(comparison(), (3,))
    rows = list(csv.DictReader(io.StringIO(as_csv(summary))))
    assert len(rows) == 3 * 4 + 4
    lr = next(row for row in rows if row["method"] == "lr-3" and row["measure"] == "rmse")
    compared = summary.comparison
    expected = np.mean([rmse(one[:, 0], compared.truth.targets[:, 0]) for one in compared.cells[2].predicted])
    assert float(lr["mean"]) == pytest.approx(expected, rel=1e-5)
    assert next(row for row in rows if row["method"] == "joint-3 - lr-3")["measure"] == "rmse"


def test_the_whole_command_trains_tests_and_writes_once(faces: Path, first: tuple[Path, Outcome], table: Path) -> None:
    (_, said), out = first, table
    assert "valence, s = 4" in said.stdout
    assert "joint-4 − lr-4" in said.stdout
    assert "step 2 of 2" in said.stderr
    networks = sorted(path.name for path in out.glob("*.safetensors"))
    names = ["joint-4", "lr-4", "mix", "sr-fcn-4"]
    assert networks == sorted(f"{name}.seed{seed}.safetensors" for name in names for seed in (0, 1))
    assert (out / "table1.png").read_bytes().startswith(b"\x89PNG")
    assert (out / "table1.pdf").read_bytes().startswith(b"%PDF")
    written = (out / "table1.md").read_text()
    assert "seeds 0, 1" in written
    assert _told(out, "mix.seed0.dev").shape == (18, 1)  # 3 people × 6 frames

    command = ("table1", faces, "--out", out, "--methods", "lr,joint,mix", "--seeds", "0-1", *_TINY)
    again = codecsim(*command, exit_code=0)
    assert "step" not in again.stderr
    assert again.stdout == said.stdout.replace(str(first[0]), str(out))
    rows = list(csv.DictReader(io.StringIO((out / "table1.csv").read_text())))
    told = np.stack([_told(out, f"lr-4.seed{seed}.dev") for seed in (0, 1)])
    target = _targets(faces)
    expected = np.mean([rmse(one[:, 0], target) for one in told])
    found = next(row for row in rows if row["method"] == "lr-4" and row["measure"] == "rmse")
    assert float(found["mean"]) == pytest.approx(expected, rel=1e-5)


def test_a_corpus_that_is_refused_leaves_the_table_as_it_was(table: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in table.rglob("*") if path.is_file()}
    other = write_faces(tmp_path / "other.h5", np.random.default_rng(5))
    given = ("--out", table, "--methods", "mix,lr,joint", "--seeds", "0-1", *_TINY)
    said = refusal(codecsim("table1", other, *given))
    assert "mix.seed0.safetensors: trained with other settings (corpus_digest: " in said
    assert {path: path.read_bytes() for path in table.rglob("*") if path.is_file()} == before


def test_predictions_of_another_label_are_not_measured_against_this_one(table: Path) -> None:
    path = table / "predictions" / "lr-4.seed1.dev.npz"
    kept = read_predictions(path)
    assert kept is not None
    settings = {**kept.made_by["settings"], "labels": ["arousal"]}
    write_predictions(path, replace(kept, made_by={**kept.made_by, "settings": settings}))
    given = ("--out", table, "--methods", "lr", "--seeds", "0-1", "--scales", 4)
    assert refusal(codecsim("table1", *given)) == f"{path}: told arousal, not valence as the others"


def test_predictions_are_made_anew_for_other_networks(faces: Path, table: Path) -> None:
    command = ("table1", faces, "--out", table, "--methods", "lr", "--seeds", "0", *_TINY)
    marked = _mark(table, "lr-4.seed0.dev")
    codecsim(*command, exit_code=0)
    assert np.array_equal(_told(table, "lr-4.seed0.dev"), marked)
    codecsim(*command, "--loss", "ccc", "--force", exit_code=0)
    assert not np.array_equal(_told(table, "lr-4.seed0.dev"), marked)


def test_a_table_is_made_again_of_its_predictions_alone(faces: Path, table: Path) -> None:
    command = ("table1", faces, "--out", table, "--methods", "lr,joint", "--seeds", "0", *_TINY)
    said = codecsim(*command, "--postprocess", exit_code=0)
    for path in table.glob("*.*"):
        path.unlink()
    again = codecsim(*command, "--postprocess", exit_code=0)
    assert again.stdout == said.stdout
    assert "step" not in again.stderr
    assert not list(table.glob("*.safetensors"))


@pytest.mark.parametrize("other", [("--loss", "ccc"), ("--test-every", 2), ("--scales", 3), ("--force",)])
def test_predictions_of_something_else_do_not_stand_for_a_network(
    faces: Path, table: Path, other: tuple[str, ...]
) -> None:
    command = ("table1", faces, "--out", table, "--methods", "mix", "--seeds", "0", *_TINY)
    (table / "mix.seed0.safetensors").unlink()
    assert "step" not in codecsim(*command, exit_code=0).stderr
    assert "step 2 of 2" in codecsim(*command, *other, exit_code=0).stderr


def test_damaged_predictions_are_told(faces: Path, table: Path) -> None:
    command = ("table1", faces, "--out", table, "--methods", "lr", "--seeds", "0", *_TINY)
    path = table / "predictions" / "lr-4.seed0.dev.npz"
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"", b"no zip"):
        path.write_bytes(damaged)
        assert "lr-4.seed0.dev.npz: no predictions, or damaged" in refusal(codecsim(*command))
    np.savez(path, s4=np.zeros((18, 1)))
    assert "remove it to have them made again" in refusal(codecsim(*command))
    path.unlink()
    codecsim(*command, exit_code=0)


def test_a_table_is_made_again_without_corpus_or_network(faces: Path, table: Path) -> None:
    options = ("--out", table, "--methods", "joint", "--seeds", "0-1", *_TINY, "--test-every", 2)
    said = codecsim("table1", faces, *options, "--postprocess", exit_code=0)
    for path in table.glob("*.*"):
        path.unlink()
    again = codecsim("table1", *options, "--postprocess", exit_code=0)
    assert again.stdout == said.stdout
    assert again.stderr == ""
    written = (table / "table1.md").read_text()
    assert (
        "9 frames tested (one in 2); networks `paper`, schedule `cpu` (steps × frames: SR-FCN 2 × 16, joint 2 × 4"
        in written
    )


def test_methods_that_were_not_tested_with_every_seed_are_told(table: Path) -> None:
    options = ("--out", table, "--methods", "lr,mix", "--seeds", "0-1", *_TINY)
    (table / "predictions" / "mix.seed1.dev.npz").unlink()
    said = codecsim("table1", *options, exit_code=0)
    assert said.stderr.strip() == "Not tested with every seed, and left out: mix at s = 4"
    assert "mix" not in said.stdout
    assert "left out: mix at s = 4." in (table / "table1.md").read_text()
    said = codecsim("table1", *options, "--scales", 3)
    assert "of these methods and seeds no predictions are kept; name a corpus" in refusal(said)


def test_without_a_corpus_the_frames_must_be_those_that_were_kept(table: Path, tmp_path: Path) -> None:
    given = ("--methods", "lr", "--seeds", "0", *_TINY)
    nowhere = refusal(codecsim("table1", "--out", tmp_path / "nowhere", *given))
    assert "truth.dev.npz: no such file; it is written where" in nowhere
    options = ("--out", table, *given)
    path = table / "predictions" / "truth.dev.npz"
    truth = read_truth(path)
    assert truth is not None
    write_truth(path, replace(truth, frames="0" * 64))
    assert "lr-4.seed0.dev.npz: told of other frames than the rest" in refusal(codecsim("table1", *options))
    np.savez(path, targets=truth.targets)
    assert "truth.dev.npz: no predictions, or damaged (it lacks corpus, every" in refusal(codecsim("table1", *options))


def test_what_a_network_tells_is_kept_before_the_next_is_trained(
    faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "table"
    train = Trainer.train

    def first_only(self: Trainer, method: Method, *, seed: int) -> list[Trained]:
        if method.name == "mix":
            raise TrainingError("the power is gone")
        return train(self, method, seed=seed)

    monkeypatch.setattr(Trainer, "train", first_only)
    said = codecsim("table1", faces, "--out", out, "--methods", "lr,mix", "--seeds", "0", *_TINY)
    assert said.stderr.endswith("Error: the power is gone\n")
    assert _told(out, "lr-4.seed0.dev").shape == (18, 1)


def test_post_processing_is_fitted_on_the_fold_and_told(faces: Path, table: Path) -> None:
    command = ("table1", faces, "--out", table, "--methods", "lr", "--seeds", "0", *_TINY)
    plain = codecsim(*command, exit_code=0)
    chained = codecsim(*command, "--postprocess", exit_code=0)
    written = (table / "table1.md").read_text()
    assert "lr-4 at s = 4, valence, seed 0:" in written
    assert "post-processed as listed below" in written
    assert _told(table, "lr-4.seed0.fold").shape == (12, 1)  # two of six people
    assert chained.stdout != plain.stdout


def test_refusals(faces: Path, tmp_path: Path) -> None:
    def said(*arguments: object) -> str:
        return refusal(codecsim("table1", faces, "--out", tmp_path / "t", *arguments))

    assert "no split 'test'" in said("--split", "test", "--methods", "lr", "--seeds", "0", *_TINY)
    assert "no method 'srcnn'" in said("--methods", "srcnn", *_TINY)
    assert "has no label 'arousal'; it has valence" in said("--labels", "arousal", "--methods", "lr", *_TINY)
    assert "factor s = 5 does not divide" in said("--methods", "lr", *_TINY, "--scales", 5)


def _targets(path: Path) -> np.ndarray:
    from codecsim.corpus import Corpus

    with Corpus(path) as corpus:
        return np.concatenate(
            [corpus.labels(each.name, "valence") for each in corpus.sequences() if each.split == "dev"]
        )
