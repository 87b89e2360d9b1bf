"""A person ready to be rendered: head, eyes, hair and glasses as one mesh, with paint and standing shade."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from codecsim.sources.synthetic.atlas import corner_places, skin_chart
from codecsim.sources.synthetic.glasses import glasses_surface
from codecsim.sources.synthetic.hair import draw_style, hair_surface
from codecsim.sources.synthetic.identity import Identity, draw_identity
from codecsim.sources.synthetic.pack import Material, Pack
from codecsim.sources.synthetic.painting import WRINKLES, Looks, draw_looks, paint
from codecsim.sources.synthetic.shadows import depth_maps, lit_share
from codecsim.sources.synthetic.smooth import smooth_step

_AMBIENT_DIRECTIONS = 48
_AMBIENT_SIDE = 96
_OPENED = {Material.TEETH: 0.6, Material.TONGUE: 0.4}
"""Share of the sky that is seen from inside a mouth that is open enough to show it; at rest there is none."""


@dataclass(frozen=True)
class Person:
    """Everything of a person that does not move, as tensors on one device; N vertices, of which P are the pack's.

    Attributes
    ----------
    vertices : float32, shape=(N, 3), neutral, in the coordinates of `identity`
    unit_deltas : float32, shape=(52, 3 P), what the full face units add to the first P vertices
    triangles : int64, shape=(M, 3)
    places : float32, shape=(M, 3, 2), where the corners look up their albedo
    cutout : float32, shape=(N,), the surface ends where it falls below 0
    shade_cutout : likewise for what throws shadows: thin rims do not
    neighbours : int64, shape=(N, K), triangles around each vertex; M where there are fewer than K
    follow : float32, shape=(N,), how much of the head's motion a vertex follows: 1 the head … 0 the shoulders
    gloss : float32, shape=(N,)
    ambient : float32, shape=(N,), share of the sky that a vertex sees
    paint : float32, shape=(6, height, width): albedo, then the wrinkles
    wrinkle_drive : float32, shape=(52, 5), wrinkles by face unit
    is_eye : bool, shape=(M,)
    outline : int64, the vertices of the face that a detector's box spans
    """

    identity: Identity
    looks: Looks
    has_glasses: bool
    vertices: Tensor
    unit_deltas: Tensor
    triangles: Tensor
    places: Tensor
    cutout: Tensor
    shade_cutout: Tensor
    neighbours: Tensor
    follow: Tensor
    gloss: Tensor
    ambient: Tensor
    paint: Tensor
    wrinkle_drive: Tensor
    is_eye: Tensor
    outline: Tensor


def draw_person(
    pack: Pack, rng: np.random.Generator, *, glasses_share: float = 0.25, device: str | torch.device = "cpu"
) -> Person:
    """Draw a person: shape, paint, hair, and glasses for some.

    Parameters
    ----------
    glasses_share : of the persons wear glasses
    """
    shape_rng, looks_rng, hair_rng, glasses_rng, paint_rng = rng.spawn(5)
    identity = draw_identity(pack, shape_rng)
    looks = draw_looks(looks_rng, identity)
    base = pack.vertices
    meshes = [(identity.vertices, pack.triangles.astype(np.int64), corner_places(pack), np.ones(len(base), np.float32))]
    style = draw_style(hair_rng, identity, looks)
    n_head = n_hair = len(base)
    if style is not None:
        is_skin = np.zeros(len(base), bool)
        is_skin[pack.triangles[pack.materials == Material.SKIN]] = True
        scalp = identity.vertices[is_skin & (base[:, 1] > 6.0) & (np.abs(base[:, 0]) < 0.72)]
        hair = hair_surface(hair_rng, scalp, style, looks, identity.scale)
        meshes.append((hair.vertices, hair.triangles + n_head, hair.places, hair.cutout))
        n_hair += len(hair.vertices)
    has_glasses = bool(glasses_rng.random() < glasses_share)
    if has_glasses:
        glasses = glasses_surface(glasses_rng, identity, identity.vertices)
        meshes.append((glasses.vertices, glasses.triangles + n_hair, glasses.places, glasses.cutout))
    vertices, triangles, places, cutout = (np.concatenate(each) for each in zip(*meshes, strict=True))
    albedo, wrinkles = paint(paint_rng, skin_chart(pack), identity, looks)
    materials = np.full(len(triangles), Material.SKIN)
    materials[: len(pack.materials)] = pack.materials
    gloss = np.full(len(vertices), 0.035, np.float32)
    gloss[:n_head] = _skin_gloss(base) * (0.7 + 0.6 * paint_rng.random())
    gloss[n_hair:] = 0.25
    shape = {
        "vertices": torch.from_numpy(vertices),
        "triangles": torch.from_numpy(triangles),
        "shade_cutout": torch.from_numpy(np.where(np.arange(len(cutout)) < n_hair, cutout, -1).astype(np.float32)),
        "neighbours": torch.from_numpy(_neighbours(triangles, len(vertices))),
    }
    ambient = _in_open_mouth(pack, _ambient(**shape))
    return Person(
        identity=identity,
        looks=looks,
        has_glasses=has_glasses,
        **{name: tensor.to(device) for name, tensor in shape.items()},
        cutout=torch.from_numpy(cutout).to(device),
        unit_deltas=torch.from_numpy(pack.unit_deltas() * np.float32(identity.scale)).flatten(1).to(device),
        places=torch.from_numpy(places).to(device),
        follow=torch.from_numpy(_follow(vertices)).to(device),
        gloss=torch.from_numpy(gloss).to(device),
        ambient=ambient.to(device),
        paint=torch.from_numpy(np.concatenate([albedo[None], wrinkles])).to(device),
        wrinkle_drive=torch.from_numpy(_wrinkle_drive(pack.unit_names)).to(device),
        is_eye=torch.from_numpy(np.isin(materials, (Material.LEFT_EYE, Material.RIGHT_EYE))).to(device),
        outline=torch.from_numpy(_outline(base)).to(device),
    )


def normals(vertices: Tensor, triangles: Tensor, neighbours: Tensor) -> Tensor:
    """Unit normals of vertices, float32, shape=(B, N, 3): the mean of the triangles around each, by area."""
    corners = vertices[:, triangles]  # (B, M, 3, 3)
    of_triangles = torch.linalg.cross(corners[:, :, 1] - corners[:, :, 0], corners[:, :, 2] - corners[:, :, 0], dim=-1)
    padded = torch.nn.functional.pad(of_triangles, (0, 0, 0, 1))  # (B, M + 1, 3)
    total = padded[:, neighbours[:, 0]]
    for column in range(1, neighbours.shape[1]):
        total = total + padded[:, neighbours[:, column]]
    return torch.nn.functional.normalize(total, dim=-1)


def _neighbours(triangles: npt.NDArray[np.int64], n_vertices: int) -> npt.NDArray[np.int64]:
    """Triangles around each vertex; the reversed ones, which show the inner side of hair, are left out."""
    keys: dict[tuple[int, ...], int] = {}
    is_outer = np.ones(len(triangles), bool)
    for number, triangle in enumerate(np.sort(triangles, axis=1).tolist()):
        if keys.setdefault(tuple(triangle), number) != number:
            is_outer[number] = False
    outer = np.flatnonzero(is_outer)
    vertex = triangles[outer].ravel()
    order = np.argsort(vertex, kind="stable")
    vertex, around = vertex[order], np.repeat(outer, 3)[order]
    counts = np.bincount(vertex, minlength=n_vertices)
    slot = np.arange(len(vertex)) - np.repeat(np.cumsum(counts) - counts, counts)
    table = np.full((n_vertices, int(counts.max())), len(triangles), np.int64)
    table[vertex, slot] = around
    return table


def _follow(vertices: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return np.asarray(smooth_step(vertices[:, 1], -1.7, -1.0), np.float32)


def _skin_gloss(base: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Forehead, nose and chin shine more than cheeks; clothes do not."""
    x, y, z = base.T
    shine = 0.05 + 0.07 * np.exp(-np.square(x / 0.18)) * (z > 0.9)
    return np.asarray(np.where(y < 5.65, 0.0, shine), np.float32)


def _outline(base: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """The face from mid-forehead to chin, without ears."""
    x, y, z = base.T
    return np.flatnonzero((y > 5.98) & (y < 7.85) & (np.abs(x) < 0.66) & (z > 0.75))


def _wrinkle_drive(unit_names: tuple[str, ...]) -> npt.NDArray[np.float32]:
    drive = np.zeros((len(unit_names), len(WRINKLES)), np.float32)
    for column, names in enumerate(WRINKLES):
        for name in names:
            drive[unit_names.index(name), column] = 0.5 if len(names) > 1 else 1.0
    return drive


def _ambient(*, vertices: Tensor, triangles: Tensor, shade_cutout: Tensor, neighbours: Tensor) -> Tensor:
    """Share of an even sky that each vertex sees, over its own horizon, weighted by the cosine."""
    count = torch.arange(_AMBIENT_DIRECTIONS, dtype=torch.float32) + 0.5
    height = 1 - 2 * count / _AMBIENT_DIRECTIONS
    turn = count * 2.399963
    across = (1 - height**2).sqrt()
    directions = torch.stack([across * turn.cos(), height, across * turn.sin()], 1)
    directions = directions[directions[:, 1] > -0.6]  # the floor is dark
    normal = normals(vertices[None], triangles, neighbours)[0]
    seen, whole = torch.zeros(len(vertices)), torch.zeros(len(vertices))
    for first in range(0, len(directions), 8):
        some = directions[first : first + 8]
        points = vertices[None].expand(len(some), -1, -1)
        depths = depth_maps(points, triangles, some, _AMBIENT_SIDE, shade_cutout)
        lit = lit_share(points, normal[None].expand_as(points), some, depths, _AMBIENT_SIDE)
        cosine = (normal @ some.T).clamp(min=0).T  # (directions, N)
        seen += (cosine * lit).sum(0)
        whole += cosine.sum(0)
    return seen / whole.clamp(min=1e-6)


def _in_open_mouth(pack: Pack, ambient: Tensor) -> Tensor:
    """The same, but for what is seen only where the mouth is open."""
    for material, share in _OPENED.items():
        ambient[torch.from_numpy(np.unique(pack.triangles[pack.materials == material]).astype(np.int64))] = share
    return ambient
