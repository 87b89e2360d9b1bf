"""The networks of Cheng et al. 2017: their shapes, their sizes, their starts."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from codecsim.errors import UsageError
from recognition.networks import (
    SR_BORDER,
    SRFCN,
    VARIANTS,
    Features,
    SuperResolve,
    ValenceCNN,
    Variant,
    check_variant,
    count_parameters,
    normalise,
    start_from,
)


@pytest.fixture(params=VARIANTS)
def variant(request: pytest.FixtureRequest) -> Variant:
    return check_variant(request.param)


@pytest.fixture
def luma() -> Tensor:
    return torch.rand(2, 1, 96, 96, generator=torch.Generator().manual_seed(1))


def layers_of(network: nn.Module) -> dict[str, nn.Conv2d | nn.Linear]:
    return {name: each for name, each in network.named_modules() if isinstance(each, nn.Conv2d | nn.Linear)}


def shapes(network: nn.Module, x: Tensor) -> dict[str, tuple[tuple[int, ...], tuple[int, ...]]]:
    """What goes into each layer for one frame, and what comes out."""
    seen = {}
    for name, layer in layers_of(network).items():
        layer.register_forward_hook(
            lambda _, given, made, name=name: seen.update({name: (tuple(given[0].shape[1:]), tuple(made.shape[1:]))})
        )
    with torch.no_grad():
        network(x)
    return seen


# Sizes ---------------------------------------------------------------------------------------------------------------


def test_parameters_are_as_many_as_in_the_paper_and_in_the_released_code() -> None:
    assert count_parameters(ValenceCNN(variant="paper")) == 1_333_849
    assert count_parameters(ValenceCNN(variant="released")) == 2_946_649


def test_another_output_costs_a_weight_for_each_hidden_unit_and_a_bias() -> None:
    one, two = (count_parameters(ValenceCNN(variant="paper", outputs=n)) for n in (1, 2))
    assert two - one == 301


def test_sr_fcn_has_its_four_layers_parameters(variant: Variant) -> None:
    weights = 25 * (1 * 64 + 64 * 128 + 128 * 256 + 256 * 1)
    assert count_parameters(SRFCN(variant=variant)) == weights + 64 + 128 + 256 + 1


@pytest.mark.parametrize(("variant", "pooled"), [("paper", 2), ("released", 5)])
def test_every_layer_of_the_cnn_sees_and_gives_what_the_paper_says(variant: Variant, pooled: int, luma: Tensor) -> None:
    assert shapes(ValenceCNN(variant=variant, outputs=3), luma) == {
        "features.conv1": ((1, 96, 96), (64, 92, 92)),
        "features.conv2": ((64, 46, 46), (128, 42, 42)),
        "features.conv3": ((128, 21, 21), (256, 17, 17)),
        "regressor.hidden": ((256 * pooled * pooled,), (300,)),
        "regressor.output": ((300,), (3,)),
    }


def test_every_layer_of_sr_fcn_takes_two_pixels_off_each_side(variant: Variant, luma: Tensor) -> None:
    network = SRFCN(variant=variant)
    assert shapes(network, luma) == {
        "conv1": ((1, 96, 96), (64, 92, 92)),
        "conv2": ((64, 92, 92), (128, 88, 88)),
        "conv3": ((128, 88, 88), (256, 84, 84)),
        "reconstruct": ((256, 84, 84), (1, 80, 80)),
    }
    with torch.no_grad():
        assert network(luma[..., :20, :30]).shape == (2, 1, 4, 14)


# What they compute ---------------------------------------------------------------------------------------------------


def test_pooling_before_rectifying_gives_the_bits_of_pooling_after(variant: Variant, luma: Tensor) -> None:
    network = Features(variant)
    with torch.no_grad():
        x = normalise(luma, variant)[0]
        x = functional.max_pool2d(functional.relu(network.conv1(x)), 2)
        x = functional.max_pool2d(functional.relu(network.conv2(x)), 2)
        x = functional.relu(network.conv3(x))
        pooled = {"paper": (9, 8), "released": (4, 4)}[variant]
        expected = functional.max_pool2d(x, *pooled, ceil_mode=True).flatten(1)
        assert torch.equal(network(luma), expected)
        assert (expected == 0).any()
        assert (expected > 0).any()


def test_the_third_pool_of_the_paper_is_by_quadrants() -> None:
    network = Features("paper")
    with torch.no_grad():
        for each in (network.conv1, network.conv2, network.conv3):
            each.weight.zero_()
        marked = torch.zeros(1, 256, 17, 17)
        marked[0, 0, 0, 16] = 3.0
        marked[0, 1, 8, 8] = 5.0
        network.conv3.register_forward_hook(lambda *_: marked)
        quadrants = network(torch.rand(1, 1, 96, 96)).reshape(256, 2, 2)
    assert quadrants[0].tolist() == [[0, 3], [0, 0]]
    assert quadrants[1].tolist() == [[5, 5], [5, 5]]


def test_the_paper_takes_off_each_images_mean_and_brings_its_deviation_to_a_quarter(luma: Tensor) -> None:
    luma = luma * torch.tensor([1.0, 0.1]).reshape(2, 1, 1, 1)
    normalised, mean, contrast = normalise(luma, "paper")
    assert normalised.mean((1, 2, 3)).tolist() == pytest.approx([0, 0], abs=1e-6)
    assert normalised.std((1, 2, 3), correction=0).tolist() == pytest.approx([0.25, 0.25], abs=1e-5)
    torch.testing.assert_close(normalised * contrast + mean, luma, rtol=0, atol=1e-6)


def test_the_released_code_takes_luma_as_it_is(luma: Tensor) -> None:
    normalised, mean, contrast = normalise(luma, "released")
    assert normalised is luma
    assert (mean, contrast) == (0, 1)


@pytest.mark.parametrize("level", [0.0, 0.3, 1.0])
def test_an_even_image_gives_finite_outputs(variant: Variant, level: float) -> None:
    even = torch.full((1, 1, 96, 96), level)
    torch.manual_seed(0)
    with torch.no_grad():
        assert torch.isfinite(ValenceCNN(variant=variant)(even)).all()
        assert torch.isfinite(SRFCN(variant=variant)(even)).all()


def test_the_noise_of_a_nearly_even_image_is_not_made_a_face() -> None:
    nearly = torch.full((1, 1, 96, 96), 0.5)
    nearly[..., 0, 0] += 1 / 255
    assert normalise(nearly, "paper")[0].abs().max() == pytest.approx(0.25, rel=0.01)


def test_sr_fcn_gives_luma_of_the_images_own_mean_and_contrast(luma: Tensor) -> None:
    network = SRFCN(variant="paper")
    with torch.no_grad():
        normalised, mean, contrast = normalise(luma, "paper")
        inner = network(normalised, is_normalised=True)
        torch.testing.assert_close(network(luma), inner * contrast + mean)
        network.reconstruct.weight.zero_()
        torch.testing.assert_close(network(luma), mean.expand(2, 1, 80, 80))


def test_restored_frames_keep_their_border_and_stay_in_range(luma: Tensor) -> None:
    network = SuperResolve(SRFCN(variant="paper"))
    before = luma.clone()
    with torch.no_grad():
        network.sr.reconstruct.weight.mul_(30)
        restored = network(luma)
        middle = restored[..., SR_BORDER:-SR_BORDER, SR_BORDER:-SR_BORDER]
        assert torch.equal(middle, network.sr(luma).clamp(0, 1))
    inside = torch.zeros(96, 96, dtype=torch.bool)
    inside[8:88, 8:88] = True
    assert torch.equal(restored[..., ~inside], luma[..., ~inside])
    assert (restored.min(), restored.max()) == (0, 1)
    assert torch.equal(luma, before)


def test_half_of_the_hidden_units_are_dropped_in_training_alone(variant: Variant, luma: Tensor) -> None:
    network = ValenceCNN(variant=variant)
    seen: list[Tensor] = []
    network.regressor.output.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    with torch.no_grad():
        network.eval()(luma)
        network.train()(luma)
    kept = seen[1][seen[0] > 0] > 0
    assert 0.3 < float(kept.float().mean()) < 0.7
    torch.testing.assert_close(seen[1][seen[1] > 0], 2 * seen[0][seen[1] > 0])


# How they start ------------------------------------------------------------------------------------------------------


def test_the_first_three_layers_of_sr_fcn_start_the_cnn_and_nothing_else_changes(variant: Variant) -> None:
    network, sr = ValenceCNN(variant=variant), SRFCN(variant=variant)
    nn.init.uniform_(sr.conv2.bias)
    before = {name: value.clone() for name, value in network.regressor.state_dict().items()}
    start_from(network, sr)
    for name, value in network.features.state_dict().items():
        assert torch.equal(value, sr.state_dict()[name]), name
    assert {name.partition(".")[0] for name in network.features.state_dict()} == {"conv1", "conv2", "conv3"}
    assert all(torch.equal(value, before[name]) for name, value in network.regressor.state_dict().items())
    with torch.no_grad():
        sr.conv1.weight.zero_()
    assert network.features.conv1.weight.any()


def test_an_sr_fcn_of_another_variant_starts_no_cnn() -> None:
    with pytest.raises(UsageError, match="variant released cannot start a CNN of variant paper"):
        start_from(ValenceCNN(variant="paper"), SRFCN(variant="released"))


def test_layers_start_as_caffes_xavier_filler_draws_them(variant: Variant) -> None:
    networks = [ValenceCNN(variant=variant), *([SRFCN(variant=variant)] if variant == "paper" else [])]
    for name, layer in (item for network in networks for item in layers_of(network).items()):
        weight = layer.weight.detach()
        bound = math.sqrt(3 / weight[0].numel())
        assert 0.98 * bound < weight.abs().max() <= bound, name
        assert float(weight.std()) == pytest.approx(bound / math.sqrt(3), rel=0.1), name
        assert not layer.bias.any(), name


def test_the_released_sr_fcn_starts_from_a_narrow_gaussian() -> None:
    for name, layer in layers_of(SRFCN(variant="released")).items():
        weight = layer.weight.detach()
        assert float(weight.std()) == pytest.approx(1e-3, rel=0.1), name
        assert weight.abs().max() > 2e-3, name
        assert not layer.bias.any(), name


def test_there_are_no_other_variants() -> None:
    with pytest.raises(UsageError, match="no variant 'caffe' of the networks; there are: paper, released"):
        ValenceCNN(variant="caffe")
