"""Pictures of corpora: a contact sheet, Figure 1 of Cheng et al. 2017, and labels beside the frames they belong to."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from codecsim.corpus import HR_SIDE, Corpus, Sequence
from codecsim.errors import UsageError
from codecsim.scaling import downscale, upscale
from pipelines.figures.style import STYLE, checked_target, picture, save

FACTORS = (1, 3, 4, 6, 8, 12, 16)
"""Those of Figure 1 of Cheng et al. 2017; 1 stands for the HR frame."""

_TILE_INCHES, _CAPTION_INCHES, _FOOT_INCHES = 0.495, 0.075, 0.14  # a pixel of a face is one of the picture
_FEW_COLUMNS = 8  # fewer than this are drawn larger
_MOST_SEQUENCES = 140
_PREFERRED_TASKS = ("valence", "valence_truth", "expression")
_TRACE_FRAMES = 10

Frames = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class _Tile:
    frame: Frames
    caption: str


def plot_sheet(
    corpus: str | Path, target: str | Path, *, task: str | None = None, sequences: Iterable[str] = ()
) -> list[Path]:
    """Draw a contact sheet: every sequence where its label is lowest and highest, or once where it is a class.

    A class is shown at the last frame, which in sequences to an apex is the apex. Where there are more sequences than
    fit, one of every subject is drawn, the first of the first, the second of the second, …, and the caption says so.

    Parameters
    ----------
    corpus : corpus file
    target : PNG to write; a PDF of the same name is put beside it
    task : label; default: valence, or expression, or the first there is
    sequences : draw these alone; default: all

    Returns
    -------
    paths : the PNG and the PDF

    Raises
    ------
    UsageError
        If there is no such task or sequence, or `target` does not end in .png.
    """
    target = checked_target(target)
    with Corpus(corpus) as opened, mpl.rc_context(STYLE):
        found = _chosen(opened, sequences)
        shown = _one_of_subjects(found) if len(found) > _MOST_SEQUENCES else found
        groups: dict[str, list[_Tile]] = {}
        n_drawn = 0
        for each in shown[:_MOST_SEQUENCES]:
            groups.setdefault(each.subject or each.name, []).extend(_tiles(opened, each, _task(each, task)))
            n_drawn += 1
        what = f"{n_drawn} of {len(found)} sequences" if n_drawn < len(found) else f"{n_drawn} sequences"
        figure = _mosaic(list(groups.values()), what)
    return save(figure, target)


def plot_figure1(
    corpus: str | Path,
    target: str | Path,
    *,
    task: str | None = None,
    sequences: Iterable[str] = (),
    frame: int | None = None,
) -> list[Path]:
    """Draw a face at every factor, enlarged again by bicubic interpolation, as a network sees it.

    Parameters
    ----------
    corpus, target, task : as for `plot_sheet`
    sequences : a row each; default: the first of split dev, or the first
    frame : which frame; default: where the label is highest

    Raises
    ------
    UsageError
        If there is no such task, sequence or frame, or `target` does not end in .png.

    Source
    ------
    Cheng et al. 2017, figure 1.
    """
    target = checked_target(target)
    with Corpus(corpus) as opened, mpl.rc_context(STYLE):
        shown = _chosen(opened, list(sequences) or [_typical(opened).name])
        rows = []
        for each in shown:
            if frame is not None and not 0 <= frame < each.n_frames:
                raise UsageError(
                    f"{corpus}: {each.name} has frames 0 to {each.n_frames - 1}, and {frame} was asked for"
                )
            number = _extremes(opened, each, _task(each, task))[-1] if frame is None else frame
            hr = opened.frames(each.name, number, number + 1)
            rows.append([hr[0] if s == 1 else upscale(downscale(hr, s))[0] for s in FACTORS])
        figure = Figure(figsize=(1.15 * len(FACTORS), 1.2 * len(rows) + 0.35), layout="constrained")
        axes = figure.subplots(len(rows), len(FACTORS), squeeze=False)
        for row, faces in enumerate(rows):
            for column, (s, face) in enumerate(zip(FACTORS, faces, strict=True)):
                picture(axes[row, column], face)
                if row == 0:
                    side = HR_SIDE // s
                    axes[row, column].set_title(("HR" if s == 1 else f"s = {s}") + f"\n{side}×{side}", fontsize=8)
    return save(figure, target)


def plot_trace(
    corpus: str | Path, target: str | Path, *, task: str | None = None, sequences: Iterable[str] = ()
) -> list[Path]:
    """Draw labels over time beneath the frames that they belong to; raters and the noiseless truth where known.

    Parameters
    ----------
    corpus, target, task : as for `plot_sheet`
    sequences : one below the other; default: the first of split dev, or the first

    Raises
    ------
    UsageError
        If there is no such task or sequence, it is a class, or `target` does not end in .png.
    """
    target = checked_target(target)
    with Corpus(corpus) as opened, mpl.rc_context(STYLE):
        shown = _chosen(opened, list(sequences) or [_typical(opened).name])
        figure = Figure(figsize=(9.2, 2.9 * len(shown)), layout="constrained")
        parts = figure.subfigures(len(shown), 1, squeeze=False, hspace=0.03)
        for each, part in zip(shown, parts[:, 0], strict=True):
            _trace(part, opened, each, _task(each, task))
    return save(figure, target)


def _trace(part: Any, opened: Corpus, each: Sequence, task: str | None) -> None:
    if task is None or opened.labels(each.name, task).dtype.kind != "f":
        raise UsageError(f"{opened.path}: {each.name} has no label over time; it has {', '.join(each.tasks) or 'none'}")
    seconds = opened.pts_seconds(each.name)
    numbers = np.unique(np.linspace(0, each.n_frames - 1, _TRACE_FRAMES).round().astype(int))
    above, below = part.subplots(2, 1, height_ratios=[1, 1.6])
    strip = np.concatenate([opened.frames(each.name, number, number + 1)[0] for number in numbers], axis=1)
    picture(above, strip)
    above.set_title(f"{each.name}, frames at the marked times", loc="left")
    series = f"raters_{task}"
    if series in opened.series_names(each.name):
        raters, _ = opened.series(each.name, series)
        lines = below.plot(seconds, raters, color="0.75", linewidth=0.7)
        lines[0].set_label("raters")
    for name, colour, width, label in (
        (f"{task}_truth", "#D55E00", 1.1, "truth"),
        (task, "#0072B2", 1.6, "gold standard" if series in opened.series_names(each.name) else task),
    ):
        if name in each.tasks:
            below.plot(seconds, opened.labels(each.name, name), color=colour, linewidth=width, label=label)
    for number in numbers:
        below.axvline(seconds[number], color="0.6", linewidth=0.7, linestyle=":")
    below.set_xlim(seconds[0], seconds[-1] if len(seconds) > 1 else seconds[0] + 1)
    below.set_ylim(-1.05, 1.05)
    below.set_xlabel("time (s)")
    below.set_ylabel(task)
    below.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3, borderaxespad=0.1)


def _chosen(opened: Corpus, names: Iterable[str]) -> list[Sequence]:
    wanted = list(names)
    found = [opened.sequence(name) for name in wanted] if wanted else opened.sequences()
    if not found:
        raise UsageError(f"{opened.path} holds no sequence: there is nothing to draw")
    return found


def _typical(opened: Corpus) -> Sequence:
    found = _chosen(opened, ())
    return next((each for each in found if each.split == "dev"), found[0])


def _one_of_subjects(found: list[Sequence]) -> list[Sequence]:
    by_subject: dict[str, list[Sequence]] = {}
    for each in found:
        by_subject.setdefault(each.subject or each.name, []).append(each)
    return [held[number % len(held)] for number, held in enumerate(by_subject.values())]


def _task(each: Sequence, task: str | None) -> str | None:
    """The label that is asked for, or the one that says most; None where there is none."""
    if task is not None and task not in each.tasks:
        raise UsageError(f"{each.corpus}: {each.name} has no label {task!r}; it has {', '.join(each.tasks) or 'none'}")
    return task or next((name for name in (*_PREFERRED_TASKS, *each.tasks) if name in each.tasks), None)


def _extremes(opened: Corpus, each: Sequence, task: str | None) -> tuple[int, ...]:
    """Frames where a label is lowest and highest; one frame where it is a class, is not known, or stays the same."""
    if task is None:
        return (each.n_frames // 2,)
    labels = opened.labels(each.name, task)
    if labels.dtype.kind != "f":
        return (each.n_frames - 1,)
    known = np.flatnonzero(np.isfinite(labels))
    if not len(known):
        return (each.n_frames // 2,)
    lowest, highest = (int(known[pick(labels[known])]) for pick in (np.argmin, np.argmax))
    return (lowest, highest) if lowest != highest else (lowest,)


def _tiles(opened: Corpus, each: Sequence, task: str | None) -> list[_Tile]:
    tiles = []
    for number in _extremes(opened, each, task):
        caption = each.name
        if task is not None:
            value, classes = opened.labels(each.name, task)[number], opened.classes(each.name, task)
            caption += f" {classes[int(value)]}" if classes else f" {value:+.2f}"
        tiles.append(_Tile(opened.frames(each.name, number, number + 1)[0], caption))
    return tiles


def _mosaic(groups: list[list[_Tile]], what: str) -> Figure:
    """Tiles in rows, those of one subject side by side."""
    tiles = [tile for group in groups for tile in group]
    step = max(map(len, groups)) if len({len(group) for group in groups}) == 1 else 1
    columns = min(len(tiles), step * max(1, round((1.45 * len(tiles)) ** 0.5 / step)))
    rows = -(-len(tiles) // columns)
    zoom = max(1.0, min(2.5, _FEW_COLUMNS / columns))
    tile_inches, caption_inches, foot_inches = zoom * _TILE_INCHES, zoom * _CAPTION_INCHES, zoom * _FOOT_INCHES
    width, height = columns * tile_inches, rows * (tile_inches + caption_inches) + foot_inches
    figure = Figure(figsize=(width, height))
    for number, tile in enumerate(tiles):
        row, column = divmod(number, columns)
        below = height - (row + 1) * (tile_inches + caption_inches)
        place = (column * tile_inches / width, below / height, 0.97 / columns, 0.97 * tile_inches / height)
        axis = figure.add_axes(place)
        picture(axis, tile.frame)
        axis.set_title(tile.caption, fontsize=3 * zoom, pad=zoom)
    figure.text(0.5, 0.3 * foot_inches / height, what, fontsize=4.5 * zoom, color="0.35", ha="center")
    return figure
