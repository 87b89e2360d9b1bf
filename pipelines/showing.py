"""The frames of a sweep that networks are shown, in groups: never coded, decoded, and with losses.

Frames are fetched a file of streams at a time, in the order in which these are handed over, while the sweep runs.
"""

import queue
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from codecsim.channel import INTACT, Channel
from codecsim.corpus import Sequence as Track
from codecsim.decoder_process import DecoderProcess
from codecsim.decoders import Decoders
from codecsim.errors import CodecsimError
from codecsim.grid import Job
from codecsim.jobs import read_frames
from codecsim.scaling import downscale
from codecsim.store import Sweep
from codecsim.store.decoding import received_frames, stored_frames
from pipelines.readings import UNCODED

Frames = npt.NDArray[np.uint8]

_MOMENT_SECONDS = 0.2

Given = TypeVar("Given")


@dataclass(frozen=True)
class Shown:
    """What frames of one sequence are: never coded, decoded, or received with losses.

    Attributes
    ----------
    sequence, key, scale : what was coded; the key is `UNCODED` for frames that were never coded
    channel : that the stream came through
    n_concealed, n_damaged : frames of the whole stream that were lost or did not come out, and that differ from those
        without losses
    """

    sequence: str
    key: str
    scale: int
    channel: Channel = INTACT
    n_concealed: int = 0
    n_damaged: int = 0


Showing = tuple[Shown, Frames]
"""What frames are, and these, uint8, shape=(T, h, w): every so many of the sequence, from the first one on."""

_Given = Showing | CodecsimError | None
"""Frames; or what ended decoding; or nothing, for a moment."""

_Received = tuple[list[Showing], CodecsimError | None]
"""What came out of a stream, and what ended it early."""


@dataclass(frozen=True)
class Asked:
    """What is to be shown.

    Attributes
    ----------
    tracks : sequences, with the corpora that hold them
    streams : (sequence, key) of the streams
    scales : factors of these
    channels : that streams are sent through, besides the one that loses nothing
    """

    tracks: tuple[Track, ...]
    streams: frozenset[tuple[str, str]]
    scales: tuple[int, ...]
    channels: tuple[Channel, ...] = ()

    @classmethod
    def of(cls, jobs: Sequence[Job], channels: tuple[Channel, ...]) -> "Asked":
        """All that a sweep encodes."""
        tracks = {job.sequence.name: job.sequence for job in jobs}
        scales = sorted({job.scale for job in jobs})
        return cls(tuple(tracks.values()), frozenset(job.identity for job in jobs), tuple(scales), channels)

    def __len__(self) -> int:
        """How often a sequence is shown."""
        return len(self.tracks) * len({1, *self.scales}) + len(self.streams) * (1 + len(self.channels))


class Files:
    """Files that one thread hands over to another, until no more come, or all is to stop."""

    def __init__(self) -> None:
        self._files: queue.SimpleQueue[Path | None] = queue.SimpleQueue()
        self._stopped = threading.Event()

    def put(self, path: Path) -> None:
        """Hand a file over."""
        self._files.put(path)

    def close(self) -> None:
        """No more files come."""
        self._files.put(None)

    def stop(self) -> None:
        """Take no more files, even those that came."""
        self._stopped.set()
        self.close()

    @property
    def are_stopped(self) -> bool:
        """Whether all is to stop."""
        return self._stopped.is_set()

    def __iter__(self) -> Iterator[Path | None]:
        """The files, and None whenever none has come for a moment."""
        while not self.are_stopped:
            try:
                path = self._files.get(timeout=_MOMENT_SECONDS)
            except queue.Empty:
                yield None
                continue
            if path is None:
                return
            yield path


IsWanted = Callable[[str, str, int, Channel], bool]
"""Whether frames of a sequence, key and factor, through a channel, are to be shown."""


def shown_in_groups(
    asked: Asked, files: Files, *, every: int, n_frames: int, is_wanted: IsWanted, decoders: Decoders
) -> Generator[list[Showing], None, None]:
    """All that is asked for and wanted, in groups; then an empty one; errors below after that.

    Parameters
    ----------
    files : with the streams
    every : every so many frames are shown
    n_frames : that make a group; one that waits for more is not kept back when none come for a moment
    is_wanted : asked before frames are fetched
    decoders : where streams are decoded, several at a time

    Raises
    ------
    CodecError
        If a stream cannot be decoded.
    StoreError
        If a corpus holds other frames than were coded, or a stream decodes to others than it did when it was stored.
    """
    group: list[Showing] = []
    failure: CodecsimError | None = None
    try:
        for showing in _shown(asked, files, every, is_wanted, decoders):
            if isinstance(showing, CodecsimError):
                failure = showing
                continue
            if showing is not None:
                group.append(showing)
            if group and (showing is None or sum(len(frames) for _, frames in group) >= n_frames):
                yield group
                group = []
    except CodecsimError as error:
        failure = error
    if group:
        yield group
    yield []
    if failure:
        raise failure


def _shown(asked: Asked, files: Files, every: int, is_wanted: IsWanted, decoders: Decoders) -> Iterator[_Given]:
    """Both as they come: what was never coded is unpacked while streams are decoded, and after one that fails, too."""
    wanted = [
        (track, scales)
        for track in asked.tracks
        if (scales := [each for each in sorted({1, *asked.scales}) if is_wanted(track.name, UNCODED, each, INTACT)])
    ]
    if wanted:
        decoders.start()
    return _as_they_come(_uncoded(wanted, every), _decoded(asked, files, every, is_wanted, decoders))


def _as_they_come(*sources: Generator[Given, None, None]) -> Iterator[Given]:
    """What generators give; each has a thread of its own, in which it is one ahead. All are closed at the end."""
    try:
        with ThreadPoolExecutor(len(sources), "codecsim-source") as executor:
            ahead = {executor.submit(_next, each): each for each in sources}
            while ahead:
                for fetched in wait(ahead, return_when=FIRST_COMPLETED).done:
                    source, given = ahead.pop(fetched), fetched.result()
                    if given:
                        ahead[executor.submit(_next, source)] = source
                    yield from given
    finally:
        for each in sources:
            each.close()


def _next(source: Iterator[Given]) -> list[Given]:
    """What an iterator gives next; nothing at its end."""
    return [*islice(source, 1)]


def _uncoded(wanted: Iterable[tuple[Track, Sequence[int]]], every: int) -> Generator[_Given, None, None]:
    for track, scales in wanted:
        frames = _one_in(every, read_frames(track.corpus, track.name, track.digest))
        for scale in scales:
            yield Shown(track.name, UNCODED, scale), frames if scale == 1 else downscale(frames, scale)


def _decoded(
    asked: Asked, files: Files, every: int, is_wanted: IsWanted, decoders: Decoders
) -> Generator[_Given, None, None]:
    """Frames of streams, up to the first one that fails, and then its error; None where no file came for a moment."""
    seen: set[tuple[str, str]] = set()
    try:
        for path in files:
            if path is None:
                yield None
                continue
            tasks = partial(_tasks, asked=asked, every=every, is_wanted=is_wanted, seen=seen)
            with Sweep(path) as sweep, closing(decoders.in_order(tasks(sweep))) as received:
                for showings, failure in received:
                    yield from showings
                    if failure:
                        yield failure
                        return
    except CodecsimError as error:
        yield error


def _tasks(
    sweep: Sweep, asked: Asked, every: int, is_wanted: IsWanted, seen: set[tuple[str, str]]
) -> Iterator[Callable[[DecoderProcess], _Received]]:
    """To decode each stream of a file that is asked for, wanted, and not among those `seen`, which it adds to."""
    scales = sweep.column("scale")
    for row in np.argsort(scales, kind="stable").tolist():
        identity = str(sweep.column("sequence")[row]), str(sweep.column("key")[row])
        if identity in asked.streams and identity not in seen:
            seen.add(identity)
            channels = (INTACT, *asked.channels)
            through = [each for each in channels if is_wanted(*identity, int(scales[row]), each)]
            if through:
                yield partial(_received, sweep, row, through, every)


def _received(sweep: Sweep, row: int, channels: Sequence[Channel], every: int, decoder: DecoderProcess) -> _Received:
    """The frames of a stream as they come out of each of some channels, up to the first one where decoding fails."""
    sequence, key = (str(sweep.column(name)[row]) for name in ("sequence", "key"))
    scale = int(sweep.column("scale")[row])
    showings: list[Showing] = []
    try:
        whole = stored_frames(sweep, row, decoder.decode)
        for channel in channels:
            frames, n_concealed, n_damaged = whole, 0, 0
            if channel != INTACT:
                is_lost = channel.lost_frames(sweep.packet_column(row, "n_bytes"), key)
                if is_lost.any():
                    received = received_frames(sweep, row, is_lost, decoder.receive)
                    frames, n_concealed = received.frames, int(received.is_concealed.sum())
                    n_damaged = int((frames != whole).any((1, 2)).sum())
            shown = Shown(sequence, key, scale, channel, n_concealed, n_damaged)
            showings.append((shown, _one_in(every, frames)))
    except CodecsimError as failure:
        return showings, failure
    return showings, None


def _one_in(every: int, frames: Frames) -> Frames:
    """Every so many frames, which do not hold the others in memory."""
    return frames if every == 1 else frames[::every].copy()
