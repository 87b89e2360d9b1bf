"""The built-in demo: small, whole, bit for bit a cut of SynthFace, and refused where it is damaged."""

import importlib.util
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from codecsim.corpus import Corpus, CorpusWriter
from codecsim.errors import StoreError
from codecsim.hdf5 import put_attributes
from codecsim.sources.demo import DEMO, unpack_demo
from tests.pipelines.command import codecsim, counts


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Unpacked by the command."""
    out = tmp_path_factory.mktemp("demo") / "demo.h5"
    codecsim("prepare", "demo", "--out", out, exit_code=0)
    return out


def test_it_is_small_enough_to_ship() -> None:
    assert DEMO.stat().st_size < 1_500_000


def test_three_subjects_of_dev_feel_something(demo: Path) -> None:
    with Corpus(demo) as corpus:
        found = corpus.sequences()
        assert [(each.name, each.subject, each.split, each.n_frames, each.fps) for each in found] == [
            (name, name, "dev", 320, 25.0) for name in ("dev_2", "dev_8", "dev_16")
        ]
        for each in found:
            assert set(each.tasks) == {"valence", "arousal", "valence_truth", "arousal_truth"}
            truth = corpus.labels(each.name, "valence_truth")
            assert truth.min() < -0.5
            assert truth.max() > 0.5
            np.testing.assert_allclose(np.diff(corpus.pts_seconds(each.name)), 0.04)
            assert corpus.boxes(each.name).shape == (320, 4)


@pytest.mark.skipif(
    importlib.util.find_spec("anny") is None,
    reason="SynthFace needs the extra codecsim[synthetic]",
)
def test_it_is_a_cut_of_the_benchmark(demo: Path) -> None:
    """Another kind of processor may round a pixel differently when it renders."""
    from codecsim.sources.synthetic.demo import CUTS, cut

    part = cut("dev_8", CUTS["dev_8"], 8)
    with Corpus(demo) as corpus:
        shown = corpus.frames("dev_8", 0, 8)
        assert (shown != part.frames).mean() < 1e-3
        assert np.abs(shown.astype(int) - part.frames).max() <= 8
        for task, values in part.labels.items():
            np.testing.assert_allclose(corpus.labels("dev_8", task)[:8], values, atol=1e-6)
        np.testing.assert_array_equal(corpus.boxes("dev_8")[:8], part.boxes)
        assert corpus.sequence("dev_8").preparation == part.recording.identity()


def test_a_sweep_takes_it_by_name_and_unpacks_it_once(tmp_path: Path) -> None:
    out = tmp_path / "s.h5"
    given = ("sweep", "demo", "--out", out, "--scales", "8", "--qp", "30", "--no-plot")
    assert counts(codecsim(*given, exit_code=0)) == (3, 0)
    unpacked = list((tmp_path / "s.corpus").iterdir())
    assert len(unpacked) == 1
    before = unpacked[0].stat().st_mtime_ns
    assert counts(codecsim(*given, exit_code=0)) == (0, 3)
    assert unpacked[0].stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda group: put_attributes(group, {"noise_seed": 1}), "the frames of dev_8 are not those that were packed"),
        (lambda group: group["packet_bytes"].__setitem__(3, 5), "decod|frames of dev_8 are not"),
        (lambda group: group.__delitem__("labels"), "damaged"),
        (lambda group: group.attrs.__delitem__("digest"), "damaged"),
    ],
)
def test_damage_is_told(damage: object, said: str, tmp_path: Path) -> None:
    path = tmp_path / "demo.hdf5"
    shutil.copy(DEMO, path)
    with h5py.File(path, "r+") as file:
        damage(file["sequences/dev_8"])
    with (
        pytest.raises(StoreError, match=rf"demo\.hdf5: .*({said}).*; install codecsim again"),
        CorpusWriter(tmp_path / "out.h5") as writer,
    ):
        unpack_demo(writer, path=path)
    assert not (tmp_path / "out.h5").exists()


def test_nothing_else_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    assert "nothing was touched" in codecsim("prepare", "demo", "--out", tmp_path / "mine.txt", exit_code=1).stderr
    assert (tmp_path / "mine.txt").read_text() == "mine"
