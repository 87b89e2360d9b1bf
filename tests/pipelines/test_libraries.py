"""Settings of libraries that the command makes before they are loaded, as the libraries themselves tell them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pipelines.command import codecsim, environment, program

_NAMES = ("OPENBLAS_NUM_THREADS", "OMP_WAIT_POLICY", "THP_MEM_ALLOC_ENABLE")
_HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")
_COUNT_PAGES = """
import resource
from pipelines.cli import main

main(["methods"], standalone_mode=False)
import torch

torch.set_num_threads(1)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
torch.empty(100_000_000, dtype=torch.uint8).fill_(1)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.fixture(autouse=True)
def _unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a user finds them; a command that another test ran in this process may have set them."""
    for name in _NAMES:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@pytest.mark.skipif(sys.platform != "linux", reason="torch for Linux brings GNU's OpenMP, which tells its settings")
def test_threads_that_wait_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_DISPLAY_ENV", "true")
    assert "OMP_WAIT_POLICY = 'PASSIVE'" in program("methods", exit_code=0).stderr


@pytest.mark.skipif(
    not _HUGE_PAGES.exists() or "[never]" in _HUGE_PAGES.read_text(encoding="ascii"), reason="needs huge pages"
)
def test_large_tensors_take_few_pages() -> None:
    def pages(**given: str) -> int:
        command = [sys.executable, "-c", _COUNT_PAGES]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env={**environment(), **given})
        return int(done.stdout.splitlines()[-1])

    assert pages() < pages(THP_MEM_ALLOC_ENABLE="0") / 4


def test_what_the_user_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    codecsim("methods", exit_code=0)
    assert [os.environ[name] for name in _NAMES] == ["1", "active", "1"]
