"""Sweeps that networks have read are read again: more of them, by more networks or others of the same name."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from torch import nn

import codecsim
from codecsim.errors import UsageError
from codecsim.store import Sweep
from pipelines.curve import Curve
from pipelines.curves import curves
from pipelines.evaluation import Evaluation
from pipelines.readings import UNCODED, Readings
from pipelines.sweep import Readers, evaluate, sweep
from recognition.inference import TOLERANCE
from tests.pipelines.evaluated import GRID, assert_same, readers
from tests.pipelines.readers import N_FRAMES, PEOPLE, SMALL_3, SMALL_4, SMALL_HR, save_small, valence, write_corpus
from tests.recognition.small import SmallNetwork
from tests.stored import predictions_in

pytestmark = pytest.mark.usefixtures("one_thread")


def test_what_was_read_is_not_read_again(undisturbed: Path, corpus: Path, models: Path, tmp_path: Path) -> None:
    out = shutil.copy(undisturbed, tmp_path / "sweep.h5")
    written = out.stat().st_mtime_ns
    report, evaluation = sweep(corpus, out=out, readers=readers(models, every=None), **GRID)
    assert evaluation is not None
    assert out.stat().st_mtime_ns == written
    assert (report.n_new, report.n_reused) == (0, 12)
    assert (evaluation.n_read, evaluation.n_reused, evaluation.n_inferred, evaluation.every) == (0, 27, 0, 2)
    assert_same(predictions_in(out), predictions_in(undisturbed))


def test_more_streams_and_more_networks_are_read_later(
    undisturbed: Path, corpus: Path, models: Path, tmp_path: Path
) -> None:
    out = tmp_path / "sweep.h5"
    sweep(corpus, out=out, readers=readers(models, SMALL_3), **GRID | {"qp": [24]})
    n_bytes = codecsim.open_sweep(out).n_bytes
    evaluation = evaluate(out, readers(models, SMALL_4, SMALL_HR))
    assert evaluation.n_read == 3 * (2 + 1 + 1)
    assert codecsim.open_sweep(out).n_bytes == n_bytes
    codecsim.sweep(corpus, out=out, **GRID)
    evaluation = evaluate(out, readers(models))
    assert evaluation.n_read == 3 * 2
    assert_same(predictions_in(out), predictions_in(undisturbed), atol=TOLERANCE["fp32"])


def test_streams_of_some_factors_alone_are_read(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "sweep.h5"
    codecsim.sweep(corpus, out=out, **GRID)
    of_all_factors = Readers(names=("joint-oa",), device="cpu", every=6)
    assert evaluate(out, of_all_factors, scales=[4]).n_read == 3 * (2 + 2)
    assert {scale for _, _, scale, *_ in predictions_in(out)} == {1, 4}
    assert evaluate(out, of_all_factors).n_read == 3 * (1 + 2)
    with pytest.raises(UsageError, match=r"sweep\.h5: no stream of s = 6; there are: 3, 4$"):
        evaluate(out, of_all_factors, scales=[3, 6])


@pytest.fixture
def trained_anew(models: Path, tmp_path: Path) -> Path:
    """The networks, of which one was trained anew."""
    shutil.copytree(models, tmp_path / "models")
    other = tmp_path / "models" / save_small(models, SMALL_3, seed=1).name
    other.rename(other.with_name(other.name.replace("seed1", "seed0")))
    return tmp_path / "models"


def test_other_weights_of_a_method_are_asked_again(undisturbed: Path, trained_anew: Path, tmp_path: Path) -> None:
    out = shutil.copy(undisturbed, tmp_path / "sweep.h5")
    evaluation = evaluate(out, readers(trained_anew))
    assert evaluation.n_read == 3 * (1 + 1 + 2)
    before, now = predictions_in(undisturbed), predictions_in(out)
    assert before.keys() == now.keys()
    for identity in now:
        is_same = np.array_equal(before[identity], now[identity], equal_nan=True)
        assert is_same == (identity[3] != SMALL_3), identity


def test_what_a_former_network_read_counts_for_nothing_and_is_counted(
    undisturbed: Path, corpus: Path, trained_anew: Path, tmp_path: Path
) -> None:
    """Its HR frames are read anew, and some streams; a curve through the others would be of two networks."""
    out = shutil.copy(undisturbed, tmp_path / "sweep.h5")

    def curve_of_small_3() -> Curve:
        with Sweep(out) as opened:
            (found,) = (each for each in curves(opened, reference="fidelity") if each.method == SMALL_3)
        return found

    assert [point.value for point in curve_of_small_3().points] == GRID["qp"]
    sweep(corpus, out=out, readers=readers(trained_anew, SMALL_3), **GRID | {"qp": [30]})
    partly = curve_of_small_3()
    assert ([point.value for point in partly.points], partly.n_left_out) == ([30], 2)
    assert evaluate(out, readers(trained_anew, SMALL_3)).n_read == 3 * 2
    whole = curve_of_small_3()
    assert ([point.value for point in whole.points], whole.n_left_out) == ([24, 30, 36], 0)
    assert whole.points[1] == partly.points[0]


def test_labels_are_those_of_the_corpus_that_is_named(models: Path, tmp_path: Path) -> None:
    plain, out = write_corpus(tmp_path / "plain.h5", labelled=False), tmp_path / "sweep.h5"
    sweep(plain, out=out, readers=readers(models), **GRID)
    assert not any(method == "truth" for _, _, _, method, *_ in predictions_in(out))
    evaluate(out, readers(models), corpora=[write_corpus(tmp_path / "labelled.h5")])
    np.testing.assert_array_equal(predictions_in(out)["ben_1", UNCODED, 1, "truth", "valence", -1], valence(1))


def test_people_of_whom_no_shown_frame_is_labelled_are_in_no_curve(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {0: valence(0), 1: valence(1), 2: np.where(np.arange(N_FRAMES) % 2, valence(2), np.nan)}
    monkeypatch.setattr("tests.pipelines.readers.valence", lambda number: told[number].astype(np.float32))
    out = tmp_path / "sweep.h5"
    sweep(write_corpus(tmp_path / "corpus.h5"), out=out, readers=readers(models), **GRID)
    with Sweep(out) as opened:
        assert {curve.subjects for curve in curves(opened)} == {("ada", "ben")}
        assert {curve.subjects for curve in curves(opened, reference="fidelity")} == {PEOPLE}


def test_a_network_that_tells_no_numbers_is_named_and_nothing_of_it_is_kept(
    undisturbed: Path, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(outputs: int) -> nn.Module:
        network = SmallNetwork(outputs)
        nn.init.constant_(next(network.parameters()), 3e38)  # finite, as weights must be; what it tells is not
        return network

    monkeypatch.setattr("tests.pipelines.readers.SmallNetwork", lost)
    save_small(tmp_path, SMALL_3, seed=5)
    out = shutil.copy(undisturbed, tmp_path / "sweep.h5")
    message = rf"method {SMALL_3}, seed 5: 6 of 6 predictions for ada_1 at s = 1 are NaN or infinite, and none"
    with pytest.raises(UsageError, match=message):
        evaluate(out, readers(tmp_path, SMALL_3, seeds=(5,)))
    assert_same(predictions_in(out), predictions_in(undisturbed))


def test_networks_of_one_name_that_take_labels_to_lag_differently_do_not_meet(
    undisturbed: Path, models: Path, tmp_path: Path
) -> None:
    out = shutil.copy(undisturbed, tmp_path / "sweep.h5")
    late = save_small(tmp_path / "late", SMALL_3, seed=1, delay_seconds=0.08)
    message = f"seed 1 of {SMALL_3} takes labels to lag by 0.08 s, seed 0, which has read it, by 0 s; evaluate"
    with pytest.raises(UsageError, match=message):
        evaluate(out, readers(late.parent, SMALL_3, seeds=(1,)))
    assert_same(predictions_in(out), predictions_in(undisturbed))
    late.rename(late.with_name(late.name.replace("seed1", "seed0")))
    assert evaluate(out, readers(late.parent, SMALL_3)).n_read == 3 * 4


def test_seeds_are_kept_side_by_side(undisturbed: Path, models: Path, tmp_path: Path) -> None:
    out = shutil.copy(undisturbed, tmp_path / "sweep.h5")
    evaluation = evaluate(out, readers(models, SMALL_3, seeds=None))
    assert evaluation.n_read == 3 * 4
    with Sweep(out) as opened:
        assert Readings(opened).of(SMALL_3, "valence").seeds == (0, 1)


def test_all_networks_are_shown_the_same_frames(undisturbed: Path, models: Path, tmp_path: Path) -> None:
    out = shutil.copy(undisturbed, tmp_path / "sweep.h5")
    with pytest.raises(UsageError, match="were evaluated with one frame in 2; go on with --every 2, or evaluate all"):
        evaluate(out, readers(models, every=3))
    assert_same(predictions_in(out), predictions_in(undisturbed))
    evaluate(out, readers(models, every=3, force=True))
    assert {len(values) for identity, values in predictions_in(out).items() if identity[3] != "truth"} == {
        N_FRAMES // 3
    }
    with pytest.raises(UsageError, match="were evaluated with one frame in 3; go on with --every 3, or evaluate all"):
        evaluate(out, readers(models, SMALL_3, every=4, force=True))
    assert evaluate(out, readers(models, SMALL_3, every=None, force=True)).every == 3
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Evaluation, "_replaces", lambda *_: True)
        evaluate(out, readers(models, SMALL_3, every=4, force=True))
    with Sweep(out) as opened, pytest.raises(UsageError, match="shown one frame in 3 and 4; evaluate it again"):
        Readings(opened)
