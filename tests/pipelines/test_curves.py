"""Curves of a sweep: what they are measured against, pooled over, and left without."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from codecsim.errors import UsageError
from codecsim.store import Sweep
from pipelines.readings import UNCODED, Readings
from recognition.intervals import Interval, bootstrap, paired
from recognition.metrics import cc, ccc, rmse
from tests.pipelines.told import (
    EVERY,
    FPS,
    PEOPLE,
    QPS,
    ROWS,
    SAID,
    TARGET,
    TRUTHS,
    N,
    differing,
    made,
    noisy,
    row,
    standard,
    together,
    told,
    truth,
)


def centred(values: np.ndarray) -> np.ndarray:
    """Each person's mean taken off."""
    of_people = values.reshape(len(PEOPLE), -1).astype(np.float64)
    return (of_people - of_people.mean(1, keepdims=True)).ravel()


def test_points_are_the_metrics_of_all_people_together(path: Path) -> None:
    series = standard()
    (curve,) = made(path, series + SAID)
    assert (curve.codec, curve.mode, curve.s, curve.method, curve.family) == ("x264", "qp", 3, "joint-3", "joint")
    assert (curve.label, curve.reference, curve.seeds) == ("valence", "label", (0,))
    assert (curve.sequences, curve.subjects, curve.n_frames, curve.n_left_out) == (PEOPLE, PEOPLE, 3 * N // EVERY, 0)
    assert [point.value for point in curve.points] == list(QPS)
    for point in curve.points:
        values = together(series, f"{{}}-3-{point.value:g}", 3)
        for measure, metric in (("rmse", rmse), ("cc", cc), ("ccc", ccc)):
            assert point.metrics[measure].estimate == pytest.approx(metric(values, TARGET), rel=1e-12)
        within = ccc(centred(values), centred(TARGET))
        assert point.metrics["ccc_within"].estimate == pytest.approx(within, rel=1e-9)
    assert curve.uncompressed["ccc"].estimate == pytest.approx(ccc(together(series, "", 3), TARGET), rel=1e-12)
    assert curve.estimates("cc").tolist() == [point.metrics["cc"].estimate for point in curve.points]


def test_intervals_are_those_of_the_bootstrap_over_people(path: Path) -> None:
    series = standard()
    (curve,) = made(path, series + SAID, resamples=500)
    people = np.repeat(PEOPLE, N // EVERY)
    values, still = together(series, "{}-3-30", 3), together(series, "", 3)
    expected = bootstrap(values, TARGET, recordings=people, subjects=people, resamples=500)
    assert curve.points[2].metrics["ccc"] == expected["ccc"]
    lost = paired(values, still, TARGET, recordings=people, subjects=people, resamples=500)["ccc"]
    assert curve.points[2].lost_ccc == lost
    assert lost.estimate < 0


def test_rates_are_pooled_over_people(path: Path) -> None:
    (curve,) = made(path, standard() + SAID)
    for point in curve.points:
        bits = sum(each["bits_total"] for each in ROWS if each["qp_requested"] == point.value)
        assert point.bpp_lr == pytest.approx(bits / (3 * N * 32 * 32), rel=1e-12)
        assert point.bpp_hr == pytest.approx(bits / (3 * N * 96 * 96), rel=1e-12)
        assert point.rate_kbps == pytest.approx(bits / (3 * N / FPS) / 1000, rel=1e-12)
    assert curve.rates("bpp_hr").tolist() == [point.bpp_hr for point in curve.points]


def test_fidelity_is_measured_against_what_the_same_network_says_of_hr_frames(path: Path) -> None:
    series = standard(seeds=(0, 1))
    (curve,) = made(path, series, reference="fidelity")
    assert (curve.reference, curve.seeds) == ("fidelity", (0, 1))
    for point in curve.points:
        each_seed = []
        for seed in (0, 1):
            own = [each for each in series if each.seed == seed]
            each_seed.append(ccc(together(own, f"{{}}-3-{point.value:g}", 3), together(own, "", 1)))
        assert point.metrics["ccc"].estimate == pytest.approx(np.mean(each_seed), rel=1e-12)


def test_without_labels_there_is_no_curve_against_them(path: Path) -> None:
    assert made(path, standard()) == []


def test_labels_that_are_all_missing_give_no_curve(path: Path) -> None:
    nothing = [truth(name, np.full(N, np.nan, np.float32)) for name in PEOPLE]
    assert made(path, standard() + nothing) == []


def test_people_without_labels_are_left_out_of_curves_against_them(path: Path) -> None:
    (curve,) = made(path, standard() + SAID[:2])
    assert curve.sequences == PEOPLE[:2]
    assert curve.points[0].rate_kbps == pytest.approx(sum(row(name, 3, 18)["rate_kbps"] for name in PEOPLE[:2]) / 2)


def test_seeds_are_averaged(path: Path) -> None:
    series = standard(seeds=(0, 1, 2))
    (curve,) = made(path, series + SAID)
    each_seed = [
        ccc(together([each for each in series if each.seed == seed], "{}-3-24", 3), TARGET) for seed in range(3)
    ]
    assert curve.points[1].metrics["ccc"].estimate == pytest.approx(np.mean(each_seed), rel=1e-12)


def test_labels_lag_as_the_network_was_trained(path: Path) -> None:
    series = standard(delay_seconds=3 / FPS)
    (curve,) = made(path, series + SAID)
    later = np.concatenate([np.append(TRUTHS[name][3:], [np.nan] * 3)[::EVERY] for name in PEOPLE])
    assert curve.n_frames == (~np.isnan(later)).sum() < len(later)
    expected = ccc(together(series, "{}-3-18", 3), later)
    assert curve.points[0].metrics["ccc"].estimate == pytest.approx(expected, rel=1e-12)


def test_points_of_other_people_are_left_out_and_counted(path: Path) -> None:
    series = [each for each in standard() if each.key != "ben-3-30"]
    (curve,) = made(path, series + SAID)
    assert [point.value for point in curve.points] == [18, 24, 36]
    assert (curve.sequences, curve.n_left_out) == (PEOPLE, 1)


def test_a_point_that_not_all_seeds_have_is_no_point(path: Path) -> None:
    series = [each for each in standard(seeds=(0, 1)) if (each.key[-2:], each.seed) != ("36", 1)]
    (curve,) = made(path, series + SAID)
    assert [point.value for point in curve.points] == [18, 24, 30]
    assert curve.n_left_out == 1


def test_every_factor_has_the_seeds_that_were_shown_its_streams(path: Path) -> None:
    one_seed = [
        told(each.sequence, each.key.replace("-3-", "-4-"), 4, each.values, method=each.method)
        for each in standard(method="joint-oa") + differing("lr-4")
        if each.key
    ]
    series = standard(seeds=(0, 1), method="joint-oa") + one_seed + SAID
    at_4 = [row(name, 4, qp) for name in PEOPLE for qp in QPS]
    found = {(curve.method, curve.s): curve for curve in made(path, series, ROWS + at_4, anchor="joint-oa")}
    seeds = {which: (curve.seeds, len(curve.points)) for which, curve in found.items()}
    assert seeds == {("joint-oa", 3): ((0, 1), 4), ("joint-oa", 4): ((0,), 4), ("lr-4", 4): ((0,), 4)}
    assert all(point.gain for point in found["lr-4", 4].points)


def test_a_method_of_hr_frames_alone_is_the_ceiling(path: Path) -> None:
    hr = [told(name, UNCODED, 1, noisy(name, 0.05, seed=9), method="hr") for name in PEOPLE]
    joint, ceiling = sorted(made(path, standard() + hr + SAID), key=lambda curve: curve.method == "hr")
    assert (joint.method, ceiling.method, ceiling.s, ceiling.points) == ("joint-3", "hr", 1, ())
    expected = ccc(np.concatenate([each.values for each in hr]), TARGET)
    assert ceiling.uncompressed["ccc"].estimate == pytest.approx(expected, rel=1e-12)
    path.unlink()
    assert [curve.method for curve in made(path, standard() + hr + SAID, reference="fidelity")] == ["joint-3"]


def test_methods_stand_in_the_order_of_the_paper(path: Path) -> None:
    names = ("joint-oa", "own:net-3", "joint-3", "lr-3", "non-joint-3")
    found = made(path, [each for name in names for each in standard(method=name)] + SAID)
    assert [curve.method for curve in found] == ["lr-3", "non-joint-3", "joint-3", "joint-oa", "own:net-3"]


def test_every_factor_and_codec_has_curves_of_its_own(path: Path) -> None:
    other = [row(name, 4, qp) | {"key": f"{name}-4-{qp}"} for name in PEOPLE for qp in QPS]
    av1 = [each | {"codec": "svtav1", "key": f"{each['key']}-av1"} for each in ROWS]
    series = standard(method="joint-oa")
    for each in [each for each in series if each.key]:
        series.append(told(each.sequence, each.key.replace("-3-", "-4-"), 4, each.values, method="joint-oa"))
        series.append(told(each.sequence, f"{each.key}-av1", 3, each.values, method="joint-oa"))
    found = made(path, series + SAID, ROWS + other + av1)
    assert [(curve.codec, curve.s) for curve in found] == [("svtav1", 3), ("x264", 3), ("x264", 4)]
    at_4 = found[2]
    assert at_4.uncompressed == {}
    assert all(point.lost_ccc is None for point in at_4.points)
    assert at_4.saturates_at is None


@pytest.mark.parametrize(
    ("intervals", "expected"),
    [
        ([(-0.1, 0.1), (-0.2, 0.01), (-0.3, -0.1), (-0.1, 0.1)], 24),
        ([(-0.1, 0.1)] * 4, 36),
        ([(-0.2, -0.1)] * 4, None),
        ([(0.01, 0.02), (0.01, 0.02), (-0.1, 0.1), (-0.2, -0.1)], 30),
        ([(0.0, 0.1), (-0.1, 0.0), (-0.2, -1e-9), (-1, 1)], 24),
        ([(np.nan, np.nan)] * 4, None),
    ],
)
def test_a_curve_saturates_up_to_where_coding_changes_ccc(
    path: Path, intervals: list[tuple[float, float]], expected: float | None
) -> None:
    (curve,) = made(path, standard() + SAID)
    points = tuple(
        replace(point, lost_ccc=Interval((low + high) / 2, low, high, 0))
        for point, (low, high) in zip(curve.points, intervals, strict=True)
    )
    assert replace(curve, points=points).saturates_at == expected
    assert replace(curve, points=points, mode="bitrate").saturates_at is None


def test_a_coarser_quantiser_costs_ccc(path: Path) -> None:
    (curve,) = made(path, standard() + SAID)
    losses = [point.lost_ccc.estimate for point in curve.points if point.lost_ccc is not None]
    assert len(losses) == 4
    assert losses[0] > losses[1] > losses[2] > losses[3]


def test_frames_must_be_the_same_for_all(path: Path) -> None:
    series = [*standard(), told("ada", UNCODED, 1, np.zeros(10, np.float32), method="hr", every=4)]
    with pytest.raises(UsageError, match="networks were shown one frame in 2 and 4; evaluate it again with --force"):
        made(path, series + SAID)


def test_networks_of_a_method_must_take_the_same_lag(path: Path) -> None:
    series = [*standard(), told("ada", UNCODED, 1, np.zeros(20, np.float32), seed=1, delay_seconds=2.0)]
    with pytest.raises(UsageError, match="networks of joint-3 take labels to lag by 0, 2 s; evaluate those of one"):
        made(path, series + SAID)


def test_a_sweep_that_nobody_read_has_no_curves(path: Path) -> None:
    assert made(path, []) == []
    with Sweep(path) as sweep:
        assert Readings(sweep).methods == []


def test_one_person_gives_no_interval(path: Path) -> None:
    series = [each for each in standard() if each.sequence == "ada"]
    (curve,) = made(path, series + SAID)
    assert curve.subjects == ("ada",)
    assert np.isnan(curve.points[0].metrics["ccc"].low)
    assert curve.saturates_at is None
