"""The encoder-side simulator: footage → grid → streams in a sweep file."""

import importlib.metadata
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Sequence as Ordered
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from pathlib import Path

import av
import h5py
import numpy as np

from codecsim.cluster import Cluster, run_on
from codecsim.codecs import MODES, EncoderSettings, Mode
from codecsim.encode import encoder_version
from codecsim.errors import StoreError, UsageError
from codecsim.executors import WorkerDied, available_cores, run
from codecsim.faces import FaceSettings
from codecsim.grid import Job, batches, check_grid, expand
from codecsim.interrupts import end_if_asked, is_ending, patient
from codecsim.jobs import BatchResult, run_batch
from codecsim.measures import check_measures, measure
from codecsim.parts import writing
from codecsim.sources.assembly import Progress, untold
from codecsim.sources.footage import corpora_of, sequences_of
from codecsim.store.keys import check_names
from codecsim.store.merge import finished_jobs, merge, part_files
from codecsim.store.sweep import Sweep

Follow = Callable[[Path], None]
"""Takes a file of finished streams, a sweep or a part of one, as soon as it is there."""

Follower = Callable[[Ordered[Job], Path], AbstractContextManager[Follow]]
"""Makes more of the streams of a sweep while it runs.

It is given the jobs of the sweep and the folder of its parts, and leaves parts of its own there, which become part of
the sweep file. Leaving its context, it waits until all is done; with an error, it stops."""

Outcomes = Iterator[tuple[tuple[Job, ...], BatchResult | WorkerDied]]

DEFAULT_SCALES = (3, 4)
DEFAULT_QP = tuple(range(18, 41))

_FRAMES_A_WORKER = 10_000  # a worker takes 0.5 s to start: as long as some 3000 frames take


@dataclass(frozen=True, slots=True)
class SweepReport:
    """What a sweep did.

    Attributes
    ----------
    out : the sweep file
    n_streams : streams that it holds now
    n_reused : jobs of this grid that were finished before
    n_new : jobs that were run
    failures : (job, why) of those that failed; nothing of them is stored
    notes : what was found about the sources on the way, as sentences
    """

    out: Path
    n_streams: int
    n_reused: int
    n_new: int
    failures: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]


def sweep(
    sources: str | Path | Iterable[str | Path] = "demo",
    *,
    out: str | Path = "results/sweep.h5",
    splits: Iterable[str] = (),
    scales: Iterable[int] = DEFAULT_SCALES,
    qp: Iterable[float] | None = None,
    crf: Iterable[float] | None = None,
    bitrate_kbps: Iterable[float] | None = None,
    codec: str | Iterable[str] = "x264",
    preset: str | None = None,
    tune: str | None = None,
    gop: int | None = None,
    bframes: int | None = None,
    low_delay: bool = False,
    pix_fmt: str | None = None,
    encoder_options: Mapping[str, str] | None = None,
    faces: FaceSettings | None = None,
    quality: Iterable[str] = (),
    workers: int | None = None,
    force: bool = False,
    progress: Progress | None = None,
    follower: Follower | None = None,
    cluster: Cluster | None = None,
) -> SweepReport:
    """Encode every sequence at every operating point, decode it again, and keep everything in one HDF5 file.

    What `out` already holds is not done again. A run that was cut off is taken up where it stopped: the first Ctrl-C
    ends it after the jobs in hand, which `out` holds then, the second one at once. Workers are spawned, and do not run
    the caller's script.

    Parameters
    ----------
    sources : video files, corpus files, or names of built-in footage
    out : sweep file to make or to add to
    splits : sequences of these splits alone; without, those of dev in corpora that have one, and all of others
    scales : factors s, each a divisor of 96
    qp, crf, bitrate_kbps : operating values; give one of the three. Default: QP 18 to 40
    codec : one name or several
    preset, tune, gop, bframes, low_delay, pix_fmt, encoder_options : see `codecsim.codecs.EncoderSettings`
    faces : how faces are found and cropped in video files
    quality : slow measures besides PSNR and SSIM, from `codecsim.measures.MEASURES`; streams that lack them get them
    workers : processes; default: as many as there are cores and enough work for
    force : do finished jobs again
    progress : told what is going on
    follower : makes more of the streams while the sweep runs, such as predictions
    cluster : runs the jobs on a Dask cluster, instead of in processes here

    Returns
    -------
    report : what was done; jobs that failed are in its `failures`

    Raises
    ------
    UsageError
        If the request can never work.
    SourceError, FaceError
        If footage cannot be read, or shows no face.
    StoreError
        If `out` is not a sweep, is damaged, or cannot be written.
    """
    out = Path(out)
    mode, values = _operating_values(qp, crf, bitrate_kbps)
    settings = [
        EncoderSettings(
            codec=name,
            mode=mode,
            preset=preset,
            tune=tune,
            gop=gop,
            bframes=bframes,
            low_delay=low_delay,
            pix_fmt=pix_fmt,
            raw=tuple((encoder_options or {}).items()),
        )
        for name in ([codec] if isinstance(codec, str) else codec)
    ]
    scales, measures = list(scales), check_measures(quality)
    if workers is not None and workers < 1:
        raise UsageError(f"{workers} workers: at least 1 is needed")
    told = progress or untold
    check_out(out)
    check_grid(settings, scales, values)
    corpora, notes = corpora_of(sources, out, faces or FaceSettings(), told)
    sequences, left_out = sequences_of(corpora, tuple(splits))
    notes += left_out
    check_names(out, sequences)
    jobs = expand(sequences, settings, scales, values)
    with writing(out) as folder:
        before = finished_jobs(out, folder)
        notes += [f"{path} could not be read and was set aside; its jobs are done again" for path in before.damaged]
        todo = jobs if force else [job for job in jobs if job.identity not in before.jobs]
        failures: tuple[tuple[str, str], ...] = ()
        with patient() as ending, (follower or _unfollowed)(jobs, folder) as follow:
            for path in ([out] if out.exists() else []) + part_files(folder):
                follow(path)
            with _outcomes(todo, folder, workers, cluster, notes) as outcomes:
                failures = _run(len(todo), outcomes, told, follow)
            end_if_asked()
        n_failed = len(failures)
        with ending.putting_in_order():
            if part_files(folder):
                told("merging", 0, None)
                grid = {
                    "sources": sorted({sequence.source for sequence in sequences}),
                    "scales": scales,
                    "mode": mode,
                    "values": values,
                    "codecs": {each.codec: each.to_json() for each in settings},
                    "sequences": {sequence.name: sequence.digest for sequence in sequences},
                }
                n_streams = merge(out, folder, _attributes(out, grid, corpora))
            else:
                n_streams = len(before.jobs)
        if measures and n_streams:
            known = {job.identity: job.sequence for job in jobs}
            failures += measure(out, measures, known, workers=workers or available_cores(), progress=told)
    return SweepReport(out, n_streams, len(jobs) - len(todo), len(todo) - n_failed, failures, tuple(notes))


def check_out(out: Path) -> None:
    """Refuse an `out` that cannot be added to, before any work: raises `StoreError`."""
    if out.is_dir():
        raise StoreError(f"{out} is a folder: name a file in it with --out")
    if not out.exists():
        return
    try:
        Sweep(out).close()
    except StoreError as error:
        raise StoreError(
            f"{error}. Nothing was touched: name another file with --out, or move this one away"
        ) from error


@contextmanager
def _unfollowed(jobs: Ordered[Job], folder: Path) -> Iterator[Follow]:
    """Nothing more is made of the streams."""
    yield lambda path: None


def _operating_values(
    qp: Iterable[float] | None, crf: Iterable[float] | None, bitrate_kbps: Iterable[float] | None
) -> tuple[Mode, list[float]]:
    given = [(mode, values) for mode, values in zip(MODES, (qp, crf, bitrate_kbps), strict=True) if values is not None]
    if len(given) > 1:
        raise UsageError(f"{' and '.join(mode for mode, _ in given)} exclude each other: give one of them")
    if not given:
        return "qp", list(DEFAULT_QP)
    mode, values = given[0]
    return mode, list(values)


@contextmanager
def _outcomes(
    jobs: Ordered[Job], folder: Path, workers: int | None, cluster: Cluster | None, notes: list[str]
) -> Iterator[Outcomes]:
    """What becomes of the jobs, batch by batch, wherever they run."""
    if cluster is None or not jobs:
        n_frames = sum(job.sequence.n_frames for job in jobs)
        workers = workers or max(1, min(available_cores(), n_frames // _FRAMES_A_WORKER))
        yield run(partial(run_batch, folder=folder), _until_the_end(batches(jobs)), workers=workers)
    else:
        with cluster.connected() as connect:
            yield run_on(connect, _until_the_end(batches(jobs)), folder, note=notes.append)


def _until_the_end(waiting: Iterable[tuple[Job, ...]]) -> Iterator[tuple[Job, ...]]:
    """Batches, as long as no end is asked for."""
    return takewhile(lambda batch: not is_ending(), waiting)


def _run(n_jobs: int, outcomes: Outcomes, progress: Progress, follow: Follow) -> tuple[tuple[str, str], ...]:
    failures: list[tuple[str, str]] = []
    done = 0
    progress("encoding", 0, n_jobs)
    for batch, outcome in outcomes:
        if isinstance(outcome, WorkerDied):
            failures += [(str(job), str(outcome)) for job in batch]
        else:
            failures += outcome.failures
            if outcome.part is not None:
                follow(outcome.part)
        done += len(batch)
        progress("encoding", done, n_jobs)
    return tuple(failures)


def _attributes(out: Path, grid: Mapping[str, object], corpora: Ordered[Path]) -> dict[str, object]:
    grids: list[Mapping[str, object]] = []
    seen = [os.path.relpath(corpus, out.parent) for corpus in corpora]
    if out.exists():
        with Sweep(out) as before:
            grids += before.grids
            seen = [*before.corpora, *seen]
    versions = {
        "codecsim": importlib.metadata.version("codecsim"),
        "pyav": av.__version__,
        "ffmpeg": av.ffmpeg_version_info,
        "numpy": np.__version__,
        "h5py": h5py.__version__,
        "hdf5": h5py.version.hdf5_version,
    } | {name: encoder_version(name) for name in grid["codecs"]}  # type: ignore[attr-defined]
    asked = [*(old for old in grids if old != grid), grid]
    return {"grids": asked, "versions": versions, "corpora": list(dict.fromkeys(seen))}
