"""The grid of a sweep: sequences × codecs × factors × operating values, as jobs with content keys."""

import hashlib
import json
from collections.abc import Iterable
from collections.abc import Sequence as Ordered
from dataclasses import dataclass
from itertools import groupby

from codecsim.codecs import EncoderSettings, check_side, check_value
from codecsim.corpus import Sequence
from codecsim.encode import check_encoder, encoder_version
from codecsim.errors import UsageError
from codecsim.scaling import RESAMPLING, lr_side

_BATCH_FRAMES = 4000  # about half a second of encoding: what a kill may cost, and what makes a part worth its file


@dataclass(frozen=True, slots=True)
class Job:
    """One sequence to be coded at one operating point; `key` is its content key."""

    sequence: Sequence
    settings: EncoderSettings
    scale: int
    value: float
    key: str

    @property
    def identity(self) -> tuple[str, str]:
        """What a finished job is known by: (sequence name, key)."""
        return self.sequence.name, self.key

    def __str__(self) -> str:
        return f"{self.sequence.name}/{self.settings.codec}/s{self.scale}/{self.settings.mode}{self.value:g}"


def expand(
    sequences: Iterable[Sequence], settings: Iterable[EncoderSettings], scales: Iterable[int], values: Iterable[float]
) -> list[Job]:
    """All jobs of a grid, after everything that can be refused was refused.

    Raises
    ------
    UsageError
        If a factor does not divide 96, a codec cannot take a size, a value or an option, a list is empty, or two
        sequences share a name.
    """
    sequences, settings = list(sequences), list(dict.fromkeys(settings))
    scales, values = list(dict.fromkeys(scales)), list(dict.fromkeys(values))
    check_grid(settings, scales, values)
    if not sequences:
        raise UsageError("a sweep needs at least one sequence")
    names = [sequence.name for sequence in sequences]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"two sequences are named {name!r}; prepare them into one corpus under names of their own")
    return [
        Job(sequence, codec, scale, value, content_key(sequence.digest, sequence.fps, codec, scale, value))
        for sequence in sequences
        for codec in settings
        for scale in scales
        for value in values
    ]


def check_grid(settings: Ordered[EncoderSettings], scales: Ordered[int], values: Ordered[float]) -> None:
    """Refuse what can be refused of a grid before any footage is looked at; raises as `expand`."""
    for what, items in (("codec", settings), ("factor", scales), ("operating value", values)):
        if not items:
            raise UsageError(f"a sweep needs at least one {what}")
    sides = [lr_side(scale) for scale in scales]
    for codec in settings:
        for value in values:
            check_value(codec, value)
        for side in sides:
            check_side(codec, side)
        check_encoder(codec, values[0], min(sides))


def content_key(
    digest: str, fps: float, settings: EncoderSettings, scale: int, value: float, *, encoder: str | None = None
) -> str:
    """SHA-256 (hexadecimal) of everything that the bits of a job depend on.

    Parameters
    ----------
    digest : SHA-256 of the HR frames
    fps : frames a second of source time
    settings, scale, value : the operating point
    encoder : the build that wrote the bits; None for the one that is here
    """
    content = {
        "frames": digest,
        "fps": fps,
        "scale": scale,
        "resampling": RESAMPLING,
        "codec": settings.codec,
        "mode": settings.mode,
        "value": float(value),
        "options": settings.to_json(),
        "encoder": encoder or encoder_version(settings.codec),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def batches(jobs: Ordered[Job]) -> list[tuple[Job, ...]]:
    """Jobs in groups that share frames and factor and together take about half a second; long ones stand alone."""
    grouped = []
    for _, same in groupby(jobs, key=lambda job: (job.sequence.corpus, job.sequence.name, job.scale)):
        batch: list[Job] = []
        for job in same:
            if batch and (len(batch) + 1) * job.sequence.n_frames > _BATCH_FRAMES:
                grouped.append(tuple(batch))
                batch = []
            batch.append(job)
        grouped.append(tuple(batch))
    return grouped
