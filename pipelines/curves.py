"""Rate–recognition curves of a sweep: how CC, CCC and RMSE of each method move with QP and rate, and how sure that is.

A curve is one method at one factor and codec, over the operating values. It is measured against one of two references:

- ``label``: what the corpus says of the frames, as in Figure 4 of Cheng et al. 2017.
- ``fidelity``: what the same network says of the same frames at HR, never coded. Any footage has it; it tells what
  shrinking and coding change, not whether the network is right.

Streams that came through a channel that loses packets have curves of their own, one a channel; none of their points
stands in a curve of whole streams. Their rates are those sent.

Sequences are concatenated, and rates pooled: bits of all over pixels, or seconds, of all. Bands are percentile
bootstraps over subjects, and over seeds where there are several networks of a method.

What a method gains on another one, the anchor, is measured in the very same streams, and paired: hard subjects are hard
for both. Bands of two curves may overlap and the gain be sure all the same.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import numpy.typing as npt

from codecsim.channel import INTACT, Channel
from codecsim.store import Sweep
from pipelines.curve import ANCHOR, MEASURES, RATES, Curve, CurvePoint, Reference
from pipelines.readings import UNCODED, Networks, Readings
from pipelines.tables import Point, points, pooled_rate
from recognition.intervals import Interval, Replicates, replicates
from recognition.methods import FAMILIES

RESAMPLES = 2000

Floats = npt.NDArray[np.float64]

_Known = dict[tuple[str, str, tuple[tuple[str, str], ...]], Replicates]
"""Replicates of what a method told of a label in some streams, pairs of a sequence and a key, of one group."""


def curves(
    sweep: Sweep,
    *,
    reference: Reference = "label",
    resamples: int = RESAMPLES,
    with_losses: bool = False,
    anchor: str = ANCHOR,
) -> list[Curve]:
    """Every curve that the predictions in a sweep give, by codec, method, factor and channel.

    A method that was shown HR frames alone, such as ``hr``, is a curve without points, at s = 1: the ceiling.

    Parameters
    ----------
    reference : ``label`` or ``fidelity``; methods of which it is not known give no curve
    resamples : of the bootstrap
    with_losses : whether to make curves of streams that lost packets too, after those of whole streams
    anchor : family of methods that gains are on, ``joint`` for ``joint-3`` at s = 3, or a method for any factor. Gains
        are known against labels alone: fidelity is measured against another target for each network

    Returns
    -------
    curves : with points of the same sequences alone: those that most points of a curve have; of the seeds that were
        shown any of its streams
    """
    readings = Readings(sweep)
    found: list[Curve] = []
    groups: dict[tuple[str, str, int], list[Point]] = {}
    for point in points(sweep):
        groups.setdefault((point.label, point.mode, point.scale), []).append(point)
    channels = readings.channels if with_losses else (INTACT,)
    methods = [readings.of(*known) for known in readings.methods]
    common = _Common(sweep, reference, resamples, anchor)
    for members, channel in product(groups.values(), channels):
        known: _Known = {}
        streams = [each for point in members for each in _streams(sweep, point)]
        for networks in methods:
            maker = _Maker(common, networks.shown(streams, members[0].scale), known)
            if curve := maker.coded(members, channel):
                found.append(curve)
    for networks in methods:
        if not readings.has_streams(networks.method, networks.label):
            found += _Maker(common, networks, {}).ceiling()
    return sorted(found, key=lambda curve: (curve.codec, curve.mode, curve.s, _rank(curve), curve.channel))


def _rank(curve: Curve) -> tuple[int, str]:
    """Place of a method in the order of the paper; others come after."""
    names = [family.name for family in FAMILIES]
    return names.index(curve.family) if curve.family in names else len(names), curve.method


def _streams(sweep: Sweep, point: Point) -> list[tuple[str, str]]:
    """Sequence and key of the streams of a point, by name."""
    names, keys = (sweep.column(name)[point.rows].tolist() for name in ("sequence", "key"))
    return sorted(zip(names, keys, strict=True))


@dataclass(frozen=True)
class _Common:
    """What all curves are made of: as of `curves`, `anchor` the family."""

    sweep: Sweep
    reference: Reference
    resamples: int
    anchor: str


class _Maker:
    """Makes the curves of one method against one reference.

    Parameters
    ----------
    known : replicates of anchors, of the operating points and the channel in hand: they serve every method
    """

    def __init__(self, common: _Common, networks: Networks, known: _Known) -> None:
        self._common = common
        self._networks = networks
        self._known = known

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
        uncoded = [(name, UNCODED) for name in sequences]
        anchor = self._anchor(first.scale, [each for keys in shown for each in keys.items()])
        still = self._if_shown(self._networks, uncoded, first.scale, INTACT, target)
        beside = self._if_shown(anchor, uncoded, first.scale, INTACT, target)
        taken = tuple(
            self._point(point, list(keys.items()), channel, target=target, still=still, anchor=anchor)
            for point, keys in zip(members, shown, strict=True)
            if tuple(keys) == sequences
        )
        return replace(
            self._curve(first, taken, sequences, target, uncompressed={} if still is None else still.intervals()),
            n_left_out=sum(self._was_read(point, channel) for point in members) - len(taken),
            channel=channel,
            anchor="" if anchor is None else anchor.method,
            uncompressed_gain={} if still is None or beside is None else still.less(beside),
        )

    def _point(
        self,
        point: Point,
        streams: Sequence[tuple[str, str]],
        channel: Channel,
        *,
        target: Floats,
        still: Replicates | None,
        anchor: Networks | None,
    ) -> CurvePoint:
        """What was told of streams, pairs of a sequence and a key, that all networks were shown."""
        sequences = [name for name, _ in streams]
        told = self._replicates(self._networks, streams, point.scale, channel, target)
        harm = self._networks.harm(streams, point.scale, channel)
        pooled = replace(point, rows=point.rows[np.isin(self._common.sweep.column("sequence")[point.rows], sequences)])
        n_frames = int(self._common.sweep.column("n_frames")[pooled.rows].sum())
        beside = self._if_shown(anchor, streams, point.scale, channel, target)
        return CurvePoint(
            point.value,
            **{rate: pooled_rate(self._common.sweep, pooled, rate) for rate in RATES},
            metrics=told.intervals(),
            lost_ccc=None if still is None else told.less(still)["ccc"],
            concealed=harm[0] / n_frames,
            damaged=harm[1] / n_frames,
            gain={} if beside is None else told.less(beside),
        )

    def _anchor(self, s: int, streams: Sequence[tuple[str, str]]) -> Networks | None:
        """Networks that those of this method gain on in some streams; None where there are none of the same target."""
        own, readings = self._networks, self._networks.readings
        for method in self._anchors(s):
            if method != own.method and (method, own.label) in readings.methods and self._common.reference == "label":
                found = readings.of(method, own.label).shown(streams, s)
                return found if found.delay_seconds == own.delay_seconds else None
        return None

    def _anchors(self, s: int) -> tuple[str, str]:
        """Names under which the anchor may be found."""
        return f"{self._common.anchor}-{s}", self._common.anchor

    def ceiling(self) -> list[Curve]:
        """The method on HR frames, as a curve without points; none where labels are not asked for, or not known."""
        networks = self._networks
        known = [name for name in sorted(networks.readings.subjects) if networks.have(name, UNCODED, 1)]
        sequences = tuple(name for name in known if networks.readings.has_truth(networks.label, name))
        if self._common.reference != "label" or not sequences:
            return []
        target = self._target(sequences)
        if np.isnan(target).all():
            return []
        told = self._replicates(networks, [(name, UNCODED) for name in sequences], 1, INTACT, target)
        nothing = Point("", "{}", "", 1, np.nan, np.empty(0, np.intp))
        return [self._curve(nothing, (), sequences, target, uncompressed=told.intervals())]

    def _shown(self, point: Point, channel: Channel) -> dict[str, str]:
        """Sequence → key of the streams of a point that all networks were shown, and that have a target, by name."""
        return {
            name: key
            for name, key in _streams(self._common.sweep, point)
            if self._networks.have(name, key, point.scale, channel) and self._has_target(name)
        }

    def _was_read(self, point: Point, channel: Channel) -> bool:
        """Whether any of the networks was shown a stream of a point that has a target."""
        return any(
            self._networks.one_has(name, key, point.scale, channel) and self._has_target(name)
            for name, key in _streams(self._common.sweep, point)
        )

    def _has_target(self, sequence: str) -> bool:
        networks = self._networks
        if self._common.reference == "label":
            return networks.readings.has_truth(networks.label, sequence)
        return networks.have(sequence, UNCODED, 1)

    def _target(self, sequences: Sequence[str]) -> Floats:
        """What predictions are measured against: shape=(N,), or (seeds, N) for fidelity."""
        networks = self._networks
        if self._common.reference == "label":
            return networks.readings.truth(networks.label, sequences, delay_seconds=networks.delay_seconds)
        return networks.told([(name, UNCODED) for name in sequences], 1)

    def _if_shown(
        self,
        networks: Networks | None,
        streams: Sequence[tuple[str, str]],
        scale: int,
        channel: Channel,
        target: Floats,
    ) -> Replicates | None:
        """Replicates of what networks told of streams; None where there are none, or not all were shown them."""
        if networks is None or not all(networks.have(*each, scale, channel) for each in streams):
            return None
        return self._replicates(networks, streams, scale, channel, target)

    def _replicates(
        self, networks: Networks, streams: Sequence[tuple[str, str]], scale: int, channel: Channel, target: Floats
    ) -> Replicates:
        """Replicates of what networks told of streams that all of them were shown."""
        name = networks.method, networks.label, tuple(streams)
        if name in self._known:
            return self._known[name]
        told = networks.told(streams, scale, channel)
        recordings, subjects = self._whose([sequence for sequence, _ in streams])
        every = replicates(told, target, recordings=recordings, subjects=subjects, resamples=self._common.resamples)
        made = Replicates({measure: every.values[measure] for measure in MEASURES})
        if networks.method in self._anchors(scale):
            self._known[name] = made
        return made

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
    ) -> Curve:
        networks = self._networks
        return Curve(
            codec=first.label,
            mode=first.mode,
            s=first.scale,
            method=networks.method,
            label=networks.label,
            seeds=networks.seeds,
            reference=self._common.reference,
            points=taken,
            uncompressed=uncompressed,
            sequences=sequences,
            subjects=tuple(sorted({networks.readings.subjects[name] for name in sequences})),
            splits=tuple(sorted({networks.readings.splits[name] for name in sequences} - {""})),
            n_frames=int((~np.isnan(np.atleast_2d(target)).any(0)).sum()),
        )
