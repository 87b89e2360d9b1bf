"""AVEC 2016, the sub-challenge of 27 RECOLA recordings of five minutes: nine each for training, development and test.

Layout under ROOT::

    recordings_video/{train,dev,test}_{1…9}.mp4
    recordings_video_frame_time/NAME.csv             times of the frames, in the second column; where there
    ratings_gold_standard/{arousal,valence}/NAME.arff    7501 labels at 0.00, 0.04, … 300.00 s; none for test
    ratings_individual/{arousal,valence}/NAME.csv    traces of the six raters; or ratings_individual_centred

Labels and frames are joined on time. The label of time 0 is left out, as in all published use, so that 7500 remain;
frames before the first of these or after the last are left out.

No boxes come with the data. Cheng et al. made their own and dropped frames without one, or with a side of 100 pixels or
less (`drop_small`). They stretched each box to a square, where here it is widened to one.
"""

import re
from collections.abc import Collection
from pathlib import Path

from codecsim.errors import SourceError
from codecsim.sources.datasets.rated import TASKS, RatedRecording, boxes_of, detector_name
from codecsim.sources.datasets.trees import check_root, listed

VERSION = 1
"""Raised when the same files give another corpus."""

SPLITS = ("train", "dev", "test")

_NAME = re.compile(r"(train|dev|test)_([1-9])")
_RATERS = ("ratings_individual", "ratings_individual_centred")


def find_recordings(
    root: Path, *, boxes: Path | None = None, splits: Collection[str] = SPLITS, drop_small: bool = False
) -> list[RatedRecording]:
    """Find the recordings of AVEC 2016, and read all that is known of them but the recordings themselves.

    Sequences and subjects are named as the recordings: ``train_1``. Tasks: ``arousal`` and ``valence``. Series:
    ``raters_arousal`` and ``raters_valence``, where the raters are there.

    Parameters
    ----------
    root : folder of the data set
    boxes : folder of boxes files ``NAME.csv`` (see `codecsim.sources.tables`); None where faces are to be found
    splits : those that are wanted
    drop_small : drop frames whose face has no box of its own, or one with a side of 100 pixels or less: the shorter of
        a given box, the longer of a detected one

    Returns
    -------
    recordings : in order of splits and numbers

    Raises
    ------
    SourceError
        If the data set is not there, or a label file is missing or wrong.
    FaceError
        If faces are to be found and the detector is not installed.
    """
    check_root(root, "AVEC 2016")
    videos = {
        path.stem: path for path in sorted((root / "recordings_video").glob("*.mp4")) if _NAME.fullmatch(path.stem)
    }
    gold = {task: root / "ratings_gold_standard" / task for task in TASKS}
    if not videos:
        n_labels = sum(len([*folder.glob("*.arff")]) for folder in gold.values())
        raise SourceError(
            f"{root}: no AVEC 2016 here: looked for recordings_video/{{train,dev,test}}_{{1…9}}.mp4 (found 0) and "
            f"ratings_gold_standard/{{arousal,valence}}/NAME.arff (found {n_labels}); ROOT is the folder that "
            "holds them"
        )
    names = [name for split in SPLITS if split in splits for name in sorted(videos) if name.startswith(f"{split}_")]
    if not names:
        raise SourceError(f"{root}: no recording of {', '.join(splits)} among {listed(videos)} in recordings_video")
    labelled = {name: {task: folder / f"{name}.arff" for task, folder in gold.items()} for name in names}
    missing = [
        f"{task}/{name}.arff"
        for name, files in labelled.items()
        for task, path in files.items()
        if not path.is_file() and not name.startswith("test_")
    ]
    if missing:
        raise SourceError(
            f"{root / 'ratings_gold_standard'}: {len(missing)} label files are missing: {listed(missing)}; copy them, "
            "or leave these recordings out with --splits"
        )
    box_files = boxes_of(names, boxes)
    detector = "" if boxes else detector_name()
    recordings = []
    for name in names:
        times = root / "recordings_video_frame_time" / f"{name}.csv"
        is_labelled = all(path.is_file() for path in labelled[name].values())
        recordings.append(
            RatedRecording(
                data_set="avec2016",
                version=VERSION,
                root=root,
                name=name,
                split=name.partition("_")[0],
                video=videos[name],
                times=times if times.is_file() else None,
                boxes=box_files[name],
                gold_standards=labelled[name] if is_labelled else {},
                raters=_raters(root, name),
                drop_small=drop_small,
                detector=detector,
            )
        )
    for recording in recordings:
        recording.check()
    return recordings


def _raters(root: Path, name: str) -> dict[str, Path]:
    """Traces of the raters for each task: as they were given, or else centred; the same for both tasks."""
    for folder in _RATERS:
        files = {task: root / folder / task / f"{name}.csv" for task in TASKS}
        if all(path.is_file() for path in files.values()):
            return files
    return {}
