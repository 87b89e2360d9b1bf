"""Running jobs: frames → LR → stream → ledger, decoded frames and quality → one row of a sweep."""

import hashlib
import time
from collections.abc import Sequence as Ordered
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from codecsim.bitstream import Ledger, count_bits
from codecsim.codecs import codec_of
from codecsim.corpus import HR_SIDE, Corpus
from codecsim.decode import decode
from codecsim.encode import Stream, encode, encoder_version
from codecsim.errors import BitstreamError, CodecError, StoreError
from codecsim.grid import Job
from codecsim.quality import stream_quality
from codecsim.scaling import downscale
from codecsim.store.records import Records, column_array, write_part
from codecsim.store.schema import PACKET_COLUMNS, STREAM_COLUMNS
from codecsim.store.sweep import value_column

Frames = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What became of a batch: the part that holds what is finished, if anything is, and why the rest is not."""

    part: Path | None
    failures: tuple[tuple[str, str], ...]


def run_batch(jobs: Ordered[Job], folder: Path) -> BatchResult:
    """Run jobs of one sequence and factor and leave what they made as a part in `folder`.

    A job that fails is reported and does not hinder the others; nothing of it is stored.

    Raises
    ------
    StoreError
        If the corpus cannot be read or the part cannot be written.
    """
    results, failures = [], []
    for job in jobs:
        try:
            results.append(run_job(job))
        except (CodecError, BitstreamError) as error:
            failures.append((str(job), str(error)))
    part = None
    if results:
        identity = hashlib.sha256("".join(f"{name}/{key};" for name, key in (job.identity for job in jobs)).encode())
        part = folder / f"{identity.hexdigest()[:32]}.h5"
        write_part(part, collect(results))
    return BatchResult(part, tuple(failures))


@dataclass(frozen=True, slots=True)
class Result:
    """A finished job: its stream, counted and decoded again, as one row of a sweep."""

    row: dict[str, Any]
    stream: Stream
    ledger: Ledger


def run_job(job: Job) -> Result:
    """Encode one job, count its bits, decode it again and measure its quality.

    Raises
    ------
    CodecError
        If encoding or decoding fails, or another number of frames comes out.
    BitstreamError
        If the bits do not add up.
    """
    sequence, settings = job.sequence, job.settings
    hr = hr_frames(sequence.corpus, sequence.name, sequence.digest)
    lr = _lr_frames(sequence.corpus, sequence.name, sequence.digest, job.scale)
    started = time.perf_counter()
    stream = encode(lr, settings, job.value, fps=sequence.fps)
    encode_seconds = time.perf_counter() - started
    ledger = count_bits(stream.packets, codec_of(settings).standard)
    if (ledger.bits_total, ledger.width, ledger.height) != (8 * stream.n_bytes, stream.width, stream.height):
        raise BitstreamError(
            f"{job}: the ledger has {ledger.bits_total} bits of {ledger.width}×{ledger.height} frames, the stream "
            f"{8 * stream.n_bytes} of {stream.width}×{stream.height}"
        )
    decoded = decode(stream.packets, settings.codec, width=stream.width, height=stream.height)
    quality = stream_quality(hr, lr, decoded)
    bits, n_frames = ledger.bits_total, len(lr)
    row = {
        "key": job.key,
        "sequence": sequence.name,
        "subject": sequence.subject,
        "split": sequence.split,
        "codec": settings.codec,
        "encoder": encoder_version(settings.codec),
        "options": settings.to_json(),
        "mode": settings.mode,
        "scale": job.scale,
        "qp_requested": np.nan,
        "crf_requested": np.nan,
        "bitrate_kbps_requested": np.nan,
        "qp_mean": float(np.nanmean(ledger.qp)),
        "n_frames": n_frames,
        "width": stream.width,
        "height": stream.height,
        "coded_width": ledger.coded_width,
        "coded_height": ledger.coded_height,
        "fps": sequence.fps,
        "n_bytes": stream.n_bytes,
        "n_packets": len(stream.packets),
        **ledger.bits,
        "bits_total": bits,
        "bpp_lr": bits / (n_frames * stream.width * stream.height),
        "bpp_hr": bits / (n_frames * HR_SIDE * HR_SIDE),
        "rate_kbps": bits * sequence.fps / n_frames / 1000,
        "psnr_lr_db": quality.psnr_lr_db,
        "ssim_lr": quality.ssim_lr,
        "psnr_hr_db": quality.psnr_hr_db,
        "ssim_hr": quality.ssim_hr,
        "strred": np.nan,
        "encode_seconds": encode_seconds,
        "stream_sha256": hashlib.sha256(b"".join(stream.packets)).hexdigest(),
        "decoded_sha256": hashlib.sha256(decoded.data).hexdigest(),
    }
    row[value_column(settings.mode)] = job.value
    return Result(row, stream, ledger)


def collect(results: Ordered[Result]) -> Records:
    """Results as rows, packets and bytes, end to end."""
    rows: list[dict[str, Any]] = []
    packets: dict[str, list[object]] = {column.name: [] for column in PACKET_COLUMNS}
    for index, result in enumerate(results):
        stream = result.stream
        rows.append(
            result.row
            | {
                "offset": sum(row["n_bytes"] for row in rows),
                "first_packet": sum(row["n_packets"] for row in rows),
            }
        )
        packets["stream"] += [index] * len(stream.packets)
        packets["pts"] += stream.pts.tolist()
        packets["dts"] += stream.dts.tolist()
        packets["n_bytes"] += map(len, stream.packets)
        packets["pict_type"] += [kind.encode() for kind in result.ledger.pict_type]
        packets["key"] += stream.key.tolist()
        packets["qp"] += result.ledger.qp.tolist()
    return Records(
        streams={column.name: column_array(column, [row[column.name] for row in rows]) for column in STREAM_COLUMNS},
        packets={column.name: column_array(column, packets[column.name]) for column in PACKET_COLUMNS},
        bitstream=np.frombuffer(b"".join(b"".join(result.stream.packets) for result in results), np.uint8),
    )


def hr_frames(corpus: Path, name: str, digest: str) -> Frames:
    """HR frames of a sequence, after their digest was checked; the last sequence asked for stays in memory."""
    asked = corpus, name, digest
    if asked not in _hr:
        _hr.clear()  # first, so that two long sequences are never in memory together
        _hr[asked] = read_frames(corpus, name, digest)
    return _hr[asked]


def keep_frames(corpus: Path, name: str, digest: str, frames: Frames) -> None:
    """Let `hr_frames` give these for a sequence: they came from somewhere else than its corpus."""
    _hr.clear()
    _hr[corpus, name, digest] = frames


def read_frames(corpus: Path, name: str, digest: str) -> Frames:
    """HR frames of a sequence, after their digest was checked.

    Raises
    ------
    StoreError
        If they are not those that the corpus says, or cannot be read.
    """
    with Corpus(corpus) as opened:
        frames = opened.frames(name)
    found = hashlib.sha256(np.ascontiguousarray(frames).data).hexdigest()
    if found != digest:
        raise StoreError(
            f"{corpus}: the frames of {name!r} have digest {found[:12]}…, not {digest[:12]}…; make it again"
        )
    return frames


_hr: dict[tuple[Path, str, str], Frames] = {}


@lru_cache(maxsize=1)
def _lr_frames(corpus: Path, name: str, digest: str, scale: int) -> Frames:
    return downscale(hr_frames(corpus, name, digest), scale)
