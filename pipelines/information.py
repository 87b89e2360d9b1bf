"""What a sweep or a corpus holds, in words."""

from pathlib import Path

from codecsim.corpus import Corpus, is_corpus
from codecsim.store import Sweep
from pipelines.console import size, table
from pipelines.tables import summary


def describe(path: Path) -> str:
    """A few lines and a table about a corpus or sweep file."""
    return _corpus(path) if is_corpus(path) else _sweep(path)


def _corpus(path: Path) -> str:
    with Corpus(path) as corpus:
        sequences = corpus.sequences()
    rows = [
        [
            each.name,
            each.subject or "–",
            each.split or "–",
            str(each.n_frames),
            f"{each.fps:.3f}",
            ", ".join(each.tasks) or "–",
            each.digest[:12],
            each.source,
        ]
        for each in sequences
    ]
    header = ["sequence", "subject", "split", "frames", "fps", "labels", "digest", "source"]
    n_frames = sum(each.n_frames for each in sequences)
    return (
        f"{path}: corpus, {len(sequences)} sequences, {n_frames} frames of 96×96, {size(path.stat().st_size)}\n\n"
        + table(header, rows)
    )


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
