"""The corpus file: what goes in comes out, whole or not at all, and what cannot go in is refused with a reason."""

import hashlib
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from codecsim.corpus import Corpus, CorpusWriter, Sequence, is_corpus
from codecsim.errors import CodecsimError, SourceError, StoreError, UsageError
from tests.codecsim.corpora import BOXES, EMOTION, FRAMES, VALENCE, edited, write


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write(tmp_path / "corpus.h5")


def one_frame(path: Path, name: str = "x", **attributes: object) -> None:
    with CorpusWriter(path) as writer, writer.sequence(name, **{"fps": 25, **attributes}) as sequence:
        sequence.append(FRAMES["zoe"][0], pts_seconds=0)


class TestRoundTrip:
    def test_what_is_known_without_reading_frames(self, path):
        with Corpus(path) as corpus:
            assert corpus.sequences()[0] == corpus.sequence("zoe")
            assert corpus.sequence("zoe") == Sequence(
                corpus=path,
                name="zoe",
                n_frames=130,
                fps=29.97,
                subject="s1",
                split="train",
                source="zoe.mp4",
                preparation="",
                recording="",
                digest=hashlib.sha256(FRAMES["zoe"].tobytes()).hexdigest(),
                tasks=("emotion", "valence"),
            )
            anna = corpus.sequence("anna")
        assert (anna.subject, anna.split, anna.source, anna.tasks) == ("", "", "", ())
        assert anna.digest == hashlib.sha256(FRAMES["anna"].tobytes()).hexdigest()

    def test_sequences_keep_their_order(self, tmp_path):
        names = ["z", "a", "m 1", "ä", "10", "9"]
        with CorpusWriter(tmp_path / "corpus.h5") as writer:
            for name in names:
                with writer.sequence(name, fps=25) as sequence:
                    sequence.append(FRAMES["zoe"][0], pts_seconds=0)
        with Corpus(tmp_path / "corpus.h5") as corpus:
            assert [sequence.name for sequence in corpus.sequences()] == names

    def test_frames(self, path):
        with Corpus(path) as corpus:
            for name, frames in FRAMES.items():
                assert corpus.frames(name).dtype == np.uint8
                np.testing.assert_array_equal(corpus.frames(name), frames)
            np.testing.assert_array_equal(corpus.frames("zoe", 60, 70), FRAMES["zoe"][60:70])
            np.testing.assert_array_equal(corpus.frames("zoe", 128), FRAMES["zoe"][128:])
            read = corpus.frames("zoe", 0, 1)
        assert read.flags.owndata  # stays valid after the file was closed

    def test_labels_boxes_times(self, path):
        with Corpus(path) as corpus:
            valence, emotion = corpus.labels("zoe", "valence"), corpus.labels("zoe", "emotion")
            boxes, times = corpus.boxes("zoe"), corpus.pts_seconds("zoe")
        assert (valence.dtype, emotion.dtype, boxes.dtype, times.dtype) == ("f4", "i2", "f4", "f8")
        np.testing.assert_array_equal(valence, VALENCE)
        np.testing.assert_array_equal(emotion, EMOTION)
        np.testing.assert_array_equal(boxes, BOXES)
        np.testing.assert_array_equal(times, np.arange(130) / 29.97)

    def test_attributes_and_schema(self, path):
        with h5py.File(path) as file:
            assert dict(file.attrs) == {
                "schema": b"codecsim-corpus",
                "schema_version": 1,
                "made_by": b"a test",
                "margin": 0.25,
            }

    def test_text_of_any_kind(self, tmp_path):
        """The second is what Python makes of a file name that is not UTF-8."""
        for text in ("Zoë 96×96", "clip\udcff.mp4", "", "x" * 100_000):
            one_frame(tmp_path / "corpus.h5", name="Zoë 96×96", subject=text, source=text)
            with Corpus(tmp_path / "corpus.h5") as corpus:
                (sequence,) = corpus.sequences()
            assert (sequence.name, sequence.subject, sequence.source) == ("Zoë 96×96", text, text)

    def test_text_of_variable_length_as_other_programs_write_it(self, path):
        edited(path, lambda file: file["sequences/zoe"].attrs.update({"subject": "Zoë"}))
        edited(path, lambda file: file.attrs.update({"schema": "codecsim-corpus"}))
        with Corpus(path) as corpus:
            assert corpus.sequence("zoe").subject == "Zoë"

    def test_a_frame_is_copied_when_it_is_appended(self, tmp_path):
        """Decoders write each frame into the same memory."""
        with CorpusWriter(tmp_path / "corpus.h5") as writer, writer.sequence("x", fps=25) as sequence:
            memory = np.empty((96, 96), np.uint8)
            for value in range(70):
                memory[:] = value
                sequence.append(memory, pts_seconds=value / 25)
        with Corpus(tmp_path / "corpus.h5") as corpus:
            assert corpus.frames("x")[:, 0, 0].tolist() == list(range(70))
            exact = np.repeat(np.arange(70, dtype=np.uint8), 96 * 96).tobytes()
            assert corpus.sequence("x").digest == hashlib.sha256(exact).hexdigest()

    def test_flat_frames_compress_well_and_are_still_believed(self, tmp_path):
        with CorpusWriter(tmp_path / "corpus.h5") as writer, writer.sequence("x", fps=25) as sequence:
            for i in range(640):
                sequence.append(np.full((96, 96), 7, np.uint8), pts_seconds=i)
        assert (tmp_path / "corpus.h5").stat().st_size < 640 * 96 * 96 / 100
        with Corpus(tmp_path / "corpus.h5") as corpus:
            assert (corpus.frames("x") == 7).all()

    def test_same_content_same_bytes(self, tmp_path):
        assert write(tmp_path / "one").read_bytes() == write(tmp_path / "two").read_bytes()

    def test_is_corpus(self, path, tmp_path):
        assert is_corpus(path)
        (tmp_path / "text").write_text("no")
        with h5py.File(tmp_path / "other.h5", "w") as file:
            file.attrs["schema"] = np.array([1, 2])
        assert not any(is_corpus(tmp_path / name) for name in ("text", "other.h5", "missing", "."))


class TestWriterRefuses:
    @pytest.mark.parametrize("name", ["zoe", "", "a/b", ".", "..", "nul\0", "clip\udcff"])
    def test_names(self, tmp_path, name):
        with CorpusWriter(tmp_path / "corpus.h5") as writer:
            with writer.sequence("zoe", fps=25) as sequence:
                sequence.append(FRAMES["zoe"][0], pts_seconds=0)
            message = f"a corpus cannot take {name!r} as a sequence: names are unique UTF-8 text without '/'"
            with pytest.raises(UsageError) as caught, writer.sequence(name, fps=25):
                pytest.fail("must not be entered")
            assert str(caught.value) == message
        with Corpus(tmp_path / "corpus.h5") as corpus:
            assert [sequence.name for sequence in corpus.sequences()] == ["zoe"]

    @pytest.mark.parametrize("fps", [0, -25, np.nan, np.inf])
    def test_frame_rates(self, tmp_path, fps):
        with pytest.raises(UsageError, match=f"sequence 'x' has fps = {fps}; a positive number"):
            one_frame(tmp_path / "corpus.h5", fps=fps)

    @pytest.mark.parametrize(
        ("frame", "found"),
        [
            (np.zeros((96, 95), np.uint8), r"uint8 \(96, 95\)"),
            (np.zeros((96, 96)), r"float64 \(96, 96\)"),
            (np.zeros((1, 96, 96), np.uint8), r"uint8 \(1, 96, 96\)"),
        ],
        ids=["shape", "type", "dimensions"],
    )
    def test_frames(self, tmp_path, frame, found):
        with CorpusWriter(tmp_path / "corpus.h5") as writer, writer.sequence("x", fps=25) as sequence:
            sequence.append(FRAMES["zoe"][0], pts_seconds=0)
            with pytest.raises(UsageError, match=rf"a corpus takes frames of uint8 \(96, 96\), not {found}"):
                sequence.append(frame, pts_seconds=0)

    def test_labels(self, tmp_path):
        with CorpusWriter(tmp_path / "corpus.h5") as writer, writer.sequence("x", fps=25) as sequence:
            sequence.append(FRAMES["zoe"][0], pts_seconds=0)
            with pytest.raises(UsageError, match=r"labels 'valence' have shape \(2,\); the sequence has 1 frames"):
                sequence.labels("valence", np.zeros(2))
            sequence.labels("valence", np.zeros(1))
            for task in ("valence", "", "a/b"):
                with pytest.raises(UsageError, match=f"a sequence cannot take '{task}' as a task"):
                    sequence.labels(task, np.zeros(1))

    def test_a_box_for_some_frames_only(self, tmp_path):
        message = "1 boxes for 2 frames: give one for each, or none"
        with CorpusWriter(tmp_path / "corpus.h5") as writer, pytest.raises(UsageError, match=message):
            add_two_frames_and_one_box(writer)

    def test_no_frames(self, tmp_path):
        with CorpusWriter(tmp_path / "corpus.h5") as writer:
            message = "sequence 'x' has no frames; leave it out"
            with pytest.raises(UsageError, match=message), writer.sequence("x", fps=25):
                pass
        with Corpus(tmp_path / "corpus.h5") as corpus:
            assert corpus.sequences() == []

    def test_a_sequence_that_failed_is_taken_out_and_can_be_added_again(self, tmp_path):
        with CorpusWriter(tmp_path / "corpus.h5") as writer:
            with pytest.raises(UsageError, match="1 boxes"):
                add_two_frames_and_one_box(writer)
            with writer.sequence("x", fps=25) as sequence:
                sequence.append(FRAMES["zoe"][5], pts_seconds=0)
        with Corpus(tmp_path / "corpus.h5") as corpus:
            assert corpus.sequence("x").n_frames == 1


def add_two_frames_and_one_box(writer: CorpusWriter) -> None:
    with writer.sequence("x", fps=25) as sequence:
        sequence.append(FRAMES["zoe"][0], pts_seconds=0, box=(0, 0, 9, 9))
        sequence.append(FRAMES["zoe"][1], pts_seconds=1)


class TestAtomicity:
    @pytest.mark.parametrize("error", [ValueError("mine"), SourceError("the video is damaged"), KeyboardInterrupt()])
    def test_an_error_leaves_the_old_file(self, path, error):
        before = path.read_bytes()
        with pytest.raises(type(error)) as caught:
            fail_after_frames(path, error)
        assert caught.value is error
        assert path.read_bytes() == before
        assert os.listdir(path.parent) == [path.name]

    def test_attributes_that_cannot_be_written_leave_nothing(self, tmp_path):
        with pytest.raises(TypeError), CorpusWriter(tmp_path / "corpus.h5", attributes={"bad": object()}):
            pytest.fail("must not be entered")
        assert os.listdir(tmp_path) == []

    @pytest.mark.parametrize("n_bytes", [0, 500, 5_000, 400_000, 1_000_000, 1_500_000])
    def test_a_full_disk(self, path, n_bytes):
        """A limit on the size of files stands for the disk; test_atomic.py fills a real one."""
        before = path.read_bytes()
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        assert len(before) > 1_500_000
        resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, limits[1]))
        try:
            with pytest.raises(StoreError) as caught:
                write(path)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert str(caught.value) == (
            f"cannot write {path}: File too large; what was finished before is kept. "
            "Free space or name a folder that you may write to, and run the same command again"
        )
        assert path.read_bytes() == before
        assert os.listdir(path.parent) == [path.name]

    def test_a_full_disk_ends_the_work_at_once(self, tmp_path):
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        appended = []
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, limits[1]))
        try:
            with pytest.raises(StoreError):
                append_without_end(tmp_path / "corpus.h5", appended)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert len(appended) < 2_000  # the cache of chunks in HDF5 holds 8 MB

    def test_a_killed_writer_leaves_the_old_file_and_the_next_one_cleans_up(self, path):
        before = path.read_bytes()
        program = (
            "import sys, time, numpy as np; from codecsim.corpus import CorpusWriter\n"
            f"with CorpusWriter({str(path)!r}) as writer, writer.sequence('x', fps=25) as sequence:\n"
            "    for i in range(100): sequence.append(np.zeros((96, 96), np.uint8), pts_seconds=i)\n"
            "    print('ready', flush=True); time.sleep(60)\n"
        )
        with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
            assert process.stdout.readline() == b"ready\n"
            process.send_signal(signal.SIGKILL)
        assert path.read_bytes() == before
        assert sorted(os.listdir(path.parent)) == [f".corpus.h5.{process.pid}.tmp", "corpus.h5"]
        one_frame(path)
        assert os.listdir(path.parent) == ["corpus.h5"]
        with Corpus(path) as corpus:
            assert [sequence.name for sequence in corpus.sequences()] == ["x"]


def fail_after_frames(path: Path, error: BaseException) -> None:
    with CorpusWriter(path) as writer, writer.sequence("x", fps=25) as sequence:
        for i, frame in enumerate(FRAMES["zoe"]):
            sequence.append(frame, pts_seconds=i)
        raise error


def append_without_end(path: Path, appended: list[int]) -> None:
    with CorpusWriter(path) as writer, writer.sequence("x", fps=25) as sequence:
        for i in range(10_000):
            sequence.append(FRAMES["zoe"][i % 130], pts_seconds=i)
            appended.append(i)


def test_every_refusal_can_be_caught_as_one():
    assert issubclass(StoreError, CodecsimError)
    assert issubclass(StoreError, OSError)
    assert issubclass(UsageError, ValueError)


def test_classes_have_names_and_other_series_columns(tmp_path: Path) -> None:
    path = tmp_path / "c.h5"
    with CorpusWriter(path) as writer, writer.sequence("a", fps=25) as sequence:
        for number in range(3):
            sequence.append(np.full((96, 96), number, np.uint8), pts_seconds=number / 25)
        sequence.labels("expression", np.array([1, 0, 1], np.int32), classes=("joy", "fear"))
        sequence.labels("valence", np.zeros(3, np.float32))
        sequence.series("pose", np.arange(6).reshape(3, 2), columns=("yaw", "pitch"))
    with Corpus(path) as corpus:
        assert corpus.classes("a", "expression") == ("joy", "fear")
        assert corpus.classes("a", "valence") == ()
        assert corpus.series_names("a") == ("pose",)
        values, columns = corpus.series("a", "pose")
        assert columns == ("yaw", "pitch")
        np.testing.assert_array_equal(values, np.arange(6, dtype=np.float32).reshape(3, 2))
        with pytest.raises(StoreError, match="no series/gaze"):
            corpus.series("a", "gaze")


@pytest.mark.parametrize(
    ("values", "classes"),
    [(np.array([0.0, 1.0]), ("a", "b")), (np.array([0, 2]), ("a", "b")), (np.array([-1, 0]), "ab")],
)
def test_named_classes_are_their_numbers(tmp_path: Path, values: np.ndarray, classes: tuple[str, ...]) -> None:
    with CorpusWriter(tmp_path / "c.h5") as writer, writer.sequence("a", fps=25) as sequence:
        for _ in range(2):
            sequence.append(np.zeros((96, 96), np.uint8), pts_seconds=0)
        with pytest.raises(UsageError, match="2 named classes"):
            sequence.labels("expression", values, classes=classes)


def test_a_series_has_a_row_a_frame_and_a_name_a_column(tmp_path: Path) -> None:
    with CorpusWriter(tmp_path / "c.h5") as writer, writer.sequence("a", fps=25) as sequence:
        sequence.append(np.zeros((96, 96), np.uint8), pts_seconds=0)
        with pytest.raises(UsageError, match="1 frames × 2 columns"):
            sequence.series("pose", np.zeros((1, 3)), columns=("yaw", "pitch"))


def test_a_sequence_of_one_frame_takes_no_chunk_of_64(tmp_path: Path) -> None:
    path = tmp_path / "c.h5"
    with CorpusWriter(path) as writer, writer.sequence("a", fps=25) as sequence:
        sequence.append(np.zeros((96, 96), np.uint8), pts_seconds=0)
    with h5py.File(path) as file:
        assert file["sequences/a/frames"].chunks == (1, 96, 96)


def test_a_short_sequence_needs_no_index_of_chunks(tmp_path: Path) -> None:
    one_frame(tmp_path / "c.h5")
    with h5py.File(tmp_path / "c.h5") as file:
        assert file["sequences/x/frames"].maxshape == (1, 96, 96)


def test_a_copied_sequence_is_what_it_was(path: Path, tmp_path: Path) -> None:
    with CorpusWriter(tmp_path / "copy.h5") as writer, Corpus(path) as corpus:
        writer.copy(corpus, "zoe")
        with pytest.raises(UsageError, match="the corpus holds a sequence 'zoe' already"):
            writer.copy(corpus, "zoe")
        with pytest.raises(StoreError, match="no sequence 'eve'"):
            writer.copy(corpus, "eve")
    with Corpus(path) as one, Corpus(tmp_path / "copy.h5") as other:
        assert [each.name for each in other.sequences()] == ["zoe"]
        assert other.sequence("zoe").digest == one.sequence("zoe").digest
        np.testing.assert_array_equal(other.frames("zoe"), FRAMES["zoe"])
        np.testing.assert_array_equal(other.boxes("zoe"), BOXES)
        assert other.classes("zoe", "emotion") == one.classes("zoe", "emotion")
        assert other.series("zoe", "pose")[1] == ("yaw", "pitch")
