"""Tables of curves and deltas: what stands where, how wide, and that the CSV gives back every figure."""

import csv
import io
import math
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from codecsim.channel import channel
from pipelines.console import table
from pipelines.curve import MEASURES, RATES, Curve
from pipelines.curve_tables import (
    curves_csv,
    curves_table,
    curves_text,
    deltas_csv,
    deltas_table,
    gains_table,
    refusals,
)
from pipelines.deltas import Compared, deltas
from pipelines.tables import to_markdown
from recognition.intervals import Interval
from tests.pipelines.handmade import NOWHERE, ceiling, curve, interval

WIDTH = 110


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def a_curve(**told: Any) -> Curve:
    """Saturates at QP 20: the third point loses 0.015 ± 0.02, the fourth 0.2 ± 0.02."""
    return curve([0.4, 0.2, 0.1, 0.05], [0.80, 0.79, 0.785, 0.60], **told)


def lossy(loss: float, *, burst: float | None = None, seed: int = 0, levels: list[float], **told: Any) -> Curve:
    """A curve through a channel, of which an eighth of the frames are concealed and half are damaged."""
    made = curve([0.4, 0.2, 0.1, 0.05], levels, channel=channel(loss, burst, seed), **told)
    return replace(made, points=tuple(replace(point, concealed=0.125, damaged=0.5) for point in made.points))


# CSV of curves


def test_the_csv_has_a_row_a_point_after_the_one_of_uncompressed_frames() -> None:
    rows = read(curves_csv([ceiling(), a_curve()]))
    assert [(row["method"], row["value"]) for row in rows] == [
        ("hr", "none"),
        *(("lr-3", value) for value in ("none", "18", "19", "20", "21")),
    ]
    assert curves_csv([]) == (
        "codec,mode,s,method,label,reference,loss,burst,loss_seed,value,bpp_lr,bpp_hr,rate_kbps,concealed,damaged,"
        "rmse,rmse_low,rmse_high,cc,cc_low,cc_high,ccc,ccc_low,ccc_high,"
        "ccc_within,ccc_within_low,ccc_within_high,lost_ccc,lost_ccc_low,lost_ccc_high,"
        "anchor,gain_rmse,gain_rmse_low,gain_rmse_high,gain_cc,gain_cc_low,gain_cc_high,gain_ccc,gain_ccc_low,gain_ccc_high,"
        "gain_ccc_within,gain_ccc_within_low,gain_ccc_within_high,"
        "on_hull,saturates_at,splits,n_sequences,n_subjects,n_frames,seeds\n"
    )
    at_20 = rows[4]
    assert [at_20[name] for name in ("codec", "mode", "s", "label", "reference")] == [
        "x264",
        "qp",
        "3",
        "valence",
        "label",
    ]
    assert [float(at_20[name]) for name in ("ccc", "ccc_low", "ccc_high")] == [0.785, 0.785 - 0.02, 0.785 + 0.02]
    assert at_20["bpp_hr"] == "0.1"
    assert float(at_20["lost_ccc"]) == 0.785 - 0.80
    assert [at_20[name] for name in ("saturates_at", "splits", "n_sequences", "n_subjects", "n_frames", "seeds")] == [
        "20", "dev", "3", "2", "300", "0 1",
    ]  # fmt: skip


def test_the_csv_marks_the_points_on_the_hull_over_all_factors_of_a_family() -> None:
    cheap = curve([0.02, 0.04], [0.5, 0.7], s=4, method="joint-4")
    dear = curve([0.03, 0.08], [0.55, 0.9], s=3, method="joint-3")
    rows = read(curves_csv([cheap, dear, curve([0.01, 0.5], [0.1, 0.2], method="lr-3"), ceiling(0.9)]))
    marks = {(row["method"], row["value"]): row["on_hull"] for row in rows}
    assert [marks[key] for key in (("joint-4", "18"), ("joint-4", "19"))] == ["1", "1"]
    assert [marks[key] for key in (("joint-3", "18"), ("joint-3", "19"))] == ["0", "1"]
    assert [marks[key] for key in (("lr-3", "18"), ("lr-3", "19"), ("lr-3", "none"), ("hr", "none"))] == [
        "1", "1", "", "",
    ]  # fmt: skip


def test_the_csv_says_the_channel_and_repeats_no_uncompressed_row() -> None:
    worse = lossy(0.1, burst=4, seed=2, levels=[0.7, 0.6, 0.5, 0.4])
    rows = read(curves_csv([ceiling(), a_curve(), worse]))
    channels = [(row["loss"], row["burst"], row["loss_seed"]) for row in rows]
    assert channels == [("0", "0", "-1")] * 6 + [("0.1", "4", "2")] * 4
    assert [row["value"] for row in rows[6:]] == ["18", "19", "20", "21"]
    assert [(row["concealed"], row["damaged"]) for row in rows[5:7]] == [("0", "0"), ("0.125", "0.5")]
    assert rows[0]["concealed"] == rows[1]["damaged"] == ""
    # The hull is over points of one channel: the corners of both are there.
    assert [row["on_hull"] for row in rows[2:]] == ["1", "0", "1", "1", "1", "1", "1", "1"]


def test_frames_that_were_never_coded_have_no_rate_and_lose_nothing() -> None:
    hr, uncompressed, *_ = read(curves_csv([ceiling(0.9), a_curve()]))
    for row, ccc in ((hr, 0.9), (uncompressed, 0.8)):
        assert [row[name] for name in (*RATES, "lost_ccc", "lost_ccc_low", "lost_ccc_high")] == [""] * 6
        assert float(row["ccc"]) == ccc
    assert [hr[name] for name in ("codec", "mode", "s", "saturates_at")] == ["", "", "1", ""]


def test_what_is_not_known_is_empty_and_what_is_not_defined_is_nan() -> None:
    made = a_curve(uncompressed={}, half=NOWHERE)
    points = tuple(replace(point, lost_ccc=None) for point in made.points)
    rows = read(curves_csv([replace(made, points=points)]))
    assert [row["value"] for row in rows] == ["18", "19", "20", "21"]
    assert {(row["lost_ccc"], row["lost_ccc_low"], row["saturates_at"], row["ccc_low"]) for row in rows} == {
        ("", "", "", "nan")
    }


def test_the_csv_has_the_gain_on_the_anchor_where_it_is_known() -> None:
    joint = a_curve(method="joint-3", anchor="lr-3", uncompressed_gain={"ccc": Interval(0.25, 0.125, 0.5, 0)})
    points = (replace(joint.points[0], gain={"ccc": Interval(-0.25, -0.5, 0.125, 0)}), *joint.points[1:])
    rows = read(curves_csv([a_curve(), replace(joint, points=points)]))
    names = ("anchor", "gain_ccc", "gain_ccc_low", "gain_ccc_high")
    told = [[row[name] for name in names] for row in rows]
    assert (
        told == [[""] * 4] * 5 + [["lr-3", "0.25", "0.125", "0.5"], ["lr-3", "-0.25", "-0.5", "0.125"]] + [[""] * 4] * 3
    )


def test_the_table_of_gains_tells_both_ends_of_what_is_known() -> None:
    joint = a_curve(method="joint-3", anchor="lr-3", uncompressed_gain={"ccc": Interval(0.25, 0.125, 0.5, 0)})
    first, second, third, last = joint.points
    points = (
        first,
        replace(second, gain={"ccc": Interval(-0.25, -0.5, 0.125, 0)}),
        replace(third, gain={"ccc": Interval(0.125, NOWHERE, NOWHERE, 0)}),
        last,
    )
    header, rows = gains_table([ceiling(), a_curve(), replace(joint, points=points)])
    assert header == ["method", "s", "against", "CCC gain uncompressed", "at smallest", "at largest"]
    assert rows == [
        ["joint-3", "3", "lr-3", "+0.250 [+0.125, +0.500]", "-0.250 [-0.500, +0.125]", "+0.125"],
    ]
    unknown = gains_table([replace(joint, points=points[1:2], uncompressed_gain={})])[1]
    assert unknown == [["joint-3", "3", "lr-3", "–", *(["-0.250 [-0.500, +0.125]"] * 2)]]
    assert gains_table([a_curve()])[1] == []


@given(st.lists(st.floats(allow_infinity=False), min_size=19, max_size=19))
@settings(deadline=None)
def test_the_csv_gives_back_every_number(numbers: list[float]) -> None:
    made = a_curve(uncompressed={})
    given_ = iter(np.array(numbers))
    metrics = {name: Interval(next(given_), next(given_), next(given_), 0) for name in MEASURES}
    lost = Interval(next(given_), next(given_), next(given_), 0)
    point = replace(
        made.points[0],
        value=next(given_),
        **{rate: next(given_) for rate in RATES},
        metrics=metrics,
        lost_ccc=lost,
    )
    (row,) = read(curves_csv([replace(made, points=(point,))]))
    names = [name + end for name in (*MEASURES, "lost_ccc") for end in ("", "_low", "_high")] + ["value", *RATES]
    back = np.array([float(row[name]) for name in names])
    np.testing.assert_array_equal(back, np.array(numbers))


def test_options_of_a_codec_survive_the_csv() -> None:
    codec = 'x264 {"preset": "slow", "ref": 1}'
    assert {row["codec"] for row in read(curves_csv([a_curve(codec=codec)]))} == {codec}


# Text of curves


def test_the_table_says_what_one_wants_to_know_after_a_sweep() -> None:
    header, rows = curves_table([ceiling(), a_curve()])
    assert header == [
        "method", "s", "CCC uncompressed", "at smallest", "at largest", "saturates", "bpp_lr", "kbit/s",
    ]  # fmt: skip
    assert rows == [
        ["hr", "1", "0.900 [0.880, 0.920]", "–", "–", "–", "–", "–"],
        ["lr-3", "3", "0.800 [0.780, 0.820]", "0.800", "0.600", "20", "0.900", "23.0"],
    ]


def test_what_is_not_known_is_a_dash() -> None:
    nowhere = a_curve(half=NOWHERE)
    never = replace(a_curve(), points=tuple(replace(p, lost_ccc=interval(-0.3)) for p in a_curve().points))
    unknown = a_curve(uncompressed={})
    assert [row[2:6] for row in curves_table([nowhere, never, unknown])[1]] == [
        ["0.800", "0.800", "0.600", "–"],
        ["0.800 [0.780, 0.820]", "0.800", "0.600", "–"],
        ["–", "0.800", "0.600", "20"],
    ]


def test_columns_come_where_curves_differ() -> None:
    made = [ceiling(), a_curve(), a_curve(codec="x265"), a_curve(label="arousal")]
    header, rows = curves_table(made)
    assert header[:3] == ["codec", "label", "method"]
    assert [row[:2] for row in rows] == [["", "valence"], ["x264", "valence"], ["x265", "valence"], ["x264", "arousal"]]
    shorter = a_curve(s=4, method="lr-4", points=a_curve(s=4).points[:2])
    header, rows = curves_table([ceiling(), a_curve(), shorter])
    assert header[0] == "values"
    assert [row[0] for row in rows] == ["–", "qp 18–21", "qp 18–19"]


def test_the_channel_has_columns_where_curves_differ_in_it() -> None:
    levels = [0.7, 0.6, 0.5, 0.4]
    made = [a_curve(), lossy(0.01, levels=levels), lossy(0.1, levels=levels)]
    header, rows = curves_table([ceiling(), *made])
    assert header[:2] == ["loss", "method"]
    assert [row[0] for row in rows] == ["0", "0", "0.01", "0.1"]
    header, rows = curves_table([*made, lossy(0.1, burst=4, seed=3, levels=levels)])
    assert header[:4] == ["loss", "burst", "loss seed", "method"]
    assert [row[:3] for row in rows] == [["0", "–", "0"], ["0.01", "–", "0"], ["0.1", "–", "0"], ["0.1", "4", "3"]]
    assert curves_table([a_curve()])[0][0] == "method"
    assert max(map(len, curves_text([ceiling(), *made]).splitlines())) <= WIDTH


def test_the_text_has_a_block_a_codec_and_label_with_the_ceiling_on_top() -> None:
    made = [ceiling(), a_curve(), a_curve(codec="x265"), a_curve(label="arousal", n_left_out=2), ceiling(label="age")]
    blocks = [block.splitlines() for block in curves_text(made).split("\n\n")]
    assert [block[0] for block in blocks] == [
        "x264, qp 18–21: valence against labels; 2 subjects of dev, 3 sequences, 300 frames; 95 % intervals",
        "x265, qp 18–21: valence against labels; 2 subjects of dev, 3 sequences, 300 frames; 95 % intervals",
        "x264, qp 18–21: arousal against labels; 2 subjects of dev, 3 sequences, 300 frames; 2 points of other "
        "sequences, seeds or weights left out; 95 % intervals",
        "age against labels; 2 subjects of dev, 3 sequences, 300 frames; 95 % intervals",
    ]
    assert [[line.split()[0] for line in block[3:]] for block in blocks] == [
        ["hr", "lr-3"],
        ["hr", "lr-3"],
        ["lr-3"],
        ["hr"],
    ]


def test_the_caption_says_the_reference_and_how_many_where_they_differ() -> None:
    one = a_curve(reference="fidelity", half=NOWHERE, subjects=("anna",), sequences=("a",), n_frames=1)
    other = replace(one, method="joint-3", subjects=("anna", "bo"), n_frames=30)
    caption = curves_text([one, other]).splitlines()[0]
    assert caption == (
        "x264, qp 18–21: valence against the same network on HR frames; 1–2 subjects of dev, 1 sequence, 1–30 frames"
    )


def test_the_caption_counts_a_point_once_that_several_methods_leave_out() -> None:
    left = [(3, "lr-3", 2), (3, "joint-3", 2), (4, "lr-4", 1), (4, "joint-4", 0)]
    made = [a_curve(s=s, method=method, n_left_out=n) for s, method, n in left]
    assert "; 3 points of other sequences, seeds or weights left out" in curves_text(made)


def test_the_text_fits_a_terminal() -> None:
    names = ("non-joint-image-16", "joint-oa", "max-only-12")
    wide = [a_curve(method=name, codec=codec) for codec in ("x264", "svtav1") for name in names]
    low = curve([12.345, 1.2, 0.2], [-0.61, -0.62, -0.63], half=0.3, method="non-joint-image-16", codec="svtav1")
    text = curves_text([ceiling(), *wide, low])
    assert "-0.610 [-0.910, -0.310]" in text
    assert max(map(len, text.splitlines())) <= WIDTH
    assert max(map(len, table(*curves_table([ceiling(), *wide])).splitlines())) <= WIDTH


# Deltas


def compared() -> list[Compared]:
    """One with both figures, one without BD-rate, one without any."""
    rates, cccs = [1.6, 0.8, 0.4, 0.2, 0.1, 0.05], [0.80, 0.78, 0.72, 0.60, 0.45, 0.20]
    better = [ccc + 0.5 for ccc in cccs]
    made = [
        curve(rates, cccs),
        curve([rate / 2 for rate in rates], cccs, method="joint-3"),
        curve(rates, better, method="mix"),
        curve(rates[:3], cccs[:3], method="max-only-3"),
    ]
    return deltas(made, pairs=["methods"])


def test_the_table_of_deltas_has_a_row_a_pair_and_the_reasons_apart() -> None:
    header, rows = deltas_table(compared())
    assert header == ["method", "s", "against", "at s", "rate", "BD-rate", "BD-CCC"]
    assert [row[:5] for row in rows] == [
        [name, "3", "lr-3", "3", "bpp_hr"] for name in ("joint-3", "mix", "max-only-3")
    ]
    assert [row[5:] for row in rows] == [["-50.0 %", "+0.115"], ["–", "+0.500"], ["–", "–"]]
    hardly, few = refusals(compared())
    assert hardly.startswith("CCC of 0.200 to 0.800 of lr-3")
    assert few == "max-only-3 at s = 3 (x264, valence) has 3 points, and a delta takes at least 4"
    assert max(map(len, table(header, rows).splitlines())) <= WIDTH


def test_a_reason_is_said_once() -> None:
    assert refusals(compared() * 2) == refusals(compared())
    assert refusals(compared()[:1]) == []


def test_deltas_of_several_codecs_say_which() -> None:
    pairs = compared()
    others = [replace(each, test=replace(each.test, codec="x265")) for each in pairs]
    header, rows = deltas_table(pairs + others)
    assert header[0] == "codec"
    assert [row[0] for row in rows] == ["x264"] * 3 + ["x265"] * 3


def test_the_csv_of_deltas_gives_back_every_number() -> None:
    rows = read(deltas_csv(compared()))
    for row, each in zip(rows, compared(), strict=True):
        assert (row["method"], row["anchor_method"], row["rate"]) == (each.test.method, "lr-3", "bpp_hr")
        for name in ("bd_rate_percent", "bd_ccc"):
            known = getattr(each.delta, name)
            assert row[name] == ("" if known is None else repr(known))
            assert row[name.removesuffix("_percent") + "_refused"] == ("" if known is not None else each.delta.refused)
    assert math.isclose(float(rows[0]["bd_rate_percent"]), -50)


# Markdown


def test_any_table_is_written_in_markdown() -> None:
    assert (
        to_markdown((["a", "b|c"], [["1", "2"], ["3", "|"]]))
        == "| a | b\\|c |\n| --- | --- |\n| 1 | 2 |\n| 3 | \\| |\n"
    )
    lines = to_markdown(curves_table([ceiling(), a_curve()])).splitlines()
    assert len(lines) == 4
    assert {line.count("|") for line in lines} == {9}
