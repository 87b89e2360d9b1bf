"""`codecsim plot`: every picture of a sweep or a corpus, drawn again."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from codecsim.errors import UsageError
from pipelines.commands.parameters import FILE, Names, Ranges, beside

if TYPE_CHECKING:
    from pipelines.curve import Curve

_SWEEP = {
    "rd": ("reference", "sequences"),
    "figure4": ("reference", "against", "measures", "scales", "label", "codec", "mode"),
    "gain": ("anchor", "against", "measures", "scales", "label", "codec", "mode"),
    "hull": ("reference", "against", "measures", "label", "codec", "mode"),
    "loss": ("reference", "measures", "scales", "label", "qp", "codec", "mode", "burst", "loss_seed"),
    "bits": ("sequences", "codec", "mode"),
    "strips": ("sequences", "label", "frame", "qp", "codec", "mode", "corpora"),
}
MEASURES = ("cc", "ccc", "ccc_within")

_CORPUS = {"sheet": ("sequences", "task"), "figure1": ("sequences", "task", "frame"), "trace": ("sequences", "task")}
"""Figure → its own options."""

_ALLOWED = {
    ("rd", "reference"): ("hr", "lr"),
    ("figure4", "reference"): ("label", "fidelity"),
    ("hull", "reference"): ("label", "fidelity"),
    ("loss", "reference"): ("label", "fidelity"),
    ("hull", "against"): ("bpp_hr", "rate_kbps"),
}


@click.command()
@click.argument("file", type=FILE)
@click.option(
    "--figure",
    type=click.Choice([*_SWEEP, *_CORPUS]),
    help=f"Of a sweep: {', '.join(_SWEEP)}; of a corpus: {', '.join(_CORPUS)}.  [default: rd or sheet]",
)
@click.option(
    "--reference",
    type=click.Choice(["hr", "lr", "label", "fidelity"]),
    help="What is measured against. rd: hr or lr; others: label or fidelity.  [default: hr; label if known]",
)
@click.option(
    "--against",
    type=click.Choice(["qp", "bpp_lr", "bpp_hr", "rate_kbps"]),
    help="figure4, gain, hull: the horizontal axis.  [default: qp; hull: bpp_hr]",
)
@click.option(
    "--measure",
    "measures",
    type=Names("measure", MEASURES),
    default="",
    help=f"Of {', '.join(MEASURES)}. figure4, gain, loss: a row each; hull: one.  [default: cc,ccc; ccc]",
)
@click.option("--scales", type=Ranges("factor", whole=True), help="figure4, gain, loss: these factors.  [default: all]")
@click.option("--anchor", help="gain: the method that others gain on, or its family.  [default: lr]")
@click.option("--label", help="figure4, gain, hull, loss, strips: which label.  [default: the only one]")
@click.option("--codec", help="All of a sweep but rd: which codec, with its options.  [default: the only one]")
@click.option("--mode", type=click.Choice(["qp", "crf", "bitrate"]), help="Of that codec.  [default: the only one]")
@click.option("--sequence", "sequences", multiple=True, help="Draw this sequence alone; repeatable.")
@click.option("--task", help="sheet, figure1, trace: which label.  [default: valence, or what there is]")
@click.option(
    "--frame", type=click.IntRange(0), help="figure1, strips: which frame.  [default: where the label is highest]"
)
@click.option(
    "--qp",
    type=Ranges("QP"),
    help="QPs (CRFs, bit rates) of the sweep. strips: columns; loss: rows.  [default: five; three]",
)
@click.option("--burst", type=float, help="loss: channels of these bursts, 0: independent losses.  [default: the only]")
@click.option("--loss-seed", type=int, help="loss: channels of this seed.  [default: the only one]")
@click.option("--corpus", "corpora", type=FILE, multiple=True, help="strips: where the sequences are, if they moved.")
@click.option("--out", type=FILE, help="PNG to write; a PDF is put beside it.  [default: FILE.FIGURE.png]")
def plot(file: Path, figure: str | None, out: Path | None, **given: Any) -> None:
    """Draw a sweep or a corpus.

    rd: PSNR and SSIM against bpp_lr, bpp_hr and kbit/s. figure4: CC and CCC of every method against QP or rate, as in
    Cheng et al. 2017. gain: what methods gain on another one in the same streams, paired. hull: the best of all factors
    and QPs at every rate. loss: CCC against the share of packets lost, of streams that were read with --loss. bits:
    where the bits go. strips: faces at some QPs, and what each method reads in them. sheet: every sequence where its
    label is lowest and highest. figure1: a face at every factor. trace: labels beside frames.
    """
    from codecsim.corpus import is_corpus
    from pipelines.console import say

    held = _CORPUS if is_corpus(file) else _SWEEP
    chosen = figure or next(iter(held))
    if chosen not in held:
        raise UsageError(f"{file}: --figure {chosen} is not of such a file; it has {', '.join(held)}")
    options = {name: value for name, value in given.items() if value not in (None, ())}
    for name, value in options.items():
        option = {"sequences": "sequence", "corpora": "corpus", "measures": "measure"}.get(name, name).replace("_", "-")
        if name not in held[chosen]:
            raise UsageError(f"--{option} is not for --figure {chosen}")
        allowed = _ALLOWED.get((chosen, name), (value,))
        if value not in allowed:
            raise UsageError(f"--{option} {value} is not for --figure {chosen}; it has {', '.join(allowed)}")
    for path in _drawers()[chosen](file, out or beside(file, f"{chosen}.png"), **options):
        say(f"{path}")


def _drawers() -> dict[str, Callable[..., list[Path]]]:
    from pipelines.figures import corpus, rates

    return {
        "rd": rates.plot_rd,
        "figure4": _plot_figure4,
        "gain": _plot_gain,
        "hull": _plot_hull,
        "loss": _plot_loss,
        "bits": _plot_bits,
        "strips": _plot_strips,
        "sheet": corpus.plot_sheet,
        "figure1": corpus.plot_figure1,
        "trace": corpus.plot_trace,
    }


def _plot_figure4(
    file: Path, target: Path, *, reference: str | None = None, scales: tuple[int, ...] = (), **options: Any
) -> list[Path]:
    from pipelines.figures.recognition import plot_figure4

    return plot_figure4(_at_scales(_curves(file, reference), scales), target, **options)


def _plot_gain(
    file: Path, target: Path, *, anchor: str | None = None, scales: tuple[int, ...] = (), **options: Any
) -> list[Path]:
    from codecsim.store import Sweep
    from pipelines.curve import ANCHOR
    from pipelines.curves import curves
    from pipelines.figures.recognition import plot_gain

    anchor = anchor or ANCHOR
    with Sweep(file) as sweep:
        found = curves(sweep, anchor=anchor)
    if not any(curve.anchor for curve in found):
        read = ", ".join(sorted({curve.family for curve in found if curve.points})) or "none with labels"
        raise UsageError(f"{file}: no gain on {anchor!r} is known; methods that read its streams: {read}")
    return plot_gain(_at_scales(found, scales), target, **options)


def _plot_loss(
    file: Path, target: Path, *, reference: str | None = None, scales: tuple[int, ...] = (), **options: Any
) -> list[Path]:
    from pipelines.figures.loss import plot_loss

    return plot_loss(_at_scales(_curves(file, reference, with_losses=True), scales), target, **options)


def _at_scales(found: "list[Curve]", scales: tuple[int, ...]) -> "list[Curve]":
    """Curves at some factors, or at all where none is named, with the ceilings."""
    there = sorted({curve.s for curve in found if curve.points})
    if missing := sorted(set(scales) - set(there)):
        raise UsageError(f"--scales {missing[0]}: there are curves at {', '.join(map(str, there))}")
    return [each for each in found if not (scales and each.points) or each.s in scales]


def _plot_hull(file: Path, target: Path, *, reference: str | None = None, **options: Any) -> list[Path]:
    from pipelines.figures.hull import plot_hull

    measures = options.pop("measures", ("ccc",))
    if len(measures) > 1:
        raise UsageError(f"--measure {','.join(measures)}: a hull is of one measure; name one of {', '.join(MEASURES)}")
    return plot_hull(_curves(file, reference), target, measure=measures[0], **options)


def _plot_bits(file: Path, target: Path, **options: Any) -> list[Path]:
    from pipelines.figures.bits import plot_bits

    return plot_bits(file, target, **options)


def _plot_strips(file: Path, target: Path, **options: Any) -> list[Path]:
    from pipelines.figures.strip_frames import strips
    from pipelines.figures.strips import plot_strips

    return plot_strips(strips(file, **options), target)


def _curves(file: Path, reference: str | None, *, with_losses: bool = False) -> "list[Curve]":
    """Curves against what was asked for; without that, against labels where there are any."""
    from codecsim.store import Sweep
    from pipelines.curve import REFERENCES
    from pipelines.curves import curves

    with Sweep(file) as sweep:
        for each in REFERENCES:
            if reference in (None, each):
                found = curves(sweep, reference=each, with_losses=with_losses)
                if any(curve.points for curve in found) or reference:
                    return found
    raise UsageError(f"{file}: no network has read its streams yet; codecsim evaluate {file} lets networks read them")
