"""What networks read in the frames of a sweep, joined with its streams and with what its corpus says."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from codecsim.channel import INTACT, Channel
from codecsim.errors import UsageError
from codecsim.store import Sweep
from codecsim.store.sweep import Table
from recognition.delays import moved

Floats = npt.NDArray[np.float64]
_Shown = tuple[str, str, int, Channel]
"""Sequence, key of the stream, factor, channel that it came through."""

TRUTH = "truth"
"""Name of the method under which a sweep keeps what its corpus says."""

UNCODED = ""
"""Key of frames that were never coded."""

NO_SEED = -1


def channels_of(told: Table) -> list[Channel]:
    """The channel of each row of /predictions."""
    rows = zip(*(told[name].tolist() for name in ("loss", "burst", "loss_seed")), strict=True)
    known: dict[tuple[float, float, int], Channel] = {}
    return [known.setdefault(row, Channel(*row)) for row in rows]


class Readings:
    """Predictions in a sweep, by the method that made them.

    What counts is of the weights and the arithmetic that HR frames were read with last: a network that was trained anew
    may have read some streams and not others, and fidelity is measured against the same network. The rest is former, as
    is what was read in a stream with losses before the whole stream was read anew.

    Parameters
    ----------
    sweep : stays open

    Attributes
    ----------
    every : every so many frames were shown to networks
    subjects, splits, fps : of each sequence
    methods : with the label that each tells, in the order of the file
    channels : that streams came through, by rising loss; first the one that loses nothing

    Raises
    ------
    UsageError
        If the networks were not all shown the same frames.
    """

    def __init__(self, sweep: Sweep) -> None:
        self.path = sweep.path
        self._sweep = sweep
        told = sweep.predictions
        is_network = (told["method"] != TRUTH) & (told["loss"] == 0)
        intervals = np.unique(told["every"][is_network]).tolist()
        if len(intervals) > 1:
            shown = " and ".join(map(str, intervals))
            raise UsageError(f"{sweep.path}: networks were shown one frame in {shown}; evaluate it again with --force")
        self.every: int = intervals[0] if intervals else 1
        columns = ("sequence", "subject", "split", "fps")
        names, subjects, splits, rates = (sweep.column(name).tolist() for name in columns)
        self.subjects: dict[str, str] = {name: who or name for name, who in zip(names, subjects, strict=True)}
        self.splits: dict[str, str] = dict(zip(names, splits, strict=True))
        self.fps: dict[str, float] = dict(zip(names, rates, strict=True))
        self._extents = np.stack([told["offset"], told["offset"] + told["n_values"]], 1)
        shown_frames = (told[name][is_network].tolist() for name in ("sequence", "n_values"))
        self._n_shown: dict[str, int] = dict(zip(*shown_frames, strict=True))
        self._told = told
        self._rows: dict[tuple[str, str], dict[int, dict[_Shown, int]]] = {}
        self._former: set[tuple[str, str, int, _Shown]] = set()
        self._has_truth: dict[tuple[str, str], bool] = {}
        self._sort()
        self.methods = [known for known in self._rows if known[0] != TRUTH]

    def _sort(self) -> None:
        """Find the rows of each method that count, those without losses first, and the channels."""
        told, channels = self._told, channels_of(self._told)
        marks = list(zip(*(told[name].tolist() for name in ("weights", "precision", "every")), strict=True))
        names = ("method", "label", "seed", "sequence", "key", "scale")
        rows = list(zip(*(told[name].tolist() for name in names), strict=True))
        of_hr: dict[tuple[str, str, int], Counter[tuple[str, str, int]]] = {}
        for (method, label, seed, _, key, scale), mark in zip(rows, marks, strict=True):
            if (key, scale) == (UNCODED, 1):
                of_hr.setdefault((method, label, seed), Counter())[mark] += 1
        latest = {network: max(seen, key=lambda mark: (seen[mark], mark)) for network, seen in of_hr.items()}
        found = {INTACT}
        for row in np.argsort(told["loss"] != 0, kind="stable").tolist():
            method, label, seed, sequence, key, scale = rows[row]
            channel, shown = channels[row], (sequence, key, scale, channels[row])
            counts = latest.get((method, label, seed), marks[row]) == marks[row]
            if channel != INTACT:
                whole = self.row(method, label, seed, (sequence, key, scale, INTACT))
                counts = whole is not None and marks[whole] == marks[row]
            if counts:
                self._rows.setdefault((method, label), {}).setdefault(seed, {})[shown] = row
                found.add(channel)
            elif channel == INTACT:
                self._former.add((method, label, seed, shown))
        self.channels = tuple(sorted(found))

    def of(self, method: str, label: str) -> "Networks":
        """What the networks of a method told."""
        by_seed = self._rows[method, label]
        delays = sorted({float(self._told["delay_seconds"][row]) for rows in by_seed.values() for row in rows.values()})
        if len(delays) > 1:
            shown = ", ".join(f"{each:g}" for each in delays)
            raise UsageError(
                f"{self.path}: networks of {method} take labels to lag by {shown} s; evaluate those of one setting"
            )
        return Networks(self, method, label, tuple(sorted(by_seed)), delays[0])

    def n_shown(self, sequence: str) -> int:
        """How many frames of a sequence networks were shown."""
        return self._n_shown[sequence]

    def has_truth(self, label: str, sequence: str) -> bool:
        """Whether the corpus says anything of the frames of a sequence that networks were shown."""
        if (label, sequence) not in self._has_truth:
            row = self.row(TRUTH, label, NO_SEED, (sequence, UNCODED, 1, INTACT))
            self._has_truth[label, sequence] = row is not None and bool(
                np.isfinite(self.values(row)[:: self.every]).any()
            )
        return self._has_truth[label, sequence]

    def truth(self, label: str, sequences: Sequence[str], *, delay_seconds: float) -> Floats:
        """What the corpus says of the frames that networks were shown, shape=(N,): NaN where it says nothing.

        Parameters
        ----------
        delay_seconds : a frame gets the label that stands so much later
        """
        parts = []
        for sequence in sequences:
            values = self.values(self._rows[TRUTH, label][NO_SEED][sequence, UNCODED, 1, INTACT])
            parts.append(moved(values, round(delay_seconds * self.fps[sequence]))[:: self.every])
        return np.concatenate(parts)

    def row(self, method: str, label: str, seed: int, shown: _Shown) -> int | None:
        """Where a network's predictions stand; None where there are none."""
        return self._rows.get((method, label), {}).get(seed, {}).get(shown)

    def is_former(self, method: str, label: str, seed: int, shown: _Shown) -> bool:
        """Whether a network of other weights, or arithmetic, has told of it, and the one that counts has not."""
        return (method, label, seed, shown) in self._former

    def has_streams(self, method: str, label: str) -> bool:
        """Whether a network of a method was shown any stream."""
        return any(key != UNCODED for rows in self._rows.get((method, label), {}).values() for _, key, _, _ in rows)

    def values(self, row: int) -> Floats:
        """The numbers of one row, float64."""
        return self._sweep.predicted_between(*map(int, self._extents[row])).astype(np.float64)

    def harm(self, row: int) -> tuple[int, int]:
        """How many frames of the stream of a row were concealed, and how many differ from those without losses."""
        return int(self._told["n_concealed"][row]), int(self._told["n_damaged"][row])


@dataclass(frozen=True)
class Networks:
    """What the networks of one method told.

    Attributes
    ----------
    method, label, seeds : which they are
    delay_seconds : by how much they take labels to lag behind frames
    """

    readings: Readings
    method: str
    label: str
    seeds: tuple[int, ...]
    delay_seconds: float

    def shown(self, streams: Sequence[tuple[str, str]], scale: int) -> "Networks":
        """Those of them that were shown any of some streams, pairs of a sequence and a key; all where none was."""
        row = self.readings.row
        seeds = tuple(
            seed
            for seed in self.seeds
            if any(row(self.method, self.label, seed, (*each, scale, INTACT)) is not None for each in streams)
        )
        return replace(self, seeds=seeds or self.seeds)

    def have(self, sequence: str, key: str, scale: int, channel: Channel = INTACT) -> bool:
        """Whether all of them were shown a stream as it came through a channel, or frames that were never coded."""
        return all(self._were_shown((sequence, key, scale, channel)))

    def one_has(self, sequence: str, key: str, scale: int, channel: Channel = INTACT) -> bool:
        """Whether one of them at least was shown that, or a former one was."""
        shown, former = (sequence, key, scale, channel), self.readings.is_former
        return any(self._were_shown(shown)) or any(former(self.method, self.label, seed, shown) for seed in self.seeds)

    def told(self, shown: Sequence[tuple[str, str]], scale: int, channel: Channel = INTACT) -> Floats:
        """Predictions, shape=(seeds, N): the frames of one (sequence, key) after another, of those that they `have`."""
        told = []
        for seed in self.seeds:
            rows = self._rows(seed, shown, scale, channel)
            told.append(np.concatenate([self.readings.values(row) for row in rows]))
        return np.stack(told)

    def harm(self, shown: Sequence[tuple[str, str]], scale: int, channel: Channel) -> tuple[int, int]:
        """How many frames of all these streams were concealed, and how many differ from those without losses."""
        harm = [self.readings.harm(row) for row in self._rows(self.seeds[0], shown, scale, channel)]
        return sum(concealed for concealed, _ in harm), sum(damaged for _, damaged in harm)

    def _were_shown(self, shown: _Shown) -> Iterator[bool]:
        return (self.readings.row(self.method, self.label, seed, shown) is not None for seed in self.seeds)

    def _rows(self, seed: int, shown: Sequence[tuple[str, str]], scale: int, channel: Channel) -> list[int]:
        rows = (self.readings.row(self.method, self.label, seed, (*each, scale, channel)) for each in shown)
        return [row for row in rows if row is not None]
