"""RMSE, CC and CCC against torchmetrics, closed forms and properties; intervals against resamples made by hand."""

from dataclasses import asdict, astuple, fields
from random import Random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.regression import ConcordanceCorrCoef, MeanSquaredError, PearsonCorrCoef

from codecsim.errors import CodecsimError, MetricError
from recognition.metrics import Difference, Interval, Scores, _resampled, bootstrap, cc, ccc, paired, rmse, score
from recognition.moments import Moments, summed_up

ROUNDING = 1e-12  # float64 sums of a few hundred values near 1, in another order
METRICS = ("rmse", "cc", "ccc")
NAMES = [f"{metric}{way}" for way in ("", "_recording", "_within") for metric in METRICS]

# Thousandths, so that two values are either equal or far more than rounding apart.
series = st.integers(2, 30).flatmap(
    lambda n: st.lists(st.tuples(*[st.integers(-1000, 1000)] * 2), min_size=n, max_size=n).map(
        lambda pairs: np.array(pairs).T / 1000
    )
)


def walks(
    sizes: list[int], seed: int = 0, n_models: int | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Predictions, targets, recordings and subjects: two recordings a subject, each with an offset."""
    rng, n = np.random.default_rng(seed), sum(sizes)
    recordings = np.repeat([f"r{number}" for number in range(len(sizes))], sizes)
    subjects = np.repeat([f"s{number // 2}" for number in range(len(sizes))], sizes)
    target = rng.standard_normal(n) + np.repeat(rng.standard_normal(len(sizes)), sizes)
    shape = n if n_models is None else (n_models, n)
    predicted = (
        0.6 * target + 0.2 + 0.5 * rng.standard_normal(shape) + np.repeat(rng.standard_normal(len(sizes)), sizes)
    )
    return predicted, target, recordings, subjects


def by_definition(predicted: np.ndarray, target: np.ndarray) -> dict[str, float]:
    error = np.sqrt(np.mean((predicted - target) ** 2))
    if len(target) < 2 or np.ptp(predicted) == 0 or np.ptp(target) == 0:
        return {"rmse": error, "cc": np.nan, "ccc": np.nan}
    covariance = np.cov(predicted, target, bias=True)
    return {
        "rmse": error,
        "cc": np.corrcoef(predicted, target)[0, 1],
        "ccc": 2 * covariance[0, 1] / (np.trace(covariance) + (predicted.mean() - target.mean()) ** 2),
    }


def scored_by_definition(
    predicted: np.ndarray, target: np.ndarray, recordings: np.ndarray, subjects: np.ndarray
) -> dict[str, float]:
    each = [by_definition(predicted[recordings == name], target[recordings == name]) for name in np.unique(recordings)]
    away = [predicted.copy(), target.copy()]
    for name in np.unique(subjects):
        for values in away:
            values[subjects == name] -= values[subjects == name].mean()
    found = by_definition(predicted, target) | {f"{k}_within": v for k, v in by_definition(*away).items()}
    return found | {f"{metric}_recording": np.nanmean([one[metric] for one in each]) for metric in METRICS}


def same(found: dict[str, float], wanted: dict[str, float]) -> None:
    assert {name: found[name] for name in wanted} == pytest.approx(wanted, rel=0, abs=ROUNDING, nan_ok=True)


def test_torchmetrics_agrees() -> None:
    """torchmetrics divides variances and covariance by N − 1, not N, so that a difference of the means weighs less.

    It is given predictions whose mean is √(N / (N − 1)) times as far from the target's: then both say the same.
    """
    predicted, target, _, _ = walks([7, 30, 4])
    n = len(target)
    theirs = predicted + (predicted.mean() - target.mean()) * (np.sqrt(n / (n - 1)) - 1)
    assert abs(ccc(predicted, target) - ccc(theirs, target)) > 1e-4
    for ours, metric, x in (
        (rmse, MeanSquaredError(squared=False), predicted),
        (cc, PearsonCorrCoef(), predicted),
        (ccc, ConcordanceCorrCoef(), theirs),
    ):
        metric.set_dtype(torch.float64)
        for part in (slice(0, 12), slice(12, None)):
            metric.update(torch.from_numpy(x[part]), torch.from_numpy(target[part]))
        assert ours(predicted, target) == pytest.approx(float(metric.compute()), rel=0, abs=ROUNDING)


@pytest.mark.parametrize(("a", "b"), [(1, 0), (1, 0.3), (0.5, -1), (-2, 4), (1e-6, 0)])
def test_a_line_in_closed_form(a: float, b: float) -> None:
    """Of y = a·x + b, CCC is 2·a·v / (v + a²·v + (a·m + b − m)²), with x of mean m and variance v."""
    x = np.array([1.0, 2.0, 3.0, 7.0])
    m, v = 3.25, 5.1875
    assert ccc(a * x + b, x) == pytest.approx(2 * a * v / (v + a * a * v + (a * m + b - m) ** 2), rel=1e-12)
    assert cc(a * x + b, x) == pytest.approx(np.sign(a), rel=1e-12)
    assert rmse(a * x + b, x) == pytest.approx(np.sqrt((a - 1) ** 2 * v + ((a - 1) * m + b) ** 2), abs=1e-15)


def test_three_frames_by_hand() -> None:
    # cov = var = 2/3, means 1 apart: 2·(2/3) / (2/3 + 2/3 + 1)
    assert ccc([1, 2, 3], [2, 3, 4]) == pytest.approx(4 / 7, rel=1e-15)
    assert ccc([1, 2, 3], [3, 2, 1]) == -1
    assert rmse([1, 2, 3], [2, 3, 4]) == 1
    assert rmse([0.3], [0.1]) == pytest.approx(0.2)


@settings(deadline=None)
@given(series)
def test_properties(pair: np.ndarray) -> None:
    x, y = pair
    same({metric.__name__: metric(x, y) for metric in (rmse, cc, ccc)}, by_definition(x, y))
    for metric in (rmse, cc, ccc):
        assert metric(x, y) == pytest.approx(metric(y, x), rel=0, abs=ROUNDING, nan_ok=True)
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        assert np.isnan(ccc(x, y))
        assert np.isnan(cc(x, y))
        return
    assert -1 <= cc(x, y) <= 1
    assert abs(ccc(x, y)) <= abs(cc(x, y)) + ROUNDING
    assert cc(x + 100, 3 * y) == pytest.approx(cc(x, y), abs=1e-9)
    assert ccc(x + 100, y + 100) == pytest.approx(ccc(x, y), abs=1e-9)
    assert ccc(x, x) == 1


@settings(deadline=None)
@given(series, st.randoms(use_true_random=False))
def test_unlabelled_frames_are_as_if_they_were_not_there(pair: np.ndarray, random: Random) -> None:
    x, y = pair
    gaps = sorted(random.choices(range(len(x) + 1), k=5))
    for metric in (rmse, cc, ccc):
        with_gaps = metric(np.insert(x, gaps, [0, 9, np.nan, np.inf, -9]), np.insert(y, gaps, np.nan))
        assert with_gaps == pytest.approx(metric(x, y), rel=0, abs=0, nan_ok=True)


@pytest.mark.parametrize("value", [np.float32(0.1), 0.1, 1e8 + 0.3, 1e-9])
@pytest.mark.parametrize("n", [2, 3, 7, 1000, 7501])
def test_of_a_constant_series_nothing_is_said(value: float, n: int) -> None:
    constant, other = np.full(n, value), np.linspace(-1, 1, n)
    for x, y in ((constant, other), (other, constant), (constant, constant)):
        assert np.isnan(cc(x, y))
        assert np.isnan(ccc(x, y))
        assert np.isfinite(rmse(x, y))
    assert rmse(constant, constant) == 0
    recordings = np.arange(n) % 3
    found = score(constant, other, recordings=recordings)
    assert np.isnan(
        [found.cc, found.ccc, found.cc_recording, found.ccc_recording, found.cc_within, found.ccc_within]
    ).all()
    assert bootstrap(constant, other, recordings=recordings, resamples=20)["ccc"].n_undefined == 20


def test_too_few_labelled_frames() -> None:
    gap = np.nan
    for predicted, target in (([], []), ([1.0], [gap]), ([1.0], [2.0]), ([1.0, 2.0], [gap, 2.0])):
        assert np.isnan(cc(predicted, target))
        assert np.isnan(ccc(predicted, target))
    assert np.isnan(rmse([], []))
    assert np.isnan(rmse([1.0], [gap]))
    nothing = score([1.0, 2.0], [gap, gap], recordings=["a", "b"])
    assert np.isnan([getattr(nothing, name) for name in NAMES]).all()
    assert (nothing.n_frames, nothing.n_recordings, nothing.n_subjects, nothing.n_undefined) == (0, 0, 0, 0)
    interval = bootstrap([1.0, 2.0], [gap, gap], recordings=["a", "b"], resamples=10)["rmse"]
    assert np.isnan([interval.estimate, interval.low, interval.high]).all()


def test_nothing_cancels_far_from_zero() -> None:
    """In float64, E[x²] − E[x]² of values at 1e7 ± 1e-3 is rounding and nothing else."""
    predicted, target, recordings, subjects = walks([40, 50, 60, 30])
    near = score(predicted, target, recordings=recordings, subjects=subjects)
    far = score(1e7 + predicted / 1e3, 1e7 + target / 1e3, recordings=recordings, subjects=subjects)
    for name in NAMES:
        scale = 1e-3 if name.startswith("rmse") else 1
        assert getattr(far, name) == pytest.approx(getattr(near, name) * scale, rel=1e-5), name


def test_small_errors_are_not_lost_in_large_variances() -> None:
    target = np.linspace(-1e3, 1e3, 300)
    predicted = target + 1e-6 * (-1.0) ** np.arange(300)
    found = score(predicted, target, recordings=np.arange(300) // 100)
    assert [found.rmse, found.rmse_recording, found.rmse_within] == pytest.approx([1e-6] * 3, rel=1e-6)


def test_recordings_are_brought_together_in_three_ways() -> None:
    predicted, target, recordings, subjects = walks([5, 9, 2, 1, 30, 8])
    predicted[:5] = 0.1
    target[9:12] = np.nan
    known = ~np.isnan(target)
    found = score(predicted, target, recordings=recordings, subjects=subjects)
    same(asdict(found), scored_by_definition(predicted[known], target[known], recordings[known], subjects[known]))
    assert (found.n_frames, found.n_recordings, found.n_subjects, found.n_undefined) == (52, 6, 3, 2)
    alone = score(predicted, target, recordings=recordings)
    assert (alone.n_subjects, alone.ccc) == (6, pytest.approx(found.ccc, abs=ROUNDING))
    assert alone.ccc_within != pytest.approx(found.ccc_within, abs=1e-3)


def test_a_recording_without_labels_counts_nowhere() -> None:
    predicted, target, recordings, subjects = walks([5, 9, 6, 7])
    target[recordings == "r1"] = np.nan
    kept = recordings != "r1"
    found = score(predicted, target, recordings=recordings, subjects=subjects)
    assert found == score(predicted[kept], target[kept], recordings=recordings[kept], subjects=subjects[kept])
    assert found.n_recordings == 3


@settings(deadline=None)
@given(st.permutations(range(27)))
def test_the_order_of_frames_and_recordings_does_not_matter(order: list[int]) -> None:
    predicted, target, recordings, subjects = walks([5, 9, 6, 7])
    given_so = score(predicted, target, recordings=recordings, subjects=subjects)
    otherwise = score(predicted[order], target[order], recordings=recordings[order], subjects=subjects[order])
    same(asdict(otherwise), asdict(given_so))


@pytest.mark.parametrize("kind", [list, tuple, np.array, lambda names: [(name, 1) for name in names]])
def test_recordings_may_be_anything(kind: type) -> None:
    predicted, target, recordings, subjects = walks([5, 9, 6, 7])
    numbers = np.unique(recordings, return_inverse=True)[1]
    wanted = score(predicted, target, recordings=numbers, subjects=subjects)
    assert score(predicted, target, recordings=kind(recordings.tolist()), subjects=kind(subjects.tolist())) == wanted


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
    models, belongs = summed_up(predicted, target, recordings, subjects, dimensions=(1,))
    drawn = []
    real = Moments.pooled
    monkeypatch.setattr(Moments, "pooled", lambda self, counts: (drawn.append(counts), real(self, counts))[1])
    (found,) = _resampled([models], belongs, resamples=200, seed=3, resample_seeds=True)
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


@pytest.mark.parametrize(
    ("predicted", "target", "message"),
    [
        ([1.0, 2.0], [1.0], r"shape \(2,\), targets \(1,\); needed are \(T,\) and \(T,\)$"),
        ([[1.0], [2.0]], [1.0, 2.0], r"is it a column\? then give predicted\[:, 0\]"),
        ([[1.0, 2.0]], [1.0, 2.0], r"shape \(1, 2\), targets \(2,\)"),
        ([1.0, 2.0], [[1.0], [2.0]], r"shape \(2,\), targets \(2, 1\)"),
        (1.0, 1.0, r"shape \(\), targets \(\)"),
        ([1.0, np.nan, np.inf], [1.0, 2.0, 3.0], "2 of 3 labelled frames have a prediction that is NaN or infinite"),
        ([1.0, 2.0, np.nan], [np.nan, 2.0, 3.0], "the first is frame 2;"),
        ([1.0, 2.0], [np.inf, 2.0], "1 targets are infinite; mark frames without a label with NaN"),
    ],
)
def test_what_cannot_be_compared_is_refused(predicted: list[float], target: list[float], message: str) -> None:
    for metric in (rmse, cc, ccc, lambda x, y: score(x, y, recordings=[0] * np.size(y))):
        with pytest.raises(MetricError, match=message):
            metric(predicted, target)
    assert issubclass(MetricError, CodecsimError)
    assert issubclass(MetricError, ValueError)


def test_bad_groups_and_settings_are_refused() -> None:
    predicted, target, recordings, subjects = walks([2, 2])
    with pytest.raises(MetricError, match="3 recordings for 4 frames"):
        score(predicted, target, recordings=recordings[:3])
    with pytest.raises(MetricError, match="5 subjects for 4 frames"):
        score(predicted, target, recordings=recordings, subjects=[*subjects, "s"])
    with pytest.raises(MetricError, match="recordings: NaN names nothing"):
        score(predicted, target, recordings=np.array([0, 0, np.nan, 1]))
    with pytest.raises(MetricError, match="recording 'r1' has frames of more than one subject"):
        score(predicted, target, recordings=list(recordings), subjects=["a", "a", "b", "c"])
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
    monkeypatch.setattr("recognition.metrics._COUNTS_AT_ONCE", 50)
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
