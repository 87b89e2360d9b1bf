"""Where networks run, and in what arithmetic."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, Literal, get_args

import torch

from codecsim.errors import UsageError

Precision = Literal["fp32", "tf32", "bf16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


def get_device(name: str = "auto") -> torch.device:
    """``auto`` (a GPU if there is one), ``cpu``, ``cuda`` or ``cuda:1``.

    Raises
    ------
    UsageError
        If torch finds no such device here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"device {name!r}: auto, cpu, cuda or cuda:NUMBER are allowed") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UsageError(
            f"device {name!r}: torch {torch.__version__} finds {torch.cuda.device_count()} GPUs here; take cpu or auto"
        )
    if device.type not in ("cpu", "cuda"):
        raise UsageError(f"device {name!r}: auto, cpu, cuda or cuda:NUMBER are allowed")
    return device


def precisions_of(device: torch.device) -> tuple[Precision, ...]:
    """What the libraries of a device compute in."""
    if device.type == "cuda":
        has_tensor_cores = torch.cuda.get_device_capability(device) >= (8, 0)
        return PRECISIONS if has_tensor_cores else ("fp32",)
    return ("fp32", "bf16") if torch.ops.mkldnn._is_mkldnn_bf16_supported() else ("fp32",)


@contextmanager
def arithmetic(precision: Precision, device: torch.device) -> Iterator[None]:
    """Run networks in ``fp32``, in ``tf32`` (products of 10 bits, on GPUs) or in ``bf16`` (autocast; sums in fp32).

    Raises
    ------
    UsageError
        If there is no such precision, or not on this device.
    """
    if precision not in PRECISIONS:
        raise UsageError(f"no precision {precision!r}; there are {', '.join(PRECISIONS)}")
    if precision == "tf32" and device.type != "cuda":
        raise UsageError(f"precision tf32 is for GPUs; this is {device}: take fp32, or bf16 where the processor has it")
    with _gpu_products("tf32" if precision == "tf32" else "ieee") if device.type == "cuda" else nullcontext():
        if precision == "bf16":
            with torch.autocast(device.type, torch.bfloat16):
                yield
        else:
            yield


@contextmanager
def _gpu_products(fp32_precision: str) -> Iterator[None]:
    backends: tuple[Any, ...] = torch.backends.cuda.matmul, torch.backends.cudnn.conv  # type: ignore[attr-defined]
    held = [each.fp32_precision for each in backends]
    for each in backends:
        each.fp32_precision = fp32_precision
    try:
        yield
    finally:
        for each, before in zip(backends, held, strict=True):
            each.fp32_precision = before


def free_bytes(device: torch.device) -> int:
    """Memory that is free on a device now."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") + _reclaimable()


def hardware(device: torch.device) -> str:
    """What a network was trained on, for the records."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}"


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the device has no memory left."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def _reclaimable() -> int:
    """Bytes that the system holds as cache and gives up when asked."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            known = {line.split(":")[0]: int(line.split()[1]) for line in file}
    except (OSError, ValueError, IndexError):
        return 0
    return 1024 * max(0, known.get("MemAvailable", 0) - known.get("MemFree", 0))
