"""Networks read the streams of a sweep while it is made: one stream is encoded, another decoded, a third recognised.

What they tell is kept as parts beside the sweep file, and becomes part of it; so a run that was stopped goes on. They
are shown the decoded frames of every stream, whole and as they come through channels that lose packets, LR frames that
were never coded (against which one sees what coding changes), and HR frames (the ceiling, and what fidelity is measured
against).
"""

import hashlib
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt

from codecsim.channel import INTACT, Channel
from codecsim.corpus import Corpus
from codecsim.decoders import Decoders
from codecsim.errors import UsageError
from codecsim.grid import Job
from codecsim.interrupts import end_if_asked
from codecsim.simulator import Follow
from codecsim.sources.assembly import Progress, untold
from codecsim.store.records import Series, write_predictions
from pipelines.earlier import Earlier, Identity, Mark
from pipelines.feeding import FEEDING, Feeding
from pipelines.networks import Network
from pipelines.readings import NO_SEED, TRUTH, UNCODED
from pipelines.showing import Asked, Files, Showing, Shown, shown_in_groups
from recognition.devices import Precision, arithmetic, get_device
from recognition.inference import Predictor, PredictorOf

_SAVE_SECONDS = 10.0
_LOOK_SECONDS = 0.2

Floats = npt.NDArray[np.float32]


class Evaluation:
    """Lets networks read a sweep.

    Parameters
    ----------
    out : sweep file
    networks : to be asked
    every : every so many frames are shown; None for what the sweep was evaluated with, or else the device's default
    device, precision : where and how they are computed
    channels : through which streams are sent, besides being read whole
    force : ask again what was asked before
    progress : told how many streams are read
    feeding : how networks are given frames; None for what suits the device
    predictor_of : what applies them

    Attributes
    ----------
    every : as above, settled
    channels : as above, each once
    n_read, n_reused : how often a network read a sequence or a stream, and how often it had done so before
    n_inferred : frames that went through networks

    Raises
    ------
    UsageError
        If the sweep holds predictions of other frames.
    """

    def __init__(
        self,
        out: Path,
        networks: Sequence[Network],
        *,
        every: int | None = None,
        device: str = "auto",
        precision: Precision = "fp32",
        channels: Sequence[Channel] = (),
        force: bool = False,
        progress: Progress | None = None,
        feeding: Feeding | None = None,
        predictor_of: PredictorOf = Predictor,
    ) -> None:
        place = get_device(device)
        with arithmetic(precision, place):
            pass  # what this device cannot do is told before any work
        self.n_read = self.n_reused = 0
        self.channels = tuple(dict.fromkeys(each for each in channels if each != INTACT))
        self._readers = [
            _Reader(network, predictor_of(network.network, device=device, precision=precision, pads=True))
            for network in networks
        ]
        self._precision = precision
        self._feeding = feeding or FEEDING[place.type]
        self._progress = progress or untold
        self._pending: list[Series] = []
        self._earlier = Earlier.of(out)
        self._reused = {} if force else self._earlier.marks
        self.every = self._earlier.every(every, default=self._feeding.every, force=force)

    @property
    def n_inferred(self) -> int:
        """Frames that went through networks: of equal ones in a row, one."""
        return sum(reader.n_inferred for reader in self._readers)

    @contextmanager
    def follow(self, jobs: Sequence[Job], folder: Path) -> Iterator[Follow]:
        """Read the streams of a sweep while it makes them: a `codecsim.simulator.Follower`."""
        with self.reading(Asked.of(jobs, self.channels), folder) as take:
            yield take

    @contextmanager
    def reading(self, asked: Asked, folder: Path) -> Iterator[Follow]:
        """Read the streams of the files that one hands over; when the context is left, all is read, and kept.

        Streams are decoded in processes of their own: one that cannot be decoded ends reading with an error that names
        it, and what was read before is kept.
        """
        networks = [reader.network for reader in self._readers]
        self._earlier.check(networks, every=self.every, is_replaced=lambda identity: self._replaces(identity, asked))
        files = Files()
        with Decoders(self._feeding.decoders) as decoders, ThreadPoolExecutor(1, "codecsim-reading") as executor:
            reading = executor.submit(self._read_all, asked, files, folder, decoders)

            def take(path: Path) -> None:
                if reading.done():
                    reading.result()
                files.put(path)

            try:
                yield take
                files.close()
                _await(reading)
            except BaseException:
                files.stop()
                decoders.close()
                raise

    def _replaces(self, told: Identity, asked: Asked) -> bool:
        """Whether what was told before is told anew."""
        if told.key == UNCODED:
            is_asked = told.scale in {1, *asked.scales} and any(track.name == told.sequence for track in asked.tracks)
        else:
            is_asked = (told.sequence, told.key) in asked.streams
        networks = (reader.network for reader in self._readers_of(told.key, told.scale))
        return is_asked and any(
            (each.method.name, each.seed) == (told.method, told.seed) and told.label in each.labels for each in networks
        )

    def _read_all(self, asked: Asked, files: Files, folder: Path, decoders: Decoders) -> None:
        saved, n_shown, self._pending = time.monotonic(), 0, self._truth(asked)

        def is_wanted(sequence: str, key: str, scale: int, channel: Channel) -> bool:
            nonlocal n_shown
            readers, lacking = self._readers_of(key, scale), self._lacking(sequence, key, scale, channel)
            self.n_reused += len(readers) - len(lacking)
            n_shown += not lacking
            return bool(lacking)

        shown = shown_in_groups(
            asked,
            files,
            every=self.every,
            n_frames=self._feeding.group_frames,
            is_wanted=is_wanted,
            decoders=decoders,
        )
        try:
            with closing(shown) as groups, ThreadPoolExecutor(1, "codecsim-showing") as executor:
                ahead = executor.submit(next, groups)
                while (group := ahead.result()) and not files.are_stopped:
                    ahead = executor.submit(next, groups)
                    self._read(group)
                    n_shown += len(group)
                    self._progress("recognising", n_shown, len(asked))
                    if time.monotonic() - saved >= _SAVE_SECONDS:
                        self._save(folder)
                        saved = time.monotonic()
                self._finish()
                if not group:
                    next(groups, None)  # raises what ended them early
        except BaseException:
            self._settle()
            raise
        finally:
            self._save(folder)

    def _readers_of(self, key: str, scale: int) -> list["_Reader"]:
        """Those that some frames are shown to; HR frames are shown to all, for fidelity is measured against them."""
        everybody = key == UNCODED and scale == 1
        return [reader for reader in self._readers if everybody or reader.network.reads(scale)]

    def _lacking(self, sequence: str, key: str, scale: int, channel: Channel) -> list["_Reader"]:
        """Those of them that have not told yet."""
        return [
            reader
            for reader in self._readers_of(key, scale)
            if any(
                self._reused.get(
                    Identity(sequence, key, scale, channel, reader.network.method.name, label, reader.network.seed)
                )
                != Mark(reader.network.weights, self._precision, self.every)
                for label in reader.network.labels
            )
        ]

    def _read(self, group: Sequence[Showing]) -> None:
        """Show a group of frames to all networks that have not told of them, and keep what these tell by then."""
        lacking = [self._lacking(shown.sequence, shown.key, shown.scale, shown.channel) for shown, _ in group]
        for reader in self._readers:
            mine = [showing for showing, those in zip(group, lacking, strict=True) if reader in those]
            self._keep(reader.network, reader.show(mine))

    def _finish(self) -> None:
        """Keep what networks have not told yet of what they were shown."""
        for reader in self._readers:
            self._keep(reader.network, reader.finish())

    def _settle(self) -> None:
        """Keep what devices are at work on, as far as that can be had after an error."""
        for reader in self._readers:
            with suppress(Exception):
                self._keep(reader.network, reader.settle())

    def _keep(self, network: Network, told: Iterable[tuple[Shown, Floats]]) -> None:
        for shown, predictions in told:
            if wrong := int((~np.isfinite(predictions)).any(1).sum()):
                raise UsageError(
                    f"method {network.method.name}, seed {network.seed}: {wrong} of {len(predictions)} predictions for "
                    f"{shown.sequence} at s = {shown.scale} are NaN or infinite, and none of them is kept; mend the "
                    "network, or leave it out of --methods"
                )
            self.n_read += 1
            self._pending += [
                Series(
                    sequence=shown.sequence,
                    key=shown.key,
                    scale=shown.scale,
                    method=network.method.name,
                    label=label,
                    seed=network.seed,
                    weights=network.weights,
                    precision=self._precision,
                    delay_seconds=network.delay_seconds,
                    every=self.every,
                    values=predictions[:, k],
                    loss=shown.channel.loss,
                    burst=shown.channel.burst,
                    loss_seed=shown.channel.seed,
                    n_concealed=shown.n_concealed,
                    n_damaged=shown.n_damaged,
                )
                for k, label in enumerate(network.labels)
            ]

    def _truth(self, asked: Asked) -> list[Series]:
        """What the corpora say of all frames, of the labels that networks tell, as far as it is not there already."""
        labels = dict.fromkeys(label for reader in self._readers for label in reader.network.labels)
        found = []
        for track in asked.tracks:
            with Corpus(track.corpus) as corpus:
                for label in labels:
                    values = corpus.labels(track.name, label) if label in track.tasks else np.empty(0, int)
                    said = self._earlier.truth.get((track.name, label))
                    if values.dtype.kind == "f" and (said is None or not np.array_equal(said, values, equal_nan=True)):
                        found.append(_truth(track.name, label, values.astype(np.float32)))
        return found

    def _save(self, folder: Path) -> None:
        if not self._pending:
            return
        identity = hashlib.sha256(repr([_identity(each) for each in self._pending]).encode())
        write_predictions(folder / f"predictions-{identity.hexdigest()[:32]}.h5", self._pending)
        self._pending = []


class _Reader:
    """A network, and what it was shown and has not told of yet."""

    def __init__(self, network: Network, predictor: Predictor) -> None:
        self.network = network
        self._predictor, self._telling = predictor, predictor.telling()
        self._waiting: deque[Shown] = deque()

    @property
    def n_inferred(self) -> int:
        return self._predictor.n_inferred

    def show(self, group: Sequence[Showing]) -> Iterator[tuple[Shown, Floats]]:
        """Show it more; gives what it has told of by then, in the order in which it was shown."""
        self._waiting += [shown for shown, _ in group]
        return self._of_waiting(self._telling.take(frames for _, frames in group))

    def finish(self) -> Iterator[tuple[Shown, Floats]]:
        """Gives what is left."""
        return self._of_waiting(self._telling.finish())

    def settle(self) -> Iterator[tuple[Shown, Floats]]:
        """Gives what its device is at work on."""
        return self._of_waiting(self._telling.settle())

    def _of_waiting(self, told: Iterable[Floats]) -> Iterator[tuple[Shown, Floats]]:
        return ((self._waiting.popleft(), predictions) for predictions in told)


def _identity(told: Series) -> Identity:
    channel = Channel(told.loss, told.burst, told.loss_seed)
    return Identity(told.sequence, told.key, told.scale, channel, told.method, told.label, told.seed)


def _truth(sequence: str, label: str, values: Floats) -> Series:
    return Series(
        sequence=sequence,
        key=UNCODED,
        scale=1,
        method=TRUTH,
        label=label,
        seed=NO_SEED,
        weights="",
        precision="",
        delay_seconds=0.0,
        every=1,
        values=values,
    )


def _await(reading: "Future[None]") -> None:
    """Wait; raises `Stopped` where an end is asked for meanwhile."""
    while not wait([reading], timeout=_LOOK_SECONDS).done:
        end_if_asked()
    reading.result()
