"""Bjøntegaard deltas: against closed forms and integrals made elsewhere, and refused where they would mean nothing."""

import math
from dataclasses import replace
from typing import Any

import bjontegaard
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import Akima1DInterpolator, PchipInterpolator

from codecsim.channel import channel
from codecsim.errors import UsageError
from pipelines.curve import Curve
from pipelines.deltas import Delta, delta, deltas
from tests.pipelines.handmade import NOWHERE, ceiling, curve

RATES = [1.6, 0.8, 0.4, 0.2, 0.1, 0.05]
CCCS = [0.80, 0.78, 0.72, 0.60, 0.45, 0.20]
EXACT = 1e-9
"""Relative: the package goes through decimal logarithms and back."""


def moved(found: Curve, *, rate: float = 1.0, ccc: float = 0.0, **told: Any) -> Curve:
    """A curve at other rates (a factor), and CCCs (a summand)."""
    rates, cccs = rate * found.rates("bpp_hr"), found.estimates("ccc") + ccc
    return curve(rates.tolist(), cccs.tolist(), **told)


def figures(found: Delta) -> tuple[float, float]:
    assert found.bd_rate_percent is not None, found.refused
    assert found.bd_ccc is not None, found.refused
    assert found.refused == ""
    return found.bd_rate_percent, found.bd_ccc


# What it is


def test_twice_the_rate_is_plus_100_percent() -> None:
    anchor = curve(RATES, CCCS)
    assert figures(delta(anchor, moved(anchor, rate=2)))[0] == pytest.approx(100, rel=EXACT)
    assert figures(delta(anchor, moved(anchor, rate=0.5)))[0] == pytest.approx(-50, rel=EXACT)


def test_a_higher_ccc_at_the_same_rates_is_what_it_gains() -> None:
    anchor = curve(RATES, CCCS)
    assert figures(delta(anchor, moved(anchor, ccc=0.1)))[1] == pytest.approx(0.1, rel=EXACT)
    assert figures(delta(anchor, moved(anchor, ccc=-0.05)))[1] == pytest.approx(-0.05, rel=EXACT)


def test_a_curve_gains_nothing_on_itself() -> None:
    anchor = curve(RATES, CCCS)
    assert figures(delta(anchor, anchor)) == (0, 0)


def test_cc_is_measured_where_it_is_asked_for() -> None:
    anchor = curve(RATES, CCCS)
    test = replace(moved(anchor, ccc=0.1), points=anchor.points)
    assert figures(delta(anchor, test, measure="cc"))[1] == 0
    risen = [replace(p, metrics={**p.metrics, "cc": p.metrics["ccc"]}) for p in anchor.points]
    assert figures(delta(anchor, replace(anchor, points=tuple(risen)), measure="cc"))[1] == pytest.approx(-0.01)


def test_deltas_are_integrals_of_monotone_cubics() -> None:
    """By the mid-point rule on a fine grid, over what both have in common."""
    anchor = curve(RATES, CCCS)
    test = curve([1.5, 0.9, 0.45, 0.3, 0.13, 0.07], [0.83, 0.79, 0.76, 0.70, 0.55, 0.30])
    (rates_a, cccs_a), (rates_t, cccs_t) = (
        (np.log(each.rates("bpp_hr"))[::-1], each.estimates("ccc")[::-1]) for each in (anchor, test)
    )
    at = np.linspace(0.30, 0.80, 200_001)
    at = (at[1:] + at[:-1]) / 2
    log_ratio = (PchipInterpolator(cccs_t, rates_t)(at) - PchipInterpolator(cccs_a, rates_a)(at)).mean()
    at = np.linspace(math.log(0.07), math.log(1.5), 200_001)
    at = (at[1:] + at[:-1]) / 2
    gain = (PchipInterpolator(rates_t, cccs_t)(at) - PchipInterpolator(rates_a, cccs_a)(at)).mean()
    bd_rate, bd_ccc = figures(delta(anchor, test))
    assert bd_rate == pytest.approx(100 * math.expm1(log_ratio), rel=1e-6)
    assert bd_ccc == pytest.approx(gain, rel=1e-6)
    assert bd_rate < 0 < bd_ccc


def test_each_rate_is_the_one_asked_for() -> None:
    anchor = curve(RATES, CCCS)
    halved = replace(anchor, points=tuple(replace(p, rate_kbps=p.rate_kbps / 2) for p in anchor.points))
    assert figures(delta(anchor, halved, rate="rate_kbps"))[0] == pytest.approx(-50, rel=EXACT)
    assert figures(delta(anchor, halved, rate="bpp_hr"))[0] == 0
    assert figures(delta(anchor, halved, rate="bpp_lr"))[0] == 0


_RISING = st.lists(st.tuples(st.floats(0.1, 1), st.floats(0.01, 0.1)), min_size=4, max_size=9)


def from_steps(steps: list[tuple[float, float]]) -> Curve:
    """A rising curve by its steps in the logarithm of the rate, and in CCC."""
    log_rates, cccs = np.cumsum(np.array(steps), axis=0).T
    return curve(np.exp(log_rates - 3).tolist(), cccs.tolist())


@given(_RISING, _RISING, st.floats(0.01, 100))
@settings(deadline=None)
def test_what_scaling_and_swapping_do(first: list[Any], second: list[Any], factor: float) -> None:
    anchor, test = from_steps(first), from_steps(second)
    found, swapped = delta(anchor, test), delta(test, anchor)
    scaled = delta(moved(anchor, rate=factor), moved(test, rate=factor))
    assert (found.bd_rate_percent is None, found.bd_ccc is None) == (
        swapped.bd_rate_percent is None,
        swapped.bd_ccc is None,
    )
    if found.bd_rate_percent is not None:
        assert scaled.bd_rate_percent is not None
        assert swapped.bd_rate_percent is not None
        ratio = 1 + found.bd_rate_percent / 100
        assert 1 + scaled.bd_rate_percent / 100 == pytest.approx(ratio, rel=1e-7)
        assert 1 + swapped.bd_rate_percent / 100 == pytest.approx(1 / ratio, rel=1e-7)
    if found.bd_ccc is not None:
        assert swapped.bd_ccc == pytest.approx(-found.bd_ccc, abs=1e-12)


@given(_RISING, st.randoms())
@settings(deadline=None)
def test_points_may_come_in_any_order(steps: list[Any], random: Any) -> None:
    anchor, shuffled = curve(RATES, CCCS), from_steps(steps)
    points = list(shuffled.points)
    random.shuffle(points)
    assert delta(anchor, replace(shuffled, points=tuple(points))) == delta(anchor, shuffled)


# PCHIP, not Akima


def test_akima_bends_back_where_a_curve_saturates_and_pchip_does_not() -> None:
    cccs, log_rates = np.array([0.30, 0.60, 0.78, 0.80, 0.805]), np.array([-3.0, -2.0, -1.9, 0.0, 1.0])
    fine = np.linspace(0.30, 0.805, 5001)
    assert np.diff(Akima1DInterpolator(cccs, log_rates)(fine)).min() < -1e-5
    assert np.diff(PchipInterpolator(cccs, log_rates)(fine)).min() >= 0
    anchor = curve(np.exp(log_rates).tolist(), cccs.tolist())
    assert figures(delta(anchor, moved(anchor, rate=2)))[0] == pytest.approx(100, rel=EXACT)


def logistic(middle: float, width: float, top: float, n: int, shifts: Any) -> tuple[Any, Any]:
    log_rates = np.linspace(-2, 2.5, n) + shifts
    return log_rates, top / (1 + np.exp((middle - log_rates) / width))


def mean_log_rate(middle: float, width: float, top: float, low: float, high: float) -> float:
    """Of a logistic curve, over CCC from low to high: the integral of its inverse, in closed form."""

    def inverse_integral(q: float) -> float:
        return middle * q + width * ((top - q) * math.log(top - q) + q * math.log(q))

    return (inverse_integral(high) - inverse_integral(low)) / (high - low)


def test_pchip_is_nearer_to_the_truth_of_logistic_curves() -> None:
    """The figures that the module states: curves whose BD-rate is known, sampled at few points."""
    draw = np.random.default_rng(0)
    errors: dict[str, list[float]] = {"pchip": [], "akima": []}
    bends = 0
    for _ in range(400):
        shapes = [draw.uniform((-0.5, 0.2, 0.7), (0.5, 0.6, 0.9)).tolist() for _ in "at"]
        n = int(draw.integers(4, 12))
        (rates_a, cccs_a), (rates_t, cccs_t) = (logistic(*shape, n, draw.uniform(-0.1, 0.1, n)) for shape in shapes)
        common = max(cccs_a[0], cccs_t[0]), min(cccs_a[-1], cccs_t[-1])
        truth = mean_log_rate(*shapes[1], *common) - mean_log_rate(*shapes[0], *common)
        for method, found in errors.items():
            percent = bjontegaard.bd_rate(
                np.exp(rates_a), cccs_a, np.exp(rates_t), cccs_t, method=method, min_overlap=0
            )
            found.append(abs(math.expm1(math.log1p(percent / 100) - truth)))
        sampled = [(cccs, Akima1DInterpolator(cccs, rates)) for rates, cccs in ((rates_a, cccs_a), (rates_t, cccs_t))]
        bends += any(np.diff(f(np.linspace(cccs[0], cccs[-1], 2001))).min() < -1e-9 for cccs, f in sampled)
    off = {method: 100 * float(np.mean(found)) for method, found in errors.items()}
    assert off == {"pchip": pytest.approx(1.0, abs=0.05), "akima": pytest.approx(2.5, abs=0.05)}
    assert bends == 26


# What is pooled


def test_what_wiggles_within_its_intervals_is_one_point() -> None:
    """The three points at the top become one, at their geometric mean rate and mean CCC."""
    wiggling = curve([1.6, 0.8, 0.4, 0.2, 0.1, 0.05], [0.76, 0.77, 0.78, 0.60, 0.45, 0.20])
    pooled = curve([0.8, 0.2, 0.1, 0.05], [0.77, 0.60, 0.45, 0.20])
    anchor = curve(RATES, CCCS)
    assert figures(delta(anchor, wiggling)) == pytest.approx(figures(delta(anchor, pooled)), rel=EXACT)


def test_points_of_the_same_rate_are_one_point() -> None:
    anchor = curve(RATES, CCCS)
    twice = curve([1.6, *RATES], [0.79, 0.81, *CCCS[1:]])
    assert figures(delta(anchor, twice)) == pytest.approx((0, 0), abs=1e-9)


def test_a_tied_point_weighs_as_many_as_it_is() -> None:
    wiggling = curve([0.8, 0.8, 0.4, 0.2, 0.1, 0.05], [0.76, 0.77, 0.78, 0.60, 0.45, 0.20])
    pooled = curve([2 ** (2 / 3) * 0.4, 0.2, 0.1, 0.05], [0.77, 0.60, 0.45, 0.20])
    anchor = curve(RATES, CCCS)
    assert figures(delta(anchor, wiggling)) == pytest.approx(figures(delta(anchor, pooled)), rel=EXACT)


def test_a_curve_that_saturates_almost_everywhere_is_refused() -> None:
    flat = curve(RATES, [0.700, 0.701, 0.702, 0.703, 0.60, 0.45])
    found = delta(curve(RATES, CCCS), flat)
    reason = "lr-3 at s = 3 (x264, valence) has 3 points of 6 left where it rises, and a delta takes at least 4"
    assert found == Delta(None, None, reason, reason)


# What is refused


def test_a_fall_beyond_the_intervals_is_refused_with_its_figures() -> None:
    falling = curve(RATES, [0.80, 0.78, 0.72, 0.50, 0.545, 0.20])
    found = delta(curve(RATES, CCCS), falling)
    assert found.bd_rate_percent is found.bd_ccc is None
    assert found.refused == found.bd_rate_refused == found.bd_ccc_refused
    assert found.refused == (
        "lr-3 at s = 3 (x264, valence) is not monotone: CCC falls from 0.545 [0.525, 0.565] at 0.1 bpp_hr "
        "to 0.500 [0.480, 0.520] at 0.2 bpp_hr, by more than its 95 % intervals allow"
    )
    in_kbps = delta(falling, curve(RATES, CCCS), rate="rate_kbps").refused
    assert "at 23 kbit/s to 0.500 [0.480, 0.520] at 46.1 kbit/s" in in_kbps


def test_a_fall_between_points_apart_is_seen_though_each_step_is_within_the_intervals() -> None:
    sinking = curve([3.2, *RATES], [0.70, 0.73, 0.76, 0.79, 0.60, 0.45, 0.20])
    assert "CCC falls from 0.790 [0.770, 0.810] at 0.4 bpp_hr to 0.700" in delta(curve(RATES, CCCS), sinking).refused
    assert delta(curve(RATES, CCCS), replace(sinking, points=sinking.points[2:])).bd_ccc is not None


def test_without_intervals_any_fall_counts() -> None:
    falling = curve(RATES, [0.80, 0.779, 0.78, 0.60, 0.45, 0.20], half=NOWHERE)
    reason = delta(curve(RATES, CCCS), falling).refused
    assert "from 0.780 at 0.4 bpp_hr to 0.779 at 0.8 bpp_hr, and without intervals (a single subject) any" in reason
    rising = curve(RATES, CCCS, half=NOWHERE)
    assert figures(delta(rising, rising)) == (0, 0)


def test_few_points_are_refused() -> None:
    three = curve(RATES[:3], CCCS[:3])
    assert "has 3 points, and a delta takes at least 4" in delta(curve(RATES, CCCS), three).refused
    assert "has 1 point, and" in delta(curve([1], [0.5]), three).refused
    assert delta(ceiling(), three).refused == "hr at s = 1 (valence) has 0 points, and a delta takes at least 4"


def test_what_is_not_a_number_is_refused() -> None:
    anchor = curve(RATES, CCCS)
    undefined = curve(RATES, [*CCCS[:5], math.nan])
    assert delta(anchor, undefined).refused == "lr-3 at s = 3 (x264, valence): CCC is not defined at qp 23"
    without_rate = curve([math.nan, *RATES[1:]], CCCS)
    assert "nan bpp_hr at qp 18 is not a rate" in delta(without_rate, anchor).refused
    assert "inf bpp_hr at qp 18 is not a rate" in delta(curve([math.inf, *RATES[1:]], CCCS), anchor).refused
    assert "0 bpp_hr at qp 18 is not a rate" in delta(curve([0, *RATES[1:]], CCCS), anchor).refused


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ({"label": "arousal"}, "tell different labels"),
        ({"reference": "fidelity"}, "are measured against different references, fidelity and label"),
        ({"sequences": ("a", "b")}, "are of different sequences, 2 and 3 with 2 in common; evaluate both on the same"),
        ({"sequences": ("a", "b", "d")}, "are of different sequences, 3 and 3 with 2 in common"),
    ],
)
def test_what_is_not_comparable_is_refused(told: dict[str, Any], reason: str) -> None:
    anchor, test = curve(RATES, CCCS), curve(RATES, CCCS, method="joint-3", **told)
    found = delta(anchor, test)
    assert found.bd_rate_percent is found.bd_ccc is None
    assert reason in found.refused
    assert found.refused.startswith("joint-3 at s = 3")


def test_factors_are_compared_by_hr_pixels_and_seconds_alone() -> None:
    anchor = curve(RATES, CCCS)
    test = moved(anchor, rate=0.5, s=4, method="lr-4")
    assert "differ in their LR pixels, so bpp_lr does not compare them; take bpp_hr or rate_kbps" in (
        delta(anchor, test, rate="bpp_lr").refused
    )
    for rate in ("bpp_hr", "rate_kbps"):
        assert figures(delta(anchor, test, rate=rate))[0] == pytest.approx(-50, rel=EXACT)


def test_codecs_are_comparable() -> None:
    anchor = curve(RATES, CCCS)
    assert figures(delta(anchor, moved(anchor, rate=0.5, codec="x265"), rate="bpp_lr"))[0] == pytest.approx(-50)


def test_bd_rate_alone_is_refused_where_cccs_hardly_overlap() -> None:
    anchor = curve(RATES, CCCS)
    found = delta(anchor, curve(RATES, [0.98, 0.97, 0.95, 0.90, 0.80, 0.70], method="joint-3"))
    assert found.bd_rate_percent is None
    assert found.bd_rate_refused == (
        "CCC of 0.200 to 0.800 of lr-3 at s = 3 (x264, valence) and 0.700 to 0.980 of joint-3 at s = 3 (x264, valence) "
        "have 35 % of the smaller range in common, and BD-rate takes at least 50 %"
    )
    assert found.bd_ccc_refused == ""
    assert found.bd_ccc == pytest.approx(0.3, abs=0.1)
    assert found.refused == found.bd_rate_refused


def test_bd_ccc_alone_is_refused_where_rates_hardly_overlap() -> None:
    anchor = curve(RATES, CCCS)
    found = delta(anchor, moved(anchor, rate=16))
    assert found.bd_rate_percent == pytest.approx(1500, rel=EXACT)
    assert found.bd_ccc is None
    assert found.bd_rate_refused == ""
    assert found.bd_ccc_refused == (
        "rates of 0.05 to 1.6 bpp_hr of lr-3 at s = 3 (x264, valence) and 0.8 to 25.6 bpp_hr of lr-3 at s = 3 "
        "(x264, valence) have 20 % of the smaller logarithmic range in common, and BD-CCC takes at least 50 %"
    )


def test_half_of_the_smaller_range_is_enough() -> None:
    anchor = curve(RATES, CCCS)
    assert delta(anchor, moved(anchor, ccc=0.29)).bd_rate_percent is not None
    assert delta(anchor, moved(anchor, ccc=0.31)).bd_rate_percent is None
    within = curve([0.21, 0.205, 0.202, 0.199], [0.615, 0.61, 0.605, 0.60])
    assert figures(delta(anchor, within))


def test_both_may_be_refused_each_with_its_reason() -> None:
    anchor = curve(RATES, CCCS)
    found = delta(anchor, moved(anchor, rate=100, ccc=-1))
    assert "0 % of the smaller range" in found.bd_rate_refused
    assert "0 % of the smaller logarithmic range" in found.bd_ccc_refused
    assert found.refused == f"{found.bd_rate_refused}; {found.bd_ccc_refused}"


def test_what_is_not_known_is_an_error() -> None:
    anchor = curve(RATES, CCCS)
    with pytest.raises(UsageError, match="no rate 'bpp'; rates are bpp_lr, bpp_hr, rate_kbps"):
        delta(anchor, anchor, rate="bpp")
    with pytest.raises(UsageError, match="deltas of 'rmse' are not defined; they are of cc, ccc, ccc_within"):
        delta(anchor, anchor, measure="rmse")
    with pytest.raises(UsageError, match="pairs 'codecs' are not known; pairs are methods or factors"):
        deltas([anchor], pairs=["codecs"])
    with pytest.raises(UsageError, match="no rate 'kbps'"):
        deltas([], rate="kbps")


# Which pairs


def names(compared: Any) -> list[tuple[str, int, str, int, str]]:
    return [(each.test.method, each.test.s, each.anchor.method, each.anchor.s, each.test.codec) for each in compared]


def some_curves() -> list[Curve]:
    anchor = curve(RATES, CCCS)
    made = [ceiling()]
    for codec in ("x264", "x265"):
        made += [moved(anchor, method=f"{family}-{s}", s=s, codec=codec) for family in ("joint", "lr") for s in (4, 3)]
    return [*made, moved(anchor, method="joint-oa", s=3), moved(anchor, method="joint-oa", s=4)]


def test_methods_are_compared_with_lr_of_their_factor_and_codec() -> None:
    assert names(deltas(some_curves(), pairs=["methods"])) == [
        ("joint-4", 4, "lr-4", 4, "x264"),
        ("joint-3", 3, "lr-3", 3, "x264"),
        ("joint-4", 4, "lr-4", 4, "x265"),
        ("joint-3", 3, "lr-3", 3, "x265"),
        ("joint-oa", 3, "lr-3", 3, "x264"),
        ("joint-oa", 4, "lr-4", 4, "x264"),
    ]


def test_factors_of_a_family_are_compared_with_the_next_smaller_one() -> None:
    assert names(deltas(some_curves(), pairs=["factors"])) == [
        ("joint-4", 4, "joint-3", 3, "x264"),
        ("lr-4", 4, "lr-3", 3, "x264"),
        ("joint-4", 4, "joint-3", 3, "x265"),
        ("lr-4", 4, "lr-3", 3, "x265"),
        ("joint-oa", 4, "joint-oa", 3, "x264"),
    ]


def test_labels_and_references_are_never_paired_with_others() -> None:
    lr, joint = curve(RATES, CCCS), curve(RATES, CCCS, method="joint-3")
    others = [replace(joint, label="arousal"), replace(joint, reference="fidelity"), replace(joint, mode="crf")]
    assert names(deltas([lr, *others])) == []
    assert len(deltas([lr, *others, joint])) == 1


def test_all_pairs_come_with_their_rate_and_delta() -> None:
    lr = curve(RATES, CCCS)
    pairs = deltas([lr, moved(lr, rate=0.5, method="joint-3"), moved(lr, rate=0.25, s=4, method="lr-4")])
    assert [(each.rate, round(figures(each.delta)[0], 6)) for each in pairs] == [("bpp_hr", -50), ("bpp_hr", -75)]
    in_lr = deltas([lr, moved(lr, rate=0.25, s=4, method="lr-4")], rate="bpp_lr")
    assert "does not compare them" in in_lr[0].delta.refused


# Losses


def test_streams_that_lost_packets_are_compared_with_nothing_unless_one_asks() -> None:
    whole = [curve(RATES, CCCS), curve([rate / 2 for rate in RATES], CCCS, method="joint-3")]
    lossy = [replace(each, channel=channel(0.1)) for each in whole]
    assert deltas([*lossy, *whole]) == deltas(whole)
    assert deltas(lossy) == []
    assert figures(delta(*lossy)) == figures(delta(*whole))
    refused = delta(whole[0], lossy[1]).refused
    assert refused == (
        "joint-3 at s = 3 (x264, valence) and lr-3 at s = 3 (x264, valence) came through different channels, which "
        "lose 0.1 and 0 of the packets"
    )
