"""The tracker on made-up detections: who is who, gaps, smoothing."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codecsim.faces import Detection, FaceSettings, Square
from codecsim.sources.tracking import Placed, Tracker, steady

FPS = 25.0
SIDE = 60.0

Places = dict[int, dict[int, Placed]]


def face(x: float, y: float = 100.0, side: float = SIDE) -> Detection:
    """A detection about the centre (x, y)."""
    return Detection(x - side / 2, y - side / 2, side, side, 0.9)


def track(
    searches: Sequence[list[Detection] | None], settings: FaceSettings | None = None, *, fps: float = FPS
) -> tuple[Tracker, Places]:
    """Run a tracker over one entry a frame, as a recording does; places by track, then by frame."""
    tracker = Tracker(settings or FaceSettings(margin=0, smoothing_seconds=0))
    places: Places = {}
    settled = 0

    def settle(index: int) -> None:
        for number, placed in tracker.faces(index).items():
            places.setdefault(number, {})[index] = placed

    for index, detections in enumerate(searches):
        tracker.add(index, index / fps, detections)
        while settled / fps <= index / fps - tracker.delay_seconds:
            settle(settled)
            settled += 1
    tracker.finish()
    for index in range(settled, len(searches)):
        settle(index)
    return tracker, {number: found for number, found in places.items() if number in tracker.numbers()}


def test_one_face_is_one_track_in_every_frame() -> None:
    _, places = track([[face(100 + index)] for index in range(50)])
    assert list(places) == [0]
    assert list(places[0]) == list(range(50))
    assert [placed.square.x for placed in places[0].values()] == pytest.approx([100 + index for index in range(50)])
    assert not any(placed.interpolated for placed in places[0].values())


def test_frames_between_searches_lie_on_a_line_and_count_as_found() -> None:
    _, places = track([[face(100 + index)] if index % 5 == 0 else None for index in range(51)])
    assert [placed.square.x for placed in places[0].values()] == pytest.approx([100 + index for index in range(51)])
    assert not any(placed.interpolated for placed in places[0].values())


def test_the_last_face_stays_to_the_end() -> None:
    _, places = track([[face(100)] if index % 5 == 0 else None for index in range(53)])
    assert list(places[0]) == list(range(53))


def test_a_face_that_left_does_not_stay_to_the_end() -> None:
    searches = [[face(100)] if index % 5 == 0 else None for index in range(53)]
    searches[50] = []
    _, places = track(searches)
    assert list(places[0]) == list(range(46))


def test_persons_who_cross_keep_their_tracks() -> None:
    # One walks from 100 to 500, one back, one a head higher; each is hidden by nobody.
    searches = [[face(100 + 8 * n, 100), face(500 - 8 * n, 145)] for n in range(50)]
    _, places = track(searches)
    assert sorted(places) == [0, 1]
    assert places[0][49].square.x == pytest.approx(492)
    assert places[1][49].square.x == pytest.approx(108)


def test_persons_who_pass_behind_each_other_keep_their_tracks() -> None:
    searches = []
    for n in range(60):
        right, left = 100 + 8 * n, 500 - 8 * n
        hidden = abs(right - left) < 50
        searches.append([face(right)] if hidden else [face(right), face(left)])
    _, places = track(searches)
    assert sorted(places) == [0, 1]
    assert places[0][59].square.x == pytest.approx(572)
    assert places[1][59].square.x == pytest.approx(28)
    assert sum(placed.interpolated for placed in places[1].values()) == 7


@pytest.mark.parametrize(("n_missing", "is_bridged"), [(24, True), (25, False)])
def test_a_gap_of_exactly_the_limit_is_bridged(n_missing: int, is_bridged: bool) -> None:
    # 24 frames missing: 25 intervals of 0.04 s from find to find, 1 s.
    searches = [[face(100)]] * 20 + [[]] * n_missing + [[face(125)]] * 20
    _, places = track(searches, FaceSettings(margin=0, smoothing_seconds=0, max_gap_seconds=1))
    assert list(places) == [0], "it is the same person after the gap"
    if is_bridged:
        assert list(places[0]) == list(range(64))
        assert [i for i, placed in places[0].items() if placed.interpolated] == list(range(20, 44))
        assert places[0][31].square.x == pytest.approx(100 + 25 * 12 / 25)
    else:
        assert list(places[0]) == [*range(20), *range(45, 65)]
        assert not any(placed.interpolated for placed in places[0].values())


def test_a_false_find_of_one_frame_makes_no_track() -> None:
    searches = [[face(100)] for _ in range(80)]
    searches[20] = [face(100), face(400)]
    _, places = track(searches)
    assert list(places) == [0]
    assert [placed.square.x for placed in places[0].values()] == pytest.approx([100] * 80)


def test_somebody_far_away_is_somebody_else() -> None:
    _, places = track([[face(100)]] * 30 + [[face(600)]] * 30)
    assert sorted(places) == [0, 1]


def test_somebody_of_another_size_is_somebody_else() -> None:
    _, places = track([[face(100)]] * 30 + [[face(100, side=2 * SIDE)]] * 30)
    assert sorted(places) == [0, 1]


def test_persons_beyond_the_most_are_counted_not_kept() -> None:
    tracker, places = track([[face(100), face(300), face(500)]] * 30, FaceSettings(max_persons=2))
    assert sorted(places) == [0, 1]
    assert tracker.n_ignored == 30


def test_the_margin_widens_the_square_about_its_centre() -> None:
    _, places = track([[face(100)]] * 30, FaceSettings(margin=0.5, smoothing_seconds=0))
    square = places[0][10].square
    assert (square.x, square.y, square.side) == pytest.approx((100, 100, 90))


def test_smoothing_takes_jitter_away() -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(-2, 3, (100, 3))
    searches = [[face(100 + dx, 100 + dy, SIDE + ds)] for dx, dy, ds in noise]
    _, raw = track(searches, FaceSettings(margin=0, smoothing_seconds=0))
    _, smooth = track(searches, FaceSettings(margin=0, smoothing_seconds=0.5))
    for of in ("x", "y", "side"):
        before, after = (np.array([getattr(p.square, of) for p in found[0].values()]) for found in (raw, smooth))
        assert len(before) == len(after) == 100
        assert np.diff(after).std() < np.diff(before).std() / 5
        assert after.std() < before.std() / 2


def test_smoothing_does_not_lag_behind_steady_motion() -> None:
    _, places = track([[face(100 + 3 * n)] for n in range(60)], FaceSettings(margin=0, smoothing_seconds=0.5))
    assert [placed.square.x for placed in places[0].values()] == pytest.approx([100 + 3 * n for n in range(60)])


def test_smoothing_does_not_reach_over_a_dropped_gap() -> None:
    settings = FaceSettings(margin=0, smoothing_seconds=2, max_gap_seconds=0.2)
    _, places = track([[face(100)]] * 20 + [[]] * 10 + [[face(150)]] * 20, settings)
    assert list(places) == [0]
    assert [p.square.x for i, p in places[0].items() if i < 20] == pytest.approx([100] * 20)
    assert [p.square.x for i, p in places[0].items() if i >= 30] == pytest.approx([150] * 20)


@given(
    present=st.lists(st.booleans(), min_size=1, max_size=80),
    every=st.integers(1, 6),
    max_gap=st.floats(0.2, 1),
    smoothing=st.floats(0, 1),
)
def test_places_never_leave_the_span_of_the_finds(
    present: list[bool], every: int, max_gap: float, smoothing: float
) -> None:
    settings = FaceSettings(margin=0, smoothing_seconds=smoothing, max_gap_seconds=max_gap, min_track_seconds=0)
    searches = [
        None if index % every else ([face(100 + index % 3)] if is_there else [])
        for index, is_there in enumerate(present)
    ]
    _, places = track(searches, settings)
    finds = [index for index, found in enumerate(searches) if found]
    assert bool(finds) == bool(places)
    for found in places.values():
        assert set(finds) <= set(found)
        assert min(found) == finds[0]
        assert sorted(found) == list(found)
        for index, placed in found.items():
            # A line through jittering points may overshoot by what they jitter.
            assert 98 <= placed.square.x <= 104
            before = max(n for n in finds if n <= index)
            after = min((n for n in finds if n >= index), default=math.inf)
            assert after in (math.inf, before) or (after - before) / FPS <= max_gap + 1e-6


def seen(places: Sequence[tuple[float, float, float] | None], settings: FaceSettings, fps: float = FPS) -> list[object]:
    squares = [None if place is None else Square(*place) for place in places]
    return [
        None if square is None else pytest.approx((square.x, square.y, square.side))
        for square in steady(squares, [n / fps for n in range(len(squares))], settings)
    ]


def test_one_known_face_is_smoothed_as_the_tracker_smooths() -> None:
    rng = np.random.default_rng(1)
    places = [(100 + n + rng.normal(), 80 + rng.normal(), 60 + rng.normal()) for n in range(40)]
    settings = FaceSettings(margin=0)
    _, tracked = track([[face(*place)] for place in places], settings)
    expected = [(at.square.x, at.square.y, at.square.side) for at in tracked[0].values()]
    assert seen(places, settings) == expected


def test_short_gaps_of_a_known_face_are_bridged_and_long_ones_are_not() -> None:
    places = [(100.0 + n, 50.0, 60.0) for n in range(60)]
    known = [place if n not in {0, 5, 6, 59} and not 20 <= n < 45 else None for n, place in enumerate(places)]
    found = seen(known, FaceSettings(max_gap_seconds=1))
    assert [n for n, at in enumerate(found) if at is None] == [0, *range(20, 45), 59]
    assert [at for at in found if at is not None] == [
        place for n, place in enumerate(places) if n not in {0, 59} and not 20 <= n < 45
    ]
    assert None not in seen(known[1:59], FaceSettings(max_gap_seconds=1.04))


def test_smoothing_does_not_reach_over_a_gap() -> None:
    places = [(100.0, 50.0, 60.0)] * 3 + [None] * 2 + [(200.0, 50.0, 60.0)] * 3
    settings = FaceSettings(max_gap_seconds=0.1, smoothing_seconds=5)
    assert seen(places, settings) == places
