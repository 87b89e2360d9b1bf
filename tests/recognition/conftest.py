"""Fixtures of the decoder side."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.recognition.small import write_corpus


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four people to learn from and one to test on, eight frames each."""
    return write_corpus(tmp_path_factory.mktemp("learnt") / "corpus.h5")


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """Sums in one order: the same bits on every machine with these instructions, and no fight over cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)
