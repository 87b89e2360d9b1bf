"""What is recorded by task: classes, lengths, and that expressions are in the face units and nowhere else."""

import numpy as np
import pytest

from codecsim.sources.synthetic.benchmark import LAYOUTS
from codecsim.sources.synthetic.difficulty import DIFFICULTIES
from codecsim.sources.synthetic.expressions import APEX_CLASSES, EXPRESSIONS, STILL_CLASSES
from codecsim.sources.synthetic.performance import draw_temperament
from codecsim.sources.synthetic.takes import TAKES, Subject, Take
from tests.codecsim.sources.synthetic.test_performance import UNITS


def recorded(task: str, seed: int, n_frames: int | None, difficulty: str = "hard") -> list[Take]:
    rng, spread = np.random.default_rng([5, seed]), DIFFICULTIES[difficulty]
    subject = Subject(UNITS, draw_temperament(rng, UNITS, spread), spread, *rng.spawn(3))
    return list(TAKES[task](subject, n_frames, LAYOUTS[task]["wide"].fps[1]))


def nearest_mean(train: np.ndarray, classes: np.ndarray, test: np.ndarray) -> np.ndarray:
    """The class whose standardised mean is nearest."""
    spread = train.std(0) + 1e-6
    means = np.stack([train[classes == each].mean(0) for each in range(classes.max() + 1)])
    return np.argmin(np.square((test[:, None] - means) / spread).sum(-1), 1)


def test_every_unit_of_a_prototype_is_one_of_the_model() -> None:
    for ways in EXPRESSIONS.values():
        for stem in {stem for way in ways for stem in way}:
            assert stem in UNITS or {stem + "Left", stem + "Right"} <= set(UNITS)


def test_stills_show_the_classes_in_turn_each_on_a_stage_of_its_own() -> None:
    takes = recorded("expression", 0, 15)
    assert [int(take.labels["expression"][0]) for take in takes] == [*range(7), *range(7), 0]
    assert {take.classes["expression"] for take in takes} == {STILL_CLASSES}
    assert {len(take.performance.units) for take in takes} == {1}
    assert len({take.stage.distance for take in takes}) == len({take.name for take in takes}) == 15


def test_sequences_go_from_the_neutral_face_to_the_apex() -> None:
    takes = recorded("apex", 0, None, "easy")
    assert [int(take.labels["expression"][-1]) for take in takes] == list(range(7))
    assert {take.classes["expression"] for take in takes} == {APEX_CLASSES}
    lengths = [len(take.performance.units) for take in takes]
    assert len(set(lengths)) > 1
    assert min(lengths) >= 10
    assert max(lengths) <= 30
    for take, length in zip(takes, lengths, strict=True):
        intensity = take.series["intensity"][0][:, 0]
        assert (np.diff(intensity) >= 0).all()
        assert intensity[0] == pytest.approx(0, abs=0.02)
        assert intensity[-1] >= 0.75
        assert len(take.stage.key_strength) == length
    surprised = takes[APEX_CLASSES.index("surprise")].performance.units[:, UNITS.index("browOuterUpLeft")]
    assert surprised[-1] > surprised[0] + 0.3
    assert len({take.stage.distance for take in takes}) == 1


def test_a_number_of_frames_that_is_asked_for_is_kept() -> None:
    assert {len(take.performance.units) for take in recorded("apex", 1, 12)} == {12}
    assert [len(take.performance.units) for take in recorded("valence", 1, 40)] == [40]


@pytest.mark.parametrize("task", ["expression", "apex"])
def test_expressions_are_told_by_face_units_and_not_by_the_pose(task: str) -> None:
    takes = [recorded(task, seed, 7 if task == "expression" else None) for seed in range(90)]
    classes = np.array([[int(take.labels["expression"][-1]) for take in each] for each in takes])
    reached = {}
    for what in ("units", "pose"):
        shown = np.array([[getattr(take.performance, what)[-1] for take in each] for each in takes])
        found = nearest_mean(shown[:60].reshape(420, -1), classes[:60].ravel(), shown[60:].reshape(210, -1))
        reached[what] = float((found == classes[60:].ravel()).mean())
    assert reached["units"] > 0.75
    assert reached["pose"] < 0.25  # chance is 0.14, with a standard error of 0.024


def test_a_contemptuous_mouth_is_drawn_to_one_side() -> None:
    left, right = UNITS.index("mouthDimpleLeft"), UNITS.index("mouthDimpleRight")
    sides = []
    for seed in range(12):
        units = recorded("apex", seed, None)[APEX_CLASSES.index("contempt")].performance.units[-1]
        assert abs(units[left] - units[right]) > 0.2
        sides.append(bool(units[left] > units[right]))
    assert len(set(sides)) == 2


def test_nobody_speaks_on_the_way_to_an_apex() -> None:
    """Only speech rounds the lips, but for the hint of it in surprise."""
    for task, speaks in (("apex", False), ("expression", True)):
        rounded = [
            float(take.performance.units[:, UNITS.index("mouthPucker")].max())
            for seed in range(6)
            for take in recorded(task, seed, 20)
        ]
        assert (max(rounded) > 0) == speaks
