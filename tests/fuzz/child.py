"""The process that is sacrificed: reads requests, makes inputs, judges them, answers. Run by `tests.fuzz.campaign`.

A request and an answer are a line of JSON each; one line more says that the seeds of a target are made. The input lies
in the folder before it is judged, so that it is there when this process is not. Memory is limited to what the process
takes for good files and `MEMORY_BYTES` more.
"""

import contextlib
import faulthandler
import json
import os
import resource
import sys
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from tests.fuzz.targets import Judge, Target, target_of

MEMORY_BYTES = 2**29
"""Address space that an input may take beyond what its seeds take."""

_PACKAGES = ("codecsim", "recognition", "pipelines")


def main(folder: Path) -> None:
    """Answer requests until there are no more."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print goes with the rest of the noise
    faulthandler.enable()
    warnings.simplefilter("ignore")
    os.chdir(folder)
    warm: dict[str, list[bytes]] = {}
    for line in sys.stdin:
        request = json.loads(line)
        target = target_of(request["target"])
        if target.name not in warm:
            _limit(None)
            warm[target.name] = _warmed(target, folder)
            _limit(_status("VmSize") + MEMORY_BYTES)
            _forget_peak()
            resident = _status("VmRSS")
            print(json.dumps({"ready": target.name}), file=answers, flush=True)
        answer = _judged(target, warm[target.name], folder, request["seed"], request["index"])
        answer["peak_bytes"] = max(0, _status("VmHWM") - resident)
        print(json.dumps(answer), file=answers, flush=True)


def make_input(target: Target, seeds: list[bytes], folder: Path, seed: int, index: int) -> bytes:
    """Input `index` of a campaign: a function of its arguments alone."""
    rng = np.random.default_rng([seed, *target.name.encode(), index])
    return target.mutate(rng, seeds[int(rng.integers(len(seeds)))], folder / f"scratch{target.suffix}")


def _warmed(target: Target, folder: Path) -> list[bytes]:
    """The seeds, made once for all children, each judged once: good files must be accepted."""
    kept = folder / "seeds" / target.name
    if not kept.is_dir():
        making = folder / "making" / target.name
        making.mkdir(parents=True, exist_ok=True)
        made = target.seeds(making)
        kept.mkdir(parents=True)
        for number, data in enumerate(made):
            (kept / f"{number}{target.suffix}").write_bytes(data)
        if target.suffix == ".h5":
            (folder / "other.h5").write_bytes(made[0])
            with contextlib.suppress(FileExistsError):
                os.mkfifo(folder / "pipe")
    seeds = [path.read_bytes() for path in sorted(kept.iterdir())]
    for data in seeds:
        judge = Judge()
        path = folder / f"input{target.suffix}"
        path.write_bytes(data)
        target.read(judge, path)
        assert not judge.n_refused, f"a good file of {target.name} was refused"
    return seeds


def _judged(target: Target, seeds: list[bytes], folder: Path, seed: int, index: int) -> dict[str, Any]:
    path = folder / f"input{target.suffix}"
    path.write_bytes(make_input(target, seeds, folder, seed, index))
    judge = Judge()
    begun = time.perf_counter()
    error: dict[str, str] = {}
    try:
        target.read(judge, path)
    except Exception as raised:  # what is looked for
        error = {"error": type(raised).__name__, "where": _place(raised), "trace": traceback.format_exc()}
    return {"refused": judge.n_refused, "seconds": time.perf_counter() - begun, **error}


def _place(error: BaseException) -> str:
    """Where it was raised: the innermost line of the package, or of the judge."""
    root = Path(__file__).resolve().parents[2]
    frames = traceback.extract_tb(error.__traceback__)
    inner = [each for each in frames if Path(each.filename).is_relative_to(root)]
    last = next((each for each in reversed(inner) if Path(each.filename).relative_to(root).parts[0] in _PACKAGES), None)
    last = last or (inner or list(frames))[-1]
    return f"{Path(last.filename).name}:{last.lineno} {last.name}"


def _limit(n_bytes: int | None) -> None:
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (hard if n_bytes is None else n_bytes, hard))


def _status(name: str) -> int:
    """A figure of /proc/self/status in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def _forget_peak() -> None:
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
