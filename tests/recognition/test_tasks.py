"""What training draws, lowers and looks at."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from codecsim import scaling
from recognition.data import Faces, hold_out, load_faces
from recognition.metrics import ccc, rmse
from recognition.networks import SRFCN, normalise
from recognition.resampling import as_received, luma
from recognition.tasks import Draws, Recognition, Reconstruction, received, through
from tests.recognition.small import SmallNetwork, phase


@pytest.fixture(scope="module")
def parts(corpus: Path) -> tuple[Faces, Faces]:
    """Frames to learn from and those of the fold, two labels each, of which some are unknown."""
    faces = load_faces(
        corpus, split="train", labels=("valence", "arousal"), device=torch.device("cpu"), delay_seconds=0.1
    )
    targets = faces.targets.clone()
    targets[::3, 1] = torch.nan
    return hold_out(replace(faces, targets=targets))


# Draws ---------------------------------------------------------------------------------------------------------------


def test_every_frame_is_seen_once_an_epoch_and_epochs_differ_in_order() -> None:
    draws = Draws(10, (4,), phase(batch=4), 0)
    rows = torch.cat([draws.at(step)[0] for step in range(10)]).reshape(4, 10)
    assert all(sorted(epoch.tolist()) == list(range(10)) for epoch in rows)
    assert len({tuple(epoch.tolist()) for epoch in rows}) == 4


def test_a_batch_may_be_larger_than_the_corpus() -> None:
    rows, factors, _ = Draws(3, (4,), phase(batch=8), 0).at(0)
    assert len(rows) == len(factors) == 8
    assert sorted(rows[:3].tolist()) == sorted(rows[3:6].tolist()) == [0, 1, 2]


def test_factors_of_a_mixture_are_each_as_likely_and_no_others_are_drawn() -> None:
    n = 300 * 32
    drawn = torch.cat([Draws(50, (3, 4, 6), phase(batch=32), 1).at(step)[1] for step in range(300)])
    counts = {s: int((drawn == s).sum()) for s in (3, 4, 6)}
    assert sum(counts.values()) == n
    deviation = (n * (1 / 3) * (2 / 3)) ** 0.5
    assert all(abs(count - n / 3) < 4 * deviation for count in counts.values()), counts


def test_each_frame_of_a_batch_has_a_factor_of_its_own() -> None:
    assert len(set(Draws(50, (3, 4, 6), phase(batch=32), 1).at(0)[1].tolist())) == 3


def test_draws_depend_on_seed_and_step_alone() -> None:
    draws = Draws(10, (3, 4), phase(batch=4, patch=32), 5)
    first = [draws.at(step) for step in range(12)]
    again = Draws(10, (3, 4), phase(batch=4, patch=32), 5)
    for step in (11, 3, 7, 3):
        for one, other in zip(again.at(step), first[step], strict=True):
            assert torch.equal(torch.as_tensor(one), torch.as_tensor(other))
    other = [Draws(10, (3, 4), phase(batch=4, patch=32), 6).at(step) for step in range(12)]
    for part in (0, 1, 2):
        assert any(
            not torch.equal(torch.as_tensor(a[part]), torch.as_tensor(b[part]))
            for a, b in zip(first, other, strict=True)
        )


def test_patches_lie_anywhere_within_the_frame() -> None:
    draws = Draws(10, (4,), phase(batch=1, patch=90), 0)
    corners = {draws.at(step)[2] for step in range(400)}
    assert {top for top, _ in corners} == {left for _, left in corners} == set(range(7))
    assert Draws(10, (4,), phase(batch=1), 0).at(3)[2] == (0, 0)


# Recognition ---------------------------------------------------------------------------------------------------------


class Recorder(nn.Module):
    """Tells the first pixel and the mean, and remembers what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(x)
        return torch.stack([x[:, 0, 0, 0], x.mean((1, 2, 3))], 1)


def test_a_mixture_shows_each_frame_at_its_factor(parts: tuple[Faces, Faces]) -> None:
    learn, fold = parts
    task = Recognition(learn, fold, factors=(3, 6), loss="mse", phase=phase(batch=8), seed=0)
    batch, network = task.batch(1), Recorder()
    assert set(batch.factors.tolist()) == {3, 6}
    loss = task.loss(network, batch)
    frames = learn.frames.numpy()[batch.rows.numpy()]
    low = [scaling.upscale(scaling.downscale(frames[i : i + 1], s)) for i, s in enumerate(batch.factors.tolist())]
    seen = torch.tensor(np.concatenate(low))
    assert torch.equal(network.seen[0], luma(seen))
    told = torch.stack([luma(seen)[:, 0, 0, 0], luma(seen).mean((1, 2, 3))], 1).numpy()
    targets = learn.targets[batch.rows].numpy()
    assert float(loss) == pytest.approx(0.5 * np.nanmean((told - targets) ** 2), rel=1e-5)
    assert int(batch.n_labelled) == np.isfinite(targets).sum() < targets.size


def test_the_loss_of_a_batchs_parts_adds_up(parts: tuple[Faces, Faces]) -> None:
    task = Recognition(*parts, factors=(4,), loss="mse", phase=phase(batch=8), seed=0)
    batch = task.batch(0)
    pieces = [float(task.loss(Recorder(), batch.part(rows))) for rows in (slice(0, 3), slice(3, 8))]
    assert sum(pieces) == pytest.approx(float(task.loss(Recorder(), batch)), rel=1e-6)


def test_only_the_squared_error_can_be_parted(parts: tuple[Faces, Faces]) -> None:
    made = {
        loss: Recognition(*parts, factors=(4,), loss=loss, phase=phase(), seed=0).divisible
        for loss in ("mse", "ccc", "mse+ccc")
    }
    assert made == {"mse": True, "ccc": False, "mse+ccc": False}


def test_a_look_scores_the_fold_by_the_mean_ccc_of_its_outputs(parts: tuple[Faces, Faces]) -> None:
    learn, fold = parts
    task = Recognition(learn, fold, factors=(4,), loss="mse", phase=phase(check_frames=1000), seed=0)
    found = task.check(Recorder())
    told = Recorder()(luma(as_received(fold.frames, 4))).numpy()
    pairs = [(told[:, k], fold.targets[:, k].numpy()) for k in (0, 1)]
    assert found["score"] == pytest.approx(np.mean([ccc(*pair) for pair in pairs]), rel=1e-5)
    assert found["rmse"] == pytest.approx(np.mean([rmse(*pair) for pair in pairs]), rel=1e-5)


def test_a_look_sees_frames_spread_over_the_fold_and_over_the_factors(parts: tuple[Faces, Faces]) -> None:
    learn, fold = parts
    network = Recorder()
    task = Recognition(learn, fold, factors=(1, 16), loss="mse", phase=phase(check_frames=4), seed=0)
    found = task.check(network)
    every = len(fold) // 4
    shown = fold.frames[::every]
    expected = torch.stack([as_received(frame[None], (1, 16)[i % 2])[0] for i, frame in enumerate(shown)])
    assert torch.equal(network.seen[0], luma(expected))
    told, targets = Recorder()(luma(expected)).numpy(), fold.targets[::every].numpy()
    assert found["rmse"] == pytest.approx(np.mean([rmse(told[:, k], targets[:, k]) for k in (0, 1)]), rel=1e-5)


def test_frozen_layers_see_every_frame_once_before_training(parts: tuple[Faces, Faces]) -> None:
    learn, fold = parts
    frozen = Recorder().train()
    task = Recognition(learn, fold, factors=(4,), loss="mse", phase=phase(check_frames=1000), seed=0, frozen=frozen)
    assert torch.equal(torch.cat(frozen.seen), luma(as_received(torch.cat([learn.frames, fold.frames]), 4)))
    assert not frozen.training
    n_seen = len(frozen.seen)
    batch = task.batch(0)
    network = nn.Identity()
    expected = Recorder()(luma(as_received(learn.frames[batch.rows], 4))) - learn.targets[batch.rows]
    assert float(task.loss(network, batch)) == pytest.approx(0.5 * float(expected.square().nanmean()), rel=1e-5)
    task.check(network)
    assert len(frozen.seen) == n_seen


def test_what_frozen_layers_give_does_not_depend_on_batches() -> None:
    frames = torch.randint(0, 256, (70, 96, 96), dtype=torch.uint8)
    network = SmallNetwork(2)
    made = through(network, frames, 6)
    assert not made.requires_grad
    with torch.no_grad():
        torch.testing.assert_close(made, network(luma(as_received(frames, 6))))


def test_frames_are_received_each_at_its_factor() -> None:
    frames = torch.randint(0, 256, (6, 96, 96), dtype=torch.uint8)
    factors = torch.tensor([3, 1, 8, 3, 8, 48])
    seen = received(frames, factors)
    for index, s in enumerate(factors.tolist()):
        assert torch.equal(seen[index], as_received(frames[index : index + 1], s)[0])
    assert torch.equal(received(frames, torch.full((6,), 4)), as_received(frames, 4))


# Reconstruction ------------------------------------------------------------------------------------------------------


class Bicubic(nn.Module):
    """What nothing but bicubic would restore."""

    def forward(self, x: Tensor, *, is_normalised: bool = False) -> Tensor:
        return x[..., 8:-8, 8:-8]


@pytest.mark.parametrize("patch", [0, 20])
@pytest.mark.parametrize("variant", ["paper", "released"])
def test_the_sr_fcn_learns_the_middle_of_normalised_patches(
    parts: tuple[Faces, Faces], patch: int, variant: str
) -> None:
    learn, fold = parts
    task = Reconstruction(learn, fold, factor=4, variant=variant, phase=phase(batch=3, patch=patch), seed=2)
    batch = task.batch(0)
    loss = task.loss(Bicubic(), batch)
    hr = learn.frames[batch.rows]
    low = luma(as_received(hr, 4))
    contrast = normalise(low, variant)[2]
    top, left = batch.corner
    side = patch or 96
    rows, columns = slice(top + 8, top + side - 8), slice(left + 8, left + side - 8)
    error = ((low - luma(hr)) / contrast)[..., rows, columns]
    assert error.shape == (3, 1, side - 16, side - 16)
    assert float(loss) == pytest.approx(float(0.5 * error.square().mean()), rel=1e-4)
    halves = [float(task.loss(Bicubic(), batch.part(part))) for part in (slice(0, 1), slice(1, 3))]
    assert sum(halves) == pytest.approx(float(loss), rel=1e-5)


def test_the_real_sr_fcn_is_given_normalised_patches(parts: tuple[Faces, Faces]) -> None:
    task = Reconstruction(*parts, factor=4, variant="paper", phase=phase(batch=2, patch=20), seed=2)
    network = SRFCN(variant="paper")
    with torch.no_grad():
        network.reconstruct.weight.zero_()
        batch = task.batch(0)
        hr, low = (parts[0].frames[batch.rows], luma(as_received(parts[0].frames[batch.rows], 4)))
        _, mean, contrast = normalise(low, "paper")
        top, left = (corner + 8 for corner in batch.corner)
        wanted = ((luma(hr) - mean) / contrast)[..., top : top + 4, left : left + 4]
        assert float(task.loss(network, batch)) == pytest.approx(float(0.5 * wanted.square().mean()), rel=1e-4)


def test_a_look_measures_the_gain_over_bicubic(parts: tuple[Faces, Faces]) -> None:
    learn, fold = parts
    task = Reconstruction(learn, fold, factor=4, variant="paper", phase=phase(check_frames=1000), seed=0)
    found = task.check(Bicubic())
    middle = (slice(None), slice(8, 88), slice(8, 88))
    low = scaling.upscale(scaling.downscale(fold.frames.numpy(), 4))[middle].astype(float)
    psnr = 10 * np.log10(255**2 / np.mean((low - fold.frames.numpy()[middle]) ** 2))
    assert found["score"] == 0
    assert found["psnr_db"] == found["psnr_bicubic_db"] == pytest.approx(psnr, abs=1e-4)


def test_a_perfect_reconstruction_has_a_finite_score(parts: tuple[Faces, Faces]) -> None:
    learn, fold = parts
    even = replace(fold, frames=torch.full_like(fold.frames, 128))
    task = Reconstruction(learn, even, factor=4, variant="paper", phase=phase(), seed=0)
    assert np.isfinite(task.check(Bicubic())["score"])
