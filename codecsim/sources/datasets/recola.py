"""RECOLA as its authors give it: the recordings that AVEC 2016 was drawn from.

Layout under ROOT::

    Video_recordings_MP4/P*.mp4
    Ratings_affective_behaviour_CCC_centred/{arousal,valence}/P*.csv    traces of six raters, each 0.04 s from 0

The gold standard is the mean of the raters, whose traces are centred already: so AVEC 2016 made its own. The rating of
time 0 is left out, as in AVEC, and so are frames before the first rating that is used or after the last. Recordings
without ratings are kept unlabelled.

RECOLA has no parts of its own: a split is what a file says, or unknown.
"""

import re
from pathlib import Path

from codecsim.errors import SourceError
from codecsim.sources.datasets.rated import TASKS, RatedRecording, boxes_of, detector_name
from codecsim.sources.datasets.trees import check_root, listed
from codecsim.sources.tables import Table

VERSION = 1
"""Raised when the same files give another corpus."""

SPLITS = ("train", "dev", "test")

_NAME = re.compile(r"P(\d+)")
_VIDEOS = "Video_recordings_MP4"
_RATINGS = "Ratings_affective_behaviour_CCC_centred"


def find_recordings(root: Path, *, boxes: Path | None = None, split_file: Path | None = None) -> list[RatedRecording]:
    """Find the recordings of RECOLA, and read all that is known of them but the recordings themselves.

    Sequences and subjects are named as the recordings: ``P16``. Tasks: ``arousal`` and ``valence``. Series:
    ``raters_arousal`` and ``raters_valence``.

    Parameters
    ----------
    root : folder of the data set
    boxes : folder of boxes files ``NAME.csv`` (see `codecsim.sources.tables`); None where faces are to be found
    split_file : CSV file with the columns ``name`` (P16) and ``split`` (train, dev or test); recordings that it does
        not name, and all where it is None, are of no known split

    Returns
    -------
    recordings : by number

    Raises
    ------
    SourceError
        If the data set is not there, or a table is missing or wrong.
    FaceError
        If faces are to be found and the detector is not installed.
    """
    check_root(root, "RECOLA")
    found = {path.stem: path for path in (root / _VIDEOS).glob("*.mp4") if _NAME.fullmatch(path.stem)}
    videos = dict(sorted(found.items(), key=lambda item: int(item[0][1:])))
    ratings = {task: {path.stem: path for path in (root / _RATINGS / task).glob("P*.csv")} for task in TASKS}
    if not videos or not any(ratings.values()):
        raise SourceError(
            f"{root}: no RECOLA here: looked for {_VIDEOS}/P*.mp4 (found {len(videos)}) and "
            f"{_RATINGS}/{{arousal,valence}}/P*.csv (found {sum(map(len, ratings.values()))}); ROOT is the folder that "
            "holds them"
        )
    rated = {name: {task: files[name] for task, files in ratings.items() if name in files} for name in videos}
    missing = [f"{task}/{name}.csv" for name, files in rated.items() if files for task in TASKS if task not in files]
    if missing:
        raise SourceError(f"{root / _RATINGS}: {len(missing)} files of ratings are missing: {listed(missing)}")
    splits = {} if split_file is None else _read_splits(split_file)
    box_files = boxes_of([*videos], boxes)
    detector = "" if boxes else detector_name()
    recordings = [
        RatedRecording(
            data_set="recola",
            version=VERSION,
            root=root,
            name=name,
            split=splits.get(name, ""),
            video=video,
            boxes=box_files[name],
            gold_standards=rated[name],
            raters=rated[name],
            detector=detector,
        )
        for name, video in videos.items()
    ]
    for recording in recordings:
        recording.check()
    return recordings


def _read_splits(path: Path) -> dict[str, str]:
    """Split of each recording that the file names."""
    table = Table(path, "splits")
    if not {"name", "split"} <= set(table.columns):
        raise SourceError(f"{path}: no columns 'name' and 'split' in the header ({', '.join(table.columns)})")
    splits: dict[str, str] = {}
    for line, cells in table.rows:
        name, split = (cells[table.columns.index(column)].strip() for column in ("name", "split"))
        if not _NAME.fullmatch(name) or name in splits:
            what = "stands there twice" if name in splits else "is no recording's name; they are written P16"
            raise SourceError(f"{path}, line {line}: {name!r} {what}")
        if split not in SPLITS:
            raise SourceError(f"{path}, line {line}: no split {split!r}; there are {', '.join(SPLITS)}")
        splits[name] = split
    return splits
