"""Table 1 of Cheng et al. 2017: RMSE, CC and CCC of every method at every factor, and what each step of a method gains.

Means are over seeds, ± half of their 95 % interval (Student's t): how much training at random matters; of one seed the
interval is over subjects. Intervals of differences draw subjects and seeds anew: how much the people matter, too.
"""

import csv
import io
import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from pipelines.comparison import Cell, Comparison, Floats
from pipelines.console import table
from pipelines.curve import MEASURE_NAMES
from pipelines.published import MEASURES as PUBLISHED
from pipelines.published import table1
from recognition.intervals import Difference, Interval, Replicates, replicates
from recognition.metrics import score
from recognition.models import origin

CEILING = "hr"


_ORDER = ("lr", "non-joint", "non-joint-image", "joint", "joint-oa", "mix", "max-only")
_PAIRS = (
    ("joint", "lr"),
    ("joint", "non-joint"),
    ("joint-oa", "joint"),
    ("joint-oa", "mix"),
    ("joint-oa", "max-only"),
    ("mix", "lr"),
    ("max-only", "joint"),
)
"""What the paper claims (joint over LR and non-joint, OA over dedicated), and what its controls take apart."""


_SEEDS_TOLD = "Means over seeds ± half of their 95 % interval (Student's t)"
_SUBJECTS_TOLD = "One seed; 95 % intervals over subjects in brackets"
"""What stands beside a number in the table."""

_GAINS = ["s", "a − b", "CCC", "95 % interval", "a better in", "within subjects", "95 % interval", "a better in"]


@dataclass(frozen=True)
class Entry:
    """One measure of one method at one factor.

    Attributes
    ----------
    mean, half_width : over seeds; NaN for the second with a single seed
    interval : over subjects and seeds, percentile bootstrap
    per_recording, within : the same measure averaged over recordings, and with each subject's mean removed; NaN for
        one that is so already
    published : of the paper, on AVEC 2016; None where it has none
    """

    mean: float
    half_width: float
    interval: Interval
    per_recording: float
    within: float
    published: float | None


@dataclass(frozen=True)
class Column:
    """A method at a factor."""

    label: str
    s: int
    family: str
    name: str
    entries: dict[str, Entry]


@dataclass(frozen=True)
class Gain:
    """What one method gains on another at a factor."""

    label: str
    s: int
    a: str
    b: str
    differences: dict[str, Difference]


@dataclass(frozen=True)
class Summary:
    """All that the table says."""

    comparison: Comparison
    scales: tuple[int, ...]
    columns: tuple[Column, ...]
    gains: tuple[Gain, ...]

    def block(self, label: str, s: int) -> list[Column]:
        """The columns at a factor, the ceiling first."""
        return [each for each in self.columns if each.label == label and (each.s == s or each.family == CEILING)]

    def best(self, label: str, s: int, measure: str) -> Column | None:
        """The best method at a factor by its mean, the ceiling excepted."""
        rivals = [each for each in self.block(label, s) if each.family != CEILING]
        rivals = [each for each in rivals if math.isfinite(each.entries[measure].mean)]
        sign = -1 if measure == "rmse" else 1
        return max(rivals, key=lambda each: sign * each.entries[measure].mean, default=None)


def summarise(comparison: Comparison, scales: Sequence[int]) -> Summary:
    """Measure every method, and every pair of methods that makes a claim."""
    columns, gains = [], []
    cells = sorted(comparison.cells, key=lambda each: (each.s, _rank(each.family)))
    for k, label in enumerate(comparison.truth.labels):
        made = {(each.family, each.s): _replicates(comparison, each, k) for each in cells}
        columns += [_column(comparison, each, k, label, made[each.family, each.s]) for each in cells]
        for s in scales:
            for a, b in _PAIRS:
                first, second = comparison.cell(a, s), comparison.cell(b, s)
                if first and second:
                    gains.append(Gain(label, s, first.name, second.name, made[a, s].less(made[b, s])))
    return Summary(comparison, tuple(scales), tuple(columns), tuple(gains))


def as_text(summary: Summary) -> str:
    """The table as one reads it in a terminal: a block a factor; * marks the best method, HR apart."""
    parts = []
    for label in summary.comparison.truth.labels:
        for s in summary.scales:
            block = summary.block(label, s)
            rows = [
                [title, *(_shown(summary, each, measure, s, "{}*") for each in block)]
                for measure, title in MEASURE_NAMES.items()
            ]
            rows += _published_rows(block)
            parts.append(f"{label}, s = {s}\n" + table(["", *(each.name for each in block)], rows))
        parts.append(_gains_text(summary, label))
    return "\n\n".join(part for part in parts if part) + "\n"


def as_markdown(summary: Summary, arguments: Sequence[str]) -> str:
    """The table with the command, the versions and the people that it is of."""
    compared = summary.comparison
    truth = compared.truth
    chains = [line for cell in compared.cells for line in cell.chains]
    n_people = len(set(truth.subjects.tolist()))
    lines = [
        "# Table 1: super-resolution and recognition, methods compared",
        "",
        f"    codecsim {shlex.join(arguments)}",
        "",
        f"Corpus {truth.corpus[:16]}…; {n_people} people, {len(truth.targets)} frames tested "
        f"(one in {truth.every}); {_training(compared.cells)}; "
        f"seeds {', '.join(map(str, compared.seeds))}; {'; '.join(compared.hardware)}; "
        f"table made with {_versions()}.",
        "",
        f"{_SEEDS_TOLD if len(compared.seeds) > 1 else _SUBJECTS_TOLD}; **best** of each row, HR apart. All recordings "
        f"concatenated, {'post-processed as listed below' if chains else 'no post-processing'}; within: each subject's "
        "mean taken off.",
    ]
    if compared.missing:
        lines += ["", f"Not tested with every seed, and left out: {', '.join(compared.missing)}."]
    for label in truth.labels:
        for s in summary.scales:
            block = summary.block(label, s)
            lines += ["", f"## {label}, s = {s}", "", _row(["", *(each.name for each in block)])]
            lines.append(_row(["---"] * (len(block) + 1)))
            lines += [
                _row([title, *(_shown(summary, each, measure, s, "**{}**") for each in block)])
                for measure, title in MEASURE_NAMES.items()
            ]
            lines += [_row(row) for row in _published_rows(block)]
        gains = [each for each in summary.gains if each.label == label]
        if gains:
            lines += ["", f"## {label}: what a step gains in CCC", ""]
            lines += [f"Differences with 95 % intervals {compared.drawn} (10 000 paired resamples).", ""]
            lines += [_row(_GAINS), _row(["---"] * len(_GAINS))]
            lines += [_row(each) for each in _gain_rows(gains)]
    if chains:
        lines += ["", "## Post-processing", "", *(f"- {line}" for line in chains)]
    return "\n".join(lines) + "\n"


def as_csv(summary: Summary) -> str:
    """Every figure, a row a measure."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        [
            "label",
            "s",
            "method",
            "measure",
            "mean",
            "half_width_seeds",
            "low",
            "high",
            "per_recording",
            "within",
            "published",
        ]
    )
    for each in summary.columns:
        for measure, entry in each.entries.items():
            interval = entry.interval
            values = [entry.mean, entry.half_width, interval.low, interval.high, entry.per_recording, entry.within]
            published = "" if entry.published is None else f"{entry.published}"
            writer.writerow([each.label, each.s, each.name, measure, *(f"{value:.6g}" for value in values), published])
    for gain in summary.gains:
        for measure in MEASURE_NAMES:
            found = gain.differences[measure]
            values = [found.estimate, math.nan, found.low, found.high]
            name = f"{gain.a} - {gain.b}"
            writer.writerow([gain.label, gain.s, name, measure, *(f"{value:.6g}" for value in values), "", "", ""])
    return text.getvalue()


def _replicates(comparison: Comparison, cell: Cell, k: int) -> Replicates:
    truth = comparison.truth
    target = truth.targets[:, k].astype(np.float64)
    return replicates(cell.predicted[..., k], target, recordings=truth.recordings, subjects=truth.subjects)


def _column(comparison: Comparison, cell: Cell, k: int, label: str, made: Replicates) -> Column:
    truth, intervals = comparison.truth, made.intervals()
    target = truth.targets[:, k].astype(np.float64)
    each_seed = [
        score(one, target, recordings=truth.recordings, subjects=truth.subjects) for one in cell.predicted[..., k]
    ]
    known = table1(cell.family, cell.s) if truth.is_avec2016 and label == "valence" else None
    entries = {
        measure: Entry(
            mean=float(np.mean([getattr(one, measure) for one in each_seed])),
            half_width=_half_width(np.array([getattr(one, measure) for one in each_seed])),
            interval=intervals[measure],
            per_recording=_estimate(intervals, f"{measure}_recording"),
            within=_estimate(intervals, f"{measure}_within"),
            published=None if known is None else known.get(measure),
        )
        for measure in MEASURE_NAMES
    }
    return Column(label, cell.s, cell.family, cell.name, entries)


def _estimate(intervals: Mapping[str, Interval], measure: str) -> float:
    return intervals[measure].estimate if measure in intervals else math.nan


def _half_width(values: Floats) -> float:
    """Half of the 95 % interval of a mean, by Student's t; NaN of a single value."""
    if len(values) < 2:
        return math.nan
    return float(stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values)))


def _shown(summary: Summary, column: Column, measure: str, s: int, mark: str) -> str:
    entry = column.entries[measure]
    text = f"{entry.mean:.3f}"
    if len(summary.comparison.seeds) == 1:
        text += f" [{entry.interval.low:.2f}, {entry.interval.high:.2f}]"
    elif math.isfinite(entry.half_width):
        text += f" ± {entry.half_width:.3f}"
    return mark.format(text) if column is summary.best(column.label, s, measure) else text


def _published_rows(block: Sequence[Column]) -> list[list[str]]:
    if all(each.entries["ccc"].published is None for each in block):
        return []
    shown = [[each.entries[measure].published for each in block] for measure in PUBLISHED]
    return [
        [f"{measure.upper()}, paper", *("–" if value is None else f"{value:.3f}" for value in row)]
        for measure, row in zip(PUBLISHED, shown, strict=True)
    ]


def _gain_rows(gains: Sequence[Gain]) -> list[list[str]]:
    rows = []
    for each in gains:
        row = [str(each.s), f"{each.a} − {each.b}"]
        for measure in ("ccc", "ccc_within"):
            found = each.differences[measure]
            row += [f"{found.estimate:+.3f}", f"{found.low:+.3f} to {found.high:+.3f}", f"{found.better:.0%}"]
        rows.append(row)
    return rows


def _gains_text(summary: Summary, label: str) -> str:
    gains = [each for each in summary.gains if each.label == label]
    if not gains:
        return ""
    return f"{label}: what a step gains in CCC, {summary.comparison.drawn}\n" + table(_GAINS, _gain_rows(gains))


def _training(cells: Sequence[Cell]) -> str:
    """How the networks of a table were trained; where that differs between methods, all ways."""
    said = {
        name: " or ".join(dict.fromkeys(f"{each.settings[name]}" for each in cells))
        for name in ("variant", "schedule", "loss", "precision", "every")
    }
    phases = [each.settings["sr_phase"] for each in cells if each.settings["sr_phase"]]
    steps = {f"SR-FCN {_steps(phase)}" for phase in phases}
    steps |= {f"{each.family} {_steps(each.settings['phase'])}" for each in cells}
    return (
        f"networks `{said['variant']}`, schedule `{said['schedule']}` (steps × frames: {', '.join(sorted(steps))}), "
        f"loss `{said['loss']}`, {said['precision']}, trained on one frame in {said['every']}"
    )


def _rank(family: str) -> int:
    return -1 if family == CEILING else _ORDER.index(family) if family in _ORDER else len(_ORDER)


def _steps(phase: Mapping[str, Any]) -> str:
    return f"{phase['iterations']} × {phase['batch']}"


def _versions() -> str:
    known = origin()
    versions = ", ".join(f"{name} {number}" for name, number in known["versions"].items())
    return versions + (f", revision {known['revision'][:12]}" if known["revision"] else "")


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
