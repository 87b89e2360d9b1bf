"""From a method and a corpus to trained weights in a folder, resumable, and never trained twice.

Of every network OUT holds ``NAME.seedN.safetensors``, the weights with their provenance, and ``NAME.seedN.csv``, a row
a look at the held-out fold; while it is trained, ``NAME.seedN.checkpoint.safetensors``.
"""

import csv
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from codecsim.atomic import replacing, sweep_leftovers
from codecsim.errors import UsageError
from recognition.checkpoints import different, load_checkpoint, save_checkpoint
from recognition.data import Faces, hold_out, load_faces
from recognition.devices import Precision, arithmetic, get_device, hardware
from recognition.loop import Moment, Row, fit
from recognition.losses import Loss, check_loss
from recognition.methods import Method
from recognition.models import SR_NAME, load_model, origin, read_provenance, save_model, weights_digest
from recognition.networks import SRFCN, Variant, check_variant
from recognition.parallel import join
from recognition.schedules import Phase, Schedule
from recognition.stages import stages
from recognition.tasks import Recognition, Reconstruction

_SEEDS = 2**32

Report = Callable[[str, Moment], None]
"""Called with the name of what is trained, and where it stands."""


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What all networks of a comparison have in common.

    Attributes
    ----------
    corpus : with a split ``train``
    labels : what is to be told
    variant : of the networks
    schedule : how long and how fast they are trained
    loss : ``mse``, ``ccc`` or ``mse+ccc``
    every : every so many frames are used
    delay_seconds : by how much annotations lag behind the frames
    fold : which fold of the train subjects is held out: it decides on rates and weights, and nothing else is looked at
    device, precision, compiled : where and how it is computed
    """

    corpus: Path
    labels: tuple[str, ...]
    variant: Variant
    schedule: Schedule
    loss: Loss = "mse"
    every: int = 1
    delay_seconds: float = 0.0
    fold: int = 0
    device: str = "auto"
    precision: Precision = "fp32"
    compiled: bool = False


@dataclass(frozen=True)
class Trained:
    """A network that is there now.

    Attributes
    ----------
    name, seed : what it is
    path, log : its weights, and how it came to them
    is_new : whether it was trained now
    """

    name: str
    seed: int
    path: Path
    log: Path
    is_new: bool


class Trainer:
    """Trains methods on one corpus, whose frames are read once.

    Parameters
    ----------
    out : folder for the weights
    force : train again what is there, or was begun, with whatever settings
    """

    def __init__(self, setup: Setup, out: Path, *, force: bool = False, report: Report | None = None) -> None:
        self.setup = setup
        self.out = out
        self.force = force
        self._made: set[Path] = set()
        self._report = report
        self._world, self._device = join(get_device(setup.device))
        check_variant(setup.variant)
        check_loss(setup.loss)

    @property
    def leads(self) -> bool:
        """Whether this process writes files and speaks; others help to train."""
        return self._world.leads

    @cached_property
    def _faces(self) -> tuple[Faces, Faces]:
        """Frames to learn from, and the held-out fold."""
        faces = load_faces(
            self.setup.corpus,
            split="train",
            labels=self.setup.labels,
            device=self._device,
            every=self.setup.every,
            delay_seconds=self.setup.delay_seconds,
        )
        return hold_out(faces, fold=self.setup.fold)

    def train(self, method: Method, *, seed: int) -> list[Trained]:
        """Train a method, after the SR-FCN that it starts from; what OUT holds already, with these settings, stays.

        Raises
        ------
        UsageError
            If OUT holds weights that were trained with other settings.
        TrainingError
            If the loss is no number.
        """
        made = [self.train_sr(method.sr_scale, seed=seed)] if method.start != "none" else []
        sr = load_model(made[0].path).network if made else None
        assert sr is None or isinstance(sr, SRFCN)
        phase = self._phase(method)
        starts_from = weights_digest(made[0].path) if made else ""
        settings = {**self.settings(method, seed=seed), "starts_from": starts_from}

        def task_of(network: nn.Module) -> tuple[nn.Module, Recognition, Sequence[nn.Parameter]]:
            staged = stages(method, network, sr)
            if staged.frozen is not None:
                staged.frozen.to(device=self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]
            learn, fold = self._faces
            task = Recognition(
                learn,
                fold,
                factors=method.trained_on,
                loss=self.setup.loss,
                phase=phase,
                seed=seed,
                frozen=staged.frozen,
            )
            return staged.trained, task, staged.started

        def build() -> nn.Module:
            return method.build(variant=self.setup.variant, outputs=len(self.setup.labels))

        return [*made, self._train(method.name, build, task_of, phase=phase, seed=seed, settings=settings)]

    def train_sr(self, s: int, *, seed: int) -> Trained:
        """Train the SR-FCN of factor s."""
        name, phase = f"{SR_NAME}-{s}", self.setup.schedule.sr
        settings = {**self._settings(name, phase, seed), "labels": [], "trained_on": [s], "sr_scale": s}

        def task_of(network: nn.Module) -> tuple[nn.Module, Reconstruction, Sequence[nn.Parameter]]:
            learn, fold = self._faces
            return (
                network,
                Reconstruction(learn, fold, factor=s, variant=self.setup.variant, phase=phase, seed=seed),
                (),
            )

        return self._train(
            name, lambda: SRFCN(variant=self.setup.variant), task_of, phase=phase, seed=seed, settings=settings
        )

    def path(self, name: str, seed: int) -> Path:
        """Where the weights of a network are, or will be."""
        return weights_path(self.out, name, seed)

    def settings(self, method: Method, *, seed: int) -> dict[str, Any]:
        """All that decides on the weights of a method, as JSON has it; the SR-FCN stands for its own."""
        return {
            **self._settings(method.name, self._phase(method), seed),
            "labels": list(self.setup.labels),
            "loss": self.setup.loss,
            "trained_on": list(method.trained_on),
            "sr_scale": method.sr_scale,
            "sr_phase": asdict(self.setup.schedule.sr) if method.start != "none" else {},
            "own": method.factory is not None,
        }

    def check(self, method: Method, *, seed: int) -> None:
        """Refuse weights of a method in OUT that were trained with other settings: raises `UsageError`."""
        path = self.path(method.name, seed)
        if path.exists() and not self.force:
            known = read_provenance(path)["settings"]
            _check_settings(path, {**known, "starts_from": ""}, {**self.settings(method, seed=seed), "starts_from": ""})

    def _phase(self, method: Method) -> Phase:
        schedule = self.setup.schedule
        return {"none": schedule.scratch, "tuned": schedule.tuned}.get(method.start, schedule.frozen)

    def _settings(self, name: str, phase: Phase, seed: int) -> dict[str, Any]:
        """What decides on the weights, as far as all networks share it."""
        if not 0 <= seed < _SEEDS:
            raise UsageError(f"seed {seed}: 0 to {_SEEDS - 1} are allowed")
        setup = self.setup
        return {
            "method": name,
            "variant": setup.variant,
            "seed": seed,
            "schedule": setup.schedule.name,
            "phase": asdict(phase),
            "every": setup.every,
            "delay_seconds": setup.delay_seconds,
            "fold": setup.fold,
            "precision": setup.precision,
            "corpus_digest": self._faces[0].digest,
        }

    def _train(
        self,
        name: str,
        build: Callable[[], nn.Module],
        task_of: Callable[[nn.Module], tuple[nn.Module, Recognition | Reconstruction, Sequence[nn.Parameter]]],
        *,
        phase: Phase,
        seed: int,
        settings: dict[str, Any],
    ) -> Trained:
        path = self.path(name, seed)
        log, begun = path.with_suffix(".csv"), path.with_suffix(".checkpoint.safetensors")
        for each in (path, log, begun):
            sweep_leftovers(each)
        again = self.force and path not in self._made
        if path.exists() and not again:
            _check_settings(path, read_provenance(path)["settings"], settings)
            return Trained(name, seed, path, log, False)
        state = None if again else load_checkpoint(begun, settings)
        self._world.wait()  # all have looked at what is there, before one of them changes it
        torch.manual_seed(seed)
        network = build()
        with arithmetic(self.setup.precision, self._device):
            trained, task, started = task_of(network.to(self._device))
        done = fit(
            trained,
            task,
            phase=phase,
            seed=seed,
            started=started,
            device=self._device,
            precision=self.setup.precision,
            compiled=self.setup.compiled,
            world=self._world,
            state=state,
            keep=lambda reached: save_checkpoint(begun, reached, settings),
            report=(lambda moment: report(name, moment)) if (report := self._report) else None,
        )
        if self._world.leads:
            best = max(done.history, key=lambda row: -math.inf if math.isnan(row["score"]) else row["score"])
            provenance = {
                **{key: settings[key] for key in ("method", "variant", "labels", "trained_on", "sr_scale")},
                "own": settings.get("own", False),
                "settings": settings,
                "steps": done.step,
                "best": best,
                "hardware": hardware(self._device),
                "processes": self._world.size,
                **origin(),
            }
            _write_log(log, done.history)
            save_model(path, network, provenance)
            begun.unlink(missing_ok=True)
        self._world.wait()
        self._made.add(path)
        return Trained(name, seed, path, log, True)


def _check_settings(path: Path, known: dict[str, Any], settings: dict[str, Any]) -> None:
    if differing := different(known, settings):
        raise UsageError(f"{path}: trained with other settings ({differing}); name another folder, or --force")


def weights_path(folder: Path, name: str, seed: int) -> Path:
    """Where the weights of a network stand in the folder that it was trained into."""
    return folder / f"{name.replace(':', '.')}.seed{seed}.safetensors"


def _write_log(path: Path, history: Sequence[Row]) -> None:
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(history[0]))
        writer.writeheader()
        writer.writerows(history)
