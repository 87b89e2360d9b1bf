"""The main job: encode, decode, recognise, and draw what became of recognition, stages side by side.

Each stage takes up where it stopped: streams and predictions that a sweep file holds are not made again.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codecsim.channel import Channel
from codecsim.corpus import Corpus
from codecsim.corpus import Sequence as Track
from codecsim.errors import StoreError, UsageError
from codecsim.interrupts import patient
from codecsim.parts import writing
from codecsim.simulator import SweepReport, check_out
from codecsim.simulator import sweep as encode_sweep
from codecsim.sources.assembly import Progress
from codecsim.store import Sweep
from codecsim.store.merge import finished_jobs, merge, part_files
from pipelines.evaluation import Evaluation
from pipelines.networks import load_networks
from pipelines.showing import Asked
from recognition.devices import Precision


@dataclass(frozen=True, kw_only=True)
class Readers:
    """Which networks read a sweep, and how.

    Attributes
    ----------
    names, models, seeds : as of `pipelines.networks.load_networks`
    every, device, precision, channels, force : as of `pipelines.evaluation.Evaluation`
    """

    names: tuple[str, ...]
    models: Path | None = None
    seeds: tuple[int, ...] | None = None
    every: int | None = None
    device: str = "auto"
    precision: Precision = "fp32"
    channels: tuple[Channel, ...] = ()
    force: bool = False

    def evaluation(self, out: Path, scales: Sequence[int], progress: Progress | None) -> Evaluation:
        """Load the networks that are meant for `scales`."""
        networks = load_networks(self.names, scales, models=self.models, seeds=self.seeds)
        return Evaluation(
            out,
            networks,
            every=self.every,
            device=self.device,
            precision=self.precision,
            channels=self.channels,
            force=self.force,
            progress=progress,
        )


def sweep(
    sources: str | Path | Iterable[str | Path],
    *,
    out: Path,
    scales: Sequence[int],
    readers: Readers | None,
    progress: Progress | None = None,
    **grid: Any,
) -> tuple[SweepReport, Evaluation | None]:
    """Encode a grid, and let networks read it meanwhile.

    Parameters
    ----------
    sources, out, scales, grid : as of `codecsim.sweep`
    readers : None where nothing is to be recognised

    Returns
    -------
    report, evaluation : what was encoded, and what was recognised
    """
    check_out(out)
    evaluation = readers.evaluation(out, scales, progress) if readers else None
    follower = evaluation.follow if evaluation else None
    return encode_sweep(sources, out=out, scales=scales, progress=progress, follower=follower, **grid), evaluation


def evaluate(
    out: Path,
    readers: Readers,
    *,
    scales: Sequence[int] = (),
    corpora: Sequence[Path] = (),
    progress: Progress | None = None,
) -> Evaluation:
    """Let networks read a sweep that is there; nothing is encoded again.

    Parameters
    ----------
    out : sweep file
    scales : factors of the streams that are read; none of them for all
    corpora : that hold its sequences; those that it was made of, where they still are, need not be named

    Raises
    ------
    StoreError
        If `out` is no sweep, or its sequences are in none of the corpora.
    UsageError
        If it has no stream of one of `scales`.
    """

    def evaluation_of(scales: Sequence[int]) -> Evaluation:
        return readers.evaluation(out, scales, progress)

    return read_streams(out, evaluation_of, scales=scales, corpora=corpora)


def read_streams(
    out: Path,
    evaluation_of: Callable[[Sequence[int]], Evaluation],
    *,
    scales: Sequence[int] = (),
    corpora: Sequence[Path] = (),
) -> Evaluation:
    """As `evaluate`; the evaluation is made for the factors of the streams, once nobody else may write the file."""
    with writing(out) as folder:
        before = finished_jobs(out, folder)
        with Sweep(out) as opened:
            attributes = opened.attributes
            scales = _scales_of(opened, scales)
            others = {name for name, scale in _streams(opened) if scale not in scales}
            tracks = find_tracks(opened, corpora)
        evaluation = evaluation_of(scales)
        asked = Asked(tracks, before.jobs - others, scales, evaluation.channels)
        with patient() as ending, evaluation.reading(asked, folder) as read:
            read(out)
        with ending.putting_in_order():
            if part_files(folder):
                merge(out, folder, attributes)
    return evaluation


def _streams(sweep: Sweep) -> Iterator[tuple[tuple[str, str], int]]:
    """The identity and the factor of every stream."""
    sequences, keys, scales = (sweep.column(name).tolist() for name in ("sequence", "key", "scale"))
    return zip(zip(sequences, keys, strict=True), scales, strict=True)


def _scales_of(sweep: Sweep, wanted: Sequence[int]) -> tuple[int, ...]:
    """Factors of the streams that are to be read, in order."""
    there = sorted({scale for _, scale in _streams(sweep)})
    for scale in wanted:
        if scale not in there:
            raise UsageError(f"{sweep.path}: no stream of s = {scale}; there are: {', '.join(map(str, there))}")
    return tuple(scale for scale in there if not wanted or scale in wanted)


def find_tracks(sweep: Sweep, corpora: Sequence[Path]) -> tuple[Track, ...]:
    """The sequences of a sweep, found by name and digest in corpora, or else in those that it was made of.

    Raises
    ------
    StoreError
        If one is in none of them.
    """
    wanted = sweep.digests
    remembered = [Path(sweep.path.parent, path) for path in sweep.corpora]
    found: dict[str, Track] = {}
    for path in [*(path for path in remembered if path.exists()), *corpora]:
        with Corpus(path) as corpus:
            found |= {each.name: each for each in corpus.sequences() if each.digest in wanted.get(each.name, ())}
    missing = [name for name in wanted if name not in found]
    if missing:
        more = f" and {len(missing) - 1} more sequences" if len(missing) > 1 else ""
        where = ", ".join(map(str, corpora)) or "the corpora that it was made of, or these are gone"
        raise StoreError(
            f"{sweep.path}: the frames of {missing[0]}{more} are not in {where}; name their corpus with --corpus"
        )
    return tuple(found.values())
