"""`codecsim bench encode`: the encoder side against outside programs, as ratios taken in one interleaved run.

Absolute times on a shared machine mean little; a ratio of two commands that took turns means much more. The footage is
the built-in clip, played back and forth. What needs a program that is not installed says so and is left out.
"""

import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from codecsim.bitstream import units
from codecsim.codecs import EncoderSettings
from codecsim.corpus import HR_SIDE, Corpus, CorpusWriter
from codecsim.encode import encode
from codecsim.executors import run
from codecsim.grid import batches, expand
from codecsim.jobs import run_batch
from codecsim.scaling import downscale
from codecsim.simulator import sweep
from codecsim.sources.builtin import builtin_path
from codecsim.sources.footage import prepare
from codecsim.store import Sweep
from codecsim.store.records import SweepWriter, column_array
from codecsim.store.schema import PACKET_COLUMNS, STREAM_COLUMNS
from pipelines.bench.memory import CAN_WATCH, watched
from pipelines.bench.timing import interleaved, machine, seconds

Frames = npt.NDArray[np.uint8]

_QP = 24
_SCALES = (3, 4)
_QPS = tuple(range(18, 41))
_FPS = 25.0


def run_encode(*, rounds: int, only: tuple[str, ...] = ()) -> Iterator[str]:
    """Run the benchmarks of the encoder side (all, or those named in `only`) and yield a line of result each."""
    with tempfile.TemporaryDirectory(prefix="codecsim-bench-") as name:
        folder = Path(name)
        corpus = folder / "clip.h5"
        prepare("carphone", corpus)
        with Corpus(corpus) as opened:
            clip = opened.frames("carphone")
        yield f"machine: {machine()}"
        for title, benchmark in BENCHMARKS.items():
            if not only or title in only:
                yield f"{title}: {benchmark(clip, folder, rounds)}"


def _stream(clip: Frames, folder: Path, rounds: int) -> str:
    """One stream of 7500 frames at s = 3 against the x264 program, one thread each."""
    frames = downscale(_back_and_forth(clip, 7500), 3)
    raw = folder / "stream.raw"
    frames.tofile(raw)
    command = _x264_command(raw, folder / "stream.264", frames.shape[1])
    if command is None:
        return "left out: needs the x264 program"
    ours = partial(encode, frames, EncoderSettings(), _QP, fps=_FPS)
    ratio, own, other = interleaved(ours, partial(_call, command), rounds)
    return f"7500 frames of 32×32: {ratio:.2f} × the x264 program's time ({_us(own, 7500)} against {_us(other, 7500)})"


def _jobs(clip: Frames, folder: Path, rounds: int) -> str:
    """46 jobs on 100 frames against a loop of ffmpeg runs, two at a time, like against like."""
    if shutil.which("ffmpeg") is None:
        return "left out: needs the ffmpeg program"
    frames = clip[:100]
    raw, one, ten = folder / "jobs.raw", folder / "jobs.h5", folder / "jobs-10.h5"
    frames.tofile(raw)
    _write_corpus(one, {"clip": frames})
    _write_corpus(ten, {f"clip{index}": np.roll(frames, index, axis=1) for index in range(10)})

    whole = partial(sweep, one, out=folder / "jobs-sweep.h5", scales=_SCALES, qp=_QPS, workers=1, force=True)
    spread = partial(sweep, ten, out=folder / "jobs-10-sweep.h5", scales=_SCALES, qp=_QPS, workers=2, force=True)
    loop = partial(_ffmpeg_loop, raw, folder)
    points = [(scale, qp) for qp in _QPS for scale in _SCALES]
    alone_ratio, alone, other = interleaved(partial(_encode_alone, frames, points), loop, rounds)
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        halves = partial(pool.map, partial(_encode_alone, frames), (points[::2], points[1::2]))
        pair_ratio, pair, _ = interleaved(lambda: list(halves()), loop, rounds)
    measured_loop = partial(_ffmpeg_loop, raw, folder, measured=True)
    whole_ratio, full, measured = interleaved(whole, measured_loop, rounds)
    spread_ratio, ten_clips, _ = interleaved(spread, measured_loop, min(rounds, 3))
    return (
        f"46 jobs on 100 frames. Scaling and encoding, against ffmpeg runs two at a time ({other:.2f} s): "
        f"in two running processes {1 / pair_ratio:.1f} × as fast ({pair:.2f} s), "
        f"in one {1 / alone_ratio:.1f} × ({alone:.2f} s). "
        f"Whole jobs, also decoded, measured, counted and stored, against ffmpeg runs that also decode and measure "
        f"({measured:.2f} s): by two workers on ten clips, their start included, {10 / spread_ratio:.1f} × "
        f"({ten_clips / 10:.2f} s a clip), in one process {1 / whole_ratio:.1f} × ({full:.2f} s)"
    )


def _encode_alone(frames: Frames, points: list[tuple[int, int]]) -> None:
    lr = {scale: downscale(frames, scale) for scale in _SCALES}
    for scale, qp in points:
        encode(lr[scale], EncoderSettings(), qp, fps=_FPS)


def _workers(clip: Frames, folder: Path, rounds: int) -> str:
    """The same jobs with one and with two workers, the start of the processes included."""
    corpus = folder / "workers.h5"
    _write_corpus(corpus, {"clip": _back_and_forth(clip, 7500)})
    with Corpus(corpus) as opened:
        jobs = expand(opened.sequences(), [EncoderSettings()], _SCALES, range(20, 40, 2))

    def with_workers(number: int) -> None:
        parts = folder / f"workers-{number}"
        for _ in run(partial(run_batch, folder=parts), batches(jobs), workers=number):
            pass
        shutil.rmtree(parts)

    ratio, two, one = interleaved(partial(with_workers, 2), partial(with_workers, 1), min(rounds, 3))
    return (
        f"two are {1 / ratio:.2f} × as fast as one ({len(jobs)} jobs of 7500 frames, {two:.1f} s against {one:.1f} s)"
    )


def _slices(clip: Frames, folder: Path, rounds: int) -> str:
    """Whether the slices are those of the x264 program, bit for bit."""
    equal = total = 0
    for scale in _SCALES:
        frames = downscale(clip, scale)
        raw, coded = folder / "slices.raw", folder / "slices.264"
        frames.tofile(raw)
        command = _x264_command(raw, coded, frames.shape[1])
        if command is None:
            return "left out: needs the x264 program"
        _call(command)
        theirs = _slice_units([coded.read_bytes()])
        ours = _slice_units(list(encode(frames, EncoderSettings(), _QP, fps=_FPS).packets))
        equal += sum(one == other for one, other in zip(ours, theirs, strict=True))
        total += len(ours)
    return f"{equal} of {total} equal those of the x264 program, bit for bit"


def _memory(clip: Frames, folder: Path, rounds: int) -> str:
    """Peak memory of a sweep over 20 sequences of 7500 frames, all its processes together."""
    if not CAN_WATCH:
        return "left out: needs Linux's /proc"
    corpus = folder / "memory.h5"
    frames = _back_and_forth(clip, 7500)
    _write_corpus(corpus, {f"clip{index}": np.roll(frames, index, axis=1) for index in range(20)})
    command = [sys.executable, "-m", "pipelines.cli", "sweep", str(corpus), "--out", str(folder / "memory-sweep.h5")]
    status, memory = watched([*command, "--qp", "24", "--workers", "2", "--methods", "none", "--no-plot"])
    corpus.unlink()
    if status:
        return f"the sweep failed with status {status}"
    return (
        f"40 jobs of 7500 frames in 20 sequences, two workers: {memory.rss / 1e6:.0f} MB resident at most, "
        f"{memory.pss / 1e6:.0f} MB with shared pages counted once"
    )


def _query(clip: Frames, folder: Path, rounds: int) -> str:
    """Opening and querying a sweep of 100 000 streams."""
    path = folder / "query.h5"
    _write_large_sweep(path, 100_000)

    def query() -> None:
        with Sweep(path) as opened:
            chosen = (opened.column("scale") == 4) & (opened.column("qp_requested") == 30)
            assert opened.column("bpp_lr")[chosen].mean() > 0
            assert len(opened.packets(int(np.flatnonzero(chosen)[0]))) == 2

    taken = statistics.median(seconds(query) for _ in range(rounds))
    return f"100000 streams opened, filtered, and one stream read in {taken:.2f} s"


def _prepare(clip: Frames, folder: Path, rounds: int) -> str:
    """A five-minute recording of 1280×720: found, tracked, cropped."""
    video = folder / "prepare.mp4"
    _write_720p(video, 7500)
    taken = seconds(lambda: prepare(video, folder / "prepared.h5"))
    return f"five minutes of 1280×720 (7500 frames) in {taken:.0f} s"


BENCHMARKS: dict[str, Callable[[Frames, Path, int], str]] = {
    "stream": _stream,
    "jobs": _jobs,
    "workers": _workers,
    "slices": _slices,
    "memory": _memory,
    "query": _query,
    "prepare": _prepare,
}


def _us(seconds: float, n_frames: int) -> str:
    return f"{seconds / n_frames * 1e6:.0f} µs a frame"


def _call(command: list[str]) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _x264_command(raw: Path, coded: Path, side: int) -> list[str] | None:
    """The x264 program on raw gray frames; without ``--output-csp i400`` it would rescale them to 4:2:0 video range."""
    program = shutil.which("x264")
    if program is None:
        return None
    given = f"--demuxer raw --input-csp i400 --output-csp i400 --input-res {side}x{side} --fps {_FPS:g} --qp {_QP}"
    return [program, *given.split(), "--threads", "1", "-o", str(coded), str(raw)]


def _ffmpeg_loop(raw: Path, folder: Path, *, measured: bool = False) -> None:
    """46 ffmpeg runs, two at a time, that scale and encode, and if `measured` 46 that decode, enlarge and compare."""
    original = f"-f rawvideo -pix_fmt gray -s {HR_SIDE}x{HR_SIDE} -r {_FPS:g} -i {raw}".split()

    def job(point: tuple[int, int]) -> None:
        scale, qp = point
        side, coded = HR_SIDE // scale, folder / f"ffmpeg-{scale}-{qp}.264"
        coder = f"-vf scale={side}:{side}:flags=bicubic -pix_fmt gray -c:v libx264 -qp {qp} -threads 1 -f h264".split()
        _call(["ffmpeg", "-y", "-v", "error", *original, *coder, str(coded)])
        if measured:
            enlarged = f"[0:v]scale={HR_SIDE}:{HR_SIDE}:flags=bicubic,format=gray,split[a][b]"
            graph = f"{enlarged};[1:v]split[c][d];[a][c]psnr;[b][d]ssim"
            given = ["-r", f"{_FPS:g}", "-i", str(coded), *original, "-lavfi", graph, "-f", "null", "-"]
            _call(["ffmpeg", "-v", "error", *given])

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(job, [(scale, qp) for scale in _SCALES for qp in _QPS]))


def _slice_units(packets: list[bytes]) -> list[bytes]:
    """NAL units with slices, without their start codes."""
    return [
        packets[unit.packet][unit.offset : unit.offset + unit.n_bytes].lstrip(b"\0").removeprefix(b"\1")
        for unit in units(packets, "h264")
        if unit.slice_type
    ]


def _back_and_forth(clip: Frames, n_frames: int) -> Frames:
    period = 2 * (len(clip) - 1)
    return np.asarray(clip[np.abs(np.arange(n_frames) % period - (len(clip) - 1))])


def _write_corpus(path: Path, sequences: dict[str, Frames]) -> None:
    with CorpusWriter(path) as writer:
        for name, frames in sequences.items():
            with writer.sequence(name, fps=_FPS) as out:
                for index, frame in enumerate(frames):
                    out.append(frame, pts_seconds=index / _FPS)


def _write_large_sweep(path: Path, n_streams: int) -> None:
    """A made-up sweep: real columns and sizes, two packets of zeros a stream."""
    index = np.arange(n_streams)
    given: dict[str, Any] = {
        "key": [f"{number:064x}" for number in index],
        "sequence": [f"recording_{number // 276}" for number in index],
        "codec": ["x264"] * n_streams,
        "options": ["{}"] * n_streams,
        "mode": ["qp"] * n_streams,
        "scale": np.array([3, 4, 6, 8, 12, 16])[index // 23 % 6],
        "qp_requested": 18 + index % 23,
        "n_bytes": np.full(n_streams, 64),
        "offset": 64 * index,
        "first_packet": 2 * index,
        "n_packets": np.full(n_streams, 2),
        "bpp_lr": 1 / (1 + index % 23),
    }
    blank: dict[str, Any] = {"text": [""] * n_streams}
    zeros = np.zeros(n_streams)
    streams = {
        column.name: column_array(column, given.get(column.name, blank.get(column.dtype, zeros)))
        for column in STREAM_COLUMNS
    }
    packets = {
        column.name: column_array(column, [32 if column.name == "n_bytes" else b"I"] * 2 * n_streams)
        if column.name in ("n_bytes", "pict_type")
        else np.repeat(index, 2).astype(column.dtype)
        for column in PACKET_COLUMNS
    }
    with SweepWriter(path, {"grids": [], "versions": {}}) as writer:
        writer.streams(streams)
        writer.append(packets, np.zeros(64 * n_streams, np.uint8))


def _write_720p(path: Path, n_frames: int) -> None:
    """The built-in clip on a 1280×720 canvas, enlarged four times, back and forth."""
    with av.open(str(builtin_path("carphone"))) as source:
        pictures = [frame.reformat(704, 576, "yuv420p").to_ndarray() for frame in source.decode(video=0)]
    canvas = np.full((720 * 3 // 2, 1280), 128, np.uint8)
    canvas[:720] = 40
    with av.open(str(path), "w") as target:
        stream = target.add_stream("libx264", rate=25, options={"preset": "veryfast", "crf": "23"})
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 1280, 720, "yuv420p"
        for index in _back_and_forth(np.arange(len(pictures)).astype(np.uint8), n_frames).tolist():
            canvas[72:648, 288:992] = pictures[index][:576]
            target.mux(stream.encode(av.VideoFrame.from_ndarray(canvas, "yuv420p")))
        target.mux(stream.encode(None))
