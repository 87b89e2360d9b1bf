"""Decoding beside this process: the same frames and errors; and this process lives, whatever becomes of the other."""

import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import accumulate, pairwise
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codecsim.codecs import CODECS, EncoderSettings
from codecsim.concealment import receive
from codecsim.decode import Frames, decode
from codecsim.decoder_process import DecoderProcess
from codecsim.encode import encode
from codecsim.errors import CodecError, StoreError
from codecsim.extract import extract
from codecsim.scaling import downscale
from codecsim.store import Sweep
from codecsim.store.decoding import stored_frames
from codecsim.store.verify import verify
from tests.clips import carphone_faces
from tests.codecsim.decoders import TROUBLE, crash_on_one, misbehave, misreceive
from tests.pipelines.command import codecsim, environment, refusal

needs_proc = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is limited through /proc")


@pytest.fixture(scope="module")
def decoder() -> Iterator[DecoderProcess]:
    with DecoderProcess() as process:
        yield process


@pytest.fixture(scope="module")
def bad() -> Iterator[DecoderProcess]:
    """A process whose decoder misbehaves when it is told to; it has 256 MB to do so."""
    with DecoderProcess(_decode=misbehave, _receive=misreceive, _memory_bytes=2**28) as process:
        yield process


def ask(process: DecoderProcess, *packets: bytes) -> Frames:
    return process.decode(packets, "x264", width=4, height=2)


def told(process: DecoderProcess, what: bytes) -> str:
    with pytest.raises(CodecError) as caught:
        ask(process, b"tell " + what)
    return str(caught.value)


@pytest.mark.parametrize("codec", CODECS)
def test_frames_are_those_of_decoding_here(codec: str, decoder: DecoderProcess) -> None:
    stream = encode(downscale(carphone_faces(), 3), EncoderSettings(codec), 24, fps=25.0)
    here = decode(stream.packets, codec, width=32, height=32)
    there = decoder.decode(stream.packets, codec, width=32, height=32)
    np.testing.assert_array_equal(there, here)
    assert there.dtype == np.uint8
    assert there.flags.writeable


@pytest.mark.parametrize("codec", CODECS)
def test_what_is_received_with_losses_is_what_is_received_here(codec: str, decoder: DecoderProcess) -> None:
    stream = encode(downscale(carphone_faces()[:24], 3), EncoderSettings(codec), 24, fps=25.0)
    for lost in ([], [5], [3, 4, 5, 20], range(1, 24)):
        is_lost = np.isin(np.arange(24), lost)
        here = receive(stream.packets, stream.pts, is_lost, codec, width=32, height=32)
        there = decoder.receive(stream.packets, stream.pts, is_lost, codec, width=32, height=32)
        np.testing.assert_array_equal(there.frames, here.frames)
        np.testing.assert_array_equal(there.is_concealed, here.is_concealed)
        assert (there.frames.dtype, there.is_concealed.dtype) == (np.uint8, np.bool_)


def test_errors_of_receiving_are_those_of_receiving_here(decoder: DecoderProcess) -> None:
    packets = encode(downscale(carphone_faces()[:3], 3), EncoderSettings(), 24, fps=25.0).packets
    for pts, side in (([0, 1, 1], 32), ([0, 1, 2], 24), ([2, 1, 0], 32)):
        asked = packets, np.array(pts), np.array([False, True, True]), "x264"
        with pytest.raises(CodecError) as here:
            receive(*asked, width=side, height=side)
        with pytest.raises(CodecError) as there:
            decoder.receive(*asked, width=side, height=side)
        assert str(there.value) == str(here.value)


@pytest.mark.parametrize(("n_places", "n_losses"), [(2, 1), (1, 2), (0, 0), (3, 3)])
def test_a_place_and_a_loss_a_packet_are_needed(n_places: int, n_losses: int, decoder: DecoderProcess) -> None:
    with pytest.raises(CodecError, match=f"2 frames, {n_places} places and {n_losses} losses; one of each is needed"):
        decoder.receive([b"", b""], np.arange(n_places), np.zeros(n_losses, bool), "x264", width=4, height=2)


def test_more_frames_than_a_socket_holds_come_whole(decoder: DecoderProcess) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (200, 96, 96), np.uint8)
    stream = encode(frames, EncoderSettings(), 0, fps=25.0)
    assert stream.n_bytes > 2**20
    np.testing.assert_array_equal(decoder.decode(stream.packets, "x264", width=96, height=96), frames)


@pytest.mark.parametrize(("codec", "side", "cut"), [("x264", 32, 2), ("x264", 24, 1), ("x265", 32, 1), ("h266", 32, 1)])
def test_errors_are_those_of_decoding_here(codec: str, side: int, cut: int, decoder: DecoderProcess) -> None:
    stream = encode(downscale(carphone_faces()[:9], 3), EncoderSettings(), 24, fps=25.0)
    packets = [packet[: len(packet) // cut] for packet in stream.packets]
    with pytest.raises(CodecError) as here:
        decode(packets, codec, width=side, height=side)
    with pytest.raises(CodecError) as there:
        decoder.decode(packets, codec, width=side, height=side)
    assert str(there.value) == str(here.value)


@needs_proc
@pytest.mark.parametrize(("width", "height"), [(-32, -32), (2**40, 2**40), (96, 2**31), (0, 32)])
def test_sizes_that_no_file_should_claim_are_errors(width: int, height: int, decoder: DecoderProcess) -> None:
    stream = encode(downscale(carphone_faces()[:1], 3), EncoderSettings(), 24, fps=25.0)
    with pytest.raises(CodecError):
        decoder.decode(stream.packets, "x264", width=width, height=height)


def test_no_packets_give_no_frames(decoder: DecoderProcess) -> None:
    assert decoder.decode([], "x264", width=4, height=2).shape == (0, 2, 4)
    received = decoder.receive([], np.arange(0), np.zeros(0, bool), "x264", width=4, height=2)
    assert (received.frames.shape, received.is_concealed.shape) == ((0, 2, 4), (0,))


@pytest.mark.parametrize(
    ("what", "message"),
    [
        (b"abort", r"x264: the process that decoded it crashed \(SIGABRT\); the stream is damaged, or made to harm"),
        (b"segfault", r"crashed \(SIGSEGV\)"),
        (b"be killed", "was killed, by the system perhaps for want of memory"),
        (b"exit", "ended by itself with status 3"),
        (b"give too little", "the process that decodes answered with nonsense; the stream is damaged, or made"),
    ],
)
def test_a_stream_that_ends_its_decoder_is_an_error_and_the_next_is_decoded(
    what: bytes, message: str, bad: DecoderProcess, capfd: pytest.CaptureFixture[str]
) -> None:
    before = told(bad, b"process")
    with pytest.raises(CodecError, match=message):
        ask(bad, what)
    assert ask(bad, b"", b"").shape == (2, 2, 4)
    assert told(bad, b"process") != before
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("what", "message"), [(b"segfault", r"crashed \(SIGSEGV\)"), (b"give too little", "answered with nonsense")]
)
def test_a_stream_that_ends_its_receiver_is_an_error_and_the_next_is_received(
    what: bytes, message: str, bad: DecoderProcess
) -> None:
    is_lost = np.array([False, True])
    with pytest.raises(CodecError, match=f"the process that decode.*{message}"):
        bad.receive([what, b""], np.arange(2), is_lost, "x264", width=4, height=2)
    received = bad.receive([b"", b""], np.arange(2), is_lost, "x264", width=4, height=2)
    assert received.frames.shape == (2, 2, 4)
    assert received.is_concealed.tolist() == [False, True]


@needs_proc
@pytest.mark.parametrize(
    ("what", "message"),
    [
        (b"eat", "x264: decoding 1 frames of 4×2 takes more memory than a decoder may have; the stream is damaged"),
        (b"divide", r"x264: decoding failed: ZeroDivisionError\("),
    ],
)
def test_what_a_decoder_survives_costs_no_process(what: bytes, message: str, bad: DecoderProcess) -> None:
    before = told(bad, b"process")
    with pytest.raises(CodecError, match=message):
        ask(bad, what)
    assert told(bad, b"process") == before


@needs_proc
def test_native_code_is_held_to_the_memory_too() -> None:
    stream = encode(carphone_faces(), EncoderSettings(), 24, fps=25.0)
    with DecoderProcess(_memory_bytes=2**19) as process, pytest.raises(CodecError, match="than a decoder may have"):
        process.decode(stream.packets, "x264", width=96, height=96)


def test_a_stream_that_occupies_its_decoder_is_an_error_and_the_next_is_decoded() -> None:
    message = "x264: decoding 21 frames took longer than 5 s; the stream is damaged, or made to harm; encode it again"
    with DecoderProcess(_decode=misbehave, _seconds=4) as process:
        with pytest.raises(CodecError, match=message):
            ask(process, b"hang", *[b""] * 20)
        assert ask(process, b"").shape == (1, 2, 4)


def test_a_process_that_died_idle_is_no_fault_of_the_next_stream(bad: DecoderProcess) -> None:
    subprocess.run(["kill", "-9", told(bad, b"process")], check=True)
    time.sleep(0.2)
    assert ask(bad, b"").shape == (1, 2, 4)


def test_the_process_imports_little(bad: DecoderProcess) -> None:
    modules = set(told(bad, b"modules").split())
    assert {"av", "numpy", "codecsim.decode"} <= modules
    assert not modules & {"torch", "h5py", "matplotlib", "skvideo", "click", "pytest", "multiprocessing"}


def test_threads_take_turns(decoder: DecoderProcess) -> None:
    clips = [downscale(carphone_faces()[:9], scale) for scale in (2, 3, 4, 6)]
    streams = [encode(clip, EncoderSettings(), 0, fps=25.0) for clip in clips]
    found: list[bool] = []

    def work(index: int) -> None:
        clip, stream = clips[index], streams[index]
        for _ in range(5):
            got = decoder.decode(stream.packets, "x264", width=clip.shape[2], height=clip.shape[1])
            found.append(np.array_equal(got, clip))

    threads = [threading.Thread(target=work, args=(index,)) for index in range(len(clips))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 20


def test_closing_ends_what_another_thread_waits_for() -> None:
    process, errors = DecoderProcess(_decode=misbehave), []
    ask(process, b"")

    def work() -> None:
        try:
            ask(process, b"hang")
        except CodecError as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    time.sleep(0.2)
    begun = time.monotonic()
    process.close()
    thread.join()
    assert time.monotonic() - begun < 20
    assert len(errors) == 1
    with pytest.raises(CodecError, match="this decoder is closed; make another"):
        ask(process, b"")


def test_a_script_without_a_guard_runs_once(small_sweep: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(f"import codecsim\nprint('once', codecsim.verify({str(small_sweep)!r}))\n")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, env=environment(), check=True)
    assert (done.stdout, done.stderr) == ("once []\n", "")


# What the rooms make of it.


@pytest.fixture
def crashing(small_sweep: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let one stream of the small sweep crash its decoder; its name."""
    for room in ("codecsim.store.verify", "codecsim.extract"):
        monkeypatch.setattr(f"{room}.DecoderProcess", partial(DecoderProcess, _decode=crash_on_one))
    with Sweep(small_sweep) as sweep:
        monkeypatch.setenv(TROUBLE, str(sweep.column("stream_sha256")[5]))
        return sweep.name(5)


def test_verify_goes_on_after_a_stream_that_crashes(crashing: str, small_sweep: Path) -> None:
    (problem,) = verify(small_sweep)
    assert (problem.row, problem.stream) == (5, crashing)
    assert "crashed (SIGABRT)" in problem.what


def test_extract_names_the_stream_that_crashes(crashing: str, small_sweep: Path, tmp_path: Path) -> None:
    said = codecsim("extract", small_sweep, crashing, tmp_path / "a.y4m", exit_code=1)
    assert f"{small_sweep}: {crashing}: x264: the process that decoded it crashed (SIGABRT)" in refusal(said)
    assert not list(tmp_path.iterdir())
    with Sweep(small_sweep) as sweep:
        extract(sweep, 4, tmp_path / "a.y4m")
        frames = decode(sweep.packets(4), "x264", width=sweep.column("width")[4], height=sweep.column("height")[4])
    assert (tmp_path / "a.y4m").read_bytes().endswith(b"FRAME\n" + frames[-1].tobytes())


def test_a_stream_of_an_unknown_codec_is_an_error(small_sweep: Path, tmp_path: Path) -> None:
    forged = shutil.copy(small_sweep, tmp_path / "forged.h5")
    with h5py.File(forged, "r+") as file:
        file["streams/codec"][0] = b"h266"
    for suffix in ("y4m", "264"):
        said = codecsim("extract", forged, "0", tmp_path / f"a.{suffix}", exit_code=1)
        assert "codec 'h266' is not known here; there are: x264" in refusal(said)


# Streams cut at every byte, with bits flipped.

SIDE, N_FRAMES = 24, 8


@pytest.fixture(scope="module")
def stream() -> tuple[bytes, ...]:
    return encode(downscale(carphone_faces()[:N_FRAMES], 96 // SIDE), EncoderSettings(), 24, fps=25.0).packets


def assert_frames_or_error(decoder: DecoderProcess, packets: Sequence[bytes]) -> bool:
    """Whether there were frames; anything else than frames of the right shape or a CodecError fails."""
    try:
        frames = decoder.decode(packets, "x264", width=SIDE, height=SIDE)
    except CodecError:
        return False
    assert frames.shape == (len(packets), SIDE, SIDE)
    return True


def test_a_stream_cut_at_any_byte_gives_frames_or_an_error(stream: tuple[bytes, ...], decoder: DecoderProcess) -> None:
    ends = [0, *accumulate(map(len, stream))]
    whole = []
    for cut in range(ends[-1] + 1):
        packets = [packet[: max(cut - start, 0)] for packet, start in zip(stream, ends[:-1], strict=True)]
        if assert_frames_or_error(decoder, [packet for packet in packets if packet]):
            whole.append(cut)
        if assert_frames_or_error(decoder, packets):
            assert all(packets)
    assert ends[-1] in whole
    assert len(whole) < ends[-1] / 20


class DamagedSweep(Sweep):
    """A sweep whose streams come with some bits flipped."""

    bits: Sequence[int] = ()

    def packets(self, row: int) -> list[bytes]:
        packets = super().packets(row)
        data = np.frombuffer(b"".join(packets), np.uint8).copy()
        for bit in self.bits:
            data[bit // 8 % len(data)] ^= 1 << bit % 8
        ends = [0, *accumulate(map(len, packets))]
        return [data[start:stop].tobytes() for start, stop in pairwise(ends)]


@pytest.fixture(scope="module")
def damaged(small_sweep: Path) -> Iterator[DamagedSweep]:
    with DamagedSweep(small_sweep) as sweep:
        yield sweep


@settings(max_examples=300, deadline=None)
@given(row=st.integers(0, 7), bits=st.lists(st.integers(0, 8 * 4000), min_size=1, max_size=4, unique=True))
def test_flipped_bits_are_an_error_or_change_nothing(
    damaged: DamagedSweep, decoder: DecoderProcess, row: int, bits: list[int]
) -> None:
    damaged.bits = ()
    right = decode(damaged.packets(row), "x264", **size_of(damaged, row))
    damaged.bits = bits
    said = ""
    try:
        np.testing.assert_array_equal(stored_frames(damaged, row, decoder.decode), right)
    except (CodecError, StoreError) as error:
        said = str(error)
    assert not said or said.startswith(f"{damaged.path}: {damaged.name(row)}")


def size_of(sweep: Sweep, row: int) -> dict[str, int]:
    return {side: int(sweep.column(side)[row]) for side in ("width", "height")}
