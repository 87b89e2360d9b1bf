"""``python -m tests.fuzz``: a campaign by hand, and its table."""

import itertools
import tempfile
from collections.abc import Sequence
from pathlib import Path

import click

from tests.fuzz.campaign import LIMIT_SECONDS, Campaign, Tally
from tests.fuzz.targets import TARGETS

_COLUMNS = (
    "target",
    "inputs",
    "accepted",
    "refused",
    "crashes",
    "hangs",
    "other errors",
    "peak memory",
    "slowest input",
)


@click.command()
@click.option("--seconds", default=60.0, show_default=True, help="For each target.")
@click.option("--inputs", default=None, type=int, help="At most so many for each target.")
@click.option("--target", "names", multiple=True, type=click.Choice([*TARGETS]), help="Default: all.")
@click.option("--seed", default=0, show_default=True)
@click.option("--first", default=0, show_default=True, help="Number of the first input.")
@click.option("--limit-seconds", default=LIMIT_SECONDS, show_default=True, help="Longer than this is a hang.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Folder for inputs that find something.")
def main(
    *,
    seconds: float,
    inputs: int | None,
    names: Sequence[str],
    seed: int,
    first: int,
    limit_seconds: float,
    out: Path | None,
) -> None:
    """Fuzz what reads untrusted files, print a table, and end with 1 where anything was found."""
    tallies = []
    with (
        tempfile.TemporaryDirectory() as folder,
        Campaign(Path(folder), out=out, limit_seconds=limit_seconds) as campaign,
    ):
        for name in names or TARGETS:
            indices = itertools.count(first) if inputs is None else range(first, first + inputs)
            tallies.append(campaign.run(name, indices, seed=seed, seconds=seconds))
            click.echo(f"{_row(tallies[-1])}", err=True)
    click.echo(f"| {' | '.join(_COLUMNS)} |\n|{' --- |' * len(_COLUMNS)}")
    for tally in tallies:
        click.echo(_row(tally))
    kinds = {(each.target, each.kind, each.what): each for tally in tallies for each in reversed(tally.findings)}
    for finding in kinds.values():
        click.echo(str(finding))
    raise SystemExit(bool(kinds))


def _row(tally: Tally) -> str:
    counted = (tally.count("crash"), tally.count("hang"), tally.count("error"))
    cells = (tally.target, tally.n_inputs, tally.n_accepted, tally.n_refused, *counted)
    slowest = f"{1000 * tally.slowest_seconds:.0f} ms (no. {tally.slowest_index})"
    return f"| {' | '.join(map(str, cells))} | {tally.peak_bytes / 2**20:.0f} MiB | {slowest} |"


if __name__ == "__main__":
    main()
