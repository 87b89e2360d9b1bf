"""Fixtures that many tests share: made once a session, never written to."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clips import carphone_faces, write_corpus
from tests.pipelines.command import Outcome, codecsim


@pytest.fixture(scope="session", autouse=True)
def _interruptible() -> None:
    """Ctrl-C as in a terminal: what a shell runs in the background is told to ignore it, and so are its children."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def small_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of two sequences of 30 real frames, 'anna' and 'bo'."""
    frames = carphone_faces()
    return write_corpus(tmp_path_factory.mktemp("small") / "small.h5", {"anna": frames[:30], "bo": frames[60:90, ::-1]})


@pytest.fixture(scope="session")
def small_sweep(small_corpus: Path) -> Path:
    """A sweep over `small_corpus`: x264, factors 3 and 4, QP 24 and 36; eight streams."""
    out = small_corpus.with_name("sweep.h5")
    codecsim("sweep", small_corpus, "--out", out, "--qp", "24,36", "--no-plot", exit_code=0)
    return out


@pytest.fixture(scope="session")
def carphone_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    """The main command on footage without labels, and up to encoding: (the sweep file that it made, what it said)."""
    out = tmp_path_factory.mktemp("carphone") / "results" / "sweep.h5"
    return out, codecsim("sweep", "carphone", "--scales", "3,4", "--qp", "18-40", "--out", out, exit_code=0)


@pytest.fixture(scope="session")
def carphone_sweep(carphone_run: tuple[Path, Outcome]) -> Path:
    """The sweep file of the built-in footage: x264, factors 3 and 4, QP 18 to 40; 46 streams."""
    return carphone_run[0]


@pytest.fixture(scope="session")
def demo_sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the main command makes, up to encoding: three people, factors 3 and 4, QP 18 to 40; 138 streams."""
    out = tmp_path_factory.mktemp("demo") / "sweep.h5"
    codecsim("sweep", "--scales", "3,4", "--qp", "18-40", "--out", out, "--no-plot", exit_code=0)
    return out


@pytest.fixture(scope="session")
def one_thread() -> Iterator[None]:
    """torch on one thread, from the first test that wants it to the last: sums in one order, no fight over cores."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
