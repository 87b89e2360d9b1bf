"""`--loss` of `codecsim sweep` and `codecsim evaluate`, and the figure of losses, as whole commands."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from codecsim.store import Sweep
from codecsim.store.verify import verify
from tests.pipelines.command import Outcome, codecsim, refusal
from tests.pipelines.readers import SMALL_3, SMALL_4, SMALL_HR, save_small, write_corpus

pytestmark = pytest.mark.usefixtures("one_thread")

NETWORKS = f"{SMALL_3},{SMALL_4},{SMALL_HR}"
LOSSES = "0,0.1,0.3"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("losses")
    write_corpus(folder / "corpus.h5")
    for name in (SMALL_3, SMALL_4, SMALL_HR):
        save_small(folder / "models", name)
    return folder


def sweep(folder: Path, out: Path, *options: object) -> Outcome:
    readers = ("--methods", NETWORKS, "--models", folder / "models", "--every", 2)
    return codecsim("sweep", folder / "corpus.h5", "--out", out, "--qp", "20,32", *readers, *options, exit_code=0)


def evaluate(folder: Path, out: Path, *options: object) -> Outcome:
    given = ("--methods", NETWORKS, "--models", folder / "models", "--corpus", folder / "corpus.h5", "--no-plot")
    return codecsim("evaluate", out, *given, *options, exit_code=0)


@pytest.fixture(scope="module")
def made(folder: Path) -> tuple[Path, Outcome]:
    out = folder / "results" / "sweep.h5"
    return out, sweep(folder, out, "--loss", LOSSES)


def rows(sweep_file: Path) -> list[dict[str, str]]:
    with sweep_file.with_suffix(".curves.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def numbers(sweep_file: Path, loss: float) -> dict[tuple[str, str, str], list[float]]:
    """What networks told of streams at a loss rate, by sequence, key and method."""
    with Sweep(sweep_file) as opened:
        told = opened.predictions
        chosen = np.flatnonzero((told["loss"] == loss) & (told["key"] != "")).tolist()
        starts = told["offset"].tolist()
        return {
            tuple(str(told[name][row]) for name in ("sequence", "key", "method")): opened.predicted_between(  # type: ignore[misc]
                starts[row], starts[row] + int(told["n_values"][row])
            ).tolist()
            for row in chosen
        }


def test_curves_stand_at_every_loss_rate_beside_those_of_whole_streams(made: tuple[Path, Outcome]) -> None:
    out, said = made
    assert "networks were shown one frame in 2; 51 readings new" in said.stdout  # 15 uncoded, 12 streams, 3 rates
    assert verify(out) == []
    table = rows(out)
    points = [row for row in table if row["value"] != "none"]
    found = {(row["reference"], row["method"], row["value"], row["loss"]) for row in points}
    assert len(found) == len(points) == 2 * 2 * 2 * 3
    assert {row["loss"] for row in table if row["value"] == "none"} == {"0"}
    assert {(row["concealed"], row["damaged"]) for row in points if row["loss"] == "0"} == {("0", "0")}
    lost = [row for row in points if row["loss"] == "0.3"]
    assert all(0 < float(row["concealed"]) < 0.6 for row in lost)
    assert all(float(row["damaged"]) > 0.2 for row in lost)
    assert {row["loss_seed"] for row in lost} == {"0"}
    header = next(line for line in said.stdout.splitlines() if "method" in line and "CCC uncompressed" in line)
    assert header.split()[0] == "loss"
    for name in ("sweep.loss.png", "sweep.loss.pdf", "sweep.fidelity-loss.png"):
        assert str(out.with_name(name)) in said.stdout
        assert out.with_name(name).exists()


def test_whole_streams_give_what_they_give_without_losses(
    made: tuple[Path, Outcome], folder: Path, tmp_path: Path
) -> None:
    whole = tmp_path / "sweep.h5"
    sweep(folder, whole, "--no-plot")
    assert {row["loss"] for row in rows(whole)} == {"0"}
    kept = [row for row in rows(made[0]) if row["loss"] == "0"]
    for row, expected in zip(kept, rows(whole), strict=True):
        assert row.keys() == expected.keys()
        for name in ("method", "value", "reference", "on_hull", "bpp_hr"):
            assert row[name] == expected[name]
        assert float(row["ccc"]) == pytest.approx(float(expected["ccc"]), abs=1e-4)
    said = evaluate(folder, whole, "--loss", "0.1,0.3")
    assert "24 readings new" in said.stdout
    for loss in (0.1, 0.3):
        expected_told = numbers(made[0], loss)
        told = numbers(whole, loss)
        assert told.keys() == expected_told.keys()
        for key, values in told.items():
            np.testing.assert_allclose(values, expected_told[key], rtol=0, atol=1e-5)


def test_the_same_again_reads_nothing_and_adds_nothing(
    made: tuple[Path, Outcome], folder: Path, tmp_path: Path
) -> None:
    out = Path(shutil.copy(made[0], tmp_path / "sweep.h5"))
    before = out.read_bytes()
    assert "0 readings new (0 frames inferred), 51 already there" in evaluate(folder, out, "--loss", LOSSES).stdout
    assert "0 readings new (0 frames inferred), 27 already there" in evaluate(folder, out).stdout
    assert out.read_bytes() == before
    assert {row["loss"] for row in rows(out)} == {"0", "0.1", "0.3"}


def test_forced_again_the_same_seed_gives_the_same_and_another_one_others(
    made: tuple[Path, Outcome], folder: Path, tmp_path: Path
) -> None:
    out = Path(shutil.copy(made[0], tmp_path / "sweep.h5"))
    expected = numbers(out, 0.3)
    assert "51 readings new" in evaluate(folder, out, "--loss", LOSSES, "--every", 2, "--force").stdout
    again = numbers(out, 0.3)
    assert again.keys() == expected.keys()
    for key, values in again.items():
        np.testing.assert_allclose(values, expected[key], rtol=0, atol=1e-5)
    other = Path(shutil.copy(made[0].with_name("sweep.h5"), tmp_path / "other.h5"))
    assert "12 readings new" in evaluate(folder, other, "--loss", 0.3, "--loss-seed", 1).stdout
    assert {(row["loss"], row["loss_seed"]) for row in rows(other)} >= {("0.3", "0"), ("0.3", "1")}
    by_seed: dict[str, list[str]] = {}
    for row in rows(other):
        if row["loss"] == "0.3":
            by_seed.setdefault(row["loss_seed"], []).append(row["ccc"])
    assert by_seed["0"] != by_seed["1"]


def test_bursts_are_channels_of_their_own(made: tuple[Path, Outcome], folder: Path, tmp_path: Path) -> None:
    out = Path(shutil.copy(made[0], tmp_path / "sweep.h5"))
    evaluate(folder, out, "--loss", 0.3, "--burst", 3)
    assert {(row["loss"], row["burst"]) for row in rows(out)} >= {("0.3", "3"), ("0.3", repr(1 / 0.7)), ("0", "0")}
    message = refusal(codecsim("plot", out, "--figure", "loss"))
    assert "2 kinds of channels in one picture would not be told apart; choose one of burst=0" in message
    target = tmp_path / "bursts.png"
    codecsim("plot", out, "--figure", "loss", "--burst", 3, "--loss-seed", 0, "--out", target, exit_code=0)
    assert target.exists()


@pytest.mark.parametrize(
    "options", [(), ("--qp", 20, "--measure", "cc,ccc_within"), ("--reference", "fidelity", "--scales", 4)]
)
def test_the_figure_is_drawn_again(made: tuple[Path, Outcome], tmp_path: Path, options: tuple[object, ...]) -> None:
    target = tmp_path / "loss.png"
    said = codecsim("plot", made[0], "--figure", "loss", "--out", target, *options, exit_code=0)
    assert said.stdout == f"{target}\n{target.with_suffix('.pdf')}\n"
    with Image.open(target) as picture:
        assert np.asarray(picture.convert("L")).std() > 5


def test_refusals_come_before_any_work(made: tuple[Path, Outcome], folder: Path, tmp_path: Path) -> None:
    models = ("--models", folder / "models", "--methods", SMALL_3)
    out = tmp_path / "new.h5"
    for options, message in (
        (("--loss", "1"), "loss 1: a share of the packets, from 0 up to but not 1, is needed; did you mean 0.01, 1 %?"),
        (("--loss", "-1"), "loss -1: a share of the packets, from 0 up to but not 1, is needed"),
        (("--loss", "0.1,-0.05"), "loss -0.05: a share of the packets, from 0 up to but not 1, is needed"),
        (("--loss", "x"), "loss 'x' is not a range"),
        (("--loss", "0.1", "--burst", "0.5"), "bursts of 0.5 packets at loss 0.1: a mean of 1 or more is needed"),
        (("--burst", "3"), "--burst and --loss-seed are of losses; say how many packets are lost with --loss"),
        (("--loss-seed", "3"), "--burst and --loss-seed are of losses"),
    ):
        assert message in refusal(codecsim("sweep", folder / "corpus.h5", "--out", out, *models, *options))
        assert message in refusal(codecsim("evaluate", made[0], *models, *options))
    nobody = codecsim("sweep", folder / "corpus.h5", "--out", out, "--methods", "none", "--loss", "0.1")
    assert "--methods none leaves nobody to read what --loss leaves of the streams" in refusal(nobody)
    assert not out.exists()
    assert "--qp is not for --figure figure4" in refusal(codecsim("plot", made[0], "--figure", "figure4", "--qp", 20))
    assert "no curve has 21; there are 20, 32" in refusal(codecsim("plot", made[0], "--figure", "loss", "--qp", 21))
    assert "--loss-seed is not for --figure hull" in refusal(
        codecsim("plot", made[0], "--figure", "hull", "--loss-seed", 1)
    )
