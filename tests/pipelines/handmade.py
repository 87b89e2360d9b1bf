"""Curves made by hand, whose rates and metrics a test chooses."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pipelines.curve import Curve, CurvePoint
from recognition.intervals import Interval


def interval(estimate: float, half: float = 0.02) -> Interval:
    """An interval of `half` to both sides; without ends where `half` is NaN."""
    return Interval(estimate, estimate - half, estimate + half, 0)


def metrics(ccc: float, half: float = 0.02) -> dict[str, Interval]:
    """CCC as given, CC a little higher, CCC within subjects more so, RMSE falling with it."""
    levels = {"rmse": 1 - ccc, "cc": ccc + 0.01, "ccc": ccc, "ccc_within": ccc + 0.02}
    return {measure: interval(level, half) for measure, level in levels.items()}


def curve(rates: Sequence[float], cccs: Sequence[float], *, half: float = 0.02, **told: Any) -> Curve:
    """A curve of method ``lr-3`` at s = 3 through bpp_hr and CCC, by QP from 18 on; `told` replaces its fields.

    bpp_lr and kbit/s follow from bpp_hr. Uncompressed frames have the largest CCC, which points fall short of.
    """
    s = told.get("s", 3)
    best = max(cccs, default=0.8)
    points = tuple(
        CurvePoint(18.0 + k, rate * s**2, rate, rate * 230.4, metrics(ccc, half), interval(ccc - best, half))
        for k, (rate, ccc) in enumerate(zip(rates, cccs, strict=True))
    )
    made = Curve(
        codec="x264",
        mode="qp",
        s=3,
        method="lr-3",
        label="valence",
        seeds=(0, 1),
        reference="label",
        points=points,
        uncompressed=metrics(best, half),
        sequences=("a", "b", "c"),
        subjects=("anna", "bo"),
        splits=("dev",),
        n_frames=300,
    )
    return replace(made, **told)


def ceiling(ccc: float = 0.9, **told: Any) -> Curve:
    """Method ``hr`` on HR frames: a curve without points."""
    nothing: dict[str, Any] = {"codec": "", "mode": "", "s": 1, "method": "hr", "points": ()}
    return replace(curve([], []), uncompressed=metrics(ccc), **nothing | told)


NOWHERE = math.nan
"""Half of an interval that is not known."""
