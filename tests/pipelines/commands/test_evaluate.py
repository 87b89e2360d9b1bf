"""`codecsim sweep` with networks, `codecsim evaluate` and the pictures of what they read, as whole commands."""

import csv
import re
import shutil
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from codecsim.store import Sweep
from codecsim.store.verify import verify
from pipelines.curves import curves
from pipelines.figures.strip_frames import strips
from tests.pipelines.command import Outcome, codecsim, program, refusal
from tests.pipelines.readers import PEOPLE, SMALL_3, SMALL_4, SMALL_HR, save_small, valence, write_corpus

pytestmark = pytest.mark.usefixtures("one_thread")

NETWORKS = f"{SMALL_3},{SMALL_4},{SMALL_HR}"
QPS = (20, 26, 32, 38)
SUFFIXES = [".curves.csv", *(f".{name}.{ext}" for name in ("figure4.qp", "figure4.bpp_lr") for ext in ("png", "pdf"))]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Corpora with and without labels, and networks."""
    folder = tmp_path_factory.mktemp("evaluate")
    write_corpus(folder / "labelled.h5")
    write_corpus(folder / "plain.h5", labelled=False)
    for name in (SMALL_3, SMALL_4, SMALL_HR):
        save_small(folder / "models", name)
    save_small(folder / "models", SMALL_3, seed=1)
    return folder


def sweep(folder: Path, corpus: str, out: Path, *options: object) -> Outcome:
    given = ("--qp", ",".join(map(str, QPS)), "--methods", NETWORKS, "--models", folder / "models", "--every", 2)
    return codecsim("sweep", folder / corpus, "--out", out, "--seeds", 0, *given, *options, exit_code=0)


@pytest.fixture(scope="module")
def made(folder: Path) -> tuple[Path, Outcome]:
    out = folder / "results" / "sweep.h5"
    return out, sweep(folder, "labelled.h5", out)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_main_command_writes_curves_and_figure_4(made: tuple[Path, Outcome]) -> None:
    out, said = made
    beside = {path.name for path in out.parent.iterdir()}
    fidelity = {f"sweep.fidelity.{axis}.{ext}" for axis in ("qp", "bpp_lr") for ext in ("png", "pdf")}
    assert beside == {"sweep.h5", "sweep.rd.png", "sweep.rd.pdf", *fidelity, *(f"sweep{each}" for each in SUFFIXES)}
    for name in beside - {"sweep.h5"}:
        assert str(out.with_name(name)) in said.stdout
    for path in out.parent.glob("*.png"):
        with Image.open(path) as picture:
            assert min(picture.size) > 800
    assert "24 new, 0 already there" in said.stdout
    assert "networks were shown one frame in 2; 39 readings new" in said.stdout
    assert "valence against labels; 3 subjects of dev, 3 sequences" in said.stdout
    assert "valence against the same network on HR frames" in said.stdout
    assert verify(out) == []


def test_the_csv_holds_every_point_of_every_curve(made: tuple[Path, Outcome]) -> None:
    table = rows(made[0].with_suffix(".curves.csv"))
    with Sweep(made[0]) as opened:
        found = [*curves(opened, reference="label"), *curves(opened, reference="fidelity")]
    assert len(table) == 1 + 2 * 2 * (len(QPS) + 1)  # the ceiling; two references, two networks, QPs and uncoded
    for curve in found:
        for point in curve.points:
            (row,) = (
                each
                for each in table
                if (each["method"], each["reference"], each["value"])
                == (curve.method, curve.reference, f"{point.value:g}")
            )
            assert float(row["ccc"]) == point.metrics["ccc"].estimate
            assert float(row["bpp_hr"]) == point.bpp_hr


def test_the_same_again_reads_nothing_and_says_the_same(made: tuple[Path, Outcome], folder: Path) -> None:
    out, first = made
    before = {path: path.read_bytes() for path in out.parent.iterdir()}
    again = sweep(folder, "labelled.h5", out)
    assert "0 new, 24 already there" in again.stdout
    assert "0 readings new (0 frames inferred), 39 already there" in again.stdout
    assert again.stdout.split("\n\n")[2:] == first.stdout.split("\n\n")[2:]
    assert {path: path.read_bytes() for path in out.parent.iterdir()} == before


def test_networks_are_asked_later_without_encoding(made: tuple[Path, Outcome], folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "results" / "sweep.h5"
    encoded = codecsim(
        "sweep", folder / "labelled.h5", "--out", out, "--qp", ",".join(map(str, QPS)), "--methods", "none", exit_code=0
    )
    assert [path.name for path in sorted(out.parent.iterdir())] == ["sweep.h5", "sweep.rd.pdf", "sweep.rd.png"]
    assert "readings" not in encoded.stdout
    options = ("--models", folder / "models", "--seeds", 0, "--every", 2)
    said = codecsim("evaluate", out, "--methods", NETWORKS, *options, "--no-plot", exit_code=0)
    assert "39 readings new" in said.stdout
    assert "figure4" not in said.stdout
    assert rows(out.with_suffix(".curves.csv")) == rows(made[0].with_suffix(".curves.csv"))
    again = codecsim("evaluate", out, "--methods", NETWORKS, "--scales", "3,4", *options, exit_code=0)
    assert "0 readings new" in again.stdout
    assert out.with_suffix(".figure4.qp.png").exists()


def test_seeds_of_a_folder_are_all_taken_and_averaged(made: tuple[Path, Outcome], folder: Path, tmp_path: Path) -> None:
    out = shutil.copy(made[0], tmp_path / "sweep.h5")
    options = ("--models", folder / "models", "--corpus", folder / "labelled.h5", "--no-plot")
    codecsim("evaluate", out, "--methods", SMALL_3, *options, exit_code=0)
    seeds = {row["method"]: row["seeds"] for row in rows(out.with_suffix(".curves.csv"))}
    assert seeds == {SMALL_HR: "0", SMALL_3: "0 1", SMALL_4: "0"}


def test_each_codec_has_the_curves_of_the_seeds_that_read_its_streams(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "run1.5"
    given = (
        "--scales",
        3,
        "--qp",
        "24,36",
        "--methods",
        SMALL_3,
        "--models",
        folder / "models",
        "--every",
        2,
        "--no-plot",
    )
    codecsim("sweep", folder / "labelled.h5", "--out", out, *given, "--seeds", 0, exit_code=0)
    codecsim("sweep", folder / "labelled.h5", "--out", out, *given, "--codec", "vp9", "--seeds", 1, exit_code=0)
    table = [row for row in rows(tmp_path / "run1.5.curves.csv") if row["reference"] == "label"]
    assert {(row["codec"], row["s"], row["seeds"]) for row in table} == {("x264", "3", "0"), ("vp9", "3", "1")}
    assert {path.name for path in tmp_path.iterdir()} == {"run1.5", "run1.5.curves.csv"}


def test_pictures_of_several_codings_are_named_by_what_they_are_of(folder: Path, tmp_path: Path) -> None:
    """By their place among others, one of before would stay under the name of another."""
    out = tmp_path / "sweep.h5"
    given = ("--scales", 3, "--methods", SMALL_3, "--models", folder / "models", "--seeds", 0, "--every", 6)
    codecsim("sweep", folder / "plain.h5", "--out", out, "--crf", "20,30", *given, exit_code=0)
    assert {path.name for path in tmp_path.glob("*.fidelity*.png")} == {
        "sweep.fidelity.bpp_lr.png",
        "sweep.fidelity.qp.png",
    }
    again = [("--qp", "20,30"), ("--qp", "20,30", "--preset", "fast")]
    said = [codecsim("sweep", folder / "plain.h5", "--out", out, *each, *given, exit_code=0) for each in again]
    of_qp = [re.findall(r"sweep\.fidelity\S*\.qp\.png", each.stdout) for each in said]
    assert sorted(of_qp[0]) == ["sweep.fidelity-crf.qp.png", "sweep.fidelity-qp.qp.png"]
    assert sorted(of_qp[1]) == [f"sweep.fidelity-{each}.qp.png" for each in ("crf", "qp-1", "qp-2")]


def test_a_picture_that_cannot_be_drawn_loses_none_of_the_others(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "sweep.h5"
    given = ("--scales", "2,3,4,6,8,12,16", "--qp", 30, "--methods", "joint-oa", "--every", 6)
    said = codecsim("sweep", folder / "labelled.h5", "--out", out, *given, exit_code=0)
    notes = [line for line in said.stderr.splitlines() if "was not drawn" in line]
    assert len(notes) == 4
    assert "sweep.figure4.qp.png was not drawn: 7 factors (2, 3, 4, 6, 8, 12, 16): 6 fit" in notes[0]
    assert said.stdout.splitlines()[-1] == str(tmp_path / "sweep.curves.csv")


def test_footage_without_labels_gives_curves_of_fidelity_alone(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "sweep.h5"
    said = sweep(folder, "plain.h5", out)
    assert {row["reference"] for row in rows(out.with_suffix(".curves.csv"))} == {"fidelity"}
    assert "against labels" not in said.stdout
    assert not list(tmp_path.glob("*figure4*"))
    assert len(list(tmp_path.glob("*fidelity*"))) == 4
    drawn = codecsim("plot", out, "--figure", "figure4", exit_code=0)
    assert drawn.stdout == f"{tmp_path}/sweep.figure4.png\n{tmp_path}/sweep.figure4.pdf\n"


def test_it_runs_as_a_program_from_any_folder(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "sweep.h5"
    options = ("--models", folder / "models", "--every", 4, "--no-plot", "--qp", 30, "--workers", 2)
    said = program("sweep", folder / "labelled.h5", "--out", out, "--methods", SMALL_4, *options, exit_code=0)
    assert "readings new" in said.stdout
    assert said.stderr.count("\n") == said.stderr.count("takes at least 4\n")


@pytest.mark.parametrize(
    ("figure", "options"),
    [
        ("figure4", ("--against", "rate_kbps", "--reference", "fidelity")),
        ("figure4", ("--label", "valence", "--codec", "x264", "--mode", "qp")),
        ("hull", ()),
        ("hull", ("--against", "rate_kbps", "--measure", "cc", "--reference", "fidelity")),
        ("bits", ()),
        ("bits", ("--sequence", "ada_1")),
        ("strips", ("--sequence", "ben_1", "--frame", 4, "--qp", "20,38")),
        ("rd", ("--reference", "lr")),
    ],
)
def test_every_picture_is_drawn_again(
    made: tuple[Path, Outcome], tmp_path: Path, figure: str, options: tuple[object, ...]
) -> None:
    target = tmp_path / "picture.png"
    said = codecsim("plot", made[0], "--figure", figure, "--out", target, *options, exit_code=0)
    assert said.stdout == f"{target}\n{target.with_suffix('.pdf')}\n"
    with Image.open(target) as picture:
        assert np.asarray(picture.convert("L")).std() > 5


def test_gains_on_another_method_are_told_and_drawn(made: tuple[Path, Outcome], tmp_path: Path) -> None:
    out = tmp_path / "sweep.h5"
    shutil.copy(made[0], out)
    corpus = made[0].parents[1] / "labelled.h5"
    options = ("--methods", "lr-3,joint-3", "--every", 2, "--corpus", corpus, "--no-plot")
    said = codecsim("evaluate", out, *options, exit_code=0)
    assert re.search(r"\njoint-3 +3  lr-3 +[+-]0\.\d{3} \[", said.stdout)
    table = {
        (row["method"], row["value"]): row
        for row in rows(out.with_suffix(".curves.csv"))
        if (row["reference"], row["s"]) == ("label", "3")
    }
    assert {row["anchor"] for (method, _), row in table.items() if method == "lr-3"} == {""}
    for method, value in product(("joint-3", SMALL_3), ("none", *map(str, QPS))):
        row, anchor = table[method, value], table["lr-3", value]
        assert row["anchor"] == "lr-3"
        assert float(row["gain_ccc"]) == pytest.approx(float(row["ccc"]) - float(anchor["ccc"]), abs=1e-12)
        assert float(row["gain_ccc_low"]) <= float(row["gain_ccc"]) <= float(row["gain_ccc_high"])
    target = tmp_path / "picture.png"
    options = ("--figure", "gain", "--anchor", "joint", "--against", "bpp_lr", "--measure", "ccc", "--scales", 3)
    said = codecsim("plot", out, "--out", target, *options, exit_code=0)
    assert said.stdout == f"{target}\n{target.with_suffix('.pdf')}\n"
    assert refusal(codecsim("plot", out, "--figure", "gain", "--anchor", "mix")) == (
        f"{out}: no gain on 'mix' is known; methods that read its streams: joint, lr, {SMALL_3[:-2]}"
    )


def test_refusals(made: tuple[Path, Outcome], folder: Path, tmp_path: Path) -> None:
    out, models = made[0], folder / "models"

    def said(*arguments: object) -> str:
        return refusal(codecsim(*arguments))

    assert said("evaluate", out, "--methods", "none") == "--methods none leaves nothing to do; name methods, or all"
    assert said("evaluate", out, "--methods", "none,hr") == "--methods none goes with no other method"
    assert "no trained network of method 'lr-3'" in said("evaluate", out, "--methods", "lr-3", "--models", models)
    assert "go on with --every 2" in said("evaluate", out, "--methods", SMALL_3, "--models", models, "--every", 5)
    assert "no such file" in said("evaluate", tmp_path / "gone.h5", "--methods", SMALL_3, "--models", models)
    assert said("evaluate", out, "--methods", SMALL_HR, "--models", models, "--scales", 6) == (
        f"{out}: no stream of s = 6; there are: 3, 4"
    )
    assert "not a sweep file" in said("evaluate", folder / "labelled.h5", "--methods", SMALL_3, "--models", models)
    assert "finds 0 GPUs here" in said("evaluate", out, "--methods", SMALL_3, "--models", models, "--device", "cuda:99")
    for options, message in (
        (("--figure", "figure4", "--reference", "hr"), "--reference hr is not for --figure figure4; it has label, fid"),
        (("--figure", "hull", "--against", "bpp_lr"), "--against bpp_lr is not for --figure hull; it has bpp_hr, rate"),
        (("--figure", "rd", "--against", "qp"), "--against is not for --figure rd"),
        (
            ("--figure", "trace"),
            "--figure trace is not of such a file; it has rd, figure4, gain, hull, loss, bits, str",
        ),
        (("--figure", "figure4", "--label", "arousal"), "no curve of label 'arousal'; there are valence"),
        (("--figure", "strips", "--frame", 3), "networks were not shown frame 3 of ada_1; they were shown one in 2"),
        (("--figure", "strips", "--frame", 12), "networks were not shown frame 12 of ada_1"),
        (("--figure", "strips", "--qp", 21), "not all factors were coded at 21; they have 20, 26, 32, 38"),
        (("--figure", "strips", "--sequence", "dan"), "no sequence 'dan'; it holds ada_1, ben_1, cy_1"),
        (("--figure", "strips", "--label", "anger"), "no network tells 'anger'; they tell valence"),
        (("--figure", "strips", "--sequence", "ada_1", "--sequence", "cy_1"), "strips show one sequence, and 2 were"),
    ):
        assert message in said("plot", out, *options)
    codecsim("sweep", folder / "labelled.h5", "--out", tmp_path / "bare.h5", "--qp", 30, "--no-plot", exit_code=0)
    for figure in ("figure4", "hull", "strips"):
        assert "no network has read its streams yet" in said("plot", tmp_path / "bare.h5", "--figure", figure)


def test_strips_show_the_frame_where_the_label_is_highest(made: tuple[Path, Outcome]) -> None:
    at_3, at_4 = strips(made[0], sequences=["cy_1"])
    shown = valence(PEOPLE.index("cy"))[::2]
    assert at_3.truth == pytest.approx(np.nanmax(shown))
    assert list(at_3.titles) == ["HR", "LR, uncoded", *(f"QP {qp}" for qp in QPS)]
    assert (at_3.s, set(at_3.predictions), at_4.s, set(at_4.predictions)) == (3, {SMALL_3}, 4, {SMALL_4})
    index = int(np.nanargmax(shown))
    with Sweep(made[0]) as opened:
        row = opened.one("cy_1/s3/qp26")
        told = opened.predictions
        key = opened.column("key")[row]
        (at,) = np.flatnonzero((told["key"] == key) & (told["method"] == SMALL_3))
        start = int(told["offset"][at])
        assert at_3.predictions[SMALL_3][3] == opened.predicted_between(start + index, start + index + 1)[0]
    assert np.isfinite(at_3.predictions[SMALL_3]).all()


def test_strips_show_values_that_the_sequence_itself_was_coded_at(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "sweep.h5"
    given = ("--models", folder / "models", "--seeds", 0, "--every", 2, "--no-plot", "--methods")
    other = write_corpus(tmp_path / "other.h5", people=("dan",))
    codecsim(
        "sweep", folder / "labelled.h5", "--out", out, "--scales", 3, "--qp", "20,26", *given, SMALL_3, exit_code=0
    )
    codecsim("sweep", other, "--out", out, "--scales", 3, "--qp", "26,32", *given, SMALL_3, exit_code=0)
    (shown,) = strips(out, sequences=["dan_1"])
    assert list(shown.titles) == ["HR", "LR, uncoded", "QP 26", "QP 32"]
    codecsim("sweep", other, "--out", out, "--scales", 4, "--qp", 40, *given, SMALL_4, exit_code=0)
    assert refusal(codecsim("plot", out, "--figure", "strips", "--sequence", "dan_1")) == (
        "strips show all factors at the same values, and no value was coded at all of them"
    )


def test_every_option_can_be_set_by_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CODECSIM_SWEEP_QP", "99")
    assert "QP 99" in refusal(codecsim("sweep", "carphone", "--out", tmp_path / "sweep.h5"))
