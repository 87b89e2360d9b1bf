"""Gradients of winners alone, against those of the library."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from recognition.winners import largest

Made = tuple[Tensor, Tensor | None, Tensor | None, Tensor | None]


def pooled_by_library(x: Tensor, convolution: nn.Conv2d, window: int, stride: int) -> Tensor:
    return functional.max_pool2d(convolution(x), window, stride)


def pooled_here(x: Tensor, convolution: nn.Conv2d, window: int, stride: int) -> Tensor:
    return largest(x, convolution, window=window, stride=stride)


def both(x: Tensor, convolution: nn.Conv2d, window: int, stride: int) -> list[Made]:
    """The maxima, and the gradients of inputs, weights and biases: of the library, and of the winners."""
    made: list[Made] = []
    for pooled in (pooled_by_library, pooled_here):
        convolution.zero_grad()
        inputs = x.detach().clone().requires_grad_(x.requires_grad)
        found = pooled(inputs, convolution, window, stride)
        wanted = torch.linspace(-1, 2, found.numel()).bfloat16().view_as(found)
        (found * wanted.to(found.dtype)).sum().backward()  # type: ignore[no-untyped-call]
        made.append((found.detach(), inputs.grad, convolution.weight.grad, convolution.bias.grad))  # type: ignore[union-attr]
    return made


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("window", "stride"), [(9, 8), (4, 4), (3, 1)])
def test_gradients_are_those_of_the_library(window: int, stride: int, memory_format: torch.memory_format) -> None:
    convolution = nn.Conv2d(3, 6, (5, 4)).double().to(memory_format=memory_format)  # type: ignore[call-overload]
    x = torch.randn(2, 3, 21, 24, dtype=torch.float64).to(memory_format=memory_format).requires_grad_()
    for theirs, ours in zip(*both(x, convolution, window, stride), strict=True):
        assert theirs is not None
        assert ours is not None
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


def test_of_equal_outputs_the_same_one_wins_as_in_the_library() -> None:
    convolution = nn.Conv2d(1, 2, 5).double()
    x = torch.zeros(1, 1, 21, 21, dtype=torch.float64)
    x[..., ::3, ::3] = 1
    nn.init.constant_(convolution.weight, 1)
    library, here = both(x.requires_grad_(), convolution, 9, 8)
    assert torch.equal(library[1], here[1])  # type: ignore[arg-type]


def test_images_that_need_no_gradient_get_none() -> None:
    convolution = nn.Conv2d(2, 3, 5).double()
    library, here = both(torch.randn(2, 2, 21, 21, dtype=torch.float64), convolution, 9, 8)
    assert here[1] is None
    torch.testing.assert_close(here[2], library[2], rtol=0, atol=1e-12)


def test_bfloat16_is_summed_in_float32() -> None:
    whole = torch.randint(-1, 2, (16, 16, 21, 21)).double()  # bfloat16 holds outputs that are small whole numbers
    convolution = nn.Conv2d(16, 8, 5).double()
    for parameter in convolution.parameters():
        parameter.data = torch.randint(-1, 2, parameter.shape).double()
    exact = both(whole.requires_grad_(), convolution, 9, 8)[0]
    with torch.autocast("cpu", torch.bfloat16):
        here = both(whole.detach().bfloat16().requires_grad_(), convolution.float(), 9, 8)[1]
    for ours, theirs, dtype, rtol in zip(
        here, exact, (torch.bfloat16, torch.bfloat16, torch.float32, torch.float32), (0, 2**-8, 1e-5, 1e-5), strict=True
    ):
        assert ours is not None
        assert ours.dtype == dtype
        torch.testing.assert_close(ours.double(), theirs, rtol=rtol, atol=1e-4)


def test_where_nothing_is_learnt_the_layer_is_called_as_it_is() -> None:
    convolution = nn.Conv2d(1, 2, 5)
    calls: list[nn.Module] = []
    convolution.register_forward_hook(lambda layer, given, made: calls.append(layer))
    x = torch.randn(1, 1, 21, 21)
    with torch.inference_mode():
        found = largest(x, convolution, window=9, stride=8)
    assert calls == [convolution]
    assert torch.equal(found, largest(x, convolution, window=9, stride=8).detach())
    assert len(calls) == 1
