"""`codecsim prepare`: from footage, a model of faces or a data set to a corpus."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipelines.parameters import FILE, Counts, Names

if TYPE_CHECKING:
    from codecsim.sources.assembly import AssemblyReport

TASKS = ("valence", "expression", "apex")
LAYOUTS = ("wide", "avec")
DIFFICULTIES = ("easy", "main", "hard")
AVEC_SPLITS = ("train", "dev", "test")
MMI_VIEWS = ("0", "1", "2")


_root = click.argument("root", type=FILE)
_out = click.option("--out", type=FILE, required=True, help="Corpus file to write.")
_boxes = click.option(
    "--boxes",
    type=FILE,
    help="Folder of CSVs NAME.csv of face boxes (time or frame, x, y, w, h), for the detector's.",
)
_workers = click.option("--workers", type=click.IntRange(1), help="Processes.  [default: one a core]")


@click.group()
def prepare() -> None:
    """Turn footage into a corpus of face tracks."""


@prepare.command("video")
@click.argument("videos", nargs=-1, required=True, metavar="VIDEO...")
@_out
@click.option("--boxes", type=FILE, help="CSV of face boxes (time or frame, x, y, w, h) instead of the detector.")
@click.option("--labels", type=FILE, help="CSV of labels (time and a column a task), joined on time.")
@click.option("--subject", default="", help="Who is seen.")
@click.option("--split", default="", help="train, dev or test.")
def prepare_video(videos: tuple[str, ...], out: Path, **given: Any) -> None:
    """Find, follow and crop the faces in VIDEO, and write them as gray 96×96 frames to a corpus."""
    from codecsim.simulator import prepare as run_prepare
    from pipelines.console import note, progress_bar, say, size, table

    with progress_bar() as progress:
        reports = run_prepare(videos, out, progress=progress, **given)
    rows = []
    for video, report in zip(videos, reports, strict=True):
        name = Path(video).stem
        for sentence in report.warnings:
            note(f"Note: {sentence}" if sentence.startswith(name) else f"Note: {name}: {sentence}")
        rows += [
            [
                track.sequence,
                str(track.n_frames),
                str(track.n_interpolated),
                str(track.n_dropped),
                f"{track.first_seconds:.2f}–{track.last_seconds:.2f}",
                f"{track.mean_side:.0f}",
            ]
            for track in report.tracks
        ]
    say(table(["sequence", "frames", "interpolated", "dropped", "seconds", "face px"], rows))
    say(f"\n{out}: {size(out.stat().st_size)}")


@prepare.command("demo")
@_out
def prepare_demo(out: Path) -> None:
    """Unpack the built-in demo: three subjects of SynthFace, 320 frames each, with valence and arousal."""
    from codecsim.corpus import CorpusWriter
    from codecsim.sources.assembly import check_out
    from codecsim.sources.demo import unpack_demo
    from pipelines.console import say, size

    check_out(out)
    with CorpusWriter(out) as writer:
        unpack_demo(writer)
    say(f"{out}: {size(out.stat().st_size)}")


@prepare.command("synthetic")
@_out
@click.option(
    "--task",
    type=click.Choice(TASKS),
    default="valence",
    show_default=True,
    help="valence (and arousal) over time; expression: stills of 7 classes; apex: from neutral to 7 expressions.",
)
@click.option(
    "--layout",
    type=click.Choice(LAYOUTS),
    default="wide",
    show_default=True,
    help="For valence, wide: 48, 16 and 16 subjects × 1500 frames; avec: 9, 9 and 9 × 7500.",
)
@click.option("--subjects", type=Counts(), help="Subjects in train, dev and test, as 48,16,16.  [default: by layout]")
@click.option(
    "--frames", "n_frames", type=int, help="Frames of each sequence; stills of each subject.  [default: by layout]"
)
@click.option(
    "--difficulty",
    type=click.Choice(DIFFICULTIES),
    help="Spread of pose, light, speech and expressiveness.  [default: main; expression hard, apex easy]",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Another seed, other people.")
@_workers
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True, help="Where to render.")
def prepare_synthetic(out: Path, **given: Any) -> None:
    """Render SynthFace: moving 3-D faces whose valence and arousal are known. Needs codecsim[synthetic]."""
    from codecsim.sources.synthetic.benchmark import prepare_synthetic as run_prepare

    _tell(out, partial(run_prepare, out, **given))


@prepare.command("avec2016")
@_root
@_out
@_boxes
@click.option(
    "--splits",
    type=Names("split", AVEC_SPLITS),
    default=",".join(AVEC_SPLITS),
    show_default=True,
    help="Parts to prepare.",
)
@click.option("--drop-small", is_flag=True, help="Drop frames without a box, or with a side of 100 pixels or less.")
@_workers
def prepare_avec2016(root: Path, out: Path, workers: int | None, **given: Any) -> None:
    """Turn AVEC 2016 in the folder ROOT into a corpus: valence and arousal of one face a recording."""
    from codecsim.sources.assembly import assemble
    from codecsim.sources.avec2016 import find_recordings

    _tell(out, partial(assemble, out, find_recordings(root, **given), attributes=_made_of("avec2016"), workers=workers))


@prepare.command("recola")
@_root
@_out
@_boxes
@click.option("--split-file", type=FILE, help="CSV of name and split (P16, train).  [default: no split is known]")
@_workers
def prepare_recola(root: Path, out: Path, workers: int | None, **given: Any) -> None:
    """Turn RECOLA in the folder ROOT into a corpus: valence and arousal of one face a recording."""
    from codecsim.sources.assembly import assemble
    from codecsim.sources.recola import find_recordings

    _tell(out, partial(assemble, out, find_recordings(root, **given), attributes=_made_of("recola"), workers=workers))


@prepare.command("mmi")
@_root
@_out
@click.option(
    "--views",
    type=Names("view", MMI_VIEWS),
    help="0 one view, 1 a profile, 2 a face and its profile in a mirror, as 0,2.  [default: all]",
)
@_workers
def prepare_mmi(root: Path, out: Path, workers: int | None, **given: Any) -> None:
    """Turn MMI in the folder ROOT into a corpus: clips that show one of six expressions."""
    from codecsim.sources.assembly import assemble
    from codecsim.sources.mmi import survey

    found = survey(root, **given)
    run = partial(assemble, out, found.recordings, attributes=_made_of("mmi"), workers=workers)
    _tell(out, run, notes=found.notes)


def _made_of(data_set: str) -> dict[str, str]:
    return {"data_set": data_set}


def _tell(out: Path, run: Callable[..., "AssemblyReport"], *, notes: Sequence[str] = ()) -> None:
    """Put a corpus together under a progress bar, and say what became of it, and `notes` that are known before."""
    import time

    from pipelines.console import note, progress_bar, say, size

    started = time.perf_counter()
    with progress_bar() as progress:
        report = run(progress=progress)
    for sentence in (*notes, *report.notes):
        note(f"Note: {sentence}")
    say(
        f"{out}: {report.n_sequences} sequences, {report.n_frames} frames, {size(out.stat().st_size)}; "
        f"{report.n_new} of {report.n_recordings} recordings made now, in {time.perf_counter() - started:.1f} s"
    )
