"""Image files of every kind and state of repair to gray pictures."""

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from codecsim.errors import SourceError
from codecsim.scaling import resize
from codecsim.sources.datasets import images
from codecsim.sources.datasets.images import Tolerant, numbered_images, read_aligned, read_gray, shrunk
from codecsim.sources.datasets.trees import mark, stat_file

RNG = np.random.default_rng(3)
RGB = RNG.integers(0, 256, (20, 30, 3), np.uint8)
GRAY = RNG.integers(0, 256, (20, 30), np.uint8)
LUMA = np.floor(RGB @ [0.299, 0.587, 0.114] + 0.5)


def save(path: Path, pixels: np.ndarray | Image.Image, **options: object) -> Path:
    picture = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    picture.save(path, **options)
    return path


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif"])
def test_gray_pictures_stay_as_they_are(tmp_path: Path, name: str) -> None:
    gray = read_gray(save(tmp_path / name, GRAY))
    np.testing.assert_array_equal(gray, GRAY)
    assert gray.flags.writeable
    assert gray.flags.owndata


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif"])
def test_gray_of_colours_is_their_luma(tmp_path: Path, name: str) -> None:
    found = read_gray(save(tmp_path / name, RGB)).astype(int)
    assert abs(found - LUMA).max() <= 1
    assert (found == LUMA).mean() > 0.99


def test_gray_is_matlabs_to_a_level() -> None:
    colours = np.stack(np.meshgrid(*[np.arange(0, 256, 5)] * 3, indexing="ij"), -1).astype(np.uint8).reshape(52, -1, 3)
    # The first row of the inverse of NTSC's matrix, which rgb2gray takes its weights from.
    weights = np.linalg.inv([[1, 0.956, 0.621], [1, -0.272, -0.647], [1, -1.106, 1.703]])[0]
    ours = np.asarray(images._gray(Image.fromarray(colours))).astype(int)
    matlabs = np.floor(colours @ weights + 0.5)
    assert abs(ours - matlabs).max() <= 1
    assert (ours == matlabs).mean() > 0.99


def test_a_jpeg_gives_its_own_luma_plane(tmp_path: Path) -> None:
    path = save(tmp_path / "a.jpg", RGB, quality=95)
    with Image.open(path) as image:
        image.draft("YCbCr", None)
        np.testing.assert_array_equal(read_gray(path), np.asarray(image)[..., 0])


@pytest.mark.parametrize("ending", ["png", "jpg", "tif"])
def test_the_exif_orientation_is_applied(tmp_path: Path, ending: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the first row is the right side
    ramp = np.tile(np.arange(0, 240, 8, dtype=np.uint8), (20, 1))
    found = read_gray(save(tmp_path / f"a.{ending}", ramp, exif=exif))
    assert found.shape == (30, 20)
    np.testing.assert_allclose(found, np.rot90(ramp, -1), atol=6)


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_sixteen_bits_become_eight(tmp_path: Path, ending: str) -> None:
    deep = np.array([[0, 128, 129, 257, 32767, 65535]], np.uint16)
    found = read_gray(save(tmp_path / f"a.{ending}", deep))
    np.testing.assert_array_equal(found, [[0, 0, 1, 1, 127, 255]])


def test_palettes_and_transparency(tmp_path: Path) -> None:
    palette = Image.fromarray(RGB).quantize(16)
    luma = read_gray(save(tmp_path / "rgb.png", palette.convert("RGB")))
    np.testing.assert_array_equal(read_gray(save(tmp_path / "a.png", palette)), luma)
    np.testing.assert_array_equal(read_gray(save(tmp_path / "b.png", palette, transparency=3)), luma)
    veiled = np.dstack([RGB, RNG.integers(0, 256, GRAY.shape, np.uint8)])
    np.testing.assert_array_equal(read_gray(save(tmp_path / "c.png", veiled)), read_gray(save(tmp_path / "d.png", RGB)))
    np.testing.assert_array_equal(read_gray(save(tmp_path / "e.png", np.dstack([GRAY, GRAY]))), GRAY)


def test_black_and_white(tmp_path: Path) -> None:
    found = read_gray(save(tmp_path / "a.png", Image.fromarray(GRAY).convert("1")))
    assert set(np.unique(found)) == {0, 255}


def bomb(width: int, height: int) -> bytes:
    """A PNG file of a few bytes that claims a size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [8193, 9_500, 14_000])  # below Pillow's warning, above it, above its refusal
def test_pictures_that_unpack_to_too_much_are_refused(tmp_path: Path, side: int) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(bomb(side, side))
    with pytest.raises(SourceError, match=r"bomb\.png: .*; at most 67108864 pixels are read"):
        read_gray(path)


@pytest.mark.parametrize(
    ("ending", "options"), [("png", {}), ("jpg", {}), ("jpg", {"progressive": True}), ("bmp", {}), ("tif", {})]
)
def test_files_that_were_cut_short_are_refused_by_name(tmp_path: Path, ending: str, options: dict[str, object]) -> None:
    whole = save(tmp_path / f"whole.{ending}", RGB, **options).read_bytes()
    path = tmp_path / f"cut.{ending}"
    for length in range(0, len(whole) * 3 // 4, 37):
        path.write_bytes(whole[:length])
        with pytest.raises(SourceError, match=r"cut\."):
            read_gray(path)


def test_other_formats_are_refused_whatever_they_are_called(tmp_path: Path) -> None:
    held = io.BytesIO()
    Image.fromarray(RGB).save(held, "GIF")
    path = tmp_path / "a.png"
    path.write_bytes(held.getvalue())
    with pytest.raises(SourceError, match=r"a\.png: not an image, or damaged; PNG, JPEG, BMP, TIFF are read"):
        read_gray(path)


def test_real_numbers_are_no_colours(tmp_path: Path) -> None:
    path = save(tmp_path / "a.tif", RNG.random((4, 4), np.float32))
    with pytest.raises(SourceError, match="pixels of mode F; 8 or 16 bits a channel are read"):
        read_gray(path)


def test_a_picture_that_memory_has_no_room_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("codecsim.sources.datasets.images._gray", full)
    with pytest.raises(SourceError, match=r"a\.png: more pixels than there is memory for$"):
        read_gray(save(tmp_path / "a.png", RGB))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"gone\.png: no such file$"):
        read_gray(tmp_path / "gone.png")
    with pytest.raises(SourceError, match=r"damaged or cut short \(Is a directory\)"):
        read_gray(tmp_path)


def test_an_aligned_face_is_resampled_whole(tmp_path: Path) -> None:
    square = RNG.integers(0, 256, (112, 112), np.uint8)
    np.testing.assert_array_equal(read_aligned(save(tmp_path / "a.png", square)), resize(square, 96, 96))
    with pytest.raises(SourceError, match=r"b\.png: a picture of 30×20 pixels; aligned faces are square"):
        read_aligned(save(tmp_path / "b.png", GRAY))


def test_shrinking_averages_and_keeps_the_shape() -> None:
    checks = np.indices((98, 128)).sum(0) % 2 * 200
    small = shrunk(checks.astype(np.uint8), 64)
    assert small.shape == (49, 64)
    np.testing.assert_allclose(small[1:-1, 1:-1], 100, atol=2)
    np.testing.assert_array_equal(shrunk(GRAY, 320), GRAY)
    assert shrunk(np.zeros((1, 1000), np.uint8), 320).shape == (1, 320)


def test_damaged_files_are_counted(tmp_path: Path) -> None:
    whole = save(tmp_path / "a.png", GRAY)
    (tmp_path / "b.png").write_bytes(b"nothing")
    read = Tolerant(read_gray)
    assert read.notes("clip") == []
    found = [read(path) for path in (tmp_path / "b.png", whole, tmp_path / "c.png")]
    assert [picture is None for picture in found] == [True, False, True]
    (note,) = read.notes("clip")
    assert note.startswith("clip: 2 images could not be read and were left out; the first: ")
    assert "b.png: not an image" in note


class TestNumbered:
    def test_the_numbered_images_of_a_folder(self, tmp_path: Path) -> None:
        for name in ("00010.png", "00002.png", "._00002.png", ".DS_Store", "00003.jpg"):
            (tmp_path / name).touch()
        (tmp_path / "00004.png").mkdir()
        found = numbered_images(tmp_path, r"(\d{5})\.png").paths
        assert list(found.items()) == [(2, tmp_path / "00002.png"), (10, tmp_path / "00010.png")]

    def test_links_are_followed(self, tmp_path: Path) -> None:
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "elsewhere" / "x.png").write_bytes(b"12345")
        (tmp_path / "here").mkdir()
        (tmp_path / "here" / "00001.png").symlink_to(tmp_path / "elsewhere" / "x.png")
        (tmp_path / "here" / "00002.png").symlink_to(tmp_path / "nowhere")
        assert list(numbered_images(tmp_path / "here", r"(\d+)\.png").paths) == [1]

    def test_two_of_one_number(self, tmp_path: Path) -> None:
        (tmp_path / "1.png").touch()
        (tmp_path / "01.png").touch()
        with pytest.raises(SourceError, match="are both image 1; remove one"):
            numbered_images(tmp_path, r"(\d+)\.png")

    def test_a_folder_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(SourceError, match=r"gone: cannot be listed \(No such file or directory\)"):
            numbered_images(tmp_path / "gone", r"(\d+)\.png")

    def test_the_mark_changes_with_the_files(self, tmp_path: Path) -> None:
        def marked() -> str:
            return numbered_images(tmp_path, r"(\d+)\.png").mark

        path = tmp_path / "1.png"
        path.write_bytes(b"abc")
        marks = [marked(), marked()]
        os.utime(path, ns=(1, 2))
        marks.append(marked())
        path.write_bytes(b"abcd")
        os.utime(path, ns=(1, 2))
        marks.append(marked())
        path.rename(tmp_path / "2.png")
        marks.append(marked())
        assert marks[0] == marks[1]
        assert len(set(marks)) == 4

    def test_a_mark_is_of_each_file_in_order(self, tmp_path: Path) -> None:
        one, other = tmp_path / "a", tmp_path / "b"
        one.write_bytes(b"1")
        other.write_bytes(b"2")
        known = [(path, found) for path in (one, other) if (found := stat_file(path))]
        assert mark(known) != mark(known[::-1])
        assert stat_file(tmp_path) is None
        assert stat_file(tmp_path / "gone") is None
