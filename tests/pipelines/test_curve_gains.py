"""What methods gain on another one in the same streams."""

from pathlib import Path

import numpy as np

from codecsim.store import Sweep
from pipelines.curves import curves
from recognition.intervals import paired
from tests.pipelines.told import (
    EVERY,
    FPS,
    PEOPLE,
    QPS,
    ROWS,
    SAID,
    TARGET,
    N,
    differing,
    made,
    standard,
    together,
    write,
)


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
