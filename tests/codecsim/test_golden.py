"""Golden bits: a bit that moves fails here. `python -m tests.golden.make` makes the files anew."""

import json
import shutil
from pathlib import Path

import av
import pytest

from codecsim.codecs import EncoderSettings
from codecsim.encode import encode
from codecsim.scaling import downscale
from codecsim.simulator import DEFAULT_QP, DEFAULT_SCALES
from codecsim.store import Sweep
from tests.clips import carphone_faces
from tests.golden.make import CODECS, HERE, QPS, SCALES, counted, demo_bits, digest, program_slices, slice_bytes

DEMO = json.loads((HERE / "demo.json").read_text(encoding="utf-8"))
LEDGER = json.loads((HERE / "ledger.json").read_text(encoding="utf-8"))
SLICES = json.loads((HERE / "x264_slices.json").read_text(encoding="utf-8"))

pinned = pytest.mark.skipif(
    av.__version__ != LEDGER["pyav"], reason=f"golden bits hold for PyAV {LEDGER['pyav']} (constraints.txt)"
)


def test_golden_files_cover_the_grid() -> None:
    assert set(LEDGER["streams"]) == {f"{c}/s{s}/qp{qp}" for c, scales in CODECS.items() for s in scales for qp in QPS}
    assert set(SLICES["slices"]) == {f"s{s}/qp{qp}" for s in SCALES for qp in QPS}


@pinned
@pytest.mark.parametrize("point", LEDGER["streams"])
def test_no_bit_moved(point: str) -> None:
    codec, scale, qp = point.split("/")
    assert counted(codec, int(scale[1:]), int(qp[2:])) == LEDGER["streams"][point]


@pinned
def test_no_bit_of_the_main_command_moved(demo_sweep: Path) -> None:
    with Sweep(demo_sweep) as sweep:
        found = demo_bits(sweep)
    assert found == DEMO["streams"]
    assert len(found) == 3 * len(DEFAULT_SCALES) * len(DEFAULT_QP)


@pytest.mark.parametrize("point", SLICES["slices"])
def test_slices_equal_those_of_the_x264_program(point: str) -> None:
    scale, qp = (int(part.lstrip("sqp")) for part in point.split("/"))
    stream = encode(downscale(carphone_faces(), scale), EncoderSettings(), qp, fps=25.0)
    assert digest(slice_bytes(list(stream.packets))) == SLICES["slices"][point]


def test_the_x264_program_still_makes_the_golden_slices() -> None:
    if shutil.which("x264") is None:
        pytest.skip("needs the x264 program")
    assert digest(program_slices(4, 24)) == SLICES["slices"]["s4/qp24"]
