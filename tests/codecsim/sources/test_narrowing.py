"""What data sets ask of a recording: other times, a turn, a part of its frames, one person, notes of their own."""

import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from codecsim.corpus import Corpus, CorpusWriter, SequenceWriter
from codecsim.errors import FaceError, VideoError
from codecsim.faces import FaceSettings
from codecsim.sources.decoding import DecodedFrame, VideoReader
from codecsim.sources.orientation import Orientation
from codecsim.sources.reporting import Report
from codecsim.sources.selection import Wanted
from codecsim.sources.tables import Floats
from codecsim.sources.video import prepare_video
from tests.codecsim.sources.footage import blank, carphone_rgb, spoil, write_video


def read(path: Path, **options: object) -> tuple[VideoReader, list[DecodedFrame]]:
    with VideoReader(path, **options) as reader:  # type: ignore[arg-type]
        return reader, list(reader)


def prepare(folder: Path, path: Path, **options: object) -> Report:
    with CorpusWriter(folder / "corpus.h5") as writer:
        return prepare_video(path, writer, **options)  # type: ignore[arg-type]


def boxes_file(folder: Path, rows: dict[int, str]) -> Path:
    path = folder / "boxes.csv"
    path.write_text("frame,x,y,w,h\n" + "".join(f"{frame},{box}\n" for frame, box in rows.items()))
    return path


@pytest.mark.parametrize(("flags", "degrees"), [*product(product([False, True], repeat=3), [0, 90, 180, 270])])
def test_an_orientation_is_turned_like_the_picture(flags: tuple[bool, bool, bool], degrees: int) -> None:
    picture = np.arange(6, dtype=np.uint8).reshape(2, 3)
    held = Orientation(*flags)
    np.testing.assert_array_equal(held.turned(degrees).apply(picture), np.rot90(held.apply(picture), degrees // 90))


def test_frames_are_turned_on_top_of_what_the_container_asks_for(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", carphone_rgb()[:3], rotation=90)
    _, plain = read(path)
    reader, turned = read(path, turn_degrees=180)
    assert (reader.rotation_degrees, reader.width, reader.height) == (270, 144, 176)
    np.testing.assert_array_equal(turned[2].luma, plain[2].luma[::-1, ::-1])
    np.testing.assert_array_equal(turned[2].thumbnail(176), plain[2].thumbnail(176)[::-1, ::-1])


def test_listed_times_are_used_instead_of_the_container_s(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", blank(5))
    reader, frames = read(path, times=np.array([0.5, 0.6, 0.7, 0.9, 1.0]))
    assert [frame.pts_seconds for frame in frames] == [0.5, 0.6, 0.7, 0.9, 1.0]
    assert reader.clock.fps == pytest.approx(4 / 0.5)
    assert reader.clock.nominal_interval_seconds == pytest.approx(0.1)
    assert (reader.clock.first_seconds, reader.clock.last_seconds) == (0.5, 1.0)
    assert [said for said in reader.warnings if "listed" in said] == []


def test_a_list_that_is_shorter_or_longer_than_the_file_is_said(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", blank(5))
    reader, frames = read(path, times=np.arange(3) / 25)
    assert [frame.index for frame in frames] == [0, 1, 2]
    assert reader.warnings == ["The file goes on after the 3 times that are listed for it; the rest was left out."]
    assert reader.n_failed_frames == 0
    reader, frames = read(path, times=np.arange(7) / 25)
    assert len(frames) == 5
    assert reader.warnings == ["7 times are listed for the file, which gave 5 pictures: it was cut short."]


def test_lost_pictures_keep_their_listed_times(tmp_path: Path) -> None:
    options = {"g": "30", "bf": "0", "crf": "10"}
    path = spoil(write_video(tmp_path / "spoilt.mp4", carphone_rgb(), options=options), {40, 41, 70})
    listed = np.cumsum(np.arange(1, 121)) / 100
    reader, frames = read(path, times=listed)
    kept = [n for n in range(120) if n not in (40, 41, 70)]
    assert [frame.pts_seconds for frame in frames] == listed[kept].tolist()
    assert [said for said in reader.warnings if said.startswith("Times are listed picture by picture")]


def test_frames_outside_of_a_time_are_left_out_and_counted(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", carphone_rgb()[:30])
    wanted = Wanted(first_seconds=0.2, last_seconds=0.8)
    report = prepare(tmp_path, path, wanted=wanted, settings=FaceSettings(detect_every=1))
    assert (report.n_frames, report.n_frames_outside, report.n_frames_without_face) == (30, 14, 0)
    assert "14 of 30 frames lie outside of 0.200 to 0.800 s and were left out." in report.warnings
    with Corpus(tmp_path / "corpus.h5") as corpus:
        np.testing.assert_allclose(corpus.pts_seconds("clip"), np.arange(5, 21) / 25, atol=1e-6)
        assert json.loads(corpus.sequence("clip").preparation)["wanted"] == {"first_seconds": 0.2, "last_seconds": 0.8}
    with pytest.raises(FaceError, match=r"no frame lies between 2.000 and 3.000 s; the recording goes from 0.000 to"):
        prepare(tmp_path, path, wanted=Wanted(first_seconds=2, last_seconds=3))


def test_small_boxes_and_interpolated_ones_are_left_out_and_counted(tmp_path: Path) -> None:
    rows = {n: "10,20,80,101" for n in range(10) if n != 3}
    rows[2] = rows[4] = "10,20,101,101"  # frame 3, between them, has no box of its own
    rows[8], rows[9] = "10,20,100,101", "10,20,101,80"
    boxes = boxes_file(tmp_path, rows)
    path = write_video(tmp_path / "clip.mp4", carphone_rgb()[:12])
    report = prepare(tmp_path, path, boxes=boxes, wanted=Wanted(min_face_side=80.0))
    (track,) = report.tracks
    assert (track.n_frames, track.n_small, track.n_dropped, report.n_frames_without_face) == (3, 7, 0, 2)
    assert (
        "7 frames were left out: their face has no box of its own, or one with a side of 80 pixels or less."
        in report.warnings
    )
    with Corpus(tmp_path / "corpus.h5") as corpus:
        np.testing.assert_allclose(corpus.pts_seconds("clip"), np.array([2, 4, 8]) / 25, atol=1e-6)
    report = prepare(tmp_path, path, boxes=boxes)
    assert (report.tracks[0].n_frames, report.n_small, report.n_interpolated) == (10, 0, 1)
    with pytest.raises(FaceError, match=r"no frame is left. 10 frames were left out: .* of 101 pixels or less"):
        prepare(tmp_path, path, boxes=boxes, wanted=Wanted(min_face_side=101))


def test_the_side_of_a_detected_face_is_without_margin(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", carphone_rgb()[:30])
    settings = FaceSettings(detect_every=1, margin=1.0)
    report = prepare(tmp_path, path, settings=settings)
    side = report.tracks[0].mean_side / 2
    report = prepare(tmp_path, path, settings=settings, wanted=Wanted(min_face_side=side - 8))
    assert (report.tracks[0].n_frames, report.n_small) == (30, 0)
    with pytest.raises(FaceError, match="30 frames were left out"):
        prepare(tmp_path, path, settings=settings, wanted=Wanted(min_face_side=side + 8))


def test_of_one_person_the_longest_track_is_kept_and_the_rest_said(tmp_path: Path) -> None:
    boxes = tmp_path / "boxes.csv"
    boxes.write_text(
        "frame,person,x,y,w,h\n"
        + "".join(f"{n},passer-by,1,1,40,40\n" for n in range(2, 5))
        + "".join(f"{n},subject,60,10,90,90\n" for n in range(3, 12))
    )
    path = write_video(tmp_path / "clip.mp4", carphone_rgb()[:12])
    report = prepare(tmp_path, path, boxes=boxes, wanted=Wanted(is_single=True))
    (track,) = report.tracks
    assert (track.sequence, track.n_frames, report.n_frames_without_face) == ("clip", 9, 2)
    assert (
        "Of 2 face tracks the longest was kept, of 9 frames; left out: 3 frames from 0.08 to 0.16 s." in report.warnings
    )


def test_what_else_is_known_is_attached_to_each_sequence(tmp_path: Path) -> None:
    def annotate(out: SequenceWriter, seconds: Floats) -> None:
        out.series("clock", np.stack([seconds, -seconds], axis=1), columns=("forth", "back"))

    path = write_video(tmp_path / "clip.mp4", carphone_rgb()[:4])
    boxes = boxes_file(tmp_path, dict.fromkeys(range(4), "10,20,90,90"))
    prepare(tmp_path, path, boxes=boxes, annotate=annotate, source="a/clip.mp4", provenance={"by": "hand"})
    with Corpus(tmp_path / "corpus.h5") as corpus:
        values, columns = corpus.series("clip", "clock")
        np.testing.assert_allclose(values[:, 1], -np.arange(4) / 25, atol=1e-6)
        assert columns == ("forth", "back")
        assert corpus.sequence("clip").source == "a/clip.mp4"
        assert json.loads(corpus.sequence("clip").preparation)["by"] == "hand"


def test_a_recording_that_is_none_has_an_error_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "none.mp4"
    path.write_text("words")
    with pytest.raises(VideoError, match=r"none.mp4: not a video that FFmpeg can open"):
        prepare(tmp_path, path)
