"""Sweeps that made-up networks read: what they tell of every stream is known, so are the curves."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from codecsim.parts import parts_folder
from codecsim.store import Sweep
from codecsim.store.merge import merge
from codecsim.store.records import Records, Series, column_array, write_part, write_predictions
from codecsim.store.schema import PACKET_COLUMNS, STREAM_COLUMNS
from pipelines.curve import Curve
from pipelines.curves import curves
from pipelines.readings import NO_SEED, TRUTH, UNCODED

PEOPLE = ("ada", "ben", "cy")
QPS = (18, 24, 30, 36)
N, EVERY, FPS = 40, 2, 25.0
TRUTHS = {name: np.sin(np.arange(N) / 3 + k).astype(np.float32) for k, name in enumerate(PEOPLE)}
TARGET = np.concatenate([TRUTHS[name][::EVERY] for name in PEOPLE])
Floats = npt.NDArray[np.float32]


def row(name: str, s: int, qp: int) -> dict[str, Any]:
    """A stream whose bits depend on the person, the factor and the QP."""
    bits = 8 * (1000 * (PEOPLE.index(name) + 1) * 40 // qp // s)
    side = 96 // s
    return {column.name: "" if column.dtype == "text" else 0 for column in STREAM_COLUMNS} | {
        "key": f"{name}-{s}-{qp}",
        "sequence": name,
        "subject": name,
        "codec": "x264",
        "options": "{}",
        "mode": "qp",
        "scale": s,
        "qp_requested": qp,
        "crf_requested": np.nan,
        "bitrate_kbps_requested": np.nan,
        "n_frames": N,
        "width": side,
        "height": side,
        "coded_width": 32,
        "coded_height": 32,
        "fps": FPS,
        "bits_total": bits,
        "bpp_lr": bits / (N * side * side),
        "bpp_hr": bits / (N * 96 * 96),
        "rate_kbps": bits * FPS / N / 1000,
    }


def told(name: str, key: str, scale: int, values: Floats, **changes: Any) -> Series:
    given = {
        "method": "joint-3",
        "label": "valence",
        "seed": 0,
        "weights": "w",
        "precision": "fp32",
        "delay_seconds": 0.0,
        "every": EVERY,
    }
    return Series(name, key, scale, values=values.astype(np.float32), **given | changes)


def truth(name: str, values: Floats) -> Series:
    return told(name, UNCODED, 1, values, method=TRUTH, seed=NO_SEED, weights="", precision="", every=1)


def noisy(name: str, level: float, *, seed: int) -> Floats:
    """What a network tells: the truth, the worse the higher `level` is."""
    noise = np.random.default_rng([seed, PEOPLE.index(name)]).normal(0, 1, N // EVERY)
    return (TRUTHS[name][::EVERY] + level * noise).astype(np.float32)


def standard(*, seeds: Sequence[int] = (0,), method: str = "joint-3", **changes: Any) -> list[Series]:
    """Of every person: HR and LR frames that were never coded, and s = 3 at every QP, the worse the higher it is."""
    series = []
    for name in PEOPLE:
        for seed in seeds:
            known = {"seed": seed, "method": method} | changes
            series.append(told(name, UNCODED, 1, noisy(name, 0.1, seed=100 + seed), **known))
            series.append(told(name, UNCODED, 3, noisy(name, 0.2, seed=200 + seed), **known))
            for qp in QPS:
                values = noisy(name, 0.2 + 0.05 * (qp - 18), seed=qp + 1000 * seed)
                series.append(told(name, f"{name}-3-{qp}", 3, values, **known))
    return series


def write(path: Path, rows: list[dict[str, Any]], series: list[Series]) -> Path:
    write_part(
        parts_folder(path) / "a.h5",
        Records(
            streams={
                column.name: column_array(column, [each[column.name] for each in rows]) for column in STREAM_COLUMNS
            },
            packets={column.name: column_array(column, []) for column in PACKET_COLUMNS},
            bitstream=np.empty(0, np.uint8),
        ),
    )
    if series:
        write_predictions(parts_folder(path) / "b.h5", series)
    merge(path, parts_folder(path), {})
    return path


ROWS = [row(name, 3, qp) for name in PEOPLE for qp in QPS]
SAID = [truth(name, values) for name, values in TRUTHS.items()]


def made(path: Path, series: list[Series], rows: list[dict[str, Any]] = ROWS, **options: Any) -> list[Curve]:
    with Sweep(write(path, rows, series)) as sweep:
        return curves(sweep, **{"resamples": 300} | options)


def together(series: list[Series], key: str, scale: int) -> Floats:
    """What was told of all people's streams of a key, one after the other."""
    keys = {name: key.format(name) for name in PEOPLE}
    return np.concatenate([each.values for each in series if each.scale == scale and each.key == keys[each.sequence]])


def differing(method: str, *, seeds: Sequence[int] = (0,), shift: int = 50, **changes: Any) -> list[Series]:
    """As `standard`, of a method that tells something else."""
    return [
        replace(each, values=np.roll(each.values, 1) + np.float32(shift / 500))
        for each in standard(seeds=seeds, method=method, **changes)
    ]
