"""Table 1: every method trained with several seeds, tested on people that it never saw, and compared.

Predictions are kept, so that a table is made again without a network.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from codecsim.corpus import Corpus
from codecsim.errors import UsageError
from codecsim.scaling import downscale
from pipelines.predictions import Kept, frames_digest, read_predictions, write_predictions
from recognition.data import Faces, hold_out, load_faces
from recognition.inference import Predictor
from recognition.methods import Method
from recognition.models import load_model, read_provenance, weights_digest
from recognition.postprocessing import Chain, fit
from recognition.training import Setup, Trainer

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Cell:
    """A method tested at one factor.

    Attributes
    ----------
    family : of the method, without its factor
    name : of the method
    s : factor of the frames that it was tested on
    predicted : of each seed's network, shape=(S, N, K)
    chains : what post-processing did, a line a seed and label; () without it
    """

    family: str
    name: str
    s: int
    predicted: Floats
    chains: tuple[str, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """Methods and what they were tested on.

    Attributes
    ----------
    cells : every method at every factor that it is meant for
    targets : shape=(N, K), NaN where unlabelled
    recordings, subjects : shape=(N,)
    labels : names of the K labels
    seeds : of the networks
    every : every so many frames of the split were tested
    is_avec2016 : whether the corpus is of the data that the paper's figures are of
    digest : of the corpus
    hardware : that the networks were trained on
    """

    cells: tuple[Cell, ...]
    targets: Floats
    recordings: npt.NDArray[np.str_]
    subjects: npt.NDArray[np.str_]
    labels: tuple[str, ...]
    seeds: tuple[int, ...]
    every: int
    is_avec2016: bool
    digest: str
    hardware: tuple[str, ...]

    def cell(self, family: str, s: int) -> Cell | None:
        """A method at a factor; None where it was not tested there."""
        return next((each for each in self.cells if each.family == family and each.s == s), None)


def compare_methods(
    trainer: Trainer,
    methods: Sequence[tuple[str, Method]],
    *,
    scales: Sequence[int],
    seeds: Sequence[int],
    split: str = "dev",
    every: int = 1,
    postprocess: bool = False,
    report: Callable[[str, int, int | None], None] | None = None,
) -> Comparison:
    """Train what is missing, and test every method at the factors that it is meant for.

    Parameters
    ----------
    methods : pairs of a family's name and one of its methods
    scales : factors at which methods for any factor are tested
    split : that they are tested on
    every : test every so many of its frames
    postprocess : filter, centre, scale and shift predictions as the AVEC challenges do, each step as it is found on the
        held-out fold of train, which is tested on every so many frames, too
    """
    setup = trainer.setup
    shown = {split: _load(setup, split, every)}  # first, so that a wrong split is told before any network is trained
    if postprocess:
        shown["fold"] = hold_out(_load(setup, "train", every), fold=setup.fold)[1]
    tests = [
        _Test(trainer, method, seed, method.tested_on or tuple(scales), shown)
        for _, method in methods
        for seed in seeds
    ]
    for test in tests:
        test.train()
    told = {}
    for number, test in enumerate(tests):
        if report:
            report("testing", number, len(tests))
        told[test.method.name, test.seed] = test.predict()
    faces, cells = shown[split], []
    for family, method in methods:
        for s in method.tested_on or tuple(scales):
            predicted = np.stack([told[method.name, seed][split].predicted[s] for seed in seeds]).astype(np.float64)
            chains: list[str] = []
            for seed, own in zip(seeds, predicted, strict=True) if postprocess else ():
                known = told[method.name, seed]["fold"].predicted[s]
                for k, label in enumerate(setup.labels):
                    chain = _chain(known[:, k], shown["fold"], k)
                    own[:, k] = chain.apply(own[:, k], recordings=faces.recordings, fps=_rate(faces))
                    chains.append(f"{method.name} at s = {s}, {label}, seed {seed}: {chain.explain()}")
            cells.append(Cell(family, method.name, s, predicted, tuple(chains)))
    with Corpus(setup.corpus) as opened:
        is_avec2016 = all('"avec2016"' in each.preparation for each in opened.sequences())
    return Comparison(
        cells=tuple(cells),
        targets=faces.targets.numpy().astype(np.float64),
        recordings=faces.recordings,
        subjects=faces.subjects,
        labels=setup.labels,
        seeds=tuple(seeds),
        every=every,
        is_avec2016=is_avec2016,
        digest=faces.digest,
        hardware=tuple(dict.fromkeys(str(each[split].made_by["hardware"]) for each in told.values())),
    )


class _Test:
    """One network of a method at its factors, with what is kept of it from before.

    Parameters
    ----------
    shown : splits by name
    """

    def __init__(
        self, trainer: Trainer, method: Method, seed: int, factors: Sequence[int], shown: Mapping[str, Faces]
    ) -> None:
        self.method = method
        self.seed = seed
        self._trainer = trainer
        self._factors = factors
        self._shown = shown
        self._weights: Path | None = None

    def train(self) -> None:
        """Train the network; not where its weights are gone, and all that they told is kept."""
        if self._trainer.path(self.method.name, self.seed).exists() or not self._is_kept():
            self._weights = self._trainer.train(self.method, seed=self.seed)[-1].path

    def predict(self) -> dict[str, Kept]:
        """Predictions of every split: as they were kept, or now."""
        return {split: self._predict(split, faces) for split, faces in self._shown.items()}

    def _is_kept(self) -> bool:
        settings = self._trainer.settings(self.method, seed=self.seed)
        kept = {split: read_predictions(self._path(split)) for split in self._shown}
        return not self._trainer.force and all(
            known is not None
            and known.is_of(settings, frames_digest(self._shown[split]))
            and set(self._factors) <= known.predicted.keys()
            for split, known in kept.items()
        )

    def _predict(self, split: str, faces: Faces) -> Kept:
        path = self._path(split)
        known = read_predictions(path)
        if self._weights is None:
            assert known is not None
            return known
        provenance = read_provenance(self._weights)
        made_by = {
            "settings": provenance["settings"],
            "weights": weights_digest(self._weights),
            "frames": frames_digest(faces),
            **{name: provenance[name] for name in ("hardware", "versions", "revision")},
        }
        predicted = dict(known.predicted) if known is not None and known.made_by == made_by else {}
        missing = [s for s in self._factors if s not in predicted]
        if missing:
            setup = self._trainer.setup
            network = load_model(self._weights, method=self.method).network
            predictor = Predictor(network, device=setup.device, precision=setup.precision)
            frames = faces.frames.numpy()
            recordings = np.split(frames, np.flatnonzero(faces.recordings[1:] != faces.recordings[:-1]) + 1)
            for s in missing:
                sequences = (downscale(part, s) if s > 1 else part for part in recordings)
                predicted[s] = np.concatenate(list(predictor.stream(sequences)))
            write_predictions(path, Kept(made_by, predicted))
        return Kept(made_by, predicted)

    def _path(self, split: str) -> Path:
        weights = self._trainer.path(self.method.name, self.seed)
        return weights.parent / "predictions" / f"{weights.stem}.{split}.npz"


def _load(setup: Setup, split: str, every: int) -> Faces:
    cpu = torch.device("cpu")
    return load_faces(
        setup.corpus, split=split, labels=setup.labels, device=cpu, every=every, delay_seconds=setup.delay_seconds
    )


def _rate(faces: Faces) -> float:
    """Frames per second of all recordings."""
    rates = np.unique(faces.fps.round(6))
    if len(rates) > 1:
        raise UsageError(f"post-processing needs one frame rate; these recordings have {rates[0]:g} to {rates[-1]:g}")
    return float(rates[0])


def _chain(predicted: npt.NDArray[np.float32], fold: Faces, k: int) -> Chain:
    """Post-processing of one label, as the fold asks for it."""
    return fit(predicted, fold.targets[:, k].numpy(), recordings=fold.recordings, fps=_rate(fold))
