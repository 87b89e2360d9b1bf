"""Fixtures of the decoder side."""

from pathlib import Path

import pytest
import torch

from recognition.data import Faces, hold_out, load_faces
from tests.recognition.small import write_corpus


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four people to learn from and one to test on, eight frames each."""
    return write_corpus(tmp_path_factory.mktemp("learnt") / "corpus.h5")


@pytest.fixture(scope="module")
def parts(corpus: Path) -> tuple[Faces, Faces]:
    """Faces to learn from, and those held out."""
    return hold_out(load_faces(corpus, split="train", labels=("valence",), device=torch.device("cpu")))


@pytest.fixture(scope="session", autouse=True)
def _quick(one_thread: None) -> None:
    """See `one_thread`."""


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)
