"""Intervals and differences of metrics against resamples made by hand."""

from dataclasses import asdict, astuple, fields

import numpy as np
import pytest

from codecsim.errors import MetricError
from recognition.intervals import Difference, Interval, bootstrap, paired, replicates
from recognition.metrics import Scores, rmse, score
from recognition.moments import Moments
from tests.recognition.walks import NAMES, ROUNDING, same, walks


def copies(counts: np.ndarray, subjects: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Frames in which each subject stands as often as counted, and the number of the copy of each."""
    parts = [
        (np.flatnonzero(subjects == name), copy)
        for name, count in zip(np.unique(subjects), counts, strict=True)
        for copy in range(int(count))
    ]
    return np.concatenate([frames for frames, _ in parts]), np.concatenate([[copy] * len(f) for f, copy in parts])


def test_a_resample_is_what_score_says_of_as_many_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some recordings are constant, some subjects too: their resamples are not defined, in the same metrics."""
    predicted, target, recordings, subjects = walks([5, 9, 2, 3, 8, 6])
    predicted[(recordings == "r1") | (subjects == "s1")] = 0.1
    target[3:5] = np.nan
    drawn = []
    real = Moments.pooled
    monkeypatch.setattr(Moments, "pooled", lambda self, counts: (drawn.append(counts), real(self, counts))[1])
    found = replicates(predicted, target, recordings=recordings, subjects=subjects, resamples=200, seed=3).values
    counts = next(each for each in drawn if len(each) == 201)
    monkeypatch.undo()
    assert (counts[0] == 1).all()
    assert (counts.sum(1) == 3).all()
    assert len(np.unique(counts[1:], axis=0)) == 10  # all ways to draw 3 of 3
    for row, how_often in enumerate(counts):
        frames, copy = copies(how_often, subjects)
        again = [np.char.add(names[frames], copy.astype(str)) for names in (recordings, subjects)]
        wanted = asdict(score(predicted[frames], target[frames], recordings=again[0], subjects=again[1]))
        same({name: values[row] for name, values in found.items()}, {name: wanted[name] for name in NAMES})
    assert np.isnan(found["ccc"]).any()
    assert not np.isnan(found["ccc"]).all()


def test_the_interval_is_that_of_the_draws() -> None:
    """Of two subjects a resample is one of three, drawn 1/4, 1/2 and 1/4 of the time."""
    predicted, target, recordings, subjects = walks([20, 30, 25, 15])
    found = bootstrap(predicted, target, recordings=recordings, subjects=subjects, level=0.8)
    assert list(found) == NAMES
    assert set(NAMES) < {field.name for field in fields(Scores)}
    scores = [
        asdict(score(predicted[chosen], target[chosen], recordings=recordings[chosen], subjects=subjects[chosen]))
        for chosen in (subjects == "s0", subjects == "s1")
    ]
    whole = asdict(score(predicted, target, recordings=recordings, subjects=subjects))
    for name, interval in found.items():
        ends = sorted([scores[0][name], scores[1][name], whole[name]])
        assert interval == Interval(
            pytest.approx(whole[name]), pytest.approx(ends[0]), pytest.approx(ends[-1]), n_undefined=0
        )
    narrow = bootstrap(predicted, target, recordings=recordings, subjects=subjects, level=0.4)["rmse"]
    assert narrow.low == pytest.approx(narrow.estimate) == narrow.high


def test_an_interval_leaves_out_what_is_not_defined() -> None:
    predicted, target, recordings, _ = walks([20, 30])
    predicted[:20] = 0.1
    found = bootstrap(predicted, target, recordings=recordings, resamples=4000)
    assert found["ccc"].n_undefined == pytest.approx(1000, abs=150)  # the constant one twice: 1/4
    assert np.isfinite([found["ccc"].low, found["ccc"].high]).all()
    assert found["rmse"].n_undefined == 0


def test_one_subject_has_no_interval() -> None:
    predicted, target, recordings, subjects = walks([20, 30], n_models=4)
    for found in (
        bootstrap(predicted, target, recordings=recordings, subjects=subjects, resamples=50),
        paired(predicted, predicted[0], target, recordings=recordings, subjects=subjects, resamples=50),
    ):
        for name, interval in found.items():
            assert np.isfinite(interval.estimate), name
            assert np.isnan([interval.low, interval.high]).all(), name
            assert interval.n_undefined == 50
    assert np.isnan(found["ccc"].better)


def test_draws_repeat_and_depend_on_the_seed() -> None:
    predicted, target, recordings, subjects = walks([20, 30, 25, 15, 9, 9])
    first, again, other = (
        bootstrap(predicted, target, recordings=recordings, subjects=subjects, resamples=50, seed=seed)
        for seed in (0, 0, 1)
    )
    assert first == again
    assert first["ccc"].low != other["ccc"].low
    assert first["ccc"].estimate == other["ccc"].estimate


def test_scores_of_models_are_averaged_and_models_drawn() -> None:
    predicted, target, recordings, subjects = walks([20, 30, 25, 15, 9, 9], n_models=3)
    predicted[2] = target + 0.01 * predicted[2]  # a model far better than the rest
    names = {"recordings": recordings, "subjects": subjects, "resamples": 2000}
    found = bootstrap(predicted, target, **names)
    these = bootstrap(predicted, target, **names, resample_seeds=False)
    alone = [bootstrap(each, target, **names) for each in predicted]
    for name in NAMES:
        mean = np.mean([each[name].estimate for each in alone])
        assert found[name].estimate == these[name].estimate == pytest.approx(mean, abs=ROUNDING)
    assert found["rmse"].high - found["rmse"].low > 1.5 * (these["rmse"].high - these["rmse"].low)
    assert found["ccc"].high > 0.99 > these["ccc"].high  # thrice the better one: 1/27 of the draws
    assert bootstrap(predicted[:1], target, **names) == alone[0]


def test_paired_differences_are_of_the_same_resamples() -> None:
    predicted, target, recordings, subjects = walks([20, 30, 25, 15, 9, 9])
    names = {"recordings": recordings, "subjects": subjects, "resamples": 500}
    worse = target + 1.1 * (predicted - target)
    found = paired(predicted, worse, target, **names)
    a, b = (bootstrap(each, target, **names) for each in (predicted, worse))
    for name, difference in found.items():
        assert difference.estimate == pytest.approx(a[name].estimate - b[name].estimate)
    # The error is 1.1 times as large in every resample, so the difference is a tenth of a's.
    assert (found["rmse"].low, found["rmse"].high) == pytest.approx((-0.1 * a["rmse"].high, -0.1 * a["rmse"].low))
    assert found["rmse"].better == found["rmse_within"].better == 1
    assert found["ccc"].better > 0.9
    assert found["ccc"].low > -0.02
    turned = paired(worse, predicted, target, **names)
    assert turned["rmse"].better == 0
    assert turned["ccc"].estimate == -found["ccc"].estimate
    nothing = paired(predicted, predicted, target, **names)
    assert nothing["ccc_recording"] == Difference(0, 0, 0, n_undefined=0, better=0)


def test_models_of_two_methods_are_drawn_in_pairs_where_there_are_as_many() -> None:
    predicted, target, recordings, subjects = walks([20, 30, 25, 15], n_models=3)
    names = {"recordings": recordings, "subjects": subjects, "resamples": 500}
    same_errors = paired(predicted, target + 1.1 * (predicted - target), target, **names)["rmse"]
    alone = bootstrap(predicted, target, **names)["rmse"]
    assert (same_errors.low, same_errors.high) == pytest.approx((-0.1 * alone.high, -0.1 * alone.low))
    against_one = paired(predicted, predicted[0], target, **names)["rmse"]
    assert against_one.estimate == pytest.approx(alone.estimate - rmse(predicted[0], target))
    assert against_one.low < against_one.estimate < against_one.high


def test_models_of_two_methods_are_drawn_each_for_itself_where_numbers_differ() -> None:
    """Everybody is read alike, so that replicates differ by the models drawn alone."""
    people = np.repeat(["anna", "bo", "cy"], 40)
    target = np.tile(np.sin(np.arange(40.0)), 3)
    of = [
        replicates([target + error for error in errors], target, recordings=people, resamples=4000).values["rmse"][1:]
        for errors in ((0.1, 0.3), (0.1, 0.2, 0.3), (0.3, 0.2, 0.1))
    ]
    two, three, turned = of
    assert np.corrcoef(three, turned)[0, 1] == pytest.approx(-1)
    assert abs(np.corrcoef(two, three)[0, 1]) < 0.08  # five deviations of what chance gives


def test_replicates_serve_intervals_and_differences() -> None:
    predicted, target, recordings, subjects = walks([20, 30, 25, 15], n_models=2)
    names = {"recordings": recordings, "subjects": subjects, "resamples": 300, "seed": 5}
    own, other = (replicates(each, target, **names) for each in (predicted, target - predicted))
    assert own.intervals(0.9) == bootstrap(predicted, target, **names, level=0.9)
    assert own.less(other, 0.9) == paired(predicted, target - predicted, target, **names, level=0.9)
    assert {len(values) for values in own.values.values()} == {301}


def test_settings_that_make_no_interval_are_refused() -> None:
    predicted, target, recordings, _ = walks([2, 2])
    with pytest.raises(MetricError, match="0 resamples make no interval"):
        bootstrap(predicted, target, recordings=recordings, resamples=0)
    with pytest.raises(MetricError, match="level 95 is not between 0 and 1; write 95 % as"):
        bootstrap(predicted, target, recordings=recordings, level=95)
    with pytest.raises(MetricError, match=r"\(T,\) or \(S, T\) for S models"):
        bootstrap(np.empty((0, 4)), target, recordings=recordings)


def test_resamples_may_be_evaluated_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    people = np.repeat(np.arange(7), 20)
    target, predicted = rng.normal(size=140), rng.normal(size=(2, 140))
    whole = bootstrap(predicted, target, recordings=people, resamples=200)
    monkeypatch.setattr("recognition.intervals._COUNTS_AT_ONCE", 50)
    for name, found in bootstrap(predicted, target, recordings=people, resamples=200).items():
        assert astuple(found) == pytest.approx(astuple(whole[name]), rel=1e-12)


def test_a_frame_without_the_target_of_one_model_is_scored_for_none() -> None:
    random = np.random.default_rng(8)
    predicted, targets = random.normal(size=(2, 60)), random.normal(size=(2, 60))
    recordings = np.repeat(["a", "b", "c"], 20)
    targets[1, [3, 44]] = np.nan
    kept = np.isfinite(targets).all(0)
    found = bootstrap(predicted, targets, recordings=recordings, resamples=50)
    expected = bootstrap(predicted[:, kept], targets[:, kept], recordings=recordings[kept], resamples=50)
    assert found == expected
