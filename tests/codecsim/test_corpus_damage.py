"""The corpus file: what is damaged, foreign or hostile is refused with a reason, and never taken for whole."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from codecsim.corpus import Corpus, CorpusWriter
from codecsim.errors import StoreError
from tests.codecsim.corpora import FRAMES, edited, read_everything, write
from tests.pipelines.command import ROOT


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write(tmp_path / "corpus.h5")


class TestReaderRefuses:
    def test_a_missing_file(self, tmp_path):
        with pytest.raises(StoreError) as caught:
            Corpus(tmp_path / "none.h5")
        assert str(caught.value) == f"{tmp_path / 'none.h5'}: no such file; a corpus file is needed"

    @pytest.mark.parametrize("content", [b"", b"not HDF5 at all"])
    def test_another_kind_of_file(self, tmp_path, content):
        (tmp_path / "file.h5").write_bytes(content)
        with pytest.raises(
            StoreError, match=r"file\.h5: no HDF5 file, or its start is damaged; a corpus file is needed"
        ):
            Corpus(tmp_path / "file.h5")

    @pytest.mark.parametrize("content", [b"\x89HDF\r\n\x1a\n", b"\x89HDF\r\n\x1a\n" + bytes(500)])
    def test_nothing_after_a_good_start(self, tmp_path, content):
        (tmp_path / "file.h5").write_bytes(content)
        with pytest.raises(StoreError, match=r"file\.h5: not a corpus file, or damaged \("):
            Corpus(tmp_path / "file.h5")

    def test_a_folder(self, tmp_path):
        with pytest.raises(StoreError, match="a folder; a corpus file is needed"):
            Corpus(tmp_path)

    @pytest.mark.parametrize("share", [0.01, 0.3, 0.9, 0.999])
    def test_a_truncated_file(self, path, share):
        content = path.read_bytes()
        path.write_bytes(content[: int(share * len(content))])
        with pytest.raises(StoreError, match=r"corpus\.h5: .*damaged"):
            read_everything(path)

    def test_damaged_frames(self, path):
        content = bytearray(path.read_bytes())
        with h5py.File(path) as file:
            chunk = file["sequences/zoe/frames"].id.get_chunk_info(0)
        content[chunk.byte_offset + 200 : chunk.byte_offset + 300] = bytes(100)
        path.write_bytes(content)
        with Corpus(path) as corpus:
            with pytest.raises(StoreError, match=r"the picture data of 'zoe' is damaged \(.*\); make the corpus again"):
                corpus.frames("zoe")
            assert len(corpus.frames("anna")) == 64

    @pytest.mark.parametrize(
        ("attributes", "message"),
        [
            (
                {"schema": "codecsim-sweep"},
                "not a corpus file: its schema is 'codecsim-sweep', 'codecsim-corpus' is needed",
            ),
            ({"schema": np.array(["codecsim-corpus"] * 2, "S")}, "not a corpus file: its schema is"),
            (
                {"schema_version": 2},
                "corpus of schema version 2, this codecsim reads version 1; open it with the codecsim",
            ),
            ({"schema_version": np.array([1, 1])}, r"corpus of schema version \[1 1\]"),
            ({"schema_version": h5py.Empty("f")}, "corpus of schema version"),
        ],
        ids=["schema", "schema of a wrong type", "version", "version of a wrong type", "empty version"],
    )
    def test_another_schema(self, path, attributes, message):
        edited(path, lambda file: file.attrs.update(attributes))
        with pytest.raises(StoreError, match=message):
            Corpus(path)

    @pytest.mark.parametrize("name", ["schema", "schema_version"])
    def test_no_schema(self, path, name):
        edited(path, lambda file: file.attrs.__delitem__(name))
        with pytest.raises(StoreError, match="None"):
            Corpus(path)

    def test_no_sequences(self, path):
        edited(path, lambda file: file.__delitem__("sequences"))
        with pytest.raises(StoreError, match=r"no group /sequences.*; make it again with `codecsim prepare`"):
            Corpus(path)
        edited(path, lambda file: file.create_dataset("sequences", data=1))
        with pytest.raises(StoreError, match="no group /sequences"):
            Corpus(path)

    @pytest.mark.parametrize("name", ["bert", "", ".", "/", "zoe/labels", "/sequences/zoe", "../sequences/zoe"])
    def test_an_unknown_sequence(self, path, name):
        with Corpus(path) as corpus, pytest.raises(StoreError) as caught:
            corpus.sequence(name)
        assert str(caught.value) == f"{path}: no sequence {name!r}; it holds zoe, anna"

    def test_an_unknown_sequence_of_none(self, tmp_path):
        with CorpusWriter(tmp_path / "corpus.h5"):
            pass
        with (
            Corpus(tmp_path / "corpus.h5") as corpus,
            pytest.raises(StoreError, match="no sequence 'x'; it holds none"),
        ):
            corpus.frames("x")

    @pytest.mark.parametrize("name", ["fps", "subject", "split", "source", "digest"])
    def test_a_missing_attribute(self, path, name):
        edited(path, lambda file: file["sequences/zoe"].attrs.__delitem__(name))
        with (
            Corpus(path) as corpus,
            pytest.raises(StoreError, match=f"sequence 'zoe' lacks a needed attribute: .*{name}"),
        ):
            corpus.sequences()

    @pytest.mark.parametrize("fps", [0.0, -1.0, np.nan, np.inf, "fast", np.array([25.0, 25.0])])
    def test_a_frame_rate_that_is_none(self, path, fps):
        edited(path, lambda file: file["sequences/zoe"].attrs.update({"fps": fps}))
        message = r"has fps = .*; a positive number|needed attribute"
        with Corpus(path) as corpus, pytest.raises(StoreError, match=message):
            corpus.sequence("zoe")

    def test_series_that_are_not_there(self, path):
        with Corpus(path) as corpus:
            for task in ("arousal", "../boxes", "", "valence/x"):
                with pytest.raises(StoreError, match=f"sequence 'zoe' has no labels/{task} with a row a frame"):
                    corpus.labels("zoe", task)
            with pytest.raises(StoreError, match="sequence 'anna' has no boxes with a row a frame"):
                corpus.boxes("anna")

    @pytest.mark.parametrize(
        "data", [np.zeros(129), np.zeros((130, 2)), np.array(["text"] * 130, "S")], ids=["length", "columns", "text"]
    )
    def test_series_of_another_shape(self, path, data):
        def edit(file: h5py.File) -> None:
            for name in ("labels/valence", "boxes", "pts_seconds"):
                del file["sequences/zoe"][name]
                file["sequences/zoe"][name] = data

        edited(path, edit)
        with Corpus(path) as corpus:
            for read in (lambda: corpus.labels("zoe", "valence"), lambda: corpus.boxes("zoe")):
                with pytest.raises(StoreError, match="with a row a frame"):
                    read()
            with pytest.raises(StoreError, match="has no pts_seconds with a row a frame"):
                corpus.pts_seconds("zoe")


def frames_of(**options: object) -> Callable[[h5py.File], None]:
    """Put a dataset of these options in the place of zoe's frames."""

    def edit(file: h5py.File) -> None:
        del file["sequences/zoe/frames"]
        file["sequences/zoe"].create_dataset("frames", **options)

    return edit


def link_frames(link: object) -> Callable[[h5py.File], None]:
    def edit(file: h5py.File) -> None:
        del file["sequences/zoe/frames"]
        file["sequences/zoe/frames"] = link

    return edit


def virtual_frames(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((130, 96, 96), np.uint8)
    layout[:] = h5py.VirtualSource("other.h5", "sequences/zoe/frames", (130, 96, 96))
    del file["sequences/zoe/frames"]
    file["sequences/zoe"].create_virtual_dataset("frames", layout)


def twice_deflated_frames(file: h5py.File) -> None:
    """Deflate of deflate packs zeros a million times: 150 GB in 150 kB."""
    del file["sequences/zoe/frames"]
    plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plan.set_chunk((64, 96, 96))
    plan.set_deflate(9)
    plan.set_deflate(9)
    space = h5py.h5s.create_simple((130, 96, 96))
    group = file["sequences/zoe"].id
    frames = h5py.Dataset(h5py.h5d.create(group, b"frames", h5py.h5t.NATIVE_UINT8, space, plan))
    frames[:] = FRAMES["zoe"]


class TestHostileCorpus:
    @pytest.mark.parametrize(
        "edit",
        [
            frames_of(shape=(2**24, 96, 96), dtype=np.uint8, chunks=(64, 96, 96), compression="gzip"),
            frames_of(shape=(2**24 + 1, 96, 96), dtype=np.uint8, chunks=(64, 96, 96)),
            frames_of(shape=(2**40, 96, 96), dtype=np.uint8, chunks=(64, 96, 96)),
            frames_of(shape=(2**20, 96, 96), dtype=np.uint8),
            frames_of(data=np.zeros((64, 96, 96), np.uint8), chunks=(2**15, 96, 96), maxshape=(None, 96, 96)),
            frames_of(shape=(0, 96, 96), dtype=np.uint8),
            frames_of(shape=(), dtype=np.uint8),
            frames_of(data=h5py.Empty("u1")),
            frames_of(data=np.zeros((130, 96, 97), np.uint8)),
            frames_of(data=np.zeros((130, 96, 96), np.int8)),
            frames_of(data=np.zeros((130, 96, 96), np.uint8), chunks=(64, 96, 96), compression="lzf"),
            frames_of(shape=(130, 96, 96), dtype=np.uint8, external=[("other.h5", 0, 130 * 96 * 96)]),
            link_frames(h5py.ExternalLink("other.h5", "sequences/zoe/frames")),
            link_frames(h5py.SoftLink("/sequences/anna/frames")),
            link_frames(np.zeros(3)),
            virtual_frames,
            twice_deflated_frames,
        ],
        ids=[
            "declared, not stored",
            "too many",
            "absurdly many",
            "contiguous, not stored",
            "huge chunk",
            "none",
            "scalar",
            "empty",
            "size",
            "type",
            "filter",
            "external storage",
            "external link",
            "soft link",
            "other data",
            "virtual",
            "deflated twice",
        ],
    )
    def test_frames(self, path, tmp_path, edit, monkeypatch):
        write(tmp_path / "other.h5")
        monkeypatch.chdir(tmp_path)
        edited(path, edit)
        message = (
            r"sequence 'zoe' lacks frames of uint8 \(T, 96, 96\) stored in this file; make the corpus again"
            r"|'zoe' is damaged \(a data set (in external files|whose data lie elsewhere, or nowhere)\)"
        )
        with Corpus(path) as corpus:
            for read in (corpus.sequence, corpus.frames, corpus.pts_seconds):
                with pytest.raises(StoreError, match=message):
                    read("zoe")
            assert corpus.sequence("anna").n_frames == 64

    @pytest.mark.parametrize(
        "name", ["sequences", "sequences/zoe", "sequences/zoe/labels", "sequences/zoe/labels/valence"]
    )
    def test_links_into_another_file_are_not_followed(self, path, tmp_path, name):
        """Not even opened: a link may name a device or a pipe, which would block for ever."""
        os.mkfifo(tmp_path / "pipe")
        for target in (write(tmp_path / "other.h5"), tmp_path / "pipe"):
            edited(path, lambda file, target=target: point(file, name, h5py.ExternalLink(str(target), name)))
            with pytest.raises(StoreError, match=r"no group /sequences|no sequence 'zoe'|no labels/valence"):
                read_labels(path)

    def test_a_series_that_only_declares_its_shape(self, path):
        def edit(file: h5py.File) -> None:
            del file["sequences/zoe/labels/valence"]
            file["sequences/zoe/labels"].create_dataset("valence", (130, 2**40), np.float32, chunks=(1, 1024))

        edited(path, edit)
        with pytest.raises(StoreError, match="no labels/valence with a row a frame"):
            read_labels(path)

    @pytest.mark.parametrize("names", ["[", '{"yaw": 1}', "[1, 2]", "[" * 100_000])
    def test_names_that_are_no_list_of_names(self, path, names):
        def edit(file: h5py.File) -> None:
            for dataset, attribute in (("labels/emotion", "classes"), ("series/pose", "columns")):
                file[f"sequences/zoe/{dataset}"].attrs.create(attribute, names.encode()[:60_000])

        edited(path, edit)
        with Corpus(path) as corpus:
            with pytest.raises(StoreError, match=r"labels/emotion of 'zoe' (is damaged|are no list of names)"):
                corpus.classes("zoe", "emotion")
            with pytest.raises(StoreError, match=r"series/pose of 'zoe' (is damaged|are no list of names)"):
                corpus.series("zoe", "pose")

    @pytest.mark.parametrize("group", ["sequences", "sequences/zoe/labels", "sequences/zoe/series"])
    def test_names_that_are_no_text(self, path, group):
        """h5py gives these as bytes."""

        def edit(file: h5py.File) -> None:
            held = file[group]
            held.id.links.create_soft(b"\xff\xfe", b"nowhere")

        edited(path, edit)
        with pytest.raises(StoreError, match=r"is damaged \(a name that is not UTF-8\)"):
            read_everything(path)

    def test_only_what_a_corpus_holds_is_copied(self, path, tmp_path):
        """HDF5 would copy anything, and dies of some of it."""

        def edit(file: h5py.File) -> None:
            file["sequences/zoe/foreign"] = np.zeros(3)
            file["sequences/zoe/frames"].attrs["foreign"] = "text"
            del file["sequences/anna/pts_seconds"]
            file["sequences/anna/pts_seconds"] = np.dtype("f8")

        edited(path, edit)
        with CorpusWriter(tmp_path / "copy.h5") as writer, Corpus(path) as corpus:
            writer.copy(corpus, "zoe")
            with pytest.raises(StoreError, match="pts_seconds is no dataset of numbers in this file"):
                writer.copy(corpus, "anna")
        with h5py.File(tmp_path / "copy.h5") as file:
            assert set(file["sequences/zoe"]) == {"frames", "pts_seconds", "boxes", "labels", "series"}
            assert not file["sequences/zoe/frames"].attrs

    def test_frames_that_are_packed_in_another_way_are_copied(self, path, tmp_path):
        edited(path, frames_of(data=FRAMES["zoe"], chunks=(50, 96, 48), compression="gzip", shuffle=True))
        with CorpusWriter(tmp_path / "copy.h5") as writer, Corpus(path) as corpus:
            writer.copy(corpus, "zoe")
        with Corpus(tmp_path / "copy.h5") as copied:
            np.testing.assert_array_equal(copied.frames("zoe"), FRAMES["zoe"])

    def test_a_series_with_other_columns_than_it_names(self, path):
        edited(path, lambda file: file["sequences/zoe/series/pose"].attrs.update({"columns": '["yaw"]'}))
        with Corpus(path) as corpus, pytest.raises(StoreError, match="no series/pose with a row a frame"):
            corpus.series("zoe", "pose")

    def test_flipped_bytes_are_refused_or_harmless(self, path, tmp_path):
        """In a process of its own, as HDF5 itself may crash on what it does not check; nothing else may come up."""
        program = f"""
import sys, random
from pathlib import Path
sys.path.insert(0, {str(ROOT)!r})
from tests.codecsim.corpora import read_everything
from codecsim.errors import StoreError
whole, path, refused = Path({str(path)!r}).read_bytes(), Path({str(tmp_path / "flipped.h5")!r}), 0
rng = random.Random(5)
places = [*range(0, 2000, 23), *(rng.randrange(len(whole)) for _ in range(40))]
for place in places:
    path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << rng.randrange(8)]) + whole[place + 1:])
    try:
        read_everything(path)
    except StoreError:
        refused += 1
print(refused)
"""
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert int(done.stdout) > 60


def point(file: h5py.File, name: str, link: h5py.ExternalLink) -> None:
    del file[name]
    file[name] = link


def read_labels(path: Path) -> None:
    with Corpus(path) as corpus:
        corpus.sequence("zoe")
        corpus.labels("zoe", "valence")
