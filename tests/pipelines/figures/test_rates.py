"""What the figure and the explanation of padding pool: never points of different sequences."""

from pathlib import Path

import numpy as np
import pytest

import codecsim
from codecsim.errors import UsageError
from codecsim.store import Sweep
from pipelines import tables
from pipelines.figures import rates
from tests.clips import carphone_faces, write_corpus


@pytest.fixture(scope="module")
def uneven(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sequences at three QPs and two factors; a third sequence at s = 3 and one of the QPs."""
    folder = tmp_path_factory.mktemp("uneven")
    clip = carphone_faces()
    two = write_corpus(folder / "two.h5", {"anna": clip[:20], "bo": clip[20:60]})
    third = write_corpus(folder / "third.h5", {"cem": clip[60:80]})
    codecsim.sweep(two, out=folder / "sweep.h5", scales=[3, 4], qp=[20, 30, 40])
    codecsim.sweep(third, out=folder / "sweep.h5", scales=[3], qp=[30])
    return folder / "sweep.h5"


def test_points_of_other_sequences_are_left_out_and_counted(uneven: Path) -> None:
    with Sweep(uneven) as sweep:
        shown, n_left_out = tables.comparable(sweep, tables.points(sweep))
        assert {tables.sequences_of(sweep, point) for point in shown} == {frozenset({"anna", "bo"})}
        assert (len(shown), n_left_out) == (5, 1)


def test_pooled_rates_are_bits_over_pixels_of_all(uneven: Path) -> None:
    with Sweep(uneven) as sweep:
        point = next(p for p in tables.points(sweep) if (p.scale, p.value) == (4, 20))
        bits = sum(8 * len(sweep.bitstream(int(row))) for row in point.rows)
        assert tables.pooled_bpp(sweep, point) == pytest.approx(bits / (60 * 24 * 24))
        assert tables.pooled_bpp(sweep, point, "coded") == pytest.approx(bits / (60 * 32 * 32))
        assert tables.pooled_bpp(sweep, point, "hr") == pytest.approx(bits / (60 * 96 * 96))
        assert tables.pooled_rate(sweep, point, "rate_kbps") == pytest.approx(bits / (60 / 25) / 1000)


def test_padding_is_explained_by_values_that_both_factors_have_of_the_same_sequences(uneven: Path) -> None:
    with Sweep(uneven) as sweep:
        (sentence,) = tables.padding_explained(sweep)
        ratios = [
            np.log(tables.pooled_bpp(sweep, four) / tables.pooled_bpp(sweep, three))
            for three in tables.points(sweep)
            for four in tables.points(sweep)
            if (three.scale, four.scale) == (3, 4) and three.value == four.value != 30
        ]
        assert len(ratios) == 2
        total = np.exp(np.mean(ratios))
    assert sentence == (
        f"x264, s = 4 against s = 3 (qp 20–40): {total:.2f} × the bits per transmitted pixel = 1.78 × by padding "
        f"(24×24 is coded as 32×32) × {total * 576 / 1024:.2f} per coded pixel."
    )


def test_a_sequence_can_be_drawn_alone(uneven: Path, tmp_path: Path) -> None:
    png, pdf = rates.plot_rd(uneven, tmp_path / "one.png", sequences=["cem"])
    assert png.read_bytes().startswith(b"\x89PNG")
    assert pdf.read_bytes().startswith(b"%PDF")
    with pytest.raises(UsageError, match="no sequence 'dan'; it holds anna, bo, cem"):
        rates.plot_rd(uneven, tmp_path / "none.png", sequences=["dan"])


def test_bands_hold_the_mean_and_shrink_with_agreement() -> None:
    values = np.array([30.0, 31.0, 32.0, 33.0])
    low, high = rates._interval(values)
    assert values.min() <= low < values.mean() < high <= values.max()
    assert rates._interval(np.full(4, 30.0)) == (30.0, 30.0)


def test_numbers_stand_with_their_noun() -> None:
    assert tables.counted([1], "person", "people") == "1 person"
    assert tables.counted([3, 3], "person", "people") == "3 people"
    assert tables.counted([1, 3], "point") == "1–3 points"
    assert tables.counted([0], "point") == "0 points"


def test_what_was_asked_for_is_named_by_its_mode() -> None:
    assert tables.asked_for("qp", [40, 18, 24]) == "QP 18–40"
    assert tables.asked_for("crf", [23.5]) == "CRF 23.5"
    assert tables.asked_for("bitrate", [5, 80]) == "bit rate 5–80 kbit/s"
