"""Figure 4 shows what curves say: lines, bands, frames never coded, the ceiling; and refuses what it would mix up."""

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from codecsim.errors import UsageError
from pipelines.curve import Curve
from pipelines.figures.recognition import _Across, _figure4, plot_figure4, plot_gain
from pipelines.figures.selection import select
from pipelines.figures.style import STYLE
from tests.pipelines.pictures import (
    LEVELS,
    QPS,
    assert_text_is_legible,
    caption_of,
    ceiling,
    curve,
    legend_of,
    on_anchor,
)

NAN = math.nan
FAMILIES = ("lr", "non-joint", "non-joint-image", "joint", "max-only")
SCALES = (3, 4, 6, 8, 12, 16)

PAIR = [curve("lr-3", 3), curve("joint-3", 3, still=0.68), curve("lr-4", 4, rate=3.0), ceiling()]


def drawn(curves: list[Curve], against: Any = "qp", measures: Sequence[str] = ("cc", "ccc"), **chosen: str) -> Figure:
    with mpl.rc_context(STYLE):
        return _figure4(select(curves, **chosen), against, measures)


def grid(figure: Figure) -> np.ndarray:
    """The axes, shape=(2, factors)."""
    return np.array(figure.axes).reshape(2, -1)


def line(axis: Any, label: str) -> Any:
    (found,) = [each for each in axis.lines if each.get_label() == label]
    return found


def none_place(axis: Any) -> float:
    (place,) = [tick.get_position()[0] for tick in axis.get_xticklabels() if tick.get_text() == "none"]
    return float(place)


def test_rows_are_measures_and_columns_factors() -> None:
    axes = grid(drawn(PAIR))
    assert [axis.get_title() for axis in axes[0]] == ["s = 3 (32×32)", "s = 4 (24×24)"]
    assert [axis.get_ylabel() for axis in axes[:, 0]] == ["CC", "CCC"]
    assert {axis.get_ylim() for axis in axes[1]} == {axes[1, 0].get_ylim()}
    for row, above in enumerate((0.1, 0)):
        shown = line(axes[row, 0], "lr")
        np.testing.assert_array_equal(shown.get_xdata(), QPS)
        np.testing.assert_allclose(shown.get_ydata(), np.array(LEVELS) + above)
    assert [each.get_label() for each in axes[0, 1].lines if each.get_label() in FAMILIES] == ["lr"]


def test_other_measures_can_be_asked_for() -> None:
    figure = drawn(PAIR, measures=("ccc_within",))
    assert [axis.get_ylabel() for axis in figure.axes] == ["CCC within subjects", ""]
    np.testing.assert_allclose(line(figure.axes[0], "lr").get_ydata(), np.array(LEVELS) + 0.2)
    assert "CCC within subjects against" in caption_of(figure)
    assert_text_is_legible(figure)


def test_methods_are_in_the_order_of_every_legend() -> None:
    curves = [curve(f"{family}-3", 3) for family in reversed(FAMILIES)]
    assert legend_of(drawn([*curves, ceiling()])) == [*FAMILIES, "hr on HR frames"]


def test_bands_go_from_the_low_to_the_high_end_of_each_interval() -> None:
    axis = grid(drawn(PAIR))[1, 0]
    band = next(each for each in axis.collections if each.get_label() == "lr")
    corners = {tuple(np.round(corner, 9)) for corner in band.get_paths()[0].vertices}
    expected = {(qp, round(level + end, 9)) for qp, level in zip(QPS, LEVELS, strict=True) for end in (-0.05, 0.025)}
    assert expected <= corners


def test_the_ceiling_is_a_dashed_black_line_across_every_panel() -> None:
    for row, axis in product((0, 1), (0, 1)):
        shown = line(grid(drawn(PAIR))[row, axis], "hr on HR frames")
        assert to_hex(shown.get_color()) == "#000000"
        assert shown.get_linestyle() == "--"
        assert list(shown.get_xdata()) == [0, 1]
        assert shown.get_ydata() == pytest.approx([0.8 - 0.1 * row] * 2)


def test_frames_never_coded_stand_left_of_the_smallest_qp() -> None:
    axis = grid(drawn(PAIR))[1, 0]
    for family, level in (("lr", 0.62), ("joint", 0.68)):
        marker = line(axis, f"{family}, none")
        assert marker.get_markerfacecolor() == "white"
        assert marker.get_ydata() == [level]
        assert axis.get_xlim()[0] < marker.get_xdata()[0] < min(QPS)
        leading = line(axis, f"{family} to none")
        assert leading.get_linestyle() == ":"
        assert list(leading.get_xdata()) == [min(QPS), marker.get_xdata()[0]]
        assert list(leading.get_ydata()) == [LEVELS[0], level]
    places = [line(axis, f"{family}, none").get_xdata()[0] for family in ("lr", "joint")]
    assert places == pytest.approx([none_place(axis) + 0.9, none_place(axis)])
    assert "none: LR frames never coded" in caption_of(drawn(PAIR))


@pytest.mark.parametrize("against", ["bpp_lr", "bpp_hr", "rate_kbps"])
def test_frames_never_coded_stand_right_of_the_largest_rate(against: Any) -> None:
    axes = grid(drawn(PAIR, against))
    for axis, s, rate in ((axes[1, 0], 3, 1.0), (axes[1, 1], 4, 3.0)):
        assert axis.get_xscale() == "log"
        unit = {"bpp_lr": 1, "bpp_hr": 1 / s**2, "rate_kbps": 230.4 / s**2}[against]
        np.testing.assert_allclose(line(axis, "lr").get_xdata(), rate * unit * np.array([1, 0.5, 0.25, 0.125]))
        assert rate * unit < line(axis, "lr, none").get_xdata()[0] < axis.get_xlim()[1]
        assert rate * unit < none_place(axis) < axis.get_xlim()[1]
        ticks = [tick.get_position()[0] for tick in axis.get_xticklabels() if tick.get_text() != "none"]
        assert len(ticks) >= 2
        assert max(ticks) <= rate * unit
        assert max(axis.get_xticks(minor=True)) <= rate * unit


def test_without_frames_never_coded_there_is_no_place_for_them() -> None:
    figure = drawn([curve("lr-3", 3, still=None)])
    axis = grid(figure)[1, 0]
    assert [tick.get_text() for tick in axis.get_xticklabels()] == ["18", "24", "30", "36"]
    assert not [each for each in axis.lines if "none" in each.get_label()]
    assert caption_of(figure).endswith("bands: 95 % bootstrap over subjects and seeds")


@given(st.floats(0.01, 50), st.floats(1, 1000), st.sampled_from(["qp", "bpp_lr"]), st.floats(0, 1))
def test_what_was_never_coded_is_off_the_axis_of_what_was(low: float, ratio: float, against: Any, share: float) -> None:
    shown = curve("lr-3", 3, levels=(0.5, 0.4), values=(low, low * ratio), rate=low)
    across = _Across.of([shown], against, 0.2)
    assert across.low < across.high
    values = [point.value if against == "qp" else point.bpp_lr for point in shown.points]
    assert across.low <= min(values) * (1 + 1e-12)
    assert max(values) <= across.high * (1 + 1e-12)
    place = across.none_at(share)
    assert place > across.high if against == "bpp_lr" else place < across.low


@pytest.mark.parametrize(
    ("low", "high", "inches", "expected"),
    [
        (0.0134, 0.0172, 1.95, ["0.014", "0.016"]),
        (0.0134, 0.0172, 3.9, ["0.014", "0.015", "0.016", "0.017"]),
        (0.0125, 0.0435, 1.95, ["0.015", "0.03"]),
    ],
)
def test_ticks_are_as_many_as_there_is_room_for(low: float, high: float, inches: float, expected: list[str]) -> None:
    axis = Figure().subplots()
    across = _Across("bpp_hr", low, high, 0.3)
    across.prepare(axis, 4, inches)
    assert [tick.get_text() for tick in axis.get_xticklabels()] == [*expected, "none"]
    assert [across.share(each) for each in (low, across.at(0.25), high)] == pytest.approx([0, 0.25, 1])


def test_a_point_that_is_not_defined_breaks_its_line_alone() -> None:
    axis = grid(drawn([curve("lr-3", 3, levels=(NAN, 0.58, 0.5, 0.3)), curve("joint-3", 3)]))[1, 0]
    assert np.isnan(line(axis, "lr").get_ydata()).tolist() == [True, False, False, False]
    assert line(axis, "lr to none").get_xdata()[0] == 24


def test_one_person_has_no_band_and_the_caption_says_why() -> None:
    curves = [curve("lr-3", 3, half=NAN, people=("anna",)), ceiling(half=NAN, people=("anna",))]
    figure = drawn(curves)
    said = caption_of(figure)
    assert "1 person of dev, 1000 frames" in said
    assert "no bands: one person tells nothing of others" in said
    for axis in figure.axes:
        band = next(each for each in axis.collections if each.get_label() == "lr")
        assert not len(band.get_paths())


def test_bands_that_are_not_defined_everywhere_are_told_apart_from_none() -> None:
    known = curve("lr-3", 3)
    first = replace(known.points[0], metrics=curve("lr-3", 3, half=NAN).points[0].metrics)
    some = replace(known, points=(first, *known.points[1:]))
    assert "bands and bars: 95 % bootstrap over subjects and seeds, where one is defined" in caption_of(drawn([some]))
    nowhere = caption_of(drawn([curve("lr-3", 3, half=NAN)]))
    assert "no bands: no resample of the people defines them" in nowhere


def test_a_single_point_has_a_bar_for_its_interval() -> None:
    axis = grid(drawn([curve("lr-3", 3, levels=(0.5,), values=(24,), still=None)]))[1, 0]
    assert list(line(axis, "lr").get_xdata()) == [24]
    assert list(line(axis, "interval").get_ydata()) == pytest.approx([0.45, 0.525])
    assert not axis.collections


def test_the_caption_says_whom_the_curves_are_of_and_what_was_left_out() -> None:
    curves = [
        curve("lr-3", 3, n_left_out=2),
        curve("joint-3", 3, n_left_out=2),
        curve("lr-4", 4, n_left_out=1),
    ]
    assert caption_of(drawn(curves)) == (
        "8 people of dev, 1000 frames; seeds 0, 1; x264, QP 18–36; CC and CCC against the labels (valence); "
        "3 points of other sequences, seeds or weights left out; bands and bars: 95 % bootstrap over subjects and "
        "seeds; none: LR frames never coded"
    )


def test_the_caption_says_where_curves_are_of_others() -> None:
    said = caption_of(drawn([curve("lr-3", 3, seeds=(4,)), curve("joint-3", 3, people=("anna", "bo"))]))
    assert "2–8 people of dev, 1000 frames; 1–2 seeds a method" in said
    assert "not every curve is of the same sequences" in said


def test_fidelity_is_called_fidelity() -> None:
    figure = drawn([curve("lr-3", 3, reference="fidelity", seeds=(7,), mode="crf", codec='x265 {"preset":"slow"}')])
    assert [axis.get_ylabel() for axis in figure.axes] == ["CC, fidelity", "CCC, fidelity"]
    assert figure.axes[1].get_xlabel() == "CRF"
    assert caption_of(figure).startswith(
        '8 people of dev, 1000 frames; seed 7; x265 {"preset":"slow"}, CRF 18–36; fidelity (valence): CC and CCC '
        "against what the same network says of the uncoded HR frames; bands and bars: 95 % bootstrap over subjects;"
    )


def test_a_method_that_reads_hr_frames_alone_is_no_curve_of_a_factor() -> None:
    others = [curve("lr-3", 3), replace(ceiling(0.66), method="joint-oa"), ceiling()]
    assert legend_of(drawn(others)) == ["lr", "joint-oa on HR frames", "hr on HR frames"]


@pytest.mark.parametrize(
    ("curves", "chosen", "message"),
    [
        (
            [curve("lr-3", 3), curve("lr-3", 3, codec="x265")],
            {},
            "2 codecs or modes in one picture would not be told apart; choose one of codec='x264', mode='qp'; "
            "codec='x265', mode='qp'",
        ),
        (
            [curve("lr-3", 3), curve("lr-3", 3, mode="crf"), curve("lr-3", 3, codec="x265")],
            {"codec": "x264"},
            "2 codecs or modes in one picture would not be told apart; choose one of codec='x264', mode='crf'; "
            "codec='x264', mode='qp'",
        ),
        ([curve("lr-3", 3)], {"codec": "vp9"}, "nothing of codec 'vp9'; there is codec='x264', mode='qp'"),
        ([curve("lr-3", 3)], {"codec": "x264", "mode": "crf"}, "nothing of codec 'x264' and mode 'crf'; there is"),
        (
            [curve("lr-3", 3), curve("lr-3", 3, label="arousal")],
            {},
            "2 labels in one picture: arousal, valence; choose one, as label='arousal'",
        ),
        ([curve("lr-3", 3)], {"label": "joy"}, "no curve of label 'joy'; there are valence"),
        (
            [curve("lr-3", 3), curve("lr-3", 3, reference="fidelity")],
            {},
            "curves against fidelity and label are not comparable; draw those of one reference",
        ),
        ([ceiling()], {}, "no curve with points: no network was shown decoded frames"),
        ([], {}, "no curve with points: no network was shown decoded frames"),
        (
            [curve("lr-3", 3)],
            {"against": "psnr"},
            "against='psnr': recognition is drawn against qp, bpp_lr, bpp_hr, rate",
        ),
        (
            [curve("lr-3", 3)],
            {"measures": ("ccc", "f1")},
            "measures=ccc, f1: one or more of rmse, cc, ccc, ccc_within can be drawn",
        ),
        (
            [curve("lr-3", 3, mode="bitrate")],
            {},
            "against='qp': these streams were asked for by bit rate; draw against='rate_kbps'",
        ),
        (
            [curve(f"lr-{s}", s) for s in (2, *SCALES)],
            {},
            "7 factors (2, 3, 4, 6, 8, 12, 16): 6 fit; pass the curves of fewer",
        ),
    ],
)
def test_what_one_picture_would_mix_up_is_refused(
    curves: list[Curve], chosen: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        plot_figure4(curves, tmp_path / "f.png", **chosen)
    assert not list(tmp_path.iterdir())


def test_the_chosen_label_codec_and_mode_are_drawn() -> None:
    curves = [
        curve("lr-3", 3, levels=(0.1, 0.2, 0.3, 0.4)),
        curve("lr-3", 3, codec="x265"),
        curve("lr-3", 3, label="arousal"),
        ceiling(),
        ceiling(label="arousal"),
    ]
    figure = drawn(curves, label="valence", codec="x264")
    assert list(line(figure.axes[1], "lr").get_ydata()) == [0.1, 0.2, 0.3, 0.4]
    assert legend_of(figure) == ["lr", "hr on HR frames"]


def test_bit_rates_are_drawn_against_the_rate() -> None:
    figure = drawn([curve("lr-3", 3, mode="bitrate", values=(40, 20, 10, 5))], "rate_kbps")
    assert "x264, bit rate 5–40 kbit/s" in caption_of(figure)


@pytest.mark.parametrize(
    ("against", "n_factors"), [("qp", 1), ("qp", 6), ("bpp_lr", 2), ("bpp_lr", 6), ("bpp_hr", 3), ("rate_kbps", 6)]
)
def test_text_is_legible(against: Any, n_factors: int) -> None:
    curves = [
        curve(f"{family}-{s}", s, values=(18, 20, 31, 40), rate=rate)
        for family in FAMILIES
        for s, rate in zip(SCALES[:n_factors], (1.1, 2, 1.5, 3, 7, 12), strict=False)
    ]
    assert_text_is_legible(drawn([*curves, ceiling()], against))


def test_the_picture_is_written_as_png_and_pdf_and_the_same_each_time(tmp_path: Path) -> None:
    first = plot_figure4(PAIR, tmp_path / "a.png")
    assert [path.name for path in first] == ["a.png", "a.pdf"]
    assert first[0].read_bytes().startswith(b"\x89PNG")
    assert first[1].read_bytes().startswith(b"%PDF")
    second = plot_figure4(PAIR, tmp_path / "b.png")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


GAINS = [curve("lr-3", 3), on_anchor(curve("joint-3", 3), "lr-3"), on_anchor(curve("joint-4", 4), "lr-4"), ceiling()]


def gain_figure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, curves: list[Curve], **chosen: Any) -> Figure:
    """The figure that `plot_gain` saves."""
    saved: list[Figure] = []
    monkeypatch.setattr("pipelines.figures.recognition.save", lambda figure, _: saved.append(figure))
    plot_gain(curves, tmp_path / "gain.png", **chosen)
    return saved[0]


def test_gains_are_drawn_around_the_anchor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    figure = gain_figure(monkeypatch, tmp_path, GAINS)
    axes = grid(figure)
    assert legend_of(figure) == ["joint"]
    assert [axis.get_ylabel() for axis in axes[:, 0]] == ["CC\ngain on lr", "CCC\ngain on lr"]
    for axis in axes.flat:
        assert set(line(axis, "as lr").get_ydata()) == {0}
    np.testing.assert_allclose(line(axes[1, 0], "joint").get_ydata(), [0.0, 0.1, 0.2, 0.3], atol=1e-12)
    np.testing.assert_allclose(line(axes[1, 1], "joint, none").get_ydata(), [-0.1])
    said = caption_of(figure)
    assert "gain on lr in the same streams: CC and CCC against the labels (valence);" in said
    assert "bands and bars: paired 95 % bootstrap over subjects and seeds" in said
    assert_text_is_legible(figure)


def test_curves_that_are_no_gain_have_no_line_at_0() -> None:
    assert not any(each.get_label().startswith("as ") for axis in drawn(PAIR).axes for each in axis.lines)


@pytest.mark.parametrize(
    ("curves", "why"),
    [
        (PAIR, "no gain is known: no other method was shown the same streams as the anchor, with labels"),
        ([*GAINS, on_anchor(curve("lr-3", 3), "joint-3")], "gains on joint and lr in one picture would not be told"),
    ],
)
def test_gains_that_are_not_known_or_not_on_one_family_are_refused(
    tmp_path: Path, curves: list[Curve], why: str
) -> None:
    with pytest.raises(UsageError, match=why):
        plot_gain(curves, tmp_path / "gain.png")
    assert not list(tmp_path.iterdir())
