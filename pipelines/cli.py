"""The `codecsim` command. Each subcommand imports what it needs when it runs, so that `--help` is quick."""

import os
import sys
from pathlib import Path
from typing import Any

import click

from codecsim.errors import CodecsimError, UsageError
from codecsim.interrupts import never_lost
from pipelines.commands.benching import bench
from pipelines.commands.learning import methods, table1, train
from pipelines.commands.parameters import FILE
from pipelines.commands.plotting import plot
from pipelines.commands.preparing import prepare
from pipelines.commands.sweeping import evaluate, sweep

_INTERRUPTED = 130
"""Exit status after Ctrl-C: 128 and the number of the signal."""

_LIBRARIES = {
    "OPENBLAS_NUM_THREADS": "1",  # NumPy's products here are small, and a second thread only starves the codecs
    "OMP_WAIT_POLICY": "passive",  # torch's threads else spin while they wait, and starve whatever runs beside them
    "THP_MEM_ALLOC_ENABLE": "1",  # the system clears new memory of torch's large tensors by 2 MB, not by 4 kB
}
"""Settings of libraries, which are read when these are first used; what the user set stays."""


class _Group(click.Group):
    """Turns the refusals of codecsim into one message and an exit status: 2 for usage, 1 otherwise."""

    def invoke(self, ctx: click.Context) -> Any:
        for name, value in _LIBRARIES.items():
            os.environ.setdefault(name, value)
        try:
            with never_lost():
                return super().invoke(ctx)
        except CodecsimError as error:
            click.echo(f"Error: {error}", err=True)
            ctx.exit(2 if isinstance(error, UsageError) else 1)
        except MemoryError as error:
            why = f" ({error})" if str(error) else ""
            click.echo(
                f"Error: no memory is left{why}. What was finished is kept: run the same command again with fewer "
                "--workers, or where there is more",
                err=True,
            )
            ctx.exit(1)
        except KeyboardInterrupt:
            click.echo("Interrupted. What was finished is kept; the same command takes up where it stopped.", err=True)
            ctx.exit(_INTERRUPTED)


@click.group(
    cls=_Group,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "max_content_width": 100,
        "auto_envvar_prefix": "CODECSIM",  # any option by an environment variable: CODECSIM_SWEEP_METHODS=none
    },
)
@click.version_option(package_name="codecsim")
def main() -> None:
    """What video compression does to a face-reading network, with every bit accounted for.

    Start with `codecsim sweep`, which takes built-in footage, and look at what it made with `codecsim ledger`.
    """


for _command in (sweep, evaluate, plot, prepare, methods, train, table1, bench):
    main.add_command(_command)


@main.command()
@click.argument("file", type=FILE)
@click.option("--all", "every_sequence", is_flag=True, help="List every sequence of a corpus, not just the first 40.")
def info(file: Path, every_sequence: bool) -> None:
    """Say what FILE, a sweep or a corpus, holds."""
    from pipelines.commands.information import describe
    from pipelines.console import say

    say(describe(file, every_sequence=every_sequence))


@main.command()
@click.argument("file", type=FILE)
@click.option("--stream", help="A row, key or name, as s3/qp24; may stand for several.")
@click.option("--frames", is_flag=True, help="Type, QP and bytes of every frame of one stream.")
@click.option("--csv", "as_csv", is_flag=True, help="CSV on stdout, for other programs.")
def ledger(file: Path, stream: str | None, frames: bool, as_csv: bool) -> None:
    """Say where the bits of a sweep went, by purpose, pooled over sequences."""
    from codecsim.store import Sweep
    from pipelines import tables
    from pipelines.console import note, say, table

    with Sweep(file) as sweep:
        if frames:
            if stream is None:
                raise UsageError("--frames shows one stream; say which with --stream")
            rows = tables.frames(sweep, sweep.one(stream))
        else:
            chosen = None if stream is None else sweep.find(stream)
            if chosen == []:
                sweep.one(str(stream))
            rows = tables.ledger(sweep, chosen)
        if as_csv:
            sys.stdout.write(tables.to_csv(rows))
            return
        say(table(*rows))
        if not frames:
            for sentence in tables.padding_explained(sweep, chosen):
                note(f"\n{sentence}")


@main.command()
@click.argument("file", type=FILE)
@click.argument("stream")
@click.argument("target", type=FILE)
def extract(file: Path, stream: str, target: Path) -> None:
    """Write one STREAM of a sweep to TARGET: .264 (.265, .obu, .ivf), .mp4, .mkv, .y4m or .bin."""
    from codecsim.extract import extract as run_extract
    from codecsim.store import Sweep
    from pipelines.console import say, size

    with Sweep(file) as sweep:
        row = sweep.one(stream)
        written = run_extract(sweep, row, target)
        say(f"{target}: {sweep.name(row)}, {size(written)} ({sweep.streams['n_bytes'][row]} bytes are the stream's)")


@main.command()
@click.argument("file", type=FILE)
@click.option("--workers", type=click.IntRange(1), help="Processes.  [default: one a core]")
def verify(file: Path, workers: int | None) -> None:
    """Recount every bit of a sweep, decode every stream again, and check every digest."""
    from codecsim.executors import available_cores
    from codecsim.store import Sweep
    from codecsim.store.verify import verify as run_verify
    from pipelines.console import note, progress_bar, say

    with Sweep(file) as sweep:
        n_streams, n_bytes = len(sweep), sweep.n_bytes
    with progress_bar() as progress:
        problems = run_verify(file, workers=workers or min(available_cores(), 1 + n_streams // 200), progress=progress)
    for problem in problems:
        note(f"{file}: {problem.stream or 'the file'}: {problem.what}")
    if problems:
        number = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        note(f"Error: {number}; run the sweep again for what is not there, with --force to replace what is wrong")
        sys.exit(1)
    say(f"{file}: {n_streams} streams, {8 * n_bytes} bits: all counted again, decoded again, and as the file says")


@main.command()
@click.argument("base", type=FILE)
@click.argument("new", type=FILE)
@click.option("--tolerance-bits", type=int, default=0, show_default=True, help="Largest difference that is let pass.")
def compare(base: Path, new: Path, tolerance_bits: int) -> None:
    """Tell where the bits of NEW differ from those of BASE; exit status 1 where they do."""
    from codecsim.store.compare import compare as run_compare
    from pipelines.console import note, say, table

    found = run_compare(base, new, tolerance_bits=tolerance_bits)
    if found.moved:
        rows = [
            [
                moved.stream,
                str(moved.bits_base),
                str(moved.bits_new),
                f"{moved.bits_moved:+d}",
                f"{moved.bits_moved / moved.bits_base:+.2%}",
                ", ".join(f"{purpose.removeprefix('bits_')} {bits:+d}" for purpose, bits in moved.purposes),
            ]
            for moved in found.moved
        ]
        say(table(["stream", "base", "new", "moved", "share", "where"], rows) + "\n")
    for name in found.missing:
        note(f"{new} lacks {name}")
    for what, number in (
        ("have as many bits but other bytes", found.n_other_bytes),
        ("are only in " + str(new), len(found.added)),
    ):
        if number:
            note(f"{number} streams {what}")
    say(
        f"{found.n_common} streams compared: {len(found.moved)} moved by more than {tolerance_bits} bits, "
        f"{len(found.missing)} missing"
    )
    if not found.passed:
        sys.exit(1)


@main.command()
@click.argument("corpus", type=FILE)
@click.option("--task", default="valence_truth", show_default=True, help="Label to tell.")
@click.option("--every", type=click.IntRange(1), default=25, show_default=True, help="Use every so many frames.")
@click.option(
    "--frontal",
    "frontal_degrees",
    type=click.FloatRange(0, min_open=True),
    help="Leave out heads turned by more degrees.",
)
def evidence(corpus: Path, task: str, every: int, frontal_degrees: float | None) -> None:
    """Say where the labels of CORPUS are: ridge regressions from its train subjects to its dev subjects.

    On a sound benchmark face units tell a label, brightness and pose do not, and pixels the less the smaller they are.
    """
    from pipelines.console import progress_bar, say, table
    from pipelines.evidence import count_faces, read_labels

    with progress_bar() as progress:
        readings = read_labels(corpus, task=task, every=every, frontal_degrees=frontal_degrees, progress=progress)
        n_found, n_frames = count_faces(corpus, every=every, progress=progress)
    first = readings[0]
    is_class = first.measure == "accuracy"
    header = ["input", first.measure, "95 % interval", *([] if is_class else ["CCC within subjects"]), "penalty"]
    rows = [
        [
            each.what,
            f"{each.score:.3f}",
            f"{each.low:.3f} to {each.high:.3f}",
            *([] if is_class else [f"{each.within:.3f}"]),
            f"{each.penalty:g}",
        ]
        for each in readings
    ]
    say(table(header, rows))
    said = f"\n{task}: {first.n_train} frames of train, {first.n_dev} of dev, one in {every}"
    say(said + (f"; always the same class: {first.chance:.3f}" if is_class else ""))
    say(f"faces found in {n_found} of {n_frames} frames of all splits ({n_found / n_frames:.2%})")


def run() -> None:
    """The command as a program. After Ctrl-C it ends at once, whatever threads are in the middle of: Python would wait
    for them, and for ever for one that waits for what another one held when Python took that for ended.
    """
    try:
        main()
    except SystemExit as ended:
        if ended.code == _INTERRUPTED:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(_INTERRUPTED)
        raise


if __name__ == "__main__":
    run()
