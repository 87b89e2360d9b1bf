"""Predictions from decoded frames: the same in any batch, and as many batches at once as there are threads."""

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from codecsim.errors import UsageError
from codecsim.scaling import downscale
from recognition import inference
from recognition.devices import Precision
from recognition.inference import Predictor
from recognition.networks import ValenceCNN
from tests.recognition.inferring import Watched, close, eventually, expected, fetching, noise
from tests.recognition.small import SmallNetwork

# Frames that repeat --------------------------------------------------------------------------------------------------


def test_of_frames_in_a_row_that_are_the_same_one_is_inferred() -> None:
    network, three = Watched(), noise(3)
    order = [0, 0, 0, 1, 2, 2, 0, 1, 1]
    predictor = Predictor(network)
    found = predictor(three[order])
    close(found, expected(network, three)[order])
    assert predictor.n_inferred == 5
    assert [index for index, (one, other) in enumerate(pairwise(found)) if np.array_equal(one, other)] == [0, 1, 4, 7]


def test_a_single_pixel_makes_another_frame() -> None:
    frames = np.repeat(noise(1), 4, axis=0)
    frames[2, 23, 23] ^= 1
    predictor = Predictor(Watched())
    predictor(frames)
    assert predictor.n_inferred == 3


def test_a_frame_is_not_taken_for_the_last_one_of_another_sequence() -> None:
    predictor, frame = Predictor(Watched()), noise(1)
    assert len(list(predictor.stream([frame, frame]))) == 2
    assert predictor.n_inferred == 2


# Batches -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [1, 2, 3, 7, 64])
def test_predictions_do_not_depend_on_the_batch(batch: int) -> None:
    network, frames = Watched(), noise(11)
    wanted = expected(network, frames)
    network.sizes.clear()
    close(Predictor(network, batch=batch)(frames), wanted)
    assert max(network.sizes) == min(batch, 11)
    assert sum(network.sizes) == 11


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_predictions_of_the_cnn_do_not_depend_on_the_batch(precision: Precision) -> None:
    network, frames = ValenceCNN(variant="paper"), noise(4, 32)
    alone = Predictor(network, batch=1, precision=precision)(frames)
    close(Predictor(network, batch=4, precision=precision)(frames), alone, precision)
    close(alone, expected(network, frames), "bf16" if precision == "bf16" else "fp32")


def test_where_batches_are_filled_up_predictions_are_the_same_to_the_last_bit() -> None:
    network, frames = ValenceCNN(variant="paper"), noise(10)
    predictor = Predictor(network, batch=4, pads=True)
    wanted = predictor(frames)
    assert predictor.n_inferred == 10
    for sizes in ((1,) * 10, (3, 4, 3), (5, 5), (9, 1)):
        parts = np.split(frames, np.cumsum(sizes)[:-1])
        assert np.array_equal(np.concatenate([predictor(part) for part in parts]), wanted)
    close(wanted, Predictor(network, batch=10)(frames))


def test_frames_of_other_sizes_in_a_batch_change_no_bit() -> None:
    network, sequences = ValenceCNN(variant="paper"), [noise(2), noise(3, 32), noise(1, 96), noise(2, 32), noise(1)]
    predictor = Predictor(network, batch=4, pads=True)
    for told, frames in zip(predictor.stream(sequences), sequences, strict=True):
        assert np.array_equal(told, predictor(frames))


@pytest.fixture
def _three_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("_three_threads")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_batches_that_are_inferred_at_once_change_no_bit(precision: Precision) -> None:
    network, frames = ValenceCNN(variant="paper"), noise(21)
    predictor = Predictor(network, batch=4, pads=True, precision=precision)
    found = predictor(frames)
    assert torch.get_num_threads() == 3
    assert np.array_equal(np.concatenate([predictor(frames[first : first + 4]) for first in range(0, 21, 4)]), found)
    torch.set_num_threads(1)
    assert np.array_equal(predictor(frames), found)


class Meeting(SmallNetwork):
    """Goes on when as many batches are under way as it wants, or after a moment; knows how many were, at most."""

    def __init__(self, wanted: int) -> None:
        super().__init__(1)
        self.together = threading.Barrier(wanted)
        self.under_way: list[int] = []
        self.most = 0

    def forward(self, x: Tensor) -> Tensor:
        self.under_way.append(len(x))
        self.most = max(self.most, len(self.under_way))
        with suppress(threading.BrokenBarrierError):
            self.together.wait(0.2)
        self.under_way.pop()
        return super().forward(x)


@pytest.mark.usefixtures("_three_threads")
def test_as_many_batches_as_threads_are_inferred_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference, "_keeps_nothing", lambda _: True)
    network, frames = Meeting(3), noise(12)
    found = Predictor(network, batch=2)(frames)
    network.together = threading.Barrier(1)
    close(found, expected(network, frames))
    assert network.most == 3


@pytest.mark.usefixtures("_three_threads")
def test_batches_are_told_when_there_is_one_for_each_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference, "_keeps_nothing", lambda _: True)
    network, frames = Watched(), noise(13)
    telling = Predictor(network, batch=2).telling()
    told = list(telling.take([frames[:5]]))
    assert (told, network.sizes) == ([], [])
    [first] = telling.take([frames[5:]])
    assert network.sizes == [2] * 6
    [rest] = telling.finish()
    assert sorted(network.sizes) == [1, *[2] * 6]
    close(np.concatenate([first, rest]), expected(network, frames))


@pytest.mark.usefixtures("_three_threads")
def test_what_may_keep_something_between_calls_gets_one_batch_after_another() -> None:
    network = Meeting(2)
    Predictor(network, batch=2)(noise(8))
    assert network.most == 1


@pytest.mark.usefixtures("_three_threads")
def test_an_error_in_one_of_several_batches_passes_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference, "_keeps_nothing", lambda _: True)
    with pytest.raises(RuntimeError, match=r"^a bug$"):
        Predictor(Watched(1, lambda: RuntimeError("a bug")), batch=2)(noise(8))
    assert torch.get_num_threads() == 3


@pytest.mark.usefixtures("_three_threads")
def test_memory_for_smaller_batches_is_found_where_several_are_inferred_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(inference, "_keeps_nothing", lambda _: True)
    network, frames = Watched(3), noise(10)
    wanted = expected(network, frames)
    predictor = Predictor(network, batch=8)
    close(predictor(frames), wanted)
    assert predictor.batch == 2
    assert predictor.n_inferred == 10


def test_what_fills_a_batch_up_is_told_of_nobody() -> None:
    """After each sequence a batch ends that is not full, and others follow it."""
    network = Watched()
    telling = Predictor(network, batch=4, pads=True).telling()
    for frames in (noise(3), noise(5, 32), noise(2), noise(6, 32)):
        [found] = [*telling.take([frames]), *telling.finish()]
        close(found, expected(network, frames))
    assert network.sizes == [4, *[1] * 3, 4, 4, *[1] * 5, 4, *[1] * 2, 4, 4, *[1] * 6]


def test_dropout_is_off_and_no_gradient_is_kept() -> None:
    network = nn.Sequential(SmallNetwork(1), nn.Dropout(0.5)).train()
    frames = noise(6)
    predictor = Predictor(network)
    assert not network.training
    assert np.array_equal(predictor(frames), predictor(frames))


@pytest.mark.parametrize("side", [6, 8, 24, 32, 96])
def test_frames_of_any_factor_are_enlarged_as_on_the_encoder_side(side: int) -> None:
    network, frames = Watched(), noise(3, side)
    close(Predictor(network)(frames), expected(network, frames))


def test_frames_need_not_be_writable_or_in_a_row() -> None:
    network, hr = Watched(), noise(8, 96)
    low = downscale(hr, 4)[::-2]
    low.flags.writeable = False
    close(Predictor(network)(low), expected(network, low))


@pytest.mark.parametrize(
    "error",
    [None, lambda: RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")],
    ids=["GPU", "CPU"],
)
def test_a_batch_too_large_for_the_memory_is_halved_for_good(error: Callable[[], RuntimeError] | None) -> None:
    network, frames = Watched(3, error), noise(10)
    wanted = expected(network, frames)
    network.sizes.clear()
    predictor = Predictor(network, batch=8)
    close(predictor(frames), wanted)
    assert network.sizes == [8, 4, 2, 2, 2, 2, 2]
    assert predictor.n_inferred == 10
    close(predictor(frames[:5]), wanted[:5])
    assert network.sizes[7:] == [2, 2, 1]


def test_a_memory_without_room_for_a_frame_is_refused() -> None:
    with pytest.raises(UsageError, match="cpu has no memory for a single frame; take another device"):
        Predictor(Watched(0))(noise(5))


def test_other_errors_of_a_network_pass_through() -> None:
    network = Watched(0, lambda: RuntimeError("a bug"))
    with pytest.raises(RuntimeError, match=r"^a bug$"):
        Predictor(network)(noise(5))
    assert network.sizes == [5]


# What is refused -----------------------------------------------------------------------------------------------------

_BAD = [
    (np.zeros((2, 24, 24)), r"frames of float64 \(2, 24, 24\); uint8 \(T, h, w\) are needed, one frame or more"),
    (np.zeros((24, 24), np.uint8), r"frames of uint8 \(24, 24\); uint8"),
    (np.zeros((0, 24, 24), np.uint8), r"frames of uint8 \(0, 24, 24\); uint8"),
    (np.zeros((3, 0, 24), np.uint8), r"frames of uint8 \(3, 0, 24\); uint8"),
    (np.zeros((2, 24, 24, 3), np.uint8), r"frames of uint8 \(2, 24, 24, 3\); uint8"),
]


@pytest.mark.parametrize(("frames", "message"), _BAD, ids=[f"{each.dtype}{each.shape}" for each, _ in _BAD])
def test_what_are_no_frames_is_refused(frames: np.ndarray, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Predictor(Watched())(frames)
    assert eventually(lambda: fetching() == [])


def test_batches_of_no_frame_are_refused() -> None:
    with pytest.raises(UsageError, match="batches of -1 frames: 1 or more are allowed"):
        Predictor(Watched(), batch=-1)
    with pytest.raises(UsageError, match="batches of 0 frames: 1 or more are allowed"):
        Predictor(Watched(), batch=0)


def test_a_precision_that_is_not_there_is_refused() -> None:
    with pytest.raises(UsageError, match="precision tf32 is for GPUs"):
        Predictor(Watched(), precision="tf32")(noise(1))
