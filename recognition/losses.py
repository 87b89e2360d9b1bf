"""What training lowers: half the squared error, 1 − CCC, or their sum; unlabelled values count for nothing."""

from typing import Literal, get_args

import torch
from torch import Tensor

from codecsim.errors import UsageError

Loss = Literal["mse", "ccc", "mse+ccc"]
LOSSES: tuple[Loss, ...] = get_args(Loss)


def check_loss(name: str) -> Loss:
    """`name` if there is such a loss."""
    for known in LOSSES:
        if name == known:
            return known
    raise UsageError(f"no loss {name!r}; there are {', '.join(LOSSES)}")


def loss_of(name: Loss, predicted: Tensor, target: Tensor, *, n_labelled: Tensor) -> Tensor:
    """Loss of a part of a batch, such that the sum over its parts is the loss of the batch, with CCC excepted.

    Parameters
    ----------
    predicted, target : shape=(N, K); NaN in `target` where unlabelled
    n_labelled : labelled values of the whole batch

    Returns
    -------
    loss : half the mean squared error over the whole batch's labelled values (Caffe's EuclideanLoss, as in the authors'
        code); 1 − CCC of this part alone, times the share of the labels that it has, the mean over the K outputs
    """
    known = torch.isfinite(target)
    target = torch.where(known, target, 0)
    error = torch.where(known, predicted.float() - target, 0)
    loss = error.new_zeros(())
    if "mse" in name:
        loss = loss + 0.5 * error.square().sum() / n_labelled
    if "ccc" in name:
        loss = loss + _discordance(predicted.float(), target, known.float()) * known.sum() / n_labelled
    return loss


def _discordance(predicted: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """1 − CCC (Lin 1989, population moments) of each output over its labelled values, averaged."""
    n = weight.sum(0).clamp_min(1)
    mean_p, mean_t = (weight * predicted).sum(0) / n, (weight * target).sum(0) / n
    p, t = weight * (predicted - mean_p), weight * (target - mean_t)
    spread = (p.square().sum(0) + t.square().sum(0)) / n + (mean_p - mean_t).square()
    return (1 - 2 * (p * t).sum(0) / n / spread.clamp_min(1e-8)).mean()
