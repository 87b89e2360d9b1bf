"""Curves of a sweep: what they are measured against, pooled over, and left without."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from codecsim.channel import INTACT, Channel, channel
from codecsim.errors import UsageError
from codecsim.parts import parts_folder
from codecsim.store import Sweep
from codecsim.store.merge import merge
from codecsim.store.records import Records, Series, column_array, write_part, write_predictions
from codecsim.store.schema import PACKET_COLUMNS, STREAM_COLUMNS
from pipelines.curve import Curve
from pipelines.curves import curves
from pipelines.readings import NO_SEED, TRUTH, UNCODED, Readings
from recognition.metrics import Interval, bootstrap, cc, ccc, paired, rmse

PEOPLE = ("ada", "ben", "cy")
QPS = (18, 24, 30, 36)
N, EVERY, FPS = 40, 2, 25.0
TRUTHS = {name: np.sin(np.arange(N) / 3 + k).astype(np.float32) for k, name in enumerate(PEOPLE)}
Floats = npt.NDArray[np.float32]


def row(name: str, s: int, qp: int) -> dict[str, Any]:
    """A stream whose bits depend on the person, the factor and the QP."""
    bits = 8 * (1000 * (PEOPLE.index(name) + 1) * 40 // qp // s)
    side = 96 // s
    return {column.name: "" if column.dtype == "text" else 0 for column in STREAM_COLUMNS} | {
        "key": f"{name}-{s}-{qp}",
        "sequence": name,
        "subject": name,
        "codec": "x264",
        "options": "{}",
        "mode": "qp",
        "scale": s,
        "qp_requested": qp,
        "crf_requested": np.nan,
        "bitrate_kbps_requested": np.nan,
        "n_frames": N,
        "width": side,
        "height": side,
        "coded_width": 32,
        "coded_height": 32,
        "fps": FPS,
        "bits_total": bits,
        "bpp_lr": bits / (N * side * side),
        "bpp_hr": bits / (N * 96 * 96),
        "rate_kbps": bits * FPS / N / 1000,
    }


def told(name: str, key: str, scale: int, values: Floats, **changes: Any) -> Series:
    given = {
        "method": "joint-3",
        "label": "valence",
        "seed": 0,
        "weights": "w",
        "precision": "fp32",
        "delay_seconds": 0.0,
        "every": EVERY,
    }
    return Series(name, key, scale, values=values.astype(np.float32), **given | changes)


def truth(name: str, values: Floats) -> Series:
    return told(name, UNCODED, 1, values, method=TRUTH, seed=NO_SEED, weights="", precision="", every=1)


def noisy(name: str, level: float, *, seed: int) -> Floats:
    """What a network tells: the truth, the worse the higher `level` is."""
    noise = np.random.default_rng([seed, PEOPLE.index(name)]).normal(0, 1, N // EVERY)
    return (TRUTHS[name][::EVERY] + level * noise).astype(np.float32)


def standard(*, seeds: Sequence[int] = (0,), method: str = "joint-3", **changes: Any) -> list[Series]:
    """Of every person: HR and LR frames that were never coded, and s = 3 at every QP, the worse the higher it is."""
    series = []
    for name in PEOPLE:
        for seed in seeds:
            known = {"seed": seed, "method": method} | changes
            series.append(told(name, UNCODED, 1, noisy(name, 0.1, seed=100 + seed), **known))
            series.append(told(name, UNCODED, 3, noisy(name, 0.2, seed=200 + seed), **known))
            for qp in QPS:
                values = noisy(name, 0.2 + 0.05 * (qp - 18), seed=qp + 1000 * seed)
                series.append(told(name, f"{name}-3-{qp}", 3, values, **known))
    return series


def write(path: Path, rows: list[dict[str, Any]], series: list[Series]) -> Path:
    write_part(
        parts_folder(path) / "a.h5",
        Records(
            streams={
                column.name: column_array(column, [each[column.name] for each in rows]) for column in STREAM_COLUMNS
            },
            packets={column.name: column_array(column, []) for column in PACKET_COLUMNS},
            bitstream=np.empty(0, np.uint8),
        ),
    )
    if series:
        write_predictions(parts_folder(path) / "b.h5", series)
    merge(path, parts_folder(path), {})
    return path


ROWS = [row(name, 3, qp) for name in PEOPLE for qp in QPS]
SAID = [truth(name, values) for name, values in TRUTHS.items()]


def made(path: Path, series: list[Series], rows: list[dict[str, Any]] = ROWS, **options: Any) -> list[Curve]:
    with Sweep(write(path, rows, series)) as sweep:
        return curves(sweep, **{"resamples": 300} | options)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sweep.h5"


def together(series: list[Series], key: str, scale: int) -> Floats:
    keys = {name: key.format(name) for name in PEOPLE}
    return np.concatenate([each.values for each in series if each.scale == scale and each.key == keys[each.sequence]])


TARGET = np.concatenate([TRUTHS[name][::EVERY] for name in PEOPLE])


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
    assert curve.n_left_out == 0


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


def differing(method: str, *, seeds: Sequence[int] = (0,), shift: int = 50, **changes: Any) -> list[Series]:
    """As `standard`, of a method that tells something else."""
    return [
        replace(each, values=np.roll(each.values, 1) + np.float32(shift / 500))
        for each in standard(seeds=seeds, method=method, **changes)
    ]


def test_gains_are_paired_differences_in_the_same_streams(path: Path) -> None:
    joint, lr = standard(seeds=(0, 1)), differing("lr-3", seeds=(0, 1))
    anchor, curve = made(path, joint + lr + SAID, resamples=500)
    assert (anchor.method, anchor.anchor, anchor.uncompressed_gain) == ("lr-3", "", {})
    assert all(point.gain == {} for point in anchor.points)
    assert (curve.anchor, curve.anchor_family) == ("lr-3", "lr")
    people = np.repeat(PEOPLE, N // EVERY)
    for point, key in zip((*curve.points, None), [*(f"{{}}-3-{qp}" for qp in QPS), ""], strict=True):
        told_a, told_b = (
            np.stack([together([each for each in series if each.seed == seed], key, 3) for seed in (0, 1)])
            for series in (joint, lr)
        )
        expected = paired(told_a, told_b, TARGET, recordings=people, subjects=people, resamples=500)
        gain = curve.uncompressed_gain if point is None else point.gain
        assert gain == {name: expected[name] for name in ("rmse", "cc", "ccc", "ccc_within")}
        assert gain["ccc"].low < gain["ccc"].estimate < gain["ccc"].high
    gained = curve.gained()
    assert [point.metrics for point in gained.points] == [point.gain for point in curve.points]
    assert gained.uncompressed == curve.uncompressed_gain
    assert anchor.gained().points == ()


def test_any_other_method_may_be_the_anchor(path: Path) -> None:
    series = standard() + differing("joint-oa") + differing("lr-3", shift=100) + SAID
    write(path, ROWS, series)
    with Sweep(path) as sweep:
        anchors = {
            name: {curve.method: curve.anchor for curve in curves(sweep, resamples=10, anchor=name)}
            for name in ("joint-oa", "joint", "non-joint")
        }
    assert anchors == {
        "joint-oa": {"lr-3": "joint-oa", "joint-3": "joint-oa", "joint-oa": ""},
        "joint": {"lr-3": "joint-3", "joint-3": "", "joint-oa": "joint-3"},
        "non-joint": {"lr-3": "", "joint-3": "", "joint-oa": ""},
    }


def test_there_is_no_gain_where_the_anchor_was_not_shown_the_same(path: Path) -> None:
    lr = [each for each in differing("lr-3") if each.key not in ("ben-3-24", "")]
    _, curve = made(path, standard() + lr + SAID)
    assert [point.value for point in curve.points if not point.gain] == [24]
    assert [point.value for point in curve.gained().points] == [18, 30, 36]
    assert (curve.anchor, curve.uncompressed_gain) == ("lr-3", {})


def test_there_is_no_gain_between_different_targets(path: Path) -> None:
    lagging = made(path, standard() + differing("lr-3", delay_seconds=2 / FPS) + SAID)
    assert [(curve.method, curve.anchor) for curve in lagging] == [("lr-3", ""), ("joint-3", "")]
    fidelity = made(path.with_name("f.h5"), standard() + differing("lr-3"), reference="fidelity")
    assert [(curve.method, curve.anchor) for curve in fidelity] == [("lr-3", ""), ("joint-3", "")]


LOSSES = (channel(0.01), channel(0.1), channel(0.1, burst=4), channel(0.1, seed=1))


def damaged(made: Channel, level: float, *, people: Sequence[str] = PEOPLE, **changes: Any) -> list[Series]:
    """What the network of `standard` tells of every stream that came through a channel."""
    on = {"loss": made.loss, "burst": made.burst, "loss_seed": made.seed, "n_concealed": 3, "n_damaged": 10}
    return [
        told(name, f"{name}-3-{qp}", 3, noisy(name, level, seed=7000 + qp), **on | changes)
        for name in people
        for qp in QPS
    ]


def test_streams_that_lost_packets_never_enter_a_curve_of_whole_ones(path: Path) -> None:
    expected = made(path.with_name("whole.h5"), standard() + SAID)
    series = [each for number, lossy in enumerate(LOSSES) for each in damaged(lossy, 1.0 + number)]
    assert made(path, series + standard() + SAID) == expected
    with Sweep(path) as sweep:
        found = curves(sweep, resamples=300, with_losses=True)
        assert Readings(sweep).channels == (INTACT, *sorted(LOSSES))
    assert [curve.channel for curve in found] == [INTACT, *sorted(LOSSES)]
    assert found[0] == expected[0]
    for number, lossy in enumerate(LOSSES):
        (curve,) = (each for each in found if each.channel == lossy)
        for point, whole in zip(curve.points, expected[0].points, strict=True):
            values = np.concatenate([noisy(name, 1.0 + number, seed=7000 + int(point.value)) for name in PEOPLE])
            assert point.metrics["ccc"].estimate == pytest.approx(ccc(values, TARGET), rel=1e-12)
            assert point.lost_ccc is not None
            still = expected[0].uncompressed["ccc"].estimate
            assert point.lost_ccc.estimate == pytest.approx(point.metrics["ccc"].estimate - still, abs=1e-12)
            assert (point.bpp_hr, whole.concealed, whole.damaged) == (whole.bpp_hr, 0, 0)
            assert (point.concealed, point.damaged) == (3 / N, 10 / N)


def test_fidelity_of_streams_that_lost_packets_is_against_whole_hr_frames(path: Path) -> None:
    series = standard() + damaged(LOSSES[1], 1.0)
    made(path, series)
    with Sweep(path) as sweep:
        whole, lossy = curves(sweep, reference="fidelity", resamples=300, with_losses=True)
    values = np.concatenate([noisy(name, 1.0, seed=7018) for name in PEOPLE])
    assert lossy.points[0].metrics["ccc"].estimate == pytest.approx(ccc(values, together(series, "", 1)), rel=1e-12)
    assert lossy.points[0].metrics["ccc"] != whole.points[0].metrics["ccc"]


@pytest.mark.parametrize("old", [{"weights": "before"}, {"precision": "bf16"}, {"every": 4}])
def test_losses_that_another_network_or_other_frames_were_read_with_do_not_count(
    path: Path, old: dict[str, Any]
) -> None:
    made(path, damaged(LOSSES[0], 0.5, **old) + damaged(LOSSES[1], 0.5) + standard() + SAID)
    with Sweep(path) as sweep:
        assert Readings(sweep).channels == (INTACT, LOSSES[1])
        assert [curve.loss for curve in curves(sweep, resamples=300, with_losses=True)] == [0, 0.1]


def test_gains_in_streams_that_lost_packets_are_on_the_anchor_in_these(path: Path) -> None:
    joint, lr = damaged(LOSSES[1], 1.0), damaged(LOSSES[1], 2.0, method="lr-3")
    made(path, standard() + joint + differing("lr-3") + lr + SAID)
    with Sweep(path) as sweep:
        curve = next(
            each for each in curves(sweep, resamples=10, with_losses=True) if each.method == "joint-3" and each.loss
        )
    levels = [ccc(np.concatenate([noisy(name, level, seed=7018) for name in PEOPLE]), TARGET) for level in (1.0, 2.0)]
    assert curve.points[0].gain["ccc"].estimate == pytest.approx(levels[0] - levels[1], abs=1e-12)


def test_there_is_no_gain_in_losses_that_the_anchor_was_not_shown(path: Path) -> None:
    made(path, standard() + damaged(LOSSES[1], 1.0) + differing("lr-3") + SAID)
    with Sweep(path) as sweep:
        _, whole, lossy = curves(sweep, resamples=10, with_losses=True)
    assert (whole.method, lossy.method, lossy.channel) == ("joint-3", "joint-3", LOSSES[1])
    assert all(point.gain for point in whole.points)
    assert not any(point.gain for point in lossy.points)


def test_losses_alone_are_no_curve(path: Path) -> None:
    assert made(path, damaged(LOSSES[0], 0.5) + SAID, with_losses=True) == []


def test_losses_of_some_people_are_a_curve_of_these(path: Path) -> None:
    made(path, standard() + damaged(LOSSES[0], 0.5, people=PEOPLE[:2]) + SAID)
    with Sweep(path) as sweep:
        whole, lossy = curves(sweep, resamples=300, with_losses=True)
    assert (whole.sequences, lossy.sequences) == (PEOPLE, PEOPLE[:2])
