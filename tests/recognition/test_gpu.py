"""On a GPU: the same bytes where bytes are promised, the same numbers within what a precision allows."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from codecsim.scaling import downscale, upscale
from recognition.devices import PRECISIONS, Precision, arithmetic, precisions_of
from recognition.inference import TOLERANCE, Predictor
from recognition.networks import VARIANTS, ValenceCNN, Variant
from recognition.resampling import as_received, enlarge, resize
from recognition.schedules import get_schedule
from tests.recognition.small import setup
from tests.recognition.trainings import StoppedError, log, stop_at, train, weights

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no GPU here")

GPU = torch.device("cuda")
RNG = np.random.default_rng(5)
FRAMES = RNG.integers(0, 256, (96, 24, 24), np.uint8)


def network(variant: Variant = "paper") -> ValenceCNN:
    torch.manual_seed(3)
    return ValenceCNN(variant=variant)


def told(
    precision: Precision, *, device: str = "cuda", variant: Variant = "paper", **options: int | bool
) -> np.ndarray:
    return Predictor(network(variant), device=device, precision=precision, **options)(FRAMES)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("s", [1, 2, 3, 4, 6, 8, 12, 16])
def test_scaling_gives_the_bytes_of_the_encoder_side(s: int, precision: Precision) -> None:
    hr = RNG.integers(0, 256, (64, 96, 96), np.uint8)
    small = downscale(hr, s) if s > 1 else hr
    with arithmetic(precision, GPU):
        placed = torch.from_numpy(hr).to(GPU)
        assert np.array_equal(resize(placed, 96 // s, 96 // s).cpu().numpy(), small)
        assert np.array_equal(as_received(placed, s).cpu().numpy(), upscale(small))
        assert np.array_equal(enlarge(torch.from_numpy(small).to(GPU)).cpu().numpy(), upscale(small))


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_predictions_are_those_of_the_cpu(precision: Precision, variant: Variant) -> None:
    wanted = told("fp32", device="cpu", variant=variant)
    np.testing.assert_allclose(told(precision, variant=variant), wanted, rtol=0, atol=TOLERANCE[precision])


@pytest.mark.parametrize("precision", PRECISIONS)
def test_predictions_hardly_depend_on_the_batch(precision: Precision) -> None:
    wanted = told(precision)
    for batch in (1, 5, 32, 96):
        np.testing.assert_allclose(told(precision, batch=batch), wanted, rtol=0, atol=TOLERANCE[precision])


def test_full_batches_give_the_same_to_the_last_bit() -> None:
    predictor = Predictor(network(), device="cuda", batch=32, pads=True)
    whole = predictor(FRAMES)
    alone = np.concatenate([predictor(FRAMES[first : first + 7]) for first in range(0, len(FRAMES), 7)])
    assert np.array_equal(whole, alone)


def test_of_groups_that_are_all_under_way_each_is_told_its_own() -> None:
    predictor = Predictor(network(), device="cuda", batch=32, pads=True)
    groups = [FRAMES[first : first + 24] for first in range(0, len(FRAMES), 24)]
    alone = [predictor(group) for group in groups]
    begun = [predictor.begin([group]) for group in groups]
    for given, wanted in zip(begun, alone, strict=True):
        assert np.array_equal(given(), wanted)


def test_memory_that_does_not_hold_a_batch_halves_it() -> None:
    wanted = told("fp32")
    predictor = Predictor(network(), device="cuda", batch=4096)
    many = np.tile(FRAMES, (43, 1, 1))[:4096]
    many = many + (np.arange(len(many)) // len(FRAMES)).astype(np.uint8)[:, None, None]  # none repeats the one before
    share = 1.5e9 / torch.cuda.get_device_properties(GPU).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(share)
    try:
        found = predictor(many)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
        torch.cuda.empty_cache()
    assert predictor.batch < 4096
    np.testing.assert_allclose(found[: len(FRAMES)], wanted, rtol=0, atol=TOLERANCE["fp32"])


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("method", ["lr-4", "joint-4", "joint-oa", "non-joint-4", "non-joint-image-4"])
def test_every_way_to_start_trains(corpus: Path, tmp_path: Path, method: str, precision: Precision) -> None:
    made = train(setup(corpus, device="cuda", precision=precision), tmp_path, method=method)
    assert all(np.isfinite(value).all() for value in weights(made.path).values())
    assert [row["step"] for row in log(made.log)] == ["2", "4", "6", "8"]


def test_training_follows_that_on_the_cpu(corpus: Path, tmp_path: Path) -> None:
    there, here = (train(setup(corpus, device=device), tmp_path / device) for device in ("cuda", "cpu"))
    for one, other in zip(log(there.log), log(here.log), strict=True):
        assert float(one["loss"]) == pytest.approx(float(other["loss"]), rel=1e-3)
    for name, value in weights(there.path).items():
        np.testing.assert_allclose(value, weights(here.path)[name], rtol=0, atol=1e-4)


def test_stopped_training_goes_on_to_nearly_the_same_weights(corpus: Path, tmp_path: Path) -> None:
    chosen = setup(corpus, device="cuda")
    whole = train(chosen, tmp_path / "whole", method="lr-4")
    with pytest.raises(StoppedError):
        train(chosen, tmp_path / "parts", method="lr-4", report=stop_at(2))
    parts = train(chosen, tmp_path / "parts", method="lr-4")
    for name, value in weights(parts.path).items():
        np.testing.assert_allclose(value, weights(whole.path)[name], rtol=0, atol=1e-4)


def test_training_parts_batches_that_the_memory_does_not_hold(corpus: Path, tmp_path: Path) -> None:
    schedule = replace(get_schedule("gpu"), name="large")
    few = replace(schedule.scratch, iterations=2, check_every=2, check_frames=8, batch=512)
    chosen = setup(corpus, device="cuda", schedule=replace(schedule, scratch=few))
    share = 1.5e9 / torch.cuda.get_device_properties(GPU).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(share)
    try:
        made = train(chosen, tmp_path / "little", method="lr-4")
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
        torch.cuda.empty_cache()
    whole = train(chosen, tmp_path / "much", method="lr-4")
    assert float(log(made.log)[0]["loss"]) == pytest.approx(float(log(whole.log)[0]["loss"]), rel=0.2)


@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning")  # by torch itself
def test_a_compiled_network_is_trained_as_one_that_is_not(corpus: Path, tmp_path: Path) -> None:
    """Of a network without dropout, whose masks the compiler draws in its own way."""
    plain, compiled = (train(setup(corpus, device="cuda", compiled=yes), tmp_path / str(yes)) for yes in (False, True))
    for name, value in weights(compiled.path).items():
        np.testing.assert_allclose(value, weights(plain.path)[name], rtol=0, atol=1e-3)


def test_a_gpu_of_this_generation_has_all_precisions() -> None:
    if torch.cuda.get_device_capability() < (8, 0):
        pytest.skip("this GPU has no tensor cores for tf32 and bf16")
    assert precisions_of(GPU) == PRECISIONS
