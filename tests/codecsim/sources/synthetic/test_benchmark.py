"""SynthFace end to end: the same on any number of workers, resumable, honest about what it refuses."""

import importlib.util
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from codecsim.corpus import Corpus
from codecsim.errors import StoreError, UsageError
from codecsim.parts import parts_folder, writing
from codecsim.sources.synthetic.benchmark import plan, prepare_synthetic
from codecsim.sources.synthetic.pack import load_pack
from tests.pipelines.command import program

needs_anny = pytest.mark.skipif(
    importlib.util.find_spec("anny") is None,
    reason="SynthFace needs the extra codecsim[synthetic]",
)
N_FRAMES = 20


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two subjects of train and one of dev, rendered by two workers through the command line."""
    out = tmp_path_factory.mktemp("synthetic") / "synthface.h5"
    done = program("prepare", "synthetic", "--out", out, "--subjects", "2,1,0", "--frames", N_FRAMES, "--workers", "2")
    assert "3 sequences, 60 frames" in done.stdout
    assert "3 of 3 recordings made now" in done.stdout
    return out


@needs_anny
def test_the_corpus_holds_faces_labels_and_how_they_were_made(corpus: Path) -> None:
    with Corpus(corpus) as opened:
        assert [(each.name, each.split) for each in opened.sequences()] == [
            ("train_1", "train"),
            ("train_2", "train"),
            ("dev_1", "dev"),
        ]
        for each in opened.sequences():
            assert each.n_frames == N_FRAMES
            assert each.fps == (5 if each.split == "train" else 25)
            assert set(each.tasks) == {"valence", "arousal", "valence_truth", "arousal_truth"}
            frames = opened.frames(each.name)
            assert 20 < frames.mean() < 220
            assert frames.std() > 10
            units, names = opened.series(each.name, "units")
            assert units.shape == (N_FRAMES, 52)
            assert len(set(names)) == 52
            assert opened.series(each.name, "raters_valence")[0].shape == (N_FRAMES, 6)
            assert opened.boxes(each.name).shape == (N_FRAMES, 4)
    assert not corpus.with_name(corpus.name + ".parts").exists()


@needs_anny
def test_people_and_performances_differ(corpus: Path) -> None:
    with Corpus(corpus) as opened:
        one, two = (opened.frames(name).astype(float) for name in ("train_1", "train_2"))
        assert np.abs(one - two).mean() > 5
        assert np.abs(one[0] - one[-1]).mean() > 0.5


@needs_anny
def test_one_process_gives_the_bytes_of_two_and_rendered_ones_are_kept(corpus: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone.h5"
    report = prepare_synthetic(alone, subjects=(1, 0, 0), n_frames=N_FRAMES, workers=1)
    assert report.n_new == 1
    with Corpus(corpus) as first, Corpus(alone) as second:
        assert second.sequence("train_1").digest == first.sequence("train_1").digest
    again = tmp_path / "again.h5"
    shutil.copy(corpus, again)
    report = prepare_synthetic(again, subjects=(2, 1, 0), n_frames=N_FRAMES, workers=1)
    assert report.n_new == 0
    with Corpus(corpus) as first, Corpus(again) as second:
        assert [each.digest for each in second.sequences()] == [each.digest for each in first.sequences()]


@needs_anny
def test_what_was_finished_before_a_failure_is_not_rendered_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from codecsim.sources.synthetic import takes

    out, real = tmp_path / "c.h5", takes.draw_stage
    calls = []

    def failing(*given: object) -> object:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*given)

    monkeypatch.setattr(takes, "draw_stage", failing)
    with pytest.raises(KeyboardInterrupt):
        prepare_synthetic(out, subjects=(2, 0, 0), n_frames=2, workers=1)
    assert not out.exists()
    monkeypatch.setattr(takes, "draw_stage", real)
    report = prepare_synthetic(out, subjects=(2, 0, 0), n_frames=2, workers=1)
    assert (report.n_sequences, report.n_new) == (2, 1)


@needs_anny
def test_every_frame_gets_noise_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from codecsim.sources.synthetic import benchmark

    asked, real = [], benchmark.add_noise

    def noting(frames: np.ndarray, *, seed: int, first_frame: int, level: float) -> np.ndarray:
        asked.append((len(frames), first_frame))
        return real(frames, seed=seed, first_frame=first_frame, level=level)

    monkeypatch.setattr(benchmark, "add_noise", noting)
    prepare_synthetic(tmp_path / "c.h5", subjects=(1, 0, 0), n_frames=N_FRAMES, workers=1)
    assert sum(count for count, _ in asked) == N_FRAMES
    assert [first for _, first in asked] == list(np.cumsum([0, *(count for count, _ in asked[:-1])]))


@needs_anny
def test_other_settings_are_rendered_anew(tmp_path: Path) -> None:
    out = tmp_path / "c.h5"
    digests = []
    for given in ({}, {"seed": 1}, {"difficulty": "hard"}, {"n_frames": 3}):
        report = prepare_synthetic(out, **{"subjects": (0, 1, 0), "n_frames": 2, "workers": 1, **given})
        assert report.n_new == 1
        with Corpus(out) as opened:
            digests.append(opened.sequence("dev_1").digest)
    assert len(set(digests)) == 4


def test_the_layouts_are_those_of_the_documentation() -> None:
    assert [(r.name, r.n_frames) for r in plan(layout="avec")][:10:9] == [("train_1", 7500), ("dev_1", 7500)]
    assert len(plan(layout="avec")) == 27
    assert {r.fps for r in plan(layout="avec")} == {25}
    counted = Counter((r.split, r.n_frames, r.fps) for r in plan())
    assert counted == {("train", 300, 5): 240, ("dev", 500, 25): 48, ("test", 500, 25): 48}


def test_splits_have_frames_and_rates_of_their_own() -> None:
    found = plan(subjects=(1, 1, 1), n_frames=(30, 20, 10), fps=(2.5, 25, 50))
    assert [(r.name, r.n_frames, r.fps) for r in found] == [("train_1", 30, 2.5), ("dev_1", 20, 25), ("test_1", 10, 50)]
    assert {(r.n_frames, r.fps) for r in plan(n_frames=9, fps=12)} == {(9, 12)}


@needs_anny
def test_at_a_fifth_of_the_rate_a_fifth_of_the_frames_show_the_same_minute(tmp_path: Path) -> None:
    shown = []
    for n_frames, fps in ((50, 25), (10, 5)):
        out = tmp_path / f"{fps}.h5"
        prepare_synthetic(out, subjects=(1, 0, 0), n_frames=n_frames, fps=fps, workers=1)
        with Corpus(out) as opened:
            assert opened.sequence("train_1").fps == fps
            pose, units = (opened.series("train_1", name)[0] for name in ("pose", "units"))
            shown.append((opened.labels("train_1", "valence_truth"), pose, units))
    (often, turned, units), (rarely, few_turned, few_units) = shown
    assert rarely == pytest.approx(often[::5], abs=1e-6)
    assert few_turned == pytest.approx(turned[::5], abs=0.1)
    mouth = [k for k, name in enumerate(load_pack().unit_names) if name.startswith("mouthSmile")]
    assert few_units[:, mouth] == pytest.approx(units[::5, mouth], abs=0.02)


def test_stills_have_many_subjects_and_are_hard_and_onsets_are_easy() -> None:
    stills, onsets = plan(task="expression"), plan(task="apex")
    assert [sum(r.split == split for r in stills) for split in ("train", "dev", "test")] == [1200, 200, 300]
    assert {(r.n_frames, r.difficulty) for r in stills} == {(7, "hard")}
    assert {(r.n_frames, r.difficulty) for r in onsets} == {(None, "easy")}
    assert {r.difficulty for r in plan(task="apex", difficulty="main")} == {"main"}


@needs_anny
@pytest.mark.parametrize("task", ["expression", "apex"])
def test_classes_are_rendered_with_their_names(task: str, tmp_path: Path) -> None:
    out = tmp_path / "c.h5"
    report = prepare_synthetic(out, task=task, subjects=(1, 0, 0), n_frames=2, workers=1)
    n_sequences, length = (2, 1) if task == "expression" else (7, 2)
    assert (report.n_sequences, report.n_frames, report.n_recordings) == (n_sequences, n_sequences * length, 1)
    with Corpus(out) as opened:
        for number, each in enumerate(opened.sequences()):
            assert (each.name, each.subject, each.n_frames) == (f"train_1_{number + 1}", "train_1", length)
            assert (opened.labels(each.name, "expression") == number).all()
            assert len(opened.classes(each.name, "expression")) == 7
            assert opened.series(each.name, "intensity")[1] == ("intensity",)
        assert len({each.digest for each in opened.sequences()}) == n_sequences


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"task": "joy"}, "no task 'joy'; there are valence, expression, apex"),
        ({"layout": "tall"}, "no layout 'tall' of task valence; there are wide, avec"),
        ({"task": "apex", "layout": "avec"}, "no layout 'avec' of task apex; there are wide"),
        ({"difficulty": "odd"}, "no difficulty 'odd'; there are easy, main, hard"),
        ({"n_frames": 0}, "0 frames: 1 to 1000000 can be rendered"),
        ({"n_frames": (5, 5)}, "frames 5,5: one number is needed, or three, for train, dev and test"),
        ({"n_frames": (5, 0, 5)}, "0 frames: 1 to 1000000 can be rendered"),
        ({"fps": (5, 5, 0)}, "0 frames a second: more than 0, up to 1000, can be rendered"),
        ({"task": "apex", "fps": 5}, "frames a second of task apex: they are 30; those of valence can be chosen"),
        ({"subjects": (1, 2)}, "subjects 1,2: three numbers of 0 to 100000, not all 0, are needed"),
        ({"subjects": (0, 0, 0)}, "subjects 0,0,0: three numbers of 0 to 100000, not all 0, are needed"),
        ({"seed": -1}, "seed -1"),
    ],
)
def test_settings_out_of_range_are_refused(given: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        plan(**given)


@needs_anny
def test_what_others_put_beside_it_stays_and_two_do_not_write_at_once(tmp_path: Path) -> None:
    out = tmp_path / "c.h5"
    folder = parts_folder(out)
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    with writing(out), pytest.raises(StoreError, match="is being written by process"):
        prepare_synthetic(out, subjects=(1, 0, 0), n_frames=1, workers=1)
    prepare_synthetic(out, subjects=(1, 0, 0), n_frames=1, workers=1)
    assert [path.name for path in folder.iterdir() if path.name != "lock"] == ["notes.txt"]
    assert (folder / "notes.txt").read_text() == "mine"


@needs_anny
def test_a_gpu_that_is_not_there_is_told_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match=r"device 'cuda': torch .* finds no GPU here; leave --device out"):
        prepare_synthetic(tmp_path / "c.h5", subjects=(1, 0, 0), n_frames=1, device="cuda")
    assert not list(tmp_path.iterdir())


def test_a_folder_is_not_overwritten(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is a folder; nothing was touched"):
        prepare_synthetic(tmp_path, subjects=(1, 0, 0), n_frames=1)


def test_another_file_is_not_overwritten(tmp_path: Path) -> None:
    out = tmp_path / "notes.txt"
    out.write_text("mine")
    with pytest.raises(StoreError, match="nothing was touched"):
        prepare_synthetic(out, subjects=(1, 0, 0), n_frames=1)
    assert out.read_text() == "mine"


def test_the_command_says_how_subjects_are_written() -> None:
    done = program("prepare", "synthetic", "--out", "x.h5", "--subjects", "48,16")
    assert done.exit_code == 2
    assert "'48,16': three whole numbers are needed, for train, dev and test, as 240,48,48" in done.stderr
    done = program("prepare", "synthetic", "--out", "x.h5", "--frames", "48,16")
    assert done.exit_code == 2
    assert "'48,16': one whole number is needed, or three, for train, dev and test, as 240,48,48" in done.stderr
