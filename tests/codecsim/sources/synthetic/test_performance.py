"""What faces do and what raters say: bounds, independence, and that the labels are in the face alone."""

import dataclasses
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codecsim.sources.synthetic.difficulty import DIFFICULTIES
from codecsim.sources.synthetic.feelings import feel
from codecsim.sources.synthetic.performance import Temperament, draw_temperament, perform
from codecsim.sources.synthetic.raters import gold_standard, rate

UNITS = tuple(
    name
    for stem, sides in (
        ("browDown", 2), ("browInnerUp", 1), ("browOuterUp", 2), ("cheekPuff", 1), ("cheekSquint", 2), ("eyeBlink", 2),
        ("eyeLookDown", 2), ("eyeLookIn", 2), ("eyeLookOut", 2), ("eyeLookUp", 2), ("eyeSquint", 2), ("eyeWide", 2),
        ("jawForward", 1), ("jawLeft", 1), ("jawOpen", 1), ("jawRight", 1), ("mouthClose", 1), ("mouthDimple", 2),
        ("mouthFrown", 2), ("mouthFunnel", 1), ("mouthLeft", 1), ("mouthLowerDown", 2), ("mouthPress", 2),
        ("mouthPucker", 1), ("mouthRight", 1), ("mouthRollLower", 1), ("mouthRollUpper", 1), ("mouthShrugLower", 1),
        ("mouthShrugUpper", 1), ("mouthSmile", 2), ("mouthStretch", 2), ("mouthUpperUp", 2), ("noseSneer", 2),
        ("tongueOut", 1),
    )
    for name in ([stem] if sides == 1 else [stem + "Left", stem + "Right"])
)  # fmt: skip


class Acted(NamedTuple):
    """A performance with the feelings that it shows."""

    valence: np.ndarray
    arousal: np.ndarray
    units: np.ndarray
    pose: np.ndarray
    position: np.ndarray


def performed(
    seed: int, difficulty: str = "main", n_frames: int = 1500, temperament: Temperament | None = None
) -> Acted:
    rng, spread = np.random.default_rng([11, seed]), DIFFICULTIES[difficulty]
    drawn = draw_temperament(rng, UNITS, spread)
    feelings = feel(rng, n_frames=n_frames, fps=25)
    acted = perform(rng, UNITS, temperament or drawn, spread, shown=feelings.shown, fps=25)
    return Acted(feelings.valence, feelings.arousal, acted.units, acted.pose, acted.position)


def concordance(predicted: np.ndarray, target: np.ndarray) -> float:
    covariance = ((predicted - predicted.mean()) * (target - target.mean())).mean()
    return float(2 * covariance / (predicted.var() + target.var() + (predicted.mean() - target.mean()) ** 2))


def read_out(train: np.ndarray, labels: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Ridge regression on standardised columns."""
    mean, spread = train.mean(0), train.std(0) + 1e-6
    known = (train - mean) / spread
    weights = np.linalg.solve(known.T @ known + 10 * np.eye(known.shape[1]), known.T @ (labels - labels.mean()))
    return np.asarray((test - mean) / spread @ weights + labels.mean())


def test_there_are_52_units() -> None:
    assert len(UNITS) == 52


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 300), st.sampled_from(sorted(DIFFICULTIES)))
def test_everything_is_within_its_bounds(seed: int, n_frames: int, difficulty: str) -> None:
    found = performed(seed, difficulty, n_frames)
    assert found.units.shape == (n_frames, 52)
    assert found.pose.shape == found.position.shape == (n_frames, 3)
    for values in (found.units, found.pose, found.position, found.valence, found.arousal):
        assert np.isfinite(values).all()
    assert found.units.min() >= 0
    assert found.units.max() <= 1
    assert max(np.abs(found.valence).max(), np.abs(found.arousal).max()) <= 1
    ratings = rate(found.valence, fps=25, rng=np.random.default_rng(seed))
    assert ratings.shape == (n_frames, 6)
    assert np.isfinite(gold_standard(ratings)).all()


def test_the_same_seed_gives_the_same_performance() -> None:
    np.testing.assert_array_equal(performed(3).units, performed(3).units)
    assert (performed(3).valence != performed(4).valence).any()


def test_a_subject_with_half_the_gain_shows_half_of_a_feeling() -> None:
    shown = []
    drawn = draw_temperament(np.random.default_rng(4), UNITS, DIFFICULTIES["main"])
    for share in (1.0, 0.5):
        gains = {name: share * gain for name, gain in drawn.gains.items()}
        found = performed(4, temperament=dataclasses.replace(drawn, gains=gains, resting={}))
        shown.append(found.units[:, UNITS.index("cheekSquintLeft")])
    assert shown[0].max() > 0.3
    np.testing.assert_allclose(shown[1], 0.5 * shown[0], atol=1e-6)


def test_a_feeling_does_not_depend_on_the_difficulty() -> None:
    np.testing.assert_array_equal(performed(3, "easy").valence, performed(3, "hard").valence)
    np.testing.assert_array_equal(performed(3, "easy").arousal, performed(3, "hard").arousal)


@pytest.fixture(scope="module", params=sorted(DIFFICULTIES))
def recordings(request: pytest.FixtureRequest) -> list[Acted]:
    return [performed(seed, request.param) for seed in range(48)]


def test_valence_is_in_the_face_units_and_not_in_the_pose(recordings: list[Acted]) -> None:
    """Trained on 36 subjects, tested on 12 others."""
    train, test = recordings[:36], recordings[36:]
    labels = np.concatenate([each.valence for each in train])
    truth = np.concatenate([each.valence for each in test])
    reached = {
        what: concordance(
            read_out(
                np.concatenate([getattr(each, what) for each in train]),
                labels,
                np.concatenate([getattr(each, what) for each in test]),
            ),
            truth,
        )
        for what in ("units", "pose")
    }
    assert reached["units"] >= 0.9
    assert abs(reached["pose"]) < 0.1


@pytest.mark.parametrize("distractor", ["jawOpen", "mouthPucker", "mouthFunnel", "eyeLookUpLeft"])
def test_speech_and_gaze_do_not_know_of_the_feeling(distractor: str) -> None:
    """The mean over 60 recordings of correlations that are 0 on average, each within ±1: 5 standard errors."""
    column = UNITS.index(distractor)
    correlations = []
    for seed in range(60):
        found = performed(seed)
        correlations.append(np.corrcoef(found.units[:, column], found.valence)[0, 1])
    assert abs(np.nanmean(correlations)) < 5 * np.nanstd(correlations) / np.sqrt(60)
    assert abs(np.nanmean(correlations)) < 0.1


def test_feelings_are_slow_and_blinks_are_quick() -> None:
    found = performed(5)
    assert np.abs(np.diff(found.valence)).max() < 0.08
    closed = found.units[:, UNITS.index("eyeBlinkLeft")] > 0.8
    starts = np.flatnonzero(np.diff(closed.astype(int)) == 1)
    assert 60 / 8 < len(starts) < 60 / 1.5  # in a minute
    lengths = [int(np.argmin(closed[start + 1 :])) for start in starts[:-1]]
    assert 1 <= np.median(lengths) <= 6


def test_the_gold_standard_follows_the_truth() -> None:
    truth = np.concatenate([performed(seed).valence for seed in range(12)])
    gold = np.concatenate(
        [gold_standard(rate(performed(seed).valence, fps=25, rng=np.random.default_rng(seed))) for seed in range(12)]
    )
    assert 0.95 < concordance(gold, truth) < 0.995


def test_raters_who_agree_give_their_common_trace() -> None:
    trace = np.sin(np.arange(100) / 9)
    np.testing.assert_allclose(gold_standard(np.stack([trace] * 3, 1)), trace, atol=1e-12)


def test_a_rater_with_whom_nobody_agrees_does_not_move_the_level() -> None:
    trace = np.sin(np.arange(100) / 9)
    apart = np.cos(np.arange(100) / 2) + 5  # far from the others: agreement near 0
    gold = gold_standard(np.stack([trace, trace, trace, apart], 1))
    assert gold.mean() == pytest.approx(trace.mean(), abs=0.1)


def test_constant_ratings_give_a_constant() -> None:
    np.testing.assert_allclose(gold_standard(np.full((10, 6), 0.25)), 0.25)
