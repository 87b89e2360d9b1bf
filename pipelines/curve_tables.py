"""Tables of rate–recognition curves and of the deltas between them, as text and CSV; `to_markdown` takes any of them.

Intervals are those of the curves: 95 %, percentile bootstrap over subjects, and over seeds where there are several.
"""

import math
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from itertools import chain
from operator import attrgetter
from typing import Literal

from codecsim.channel import INTACT
from pipelines.console import table
from pipelines.curve import MEASURES, RATES, Curve, CurvePoint, of_splits
from pipelines.deltas import Compared
from pipelines.hull import on_hull
from pipelines.tables import Rows, to_csv
from recognition.intervals import Interval

UNCOMPRESSED = "none"
"""Operating value of frames that were never coded."""

_NOTHING = "–"
_REFERENCES = {"label": "labels", "fidelity": "the same network on HR frames"}
_ENDS = ("", "_low", "_high")

_Column = tuple[str, Callable[[Curve], str]]
"""Header and cell of a column."""

_SETTING: tuple[_Column, ...] = (
    *((name, attrgetter(name)) for name in ("codec", "label", "reference")),
    ("loss", lambda curve: f"{curve.loss:g}"),
    ("burst", lambda curve: _NOTHING if curve.channel.is_independent else f"{curve.channel.burst:g}"),
    ("loss seed", lambda curve: str(max(0, curve.channel.seed))),
)


def curves_csv(curves: Sequence[Curve]) -> str:
    """Every figure of curves as CSV, a row a point.

    Frames that were never coded are a row of the value ``none`` without rates, and so is the ceiling; curves of streams
    that lost packets do not repeat it. What is not known is empty, what is not defined ``nan``. Numbers are written in
    as many digits as give back the very same float64.

    Columns
    -------
    codec, mode, s, method, label, reference : which curve
    loss, burst, loss_seed : of the channel that streams came through; 0, 0 and -1 of whole streams
    value : QP, CRF or kbit/s that was asked for
    bpp_lr, bpp_hr, rate_kbps : pooled over sequences
    concealed, damaged : share of the frames, as of `CurvePoint`
    rmse, cc, ccc, ccc_within, lost_ccc : each with _low and _high, the ends of its interval. ccc_within is of what is
        left when each subject's mean is taken off; lost_ccc is CCC less that on frames that were never coded
    anchor, gain_rmse, gain_cc, gain_ccc, gain_ccc_within : the measure less that of the method `anchor` in the same
        streams, and the ends of the paired interval
    on_hull : 1 for corners of the hull of CCC over bpp_hr, over all factors of the family (`pipelines.hull`)
    saturates_at : of the curve
    splits, n_sequences, n_subjects, n_frames : that the curve is of
    seeds : of its networks, separated by spaces
    """
    header = ["codec", "mode", "s", "method", "label", "reference", "loss", "burst", "loss_seed"]
    header += ["value", *RATES, "concealed", "damaged"]
    header += [name + end for name in (*MEASURES, "lost_ccc") for end in _ENDS]
    header += ["anchor", *(f"gain_{name}{end}" for name in MEASURES for end in _ENDS)]
    header += ["on_hull", "saturates_at", "splits", "n_sequences", "n_subjects", "n_frames", "seeds"]
    rows: list[list[str]] = []
    for curve in curves:
        family = [each for each in curves if _family(each) == _family(curve)]
        rows += _csv_rows(curve, on_hull(family))
    return to_csv((header, rows))


def curves_table(curves: Sequence[Curve]) -> Rows:
    """A row a method and factor: CCC of uncoded frames and at both ends of the curve, and where it saturates.

    ``at smallest`` and ``at largest`` are CCC at the smallest and the largest operating value. ``saturates`` is the
    value up to which coding is not known to cost CCC (`Curve.saturates_at`), and rates are those there.
    Codec, label, reference, loss, burst, loss seed and values have columns where curves differ in them.
    """
    telling = _telling(curves, *_SETTING, ("values", _values))
    header = [*(name for name, _ in telling), "method", "s", "CCC uncompressed", "at smallest", "at largest"]
    header += ["saturates", "bpp_lr", "kbit/s"]
    return header, [[*(tell(curve) for _, tell in telling), *_cells(curve)] for curve in curves]


def curves_text(curves: Sequence[Curve]) -> str:
    """`curves_table` as one reads it in a terminal: a block a codec, mode, label and reference, the ceiling on top."""
    return "\n\n".join(f"{_caption(block)}\n{table(*curves_table(block))}" for block in _blocks(curves))


def gains_table(curves: Sequence[Curve]) -> Rows:
    """A row a method and factor with an anchor: what it gains on it in CCC, uncompressed and at both ends of the curve.

    Codec, label, reference, loss, burst, loss seed and values have columns where curves differ in them. No rows where
    no gain is known.
    """
    gained = [gain for gain in (curve.gained() for curve in curves) if gain.points]
    telling = _telling(gained, *_SETTING, ("values", _values))
    header = [*(name for name, _ in telling), "method", "s", "against", "CCC gain uncompressed"]
    header += ["at smallest", "at largest"]
    return header, [[*(tell(gain) for _, tell in telling), *_gain_cells(gain)] for gain in gained]


def deltas_table(compared: Sequence[Compared]) -> Rows:
    """A row a pair: BD-rate at equal CCC, and BD-CCC at equal rate; "–" where refused, for the reasons of `refusals`.

    Codec, label and reference have columns where pairs differ in them.
    """
    tests = [each.test for each in compared]
    telling = _telling(tests, *_SETTING)
    header = [*(name for name, _ in telling), "method", "s", "against", "at s", "rate", "BD-rate", "BD-CCC"]
    return header, [[*(tell(each.test) for _, tell in telling), *_delta_cells(each)] for each in compared]


def refusals(compared: Sequence[Compared]) -> list[str]:
    """Why figures of `deltas_table` are missing, each reason once."""
    reasons = ((each.delta.bd_rate_refused, each.delta.bd_ccc_refused) for each in compared)
    return list(dict.fromkeys(filter(None, chain.from_iterable(reasons))))


def deltas_csv(compared: Sequence[Compared]) -> str:
    """Every delta as CSV, a row a pair, in full precision; empty where refused, with the reason in a column."""
    header = ["codec", "mode", "label", "reference", "method", "s", "anchor_codec", "anchor_method", "anchor_s", "rate"]
    header += ["bd_rate_percent", "bd_ccc", "bd_rate_refused", "bd_ccc_refused"]
    rows = []
    for each in compared:
        anchor, test, found = each.anchor, each.test, each.delta
        pair = [test.codec, test.mode, test.label, test.reference, test.method, str(test.s)]
        pair += [anchor.codec, anchor.method, str(anchor.s), each.rate]
        figures = [_exact(found.bd_rate_percent), _exact(found.bd_ccc)]
        rows.append([*pair, *figures, found.bd_rate_refused, found.bd_ccc_refused])
    return to_csv((header, rows))


def _family(curve: Curve) -> Hashable:
    return curve.codec, curve.mode, curve.label, curve.reference, curve.channel, curve.family


def _csv_rows(curve: Curve, corners: Collection[tuple[int, float]]) -> Iterator[list[str]]:
    """The uncompressed row first, where there is one, then the points."""
    channel = curve.channel
    which = [curve.codec, curve.mode, str(curve.s), curve.method, curve.label, curve.reference]
    which += [_exact(channel.loss), _exact(channel.burst), str(channel.seed)]
    numbers = (len(curve.sequences), len(curve.subjects), curve.n_frames)
    of = [_exact(curve.saturates_at), " ".join(curve.splits), *map(str, numbers), " ".join(map(str, curve.seeds))]
    if curve.uncompressed and channel == INTACT:
        figures = chain.from_iterable(_exact_ends(curve.uncompressed[name]) for name in MEASURES)
        gain = _exact_gain(curve.anchor, curve.uncompressed_gain)
        yield [*which, UNCOMPRESSED, *("" for _ in RATES), "", "", *figures, *_exact_ends(None), *gain, "", *of]
    for point in curve.points:
        rates = [_exact(getattr(point, name)) for name in (*RATES, "concealed", "damaged")]
        measured = [*(point.metrics[name] for name in MEASURES), point.lost_ccc]
        figures, is_corner = chain.from_iterable(map(_exact_ends, measured)), (curve.s, point.value) in corners
        gain = _exact_gain(curve.anchor, point.gain)
        yield [*which, _exact(point.value), *rates, *figures, *gain, str(int(is_corner)), *of]


def _exact_gain(anchor: str, gain: Mapping[str, Interval]) -> list[str]:
    """The anchor and its figures; all empty where nothing is known."""
    return [anchor if gain else "", *chain.from_iterable(_exact_ends(gain.get(name)) for name in MEASURES)]


def _exact_ends(interval: Interval | None) -> list[str]:
    if interval is None:
        return ["" for _ in _ENDS]
    return [_exact(value) for value in (interval.estimate, interval.low, interval.high)]


def _exact(value: float | None) -> str:
    """The shortest decimal that reads back as the same float64; "" of None."""
    return "" if value is None else repr(float(value)).removesuffix(".0")


def _cells(curve: Curve) -> list[str]:
    last = curve.saturates_at
    at = next((point for point in curve.points if point.value == last), None)
    return [
        curve.method,
        str(curve.s),
        _interval(curve.uncompressed.get("ccc")),
        *(_ccc(curve.points[end]) if curve.points else _NOTHING for end in (0, -1)),
        *([_NOTHING] * 3 if at is None else [f"{at.value:g}", f"{at.bpp_lr:.3f}", f"{at.rate_kbps:.1f}"]),
    ]


def _gain_cells(gain: Curve) -> list[str]:
    ends = (gain.uncompressed, gain.points[0].metrics, gain.points[-1].metrics)
    return [gain.method, str(gain.s), gain.anchor, *(_interval(each.get("ccc"), sign="+") for each in ends)]


def _delta_cells(each: Compared) -> list[str]:
    rate, gain = each.delta.bd_rate_percent, each.delta.bd_ccc
    return [
        each.test.method,
        str(each.test.s),
        each.anchor.method,
        str(each.anchor.s),
        each.rate,
        _NOTHING if rate is None else f"{rate:+.1f} %",
        _NOTHING if gain is None else f"{gain:+.3f}",
    ]


def _interval(found: Interval | None, *, sign: Literal["", "+"] = "") -> str:
    if found is None:
        return _NOTHING
    estimate, low, high = (f"{value:{sign}.3f}" for value in (found.estimate, found.low, found.high))
    return f"{estimate} [{low}, {high}]" if _is_bounded(found) else estimate


def _is_bounded(found: Interval) -> bool:
    return not math.isnan(found.low)


def _ccc(point: CurvePoint) -> str:
    return f"{point.metrics['ccc'].estimate:.3f}"


def _telling(curves: Sequence[Curve], *columns: _Column) -> list[_Column]:
    """The columns in which curves with points differ."""
    coded = [curve for curve in curves if curve.points] or curves
    return [(name, tell) for name, tell in columns if len({tell(curve) for curve in coded}) > 1]


def _values(curve: Curve) -> str:
    return _asked_for(curve.mode, [curve]) if curve.points else _NOTHING


def _asked_for(mode: str, curves: Sequence[Curve]) -> str:
    """The mode, and from which operating value to which the curves run."""
    values = [point.value for curve in curves for point in curve.points]
    return f"{mode} {_span(f'{min(values):g}', f'{max(values):g}')}"


def _blocks(curves: Sequence[Curve]) -> Iterator[list[Curve]]:
    """Curves by label, reference, codec and mode, each block with the ceilings of its label and reference on top."""
    coded = [curve for curve in curves if curve.points]
    ceilings = _grouped([curve for curve in curves if not curve.points], attrgetter("label", "reference"))
    for told, members in _grouped(coded, attrgetter("label", "reference")).items():
        for block in _grouped(members, attrgetter("codec", "mode")).values():
            yield ceilings.get(told, []) + block
        ceilings.pop(told, None)
    yield from ceilings.values()


def _grouped(curves: Sequence[Curve], key: Callable[[Curve], Hashable]) -> dict[Hashable, list[Curve]]:
    groups: dict[Hashable, list[Curve]] = {}
    for curve in curves:
        groups.setdefault(key(curve), []).append(curve)
    return groups


def _caption(curves: Sequence[Curve]) -> str:
    """What the curves of a block have in common, and what they are of."""
    first = next((curve for curve in curves if curve.points), curves[0])
    how = f"{first.codec}, {_asked_for(first.mode, curves)}: " if first.points else ""
    people = _count([len(curve.subjects) for curve in curves], "subject") + of_splits(curves)
    shown = _count([len(curve.sequences) for curve in curves], "sequence")
    frames = _count([curve.n_frames for curve in curves], "frame")
    n_left_out = sum(max(curve.n_left_out for curve in curves if curve.s == s) for s in {curve.s for curve in curves})
    rest = f"; {_count([n_left_out], 'point')} of other sequences, seeds or weights left out" if n_left_out else ""
    known = [curve.uncompressed["ccc"] for curve in curves if curve.uncompressed]
    sure = "; 95 % intervals" if any(map(_is_bounded, known)) else ""
    return f"{how}{first.label} against {_REFERENCES[first.reference]}; {people}, {shown}, {frames}{rest}{sure}"


def _count(numbers: Sequence[int], noun: str) -> str:
    written = _span(str(min(numbers)), str(max(numbers)))
    return f"{written} {noun}" if written == "1" else f"{written} {noun}s"


def _span(smallest: str, largest: str) -> str:
    return smallest if smallest == largest else f"{smallest}–{largest}"
