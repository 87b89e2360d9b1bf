"""What is fuzzed: seeds that our own code makes, how they are damaged, and how what comes of it is read.

A judge reads a file in every way in which the package does. It counts refusals, `CodecsimError` and nothing else, and
goes on to the next way of reading; whatever else is raised is a finding, and so is a wrong result that it can tell.
"""

import contextlib
import importlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import h5py
import numpy as np

from codecsim.bitstream import STANDARDS, count_bits
from codecsim.codecs import CODECS, EncoderSettings
from codecsim.corpus import Corpus, CorpusWriter, is_corpus
from codecsim.decode import decode
from codecsim.encode import encode
from codecsim.errors import CodecsimError
from codecsim.parts import parts_folder
from codecsim.store import Sweep
from codecsim.store.merge import merge
from codecsim.store.records import Series, write_predictions
from codecsim.store.verify import verify
from tests.clips import carphone_faces
from tests.fuzz import hdf5, mutations
from tests.fuzz.mutations import Rng

Found = TypeVar("Found")

_N_FRAMES = 5
_STREAM_SIDE = 32


class Judge:
    """Calls readers of a file.

    Attributes
    ----------
    n_refused : readers that refused
    """

    def __init__(self) -> None:
        self.n_refused = 0

    def __call__(self, read: Callable[[], Found]) -> Found | None:
        """What `read` returns; None where it refused."""
        try:
            return read()
        except CodecsimError:
            self.n_refused += 1
            return None


@dataclass(frozen=True)
class Target:
    """One reader of untrusted files.

    Attributes
    ----------
    name : as `python -m tests.fuzz --target` takes it
    suffix : of its files
    seeds : makes good files in a folder
    mutate : damages the bytes of one; the path is free to be used meanwhile
    read : reads a file in every way
    """

    name: str
    suffix: str
    seeds: Callable[[Path], Sequence[bytes]]
    mutate: Callable[[Rng, bytes, Path], bytes]
    read: Callable[[Judge, Path], object]


# Bitstreams ----------------------------------------------------------------------------------------------------------


def _streams(codec: str, folder: Path) -> list[bytes]:
    """The streams of one codec, some frames of one face, at two QPs."""
    frames = np.ascontiguousarray(carphone_faces()[:_N_FRAMES, : 2 * _STREAM_SIDE : 2, : 2 * _STREAM_SIDE : 2])
    settings = EncoderSettings(codec=codec)
    return [mutations.framed([*encode(frames, settings, value, fps=25.0).packets]) for value in (24, 36)]


def _count(standard: str, judge: Judge, path: Path) -> None:
    packets = mutations.unframed(path.read_bytes())
    ledger = judge(lambda: count_bits(packets, standard))
    if ledger is not None:
        assert ledger.bits_total == 8 * sum(map(len, packets)), "bits do not add up"
        assert (ledger.packet_bits >= 0).all(), "negative bits"


def _decode(codec: str, judge: Judge, path: Path) -> None:
    packets = mutations.unframed(path.read_bytes())
    frames = judge(lambda: decode(packets, codec, width=_STREAM_SIDE, height=_STREAM_SIDE))
    assert frames is None or frames.shape == (len(packets), _STREAM_SIDE, _STREAM_SIDE), "another shape"


# HDF5 ----------------------------------------------------------------------------------------------------------------


def _write_corpus(path: Path) -> Path:
    """Two people, with all that a corpus can hold."""
    with CorpusWriter(path, attributes={"made_by": "a fuzzer"}) as writer:
        for start, name in enumerate(("anna", "bo")):
            with writer.sequence(name, fps=25.0, subject=name, split="dev", source="test") as out:
                for n in range(_N_FRAMES):
                    # coarse, so that the file stays small
                    frame = np.kron(carphone_faces()[20 * start + n, ::16, ::16], np.ones((16, 16), np.uint8))
                    out.append(frame, pts_seconds=n / 25, box=(1.0, 2.0, 96.0, 96.0))
                out.labels("valence", np.linspace(-1, 1, _N_FRAMES, dtype=np.float32))
                out.labels("emotion", np.arange(_N_FRAMES, dtype=np.int16) % 2, classes=("calm", "joy"))
                out.series("pose", np.zeros((_N_FRAMES, 2), np.float32), columns=("yaw", "pitch"))
    return path


def _corpora(folder: Path) -> list[bytes]:
    return [_write_corpus(folder / "corpus.h5").read_bytes()]


def _read_corpus(judge: Judge, path: Path) -> None:
    is_corpus(path)
    corpus = judge(lambda: Corpus(path))
    if corpus is None:
        return
    with corpus:
        judge(lambda: corpus.attribute("made_by"))
        described = judge(corpus.sequences)
        names = [each.name for each in described] if described else ["anna", "bo"]
        with h5py.File("copy", "w", driver="core", backing_store=False) as copy:
            for name in names:
                judge(partial(corpus.copy_into, copy, name))
        for name in names:
            for read in (corpus.sequence, corpus.frames, corpus.boxes, corpus.pts_seconds, corpus.series_names):
                judge(partial(read, name))
            sequence = judge(partial(corpus.sequence, name))
            for task in sequence.tasks if sequence else ("valence", "emotion"):
                judge(partial(corpus.labels, name, task))
                judge(partial(corpus.classes, name, task))
            for series in judge(partial(corpus.series_names, name)) or ("pose",):
                judge(partial(corpus.series, name, series))


def _sweeps(folder: Path) -> list[bytes]:
    """Streams of every codec, and predictions."""
    from codecsim.simulator import sweep

    out = folder / "sweep.h5"
    corpus = _write_corpus(folder / "corpus.h5")
    sweep(corpus, out=out, scales=(3,), qp=(24, 36), codec=("x264", "vp9"), workers=1)
    with Sweep(out) as made:
        keys, attributes = made.column("key").tolist(), made.attributes
    told = {"weights": "0" * 64, "precision": "fp32", "delay_seconds": 0.0, "every": 1}
    values = np.linspace(-1, 1, _N_FRAMES, dtype=np.float32)
    series = [
        *(Series(name, "", 1, "truth", "valence", -1, values=values, **told) for name in ("anna", "bo")),
        *(Series("anna", key, 3, "joint-3", "valence", 0, values=values, **told) for key in keys),
    ]
    write_predictions(parts_folder(out) / "part.h5", series)
    merge(out, parts_folder(out), attributes)
    return [out.read_bytes()]


def _read_sweep(judge: Judge, path: Path) -> None:
    from pipelines.readings import Readings
    from pipelines.tables import points

    sweep = judge(lambda: Sweep(path))
    if sweep is None:
        return
    with sweep:
        for read in ("grids", "digests", "corpora", "versions", "attributes", "streams", "predictions"):
            judge(partial(getattr, sweep, read))
        judge(sweep.raw_streams)
        judge(sweep.raw_predictions)
        judge(lambda: sweep.features("li3ddct"))
        judge(lambda: sweep.predicted_between(0, sweep.n_predicted))
        for row in range(min(len(sweep), 64)):
            for read_row in (sweep.name, sweep.packet_table, sweep.bitstream, sweep.packets):
                judge(partial(read_row, row))
            judge(partial(sweep.packet_column, row, "pts"))
        judge(lambda: sweep.find("anna/s3"))
        judge(lambda: sweep.one("anna/x264/s3/qp24"))
        judge(lambda: Readings(sweep))
        judge(lambda: points(sweep))
    judge(lambda: verify(path))


# Weights, checkpoints and predictions --------------------------------------------------------------------------------


def _models(folder: Path) -> list[bytes]:
    """A small network of one's own."""
    from recognition.models import save_model
    from tests.recognition.test_models import OF_SMALL, SmallNetwork

    save_model(folder / "model.safetensors", SmallNetwork(1), OF_SMALL)
    return [(folder / "model.safetensors").read_bytes()]


def _read_model(judge: Judge, path: Path) -> None:
    from recognition.methods import get_method
    from recognition.models import load_model, read_provenance, weights_digest
    from tests.recognition.test_models import SMALL_3

    judge(lambda: read_provenance(path))
    judge(lambda: weights_digest(path))
    judge(lambda: load_model(path, method=get_method(SMALL_3)))
    Judge()(lambda: load_model(path))  # refused unless it names a method of ours


def _checkpoints(folder: Path) -> list[bytes]:
    from recognition.checkpoints import save_checkpoint
    from recognition.loop import State
    from tests.recognition.small import SmallNetwork

    weights = dict(SmallNetwork(1).state_dict())
    state = State(step=3, best=0.5, network=weights, best_network=weights, momentum=weights, history=[{"step": 1.0}])
    save_checkpoint(folder / "checkpoint.safetensors", state, {"seed": 0, "labels": ["valence"]})
    return [(folder / "checkpoint.safetensors").read_bytes()]


def _read_checkpoint(judge: Judge, path: Path) -> None:
    from recognition.checkpoints import load_checkpoint

    judge(lambda: load_checkpoint(path, {"seed": 0, "labels": ["valence"]}))


def _predictions(folder: Path) -> list[bytes]:
    from pipelines.predictions import Kept, write_predictions

    made_by = {"settings": {"seed": 0}, "weights": "0" * 64, "frames": "1" * 64, "hardware": "none"}
    values = np.linspace(-1, 1, 12, dtype=np.float32).reshape(6, 2)
    write_predictions(folder / "kept.npz", Kept(made_by, {3: values, 4: values}))
    return [(folder / "kept.npz").read_bytes()]


def _read_predictions(judge: Judge, path: Path) -> None:
    from pipelines.predictions import read_predictions

    kept = judge(lambda: read_predictions(path))
    if kept is not None:
        judge(lambda: kept.is_of({"seed": 0}, "1" * 64))


def _truths(folder: Path) -> list[bytes]:
    from pipelines.predictions import Truth, write_truth

    people = np.array(["anna"] * 3 + ["bo"] * 3)
    targets, rates = np.linspace(-1, 1, 6, dtype=np.float32).reshape(6, 1), np.full(6, 25.0)
    write_truth(folder / "truth.npz", Truth(targets, people, people, rates, ("valence",), 1, "0" * 64, "1" * 64, False))
    return [(folder / "truth.npz").read_bytes()]


def _read_truth(judge: Judge, path: Path) -> None:
    from pipelines.predictions import read_truth

    truth = judge(lambda: read_truth(path))
    if truth is not None:
        judge(lambda: truth.rate)


# Tables and their like -----------------------------------------------------------------------------------------------

_LABELS = "time,valence,smile\n0.00,0.1,0\n0.04,,1\n0.08,-0.25,1\n0.12,nan,0\n"
_RATINGS = "time;FM1 ;FM2\r\n0.00;0.1;0.2\r\n0.04;0.1;\r\n0.08;0.2;0.3\r\n"
_BOXES = (
    "time,x,y,w,h\n0.00,1,2,30,40\n0.04,1.5,2,30,40\n0.20,9,9,30,30\n",
    "frame;person;x;y;w;h\n0;a;1;2;30;40\n0;b;1;2;30;40\n2;a;1;2;30;40\n",
)
_ARFF = (
    "@relation GOLD\n\n@attribute Instance_name string\n@attribute 'frameTime' numeric\n"
    "@attribute GoldStandard numeric\n"
    "@data\n% a comment\ndev_1,0.00,0.1\n'dev_1',0.04,?\n\"dev_1\",0.08,-0.5\n"
)
_XML = (
    '<?xml version="1.0"?>\n<a:b xmlns:a="c"><Metatag Name="Emotion" Value="3"/><d e=\'f\'>text &amp; more</d></a:b>\n'
)


def _texts(*texts: str) -> Callable[[Path], list[bytes]]:
    return lambda _: [text.encode() for text in texts]


def _read_labels(judge: Judge, path: Path) -> None:
    from codecsim.sources.tables import read_labels

    labels = judge(lambda: read_labels(path))
    if labels is not None:
        joined = labels.at(np.array([0.0, 0.04, 0.3, 1e9]), 0.04)
        assert all(values.shape == (4,) for values in joined.values()), "another shape"
        labels.span()


def _read_boxes(judge: Judge, path: Path) -> None:
    from codecsim.sources.tables import read_boxes

    for boxes in judge(lambda: read_boxes(path, frame_interval=0.04)) or ():
        for seconds in (0.0, 0.1, 1e9):
            boxes.square(seconds, 0.02, 1.0)


def _read_gold_standard(judge: Judge, path: Path) -> None:
    from codecsim.sources.datasets.arff import read_arff
    from codecsim.sources.datasets.ratings import read_gold_standard

    judge(lambda: read_arff(path))
    judge(lambda: read_gold_standard(path))


def _read_ratings(judge: Judge, path: Path) -> None:
    from codecsim.sources.datasets.ratings import read_frame_times, read_gold_standard, read_ratings

    for read in (read_ratings, read_gold_standard):
        judge(partial(read, path))
    Judge()(lambda: read_frame_times(path))  # refused unless the first rater ascends


def _read_elements(judge: Judge, path: Path) -> None:
    from codecsim.sources.datasets.markup import read_elements

    judge(lambda: read_elements(path))


def _clip(actor: str) -> bytes:
    """Labels of two frames, as AFEW-VA gives them."""
    points = [[float(n), float(n) / 2] for n in range(68)]
    known = {"landmarks": points, "valence": -3, "arousal": 10}
    return json.dumps({"actor": actor, "video_id": "001", "frames": {"00000": known, "00001": known}}).encode()


def _read_clip(judge: Judge, path: Path) -> None:
    """The labels of AFEW-VA, where the data set has them."""
    from codecsim.sources.datasets.afewva import find_recordings

    root, place = path.parent / "tree", "001/001.json"
    with contextlib.suppress(FileExistsError):
        (root / "002").mkdir(parents=True)
        (root / "002" / "002.json").write_bytes(_clip("Bob"))
    with contextlib.suppress(FileExistsError):
        (root / place).parent.mkdir(parents=True)
    (root / place).unlink(missing_ok=True)
    os.link(path, root / place)
    judge(lambda: find_recordings(root, n_folds=2))


# Pictures and recordings ---------------------------------------------------------------------------------------------


def _images(folder: Path) -> list[bytes]:
    from PIL import Image

    made = []
    for suffix in ("png", "jpg", "bmp", "tif"):
        Image.fromarray(carphone_faces()[0, ::4, ::4]).save(folder / f"image.{suffix}")
        made.append((folder / f"image.{suffix}").read_bytes())
    return made


def _read_image(judge: Judge, path: Path) -> None:
    from codecsim.sources.datasets.images import read_aligned, read_gray

    judge(lambda: read_gray(path))
    judge(lambda: read_aligned(path))


_CONTAINERS = (("mp4", "libx264"), ("mkv", "libvpx-vp9"), ("avi", "mpeg4"), ("ts", "mpeg2video"), ("mov", "mjpeg"))


def _videos(folder: Path) -> list[bytes]:
    from tests.codecsim.sources.footage import carphone_rgb, write_video

    frames = carphone_rgb()[:_N_FRAMES, :64, :64]
    made = []
    for suffix, codec in _CONTAINERS:
        path = folder / f"clip.{suffix}"
        write_video(
            path, frames, codec=codec, pix_fmt="yuvj420p" if codec == "mjpeg" else "yuv420p", options={"threads": "1"}
        )
        made.append(path.read_bytes())
    return made


def _read_video(judge: Judge, path: Path) -> None:
    from codecsim.sources.decoding import VideoReader

    def read() -> int:
        with VideoReader(path) as reader:
            for frame in reader:
                assert frame.luma.shape == (reader.height, reader.width), "another shape"
                frame.thumbnail(32)
            return reader.n_frames

    judge(read)


def _plain(mutate: mutations.Mutate) -> Callable[[Rng, bytes, Path], bytes]:
    return lambda rng, data, _: mutate(rng, data)


def _targets() -> Iterator[Target]:
    codecs = {codec.standard: name for name, codec in CODECS.items()}
    for standard in STANDARDS:
        seeds, damage = partial(_streams, codecs[standard]), _plain(mutations.packets_of)
        yield Target(standard, ".packets", seeds, damage, partial(_count, standard))
        yield Target(f"decode-{standard}", ".packets", seeds, damage, partial(_decode, codecs[standard]))
    yield Target("sweep", ".h5", _sweeps, hdf5.file_of, _read_sweep)
    yield Target("corpus", ".h5", _corpora, hdf5.file_of, _read_corpus)
    yield Target("model", ".safetensors", _models, _plain(mutations.prefixed_json), _read_model)
    yield Target("checkpoint", ".safetensors", _checkpoints, _plain(mutations.prefixed_json), _read_checkpoint)
    yield Target("predictions", ".npz", _predictions, _plain(mutations.arrays_of), _read_predictions)
    yield Target("truth", ".npz", _truths, _plain(mutations.arrays_of), _read_truth)
    text, structured = _plain(mutations.text_of), _plain(mutations.json_of)
    yield Target("labels", ".csv", _texts(_LABELS), text, _read_labels)
    yield Target("boxes", ".csv", _texts(*_BOXES), text, _read_boxes)
    yield Target("arff", ".arff", _texts(_ARFF), text, _read_gold_standard)
    yield Target("ratings", ".csv", _texts(_RATINGS), text, _read_ratings)
    yield Target("xml", ".xml", _texts(_XML), text, _read_elements)
    yield Target("afewva", ".json", lambda _: [_clip("Ann")], structured, _read_clip)
    yield Target("image", ".image", _images, _plain(mutations.bytes_of), _read_image)
    yield Target("video", ".video", _videos, _plain(mutations.bytes_of), _read_video)


TARGETS = {target.name: target for target in _targets()}


def target_of(name: str) -> Target:
    """The target of a name, which is that of one above, or ``module:attribute``."""
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute) if attribute else TARGETS[name]
