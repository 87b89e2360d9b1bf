"""`codecsim prepare`: from footage, a model of faces or a data set to a corpus."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipelines.parameters import FILE, Counts

if TYPE_CHECKING:
    from codecsim.sources.assembly import AssemblyReport

TASKS = ("valence", "expression", "apex")
LAYOUTS = ("wide", "avec")
DIFFICULTIES = ("easy", "main", "hard")


@click.group()
def prepare() -> None:
    """Turn footage into a corpus of face tracks."""


@prepare.command("video")
@click.argument("videos", nargs=-1, required=True, metavar="VIDEO...")
@click.option("--out", type=FILE, required=True, help="Corpus file to write.")
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


@prepare.command("synthetic")
@click.option("--out", type=FILE, required=True, help="Corpus file to write.")
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
@click.option("--workers", type=click.IntRange(1), help="Processes.  [default: one a core]")
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True, help="Where to render.")
def prepare_synthetic(out: Path, **given: Any) -> None:
    """Render SynthFace: moving 3-D faces whose valence and arousal are known. Needs codecsim[synthetic]."""
    from codecsim.sources.synthetic.benchmark import prepare_synthetic as run_prepare

    _tell(out, partial(run_prepare, out, **given))


def _tell(out: Path, run: Callable[..., "AssemblyReport"]) -> None:
    """Put a corpus together under a progress bar, and say what became of it."""
    import time

    from pipelines.console import note, progress_bar, say, size

    started = time.perf_counter()
    with progress_bar() as progress:
        report = run(progress=progress)
    for sentence in report.notes:
        note(f"Note: {sentence}")
    say(
        f"{out}: {report.n_sequences} sequences, {report.n_frames} frames, {size(out.stat().st_size)}; "
        f"{report.n_new} of {report.n_recordings} recordings made now, in {time.perf_counter() - started:.1f} s"
    )
