"""How a network was trained: the loss and the held-out fold, step by step."""

import csv
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from codecsim.errors import StoreError
from pipelines.figures.style import STYLE, checked_target, save


def plot_history(log: str | Path, target: str | Path, *, title: str) -> list[Path]:
    """Draw the log of a training; returns the PNG and the PDF.

    Raises
    ------
    StoreError
        If the log is missing or is none.
    """
    target = checked_target(target)
    try:
        with Path(log).open(newline="", encoding="utf-8") as file:
            rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
        steps, losses, scores, rates = (
            [row[name] for row in rows] for name in ("step", "loss", "score", "learning_rate")
        )
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise StoreError(f"{log}: not a log of a training ({error})") from error
    is_sr = bool(rows) and "psnr_db" in rows[0]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.4, 2.6), layout="constrained")
        left, right = figure.subplots(1, 2)
        left.plot(steps, losses, color="C0", marker=".")
        left.set(xlabel="step", ylabel="loss (train)", title=title)
        right.plot(steps, scores, color="C1", marker=".")
        right.set(
            xlabel="step", ylabel="PSNR over bicubic (dB, fold)" if is_sr else "CCC (fold)", title="held-out fold"
        )
        for axes in (left, right):
            for step, before, after in zip(steps, rates, rates[1:], strict=False):
                if after < before:
                    axes.axvline(step, color="0.6", linewidth=0.8, linestyle=":")
                    axes.annotate(
                        "rates ÷ 10",
                        (step, 1),
                        xycoords=("data", "axes fraction"),
                        xytext=(2, -2),
                        textcoords="offset points",
                        va="top",
                        fontsize=7,
                        color="0.4",
                    )
    return save(figure, target)
