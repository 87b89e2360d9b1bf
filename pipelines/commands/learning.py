"""`codecsim methods`, `codecsim train`, `codecsim table1`: networks from a corpus, and how they compare."""

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from codecsim.errors import UsageError
from pipelines.commands.parameters import DEVICE, FILE, PRECISION, Ranges, Words

if TYPE_CHECKING:
    from recognition.loop import Moment
    from recognition.training import Setup

VARIANTS = ("paper", "released")
SCHEDULES = ("paper", "released", "gpu", "cpu")
LOSSES = ("mse", "ccc", "mse+ccc")
TABLE1 = "hr,lr,non-joint,joint,joint-oa,mix,max-only"

_SETUP = (
    click.option(
        "--labels",
        type=Words("label"),
        default="valence",
        show_default=True,
        help="What is to be told, as valence,arousal.",
    ),
    click.option("--variant", type=click.Choice(VARIANTS), default="paper", show_default=True, help="Of the networks."),
    click.option(
        "--schedule", type=click.Choice(SCHEDULES), help="How long to train.  [default: gpu on a GPU, else cpu]"
    ),
    click.option("--iterations", type=click.IntRange(1), help="Steps of the method's network, for the schedule's."),
    click.option("--sr-iterations", type=click.IntRange(1), help="Steps of SR-FCN, for the schedule's."),
    click.option("--batch", type=click.IntRange(1), help="Frames a step of the method's network, for the schedule's."),
    click.option("--loss", type=click.Choice(LOSSES), default="mse", show_default=True, help="What training lowers."),
    click.option(
        "--every", type=click.IntRange(1), default=1, show_default=True, help="Train on every so many frames."
    ),
    click.option(
        "--delay",
        "delay_seconds",
        type=click.FloatRange(0),
        default=0.0,
        show_default=True,
        help="Annotations lag behind frames by so many seconds.",
    ),
    click.option(
        "--fold", type=click.IntRange(0), default=0, show_default=True, help="Fold of the train subjects held out."
    ),
    DEVICE,
    PRECISION,
    click.option("--compile", "compiled", is_flag=True, help="Compile the network first (needs a C++ compiler)."),
    click.option("--force", is_flag=True, help="Train again what is there."),
)


def _common(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command what training needs to know."""
    for option in reversed(_SETUP):
        command = option(command)
    return command


@click.command()
def methods() -> None:
    """List the methods, and the trained models that come with codecsim."""
    from pipelines.console import say, table
    from recognition.methods import families
    from recognition.models import read_provenance
    from recognition.shipped import shipped

    rows = [
        [
            each.name if each.trained_on else f"{each.name}-s",
            "+".join(map(str, each.trained_on)) or "s",
            "–" if each.start == "none" else str(each.sr_scale or "s"),
            each.summary.format(s="s"),
        ]
        for each in families().values()
    ]
    say(table(["method", "trained on s =", "SR-FCN of s =", "what it is"], rows))
    models = [(path, read_provenance(path)) for path in shipped()]
    if models:
        trained = [
            [
                path.stem,
                known["variant"],
                ", ".join(known["labels"]),
                f"{known['best']['score']:.3f}",
                f"{known['settings']['schedule']}, seed {known['settings']['seed']}, step {known['best']['step']}",
                known["settings"]["corpus_digest"][:12],
            ]
            for path, known in models
        ]
        say("\nTrained models that come with codecsim:\n")
        say(table(["method", "variant", "tells", "CCC on its fold", "trained", "corpus"], trained))
    say("\nAny other: package.module:factory, whose factory(outputs=1) gives a torch.nn.Module: 1×96×96 to 1 output.")


@click.command()
@click.argument("method")
@click.argument("corpus", type=FILE)
@click.option("--out", type=FILE, default=Path("models"), show_default=True, help="Folder for the weights.")
@click.option(
    "--seeds", type=Ranges("seed", whole=True), default="0", show_default=True, help="As 0-2: a network each."
)
@click.option(
    "--factors", type=Ranges("factor", whole=True), help="Train on these, one drawn a frame, instead of the method's."
)
@click.option(
    "--sr-scale", type=int, help="For joint-oa and max-only: start from the SR-FCN of this factor.  [default: 12]"
)
@_common
def train(method: str, corpus: Path, out: Path, seeds: tuple[int, ...], **given: Any) -> None:
    """Train METHOD on the split train of CORPUS: joint-4, joint-oa, sr-fcn-4, package.module:factory, …

    What decides on rates and weights is a fold of the train subjects that is held out. Training that was stopped goes
    on where it was, to the same weights; what OUT holds already is not trained again.
    """
    from pipelines.console import note, say, table
    from pipelines.figures.training import plot_history
    from recognition.methods import get_method
    from recognition.models import SR_NAME, read_provenance
    from recognition.training import Trainer

    look_here_for_modules()
    factors, sr_scale, force = given.pop("factors") or (), given.pop("sr_scale"), given.pop("force")
    trainer = Trainer(_setup(corpus, given), out, force=force, report=_tell)
    stem, _, number = method.rpartition("-")
    if stem == SR_NAME and number.isdecimal():
        if factors or sr_scale is not None:
            raise UsageError(f"{method} is trained on the factor in its name; --factors and --sr-scale are for methods")
        trained = [trainer.train_sr(int(number), seed=seed) for seed in seeds]
    else:
        chosen = get_method(method, factors=factors, sr_scale=sr_scale)
        trained = [each for seed in seeds for each in trainer.train(chosen, seed=seed)]
    if not trainer.leads:
        return
    rows = []
    for each in trained:
        known = read_provenance(each.path)
        kind = "dB over bicubic" if each.name.startswith(SR_NAME) else "CCC"
        rows.append(
            [
                each.name,
                str(each.seed),
                str(known["best"]["step"]),
                f"{known['best']['score']:.3f} {kind}",
                str(each.path),
            ]
        )
        picture = each.log.with_suffix(".png")
        if each.is_new or not picture.exists():
            plot_history(each.log, picture, title=f"{each.name}, seed {each.seed}")
    say(table(["network", "seed", "best step", "on the fold", "weights"], rows))
    if not any(each.is_new for each in trained):
        note("All of it was there already; --force trains again.")


@click.command()
@click.argument("corpus", type=FILE, required=False)
@click.option(
    "--out", type=FILE, default=Path("results/table1"), show_default=True, help="Folder for weights and tables."
)
@click.option(
    "--methods", "names", type=Words("method"), default=TABLE1, show_default=True, help="Families to compare."
)
@click.option(
    "--scales",
    type=Ranges("factor", whole=True),
    default="3,4,6,8,12,16",
    show_default=True,
    help="Factors s, divisors of 96.",
)
@click.option(
    "--seeds", type=Ranges("seed", whole=True), default="0-2", show_default=True, help="Networks of each method."
)
@click.option("--split", default="dev", show_default=True, help="People that the methods are tested on.")
@click.option("--test-every", type=click.IntRange(1), default=1, show_default=True, help="Test every so many frames.")
@click.option("--postprocess", is_flag=True, help="Filter, centre, scale and shift predictions, as found on the fold.")
@_common
def table1(corpus: Path | None, out: Path, **given: Any) -> None:
    """Train and compare all methods of Cheng et al. 2017 on CORPUS, as in their Table 1, with intervals.

    Writes table1.md, .csv and .png, the networks and what they told to OUT. Trains what is missing; a run that was
    stopped goes on. Without CORPUS, the table is made again of what networks told before, as OUT/predictions keeps it.
    """
    from pipelines.comparison import compare_kept, compare_methods
    from pipelines.console import note, progress_bar, say
    from pipelines.figures.table1 import plot_table1
    from pipelines.table1 import as_csv, as_markdown, as_text, summarise
    from recognition.methods import methods as members
    from recognition.training import Trainer

    look_here_for_modules()
    names, scales, seeds, force = (given.pop(name) for name in ("names", "scales", "seeds", "force"))
    tested = {"split": given.pop("split"), "every": given.pop("test_every"), "postprocess": given.pop("postprocess")}
    chosen = [(name, method) for name in names for method in members(scales, names=[name])]
    if corpus is None:
        tested.pop("every")
        compared = compare_kept(out, chosen, scales=scales, seeds=seeds, **tested)
    else:
        trainer = Trainer(_setup(corpus, given), out, force=force, report=_tell)
        with progress_bar() as progress:
            compared = compare_methods(trainer, chosen, scales=scales, seeds=seeds, report=progress, **tested)
        if not trainer.leads:
            return
    summary = summarise(compared, scales)
    say(as_text(summary))
    if compared.missing:
        note(f"Not tested with every seed, and left out: {', '.join(compared.missing)}")
    for name, text in (("table1.md", as_markdown(summary, sys.argv[1:])), ("table1.csv", as_csv(summary))):
        _write(out / name, text)
        say(f"{out / name}")
    say(f"{plot_table1(summary, out / 'table1.png')[0]}")


def look_here_for_modules() -> None:
    """Networks of one's own may lie in the current folder, which is no place for the modules of a program otherwise."""
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())


def _setup(corpus: Path, given: dict[str, Any]) -> "Setup":
    from recognition.devices import get_device
    from recognition.schedules import get_schedule
    from recognition.training import Setup

    steps, sr_steps, batch = (given.pop(name) for name in ("iterations", "sr_iterations", "batch"))
    name = given.pop("schedule") or ("gpu" if get_device(given["device"]).type == "cuda" else "cpu")
    schedule = get_schedule(name)
    changes = {key: value for key, value in (("iterations", steps), ("batch", batch)) if value is not None}
    parts = {part: replace(getattr(schedule, part), **changes) for part in ("scratch", "tuned", "frozen")}
    parts["sr"] = replace(schedule.sr, iterations=sr_steps) if sr_steps is not None else schedule.sr
    note_emulation(given["device"], given["precision"])
    return Setup(corpus=corpus, schedule=replace(schedule, **parts), **given)


def note_emulation(device: str, precision: str) -> None:
    """Say where bfloat16 would have to be emulated, which takes many times as long and looks like standing still."""
    from pipelines.console import note
    from recognition.devices import get_device, precisions_of

    place = get_device(device)
    if precision == "bf16" and "bf16" not in precisions_of(place):
        note(f"Note: this {place.type} computes no bfloat16; bf16 is emulated, far slower than fp32; take fp32")


def _tell(name: str, moment: "Moment") -> None:
    from pipelines.console import note

    minutes, seconds = divmod(round(moment.seconds_left), 60)
    gain = "dB over bicubic" if name.startswith("sr-fcn-") else "CCC"
    note(
        f"{name}: step {moment.step} of {moment.of}, loss {moment.loss:.4f}, fold {moment.score:.3f} {gain}, "
        f"{moment.frames_per_second:.0f} frames/s, {minutes}:{seconds:02d} left"
    )


def _write(path: Path, text: str) -> None:
    from codecsim.atomic import replacing

    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
