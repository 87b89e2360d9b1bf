"""`codecsim bench`: the commands that measure speed; each imports what it needs when it runs."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from pipelines.commands.learning import VARIANTS
from pipelines.commands.parameters import DEVICE, PRECISIONS, Names

if TYPE_CHECKING:
    from recognition.devices import Precision


@click.group()
def bench() -> None:
    """Measure speed on this machine, as ratios to outside programs or to what it can do at best."""


@bench.command("encode")
@click.option(
    "--rounds", type=click.IntRange(1), default=5, show_default=True, help="Interleaved rounds; medians are reported."
)
@click.option(
    "--only",
    type=Names("benchmark", ("stream", "jobs", "workers", "slices", "memory", "query", "prepare")),
    default="",
    help="Run only some.",
)
def bench_encode(rounds: int, only: tuple[str, ...]) -> None:
    """Compare the encoder side with the x264 and ffmpeg programs, where they are installed."""
    from pipelines.bench.encode import run_encode
    from pipelines.console import say

    for line in run_encode(rounds=rounds, only=only):
        say(line)


@bench.command("render")
@click.option(
    "--rounds", type=click.IntRange(1), default=5, show_default=True, help="Subjects a process; the median is reported."
)
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True, help="Where to render.")
def bench_render(rounds: int, device: str) -> None:
    """Measure how fast SynthFace is rendered. Needs codecsim[synthetic]."""
    from codecsim.sources.synthetic.benchmark import check_device
    from pipelines.console import say

    check_device(device)
    from pipelines.bench.render import run_render

    for line in run_render(rounds=rounds, device=device):
        say(line)


@bench.command("cluster")
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True, help="Medians of so many are reported.")
def bench_cluster(rounds: int) -> None:
    """Measure what handing jobs to a Dask cluster and merging their parts cost. Needs codecsim[cluster]."""
    from codecsim.cluster import Cluster
    from pipelines.console import say

    Cluster()
    from pipelines.bench.cluster import run_cluster

    for line in run_cluster(rounds=rounds):
        say(line)


def _network(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command what the benchmarks of networks need to know."""
    for option in reversed(
        (
            click.option(
                "--rounds",
                type=click.IntRange(1),
                default=5,
                show_default=True,
                help="Interleaved rounds; medians are reported.",
            ),
            DEVICE,
            click.option(
                "--precision",
                "precisions",
                type=Names("precision", PRECISIONS),
                default="",
                help="As fp32,bf16.  [default: all that the device has]",
            ),
            click.option(
                "--variant", type=click.Choice(VARIANTS), default="paper", show_default=True, help="Of the networks."
            ),
        )
    ):
        command = option(command)
    return command


@bench.command("train")
@_network
def bench_train(precisions: "tuple[Precision, ...]", device: str, **given: Any) -> None:
    """Compare training with a bare loop in torch, and with the rate of a large product."""
    from pipelines.bench.train import run_train
    from pipelines.console import say
    from recognition.devices import get_device, precisions_of

    for line in run_train(device=device, precisions=precisions or precisions_of(get_device(device)), **given):
        say(line)


@bench.command("infer")
@_network
def bench_infer(precisions: "tuple[Precision, ...]", device: str, **given: Any) -> None:
    """Compare inference from LR frames with the bare network, and with the rate of a large product."""
    from pipelines.bench.infer import run_infer
    from pipelines.console import say
    from recognition.devices import get_device, precisions_of

    for line in run_infer(device=device, precisions=precisions or precisions_of(get_device(device)), **given):
        say(line)


@bench.command("evaluate")
@_network
def bench_evaluate(precisions: "tuple[Precision, ...]", device: str, **given: Any) -> None:
    """Compare reading the streams of a sweep with the bare network, and with encoding before it; and measure memory."""
    from pipelines.bench.evaluate import run_evaluate
    from pipelines.console import say
    from recognition.devices import get_device, precisions_of

    for line in run_evaluate(device=device, precisions=precisions or precisions_of(get_device(device)), **given):
        say(line)


@bench.command("feed")
@click.option(
    "--rounds", type=click.IntRange(1), default=3, show_default=True, help="Interleaved rounds; medians are reported."
)
@click.option(
    "--rate",
    "rates",
    type=click.FloatRange(1),
    multiple=True,
    default=(33_200, 93_700),
    show_default=True,
    help="Frames a second that a device reads, as an H200 does in fp32 and in bf16; may be given more than once.",
)
def bench_feed(rounds: int, rates: tuple[float, ...]) -> None:
    """Measure how fast a device that only takes its time is given the frames of a sweep."""
    from pipelines.bench.feed import run_feed
    from pipelines.console import say

    for line in run_feed(rounds=rounds, rates=rates):
        say(line)
