"""The Python interface: sweeps of real frames, their numbers against an independent count, measures on request."""

from pathlib import Path

import numpy as np
import pytest

import codecsim
from codecsim.codecs import CODECS
from codecsim.corpus import CorpusWriter
from codecsim.decode import decode
from codecsim.errors import UsageError
from codecsim.parts import parts_folder
from codecsim.quality import li3ddct, psnr_db, ssim, strred
from codecsim.scaling import downscale, upscale
from tests.clips import carphone_faces, write_corpus


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("swept")
    corpus = write_corpus(folder / "corpus.h5", {"anna": carphone_faces()[:60], "bo": carphone_faces()[60:, ::-1]})
    report = codecsim.sweep(corpus, out=folder / "sweep.h5", scales=[3, 4, 12], qp=[24, 36], codec=["x264", "vp9"])
    assert (report.n_streams, report.n_new, report.n_reused, report.failures) == (24, 24, 0, ())
    return folder / "sweep.h5"


def test_every_number_follows_from_the_bytes(swept: Path) -> None:
    with codecsim.open_sweep(swept) as sweep, codecsim.Corpus(swept.with_name("corpus.h5")) as corpus:
        for row in range(len(sweep)):
            stored = {name: values[row] for name, values in sweep.streams.items()}
            hr = corpus.frames(stored["sequence"])
            side = 96 // stored["scale"]
            packets = sweep.packets(row)
            bits = 8 * len(b"".join(packets))
            assert (stored["width"], stored["height"], stored["n_frames"]) == (side, side, len(hr))
            assert stored["bits_total"] == bits
            assert stored["bpp_lr"] == bits / (len(hr) * side * side)
            assert stored["bpp_hr"] == bits / (len(hr) * 96 * 96)
            assert stored["rate_kbps"] == pytest.approx(bits / (len(hr) / 25.0) / 1000)
            block = 16 if stored["codec"] == "x264" else 8
            assert stored["coded_width"] == -(-side // block) * block
            lr = downscale(hr, int(stored["scale"]))
            decoded = decode(packets, stored["codec"], width=side, height=side)
            overall = -10 * np.log10(np.mean(10 ** (-psnr_db(lr, decoded) / 10)))
            assert stored["psnr_lr_db"] == pytest.approx(overall)
            assert stored["ssim_hr"] == pytest.approx(ssim(hr, upscale(decoded)).mean(), abs=1e-5)
            assert np.isnan(stored["ssim_lr"]) == (side < 11)
            assert np.isnan(stored["strred"])


def test_the_extra_cost_of_s_4_is_padding_times_bits_per_coded_pixel(swept: Path) -> None:
    with codecsim.open_sweep(swept) as sweep:
        streams = sweep.streams
        three, four = (int(sweep.find(f"anna/x264/s{s}/qp24")[0]) for s in (3, 4))
        padding = streams["coded_width"].astype(float) ** 2 / streams["width"].astype(float) ** 2
        assert padding[four] / padding[three] == pytest.approx(1024 / 576)
        assert streams["bpp_lr"][four] > 1.3 * streams["bpp_lr"][three]


def test_a_name_that_stands_for_other_frames_is_refused(tmp_path: Path) -> None:
    """Rates would be pooled over both, and networks would be measured against the frames of the first."""
    out, grid = tmp_path / "sweep.h5", {"scales": [3], "qp": [30]}
    faces = carphone_faces()
    codecsim.sweep(write_corpus(tmp_path / "a.h5", {"anna": faces[:20], "bo": faces[20:30]}), out=out, **grid)
    before = out.read_bytes()
    other = write_corpus(tmp_path / "b.h5", {"bo": faces[20:30], "anna": faces[:19]})
    with pytest.raises(UsageError, match=r"holds streams of other frames under the name 'anna'; name another --out"):
        codecsim.sweep(other, out=out, **grid)
    assert out.read_bytes() == before
    more = write_corpus(tmp_path / "c.h5", {"bo": faces[20:30], "cy": faces[:19]})
    assert codecsim.sweep(more, out=out, **grid).n_streams == 3


def test_so_it_is_by_what_a_sweep_that_was_cut_off_left(tmp_path: Path) -> None:
    out, grid = tmp_path / "sweep.h5", {"scales": [3], "qp": [30]}
    faces = carphone_faces()
    first = write_corpus(tmp_path / "a.h5", {"anna": faces[:20]})
    codecsim.sweep(first, out=out, **grid)
    parts = parts_folder(out)
    parts.mkdir()
    out.rename(parts / "left.h5")
    (parts / "torn.h5").write_bytes(b"torn")
    other = write_corpus(tmp_path / "b.h5", {"anna": faces[:19]})
    with pytest.raises(UsageError, match=r"sweep\.h5\.parts, which .* left, holds .* under the name 'anna'"):
        codecsim.sweep(other, out=out, **grid)
    assert codecsim.sweep(first, out=out, **grid).n_reused == 1


def test_what_is_there_is_not_done_again_and_what_is_missing_is(tmp_path: Path) -> None:
    short = {"anna": carphone_faces()[:8], "bo": carphone_faces()[60:68]}
    corpus, out = write_corpus(tmp_path / "short.h5", short), tmp_path / "sweep.h5"
    codecsim.sweep(corpus, out=out, scales=[3], qp=[24])
    before = out.read_bytes()
    again = codecsim.sweep(corpus, out=out, scales=[3], qp=[24])
    assert (again.n_new, again.n_reused) == (0, 2)
    assert out.read_bytes() == before
    more = codecsim.sweep(corpus, out=out, scales=[3, 4], qp=[24, 30], quality=["li3ddct", "strred"])
    assert (more.n_new, more.n_reused, more.n_streams) == (6, 2, 8)
    forced = codecsim.sweep(corpus, out=out, scales=[3], qp=[24], force=True)
    assert (forced.n_new, forced.n_reused, forced.n_streams) == (2, 0, 8)
    with codecsim.open_sweep(out) as sweep:
        assert len(sweep.grids) == 2
        # The two rows that were done again lost their features, the other six kept theirs.
        measured = ~np.isnan(sweep.features("li3ddct")).all(axis=1)
        redone = set(sweep.find("s3/qp24"))
        assert [row in redone for row in range(8)] == (~measured).tolist()
        row = int(np.flatnonzero(measured)[0])
        side = sweep.streams["width"][row]
        enlarged = upscale(decode(sweep.packets(row), "x264", width=side, height=side))
        hr = short[sweep.streams["sequence"][row]]
        assert sweep.streams["strred"][row] == pytest.approx(strred(hr, enlarged))
        np.testing.assert_allclose(sweep.features("li3ddct")[row], li3ddct(enlarged), rtol=1e-5)
        assert (np.isnan(sweep.streams["strred"]) == ~measured).all()
    assert not codecsim.verify(out)


def test_workers_make_the_same_bytes(swept: Path, tmp_path: Path) -> None:
    corpus = swept.with_name("corpus.h5")
    digests = []
    for workers in (1, 2):
        out = tmp_path / f"{workers}.h5"
        codecsim.sweep(corpus, out=out, scales=[3], qp=[24, 30], codec=list(CODECS), workers=workers)
        with codecsim.open_sweep(out) as sweep:
            digests.append(dict(zip(map(sweep.name, range(len(sweep))), sweep.column("stream_sha256"), strict=True)))
    assert digests[0] == digests[1]
    assert len(digests[0]) == 16
    assert codecsim.compare(tmp_path / "1.h5", tmp_path / "2.h5").passed


def test_requests_that_contradict_themselves_are_refused(swept: Path) -> None:
    corpus = swept.with_name("corpus.h5")
    for request, message in (
        ({"qp": [24], "crf": [24]}, "qp and crf exclude each other"),
        ({"quality": ["vmaf"]}, "no quality measure 'vmaf' on request; there are: strred, li3ddct"),
        ({"workers": 0}, "0 workers: at least 1 is needed"),
        ({"sources": []}, "no source: name a video or corpus file, or one of carphone"),
        ({"sources": [corpus, corpus]}, "would both be named"),
    ):
        with pytest.raises(UsageError, match=message):
            codecsim.sweep(**({"sources": corpus, "out": swept} | request))


@pytest.fixture(scope="module")
def parted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus with a sequence of each split."""
    path = tmp_path_factory.mktemp("splits") / "parted.h5"
    with CorpusWriter(path) as writer:
        for split in ("train", "dev", "test"):
            with writer.sequence(f"{split}_1", fps=25, subject=split, split=split) as sequence:
                for index in range(2):
                    sequence.append(np.full((96, 96), 100, np.uint8), pts_seconds=index / 25)
    return path


@pytest.mark.parametrize(
    ("splits", "expected", "note"),
    [
        ((), ["dev_1"], "its split dev is taken, 1 of 3 sequences; others on request"),
        (("dev",), ["dev_1"], ""),
        (("train", "test"), ["test_1", "train_1"], ""),
    ],
)
def test_people_that_networks_know_are_not_coded_unless_named(
    parted: Path, tmp_path: Path, splits: tuple[str, ...], expected: list[str], note: str
) -> None:
    report = codecsim.sweep(parted, out=tmp_path / "sweep.h5", splits=splits, qp=[30], scales=[4])
    with codecsim.open_sweep(tmp_path / "sweep.h5") as opened:
        assert sorted(opened.column("sequence").tolist()) == expected
    assert " ".join(report.notes).partition(": ")[2] == note


def test_a_split_that_no_corpus_has_is_refused(parted: Path, small_corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no sequence is of split 'val'; there are dev, test, train"):
        codecsim.sweep(parted, out=tmp_path / "sweep.h5", splits=["dev", "val"])
    report = codecsim.sweep(
        [parted, small_corpus], out=tmp_path / "sweep.h5", splits=["train", "dev"], qp=[30], scales=[4]
    )
    assert report.n_new == 1 + 1 + 2
