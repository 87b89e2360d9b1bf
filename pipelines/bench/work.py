"""What benchmarks of networks share: how much work a frame is, and how fast the device multiplies."""

import resource
import sys

import torch
from torch import Tensor, nn

from pipelines.bench.timing import machine, seconds
from recognition.devices import Precision, arithmetic, hardware

_PRODUCT_SIDE = {"cpu": 2048, "cuda": 8192}
_N_PRODUCTS = {"cpu": 1, "cuda": 10}


def forward_flops(network: nn.Module, inputs: Tensor) -> int:
    """Floating-point operations of a forward pass: twice the multiply-accumulates of convolutions and linear layers.

    What pools, rectifies and normalises is not counted: it is less than a hundredth.
    """
    counted = 0

    def count(layer: nn.Module, given: object, outputs: Tensor) -> None:
        nonlocal counted
        assert isinstance(layer.weight, Tensor)
        counted += 2 * outputs.numel() * layer.weight[0].numel()

    layers = [each for each in network.modules() if isinstance(each, nn.Conv2d | nn.Linear)]
    hooks = [each.register_forward_hook(count) for each in layers]
    try:
        with torch.inference_mode():
            network(inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return counted


def product_flops_per_second(precision: Precision, device: torch.device) -> float:
    """The rate that products of large square matrices of random numbers reach, once they are warm."""
    side, number = _PRODUCT_SIDE[device.type], _N_PRODUCTS[device.type]
    factor = torch.rand(side, side, device=device).to(torch.bfloat16 if precision == "bf16" else torch.float32)

    def multiply() -> None:
        for _ in range(number):
            factor @ factor
        wait(device)

    with arithmetic(precision, device):
        multiply()
        return number * 2 * side**3 / seconds(multiply)


def wait(device: torch.device) -> None:
    """Until the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak_bytes(device: torch.device) -> tuple[str, int]:
    """The most memory that was taken so far, and whose."""
    if device.type == "cuda":
        return "device", torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return "process", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def setting(device: torch.device) -> str:
    """The first line of a report."""
    return f"machine: {machine()}, torch {torch.__version__}; {hardware(device)}"
