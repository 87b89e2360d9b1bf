"""What a network is trained for: to tell labels, or to reconstruct HR frames. Each gives batches, their loss, and a
look at a held-out fold.

Everything drawn at random depends on the seed and the step alone, so that training that was stopped goes on as if it
had not been, and on any number of devices.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from codecsim.corpus import HR_SIDE
from recognition.data import Faces
from recognition.losses import Loss, loss_of
from recognition.metrics import ccc, rmse
from recognition.networks import SR_BORDER, Variant, normalise
from recognition.resampling import as_received, luma
from recognition.schedules import Phase

_CHECK_BATCH = 64
_STEP_STRIDE = 1_000_003  # a prime: seeds of neighbouring runs and steps do not meet


@dataclass(frozen=True)
class Batch:
    """What one step learns from.

    Attributes
    ----------
    rows : of the frames, shape=(B,)
    factors : factor s that each is seen at, shape=(B,)
    corner : row and column of the patches, where patches are learnt from
    n_labelled : labelled values, where labels are learnt; else values
    """

    rows: Tensor
    factors: Tensor
    corner: tuple[int, int]
    n_labelled: Tensor

    def __len__(self) -> int:
        return len(self.rows)

    def part(self, rows: slice) -> "Batch":
        """Some of its frames, whose loss is still counted as a part of the whole."""
        return Batch(self.rows[rows], self.factors[rows], self.corner, self.n_labelled)


class Task(Protocol):
    """What `recognition.loop.fit` needs to know."""

    divisible: bool
    """Whether the loss of a batch is the sum of those of its parts."""

    def batch(self, step: int) -> Batch:
        """What step number `step` learns from."""

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        """The part of the loss that these frames make."""

    def check(self, network: nn.Module) -> dict[str, float]:
        """A look at the held-out fold; ``score`` is what training is judged by, larger being better."""


class Draws:
    """Frames and factors of every step: epochs of shuffled frames, one of the factors for each of them."""

    def __init__(self, n_frames: int, factors: tuple[int, ...], phase: Phase, seed: int) -> None:
        self._n = n_frames
        self._factors = torch.tensor(factors)
        self._phase = phase
        self._seed = seed
        self._orders: dict[int, Tensor] = {}

    def at(self, step: int) -> tuple[Tensor, Tensor, tuple[int, int]]:
        """Rows, shape=(B,), factors, shape=(B,), and the corner of the patches at a step."""
        first = step * self._phase.batch
        places = torch.arange(first, first + self._phase.batch)
        epochs = places // self._n
        wanted = range(int(epochs[0]), int(epochs[-1]) + 1)
        self._orders = {epoch: self._orders[epoch] if epoch in self._orders else self._order(epoch) for epoch in wanted}
        rows = torch.cat([self._orders[epoch][places[epochs == epoch] % self._n] for epoch in wanted])
        random = torch.Generator().manual_seed(self._seed * _STEP_STRIDE + step)
        factors = self._factors[torch.randint(len(self._factors), (len(rows),), generator=random)]
        room = HR_SIDE - self._phase.patch + 1 if self._phase.patch else 1
        top, left = torch.randint(room, (2,), generator=random).tolist()
        return rows, factors, (top, left)

    def _order(self, epoch: int) -> Tensor:
        random = torch.Generator().manual_seed((self._seed + 1) * _STEP_STRIDE * 7 + epoch)
        return torch.randperm(self._n, generator=random)


class Recognition:
    """Telling labels from frames, or from what frozen layers make of them.

    Parameters
    ----------
    learn, fold : frames to learn from, and held-out ones of other people
    factors : that the frames are seen at; each is as likely
    frozen : layers below the trained ones, applied once to every frame, in advance; only with a single factor
    """

    def __init__(
        self,
        learn: Faces,
        fold: Faces,
        *,
        factors: tuple[int, ...],
        loss: Loss,
        phase: Phase,
        seed: int,
        frozen: nn.Module | None = None,
    ) -> None:
        self.divisible = "ccc" not in loss
        self._loss = loss
        self._draws = Draws(len(learn), factors, phase, seed)
        self._frozen = frozen is not None
        self._targets = learn.targets
        every = max(1, len(fold) // phase.check_frames)
        self._fold_targets = fold.targets[::every].cpu().numpy()
        held = fold.frames[::every]
        if frozen is None:
            self._inputs = learn.frames
            seen = torch.tensor(factors)[torch.arange(len(held)) % len(factors)]
            self._fold_inputs = received(held, seen)
        else:
            self._inputs = through(frozen, learn.frames, factors[0])
            self._fold_inputs = through(frozen, held, factors[0])

    def batch(self, step: int) -> Batch:
        """What step number `step` learns from."""
        rows, factors, corner = self._draws.at(step)
        return Batch(rows, factors, corner, torch.isfinite(self._targets[rows.to(self._targets.device)]).sum())

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        """The part of the loss that these frames make."""
        rows = batch.rows.to(self._inputs.device)
        inputs = self._inputs[rows]
        if not self._frozen:
            inputs = luma(received(inputs, batch.factors))
        return loss_of(self._loss, network(inputs), self._targets[rows], n_labelled=batch.n_labelled)

    def check(self, network: nn.Module) -> dict[str, float]:
        """RMSE and CCC on the fold, the means over the outputs; the score is CCC."""
        parts = torch.split(self._fold_inputs, _CHECK_BATCH)
        with torch.no_grad():
            told = torch.cat([network(part if self._frozen else luma(part)).float() for part in parts]).cpu().numpy()
        pairs = [(told[:, k], self._fold_targets[:, k]) for k in range(told.shape[1])]
        concordance = float(np.mean([ccc(*pair) for pair in pairs]))
        return {"score": concordance, "rmse": float(np.mean([rmse(*pair) for pair in pairs]))}


class Reconstruction:
    """Reconstructing HR frames from LR frames of one factor, with SR-FCN."""

    divisible = True

    def __init__(self, learn: Faces, fold: Faces, *, factor: int, variant: Variant, phase: Phase, seed: int) -> None:
        self._factor = factor
        self._variant = variant
        self._phase = phase
        self._draws = Draws(len(learn), (factor,), phase, seed)
        self._frames = learn.frames
        self._fold = fold.frames[:: max(1, len(fold) // phase.check_frames)]

    def batch(self, step: int) -> Batch:
        """What step number `step` learns from."""
        rows, factors, corner = self._draws.at(step)
        side = (self._phase.patch or HR_SIDE) - 2 * SR_BORDER
        return Batch(rows, factors, corner, torch.tensor(len(rows) * side**2))

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        """Half the mean squared error, between pixels that are normalised as the network's inputs are."""
        hr = self._frames[batch.rows.to(self._frames.device)]
        inputs, mean, contrast = normalise(luma(as_received(hr, self._factor)), self._variant)
        wanted = (luma(hr) - mean) / contrast
        top, left = batch.corner
        side = self._phase.patch or HR_SIDE
        inputs = inputs[..., top : top + side, left : left + side]
        wanted = wanted[..., top + SR_BORDER : top + side - SR_BORDER, left + SR_BORDER : left + side - SR_BORDER]
        error: Tensor = (
            network(inputs.contiguous(memory_format=torch.channels_last), is_normalised=True).float() - wanted
        )
        return 0.5 * error.square().sum() / batch.n_labelled.to(error.device)

    def check(self, network: nn.Module) -> dict[str, float]:
        """PSNR on the fold, and that of bicubic on the same pixels; the score is their difference."""
        restored, enlarged, n = 0.0, 0.0, 0
        middle = slice(SR_BORDER, HR_SIDE - SR_BORDER)
        with torch.no_grad():
            for hr in torch.split(self._fold, _CHECK_BATCH // 8):
                wanted, received_ = luma(hr)[..., middle, middle], luma(as_received(hr, self._factor))
                restored += float((network(received_).float() - wanted).square().sum())
                enlarged += float((received_[..., middle, middle] - wanted).square().sum())
                n += wanted.numel()
        sr, bicubic = (-10 * float(np.log10(max(each, 1e-12) / n)) for each in (restored, enlarged))
        return {"score": sr - bicubic, "psnr_db": sr, "psnr_bicubic_db": bicubic}


def received(hr: Tensor, factors: Tensor) -> Tensor:
    """HR frames, uint8, shape=(N, 96, 96), each as it is received at its factor, shape=(N,)."""
    different = torch.unique(factors)
    if len(different) == 1:
        return as_received(hr, int(different))
    seen = torch.empty_like(hr)
    for s in different.tolist():
        rows = torch.nonzero(factors == s).flatten().to(hr.device)
        seen[rows] = as_received(hr[rows], s)
    return seen


def through(frozen: nn.Module, hr: Tensor, factor: int) -> Tensor:
    """What frozen layers make of frames, once and for all."""
    frozen.eval()
    with torch.no_grad():
        made = [frozen(luma(as_received(part, factor))).float() for part in torch.split(hr, _CHECK_BATCH)]
    return torch.cat(made)
