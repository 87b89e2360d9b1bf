"""What a receiver shows of real streams of which frames were lost."""

from functools import cache

import numpy as np
import pytest

from codecsim.codecs import CODECS, EncoderSettings
from codecsim.concealment import Received, receive
from codecsim.decode import Frames, decode
from codecsim.encode import Stream, encode
from codecsim.errors import CodecError
from codecsim.scaling import downscale
from tests.clips import carphone_faces

T, SIDE = 24, 32


@cache
def stream(codec: str) -> tuple[Stream, Frames]:
    """24 frames at s = 3, and what they decode to."""
    coded = encode(downscale(carphone_faces()[:T], 3), EncoderSettings(codec=codec), 30, fps=25.0)
    return coded, decode(coded.packets, codec, width=SIDE, height=SIDE)


def received(codec: str, *lost: int) -> Received:
    """What is shown where the frames with these places in decoding order are lost."""
    coded, _ = stream(codec)
    is_lost = np.isin(np.arange(T), lost)
    return receive(coded.packets, coded.pts, is_lost, codec, width=SIDE, height=SIDE)


def repeats(shown: Received) -> bool:
    """Whether every concealed frame is the one before it."""
    return all((shown.frames[at] == shown.frames[at - 1]).all() for at in np.flatnonzero(shown.is_concealed))


@pytest.mark.parametrize("codec", CODECS)
def test_where_nothing_is_lost_the_frames_are_those_of_the_decoder(codec: str) -> None:
    shown = received(codec)
    assert shown.frames.tobytes() == stream(codec)[1].tobytes()
    assert not shown.is_concealed.any()


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("lost", [(5,), (3, 4, 5), tuple(range(1, T)), tuple(range(1, T, 2))])
def test_lost_frames_are_repetitions_in_their_places_and_the_same_every_time(codec: str, lost: tuple[int, ...]) -> None:
    coded, clean = stream(codec)
    shown, again = received(codec, *lost), received(codec, *lost)
    assert shown.frames.shape == clean.shape
    assert shown.is_concealed[coded.pts[list(lost)]].all()
    assert repeats(shown)
    assert (shown.frames[0] == clean[0]).all()
    assert shown.frames.tobytes() == again.frames.tobytes()
    np.testing.assert_array_equal(shown.is_concealed, again.is_concealed)


@pytest.mark.parametrize("codec", ["x264", "x265", "vp9"])
def test_these_decoders_show_all_that_arrives(codec: str) -> None:
    coded, _ = stream(codec)
    assert np.flatnonzero(received(codec, 4, 9).is_concealed).tolist() == sorted(coded.pts[[4, 9]].tolist())


def test_a_frame_that_the_decoder_refuses_counts_as_lost() -> None:
    shown = received("svtav1", 1)
    assert shown.is_concealed.sum() > 1
    assert repeats(shown)


def test_damage_spreads_from_a_lost_reference_and_not_from_the_last_frame() -> None:
    coded, clean = stream("x264")

    def damaged(lost: int) -> int:
        return int((received("x264", lost).frames != clean).any((1, 2)).sum())

    reference = int(np.flatnonzero(coded.pts == coded.pts[: T // 2].max())[0])  # a P frame amid B frames
    assert damaged(reference) > T // 3
    assert damaged(T - 1) == 1


def test_frames_find_their_places_although_b_frames_are_reordered() -> None:
    coded, clean = stream("x264")
    assert (np.diff(coded.pts) < 0).any()
    last = int(np.flatnonzero(np.diff(coded.pts) < 0)[-1]) + 1
    shown = received("x264", last)
    kept = np.flatnonzero(~shown.is_concealed)
    before = kept[kept < coded.pts[last] - 4]
    np.testing.assert_array_equal(shown.frames[before], clean[before])


def test_refusals() -> None:
    coded, _ = stream("x264")
    nothing = np.zeros(T, np.bool_)
    with pytest.raises(CodecError, match="do not stand at the places 0 to 23, each once"):
        receive(coded.packets, coded.pts + 1, nothing, "x264", width=SIDE, height=SIDE)
    with pytest.raises(CodecError, match="the first frame arrived, and did not come out"):
        receive([b"\0", *coded.packets[1:]], coded.pts, nothing, "x264", width=SIDE, height=SIDE)
    with pytest.raises(CodecError, match="a frame of 32×32 yuv420p came out; 24×24 with 8-bit luma was expected"):
        receive(coded.packets, coded.pts, nothing, "x264", width=24, height=24)
    with pytest.raises(CodecError, match="more than this decoder takes at once"):
        receive(coded.packets, coded.pts, nothing, "x264", width=2**16, height=2**16)
