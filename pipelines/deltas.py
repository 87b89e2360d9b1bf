"""Bjøntegaard deltas between rate–recognition curves: rate at equal CCC, and CCC at equal rate, or why neither is told.

Both are means over what two curves have in common: BD-rate of the logarithm of the rate over CCC, BD-CCC of CCC over
the logarithm of the rate. What makes such a mean meaningless is refused, each with its reason, where the package would
warn or give a number.

Points are pooled first. BD-rate takes the rate as a function of CCC, which needs CCC to rise with every point; but CCC
is measured on people, and where it saturates it goes up and down within its intervals. So CCC is fitted by the
non-decreasing sequence that is nearest in least squares over the logarithm of the rate (isotonic regression), and each
flat block of it becomes one point, at the mean logarithm of its rates and its mean CCC. What saturates counts once, not
once a QP. BD-CCC takes the same points, so that both figures are of the same curves.

Between points runs PCHIP, the monotone piecewise cubic of the common test conditions of JVET. Herglotz et al. found
Akima's the most accurate for rates and qualities of video. But it may bend back between rising points, where a curve
saturates: a CCC has several rates then. It did so in 26 of 400 pairs of logistic curves of 4 to 11 points. The ratio of
rates that BD-rate states was off by 2.5 % on average with Akima's, and by 1.0 % with PCHIP.

Source
------
Bjøntegaard 2001, VCEG-M33; Herglotz et al. 2022, "Beyond Bjøntegaard: limits of video compression performance
comparisons" (ICIP), and 2024, "The Bjøntegaard bible", whose authors wrote the package; Fritsch & Butland 1984 (PCHIP).
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy.optimize import isotonic_regression

from codecsim.channel import INTACT
from codecsim.errors import UsageError
from pipelines.curve import ANCHOR, MEASURE_NAMES, RATES, RISING, Curve, CurvePoint

MIN_POINTS = 4
"""Points that a curve needs, pooled ones too: as many as Bjøntegaard's own curves have."""

MIN_OVERLAP = 0.5
"""Share of the smaller range that two curves must have in common."""

PAIRS = ("methods", "factors")

_UNITS = {"rate_kbps": "kbit/s"}

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Delta:
    """What a curve gains on another, or why that cannot be told.

    Attributes
    ----------
    bd_rate_percent : rate at equal CCC, in % of the anchor's, by geometric mean; negative where the test curve needs
        less. None where refused
    bd_ccc : CCC at equal rate, less the anchor's; positive where the test curve is better. None where refused
    bd_rate_refused, bd_ccc_refused : one sentence; "" where there is a figure
    """

    bd_rate_percent: float | None
    bd_ccc: float | None
    bd_rate_refused: str = ""
    bd_ccc_refused: str = ""

    @property
    def refused(self) -> str:
        """Every reason, once; "" where there are both figures."""
        return "; ".join(dict.fromkeys(filter(None, (self.bd_rate_refused, self.bd_ccc_refused))))


@dataclass(frozen=True)
class Compared:
    """A pair of curves and the delta between them, in one of `RATES`."""

    anchor: Curve
    test: Curve
    rate: str
    delta: Delta


@dataclass(frozen=True)
class _Pooled:
    """Points of a curve that rise strictly in both: log_rates (natural) and qualities, each shape=(N,)."""

    curve: Curve
    log_rates: Floats
    qualities: Floats


_Pair = tuple[_Pooled, _Pooled]
"""Anchor and test."""


def delta(anchor: Curve, test: Curve, *, rate: str = "bpp_hr", measure: str = "ccc") -> Delta:
    """Bjøntegaard deltas of `test` against `anchor`; the module says how points are pooled and joined.

    With the reference ``fidelity`` each curve is measured against its own network, so the deltas tell whose readings
    coding changes less, not whose are right.

    Parameters
    ----------
    anchor, test : of the same sequences, label, reference and channel. Codec, method and networks may differ, and,
        unless the rate is bpp_lr, the factor
    rate : ``bpp_hr``, ``rate_kbps`` or ``bpp_lr``
    measure : ``ccc``, or another of `RISING`, of which `Delta.bd_ccc` is then

    Returns
    -------
    delta : both figures refused where

        - the curves are not comparable: of different sequences, label, reference or channel, or of different factors in
          bpp_lr;
        - a curve has fewer than 4 points, or a value that is not a number;
        - a curve is not monotone: at some point the upper end of CCC is below the lower end of CCC at a lower rate.
          Where there are no intervals (a single subject), any fall counts;
        - pooling leaves a curve fewer than 4 points;

        BD-rate where the ranges of CCC have less than half of the smaller one in common, and BD-CCC where the ranges of
        the logarithm of the rate do.

    Raises
    ------
    UsageError
        If there is no such rate, or the measure does not rise with the rate.
    """
    _check_asked(rate, measure)
    curves = (anchor, test)
    refused = _incomparable(anchor, test, rate) or _first(_unusable(curve, rate, measure) for curve in curves)
    if refused:
        return Delta(None, None, refused, refused)
    pooled = _pool(anchor, rate, measure), _pool(test, rate, measure)
    refused = _first(map(_saturated, pooled))
    if refused:
        return Delta(None, None, refused, refused)
    bd_rate_refused, bd_ccc_refused = _qualities_apart(pooled, measure), _rates_apart(pooled, rate, measure)
    return Delta(
        None if bd_rate_refused else _bjontegaard("bd_rate", pooled),
        None if bd_ccc_refused else _bjontegaard("bd_psnr", pooled),
        bd_rate_refused,
        bd_ccc_refused,
    )


def deltas(curves: Sequence[Curve], *, rate: str = "bpp_hr", pairs: Sequence[str] = PAIRS) -> list[Compared]:
    """BD-rate and BD-CCC of pairs of the same codec, mode, label and reference, of whole streams.

    Parameters
    ----------
    curves : those of streams that lost packets are passed over
    rate : as in `delta`
    pairs : ``methods``, every method against ``lr`` of its factor; ``factors``, every factor of a family against the
        next smaller one that it has

    Returns
    -------
    compared : methods first, then factors, in the order of the curves

    Raises
    ------
    UsageError
        If there is no such rate, or there are no such pairs.
    """
    _check_asked(rate)
    for name in pairs:
        if name not in PAIRS:
            raise UsageError(f"pairs {name!r} are not known; pairs are {' or '.join(PAIRS)}")
    curves = [curve for curve in curves if curve.channel == INTACT]
    found = [*_methods(curves)] if "methods" in pairs else []
    found += _factors(curves) if "factors" in pairs else []
    return [Compared(anchor, test, rate, delta(anchor, test, rate=rate)) for anchor, test in found]


def _methods(curves: Sequence[Curve]) -> Iterator[tuple[Curve, Curve]]:
    """Anchor and test: every method against ``lr`` of its factor."""
    anchors = {(_setting(curve), curve.s): curve for curve in curves if curve.method == f"{ANCHOR}-{curve.s}"}
    for test in curves:
        anchor = anchors.get((_setting(test), test.s))
        if anchor and anchor is not test:
            yield anchor, test


def _factors(curves: Sequence[Curve]) -> Iterator[tuple[Curve, Curve]]:
    """Anchor and test: every factor of a family against the next smaller one."""
    families: dict[tuple[tuple[str, ...], str], list[Curve]] = {}
    for curve in curves:
        families.setdefault((_setting(curve), curve.family), []).append(curve)
    for members in families.values():
        ordered = sorted(members, key=lambda curve: curve.s)
        yield from pairwise(ordered)


def _setting(curve: Curve) -> tuple[str, ...]:
    return curve.codec, curve.mode, curve.label, curve.reference


def _check_asked(rate: str, measure: str = "ccc") -> None:
    if rate not in RATES:
        raise UsageError(f"there is no rate {rate!r}; rates are {', '.join(RATES)}")
    if measure not in RISING:
        raise UsageError(f"deltas of {measure!r} are not defined; they are of {', '.join(RISING)}, which rise")


def _incomparable(anchor: Curve, test: Curve, rate: str) -> str:
    """Why two curves are not comparable; "" where they are."""
    both = f"{_name(test)} and {_name(anchor)}"
    if anchor.label != test.label:
        return f"{both} tell different labels"
    if anchor.reference != test.reference:
        return f"{both} are measured against different references, {test.reference} and {anchor.reference}"
    if anchor.channel != test.channel:
        return f"{both} came through different channels, which lose {test.loss:g} and {anchor.loss:g} of the packets"
    shared = len(set(anchor.sequences) & set(test.sequences))
    if not shared == len(anchor.sequences) == len(test.sequences):
        counts = f"{len(test.sequences)} and {len(anchor.sequences)}"
        return f"{both} are of different sequences, {counts} with {shared} in common; evaluate both on the same"
    if rate == "bpp_lr" and anchor.s != test.s:
        return f"{both} differ in their LR pixels, so bpp_lr does not compare them; take bpp_hr or rate_kbps"
    return ""


def _unusable(curve: Curve, rate: str, measure: str) -> str:
    """Why a curve gives no delta with any other; "" where it may."""
    if len(curve.points) < MIN_POINTS:
        return f"{_name(curve)} has {_points(len(curve.points))}, and a delta takes at least {MIN_POINTS}"
    for point, spent, quality in zip(curve.points, curve.rates(rate), curve.estimates(measure), strict=True):
        where = f"at {curve.mode} {point.value:g}"
        if not (math.isfinite(spent) and spent > 0):
            return f"{_name(curve)}: {_rate(rate, spent)} {where} is not a rate"
        if not math.isfinite(quality):
            return f"{_name(curve)}: {MEASURE_NAMES[measure]} is not defined {where}"
    return _falls(curve, rate, measure)


def _falls(curve: Curve, rate: str, measure: str) -> str:
    """Where a curve falls by more than its intervals allow, by the widest gap between them; "" where it does not."""
    rates, qualities = curve.rates(rate), curve.estimates(measure)
    low, high = np.array([[getattr(point.metrics[measure], end) for point in curve.points] for end in ("low", "high")])
    low, high = (np.where(np.isnan(end), qualities, end) for end in (low, high))
    gaps = np.where(rates[:, None] < rates, low[:, None] - high, -np.inf)
    at, above = np.unravel_index(gaps.argmax(), gaps.shape)
    if gaps[at, above] <= 0:
        return ""
    points = curve.points[int(at)], curve.points[int(above)]
    before, after = (f"{_quality(point, measure)} at {_rate(rate, getattr(point, rate))}" for point in points)
    falls = f"{_name(curve)} is not monotone: {MEASURE_NAMES[measure]} falls from {before} to {after}"
    if all(_has_interval(point, measure) for point in points):
        return f"{falls}, by more than its 95 % intervals allow"
    return f"{falls}, and without intervals (a single subject) any fall counts"


def _has_interval(point: CurvePoint, measure: str) -> bool:
    return not math.isnan(point.metrics[measure].low)


def _pool(curve: Curve, rate: str, measure: str) -> _Pooled:
    """The points of a curve: equal rates averaged, then each flat block of the isotonic fit as one."""
    log_rates, tied = np.unique(np.log(curve.rates(rate)), return_inverse=True)
    counts = np.bincount(tied)
    qualities = np.bincount(tied, curve.estimates(measure)) / counts
    fitted, block = np.unique(isotonic_regression(qualities, weights=counts).x, return_inverse=True)
    return _Pooled(curve, np.bincount(block, counts * log_rates) / np.bincount(block, counts), fitted)


def _saturated(pooled: _Pooled) -> str:
    """Why what is left of a curve gives no delta; "" where it may."""
    n_left, n_points = len(pooled.qualities), len(pooled.curve.points)
    if n_left >= MIN_POINTS:
        return ""
    left = f"{_points(n_left)} of {n_points} left where it rises"
    return f"{_name(pooled.curve)} has {left}, and a delta takes at least {MIN_POINTS}"


def _qualities_apart(pooled: _Pair, measure: str) -> str:
    """Why there is no BD-rate: CCC of two curves has too little in common; "" where it has enough."""
    runs = [f"{each.qualities[0]:.3f} to {each.qualities[-1]:.3f} of {_name(each.curve)}" for each in pooled]
    share = _overlap(*(each.qualities for each in pooled))
    return _apart(f"{MEASURE_NAMES[measure]} of {' and '.join(runs)}", share, "range", "BD-rate")


def _rates_apart(pooled: _Pair, rate: str, measure: str) -> str:
    """Why there is no BD-CCC: rates of two curves have too little in common; "" where they have enough."""
    ends = [(each, *np.exp(each.log_rates[[0, -1]]).tolist()) for each in pooled]
    runs = [f"{low:.3g} to {_rate(rate, high)} of {_name(each.curve)}" for each, low, high in ends]
    share = _overlap(*(each.log_rates for each in pooled))
    return _apart(f"rates of {' and '.join(runs)}", share, "logarithmic range", f"BD-{MEASURE_NAMES[measure]}")


def _apart(ranges: str, share: float, of_what: str, figure: str) -> str:
    if share >= MIN_OVERLAP:
        return ""
    needed = f"{figure} takes at least {100 * MIN_OVERLAP:.0f} %"
    return f"{ranges} have {math.floor(100 * share)} % of the smaller {of_what} in common, and {needed}"


def _overlap(a: Floats, b: Floats) -> float:
    """What two rising series have in common, as a share of the smaller range: 0 … 1."""
    common = min(a[-1], b[-1]) - max(a[0], b[0])
    return float(max(common, 0.0) / min(a[-1] - a[0], b[-1] - b[0]))


def _bjontegaard(function: str, pooled: _Pair) -> float:
    import bjontegaard  # loads matplotlib.pyplot

    curves = [values for each in pooled for values in (np.exp(each.log_rates), each.qualities)]
    found = getattr(bjontegaard, function)(*curves, method="pchip", require_matching_points=False, min_overlap=0)
    return float(found)


def _name(curve: Curve) -> str:
    how = f"{curve.codec}, {curve.label}" if curve.codec else curve.label
    return f"{curve.method} at s = {curve.s} ({how})"


def _points(n: int) -> str:
    return f"{n} point" if n == 1 else f"{n} points"


def _quality(point: CurvePoint, measure: str) -> str:
    found = point.metrics[measure]
    interval = f" [{found.low:.3f}, {found.high:.3f}]" if _has_interval(point, measure) else ""
    return f"{found.estimate:.3f}{interval}"


def _rate(rate: str, value: float) -> str:
    return f"{value:.3g} {_UNITS.get(rate, rate)}"


def _first(reasons: Iterable[str]) -> str:
    return next((reason for reason in reasons if reason), "")
