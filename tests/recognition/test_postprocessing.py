"""The chain on predictions that were spoilt in a known way."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d

from codecsim.errors import MetricError
from recognition import postprocessing
from recognition.metrics import ccc
from recognition.postprocessing import Chain, fit

FPS = 25
SIZES = [1500, 2200, 1800]
RECORDINGS = np.repeat(["a", "b", "c"], SIZES)
STARTS = np.cumsum([0, *SIZES[:-1]])


def labels(seed: int = 0) -> np.ndarray:
    """Smooth labels of three recordings with variance near 1."""
    noise = np.random.default_rng(seed).standard_normal(sum(SIZES))
    smooth = np.concatenate([gaussian_filter1d(part, 75) for part in np.split(noise, STARTS[1:])])
    return smooth / smooth.std()


def moved(values: np.ndarray, frames: int) -> np.ndarray:
    """Each recording later by so many frames, its ends held."""
    parts = np.split(values, STARTS[1:])
    return np.concatenate([part[(np.arange(len(part)) - frames).clip(0, len(part) - 1)] for part in parts])


def spoilt(target: np.ndarray) -> np.ndarray:
    """2 s early, half as large, 0.3 too high, one frame in five far off."""
    rng = np.random.default_rng(9)
    outliers = np.where(rng.random(len(target)) < 0.2, 4 * rng.standard_normal(len(target)), 0)
    return 0.5 * moved(target, -2 * FPS) + 0.3 + outliers


def test_what_was_spoilt_is_mended() -> None:
    target = labels()
    predicted = spoilt(target)
    chain = fit(predicted, target, recordings=RECORDINGS, fps=FPS)
    assert 0.4 <= chain.median_seconds <= 4
    assert chain.offset == pytest.approx(-0.3, abs=0.05)
    assert chain.scale == pytest.approx(2, rel=0.1)
    assert chain.shift_seconds == pytest.approx(2, abs=0.08)
    mended = chain.apply(predicted, recordings=RECORDINGS, fps=FPS)
    assert chain.ccc_before == ccc(predicted, target) < 0.3
    assert chain.ccc_after == pytest.approx(ccc(mended, target), abs=1e-12)
    assert chain.ccc_after > 0.95
    other = labels(seed=5)
    again = chain.apply(spoilt(other), recordings=RECORDINGS, fps=FPS)
    assert ccc(again, other) > 0.9


def test_each_step_alone() -> None:
    target = 2 * labels()
    for predicted, kept in (
        (target - 0.5, {"offset": 0.5}),
        (0.25 * (target - target.mean()) + target.mean(), {"scale": 4, "pivot": target.mean()}),
    ):
        chain = fit(predicted, target, recordings=RECORDINGS, fps=FPS)
        assert chain.ccc_before < 0.98
        assert chain.ccc_after == pytest.approx(1)
        assert replace(chain, **kept) == Chain(**kept, ccc_before=chain.ccc_before, ccc_after=chain.ccc_after)
        assert [getattr(chain, name) for name in kept] == pytest.approx(list(kept.values()))
    for frames, fps in ((-30, 25), (20, 25), (-22, 50)):
        chain = fit(moved(target, frames), target, recordings=RECORDINGS, fps=fps)
        assert chain.shift_seconds == pytest.approx(-frames / fps)


def test_nothing_is_kept_where_nothing_helps() -> None:
    """Of predictions that run against the labels, any step of centring or scaling lowers CCC."""
    target = labels()
    assert fit(target, target, recordings=RECORDINGS, fps=FPS) == Chain(ccc_before=1, ccc_after=1)
    few = target[::100]
    against = fit(-0.2 * few + 3, few, recordings=np.arange(len(few)), fps=FPS)
    assert against == Chain(ccc_before=against.ccc_before, ccc_after=against.ccc_before)
    assert against.ccc_before < 0


def test_a_gain_that_is_next_to_nothing_is_none() -> None:
    """A bias of 1e-4 costs 5e-9 of CCC at a variance of 1."""
    target = labels()
    assert fit(target + 1e-4, target, recordings=RECORDINGS, fps=FPS).offset == 0


@pytest.mark.parametrize(
    ("which", "value"), [("predicted", 0.1), ("predicted", 0), ("target", 0.1), ("target", np.nan)]
)
def test_where_ccc_is_not_defined_nothing_is_kept(which: str, value: float) -> None:
    series = {"predicted": labels(), "target": labels()} | {which: np.full(sum(SIZES), value)}
    chain = fit(**series, recordings=RECORDINGS, fps=FPS)
    assert np.isnan([chain.ccc_before, chain.ccc_after]).all()
    assert replace(chain, ccc_before=0, ccc_after=0) == Chain(ccc_before=0, ccc_after=0)
    assert chain.explain().startswith("nothing kept; CCC nan")


def test_recordings_do_not_mix() -> None:
    """Each alone, all together, and frame after frame in turn: the same."""
    chain = Chain(median_seconds=0.6, offset=0.1, scale=2, pivot=0.5, shift_seconds=0.4)
    values = np.random.default_rng(0).standard_normal((3, 90))
    alone = [chain.apply(each, recordings=[0] * 90, fps=FPS) for each in values]
    together = chain.apply(values.ravel(), recordings=np.repeat([2, 0, 1], 90), fps=FPS)
    in_turn = chain.apply(values.T.ravel(), recordings=np.tile([2, 0, 1], 90), fps=FPS)
    assert np.array_equal(together.reshape(3, 90), alone)
    assert np.array_equal(in_turn.reshape(90, 3).T, alone)


def test_filter_and_shift_by_definition() -> None:
    values = np.random.default_rng(1).standard_normal(40)
    filtered = Chain(median_seconds=0.36).apply(values, recordings=[0] * 40, fps=FPS)  # 9 frames
    padded = np.pad(values, 4, mode="edge")
    assert np.array_equal(filtered, [np.median(padded[k : k + 9]) for k in range(40)])
    later = Chain(shift_seconds=0.12).apply(values, recordings=[0] * 40, fps=FPS)
    assert np.array_equal(later, [values[0]] * 3 + list(values[:-3]))
    earlier = Chain(shift_seconds=-0.12).apply(values, recordings=[0] * 40, fps=FPS)
    assert np.array_equal(earlier, list(values[3:]) + [values[-1]] * 3)
    assert np.array_equal(Chain().apply(values, recordings=[0] * 40, fps=FPS), values)


def test_seconds_are_seconds_at_any_frame_rate() -> None:
    values = np.arange(100.0)
    for fps in (5, 50):
        later = Chain(shift_seconds=1).apply(values, recordings=[0] * 100, fps=fps)
        assert later[60] == 60 - fps
    impulse = np.where(abs(values - 50) < 5, 1.0, 0)  # 9 frames
    assert Chain(median_seconds=1).apply(impulse, recordings=[0] * 100, fps=10).any()
    assert not Chain(median_seconds=1).apply(impulse, recordings=[0] * 100, fps=25).any()


def test_recordings_may_be_shorter_than_window_and_shift() -> None:
    values, recordings = np.array([1.0, 2.0, 9.0, 5.0]), ["a", "a", "a", "b"]
    chain = Chain(median_seconds=20, shift_seconds=10)
    done = chain.apply(values, recordings=recordings, fps=FPS)
    assert (done[:3] == done[0]).all()
    assert done[3] == 5


def test_the_grid_is_that_of_the_challenges() -> None:
    assert (postprocessing.MEDIAN_SECONDS[0], postprocessing.MEDIAN_SECONDS[-1]) == (0.4, 20)
    for fps, step, limit in ((25, 1, 250), (50, 2, 500), (10, 1, 100), (100, 4, 1000)):
        shifts = postprocessing._shifts(fps)
        assert shifts[:4] == [step, -step, 2 * step, -2 * step]
        assert max(shifts) == limit


def test_labels_that_are_missing_are_not_looked_at() -> None:
    target = labels()
    predicted = spoilt(target)
    gaps = target.copy()
    gaps[::3] = gaps[-500:] = np.nan
    predicted[-400:] += 4
    chain = fit(predicted, gaps, recordings=RECORDINGS, fps=FPS)
    assert chain.ccc_before == ccc(predicted, gaps)
    assert chain.offset == pytest.approx(-0.3, abs=0.05)
    assert chain.shift_seconds == pytest.approx(2, abs=0.08)
    done = chain.apply(predicted, recordings=RECORDINGS, fps=FPS)
    assert chain.ccc_after == pytest.approx(ccc(done, gaps), abs=1e-12)


def test_a_chain_survives_json() -> None:
    for chain in (Chain(0.4, -0.1, 2.5, 0.3, -1.2, 0.2, 0.4), Chain(ccc_before=0.5, ccc_after=0.5)):
        assert Chain.from_dict(json.loads(json.dumps(chain.to_dict(), allow_nan=False))) == chain
    undefined = Chain.from_dict(json.loads(json.dumps(Chain().to_dict(), allow_nan=False)))
    assert np.isnan([undefined.ccc_before, undefined.ccc_after]).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"median_seconds": "1"}, "median_seconds of a chain is '1', not a number"),
        ({"offset": None}, "offset of a chain is None"),
        ({"offset": float("nan")}, "offset of a chain is nan"),
        ({"scale": True}, "scale of a chain is True"),
        ({"scale": 0}, "scale > 0"),
        ({"median_seconds": -1}, "median_seconds ≥ 0"),
        ({"shift": 1}, "shift missing or unknown"),
    ],
)
def test_what_is_no_chain_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(MetricError, match=message):
        Chain.from_dict(Chain().to_dict() | change)


def test_a_chain_that_lacks_a_value_is_refused() -> None:
    with pytest.raises(MetricError, match="offset, scale missing or unknown"):
        Chain.from_dict({name: value for name, value in Chain().to_dict().items() if name not in ("offset", "scale")})


def test_explanations_name_what_was_kept_alone() -> None:
    chain = Chain(0.8, -0.25, 1.5, 0.125, 2.0, 0.3, 0.45)
    assert chain.explain() == (
        "median over 0.8 s, centred by -0.250, scaled by 1.500 about 0.125, shifted 2.00 s later; "
        "CCC 0.300 → 0.450 on the fold it was fitted on"
    )
    assert Chain(shift_seconds=-1.2, ccc_before=0, ccc_after=1).explain() == (
        "shifted 1.20 s earlier; CCC 0.000 → 1.000 on the fold it was fitted on"
    )


def test_bad_input_is_refused() -> None:
    target = labels()
    for call in (
        lambda predicted, **names: fit(predicted, target, **names),
        lambda predicted, **names: Chain().apply(predicted, **names),
    ):
        with pytest.raises(MetricError, match="1 of them NaN or infinite"):
            call(np.append(target[1:], np.nan), recordings=RECORDINGS, fps=FPS)
        with pytest.raises(MetricError, match=r"a chain needs \(T,\)"):
            call(target[None], recordings=RECORDINGS, fps=FPS)
        with pytest.raises(MetricError, match="fps is 0; frames per second are above 0"):
            call(target, recordings=RECORDINGS, fps=0)
        with pytest.raises(MetricError, match="3 recordings for"):
            call(target, recordings=RECORDINGS[:3], fps=FPS)
