"""What face strips show of a sweep: one frame of a sequence, uncoded and decoded, and what networks read in it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from codecsim.corpus import Corpus
from codecsim.decode import Decode
from codecsim.decoder_process import DecoderProcess
from codecsim.errors import UsageError
from codecsim.scaling import downscale, upscale
from codecsim.store import Sweep
from codecsim.store.decoding import stored_frames
from pipelines.figures.selection import one_coding
from pipelines.figures.strips import Strip
from pipelines.readings import UNCODED, Networks, Readings
from pipelines.sweep import find_tracks
from pipelines.tables import Point, points

Frames = npt.NDArray[np.uint8]

_COLUMNS = 5


def strips(
    file: Path,
    *,
    sequences: Sequence[str] = (),
    label: str | None = None,
    frame: int | None = None,
    qp: Sequence[float] = (),
    codec: str | None = None,
    mode: str | None = None,
    corpora: Sequence[Path] = (),
) -> list[Strip]:
    """A strip a factor of one frame.

    Parameters
    ----------
    file : sweep that networks have read
    sequences : the one to show; default: the first
    label : which label; needed where networks tell several
    frame : of those that networks were shown; default: where the label is highest, or the first
    qp : operating values to show; default: five, spread over those that all factors have
    codec, mode : which streams, where there are several
    corpora : that hold the sequence, where it is not where it was

    Raises
    ------
    UsageError
        If there is no such sequence, label, frame or value, or nothing was read.
    CodecError, StoreError
        If a stream cannot be decoded, or decodes to other frames than when it was stored.
    """
    if len(sequences) > 1:
        raise UsageError(f"strips show one sequence, and {len(sequences)} were named")
    with Sweep(file) as sweep, DecoderProcess() as decoder:
        readings = Readings(sweep)
        told = _label(readings, label)
        name = _sequence(readings, sequences)
        at, truth = _frame(readings, told, name, frame)
        coding = one_coding(((each.label, each.mode) for each in points(sweep)), codec=codec, mode=mode)
        held = [each for each in points(sweep, _rows_of(sweep, name)) if (each.label, each.mode) == coding]
        track = next(each for each in find_tracks(sweep, corpora) if each.name == name)
        with Corpus(track.corpus) as corpus:
            hr = corpus.frames(name, at, at + 1)
        values = _values(held, qp)
        networks = [readings.of(method, each) for method, each in readings.methods if each == told]
        scene = _Scene(sweep, decoder.decode, networks, name, at, hr, truth)
        scales = sorted({each.scale for each in held})
        return [scene.strip([each for each in held if each.scale == s], values) for s in scales]


def _rows_of(sweep: Sweep, name: str) -> list[int]:
    """Rows of the streams of a sequence."""
    return np.flatnonzero(sweep.column("sequence") == name).tolist()


def _label(readings: Readings, label: str | None) -> str:
    labels = sorted({told for _, told in readings.methods})
    if not labels:
        raise UsageError(f"{readings.path}: no network has read its streams yet; codecsim evaluate lets them")
    if label is None and len(labels) > 1:
        raise UsageError(f"{readings.path}: its networks tell {' and '.join(labels)}; choose one with --label")
    if label is not None and label not in labels:
        raise UsageError(f"{readings.path}: no network tells {label!r}; they tell {', '.join(labels)}")
    return label or labels[0]


def _sequence(readings: Readings, sequences: Sequence[str]) -> str:
    name = sequences[0] if sequences else min(readings.subjects)
    if name not in readings.subjects:
        raise UsageError(f"{readings.path}: no sequence {name!r}; it holds {', '.join(sorted(readings.subjects))}")
    return name


def _frame(readings: Readings, label: str, name: str, frame: int | None) -> tuple[int, float | None]:
    """The frame to show, and what the corpus says of it."""
    n_shown, every = readings.n_shown(name), readings.every
    truth = (
        readings.truth(label, [name], delay_seconds=0) if readings.has_truth(label, name) else np.full(n_shown, np.nan)
    )
    if frame is None:
        index = 0 if np.isnan(truth).all() else int(np.nanargmax(truth))
    else:
        index = frame // every
        if frame % every or index >= n_shown:
            raise UsageError(
                f"{readings.path}: networks were not shown frame {frame} of {name}; they were shown one in {every}, up "
                f"to {every * (n_shown - 1)}"
            )
    return index * every, None if np.isnan(truth[index]) else float(truth[index])


def _values(held: Sequence[Point], asked: Sequence[float]) -> list[float]:
    """Operating values to show: those that all factors have."""
    by_scale: dict[int, set[float]] = {}
    for each in held:
        by_scale.setdefault(each.scale, set()).add(each.value)
    common = sorted(set.intersection(*by_scale.values()))
    if not common:
        raise UsageError("strips show all factors at the same values, and no value was coded at all of them")
    missing = ", ".join(f"{value:g}" for value in asked if value not in common)
    if missing:
        shown = ", ".join(f"{value:g}" for value in common)
        raise UsageError(f"not all factors were coded at {missing}; they have {shown}")
    spread = np.linspace(0, len(common) - 1, min(_COLUMNS, len(common))).round().astype(int)
    return list(asked) or [common[index] for index in spread]


@dataclass(frozen=True)
class _Scene:
    """One frame of one sequence, and who read it."""

    sweep: Sweep
    decode: Decode
    networks: Sequence[Networks]
    name: str
    at: int
    hr: Frames
    truth: float | None

    def strip(self, held: Sequence[Point], values: Sequence[float]) -> Strip:
        """The frame at one factor."""
        scale, mode = held[0].scale, held[0].mode.upper()
        by_value = {each.value: each for each in held}
        rows = [int(by_value[value].rows[0]) for value in values]
        frames = [self.hr, upscale(downscale(self.hr, scale)), *(upscale(self._decoded(row)) for row in rows)]
        keys = [str(self.sweep.column("key")[row]) for row in rows]
        networks = [each.shown([(self.name, key) for key in keys], scale) for each in self.networks]
        shown = [(UNCODED, 1), (UNCODED, scale), *((key, scale) for key in keys)]
        return Strip(
            scale,
            titles=["HR", "LR, uncoded", *(f"{mode} {value:g}" for value in values)],
            frames=np.concatenate(frames),
            predictions={each.method: self._read(each, shown) for each in networks if self._reads(each, shown)},
            truth=self.truth,
        )

    def _decoded(self, row: int) -> Frames:
        return stored_frames(self.sweep, row, self.decode)[self.at : self.at + 1]

    def _reads(self, networks: Networks, shown: Sequence[tuple[str, int]]) -> bool:
        return any(networks.have(self.name, key, scale) for key, scale in shown[1:])

    def _read(self, networks: Networks, shown: Sequence[tuple[str, int]]) -> list[float]:
        """What the networks of a method told of each picture, the mean over seeds; NaN where they were not shown it."""
        index = self.at // networks.readings.every
        return [
            float(networks.told([(self.name, key)], scale)[:, index].mean())
            if networks.have(self.name, key, scale)
            else np.nan
            for key, scale in shown
        ]
