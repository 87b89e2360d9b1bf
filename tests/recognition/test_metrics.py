"""RMSE, CC and CCC against torchmetrics, closed forms and properties."""

from dataclasses import asdict
from random import Random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.regression import ConcordanceCorrCoef, MeanSquaredError, PearsonCorrCoef

from codecsim.errors import CodecsimError, MetricError
from recognition.intervals import bootstrap
from recognition.metrics import cc, ccc, rmse, score
from tests.recognition.walks import METRICS, NAMES, ROUNDING, same, walks

# Thousandths, so that two values are either equal or far more than rounding apart.
series = st.integers(2, 30).flatmap(
    lambda n: st.lists(st.tuples(*[st.integers(-1000, 1000)] * 2), min_size=n, max_size=n).map(
        lambda pairs: np.array(pairs).T / 1000
    )
)


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


def test_bad_groups_are_refused() -> None:
    predicted, target, recordings, subjects = walks([2, 2])
    with pytest.raises(MetricError, match="3 recordings for 4 frames"):
        score(predicted, target, recordings=recordings[:3])
    with pytest.raises(MetricError, match="5 subjects for 4 frames"):
        score(predicted, target, recordings=recordings, subjects=[*subjects, "s"])
    with pytest.raises(MetricError, match="recordings: NaN names nothing"):
        score(predicted, target, recordings=np.array([0, 0, np.nan, 1]))
    with pytest.raises(MetricError, match="recording 'r1' has frames of more than one subject"):
        score(predicted, target, recordings=list(recordings), subjects=["a", "a", "b", "c"])
