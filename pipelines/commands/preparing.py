"""`codecsim prepare`: from footage, a model of faces or a data set to a corpus."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipelines.commands.parameters import FILE, Counts, Names

if TYPE_CHECKING:
    from codecsim.sources.assembly import AssemblyReport, Recording

TASKS = ("valence", "expression", "apex")
LAYOUTS = ("wide", "avec")
DIFFICULTIES = ("easy", "main", "hard")
AVEC_SPLITS = ("train", "dev", "test")
MMI_VIEWS = ("0", "1", "2")


_out = click.option("--out", type=FILE, required=True, help="Corpus file to write.")
_boxes = click.option(
    "--boxes",
    type=FILE,
    help="Folder of CSVs NAME.csv of face boxes (time or frame, x, y, w, h), for the detector's.",
)
_workers = click.option("--workers", type=click.IntRange(1), help="Processes.  [default: one a core]")


def _data_set(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command what all data sets need: ROOT, --out and --workers."""
    for parameter in (_workers, _out, click.argument("root", type=FILE)):
        command = parameter(command)
    return command


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
    from codecsim.sources.footage import prepare as run_prepare
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
    help="For valence, wide: 240 subjects × 300 frames at 5 a second, 48 and 48 × 500 at 25; avec: 9, 9 and 9 × 7500.",
)
@click.option("--subjects", type=Counts(), help="Subjects in train, dev and test, as 240,48,48.  [default: by layout]")
@click.option(
    "--frames",
    "n_frames",
    type=Counts(one=True),
    help="Frames of each sequence, or stills of each subject: one number, or three as above.  [default: by layout]",
)
@click.option(
    "--fps",
    type=Counts(one=True),
    help="Frames a second, for valence: one number, or three as above.  [default: by layout]",
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
@_data_set
@_boxes
@click.option(
    "--splits",
    type=Names("split", AVEC_SPLITS),
    default=",".join(AVEC_SPLITS),
    show_default=True,
    help="Parts to prepare.",
)
@click.option("--drop-small", is_flag=True, help="Drop frames without a box, or with a side of 100 pixels or less.")
def prepare_avec2016(root: Path, out: Path, workers: int | None, **given: Any) -> None:
    """Turn AVEC 2016 in the folder ROOT into a corpus: valence and arousal of one face a recording."""
    from codecsim.sources.datasets.avec2016 import find_recordings

    _gather("avec2016", out, find_recordings(root, **given), workers, given)


@prepare.command("recola")
@_data_set
@_boxes
@click.option("--split-file", type=FILE, help="CSV of name and split (P16, train).  [default: no split is known]")
def prepare_recola(root: Path, out: Path, workers: int | None, **given: Any) -> None:
    """Turn RECOLA in the folder ROOT into a corpus: valence and arousal of one face a recording."""
    from codecsim.sources.datasets.recola import find_recordings

    _gather("recola", out, find_recordings(root, **given), workers, given)


@prepare.command("mmi")
@_data_set
@click.option(
    "--views",
    type=Names("view", MMI_VIEWS),
    help="0 one view, 1 a profile, 2 a face and its profile in a mirror, as 0,2.  [default: all]",
)
def prepare_mmi(root: Path, out: Path, workers: int | None, **given: Any) -> None:
    """Turn MMI in the folder ROOT into a corpus: clips that show one of six expressions."""
    from codecsim.sources.datasets.mmi import survey

    found = survey(root, **given)
    _gather("mmi", out, found.recordings, workers, given, notes=found.notes)


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
    from codecsim.sources.datasets.afewva import find_recordings

    _gather("afewva", out, find_recordings(root, **given), workers, given)


@prepare.command("affwild2")
@_data_set
@click.option("--fps", type=_FPS, help="Frame rate.  [default: of batch*/VIDEO.mp4 or .avi in ROOT, else 30]")
def prepare_affwild2(root: Path, out: Path, workers: int | None, **given: Any) -> None:
    """Aff-Wild2: ROOT holds VA_Set and cropped_aligned. Valence, arousal; the aligned crops as they are."""
    from codecsim.sources.datasets.affwild2 import find_recordings

    _gather("affwild2", out, find_recordings(root, **given), workers, given)


@prepare.command("rafdb")
@_data_set
def prepare_rafdb(root: Path, out: Path, workers: int | None) -> None:
    """RAF-DB: ROOT holds EmoLabel and Image/aligned. Seven expressions; a still is a sequence of one frame."""
    from codecsim.sources.datasets.rafdb import find_recordings

    _gather("rafdb", out, find_recordings(root), workers, {})


@prepare.command("ckplus")
@_data_set
@click.option("--unlabelled", is_flag=True, help="Take sequences without a label too.")
@click.option(
    "--folds", "n_folds", type=_FOLDS, default=10, show_default=True, help="Splits fold_0, …, disjoint in subjects."
)
def prepare_ckplus(root: Path, out: Path, workers: int | None, **given: Any) -> None:
    """CK+: ROOT holds cohn-kanade-images and Emotion. Eight expressions and how far each has come."""
    from codecsim.sources.datasets.ckplus import find_recordings

    _gather("ckplus", out, find_recordings(root, **given), workers, given)


def _gather(
    name: str,
    out: Path,
    recordings: "Sequence[Recording]",
    workers: int | None,
    given: Mapping[str, Any],
    *,
    notes: Sequence[str] = (),
) -> None:
    """Put the recordings of a data set together; what was asked for becomes an attribute of the corpus."""
    import json

    from codecsim.sources.assembly import assemble

    attributes = {"data_set": name, "options": json.dumps(given, default=str)}
    _tell(out, partial(assemble, out, recordings, workers=workers, attributes=attributes), notes=notes)


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
