"""A convolution and the maxima of a few large windows of it, with gradients of the winners alone.

A pool by quadrants lets at most four of 17×17 outputs through, and the gradients of the others are zero. The libraries
of processors multiply those zeros too; here a backward pass is a sum over the winners: one in 72 of the products.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional


def largest(x: Tensor, convolution: nn.Conv2d, *, window: int, stride: int) -> Tensor:
    """``max_pool2d(convolution(x), window, stride)``, for a convolution with a bias, neither padded nor strided.

    Gradients are those of this expression, up to the order of summation; in bfloat16 they are summed in float32.
    """
    if x.device.type != "cpu" or not torch.is_grad_enabled() or torch.compiler.is_compiling():
        return functional.max_pool2d(convolution(x), window, stride)
    pooled: Tensor = _Largest.apply(x, convolution.weight, convolution.bias, (window, stride))  # type: ignore[no-untyped-call]
    return pooled


class _Largest(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, pool: tuple[int, int]) -> Tensor:
        made = functional.conv2d(x, weight, bias)  # (N, O, H', W')
        pooled, places = functional.max_pool2d(made, *pool, return_indices=True)  # (N, O, q, q) each
        row, column = places // made.shape[3], places % made.shape[3]
        first = (torch.arange(len(x)).view(-1, 1, 1, 1) * x.shape[2] + row) * x.shape[3] + column
        ctx.save_for_backward(x, weight, first.flatten(2).int())
        return pooled

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, weight, first = (each.detach() for each in ctx.saved_tensors)
        gradient = gradient.flatten(2).to(torch.promote_types(x.dtype, weight.dtype))  # (N, O, Q)
        taps = (torch.arange(weight.shape[2]).view(-1, 1) * x.shape[3] + torch.arange(weight.shape[3])).flatten().int()
        of_inputs = _input_gradient(gradient, first, taps, x, weight)
        return of_inputs, _weight_gradient(gradient, first, taps, x, weight), gradient.sum((0, 2)), None


def _weight_gradient(gradient: Tensor, first: Tensor, taps: Tensor, x: Tensor, weight: Tensor) -> Tensor:
    """For each output channel and tap, the pixels that its winners saw there, times their gradients.

    Parameters
    ----------
    gradient, first : of the winners, and the pixel under their first tap, shape=(N, O, Q)
    taps : how many pixels further each tap is, shape=(K,)
    """
    n_outputs, n_inputs, height, width = weight.shape
    pixels = x.permute(0, 2, 3, 1).reshape(-1, n_inputs).to(gradient.dtype)  # (N × H × W, I)
    seen = first.transpose(0, 1).reshape(n_outputs, 1, -1) + taps.view(1, -1, 1)  # (O, K, N × Q)
    scale = gradient.transpose(0, 1).reshape(n_outputs, 1, -1).expand_as(seen)
    summed = functional.embedding_bag(
        seen.flatten(0, 1), pixels, mode="sum", per_sample_weights=scale.reshape(-1, seen.shape[2])
    )
    return summed.view(n_outputs, height, width, n_inputs).permute(0, 3, 1, 2)


def _input_gradient(gradient: Tensor, first: Tensor, taps: Tensor, x: Tensor, weight: Tensor) -> Tensor:
    """For each pixel, the weights with which winners saw it, times their gradients."""
    n_outputs, n_inputs = weight.shape[:2]
    weights = weight.permute(0, 2, 3, 1).reshape(-1, n_inputs).to(gradient.dtype)  # (O × K, I)
    seen = first.unsqueeze(2) + taps.view(-1, 1)  # (N, O, K, Q)
    row = torch.arange(len(weights), dtype=torch.int32).view(1, n_outputs, -1, 1).expand_as(seen)
    ordered, order = torch.sort(seen.flatten(), stable=True)
    n_pixels = x.numel() // n_inputs
    summed = functional.embedding_bag(
        row.flatten()[order],
        weights,
        torch.searchsorted(ordered, torch.arange(n_pixels, dtype=torch.int32), out_int32=True),
        mode="sum",
        per_sample_weights=gradient.unsqueeze(2).expand_as(seen).flatten()[order],
    )
    return summed.view(len(x), *x.shape[2:], n_inputs).permute(0, 3, 1, 2)
