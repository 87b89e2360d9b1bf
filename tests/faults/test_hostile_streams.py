"""Streams that crash or occupy their decoder while networks read a sweep; and the end of those who wait for one."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from codecsim.channel import channel
from codecsim.decoder_process import DecoderProcess
from codecsim.errors import CodecError
from codecsim.parts import parts_folder
from codecsim.simulator import sweep as encode_sweep
from codecsim.store import Sweep
from codecsim.store.verify import verify
from pipelines.feeding import FEEDING
from pipelines.readings import TRUTH
from pipelines.sweep import Readers, evaluate, sweep
from tests.codecsim.decoders import HANGS, TROUBLE, crash_on_losses_of_one, crash_on_one, hang_on_one
from tests.faults.sweeps import decoders_of, ended, signal_group, started, wait_for
from tests.pipelines.readers import SMALL_3, SMALL_4, SMALL_HR, save_small, write_corpus

needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="watches processes through /proc")

_WAITS = """
from codecsim.decoder_process import DecoderProcess
from tests.codecsim.decoders import misbehave

with DecoderProcess(_decode=misbehave) as process:
    process.decode([b""], "x264", width=2, height=2)
    print("started", flush=True)
    process.decode([b"spin"], "x264", width=2, height=2)
"""


@contextmanager
def waiting() -> Iterator[subprocess.Popen[str]]:
    """A process that waits for a decoder that never comes back."""
    with started(_WAITS, program=[sys.executable, "-c"]) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        assert len(decoders_of(process)) == 1
        time.sleep(0.2)  # the next stream is in the decoder
        yield process


@needs_proc
def test_a_decoder_does_not_outlive_a_process_that_is_killed_alone() -> None:
    with waiting() as process:
        process.kill()
        process.wait()
        wait_for(lambda: not decoders_of(process), "the end of the decoder", timeout=20)


@needs_proc
def test_an_interrupt_is_for_the_process_that_waits_and_not_for_its_decoder() -> None:
    with waiting() as process:
        os.kill(decoders_of(process)[0], signal.SIGINT)
        time.sleep(0.2)
        assert process.poll() is None
        signal_group(process, signal.SIGINT)
        said = ended(process, timeout=20)
        assert decoders_of(process) == []
    assert said.exit_code == -signal.SIGINT
    assert said.stderr.count("Traceback") == 1
    assert said.stderr.endswith("KeyboardInterrupt\n")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for name in (SMALL_HR, SMALL_3, SMALL_4):
        save_small(folder, name)
    return folder


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A sweep that no network has read: three people, two factors, two QPs."""
    corpus, out = write_corpus(tmp_path / "corpus.h5"), tmp_path / "sweep.h5"
    encode_sweep(corpus, out=out, scales=[3, 4], qp=[24, 36], workers=1)
    return out


def readers(models: Path, *losses: float) -> Readers:
    channels = tuple(channel(loss) for loss in losses)
    names = (SMALL_HR, SMALL_3, SMALL_4)
    return Readers(names=names, models=models, seeds=(0,), device="cpu", every=2, channels=channels)


@contextmanager
def hostile(out: Path, row: int, **decoders: Any) -> Iterator[str]:
    """Let evaluation decode with decoders (of `DecoderProcess`) that misbehave on one stream; its name."""
    with pytest.MonkeyPatch.context() as patch, Sweep(out) as sweep:
        patch.setenv(TROUBLE, str(sweep.column("stream_sha256")[row]))
        patch.setattr("codecsim.decoders.DecoderProcess", partial(DecoderProcess, **decoders))
        yield sweep.name(row)


def n_told(out: Path) -> int:
    """Readings in a sweep file, besides what the corpus says."""
    with Sweep(out) as sweep:
        return int((sweep.predictions["method"] != TRUTH).sum())


def last_to_be_read(out: Path) -> int:
    """Streams are read by factor, in the order of the file."""
    with Sweep(out) as sweep:
        return int(max(range(len(sweep)), key=lambda row: (sweep.column("scale")[row], row)))


@pytest.mark.usefixtures("one_thread")
def test_a_stream_that_crashes_its_decoder_ends_evaluation_and_costs_nothing_else(out: Path, models: Path) -> None:
    with (
        hostile(out, last_to_be_read(out), _decode=crash_on_one) as name,
        pytest.raises(CodecError, match=f"sweep.h5: {name}: x264: the process that decoded it crashed"),
    ):
        evaluate(out, readers(models))
    assert n_told(out) == 26
    assert verify(out) == []
    assert not parts_folder(out).exists()
    again = evaluate(out, readers(models))
    assert (again.n_read, again.n_reused, n_told(out)) == (1, 26, 27)


@pytest.mark.usefixtures("one_thread")
def test_a_stream_that_crashes_its_decoder_ends_a_sweep_and_what_was_done_is_in_its_file(
    out: Path, models: Path
) -> None:
    new = out.with_name("new.h5")
    grid: dict[str, Any] = {"out": new, "scales": [3, 4], "qp": [24, 36], "workers": 1}
    with (
        hostile(out, last_to_be_read(out), _decode=crash_on_one) as name,
        pytest.raises(CodecError, match=f"{name}: x264: the process that decoded it crashed"),
    ):
        sweep(out.with_name("corpus.h5"), readers=readers(models), **grid)
    assert n_told(new) == 26
    assert verify(new) == []
    assert not parts_folder(new).exists()
    report, again = sweep(out.with_name("corpus.h5"), readers=readers(models), **grid)
    assert again is not None
    assert (report.n_streams, report.failures, again.n_read, again.n_reused) == (12, (), 1, 26)


@pytest.mark.usefixtures("one_thread")
def test_a_stream_that_crashes_its_decoder_where_packets_are_lost_is_the_same(out: Path, models: Path) -> None:
    with (
        hostile(out, last_to_be_read(out), _receive=crash_on_losses_of_one) as name,
        pytest.raises(CodecError, match=f"sweep.h5: {name}: x264: the process that decoded it crashed"),
    ):
        evaluate(out, readers(models, 0.3))
    again = evaluate(out, readers(models, 0.3))
    assert (again.n_read, again.n_reused) == (1, 38)
    assert verify(out) == []


@pytest.mark.parametrize("n_decoders", [1, 2])
@pytest.mark.usefixtures("one_thread")
def test_an_interrupt_does_not_wait_for_a_stream_that_occupies_its_decoder(
    n_decoders: int, out: Path, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hangs = out.with_name("hangs")
    monkeypatch.setitem(FEEDING, "cpu", replace(FEEDING["cpu"], decoders=n_decoders))
    monkeypatch.setenv(HANGS, str(hangs))
    struck = []

    def strike() -> None:
        wait_for(hangs.exists, "the stream")
        struck.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=strike).start()
    with hostile(out, last_to_be_read(out), _decode=hang_on_one), pytest.raises(KeyboardInterrupt):
        evaluate(out, readers(models))
    assert time.monotonic() - struck[0] < 10
    again = evaluate(out, readers(models))
    assert again.n_read + again.n_reused == 27
    assert again.n_reused > 0
