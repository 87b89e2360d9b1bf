"""A bounded campaign: whatever reads untrusted files accepts an input or refuses it, and does nothing else."""

from collections.abc import Iterator

import pytest

from tests.fuzz.campaign import Campaign
from tests.fuzz.hdf5 import lookup3
from tests.fuzz.targets import TARGETS

SEED = 7
"""That of results/robustness: its inputs are known to find nothing now."""

INPUTS = {"sweep": 25, "corpus": 80, "predictions": 80, "truth": 80, "model": 100}
MOST_INPUTS = 150
"""Of each other target. All together take 13 s on one core."""


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Campaign]:
    folder = tmp_path_factory.mktemp("fuzz")
    with Campaign(folder, out=folder / "findings") as running:
        yield running


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Campaign]:
    folder = tmp_path_factory.mktemp("impatient")
    with Campaign(folder, out=folder / "findings", limit_seconds=1) as running:
        yield running


@pytest.mark.parametrize("name", TARGETS)
def test_untrusted_input_is_accepted_or_refused(campaign: Campaign, name: str) -> None:
    tally = campaign.run(name, range(INPUTS.get(name, MOST_INPUTS)), seed=SEED)
    assert [f"{finding}\n{finding.detail}" for finding in tally.findings] == []
    assert tally.n_accepted > 0, "no input came through: the seeds are damaged too much"
    assert tally.n_refused > tally.n_inputs / 10, "hardly an input was refused: the seeds are damaged too little"


def test_a_virtual_column_in_a_heap_that_never_ends_is_refused(campaign: Campaign) -> None:
    """What HDF5 2.0 opened for ever; the child has 10 s."""
    tally = campaign.run("sweep", range(1), seed=2026)
    assert [str(finding) for finding in tally.findings] == []
    assert tally.n_refused == 1


def test_checksums_of_hdf5_are_those_of_lookup3() -> None:
    # the self-test of Bob Jenkins' lookup3.c, driver5
    assert lookup3(b"Four score and seven years ago") == 0x17770551
    assert lookup3(b"") == 0xDEADBEEF


class TestWhatIsFound:
    """The harness on readers that are wrong: it must find what is there to be found, and go on."""

    @pytest.mark.parametrize(
        ("name", "kind", "what"),
        [
            ("RAISES", "error", "ValueError at wrong.py:"),
            ("FILLS", "error", "MemoryError at wrong.py:"),
            ("DIES", "crash", "SIGABRT"),
            ("HANGS", "hang", "over 1 s"),
        ],
    )
    def test_a_reader_that_is_wrong(self, impatient: Campaign, name: str, kind: str, what: str) -> None:
        tally = impatient.run(f"tests.fuzz.wrong:{name}", range(4), seed=SEED)
        assert (tally.n_inputs, tally.n_accepted, len(tally.findings)) == (4, 3, 1)
        (finding,) = tally.findings
        assert (finding.kind, finding.index) == (kind, 2)
        assert finding.what.startswith(what)
        assert finding.path is not None
        assert finding.path.read_bytes() == b"2"
