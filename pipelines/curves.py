"""Rate–recognition curves of a sweep: how CC, CCC and RMSE of each method move with QP and rate, and how sure that is.

A curve is one method at one factor and codec, over the operating values. It is measured against one of two references:

- ``label``: what the corpus says of the frames, as in Figure 4 of Cheng et al. 2017.
- ``fidelity``: what the same network says of the same frames at HR, never coded. Any footage has it; it tells what
  shrinking and coding change, not whether the network is right.

Streams that came through a channel that loses packets have curves of their own, one a channel; none of their points
stands in a curve of whole streams. Their rates are those sent.

Sequences are concatenated, and rates pooled: bits of all over pixels, or seconds, of all. Bands are percentile
bootstraps over subjects, and over seeds where there are several networks of a method.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from codecsim.channel import INTACT, Channel
from codecsim.store import Sweep
from pipelines.readings import UNCODED, Networks, Readings
from pipelines.tables import Point, points, pooled_rate
from recognition.methods import FAMILIES
from recognition.metrics import Interval, bootstrap, paired

Reference = Literal["label", "fidelity"]

REFERENCES: tuple[Reference, ...] = get_args(Reference)
MEASURE_NAMES = {"rmse": "RMSE", "cc": "CC", "ccc": "CCC", "ccc_within": "CCC within subjects"}
"""Measures, of all sequences concatenated, and how they are written; within subjects: each subject's mean taken off."""

MEASURES = tuple(MEASURE_NAMES)
RISING = ("cc", "ccc", "ccc_within")
"""Of these measures more is better."""

RATES = ("bpp_lr", "bpp_hr", "rate_kbps")

RESAMPLES = 2000

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
    """

    value: float
    bpp_lr: float
    bpp_hr: float
    rate_kbps: float
    metrics: Mapping[str, Interval]
    lost_ccc: Interval | None
    concealed: float = 0.0
    damaged: float = 0.0


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
    n_left_out : points of other sequences than these
    channel : that its streams came through
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

    @property
    def loss(self) -> float:
        """Share of the packets that its channel loses in the long run."""
        return self.channel.loss

    @property
    def family(self) -> str:
        """The method without its factor: ``joint`` of ``joint-3``."""
        return self.method.removesuffix(f"-{self.s}")

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

    def rates(self, rate: str) -> Floats:
        """The rates of the points: `rate` is one of `RATES`."""
        return np.array([getattr(point, rate) for point in self.points])

    def estimates(self, measure: str) -> Floats:
        """The estimates of the points: `measure` is one of `MEASURES`."""
        return np.array([point.metrics[measure].estimate for point in self.points])


def curves(
    sweep: Sweep, *, reference: Reference = "label", resamples: int = RESAMPLES, with_losses: bool = False
) -> list[Curve]:
    """Every curve that the predictions in a sweep give, by codec, method, factor and channel.

    A method that was shown HR frames alone, such as ``hr``, is a curve without points, at s = 1: the ceiling.

    Parameters
    ----------
    reference : ``label`` or ``fidelity``; methods of which it is not known give no curve
    resamples : of the bootstrap
    with_losses : whether to make curves of streams that lost packets too, after those of whole streams

    Returns
    -------
    curves : with points of the same sequences alone: those that most points of a curve have
    """
    readings, found = Readings(sweep), []
    groups: dict[tuple[str, str, int], list[Point]] = {}
    for point in points(sweep):
        groups.setdefault((point.label, point.mode, point.scale), []).append(point)
    channels = readings.channels if with_losses else (INTACT,)
    for method, label in readings.methods:
        maker = _Maker(sweep, readings.of(method, label), reference, resamples)
        pairs = product(groups.values(), channels)
        coded = [curve for members, channel in pairs if (curve := maker.coded(members, channel))]
        found += coded or maker.ceiling()
    return sorted(found, key=lambda curve: (curve.codec, curve.mode, curve.s, _rank(curve), curve.channel))


def of_splits(curves: Sequence[Curve]) -> str:
    """Whom curves are of, to be put after their number: "" or " of dev"; networks know the people of train."""
    splits = sorted({split for curve in curves for split in curve.splits})
    return f" of {' and '.join(splits)}" if splits else ""


def _rank(curve: Curve) -> tuple[int, str]:
    """Place of a method in the order of the paper; others come after."""
    names = [family.name for family in FAMILIES]
    return names.index(curve.family) if curve.family in names else len(names), curve.method


class _Maker:
    """Makes the curves of one method against one reference."""

    def __init__(self, sweep: Sweep, networks: Networks, reference: Reference, resamples: int) -> None:
        self._sweep = sweep
        self._networks = networks
        self._reference: Reference = reference
        self._resamples = resamples

    def coded(self, members: Sequence[Point], channel: Channel) -> Curve | None:
        """The curve through operating points of one codec and factor; None where nothing is known of it."""
        first, shown = members[0], [self._shown(point, channel) for point in members]
        sets = Counter(tuple(each) for each in shown if each)
        if not sets:
            return None
        sequences = max(sets, key=lambda each: (sets[each], len(each)))
        target = self._target(sequences)
        if np.isnan(target).all():
            return None
        still = self._uncoded(sequences, first.scale)
        taken = []
        for point, keys in zip(members, shown, strict=True):
            if tuple(keys) == sequences:
                told = self._networks.told(list(keys.items()), first.scale, channel)
                harm = self._networks.harm(list(keys.items()), first.scale, channel)
                chosen = np.isin(self._sweep.column("sequence")[point.rows], sequences)
                pooled = replace(point, rows=point.rows[chosen])
                n_frames = int(self._sweep.column("n_frames")[pooled.rows].sum())
                taken.append(
                    CurvePoint(
                        point.value,
                        **{rate: pooled_rate(self._sweep, pooled, rate) for rate in RATES},
                        metrics=self._metrics(told, target, sequences),
                        lost_ccc=None if still is None else self._lost(told, still, target, sequences),
                        concealed=harm[0] / n_frames,
                        damaged=harm[1] / n_frames,
                    )
                )
        return self._curve(
            first,
            tuple(taken),
            sequences,
            target,
            uncompressed={} if still is None else self._metrics(still, target, sequences),
            n_left_out=sum(map(bool, shown)) - len(taken),
            channel=channel,
        )

    def ceiling(self) -> list[Curve]:
        """The method on HR frames, as a curve without points; none where labels are not asked for, or not known."""
        networks = self._networks
        known = [name for name in sorted(networks.readings.subjects) if networks.have(name, UNCODED, 1)]
        sequences = tuple(name for name in known if networks.readings.has_truth(networks.label, name))
        if self._reference != "label" or not sequences:
            return []
        target = self._target(sequences)
        told = self._uncoded(sequences, 1)
        if told is None or np.isnan(target).all():
            return []
        nothing = Point("", "{}", "", 1, np.nan, np.empty(0, np.intp))
        return [self._curve(nothing, (), sequences, target, uncompressed=self._metrics(told, target, sequences))]

    def _shown(self, point: Point, channel: Channel) -> dict[str, str]:
        """Sequence → key of the streams of a point that all networks were shown, and that have a target, by name."""
        names, keys = (self._sweep.column(name)[point.rows].tolist() for name in ("sequence", "key"))
        return {
            name: key
            for name, key in sorted(zip(names, keys, strict=True))
            if self._networks.have(name, key, point.scale, channel) and self._has_target(name)
        }

    def _has_target(self, sequence: str) -> bool:
        networks = self._networks
        if self._reference == "label":
            return networks.readings.has_truth(networks.label, sequence)
        return networks.have(sequence, UNCODED, 1)

    def _target(self, sequences: Sequence[str]) -> Floats:
        """What predictions are measured against: shape=(N,), or (seeds, N) for fidelity."""
        networks = self._networks
        if self._reference == "label":
            return networks.readings.truth(networks.label, sequences, delay_seconds=networks.delay_seconds)
        return networks.told([(name, UNCODED) for name in sequences], 1)

    def _uncoded(self, sequences: Sequence[str], scale: int) -> Floats | None:
        """What was told of frames that were never coded; None where it was not asked."""
        if not all(self._networks.have(name, UNCODED, scale) for name in sequences):
            return None
        return self._networks.told([(name, UNCODED) for name in sequences], scale)

    def _metrics(self, told: Floats, target: Floats, sequences: Sequence[str]) -> dict[str, Interval]:
        recordings, subjects = self._whose(sequences)
        found = bootstrap(told, target, recordings=recordings, subjects=subjects, resamples=self._resamples)
        return {measure: found[measure] for measure in MEASURES}

    def _lost(self, told: Floats, still: Floats, target: Floats, sequences: Sequence[str]) -> Interval:
        recordings, subjects = self._whose(sequences)
        return paired(told, still, target, recordings=recordings, subjects=subjects, resamples=self._resamples)["ccc"]

    def _whose(self, sequences: Sequence[str]) -> tuple[npt.NDArray[np.str_], npt.NDArray[np.str_]]:
        """The recording and the subject of every frame."""
        readings = self._networks.readings
        lengths = [readings.n_shown(name) for name in sequences]
        subjects = [readings.subjects[name] for name in sequences]
        return np.repeat(np.array(sequences), lengths), np.repeat(np.array(subjects), lengths)

    def _curve(
        self,
        first: Point,
        taken: tuple[CurvePoint, ...],
        sequences: tuple[str, ...],
        target: Floats,
        *,
        uncompressed: Mapping[str, Interval],
        n_left_out: int = 0,
        channel: Channel = INTACT,
    ) -> Curve:
        networks = self._networks
        return Curve(
            codec=first.label,
            mode=first.mode,
            s=first.scale,
            method=networks.method,
            label=networks.label,
            seeds=networks.seeds,
            reference=self._reference,
            points=taken,
            uncompressed=uncompressed,
            sequences=sequences,
            subjects=tuple(sorted({networks.readings.subjects[name] for name in sequences})),
            splits=tuple(sorted({networks.readings.splits[name] for name in sequences} - {""})),
            n_frames=int((~np.isnan(np.atleast_2d(target)).any(0)).sum()),
            n_left_out=n_left_out,
            channel=channel,
        )
