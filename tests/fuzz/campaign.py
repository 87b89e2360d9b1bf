"""A campaign: inputs to one target after another, judged in a child process that may die.

The parent hands out one input at a time and waits `limit_seconds` for the answer. A child that dies or does not answer
is a finding; the input that did it is kept, and another child goes on with the next.
"""

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from tests.fuzz.targets import target_of

LIMIT_SECONDS = 10.0
"""Longest that one input may take, its making included."""

_START_SECONDS = 120.0
"""A child that begins with a target imports it and makes its seeds."""

_KEPT_OF_A_KIND = 3
_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Finding:
    """An input that is neither accepted nor refused.

    Attributes
    ----------
    target, seed, index : what makes it again
    kind : "crash", "hang" or "error"
    what : the signal, or the exception and where it was raised
    path : the input; None where others of its kind were kept already
    detail : the traceback, or the end of what the process said
    """

    target: str
    seed: int
    index: int
    kind: str
    what: str
    path: Path | None
    detail: str

    def __str__(self) -> str:
        return f"{self.target}, seed {self.seed}, input {self.index}: {self.kind} ({self.what})"


@dataclass
class Tally:
    """What became of the inputs of one target; times in seconds."""

    target: str
    n_inputs: int = 0
    n_accepted: int = 0
    n_refused: int = 0
    peak_bytes: int = 0
    slowest_seconds: float = 0.0
    slowest_index: int = -1
    findings: list[Finding] = field(default_factory=list)

    def count(self, kind: str) -> int:
        """Findings of a kind."""
        return sum(finding.kind == kind for finding in self.findings)


class Campaign:
    """Judges inputs in a child process. Use it as a context manager.

    Parameters
    ----------
    folder : for inputs and seeds; made where it is missing
    out : where inputs that find something are kept; None where they are not
    limit_seconds : see `LIMIT_SECONDS`
    """

    def __init__(self, folder: Path, *, out: Path | None = None, limit_seconds: float = LIMIT_SECONDS) -> None:
        self._folder = folder.resolve()
        self._out = out
        self._limit = limit_seconds
        self._child: subprocess.Popen[bytes] | None = None
        self._begun: set[str] = set()
        self._folder.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def run(self, target: str, indices: Iterator[int] | range, *, seed: int, seconds: float = float("inf")) -> Tally:
        """Judge the inputs `indices` of a target, or as many of them as there is time for."""
        tally, end = Tally(target), float("inf")
        for index in indices:
            answer = self._ask(target, seed, index)
            tally.n_inputs += 1
            if "kind" in answer:
                tally.findings.append(self._finding(tally, seed, index, answer))
            elif answer["refused"]:
                tally.n_refused += 1
            else:
                tally.n_accepted += 1
            tally.peak_bytes = max(tally.peak_bytes, answer.get("peak_bytes", 0))
            if answer["seconds"] > tally.slowest_seconds:
                tally.slowest_seconds, tally.slowest_index = answer["seconds"], index
            if tally.n_inputs == 1:
                end = time.monotonic() + seconds  # what the seeds took is not counted
            if time.monotonic() > end:
                break
        return tally

    def _ask(self, target: str, seed: int, index: int) -> dict[str, Any]:
        """What the child answers; or how it ended."""
        child = self._child = self._child or self._start()
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(json.dumps({"target": target, "seed": seed, "index": index}).encode() + b"\n")
        child.stdin.flush()
        if target not in self._begun:
            if not self._line(_START_SECONDS):
                raise RuntimeError(f"the seeds of {target} could not be made or read:\n{self._last_words()}")
            self._begun.add(target)
        asked = time.monotonic()
        line = self._line(self._limit)
        if line:
            answer: dict[str, Any] = json.loads(line)
            if "error" in answer:
                answer |= {"kind": "error", "what": f"{answer['error']} at {answer['where']}"}
            return answer
        seconds = time.monotonic() - asked
        if line is None:
            return {"kind": "hang", "what": f"over {self._limit:g} s", "trace": self._last_words(), "seconds": seconds}
        code = child.wait()
        what = signal.Signals(-code).name if code < 0 else f"exit {code}"
        return {"kind": "crash", "what": what, "trace": self._last_words(), "seconds": seconds}

    def _line(self, seconds: float) -> bytes | None:
        """The next line that the child says: empty where it died, None where it says nothing for so long."""
        assert self._child is not None
        assert self._child.stdout is not None
        ready = select.select([self._child.stdout], [], [], seconds)[0]
        return self._child.stdout.readline() if ready else None

    def _last_words(self) -> str:
        """End the child; the end of what it printed, where faulthandler says where it died."""
        self._end()
        return (self._folder / "said.txt").read_bytes()[-4000:].decode("utf-8", "replace")

    def _finding(self, tally: Tally, seed: int, index: int, answer: dict[str, Any]) -> Finding:
        alike = sum(each.what == answer["what"] for each in tally.findings)
        path = None
        if self._out is not None and alike < _KEPT_OF_A_KIND:
            target = target_of(tally.target)
            self._out.mkdir(parents=True, exist_ok=True)
            path = self._out / f"{target.name}-{seed}-{index}{target.suffix}"
            shutil.copy(self._folder / f"input{target.suffix}", path)
            path.with_suffix(".txt").write_text(f"{answer['kind']}: {answer['what']}\n\n{answer.get('trace', '')}")
        return Finding(tally.target, seed, index, answer["kind"], answer["what"], path, answer.get("trace", ""))

    def _start(self) -> subprocess.Popen[bytes]:
        self._begun.clear()
        environment = {**os.environ, "PYTHONPATH": str(_ROOT), "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
        with (self._folder / "said.txt").open("wb") as said:
            return subprocess.Popen(
                [sys.executable, "-m", "tests.fuzz.child", str(self._folder)],
                bufsize=0,  # what is read ahead would be hidden from select
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                env=environment,
                cwd=_ROOT,
            )

    def _end(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        child.kill()
        child.wait()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                pipe.close()
