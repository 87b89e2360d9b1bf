"""Networks that read a sweep: what they tell is what they would tell alone, once, and whatever stops them."""

import os
import shutil
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pytest

import codecsim
from codecsim.corpus import Corpus
from codecsim.decode import decode
from codecsim.errors import CodecError, SourceError, StoreError, UsageError
from codecsim.grid import Job
from codecsim.parts import parts_folder
from codecsim.scaling import downscale
from codecsim.store import Sweep
from codecsim.store.merge import part_files
from codecsim.store.verify import verify
from pipelines.evaluation import Evaluation
from pipelines.feeding import FEEDING
from pipelines.networks import Network
from pipelines.readings import UNCODED, Readings
from pipelines.showing import Showing
from pipelines.sweep import Readers, evaluate, sweep
from recognition.inference import BATCH, TOLERANCE, Predictor
from tests.pipelines.evaluated import GRID, NAMES, PatienceError, assert_same, breaking, close, predictor, readers
from tests.pipelines.readers import SMALL_3, SMALL_4, valence, write_corpus
from tests.stored import predictions_in

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_network_tells_of_every_stream_what_it_tells_of_its_frames_alone(undisturbed: Path, models: Path) -> None:
    told, n_streams = predictions_in(undisturbed), 0
    for name, scale in ((SMALL_3, 3), (SMALL_4, 4)):
        alone = predictor(models, name)
        with Sweep(undisturbed) as opened:
            for row in np.flatnonzero(opened.column("scale") == scale).tolist():
                sequence, key = str(opened.column("sequence")[row]), str(opened.column("key")[row])
                frames = decode(opened.packets(row), "x264", width=96 // scale, height=96 // scale)
                close(told[sequence, key, scale, name, "valence", 0], alone(frames[::2]))
                n_streams += 1
    assert n_streams == 12


def test_uncoded_frames_are_told_of_too(undisturbed: Path, models: Path, corpus: Path) -> None:
    told = predictions_in(undisturbed)
    with Corpus(corpus) as opened:
        frames = {each.name: opened.frames(each.name)[::2] for each in opened.sequences()}
    for sequence, hr in frames.items():
        for name in NAMES:
            close(told[sequence, UNCODED, 1, name, "valence", 0], predictor(models, name)(hr))
        close(told[sequence, UNCODED, 3, SMALL_3, "valence", 0], predictor(models, SMALL_3)(downscale(hr, 3)))
        close(told[sequence, UNCODED, 4, SMALL_4, "valence", 0], predictor(models, SMALL_4)(downscale(hr, 4)))


def test_what_the_corpus_says_is_kept_at_full_rate(undisturbed: Path) -> None:
    told = predictions_in(undisturbed)
    np.testing.assert_array_equal(told["ben_1", UNCODED, 1, "truth", "valence", -1], valence(1))
    assert not any(label == "emotion" for *_, label, _ in told)
    with Sweep(undisturbed) as opened:
        truth = Readings(opened).truth("valence", ["ada_1", "cy_1"], delay_seconds=0.08)
    later = [np.append(valence(number)[2:], [np.nan, np.nan])[::2] for number in (0, 2)]
    np.testing.assert_array_equal(truth, np.concatenate(later))


def test_the_file_verifies_and_leaves_nothing_beside_it(undisturbed: Path) -> None:
    assert verify(undisturbed) == []
    assert [path.name for path in undisturbed.parent.iterdir()] == ["sweep.h5"]


@pytest.mark.parametrize("after", [0, 5, 20])
def test_an_error_while_reading_ends_the_sweep_and_keeps_what_is_finished(
    undisturbed: Path, corpus: Path, models: Path, tmp_path: Path, after: int
) -> None:
    out = tmp_path / "sweep.h5"
    with pytest.MonkeyPatch.context() as patch:
        breaking(patch, after)
        with pytest.raises(PatienceError, match="out of patience"):
            sweep(corpus, out=out, readers=readers(models), **GRID)
    assert not out.exists()
    _, evaluation = sweep(corpus, out=out, readers=readers(models), **GRID)
    assert evaluation is not None
    assert evaluation.n_reused == after
    assert evaluation.n_read + evaluation.n_reused == 27
    assert_same(predictions_in(out), predictions_in(undisturbed), atol=TOLERANCE["fp32"])
    assert verify(out) == []


@pytest.mark.parametrize("turns", [(0, 4), (1, 4), (1, 5)])
def test_what_devices_were_at_work_on_when_a_network_failed_is_kept(
    undisturbed: Path, corpus: Path, models: Path, tmp_path: Path, turns: tuple[int, int]
) -> None:
    """A group is a sequence, and two networks take turns; after so many turns, one fails."""
    (n_ahead, after), out = turns, tmp_path / "sweep.h5"
    begin, n_begun = Predictor.begin, 0
    codecsim.sweep(corpus, out=out, **GRID)

    def failing(self: Predictor, frames: Sequence[npt.NDArray[np.uint8]]) -> Any:
        nonlocal n_begun
        if n_begun == after:
            raise PatienceError("out of patience")
        n_begun += 1
        return begin(self, frames)

    asked = readers(models, SMALL_3, seeds=(0, 1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Predictor, "begin", failing)
        patch.setattr(Predictor, "n_ahead", n_ahead)
        patch.setitem(BATCH, "cpu", 1)
        patch.setitem(FEEDING, "cpu", replace(FEEDING["cpu"], group_frames=1))
        with pytest.raises(PatienceError):
            evaluate(out, asked)
    again = evaluate(out, asked)
    assert (again.n_reused, again.n_read) == (after, 2 * 3 * (1 + 1 + 2) - after)
    told, alone = predictions_in(out), predictions_in(undisturbed)
    shared = told.keys() & alone.keys()
    assert len(shared) > 3 * (1 + 1 + 2)  # and what the corpus says
    assert_same({each: told[each] for each in shared}, {each: alone[each] for each in shared}, atol=TOLERANCE["fp32"])


def test_an_interrupt_stops_reading_and_keeps_what_was_read(corpus: Path, models: Path, tmp_path: Path) -> None:
    out = tmp_path / "sweep.h5"

    def interrupt(what: str, done: int, total: int | None) -> None:
        if what == "encoding" and done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep(corpus, out=out, readers=readers(models), progress=interrupt, **GRID)
    assert part_files(parts_folder(out))
    report, evaluation = sweep(corpus, out=out, readers=readers(models), **GRID)
    assert evaluation is not None
    assert report.n_reused > 0
    assert evaluation.n_read + evaluation.n_reused == 27


def test_a_damaged_part_of_predictions_is_read_again(
    undisturbed: Path, corpus: Path, models: Path, tmp_path: Path
) -> None:
    out = shutil.copy(undisturbed, tmp_path / "sweep.h5")
    parts_folder(out).mkdir()
    (parts_folder(out) / "predictions-0.h5").write_bytes(b"\x89HDF damaged")
    report, _ = sweep(corpus, out=out, readers=readers(models), **GRID)
    assert [note for note in report.notes if "predictions-0.damaged could not be read and was set aside" in note]
    assert_same(predictions_in(out), predictions_in(undisturbed))


def test_a_follower_is_handed_what_is_there_and_then_each_part(corpus: Path, tmp_path: Path) -> None:
    out, seen = tmp_path / "sweep.h5", []

    @contextmanager
    def follower(jobs: Sequence[Job], folder: Path) -> Iterator[Any]:
        seen.append((len(jobs), folder))
        yield lambda path: seen.append((path.name, path.exists()))
        seen.append(("left", out.exists()))

    codecsim.sweep(corpus, out=out, follower=follower, **GRID | {"qp": [24]})
    parts = [name for name, exists in seen[1:-1] if exists]
    assert seen[0] == (6, parts_folder(out))
    assert len(parts) == 6
    assert len(set(parts)) == 6
    assert seen[-1] == ("left", False)
    seen.clear()
    codecsim.sweep(corpus, out=out, follower=follower, **GRID)
    assert seen[1] == ("sweep.h5", True)
    assert len(seen) == 1 + 1 + 6 + 1


def test_a_corpus_that_moved_must_be_named(undisturbed: Path, corpus: Path, models: Path, tmp_path: Path) -> None:
    shutil.copy(corpus, tmp_path / "corpus.h5")
    out = tmp_path / "results" / "sweep.h5"
    codecsim.sweep(tmp_path / "corpus.h5", out=out, **GRID)
    (tmp_path / "corpus.h5").rename(tmp_path / "moved.h5")
    with pytest.raises(
        StoreError, match=r"the frames of ada_1 and 2 more sequences are not in .* name their corpus with --c"
    ):
        evaluate(out, readers(models))
    other = write_corpus(tmp_path / "other.h5", people=("ada", "ben"))
    with pytest.raises(StoreError, match=r"the frames of cy_1 are not in .*other.h5; name"):
        evaluate(out, readers(models), corpora=[other])
    assert evaluate(out, readers(models), corpora=[tmp_path / "moved.h5"]).n_read == 27


def test_a_stream_that_decodes_otherwise_is_refused(undisturbed: Path, models: Path, tmp_path: Path) -> None:
    out = shutil.copy(undisturbed, tmp_path / "sweep.h5")
    with h5py.File(out, "r+") as file:
        digests = file["streams/decoded_sha256"]
        digests[3] = b"0" * 64
    with pytest.raises(StoreError, match="ada_1/x264/s4/qp36 decodes to other frames than when it was stored"):
        evaluate(out, readers(models, force=True))


def test_footage_without_labels_is_read(models: Path, tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus.h5", labelled=False)
    out = tmp_path / "sweep.h5"
    sweep(corpus, out=out, readers=readers(models, SMALL_3), **GRID)
    assert not [identity for identity in predictions_in(out) if identity[3] == "truth"]
    assert len(predictions_in(out)) == 3 * (1 + 1 + 2)


def test_refusals_come_before_any_work(corpus: Path, models: Path, tmp_path: Path) -> None:
    out = tmp_path / "sweep.h5"
    for names, message in (
        (("joint-9",), "factor s = 9 does not divide"),
        (("nothing",), "no method 'nothing'; there are hr, lr-s"),
        (("joint-3",), "no trained network of method 'joint-3'; train it with: codecsim train joint-3 CORPUS"),
        (("all",), "no trained network lies in"),
    ):
        with pytest.raises(UsageError, match=message):
            sweep(corpus, out=out, readers=readers(models, *names), **GRID)
    with pytest.raises(UsageError, match="SmallNetwork-3 reads s = 3, and the streams are of s = 6, s = 8; name"):
        sweep(corpus, out=out, readers=readers(models, SMALL_3), **GRID | {"scales": [6, 8]})
    with pytest.raises(UsageError, match="precision tf32 is for GPUs"):
        sweep(corpus, out=out, readers=readers(models, precision="tf32"), **GRID)
    with pytest.raises(UsageError, match="seeds are of networks in a folder"):
        sweep(corpus, out=out, readers=Readers(names=("all",), seeds=(0,)), **GRID)
    with pytest.raises(StoreError, match="no such file"):
        sweep(corpus, out=out, readers=readers(models, SMALL_3, seeds=(7,)), **GRID)
    with pytest.raises(SourceError):
        sweep(tmp_path / "none.mp4", out=out, readers=readers(models), **GRID)
    corpus_as_out = shutil.copy(corpus, tmp_path / "corpus.h5")
    with pytest.raises(StoreError, match=r"not a sweep file.* Nothing was touched: name another file"):
        sweep(corpus, out=corpus_as_out, readers=readers(models), **GRID)
    assert not out.exists()
    assert not parts_folder(out).exists()
    assert not out.with_name("sweep.corpus").exists()


def test_numbers_do_not_depend_on_groups(undisturbed: Path, corpus: Path, models: Path, tmp_path: Path) -> None:
    out = tmp_path / "sweep.h5"
    codecsim.sweep(corpus, out=out, **GRID)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(FEEDING, "cpu", replace(FEEDING["cpu"], group_frames=5))
        evaluate(out, readers(models))
    assert_same(predictions_in(out), predictions_in(undisturbed), atol=TOLERANCE["fp32"])


def test_batches_are_filled_across_streams_and_factors(
    corpus: Path, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shown to one network: 18 HR frames, 36 LR frames, and 72 of streams, some of which repeat."""
    out, infer, sizes = tmp_path / "sweep.h5", Predictor._infer, []
    codecsim.sweep(corpus, out=out, **GRID)

    def counted(self: Predictor, frames: Sequence[npt.NDArray[np.uint8]]) -> Any:
        sizes.append(sum(map(len, frames)))
        return infer(self, frames)

    monkeypatch.setattr(Predictor, "_infer", counted)
    monkeypatch.setattr(Network, "reads", lambda self, scale: True)
    monkeypatch.setitem(FEEDING, "cpu", replace(FEEDING["cpu"], group_frames=5))
    evaluation = evaluate(out, readers(models, SMALL_3))
    assert evaluation.n_read == 3 * (3 + 4)
    assert sum(sizes) == evaluation.n_inferred > 64
    assert set(sizes[:-1]) == {BATCH["cpu"]}


def test_what_was_shown_before_a_stream_that_is_damaged_is_told(
    undisturbed: Path, models: Path, tmp_path: Path
) -> None:
    out = Path(shutil.copy(undisturbed, tmp_path / "sweep.h5"))
    with h5py.File(out, "r+") as file:
        last = np.flatnonzero(file["streams/scale"][:] == 3)[-1]
        file["streams/decoded_sha256"][last] = b"0" * 64
    with pytest.raises(StoreError, match="cy_1/x264/s3/qp36 decodes to other frames"):
        evaluate(out, readers(models, SMALL_3, seeds=(1,)))
    assert sum(seed == 1 for *_, seed in predictions_in(out)) == 3 * (1 + 1 + 2) - 1


def test_what_needs_no_decoder_is_told_where_none_can_be_started(
    undisturbed: Path, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise CodecError("no process can be started to decode in")

    out = Path(shutil.copy(undisturbed, tmp_path / "sweep.h5"))
    monkeypatch.setattr("codecsim.decoder_process._Child", refuse)
    with pytest.raises(CodecError, match=r"sweep.h5: .*/x264/s3/qp24: no process can be started"):
        evaluate(out, readers(models, SMALL_3, seeds=(1,)))
    assert sum(seed == 1 for *_, seed in predictions_in(out)) == 3 * (1 + 1)


def test_networks_of_a_gpu_are_not_there_without_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="finds 0 GPUs here"):
        Evaluation(tmp_path / "sweep.h5", [], device="cuda:99")


def test_streams_of_other_grids_are_not_read(corpus: Path, models: Path, tmp_path: Path) -> None:
    """The file holds QP 30, which nobody asks for this time."""
    out = tmp_path / "sweep.h5"
    codecsim.sweep(corpus, out=out, scales=[3], qp=[30], workers=1)
    _, evaluation = sweep(corpus, out=out, readers=readers(models, SMALL_3), scales=[3], qp=[24], workers=1)
    assert evaluation is not None
    assert evaluation.n_read == 3 * (1 + 1 + 1)
    with Sweep(out) as opened:
        asked = {str(key) for key in opened.column("key")[opened.column("qp_requested") == 24]}
    assert {key for _, key, *_ in predictions_in(out) if key} == asked


def test_one_interrupt_keeps_and_merges_what_is_read(
    corpus: Path, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "sweep.h5"
    codecsim.sweep(corpus, out=out, **GRID)
    read = Evaluation._read

    def interrupted(self: Evaluation, group: list[Showing]) -> None:
        read(self, group)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.5)  # the main thread looks every 0.2 s

    monkeypatch.setattr(Evaluation, "_read", interrupted)
    with pytest.raises(KeyboardInterrupt):
        evaluate(out, readers(models))
    monkeypatch.undo()
    assert not part_files(parts_folder(out))
    n_kept = sum(method != "truth" for _, _, _, method, *_ in predictions_in(out))
    assert n_kept
    again = evaluate(out, readers(models))
    assert again.n_reused == n_kept
    assert again.n_read == 3 * (3 + 2 + 4) - n_kept
