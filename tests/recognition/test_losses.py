"""What training lowers, against its formulas written out in NumPy."""

import numpy as np
import pytest
import torch

from codecsim.errors import UsageError
from recognition.losses import LOSSES, Loss, check_loss, loss_of

RNG = np.random.default_rng(11)
PREDICTED = RNG.normal(0.1, 0.4, (40, 2)).astype(np.float32)
TARGET = RNG.normal(-0.2, 0.6, (40, 2)).astype(np.float32)
HOLES = TARGET.copy()
HOLES[::3, 0] = np.nan
HOLES[1::4, 1] = np.nan


def half_squared(predicted: np.ndarray, target: np.ndarray) -> float:
    return float(0.5 * np.nanmean((predicted - target) ** 2))


def discordance(predicted: np.ndarray, target: np.ndarray) -> float:
    """The mean over the outputs of 1 − 2·cov / (var + var + (difference of means)²)."""
    found = []
    for k in range(target.shape[1]):
        known = np.isfinite(target[:, k])
        p, t = predicted[known, k].astype(float), target[known, k].astype(float)
        covariance = np.mean((p - p.mean()) * (t - t.mean()))
        found.append(1 - 2 * covariance / (p.var() + t.var() + (p.mean() - t.mean()) ** 2))
    return float(np.mean(found))


def loss(
    name: Loss, predicted: np.ndarray, target: np.ndarray, *, n_labelled: int | None = None
) -> tuple[float, np.ndarray]:
    """A loss and its gradient."""
    given = torch.tensor(predicted, requires_grad=True)
    n = int(np.isfinite(target).sum()) if n_labelled is None else n_labelled
    found = loss_of(name, given, torch.tensor(target), n_labelled=torch.tensor(n))
    found.backward()
    assert given.grad is not None
    return float(found.detach()), given.grad.numpy()


@pytest.mark.parametrize("target", [TARGET, HOLES], ids=["all labelled", "some unlabelled"])
def test_losses_are_their_formulas(target: np.ndarray) -> None:
    squared, apart = half_squared(PREDICTED, target), discordance(PREDICTED, target)
    assert loss("mse", PREDICTED, target)[0] == pytest.approx(squared, rel=1e-5)
    assert loss("ccc", PREDICTED, target)[0] == pytest.approx(apart, rel=1e-5)
    assert loss("mse+ccc", PREDICTED, target)[0] == pytest.approx(squared + apart, rel=1e-5)


def test_ccc_of_equal_series_costs_nothing_and_of_opposite_ones_two() -> None:
    centred = TARGET - TARGET.mean(0)
    assert loss("ccc", centred, centred)[0] == pytest.approx(0, abs=1e-6)
    assert loss("ccc", -centred, centred)[0] == pytest.approx(2, abs=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_what_is_unlabelled_moves_nothing(name: Loss) -> None:
    value, gradient = loss(name, PREDICTED, HOLES)
    other = np.where(np.isnan(HOLES), PREDICTED + 9, PREDICTED)
    assert loss(name, other, HOLES)[0] == pytest.approx(value, rel=1e-6)
    assert not gradient[np.isnan(HOLES)].any()
    assert (gradient[~np.isnan(HOLES)] != 0).all()


def test_squared_errors_of_parts_add_up_to_that_of_the_whole() -> None:
    whole, gradient = loss("mse", PREDICTED, HOLES)
    n = int(np.isfinite(HOLES).sum())
    parts = [
        loss("mse", PREDICTED[rows], HOLES[rows], n_labelled=n) for rows in (slice(7), slice(7, 23), slice(23, 40))
    ]
    assert sum(part for part, _ in parts) == pytest.approx(whole, rel=1e-6)
    np.testing.assert_allclose(np.concatenate([each for _, each in parts]), gradient, rtol=1e-6)


def test_a_part_counts_for_ccc_by_its_share_of_the_labels() -> None:
    assert loss("ccc", PREDICTED[:10], TARGET[:10], n_labelled=80)[0] == pytest.approx(
        discordance(PREDICTED[:10], TARGET[:10]) * 20 / 80, rel=1e-5
    )


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("target", [TARGET, np.full_like(TARGET, 0.3)], ids=["labels that move", "constant labels"])
def test_gradients_of_constant_predictions_are_finite(name: Loss, target: np.ndarray) -> None:
    value, gradient = loss(name, np.full_like(TARGET, 0.3), target)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("name", LOSSES)
def test_an_output_without_labels_in_the_batch_is_left_alone(name: Loss) -> None:
    bare = TARGET.copy()
    bare[:, 1] = np.nan
    value, gradient = loss(name, PREDICTED, bare)
    assert np.isfinite(value)
    assert not gradient[:, 1].any()
    assert gradient[:, 0].all()


def test_predictions_in_half_precision_are_compared_in_float32() -> None:
    half = torch.tensor(PREDICTED).bfloat16()
    found = loss_of("mse+ccc", half, torch.tensor(TARGET), n_labelled=torch.tensor(80))
    assert found.dtype == torch.float32
    assert float(found) == pytest.approx(loss("mse+ccc", half.float().numpy(), TARGET)[0], rel=1e-6)


def test_there_are_no_other_losses() -> None:
    with pytest.raises(UsageError, match="no loss 'mae'; there are mse, ccc, mse\\+ccc"):
        check_loss("mae")
