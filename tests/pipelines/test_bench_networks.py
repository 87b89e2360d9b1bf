"""`codecsim bench train` and `bench infer`: what they count, and what they say."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from pipelines.bench import evaluate, infer, timing, train, work
from pipelines.bench.footage import FOOTAGE, Footage
from recognition.devices import Precision, precisions_of
from recognition.inference import BATCH
from recognition.networks import SRFCN, VARIANTS, ValenceCNN
from recognition.schedules import SCHEDULES
from tests.pipelines.command import codecsim, refusal


@pytest.fixture
def _small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Batches of two frames, two at once, small products, and no fight over cores."""
    cpu = SCHEDULES["cpu"]
    small = {part: replace(getattr(cpu, part), batch=2) for part in ("scratch", "sr")}
    monkeypatch.setitem(SCHEDULES, "cpu", replace(cpu, **small))
    monkeypatch.setitem(infer.BATCH, "cpu", 2)
    monkeypatch.setitem(infer._BATCHES, "cpu", 2)
    monkeypatch.setitem(train._STEPS, "cpu", 2)
    monkeypatch.setattr(train, "_N_FOLD", 2)
    monkeypatch.setitem(work._PRODUCT_SIDE, "cpu", 64)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("network", [*(ValenceCNN(variant=v) for v in VARIANTS), SRFCN(variant="paper")])
def test_work_is_what_torch_counts_too(network: nn.Module) -> None:
    inputs = torch.rand(3, 1, 96, 96)
    with FlopCounterMode(display=False) as counted, torch.no_grad():
        network.eval()(inputs)
    assert work.forward_flops(network, inputs) == counted.get_total_flops()


def test_work_is_counted_without_a_trace() -> None:
    network = ValenceCNN(variant="paper")
    assert work.forward_flops(network, torch.zeros(1, 1, 96, 96)) == 1_223_731_800
    assert not [layer for layer in network.modules() if layer._forward_hooks]


def test_the_first_round_warms_up_and_is_not_counted() -> None:
    ours, other = iter([9.0, 1.0, 2.0]), iter([9.0, 4.0, 5.0])
    assert timing.alternated(2, lambda: next(ours), lambda: next(other)) == [(1.0, 4.0), (2.0, 5.0)]


@pytest.mark.usefixtures("_small")
def test_infer_says_its_rate_and_two_ratios_by_precision() -> None:
    lines = codecsim("bench", "infer", "--rounds", 1, "--device", "cpu", exit_code=0).stdout.splitlines()
    assert lines[0].startswith("machine: ")
    assert lines[1] == "valence CNN, paper: 1,223,731,800 FLOPs a frame; 4 frames of 24×24, batches of 2"
    precisions = precisions_of(torch.device("cpu"))
    for precision, first, second in zip(precisions, lines[2::2], lines[3::2], strict=True):
        assert re.fullmatch(
            rf"{precision}: \d+ frames/s, \d+\.\d\d × the bare network, \d+% of a product's rate", first
        )
        assert re.fullmatch(rf"{precision}, every frame twice: \d+\.\d\d × as fast; peak of the process \d+ MB", second)


@pytest.mark.usefixtures("_small")
def test_train_measures_both_networks() -> None:
    given = ("--rounds", 1, "--device", "cpu", "--precision", "fp32", "--variant", "released")
    lines = codecsim("bench", "train", *given, exit_code=0).stdout.splitlines()
    figures = r"\d+ frames/s, \d+\.\d\d × the bare loop, \d+% of a product's rate; peak of the process \d+ MB"
    assert len(lines) == 5
    assert lines[1] == "valence CNN, released: 3,680,872,200 FLOPs a frame of 96×96; 2 steps of 2 frames"
    assert re.fullmatch(f"valence CNN, fp32: {figures}", lines[2])
    assert lines[3] == "SR-FCN, released: 2,691,225,600 FLOPs a frame of 32×32; 2 steps of 2 frames"
    assert re.fullmatch(f"SR-FCN, fp32: {figures}", lines[4])


@pytest.mark.usefixtures("_small")
def test_evaluate_says_its_rate_with_and_without_encoding_and_its_memory(
    small_corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluate, "_CORPUS", small_corpus)
    clips = Footage((24, 36), 1, clips=2, n_frames=12, workers=None)
    monkeypatch.setitem(FOOTAGE, "cpu", (Footage((30,), 15), clips))
    monkeypatch.setattr(evaluate, "_READY_FRAMES", 10)
    monkeypatch.setattr(evaluate, "_SEQUENCES", (1,))
    monkeypatch.setattr(evaluate, "_FRAMES_OF_EACH", 12)
    given = ("--rounds", 1, "--device", "cpu", "--precision", "fp32")
    machine, *speeds, memory = codecsim("bench", "evaluate", *given, exit_code=0).stdout.splitlines()
    assert machine.startswith("machine: ")
    for every, (sizes, *rates) in ((15, speeds[:3]), (1, speeds[3:])):
        of = rf"\d+ sequences and streams of which one frame in {every} is shown"
        assert re.fullmatch(rf"fp32: \d+ frames that differ, of {of}", sizes)
        said = ("from streams to predictions that are stored", "end to end, encoding too")
        for what, line in zip(said, rates, strict=True):
            rate = r"\d+ frames/s, \d\.\d\d × the bare network"
            assert re.fullmatch(rf"fp32, {what}: {rate}, which alone takes \d+% of the processor time", line)
    assert re.fullmatch(r"memory: at most \d{3,4} MB \(median \d{2,4}\) for 1 sequences of 12 frames", memory)


def test_feed_says_how_fast_a_device_is_fed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two devices: one of 1 000 frames a second, which cannot read faster, and one that nobody could feed."""
    monkeypatch.setitem(FOOTAGE, "cuda", (Footage((30, 40), 1, clips=4, n_frames=100),))
    monkeypatch.setitem(BATCH, "cuda", 64)
    given = ("--rounds", 1, "--rate", 1000, "--rate", 1e8)
    machine, size, unbounded, slow, fast = codecsim("bench", "feed", *given, exit_code=0).stdout.splitlines()
    assert re.fullmatch(r"machine: .*; [1-8] processes that decode", machine)
    counted = re.fullmatch(r"(\d+) frames that differ, of 16 sequences and streams", size)
    assert counted
    assert 0.5 * 1600 < int(counted[1]) < 1600
    spent = r"\d+\.\d s of processor time"
    assert re.fullmatch(rf"a device that takes no time: \d+ frames/s, {spent}", unbounded)
    for rate, line, most in (("1000", slow, 1.0), ("100000000", fast, 0.01)):
        found = re.fullmatch(rf"a device of {rate} frames/s: \d+ frames/s, (\d\.\d\d) ×, {spent}", line)
        assert found
        assert float(found[1]) <= most


@pytest.mark.parametrize("command", ["train", "infer", "evaluate"])
@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("--precision", "fp16"), "Invalid value for '--precision': no precision 'fp16'; there are: fp32, tf32, bf16"),
        (("--device", "tpu"), "device 'tpu': auto, cpu, cuda or cuda:NUMBER are allowed"),
    ],
)
def test_what_there_is_not_is_refused(command: str, given: tuple[str, ...], message: str) -> None:
    outcome = codecsim("bench", command, *given, exit_code=2)
    assert refusal(outcome) == message


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_products_are_in_the_precision_that_is_named(
    precision: Precision, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(work._PRODUCT_SIDE, "cpu", 64)
    with _Operations() as operations:
        assert work.product_flops_per_second(precision, torch.device("cpu")) > 0
    assert operations.found[-2:] == [("aten::mm", dtype)] * 2
    assert ("aten::rand", torch.float32) in operations.found  # of zeros or ones, some devices multiply faster


class _Operations(TorchDispatchMode):
    """Notes every operation, and the type of what it gives."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, torch.dtype]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        self.found.append((func.name(), made.dtype))
        return made
