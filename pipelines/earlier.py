"""What was told of a sweep before: what need not be asked again, and what new readings have to agree with."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import isclose
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from codecsim.channel import INTACT, Channel
from codecsim.errors import StoreError, UsageError
from codecsim.parts import parts_folder
from codecsim.store import Sweep
from codecsim.store.merge import part_files
from pipelines.networks import Network
from pipelines.readings import TRUTH, channels_of

Floats = npt.NDArray[np.float32]

_NAMES = ("sequence", "key", "scale", "method", "label", "seed")
_MARKS = ("weights", "precision", "every")


class Identity(NamedTuple):
    """Which frames, as they came through which channel, and which network told which label of them."""

    sequence: str
    key: str
    scale: int
    channel: Channel
    method: str
    label: str
    seed: int


class Mark(NamedTuple):
    """What a prediction depends on, besides the frames."""

    weights: str
    precision: str
    every: int


IsReplaced = Callable[[Identity], bool]
"""Whether what was told before is about to be told anew."""


@dataclass(frozen=True)
class Earlier:
    """What a sweep file and its parts hold.

    Attributes
    ----------
    path : sweep file
    marks, delays : of all that networks told; by how many seconds they took labels to lag
    truth : what corpora said of a sequence and label
    """

    path: Path
    marks: dict[Identity, Mark]
    delays: dict[Identity, float]
    truth: dict[tuple[str, str], Floats]

    @classmethod
    def of(cls, path: Path) -> "Earlier":
        """What there is, none where there is no file; a part that cannot be read holds nothing."""
        found = cls(path, {}, {}, {})
        for each in ([path] if path.exists() else []) + part_files(parts_folder(path)):
            try:
                with Sweep(each) as sweep:
                    found._take(sweep)
            except StoreError:
                if each == path:
                    raise
        return found

    def _take(self, sweep: Sweep) -> None:
        told = sweep.predictions
        names, marks = (zip(*(told[name].tolist() for name in those), strict=True) for those in (_NAMES, _MARKS))
        channels, delays = channels_of(told), told["delay_seconds"].tolist()
        extents = zip(told["offset"].tolist(), told["n_values"].tolist(), strict=True)
        rows = zip(names, channels, marks, delays, extents, strict=True)
        for (sequence, key, scale, method, label, seed), channel, mark, delay, (start, length) in rows:
            if method == TRUTH:
                self.truth[sequence, label] = sweep.predicted_between(start, start + length)
            else:
                identity = Identity(sequence, key, scale, channel, method, label, seed)
                self.marks[identity] = Mark(*mark)
                self.delays[identity] = delay

    def every(self, wanted: int | None, *, default: int, force: bool) -> int:
        """Every so many frames that networks are to be shown.

        Parameters
        ----------
        wanted : what one asked for; None for what was shown before
        default : where nothing was
        force : whether all may be told anew

        Raises
        ------
        UsageError
            If others were shown before.
        """
        before = {mark.every for identity, mark in self.marks.items() if identity.channel == INTACT}
        every = wanted or min(before, default=default)
        if before - {every} and not force:
            raise self._other_frames(min(before))
        return every

    def check(self, networks: Iterable[Network], *, every: int, is_replaced: IsReplaced) -> None:
        """Refuse to set new readings beside old ones that one could not join with them.

        Parameters
        ----------
        networks : that are to read
        every : every so many frames that they are to be shown
        is_replaced : of what was told before

        Raises
        ------
        UsageError
            If other frames were shown before, or a network of the same name takes labels to lag by another time.
        """
        by_name: dict[str, list[Network]] = {}
        for new in networks:
            by_name.setdefault(new.method.name, []).append(new)
        for identity, mark in self.marks.items():
            if identity.channel == INTACT and mark.every != every and not is_replaced(identity):
                raise self._other_frames(mark.every)
            delay = self.delays[identity]
            for new in by_name.get(identity.method, []):
                is_other = identity.label in new.labels and not isclose(new.delay_seconds, delay)
                if is_other and not is_replaced(identity):
                    raise UsageError(
                        f"{self.path}: seed {new.seed} of {identity.method} takes labels to lag by "
                        f"{new.delay_seconds:g} s, seed {identity.seed}, which has read it, by {delay:g} s; evaluate "
                        "networks of one setting into a file"
                    )

    def _other_frames(self, every: int) -> UsageError:
        return UsageError(
            f"{self.path}: its streams were evaluated with one frame in {every}; go on with --every {every}, "
            "or evaluate all methods again with --force"
        )
