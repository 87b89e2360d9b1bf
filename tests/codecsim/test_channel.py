"""The channel loses what its two numbers say, the same on any machine, and frames go with their packets."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from codecsim.channel import INTACT, PACKET_BYTES, Channel, channel
from codecsim.errors import UsageError

N = 20_000
KEYS = st.text("0123456789abcdef", min_size=1, max_size=64)
SEEDS = st.integers(0, 2**40)


def runs(lost: np.ndarray) -> int:
    """How many runs of lost packets there are."""
    return int((np.diff(np.concatenate([[0], lost.astype(int)])) == 1).sum())


@given(loss=st.floats(0.02, 0.6), stretch=st.floats(1, 6), seed=SEEDS, key=KEYS)
def test_in_the_long_run_the_share_and_the_bursts_are_those_asked_for(
    loss: float, stretch: float, seed: int, key: str
) -> None:
    burst = stretch / (1 - loss)
    lost = channel(loss, burst, seed).lost_packets(N, key)
    # With correlation c = 1 − p − r the share has the variance loss (1 − loss) (1 + c) / (1 − c) / N.
    c = 1 - 1 / burst - loss / (burst * (1 - loss))
    deviation = math.sqrt(loss * (1 - loss) * (1 + c) / (1 - c) / N)
    assert abs(lost.mean() - loss) < 6 * deviation
    # Runs are geometric: mean b, variance b (b − 1).
    n_runs = runs(lost)
    assert abs(lost.sum() / n_runs - burst) < 6 * math.sqrt(burst * (burst - 1) / n_runs) + 2 * burst / n_runs


@given(loss=st.floats(0.001, 0.9), seed=SEEDS, key=KEYS)
def test_without_a_burst_each_packet_is_lost_on_its_own(loss: float, seed: int, key: str) -> None:
    made = channel(loss, seed=seed)
    assert made.is_independent
    lost = made.lost_packets(N, key)
    # Of few packets at a small loss, one that is lost lies many deviations off: what is binomial is tested as such.
    for drawn in (lost, lost[1:][lost[:-1]]):
        known = binom(drawn.size, loss)
        assert min(known.cdf(drawn.sum()), known.sf(drawn.sum() - 1)) > 1e-9


@given(lower=st.floats(0.001, 0.5), higher=st.floats(0.001, 0.5), burst=st.none() | st.floats(2, 9), seed=SEEDS)
def test_what_a_better_channel_loses_a_worse_one_loses_too(
    lower: float, higher: float, burst: float | None, seed: int
) -> None:
    lower, higher = sorted((lower, higher))
    better, worse = (channel(loss, burst, seed).lost_packets(500, "key") for loss in (lower, higher))
    assert not (better & ~worse).any()


def test_the_draw_is_of_the_seed_and_the_stream_alone_and_the_same_everywhere() -> None:
    made = channel(0.2, 3, seed=7)
    expected = [0, 1, 3, 8, 9, 10, 12, 13, 14, 37, 39]
    assert np.flatnonzero(made.lost_packets(40, "abc")).tolist() == expected
    np.testing.assert_array_equal(made.lost_packets(40, "abc"), made.lost_packets(400, "abc")[:40])
    for other in (channel(0.2, 3, seed=8).lost_packets(40, "abc"), made.lost_packets(40, "abd")):
        assert np.flatnonzero(other).tolist() != expected


@given(n_bytes=st.lists(st.integers(1, 6 * PACKET_BYTES), max_size=60), loss=st.floats(0.01, 0.6), seed=SEEDS, key=KEYS)
def test_a_frame_is_lost_with_any_of_its_packets_but_for_the_first(
    n_bytes: list[int], loss: float, seed: int, key: str
) -> None:
    made = channel(loss, seed=seed)
    n_packets = [math.ceil(n / PACKET_BYTES) for n in n_bytes]
    lost = made.lost_packets(sum(n_packets), key)
    expected, start = [], 0
    for index, n in enumerate(n_packets):
        expected.append(index > 0 and bool(lost[start : start + n].any()))
        start += n
    assert made.lost_frames(np.array(n_bytes, np.int32), key).tolist() == expected


def test_a_frame_of_1200_bytes_is_one_packet_and_a_byte_more_makes_two() -> None:
    made = channel(0.5, seed=3)
    of = {n: made.lost_frames(np.array([1, *[n] * 5_000]), "key").mean() for n in (1200, 1201)}
    assert of[1200] == pytest.approx(0.5, abs=0.03)
    assert of[1201] == pytest.approx(0.75, abs=0.03)


def test_the_channel_without_losses_loses_nothing() -> None:
    assert channel(0) == channel(0.0, 5, seed=3) == INTACT == Channel(0, 0, -1)
    assert not INTACT.lost_packets(1000, "key").any()
    assert not INTACT.lost_frames(np.full(100, 5000), "key").any()


@pytest.mark.parametrize(
    ("loss", "burst", "seed", "message"),
    [
        (1, None, 0, "loss 1: a share of the packets, from 0 up to but not 1, is needed; did you mean 0.01, 1 %"),
        (5, None, 0, "loss 5: .* did you mean 0.05, 5 %"),
        (-0.1, None, 0, r"loss -0.1: a share of the packets, from 0 up to but not 1, is needed$"),
        (math.nan, None, 0, "loss nan: a share"),
        (0.1, 0.5, 0, "bursts of 0.5 packets at loss 0.1: a mean of 1 or more is needed"),
        (0.8, 3, 0, "bursts of 3 packets at loss 0.8: a mean of 4 or more is needed"),
        (0.1, math.inf, 0, "bursts of inf packets at loss 0.1: a mean of 1 or more"),
        (0.1, math.nan, 0, "bursts of nan packets at loss 0.1: a mean of 1 or more"),
        (0.1, None, -1, "loss seed -1: 0 or more is needed"),
    ],
)
def test_impossible_channels_are_refused(loss: float, burst: float | None, seed: int, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        channel(loss, burst, seed)


def test_the_shortest_bursts_leave_no_good_packet_to_spare() -> None:
    lost = channel(0.75, 3, seed=1).lost_packets(N, "key")
    assert not (~lost[1:] & ~lost[:-1]).any()
