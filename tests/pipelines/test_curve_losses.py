"""Curves of streams that lost packets, beside those of whole ones."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from codecsim.channel import INTACT, Channel, channel
from codecsim.store import Sweep
from codecsim.store.records import Series
from pipelines.curves import curves
from pipelines.readings import Readings
from recognition.metrics import ccc
from tests.pipelines.told import PEOPLE, QPS, SAID, TARGET, N, differing, made, noisy, standard, together, told

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
