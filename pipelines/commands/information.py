"""What a sweep or a corpus holds, in words."""

from collections import Counter
from pathlib import Path

import numpy as np
import numpy.typing as npt

from codecsim.corpus import Corpus, Sequence, corpus_digest, is_corpus
from codecsim.store import Sweep
from pipelines.console import size, table
from pipelines.tables import summary

_SHOWN_SEQUENCES = 40


def describe(path: Path, *, every_sequence: bool = False) -> str:
    """A few lines and tables about a corpus or sweep file; of a corpus' sequences the first 40, or every one."""
    return _corpus(path, every_sequence) if is_corpus(path) else _sweep(path)


def _corpus(path: Path, every_sequence: bool) -> str:
    with Corpus(path) as corpus:
        sequences = corpus.sequences()
        labels = _labels(corpus, sequences)
        series = Counter(name for each in sequences for name in corpus.series_names(each.name))
    n_frames = sum(each.n_frames for each in sequences)
    parts = [
        f"{path}: corpus, {len(sequences)} sequences, {n_frames} frames of 96×96, {size(path.stat().st_size)}\n"
        f"digest {corpus_digest(sequences)}",
        table(["split", "sequences", "subjects", "frames", "minutes", "fps"], _splits(sequences)),
    ]
    if labels:
        parts.append(table(["label", "sequences", "frames", "values"], labels))
    if series:
        parts.append("also known of each frame: " + ", ".join(sorted(series)))
    shown = sequences if every_sequence else sequences[:_SHOWN_SEQUENCES]
    header = ["sequence", "subject", "split", "frames", "fps", "labels", "digest", "source"]
    parts.append(table(header, [_row(each) for each in shown]))
    if len(shown) < len(sequences):
        parts.append(f"… and {len(sequences) - len(shown)} more sequences; --all lists them")
    return "\n\n".join(parts)


def _row(each: Sequence) -> list[str]:
    return [
        each.name,
        each.subject or "–",
        each.split or "–",
        str(each.n_frames),
        f"{each.fps:.3f}",
        ", ".join(each.tasks) or "–",
        each.digest[:12],
        each.source,
    ]


def _splits(sequences: list[Sequence]) -> list[list[str]]:
    """A row a split, in order of appearance."""
    rows = []
    for split in dict.fromkeys(each.split for each in sequences):
        found = [each for each in sequences if each.split == split]
        rates = sorted({each.fps for each in found})
        rows.append(
            [
                split or "–",
                str(len(found)),
                str(len({each.subject for each in found} - {""}) or "–"),
                str(sum(each.n_frames for each in found)),
                f"{sum(each.n_frames / each.fps for each in found) / 60:.1f}",
                f"{rates[0]:.3f}" if len(rates) == 1 else f"{rates[0]:.3f}–{rates[-1]:.3f}",
            ]
        )
    return rows


def _labels(corpus: Corpus, sequences: list[Sequence]) -> list[list[str]]:
    """A row a task: how much is labelled, and with what."""
    rows = []
    for task in dict.fromkeys(task for each in sequences for task in each.tasks):
        held = [each for each in sequences if task in each.tasks]
        values = np.concatenate([np.asarray(corpus.labels(each.name, task), np.float64) for each in held])
        known = values[np.isfinite(values)]
        classes = {corpus.classes(each.name, task) for each in held}
        rows.append([task, str(len(held)), str(len(known)), _values(known, classes.pop() if len(classes) == 1 else ())])
    return rows


def _values(known: npt.NDArray[np.float64], classes: tuple[str, ...]) -> str:
    if not len(known):
        return "none"
    if classes:
        counts = np.bincount(known.astype(int), minlength=len(classes))
        return ", ".join(f"{name} {count}" for name, count in zip(classes, counts, strict=True))
    return f"{known.min():.2f} to {known.max():.2f}, mean {known.mean():.2f}, deviation {known.std():.2f}"


def _sweep(path: Path) -> str:
    with Sweep(path) as sweep:
        sequences = sorted(set(sweep.column("sequence").tolist()))
        shown = ", ".join(sequences[:6]) + (", …" if len(sequences) > 6 else "")
        lines = [
            f"{path}: sweep, {len(sweep)} streams of {len(sequences)} sequences ({shown}), "
            f"{sweep.n_packets} frames, {size(sweep.n_bytes)} of elementary streams in {size(path.stat().st_size)}",
            "",
            table(*summary(sweep)),
            "",
            "made with " + ", ".join(f"{name} {version}" for name, version in sorted(sweep.versions.items())),
        ]
    return "\n".join(lines)
