"""`codecsim bench render`: how fast SynthFace is rendered here."""

import statistics
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch

from codecsim.executors import available_cores
from codecsim.sources.synthetic.benchmark import SynthRecording, plan, prepare_synthetic, shoot
from pipelines.bench.timing import machine, seconds

_FRAMES = 240


def run_render(*, rounds: int, device: str) -> Iterator[str]:
    """Measure rendering, and yield a line of result each; the first rendering, which warms up, is not counted."""
    yield f"machine: {machine()}, torch {torch.__version__}, device {device}"
    recordings = plan(n_frames=_FRAMES, subjects=(rounds + 1, 0, 0))
    taken = [_one(recording, device) for recording in recordings][1:]
    one = statistics.median(taken)
    yield f"one process: {_FRAMES / one:.0f} frames/s ({1000 * one / _FRAMES:.1f} ms a frame), a new person included"
    if device == "cpu":
        workers = available_cores()
        subjects = 2 * workers * rounds
        with tempfile.TemporaryDirectory(prefix="codecsim-bench-") as name:
            out = Path(name) / "faces.h5"
            whole = seconds(
                lambda: prepare_synthetic(out, subjects=(subjects, 0, 0), n_frames=_FRAMES, workers=workers)
            )
        rate = subjects * _FRAMES / whole
        yield (
            f"prepare synthetic, {workers} workers: {rate:.0f} frames/s, start, noise and storing included "
            f"({subjects} subjects × {_FRAMES} frames in {whole:.1f} s), {rate * one / _FRAMES:.2f} × one process"
        )


def _one(recording: SynthRecording, device: str) -> float:
    """Seconds that a recording takes, all of its frames on the host at the end."""

    def render() -> None:
        for shot in shoot(replace(recording, device=device)):
            for _ in shot.clean:
                pass

    return seconds(render)
