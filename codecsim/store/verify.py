"""Proof that a sweep file is what it says: every bit counted again, every stream decoded again."""

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np

from codecsim.bitstream import count_bits
from codecsim.codecs import CODECS, MODES
from codecsim.corpus import HR_SIDE
from codecsim.decode import Decode, decode
from codecsim.decoder_process import DecoderProcess
from codecsim.errors import CodecsimError
from codecsim.executors import WorkerDied, run
from codecsim.store.keys import is_of
from codecsim.store.sweep import Sweep, value_column

_ROWS_A_TASK = 32
_MOST_JOBS = 10**9
_START_CODES = {"h264": b"\0\0\0\1", "hevc": b"\0\0\0\1"}
"""What the first NAL unit of every access unit is preceded by: H.264 and H.265, B.1.2, zero_byte."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one stream, or with the file (row −1)."""

    row: int
    stream: str
    what: str


def verify(
    path: str | Path, *, workers: int = 1, progress: Callable[[str, int, int | None], None] | None = None
) -> list[Problem]:
    """Check every stream of a sweep: digest, ledger, packets, derived columns, what decoding gives; and look for gaps.

    A stream that crashes its decoder is a problem like others. One worker decodes in a process beside this one. Several
    are processes themselves: one that crashes is a problem of all the rows that it had in hand, and nothing limits the
    time and memory that it takes.

    Returns
    -------
    problems : empty where everything is as the file says

    Raises
    ------
    StoreError
        If the file cannot be opened as a sweep.
    """
    with Sweep(path) as sweep:
        n_streams = len(sweep)
        problems = _whole(sweep) + _incomplete(sweep)
    tasks = [range(start, min(start + _ROWS_A_TASK, n_streams)) for start in range(0, n_streams, _ROWS_A_TASK)]
    done = 0
    with DecoderProcess() as decoder:
        check = partial(_verify_rows, Path(path), decoder.decode if workers == 1 else decode)
        for rows, outcome in run(check, tasks, workers=workers):
            if isinstance(outcome, WorkerDied):
                problems.append(Problem(rows[0], f"rows {rows[0]} to {rows[-1]}", str(outcome)))
            else:
                problems += outcome
            done += len(rows)
            if progress:
                progress("verifying", done, n_streams)
    return sorted(problems, key=lambda problem: problem.row)


def _whole(sweep: Sweep) -> list[Problem]:
    """Whether streams and predictions lie end to end, and no job stands twice."""
    streams, predictions, problems = sweep.streams, sweep.predictions, []
    for table, start, length, what, total in (
        (streams, "offset", "n_bytes", "the streams do not lie end to end in /bitstream", sweep.n_bytes),
        (streams, "first_packet", "n_packets", "the streams do not lie end to end in /packets", sweep.n_packets),
        (predictions, "offset", "n_values", "the predictions do not lie end to end in /predicted", sweep.n_predicted),
    ):
        ends = np.concatenate([[0], np.cumsum(table[length], dtype=np.int64)])
        if not np.array_equal(ends[:-1], table[start]) or ends[-1] != total:
            problems.append(Problem(-1, "", what))
    if len(set(zip(streams["sequence"].tolist(), streams["key"].tolist(), strict=True))) != len(sweep):
        problems.append(Problem(-1, "", "a job stands twice"))
    return problems


def _incomplete(sweep: Sweep) -> list[Problem]:
    """Jobs that the file was asked for and does not hold."""
    streams, held = sweep.streams, set()
    for row in range(len(sweep)):
        if streams["mode"][row] not in MODES:
            continue
        known = (str(streams[name][row]) for name in ("sequence", "codec", "options", "mode"))
        value = float(streams[value_column(str(streams["mode"][row]))][row])
        held.add((*known, int(streams["scale"][row]), value))
    missing: dict[str, None] = {}
    try:
        for grid in sweep.grids:
            asked = grid["sequences"], grid["codecs"].items(), grid["scales"], grid["values"]
            if math.prod(map(len, asked)) > _MOST_JOBS:
                raise ValueError("a grid of more jobs than any file holds")
            for sequence, (codec, options), scale, value in product(*asked):
                if (sequence, codec, options, grid["mode"], scale, float(np.float32(value))) not in held:
                    missing[f"{sequence}/{codec}/s{scale}/{grid['mode']}{value:g}"] = None
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        return [Problem(-1, "", f"its attribute 'grids' is damaged ({error!r})")]
    return [Problem(-1, name, "was asked for and is not there") for name in missing]


def _verify_rows(path: Path, decode: Decode, rows: range) -> list[Problem]:
    problems = []
    with Sweep(path) as sweep:
        for row in rows:
            try:
                found = _differences(sweep, row, decode)
            except CodecsimError as error:
                found = [str(error)]
            problems += [Problem(row, sweep.name(row), what) for what in found]
    return problems


def _differences(sweep: Sweep, row: int, decode: Decode) -> list[str]:
    stored = {name: values[row] for name, values in sweep.streams.items()}
    if stored["codec"] not in CODECS:
        return [f"codec {str(stored['codec'])!r} is not known here"]
    if stored["mode"] not in MODES:
        return [f"mode {str(stored['mode'])!r} is not known here"]
    digests = sweep.digests.get(str(stored["sequence"]), set())
    forged = bool(digests) and not any(is_of(stored, digest) for digest in digests)
    found = ["its key is not that of what it claims to be"] if forged else []
    packets = sweep.packets(row)
    table = sweep.packet_table(row)
    standard = CODECS[stored["codec"]].standard
    ledger = count_bits(packets, standard)
    bits, n_frames = ledger.bits_total, len(packets)
    decoded = decode(packets, stored["codec"], width=ledger.width, height=ledger.height)
    counted = {
        **ledger.bits,
        "bits_total": bits,
        "n_bytes": bits // 8,
        "n_frames": n_frames,
        "scale": HR_SIDE // ledger.width,
        "width": ledger.width,
        "height": ledger.height,
        "coded_width": ledger.coded_width,
        "coded_height": ledger.coded_height,
        "bpp_lr": bits / (n_frames * ledger.width * ledger.height),
        "bpp_hr": bits / (n_frames * HR_SIDE * HR_SIDE),
        "rate_kbps": bits * stored["fps"] / n_frames / 1000,
        "qp_mean": np.float32(np.nanmean(ledger.qp)),
        "stream_sha256": hashlib.sha256(b"".join(packets)).hexdigest(),
        "decoded_sha256": hashlib.sha256(decoded.data).hexdigest(),
    }
    found += [
        f"{name} is {stored[name]} in the file and {value} counted again"
        for name, value in counted.items()
        if stored[name] != value
    ]
    if not all(packet.startswith(_START_CODES.get(standard, b"")) for packet in packets):
        found.append("its packets do not begin where its frames do")
    if table["pict_type"].astype(str).tolist() != ledger.pict_type:
        found.append("the types of its frames are not those in the bitstream")
    if not np.array_equal(table["qp"], ledger.qp.astype(np.float32), equal_nan=True):
        found.append("the QPs of its frames are not those in the bitstream")
    if not np.array_equal(np.sort(table["pts"]), np.arange(n_frames)):
        found.append("the times of its frames are not 0, 1, 2, …")
    if (table["stream"] != row).any():
        found.append("its packets are marked as another stream's")
    return found
