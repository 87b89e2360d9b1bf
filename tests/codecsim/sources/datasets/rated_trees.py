"""Small trees of rated recordings in the layouts of AVEC 2016 and RECOLA, with the oddities of the real files."""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from tests.codecsim.sources.footage import Pixels, carphone_rgb, write_video

RATERS = ("FM1", "FM2", "FM3", "FF1", "FF2", "FF3")
N_LABELS = 7501

Value = Callable[[int], float]
"""Label of row n."""


def write_gold(path: Path, value: Value, *, n_rows: int = N_LABELS) -> Path:
    """A gold standard as AVEC gives it: ARFF with CRLF and empty lines, a label each 0.04 s from 0."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [
        "@relation GOLDSTANDARD_VALENCE",
        "",
        "@attribute Instance_name string",
        "@attribute frameTime numeric",
        "@attribute GoldStandard numeric",
        "",
        "@data",
        "",
        *(f"{path.stem},{n * 0.04:.2f},{value(n):.6f}" for n in range(n_rows)),
    ]
    path.write_bytes("\r\n".join([*lines, ""]).encode())
    return path


def write_raters(path: Path, value: Callable[[int, int], float], *, n_rows: int = N_LABELS) -> Path:
    """Traces of six raters: ``;``, CRLF, blanks after all names but the last."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = (";".join([f"{n * 0.04:.2f}", *(f"{value(n, k):.3f}" for k in range(6))]) for n in range(n_rows))
    path.write_bytes("\r\n".join([f"time;{' ;'.join(RATERS)}", *rows, ""]).encode())
    return path


def write_times(path: Path, seconds: Iterable[float]) -> Path:
    """Times of frames as AVEC gives them: number and time after a header."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("frame;time\n" + "".join(f"{n};{each:.2f}\n" for n, each in enumerate(seconds, 1)))
    return path


def write_boxes(path: Path, boxes: dict[float, tuple[float, float, float, float]]) -> Path:
    """A boxes file of ours: time → x, y, w, h."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = "".join(f"{seconds:.2f},{x},{y},{w},{h}\n" for seconds, (x, y, w, h) in boxes.items())
    path.write_text(f"time,x,y,w,h\n{rows}")
    return path


def write_recording(path: Path, frames: Pixels | None = None) -> Path:
    """A talking face at 25 fps: uint8 (n, H, W, 3), or the first 30 frames of the clip."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_video(path, carphone_rgb()[:30] if frames is None else frames)


def ramp(slope: float) -> Value:
    """Labels that rise from row to row, so that each tells its row."""
    return lambda n: slope * n


def label_rows(values: np.ndarray, slope: float) -> list[int]:
    """Rows that labels of a `ramp` come from."""
    return np.rint(values.astype(float) / slope).astype(int).tolist()
