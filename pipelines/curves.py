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
from dataclasses import replace
from itertools import product

import numpy as np
import numpy.typing as npt

from codecsim.channel import INTACT, Channel
from codecsim.store import Sweep
from pipelines.curve import ANCHOR, MEASURES, RATES, Curve, CurvePoint, Reference
from pipelines.readings import UNCODED, Networks, Readings
from pipelines.tables import Point, points, pooled_rate
from recognition.methods import FAMILIES
from recognition.metrics import Difference, Interval, bootstrap, paired

RESAMPLES = 2000

Floats = npt.NDArray[np.float64]


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
        shown streams of its factor
    """
    readings, found = Readings(sweep), []
    groups: dict[tuple[str, str, int], list[Point]] = {}
    for point in points(sweep):
        groups.setdefault((point.label, point.mode, point.scale), []).append(point)
    channels = readings.channels if with_losses else (INTACT,)
    for method, label in readings.methods:
        networks, coded = readings.of(method, label), []
        for members, channel in product(groups.values(), channels):
            maker = _Maker(sweep, networks.at(members[0].scale), reference, resamples, anchor)
            if curve := maker.coded(members, channel):
                coded.append(curve)
        found += coded or _Maker(sweep, networks, reference, resamples, anchor).ceiling()
    return sorted(found, key=lambda curve: (curve.codec, curve.mode, curve.s, _rank(curve), curve.channel))


def _rank(curve: Curve) -> tuple[int, str]:
    """Place of a method in the order of the paper; others come after."""
    names = [family.name for family in FAMILIES]
    return names.index(curve.family) if curve.family in names else len(names), curve.method


class _Maker:
    """Makes the curves of one method against one reference."""

    def __init__(self, sweep: Sweep, networks: Networks, reference: Reference, resamples: int, anchor: str) -> None:
        self._sweep = sweep
        self._anchor_family = anchor
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
        anchor, still = self._anchor(first.scale), self._uncoded(self._networks, sequences, first.scale)
        chosen = [
            (point, list(keys.items())) for point, keys in zip(members, shown, strict=True) if tuple(keys) == sequences
        ]
        taken = tuple(self._point(*each, channel, target=target, still=still, anchor=anchor) for each in chosen)
        beside = None if anchor is None else self._uncoded(anchor, sequences, first.scale)
        return replace(
            self._curve(
                first,
                taken,
                sequences,
                target,
                uncompressed={} if still is None else self._metrics(still, target, sequences),
            ),
            n_left_out=sum(self._was_read(point, channel) for point in members) - len(taken),
            channel=channel,
            anchor="" if anchor is None else anchor.method,
            uncompressed_gain={} if still is None or beside is None else self._paired(still, beside, target, sequences),
        )

    def _point(
        self,
        point: Point,
        streams: Sequence[tuple[str, str]],
        channel: Channel,
        *,
        target: Floats,
        still: Floats | None,
        anchor: Networks | None,
    ) -> CurvePoint:
        """What was told of streams, pairs of a sequence and a key."""
        sequences = [name for name, _ in streams]
        told = self._networks.told(streams, point.scale, channel)
        harm = self._networks.harm(streams, point.scale, channel)
        pooled = replace(point, rows=point.rows[np.isin(self._sweep.column("sequence")[point.rows], sequences)])
        n_frames = int(self._sweep.column("n_frames")[pooled.rows].sum())
        beside = None
        if anchor is not None and all(anchor.have(*each, point.scale, channel) for each in streams):
            beside = anchor.told(streams, point.scale, channel)
        return CurvePoint(
            point.value,
            **{rate: pooled_rate(self._sweep, pooled, rate) for rate in RATES},
            metrics=self._metrics(told, target, sequences),
            lost_ccc=None if still is None else self._paired(told, still, target, sequences)["ccc"],
            concealed=harm[0] / n_frames,
            damaged=harm[1] / n_frames,
            gain={} if beside is None else self._paired(told, beside, target, sequences),
        )

    def _anchor(self, s: int) -> Networks | None:
        """Networks that those of this method gain on at a factor; None where there are no others of the same target."""
        own, readings = self._networks, self._networks.readings
        for method in (f"{self._anchor_family}-{s}", self._anchor_family):
            if method != own.method and (method, own.label) in readings.methods and self._reference == "label":
                found = readings.of(method, own.label).at(s)
                return found if found.delay_seconds == own.delay_seconds else None
        return None

    def ceiling(self) -> list[Curve]:
        """The method on HR frames, as a curve without points; none where labels are not asked for, or not known."""
        networks = self._networks
        known = [name for name in sorted(networks.readings.subjects) if networks.have(name, UNCODED, 1)]
        sequences = tuple(name for name in known if networks.readings.has_truth(networks.label, name))
        if self._reference != "label" or not sequences:
            return []
        target = self._target(sequences)
        told = self._uncoded(networks, sequences, 1)
        if told is None or np.isnan(target).all():
            return []
        nothing = Point("", "{}", "", 1, np.nan, np.empty(0, np.intp))
        return [self._curve(nothing, (), sequences, target, uncompressed=self._metrics(told, target, sequences))]

    def _shown(self, point: Point, channel: Channel) -> dict[str, str]:
        """Sequence → key of the streams of a point that all networks were shown, and that have a target, by name."""
        return {
            name: key
            for name, key in self._streams(point)
            if self._networks.have(name, key, point.scale, channel) and self._has_target(name)
        }

    def _was_read(self, point: Point, channel: Channel) -> bool:
        """Whether any of the networks was shown a stream of a point that has a target."""
        return any(
            self._networks.one_has(name, key, point.scale, channel) and self._has_target(name)
            for name, key in self._streams(point)
        )

    def _streams(self, point: Point) -> list[tuple[str, str]]:
        """Sequence and key of the streams of a point, by name."""
        names, keys = (self._sweep.column(name)[point.rows].tolist() for name in ("sequence", "key"))
        return sorted(zip(names, keys, strict=True))

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

    def _uncoded(self, networks: Networks, sequences: Sequence[str], scale: int) -> Floats | None:
        """What networks told of frames that were never coded; None where they were not asked."""
        if not all(networks.have(name, UNCODED, scale) for name in sequences):
            return None
        return networks.told([(name, UNCODED) for name in sequences], scale)

    def _metrics(self, told: Floats, target: Floats, sequences: Sequence[str]) -> dict[str, Interval]:
        recordings, subjects = self._whose(sequences)
        found = bootstrap(told, target, recordings=recordings, subjects=subjects, resamples=self._resamples)
        return {measure: found[measure] for measure in MEASURES}

    def _paired(self, told: Floats, other: Floats, target: Floats, sequences: Sequence[str]) -> dict[str, Difference]:
        recordings, subjects = self._whose(sequences)
        found = paired(told, other, target, recordings=recordings, subjects=subjects, resamples=self._resamples)
        return {measure: found[measure] for measure in MEASURES}

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
            reference=self._reference,
            points=taken,
            uncompressed=uncompressed,
            sequences=sequences,
            subjects=tuple(sorted({networks.readings.subjects[name] for name in sequences})),
            splits=tuple(sorted({networks.readings.splits[name] for name in sequences} - {""})),
            n_frames=int((~np.isnan(np.atleast_2d(target)).any(0)).sum()),
        )
