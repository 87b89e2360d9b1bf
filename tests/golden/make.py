"""Make the golden files beside this script: ``python -m tests.golden.make``. Needs the x264 program (Debian's 0.164).

``x264_slices.json`` comes from the x264 program alone: the bytes and the digest of its slices on the same LR frames.
``ledger.json`` is what codecsim counted; a test fails when a bit of it moves. ``demo.json`` is that of the main
command: of every stream of the demo its bits, and the start of its SHA-256. All hold for the PyAV that constraints.txt
pins. ``demo_curves.json`` is what the networks that come with codecsim make of some of it, CC and CCC; arithmetic
differs between machines, so it holds to `CURVES_TOLERANCE`.
"""

import hashlib
import json
import re
import subprocess
import tempfile
from pathlib import Path

import av
import torch

from codecsim.bitstream import PURPOSES, count_bits, units
from codecsim.codecs import EncoderSettings, codec_of
from codecsim.encode import encode
from codecsim.scaling import downscale
from codecsim.simulator import DEFAULT_SCALES
from codecsim.simulator import sweep as run_sweep
from codecsim.store import Sweep
from pipelines.curve import REFERENCES
from pipelines.curves import curves
from pipelines.sweep import Readers
from pipelines.sweep import sweep as run_main_job
from tests.clips import carphone_faces

HERE = Path(__file__).parent
SCALES, QPS = (3, 4, 6, 16), (18, 24, 32, 40)
DEMO_QPS, DEMO_EVERY = (24, 36), 40
CURVES_TOLERANCE = 1e-3
CODECS = {"x264": (3, 4, 12), "x265": (3, 4), "svtav1": (3, 4, 12), "vp9": (3, 4, 12)}
COMMAND = (
    "x264 --demuxer raw --input-csp i400 --output-csp i400 --input-res {side}x{side} --fps 25 "
    "--qp {qp} --threads 1 -o {coded} {raw}"
)


def slice_bytes(packets: list[bytes]) -> list[bytes]:
    """NAL units that hold slices, without their start codes."""
    return [
        packets[unit.packet][unit.offset : unit.offset + unit.n_bytes].lstrip(b"\0").removeprefix(b"\1")
        for unit in units(packets, "h264")
        if unit.slice_type
    ]


def program_slices(scale: int, qp: int) -> list[bytes]:
    """Slices that the x264 program makes of the clip at one factor and QP."""
    frames = downscale(carphone_faces(), scale)
    with tempfile.TemporaryDirectory() as folder:
        raw, coded = Path(folder, "lr.raw"), Path(folder, "lr.264")
        frames.tofile(raw)
        command = COMMAND.format(side=frames.shape[1], qp=qp, coded=coded, raw=raw)
        subprocess.run(command.split(), check=True, capture_output=True)
        return slice_bytes([coded.read_bytes()])


def digest(slices: list[bytes]) -> dict[str, object]:
    """Number, bytes and SHA-256 of slices."""
    joined = b"".join(slices)
    return {"n_slices": len(slices), "n_bytes": len(joined), "sha256": hashlib.sha256(joined).hexdigest()}


def counted(codec: str, scale: int, qp: int) -> dict[str, object]:
    """What codecsim counts in one stream."""
    settings = EncoderSettings(codec=codec)
    stream = encode(downscale(carphone_faces(), scale), settings, qp, fps=25.0)
    ledger = count_bits(stream.packets, codec_of(settings).standard)
    sha256 = hashlib.sha256(b"".join(stream.packets)).hexdigest()
    return {purpose: ledger.bits[purpose] for purpose in PURPOSES} | {"sha256": sha256}


def demo_bits(sweep: Sweep) -> dict[str, list[object]]:
    """Of every stream of a sweep its bits in all, and the start of its SHA-256."""
    streams = sweep.streams
    return {
        sweep.name(row): [int(streams["bits_total"][row]), str(streams["stream_sha256"][row])[:16]]
        for row in range(len(sweep))
    }


def demo_curves(out: Path) -> dict[str, list[float]]:
    """CC and CCC of every curve of the demo at `DEMO_QPS` and uncoded, against labels and HR, as written to `out`."""
    readers = Readers(names=("all",), every=DEMO_EVERY, device="cpu")
    run_main_job("demo", out=out, scales=DEFAULT_SCALES, qp=DEMO_QPS, readers=readers)
    found: dict[str, list[float]] = {}
    with Sweep(out) as sweep:
        for curve in (each for reference in REFERENCES for each in curves(sweep, reference=reference, resamples=1)):
            name = f"{curve.method}/s{curve.s}/{curve.reference}"
            found[f"{name}/none"] = [round(curve.uncompressed[each].estimate, 6) for each in ("cc", "ccc")]
            for point in curve.points:
                values = [round(point.metrics[each].estimate, 6) for each in ("cc", "ccc")]
                found[f"{name}/qp{point.value:g}"] = values
    return found


def _demo_bits() -> dict[str, list[object]]:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "sweep.h5")
        run_sweep("demo", out=out)
        with Sweep(out) as sweep:
            return demo_bits(sweep)


def _demo_curves() -> dict[str, list[float]]:
    with tempfile.TemporaryDirectory() as folder:
        return demo_curves(Path(folder, "sweep.h5"))


def main() -> None:
    """Write all files."""
    version = subprocess.run(["x264", "--version"], check=True, capture_output=True, text=True).stdout.split("\n")[0]
    theirs = {f"s{scale}/qp{qp}": digest(program_slices(scale, qp)) for scale in SCALES for qp in QPS}
    _write("x264_slices.json", {"program": version, "command": COMMAND, "slices": theirs})
    ours = {f"{c}/s{s}/qp{qp}": counted(c, s, qp) for c, scales in CODECS.items() for s in scales for qp in QPS}
    versions = {"pyav": av.__version__, "ffmpeg": av.ffmpeg_version_info}
    _write("ledger.json", {**versions, "streams": ours})
    _write("demo.json", {**versions, "streams": _demo_bits()})
    _write("demo_curves.json", {"torch": torch.__version__, "curves": _demo_curves()})


def _write(name: str, content: dict[str, object]) -> None:
    text = re.sub(r"\[\s+(\S+),\s+(\S+)\s+\]", r"[\1, \2]", json.dumps(content, indent=1))  # a pair a line
    (HERE / name).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
