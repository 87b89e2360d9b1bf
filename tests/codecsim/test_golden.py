"""Golden bits: a bit that moves fails here. `python -m tests.golden.make` makes the files anew."""

import json
import shutil

import av
import pytest

from codecsim.codecs import EncoderSettings
from codecsim.encode import encode
from codecsim.scaling import downscale
from tests.clips import carphone_faces
from tests.golden.make import CODECS, HERE, QPS, SCALES, counted, digest, program_slices, slice_bytes

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


@pytest.mark.parametrize("point", SLICES["slices"])
def test_slices_equal_those_of_the_x264_program(point: str) -> None:
    scale, qp = (int(part.lstrip("sqp")) for part in point.split("/"))
    stream = encode(downscale(carphone_faces(), scale), EncoderSettings(), qp, fps=25.0)
    assert digest(slice_bytes(list(stream.packets))) == SLICES["slices"][point]


def test_the_x264_program_still_makes_the_golden_slices() -> None:
    if shutil.which("x264") is None:
        pytest.skip("needs the x264 program")
    assert digest(program_slices(4, 24)) == SLICES["slices"]["s4/qp24"]
