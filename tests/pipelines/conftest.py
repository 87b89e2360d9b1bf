"""A corpus, small networks, and a sweep that they have read: for each file of tests that asks for them."""

from pathlib import Path

import pytest

from pipelines.sweep import sweep
from tests.pipelines.evaluated import GRID, NAMES, readers
from tests.pipelines.readers import SMALL_3, save_small, write_corpus


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for name in NAMES:
        save_small(folder, name)
    save_small(folder, SMALL_3, seed=1)
    return folder


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus") / "corpus.h5")


@pytest.fixture(scope="module")
def undisturbed(corpus: Path, models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep that three networks have read; two of the factors in it."""
    out = tmp_path_factory.mktemp("undisturbed") / "sweep.h5"
    report, evaluation = sweep(corpus, out=out, readers=readers(models), **GRID)
    assert evaluation is not None
    assert (report.n_new, evaluation.n_reused) == (12, 0)
    # Of 3 people: HR frames are shown to all 3 networks, LR frames and 2 QPs to the one of their factor.
    assert evaluation.n_read == 3 * (3 + 2 + 4)
    return out


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a sweep is to be written."""
    return tmp_path / "sweep.h5"
