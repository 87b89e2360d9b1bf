"""`codecsim prepare`: from footage, a model of faces or a data set to a corpus."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipelines.parameters import FILE, Counts

if TYPE_CHECKING:
    from codecsim.sources.assembly import AssemblyReport, Recording

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
    "--layout",
    type=click.Choice(LAYOUTS),
    default="wide",
    show_default=True,
    help="wide: 48, 16 and 16 subjects × 1500 frames; avec: 9, 9 and 9 × 7500.",
)
@click.option("--subjects", type=Counts(), help="Subjects in train, dev and test, as 48,16,16.  [default: by layout]")
@click.option("--frames", "n_frames", type=int, help="Frames of each recording.  [default: by layout]")
@click.option(
    "--difficulty",
    type=click.Choice(DIFFICULTIES),
    default="main",
    show_default=True,
    help="Spread of pose, light, speech and expressiveness.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Another seed, other people.")
@click.option("--workers", type=click.IntRange(1), help="Processes.  [default: one a core]")
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True, help="Where to render.")
def prepare_synthetic(out: Path, **given: Any) -> None:
    """Render SynthFace: moving 3-D faces whose valence and arousal are known. Needs codecsim[synthetic]."""
    from codecsim.sources.synthetic.benchmark import prepare_synthetic as run_prepare

    _tell(out, partial(run_prepare, out, **given))


def _data_set(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command what all data sets need."""
    for parameter in (
        click.option("--workers", type=click.IntRange(1), help="Processes.  [default: one a core]"),
        click.option("--out", type=FILE, required=True, help="Corpus file to write."),
        click.argument("root", type=FILE),
    ):
        command = parameter(command)
    return command


_FPS = click.FloatRange(0, 1000, min_open=True)
_FOLDS = click.IntRange(2)


@prepare.command("afewva")
@_data_set
@click.option("--fps", type=_FPS, default=25, show_default=True, help="Frame rate, which AFEW-VA does not tell.")
@click.option(
    "--folds",
    "n_folds",
    type=_FOLDS,
    default=5,
    show_default=True,
    help="Splits fold_0, fold_1, …, disjoint in actors.",
)
def prepare_afewva(root: Path, out: Path, workers: int | None, **given: Any) -> None:
    """AFEW-VA: ROOT holds 001/00000.png, … and 001/001.json. Valence, arousal; faces from the landmarks."""
    from codecsim.sources.afewva import find_recordings

    _gather("afewva", out, find_recordings(root, **given), workers, given)


@prepare.command("affwild2")
@_data_set
@click.option("--fps", type=_FPS, help="Frame rate.  [default: of batch*/VIDEO.mp4 or .avi in ROOT, else 30]")
def prepare_affwild2(root: Path, out: Path, workers: int | None, **given: Any) -> None:
    """Aff-Wild2: ROOT holds VA_Set and cropped_aligned. Valence, arousal; the aligned crops as they are."""
    from codecsim.sources.affwild2 import find_recordings

    _gather("affwild2", out, find_recordings(root, **given), workers, given)


@prepare.command("rafdb")
@_data_set
def prepare_rafdb(root: Path, out: Path, workers: int | None) -> None:
    """RAF-DB: ROOT holds EmoLabel and Image/aligned. Seven expressions; a still is a sequence of one frame."""
    from codecsim.sources.rafdb import find_recordings

    _gather("rafdb", out, find_recordings(root), workers, {})


@prepare.command("ckplus")
@_data_set
@click.option("--unlabelled", is_flag=True, help="Take sequences without a label too.")
@click.option(
    "--folds", "n_folds", type=_FOLDS, default=10, show_default=True, help="Splits fold_0, …, disjoint in subjects."
)
def prepare_ckplus(root: Path, out: Path, workers: int | None, **given: Any) -> None:
    """CK+: ROOT holds cohn-kanade-images and Emotion. Eight expressions and how far each has come."""
    from codecsim.sources.ckplus import find_recordings

    _gather("ckplus", out, find_recordings(root, **given), workers, given)


def _gather(
    name: str, out: Path, recordings: "Sequence[Recording]", workers: int | None, given: Mapping[str, Any]
) -> None:
    """Put the recordings of a data set together; what was asked for becomes an attribute of the corpus."""
    import json

    from codecsim.sources.assembly import assemble

    _tell(out, partial(assemble, out, recordings, workers=workers, attributes={name: json.dumps(given)}))


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
        f"{report.n_new} of {report.n_recordings} recordings made now, the others were there, "
        f"in {time.perf_counter() - started:.1f} s"
    )
