"""Networks that read streams with losses: what they tell is what they would tell of the received frames, once."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from codecsim.channel import INTACT, Channel, channel
from codecsim.concealment import receive
from codecsim.decode import decode
from codecsim.store import Sweep
from codecsim.store.verify import verify
from pipelines.readings import Readings
from pipelines.sweep import evaluate, sweep
from recognition.inference import TOLERANCE
from tests.pipelines.evaluated import GRID, LOSSES, PatienceError, breaking, close, predictor, readers
from tests.pipelines.readers import SMALL_3, SMALL_4, save_small
from tests.stored import predictions_in

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def lossy(undisturbed: Path, models: Path, corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same sweep, of which the networks have read what comes through two channels too."""
    out = Path(shutil.copy(undisturbed, tmp_path_factory.mktemp("lossy") / "sweep.h5"))
    evaluation = evaluate(out, readers(models, channels=LOSSES), corpora=[corpus])
    assert evaluation.n_read == 2 * 12
    return out


def received_in(path: Path) -> dict[tuple[str, str, str, Channel], tuple[int, int, list[float]]]:
    """Sequence, key, method and channel → frames concealed and damaged, and what was told; of streams alone."""
    with Sweep(path) as opened:
        told = opened.predictions
        return {
            (
                str(told["sequence"][row]),
                str(told["key"][row]),
                str(told["method"][row]),
                Channel(float(told["loss"][row]), float(told["burst"][row]), int(told["loss_seed"][row])),
            ): (
                int(told["n_concealed"][row]),
                int(told["n_damaged"][row]),
                opened.predicted_between(
                    int(told["offset"][row]), int(told["offset"][row] + told["n_values"][row])
                ).tolist(),
            )
            for row in np.flatnonzero(told["key"] != "").tolist()
        }


def test_a_network_tells_of_a_stream_with_losses_what_it_tells_of_the_received_frames(
    lossy: Path, models: Path
) -> None:
    told, alone = received_in(lossy), predictor(models, SMALL_3)
    n_lost = n_whole = 0
    with Sweep(lossy) as opened:
        for row in np.flatnonzero(opened.column("scale") == 3).tolist():
            sequence, key = str(opened.column("sequence")[row]), str(opened.column("key")[row])
            table, packets = opened.packet_table(row), opened.packets(row)
            whole = decode(packets, "x264", width=32, height=32)
            for each in LOSSES:
                is_lost = each.lost_frames(table["n_bytes"], key)
                shown = receive(packets, table["pts"], is_lost, "x264", width=32, height=32)
                n_concealed, n_damaged, values = told[sequence, key, SMALL_3, each]
                assert n_concealed == shown.is_concealed.sum() == is_lost.sum()
                assert n_damaged == (shown.frames != whole).any((1, 2)).sum()
                close(values, alone(shown.frames[::2]))
                n_lost, n_whole = n_lost + bool(n_concealed), n_whole + (not n_damaged)
    assert n_lost > 3
    assert n_whole > 1


def test_losses_leave_what_was_told_of_whole_streams_as_it_was(lossy: Path, undisturbed: Path) -> None:
    whole = {each: told for each, told in received_in(lossy).items() if each[-1] == INTACT}
    assert whole == received_in(undisturbed)
    assert {told[:2] for told in whole.values()} == {(0, 0)}
    assert verify(lossy) == []


def test_losses_are_read_once_and_beside_encoding_as_later(
    lossy: Path, corpus: Path, models: Path, tmp_path: Path
) -> None:
    out = Path(shutil.copy(lossy, tmp_path / "sweep.h5"))
    evaluation = evaluate(out, readers(models, channels=(*LOSSES, INTACT, LOSSES[0])), corpora=[corpus])
    assert (evaluation.n_read, evaluation.n_reused) == (0, 27 + 24)
    assert received_in(out) == received_in(lossy)
    _, together = sweep(corpus, out=tmp_path / "new.h5", readers=readers(models, channels=LOSSES), **GRID)
    assert together is not None
    assert (together.n_read, together.n_reused) == (27 + 24, 0)
    told, expected = received_in(tmp_path / "new.h5"), received_in(lossy)
    assert {each: of[:2] for each, of in told.items()} == {each: of[:2] for each, of in expected.items()}
    for each, (_, _, values) in told.items():
        np.testing.assert_allclose(values, expected[each][2], rtol=0, atol=TOLERANCE["fp32"])


def test_another_seed_and_another_burst_lose_others(lossy: Path, corpus: Path, models: Path, tmp_path: Path) -> None:
    out = Path(shutil.copy(lossy, tmp_path / "sweep.h5"))
    others = (channel(0.3, seed=1), channel(0.3, burst=4))
    assert evaluate(out, readers(models, channels=others), corpora=[corpus]).n_read == 24
    told = received_in(out)
    assert len(told) == 12 * 5
    for other in others:
        pairs = [(told[of], told[*of[:3], other]) for of in told if of[-1] == LOSSES[1]]
        assert any(one[2] != another[2] for one, another in pairs)


def test_losses_read_by_a_network_that_was_trained_anew_no_longer_count(
    lossy: Path, corpus: Path, models: Path, tmp_path: Path
) -> None:
    out = Path(shutil.copy(lossy, tmp_path / "sweep.h5"))
    shutil.copytree(models, tmp_path / "models")
    other = tmp_path / "models" / save_small(models, SMALL_3, seed=1).name
    other.rename(other.with_name(other.name.replace("seed1", "seed0")))
    evaluate(out, readers(tmp_path / "models", SMALL_3), corpora=[corpus])
    with Sweep(out) as opened:
        readings = Readings(opened)
        key = str(opened.column("key")[opened.one("ada_1/s3/qp24")])
        at_4 = str(opened.column("key")[opened.one("ada_1/s4/qp24")])
        assert readings.of(SMALL_3, "valence").have("ada_1", key, 3)
        assert not readings.of(SMALL_3, "valence").have("ada_1", key, 3, LOSSES[0])
        assert readings.of(SMALL_4, "valence").have("ada_1", at_4, 4, LOSSES[0])
    assert evaluate(out, readers(tmp_path / "models", SMALL_3, channels=LOSSES), corpora=[corpus]).n_read == 12


def test_losses_of_other_frames_do_not_stand_in_the_way(
    lossy: Path, corpus: Path, models: Path, tmp_path: Path
) -> None:
    out = Path(shutil.copy(lossy, tmp_path / "sweep.h5"))
    evaluate(out, readers(models, every=3, force=True), corpora=[corpus])
    with Sweep(out) as opened:
        readings = Readings(opened)
        assert (readings.every, readings.channels) == (3, (INTACT,))
    evaluate(out, readers(models, every=None, channels=LOSSES), corpora=[corpus])
    with Sweep(out) as opened:
        assert Readings(opened).channels == (INTACT, *LOSSES)


def test_an_error_while_reading_losses_loses_none_of_them(
    lossy: Path, corpus: Path, models: Path, tmp_path: Path
) -> None:
    out = tmp_path / "sweep.h5"
    options: dict[str, Any] = {"channels": LOSSES}
    with pytest.MonkeyPatch.context() as patch:
        breaking(patch, 30)
        with pytest.raises(PatienceError, match="out of patience"):
            sweep(corpus, out=out, readers=readers(models, **options), **GRID)
    _, evaluation = sweep(corpus, out=out, readers=readers(models, **options), **GRID)
    assert evaluation is not None
    assert evaluation.n_reused >= 27
    assert evaluation.n_read + evaluation.n_reused == 27 + 24
    assert received_in(out).keys() == received_in(lossy).keys()
    assert verify(out) == []


def test_nothing_is_overwritten_where_each_group_is_kept_at_once(
    undisturbed: Path, corpus: Path, models: Path, tmp_path: Path
) -> None:
    out = tmp_path / "sweep.h5"
    with pytest.MonkeyPatch.context() as patch:
        breaking(patch, 1000)
        sweep(corpus, out=out, readers=readers(models, SMALL_3, channels=LOSSES), **GRID | {"scales": [3]})
    expected = {told for told in predictions_in(undisturbed) if told[3] in (SMALL_3, "truth")}
    assert predictions_in(out).keys() == expected
    assert len(received_in(out)) == 3 * 2 * 3
