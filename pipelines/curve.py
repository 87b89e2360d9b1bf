"""A rate–recognition curve: a method at one factor and codec, over the operating values.

`pipelines.curves` says how curves are made of a sweep, and of what.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from codecsim.channel import INTACT, Channel
from recognition.intervals import Difference, Interval
from recognition.methods import FAMILIES

Reference = Literal["label", "fidelity"]

REFERENCES: tuple[Reference, ...] = get_args(Reference)
MEASURE_NAMES = {"rmse": "RMSE", "cc": "CC", "ccc": "CCC", "ccc_within": "CCC within subjects"}
"""Measures, of all sequences concatenated, and how they are written; within subjects: each subject's mean taken off."""

MEASURES = tuple(MEASURE_NAMES)
RISING = ("cc", "ccc", "ccc_within")
"""Of these measures more is better."""

RATES = ("bpp_lr", "bpp_hr", "rate_kbps")

ANCHOR = "lr"
"""Family of methods that gains and Bjøntegaard deltas are on, unless one says otherwise."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class CurvePoint:
    """A method at one operating value.

    Attributes
    ----------
    value : QP, CRF or kbit/s that was asked for
    bpp_lr, bpp_hr, rate_kbps : pooled over the sequences of the curve
    metrics : of `MEASURES`
    lost_ccc : CCC here less CCC on LR frames that were never coded, paired over subjects and seeds; None where those
        were not recognised
    concealed, damaged : share of the frames that were lost or did not come out, and of those that differ from what they
        are without losses
    gain : of `MEASURES`, less what the anchor of the curve has in the same streams, paired; empty where not known
    """

    value: float
    bpp_lr: float
    bpp_hr: float
    rate_kbps: float
    metrics: Mapping[str, Interval]
    lost_ccc: Interval | None
    concealed: float = 0.0
    damaged: float = 0.0
    gain: Mapping[str, Difference] = field(default_factory=dict)


@dataclass(frozen=True)
class Curve:
    """A method at one factor and codec, over the operating values.

    Attributes
    ----------
    codec, mode : codec with the settings that are not its defaults; qp, crf or bitrate
    s : factor
    method, label, seeds : what tells what, and of which networks
    reference : what it is measured against
    points : by rising value
    uncompressed : metrics on LR frames that were never coded, of `MEASURES`; empty where that was not asked for
    sequences, subjects, splits : that it is of; of splits those that are known
    n_frames : that a point is of: recognised, and not without a target
    n_left_out : points of other sequences than these, or that not all of the seeds were shown, or former networks alone
    channel : that its streams came through
    anchor : method that gains are on, at the same factor; "" where none was shown these streams
    uncompressed_gain : as `CurvePoint.gain`, of `uncompressed`
    """

    codec: str
    mode: str
    s: int
    method: str
    label: str
    seeds: tuple[int, ...]
    reference: Reference
    points: tuple[CurvePoint, ...]
    uncompressed: Mapping[str, Interval]
    sequences: tuple[str, ...]
    subjects: tuple[str, ...]
    splits: tuple[str, ...]
    n_frames: int
    n_left_out: int = 0
    channel: Channel = INTACT
    anchor: str = ""
    uncompressed_gain: Mapping[str, Difference] = field(default_factory=dict)

    @property
    def loss(self) -> float:
        """Share of the packets that its channel loses in the long run."""
        return self.channel.loss

    @property
    def family(self) -> str:
        """The method without its factor."""
        return family_of(self.method, self.s)

    @property
    def anchor_family(self) -> str:
        """The anchor without its factor."""
        return family_of(self.anchor, self.s)

    @property
    def saturates_at(self) -> float | None:
        """The largest QP (or CRF) up to which coding is not known to cost CCC.

        Up to it, at every point, the 95 % interval of the paired difference from LR frames that were never coded
        reaches 0 or more. None where it does so nowhere, or nothing is known.
        """
        last = None
        for point in self.points if self.mode != "bitrate" else ():
            if point.lost_ccc is None or not point.lost_ccc.high >= 0:
                break
            last = point.value
        return last

    def gained(self) -> "Curve":
        """What it gains on its anchor, as a curve: gains stand for metrics, at the points where they are known."""
        points = tuple(replace(point, metrics=point.gain) for point in self.points if point.gain)
        return replace(self, points=points, uncompressed=self.uncompressed_gain)

    def rates(self, rate: str) -> Floats:
        """The rates of the points: `rate` is one of `RATES`."""
        return np.array([getattr(point, rate) for point in self.points])

    def estimates(self, measure: str) -> Floats:
        """The estimates of the points: `measure` is one of `MEASURES`."""
        return np.array([point.metrics[measure].estimate for point in self.points])


def of_splits(curves: Sequence[Curve]) -> str:
    """Whom curves are of, to be put after their number: "" or " of dev"; networks know the people of train."""
    splits = sorted({split for curve in curves for split in curve.splits})
    return f" of {' and '.join(splits)}" if splits else ""


_SINGLE = frozenset(family.name for family in FAMILIES if family.trained_on)
"""Methods for any factor, or for HR: whoever trains one for a factor alone gives it that name and the factor."""


def family_of(method: str, s: int) -> str:
    """A method at s without its factor: ``joint`` of ``joint-3``; but ``joint-oa`` at s = 4 is not ``joint-oa-4``."""
    stem = method.removesuffix(f"-{s}")
    return method if stem in _SINGLE else stem
