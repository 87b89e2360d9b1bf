"""`codecsim sweep` and `codecsim evaluate`: the main job, and networks that read what it left."""

import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from codecsim.errors import UsageError
from pipelines.commands.learning import look_here_for_modules, note_emulation
from pipelines.commands.parameters import DEVICE, FILE, PRECISION, KeyValue, Names, Ranges, Words, beside

if TYPE_CHECKING:
    from codecsim.simulator import SweepReport
    from pipelines.curve import Curve
    from pipelines.evaluation import Evaluation
    from pipelines.sweep import Readers

CODECS = ("x264", "x265", "svtav1", "vp9")

_QUALITIES = ("strred", "li3ddct")
_NOBODY = "none"

_READERS = (
    click.option(
        "--methods",
        type=Words("method"),
        default="all",
        show_default=True,
        help="Whose networks read the streams, as joint,lr-4; all: all that there are.",
    ),
    click.option("--models", type=FILE, help="Folder of trained networks.  [default: those that come with codecsim]"),
    click.option("--seeds", type=Ranges("seed", whole=True), help="Of the networks in --models.  [default: all there]"),
    click.option(
        "--every",
        type=click.IntRange(1),
        help="Show them one frame in so many.  [default: as before, or 25 on the CPU, 1 on a GPU]",
    ),
    click.option(
        "--loss",
        type=Ranges("loss", signed=True),
        help="Shares of the packets of each stream that a channel loses before decoding, as 0.01,0.05; whole streams "
        "are read as well.  [default: none]",
    ),
    click.option("--burst", type=float, help="Mean packets in a run of lost ones.  [default: of independent losses]"),
    click.option("--loss-seed", type=click.IntRange(0), help="Of the draw of losses.  [default: 0]"),
    DEVICE,
    PRECISION,
)


def _reading(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command what networks need to know."""
    for option in reversed(_READERS):
        command = option(command)
    return command


@click.command()
@click.argument("sources", nargs=-1, metavar="[SOURCE]...")
@click.option(
    "--out", type=FILE, default=Path("results/sweep.h5"), show_default=True, help="Sweep file to make or add to."
)
@click.option(
    "--split", "splits", type=Words("split"), default=(), help="Of corpora, as dev,test.  [default: dev, or all]"
)
@click.option(
    "--scales", type=Ranges("factor", whole=True), default="3,4", show_default=True, help="Factors s, divisors of 96."
)
@click.option(
    "--qp", type=Ranges("QP", whole=True), help="Constant QPs, as 18-40, 18-40:2 or 18,24,30.  [default: 18-40]"
)
@click.option("--crf", type=Ranges("CRF"), help="Constant rate factors instead of QPs.")
@click.option("--bitrate", type=Ranges("bit rate"), help="Average bit rates in kbit/s instead of QPs.")
@click.option(
    "--codec",
    type=Names("codec", CODECS),
    default="x264",
    show_default=True,
    help=f"One or more of {', '.join(CODECS)}.",
)
@click.option("--preset", help="Encoder preset, as the encoder names it.")
@click.option("--tune", help="Encoder tuning, as the encoder names it.")
@click.option("--gop", type=int, help="Longest distance between I frames, in frames.")
@click.option("--bframes", type=int, help="Most B frames in a row (x264, x265).")
@click.option("--low-delay", is_flag=True, help="Hold no frame back: no B frames, no lookahead.")
@click.option(
    "--pix-fmt", type=click.Choice(["gray", "yuv420p"]), help="What is coded.  [default: gray where the codec has it]"
)
@click.option(
    "--encoder-option",
    "encoder_options",
    type=KeyValue(),
    multiple=True,
    help="The encoder's own option, as ref=1; repeatable.",
)
@click.option(
    "--quality",
    "quality",
    type=Names("quality measure", _QUALITIES),
    default="",
    help="Slow measures besides PSNR and SSIM: strred, li3ddct.",
)
@click.option("--workers", type=click.IntRange(1), help="Processes that encode.  [default: by cores and work]")
@click.option(
    "--executor",
    type=click.Choice(["processes", "dask"]),
    default="processes",
    show_default=True,
    help="Where they run; dask: in a Dask cluster, one that is started here or --scheduler.",
)
@click.option("--scheduler", help="A running Dask scheduler: tcp://HOST:8786, or its scheduler file.")
@_reading
@click.option("--force", is_flag=True, help="Do finished jobs again.")
@click.option("--plot/--no-plot", default=True, show_default=True, help="Draw the curves beside OUT.")
def sweep(sources: tuple[str, ...], out: Path, plot: bool, **given: Any) -> None:
    """Encode faces at every factor and QP, decode them, let networks read them, and draw what became of it: Figure 4.

    SOURCE is a video file, a corpus file, or the name of built-in footage (demo, the default, or carphone). What OUT
    already holds is not done again.
    """
    from pipelines.console import note, progress_bar, say

    started = time.perf_counter()
    readers = _readers(given)
    given["bitrate_kbps"] = given.pop("bitrate")
    executor, scheduler = given.pop("executor"), given.pop("scheduler")
    if executor == "dask" or scheduler:
        from codecsim.cluster import Cluster

        given["cluster"] = Cluster(scheduler or "", given["workers"])
    given["encoder_options"] = dict(given["encoder_options"])
    with progress_bar() as progress:
        if readers is None:
            from codecsim import sweep as encode

            report, evaluation = encode(sources or ("demo",), out=out, progress=progress, **given), None
        else:
            from pipelines.sweep import sweep as run

            report, evaluation = run(sources or ("demo",), out=out, readers=readers, progress=progress, **given)
    for sentence in report.notes:
        note(f"Note: {sentence}")
    _say_encoded(report, time.perf_counter() - started)
    if evaluation is not None and report.n_streams:
        _say_recognised(out, evaluation)
    if plot and report.n_streams:
        from pipelines.figures.rates import plot_rd

        for path in plot_rd(out, beside(out, "rd.png")):
            say(f"{path}")
    if evaluation is not None and report.n_streams:
        _write_curves(out, plot=plot)
    for job, why in report.failures:
        note(f"Error: {job} failed: {why}")
    if report.failures:
        note("What succeeded is kept; run the same command again to try these once more.")
        sys.exit(1)


@click.command()
@click.argument("file", type=FILE)
@_reading
@click.option("--scales", type=Ranges("factor", whole=True), help="Streams of these factors.  [default: all]")
@click.option("--corpus", "corpora", type=FILE, multiple=True, help="Where its sequences are, if not where they were.")
@click.option("--force", is_flag=True, help="Ask again what was asked before.")
@click.option("--plot/--no-plot", default=True, show_default=True, help="Draw the curves beside FILE.")
def evaluate(file: Path, scales: tuple[int, ...] | None, corpora: tuple[Path, ...], plot: bool, **given: Any) -> None:
    """Let networks read the streams of a sweep FILE, and draw what became of it; nothing is encoded again."""
    from pipelines.console import progress_bar
    from pipelines.sweep import evaluate as run

    readers = _readers(given)
    if readers is None:
        raise UsageError("--methods none leaves nothing to do; name methods, or all")
    with progress_bar() as progress:
        evaluation = run(file, readers, scales=scales or (), corpora=corpora, progress=progress)
    _say_recognised(file, evaluation)
    _write_curves(file, plot=plot)


def _readers(given: dict[str, Any]) -> "Readers | None":
    """Take what is said of networks out of the options; None where nothing is to be recognised."""
    names = given.pop("methods")
    options = {name: given.pop(name) for name in ("models", "seeds", "every", "device", "precision")}
    loss, burst, loss_seed = (given.pop(name) for name in ("loss", "burst", "loss_seed"))
    if loss is None and (burst, loss_seed) != (None, None):
        raise UsageError("--burst and --loss-seed are of losses; say how many packets are lost with --loss")
    if names == (_NOBODY,) and loss is not None:
        raise UsageError("--methods none leaves nobody to read what --loss leaves of the streams")
    if names == (_NOBODY,):
        return None
    if _NOBODY in names:
        raise UsageError("--methods none goes with no other method")
    look_here_for_modules()
    from codecsim.channel import channel
    from pipelines.networks import EVERYTHING
    from pipelines.sweep import Readers
    from recognition.shipped import shipped

    if names == (EVERYTHING,) and options["models"] is None and not shipped():
        from pipelines.console import note

        note("Note: no trained network comes with this codecsim, so none reads the streams; name yours with --models")
        return None
    note_emulation(options["device"], options["precision"])
    options["channels"] = tuple(channel(each, burst, loss_seed or 0) for each in loss or ())
    return Readers(names=names, **options, force=given["force"] if "quality" in given else given.pop("force"))


def _say_encoded(report: "SweepReport", seconds: float) -> None:
    from codecsim.store import Sweep
    from pipelines import tables
    from pipelines.console import say, size, table

    if report.n_streams:
        with Sweep(report.out) as opened:
            say(table(*tables.summary(opened)) + "\n")
    said = [f"{report.n_new} new", f"{report.n_reused} already there"]
    if report.failures:
        said.append(f"{len(report.failures)} failed")
    held = f"{report.n_streams} streams, {size(report.out.stat().st_size)}" if report.n_streams else "not written"
    say(f"{report.out}: {held}; {', '.join(said)}, in {seconds:.1f} s")


def _say_recognised(out: Path, evaluation: "Evaluation") -> None:
    from pipelines.console import say

    say(
        f"{out}: networks were shown one frame in {evaluation.every}; {evaluation.n_read} readings new "
        f"({evaluation.n_inferred} frames inferred), {evaluation.n_reused} already there"
    )


def _write_curves(out: Path, *, plot: bool) -> None:
    """Say what became of recognition, and write it beside the sweep, against each reference that there is."""
    from codecsim.atomic import replacing
    from codecsim.store import Sweep
    from pipelines.console import note, say, table
    from pipelines.curve import REFERENCES
    from pipelines.curve_tables import curves_csv, curves_text, deltas_table, gains_table, refusals
    from pipelines.curves import curves
    from pipelines.deltas import deltas

    with Sweep(out) as opened:
        found = {reference: curves(opened, reference=reference, with_losses=True) for reference in REFERENCES}
    known = {reference: those for reference, those in found.items() if any(curve.points for curve in those)}
    for those in known.values():
        say(f"\n{curves_text(those)}")
    gains = gains_table(known.get("label", []))
    if gains[1]:
        say("\n" + table(*gains))
    if "label" in known and (compared := deltas(known["label"])):
        say("\n" + table(*deltas_table(compared)))
        for reason in refusals(compared):
            note(reason)
    written = [beside(out, "curves.csv")]
    with replacing(written[0]) as temporary:
        temporary.write_text(curves_csv([curve for those in found.values() for curve in those]), encoding="utf-8")
    if plot:
        for those in known.values():
            written += _draw(those, out)
    say("\n" + "\n".join(map(str, written)))


def _draw(curves: "list[Curve]", out: Path) -> list[Path]:
    """Figure 4 against QP and against bpp, one of each codec, mode and label, and recognition against losses."""
    from pipelines.figures.loss import kinds, plot_loss
    from pipelines.figures.recognition import Against, plot_figure4

    coded = [curve for curve in curves if curve.points]
    pictures = list(dict.fromkeys((curve.label, curve.codec, curve.mode) for curve in coded))
    endings, paths = _endings(pictures), []
    for label, codec, mode in pictures:
        stem = ("figure4" if coded[0].reference == "label" else "fidelity") + endings[label, codec, mode]
        axes: tuple[Against, ...] = ("bpp_lr",) if mode == "bitrate" else ("qp", "bpp_lr")
        for against in axes:
            draw = partial(plot_figure4, against=against, label=label, codec=codec, mode=mode)
            paths += _drawn(draw, curves, beside(out, f"{stem}.{against}.png"))
    stem = "loss" if coded[0].reference == "label" else "fidelity-loss"
    lossy = [
        (picture, kind)
        for picture in pictures
        for kind in kinds([curve for curve in coded if (curve.label, curve.codec, curve.mode) == picture])
    ]
    of_channels = _endings([(*picture, f"burst{burst:g}", f"seed{seed}") for picture, (burst, seed) in lossy])
    for ((label, codec, mode), (burst, seed)), ending in zip(lossy, of_channels.values(), strict=True):
        draw = partial(plot_loss, label=label, codec=codec, mode=mode, burst=burst, loss_seed=seed)
        paths += _drawn(draw, curves, beside(out, f"{stem}{ending}.png"))
    return paths


def _endings(pictures: Sequence[tuple[str, ...]]) -> dict[tuple[str, ...], str]:
    """What tells names of pictures apart: the words in which these differ, and a number where words do not do it."""
    words = {picture: [each.split()[0] for each in picture] for picture in pictures}
    varies = [len(set(column)) > 1 for column in zip(*words.values(), strict=True)]
    of_words: dict[str, list[tuple[str, ...]]] = {}
    for picture, own in words.items():
        told = "".join(f"-{word}" for word, differs in zip(own, varies, strict=True) if differs)
        of_words.setdefault(told, []).append(picture)
    endings = {
        picture: told + (f"-{number}" if members[1:] else "")
        for told, members in of_words.items()
        for number, picture in enumerate(members, 1)
    }
    return {picture: endings[picture] for picture in pictures}


def _drawn(draw: "Callable[..., list[Path]]", curves: "list[Curve]", target: Path) -> list[Path]:
    """Draw a picture; one that cannot be drawn is no reason to lose the others, and is told of."""
    from pipelines.console import note

    try:
        return draw(curves, target)
    except UsageError as error:
        note(f"{target} was not drawn: {error}")
        return []
