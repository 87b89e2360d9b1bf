"""Files of older codecsim stay readable. `tests/golden/sweep_v1.h5` is of 22 November 2026, before predictions: two
sequences of 24 frames of the demo, x264 at s = 3 and 4, QP 24 and 36. It is never made anew."""

import shutil
from pathlib import Path

import numpy as np
import pytest

import codecsim
from codecsim.store import Sweep
from codecsim.store.verify import verify
from tests.golden.make import HERE
from tests.pipelines.command import codecsim as run

OLD = HERE / "sweep_v1.h5"
BITS = [10544, 8688, 9816, 8512, 11304, 8592, 10264, 8480]


def test_an_old_sweep_opens_and_says_what_it_said() -> None:
    with Sweep(OLD) as sweep:
        assert sweep.column("bits_total").tolist() == BITS
        assert sweep.column("sequence").tolist() == ["one"] * 4 + ["two"] * 4
        assert sweep.column("scale").tolist() == [3, 3, 4, 4] * 2
        assert sweep.column("qp_requested").tolist() == [24, 36] * 4
        assert 8 * sum(map(len, sweep.packets(0))) == BITS[0]
        assert 8 * sweep.packet_table(0)["n_bytes"].sum() == BITS[0]
        assert len(sweep.predictions["method"]) == 0


def test_an_old_sweep_is_proven() -> None:
    assert verify(OLD) == []


def test_an_old_sweep_is_added_to(small_corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "sweep.h5"
    shutil.copyfile(OLD, out)
    report = codecsim.sweep(small_corpus, out=out, scales=[4], qp=[30])
    assert (report.n_new, report.n_streams) == (2, 10)
    with Sweep(out) as sweep:
        is_old = np.isin(sweep.column("sequence"), ["one", "two"])
        assert sweep.column("bits_total")[is_old].tolist() == BITS
    assert verify(out) == []


@pytest.mark.parametrize("command", ["info", "ledger", "verify"])
def test_commands_take_an_old_sweep(command: str) -> None:
    run(command, OLD, exit_code=0)


def test_an_old_stream_is_extracted(tmp_path: Path) -> None:
    run("extract", OLD, "one/s3/qp24", tmp_path / "face.264", exit_code=0)
    assert 8 * (tmp_path / "face.264").stat().st_size == BITS[0]
