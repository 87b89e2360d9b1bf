"""Table 1: every method trained with several seeds, tested on people that it never saw, and compared.

Predictions are kept as soon as a network is trained, so that a run that is cut off loses little, and a table is made
again of them without a network or a frame.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from codecsim.corpus import Corpus
from codecsim.errors import UsageError
from codecsim.scaling import downscale
from pipelines.predictions import (
    Kept,
    Truth,
    frames_digest,
    read_predictions,
    read_truth,
    truth_path,
    write_predictions,
    write_truth,
)
from recognition.data import Faces, hold_out, load_faces
from recognition.inference import Predictor
from recognition.methods import Method
from recognition.models import load_model, read_provenance, weights_digest
from recognition.postprocessing import Chain, fit
from recognition.training import Setup, Trainer, weights_path

Floats = npt.NDArray[np.float64]

_FOLD = "fold"
"""Stands for the held-out fold of train, beside the names of splits."""


@dataclass(frozen=True)
class Cell:
    """A method tested at one factor.

    Attributes
    ----------
    family : of the method, without its factor
    name : of the method
    s : factor of the frames that it was tested on
    predicted : of each seed's network, shape=(S, N, K)
    settings : of the training of the first seed's network
    chains : what post-processing did, a line a seed and label; () without it
    """

    family: str
    name: str
    s: int
    predicted: Floats
    settings: Mapping[str, Any]
    chains: tuple[str, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """Methods and what they were tested on.

    Attributes
    ----------
    cells : every method at every factor that it is meant for
    truth : of the frames that they were tested on
    seeds : of the networks
    hardware : that the networks were trained on
    missing : methods at factors, in words, of which no predictions are kept for every seed
    """

    cells: tuple[Cell, ...]
    truth: Truth
    seeds: tuple[int, ...]
    hardware: tuple[str, ...]
    missing: tuple[str, ...] = ()

    @property
    def drawn(self) -> str:
        """What intervals of the bootstrap draw anew, in words."""
        return "over subjects" if len(self.seeds) == 1 else "over subjects and seeds"

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
        shown[_FOLD] = hold_out(_load(setup, "train", every), fold=setup.fold)[1]
    with Corpus(setup.corpus) as opened:
        is_avec2016 = all('"avec2016"' in each.preparation for each in opened.sequences())
    truths = {name: _truth(faces, every, is_avec2016) for name, faces in shown.items()}
    digests = {name: known.frames for name, known in truths.items()}
    networks = [(method, seed) for _, method in methods for seed in seeds]
    for method, seed in networks:
        trainer.check(method, seed=seed)
    for name, known in truths.items():
        write_truth(truth_path(trainer.out, name), known)
    told = {}
    for number, (method, seed) in enumerate(networks):
        if report:
            report("training and testing", number, len(networks))
        factors = method.tested_on or tuple(scales)
        test = _Test(trainer, method, seed=seed, factors=factors, shown=shown, digests=digests)
        told[method.name, seed] = test.run()
    return _compared(methods, told, truths, scales=scales, seeds=seeds, split=split)


def compare_kept(
    out: Path,
    methods: Sequence[tuple[str, Method]],
    *,
    scales: Sequence[int],
    seeds: Sequence[int],
    split: str = "dev",
    postprocess: bool = False,
) -> Comparison:
    """Compare what networks told before, as it is kept in a folder, without the networks and the corpus.

    Raises
    ------
    UsageError
        If nothing is kept there, or of networks that were trained or tested on different frames.
    """
    truths = {}
    for name in (split, _FOLD) if postprocess else (split,):
        path = truth_path(out, name)
        known = read_truth(path)
        if known is None:
            raise UsageError(f"{path}: no such file; it is written where methods are compared on a corpus: name one")
        truths[name] = known
    told = {}
    for _, method in methods:
        for seed in seeds:
            kept = {name: read_predictions(_kept_path(out, method.name, seed, name)) for name in truths}
            found = {name: each for name, each in kept.items() if each is not None}
            for name, each in found.items():
                path = _kept_path(out, method.name, seed, name)
                if each.made_by["frames"] != truths[name].frames:
                    raise UsageError(f"{path}: told of other frames than the rest")
                own, wanted = (", ".join(of) for of in (each.made_by["settings"]["labels"], truths[name].labels))
                if own != wanted:
                    raise UsageError(f"{path}: told {own}, not {wanted} as the others")
            if len(found) == len(truths):
                told[method.name, seed] = found
    compared = _compared(methods, told, truths, scales=scales, seeds=seeds, split=split)
    if not compared.cells:
        raise UsageError(f"{out}: of these methods and seeds no predictions are kept; name a corpus to make them of")
    return compared


def _compared(
    methods: Sequence[tuple[str, Method]],
    told: Mapping[tuple[str, int], Mapping[str, Kept]],
    truths: Mapping[str, Truth],
    *,
    scales: Sequence[int],
    seeds: Sequence[int],
    split: str,
) -> Comparison:
    cells, missing = [], []
    for family, method in methods:
        for s in method.tested_on or tuple(scales):
            kept = [told.get((method.name, seed)) for seed in seeds]
            known = [each for each in kept if each is not None and all(s in one.predicted for one in each.values())]
            if len(known) < len(seeds):
                missing.append(f"{method.name} at s = {s}")
                continue
            predicted = np.stack([each[split].predicted[s] for each in known]).astype(np.float64)
            chains = []
            for seed, each, own in zip(seeds, known, predicted, strict=True):
                for k, label in enumerate(truths[split].labels if _FOLD in truths else ()):
                    chain = _chain(each[_FOLD].predicted[s][:, k], truths[_FOLD], k)
                    own[:, k] = chain.apply(own[:, k], recordings=truths[split].recordings, fps=truths[split].rate)
                    chains.append(f"{method.name} at s = {s}, {label}, seed {seed}: {chain.explain()}")
            cells.append(Cell(family, method.name, s, predicted, known[0][split].made_by["settings"], tuple(chains)))
    hardware = dict.fromkeys(str(each[split].made_by["hardware"]) for each in told.values())
    return Comparison(tuple(cells), truths[split], tuple(seeds), tuple(hardware), tuple(missing))


class _Test:
    """One network of a method at its factors, with what is kept of it from before.

    Parameters
    ----------
    shown : frames of each split
    digests : of these
    """

    def __init__(
        self,
        trainer: Trainer,
        method: Method,
        *,
        seed: int,
        factors: Sequence[int],
        shown: Mapping[str, Faces],
        digests: Mapping[str, str],
    ) -> None:
        self._method = method
        self._seed = seed
        self._trainer = trainer
        self._factors = factors
        self._shown = shown
        self._digests = digests

    def run(self) -> dict[str, Kept]:
        """Predictions of every split: as they were kept, or now, and kept.

        The network is not trained where its weights are gone, and all that it told is kept.
        """
        kept = {split: read_predictions(self._path(split)) for split in self._shown}
        if self._trainer.path(self._method.name, self._seed).exists() or not self._is_whole(kept):
            weights = self._trainer.train(self._method, seed=self._seed)[-1].path
            return {split: self._predict(split, kept[split], weights) for split in self._shown}
        return {split: known for split, known in kept.items() if known is not None}

    def _is_whole(self, kept: Mapping[str, Kept | None]) -> bool:
        settings = self._trainer.settings(self._method, seed=self._seed)
        return not self._trainer.force and all(
            known is not None
            and known.is_of(settings, self._digests[split])
            and set(self._factors) <= known.predicted.keys()
            for split, known in kept.items()
        )

    def _predict(self, split: str, known: Kept | None, weights: Path) -> Kept:
        provenance = read_provenance(weights)
        made_by = {
            "settings": provenance["settings"],
            "weights": weights_digest(weights),
            "frames": self._digests[split],
            **{name: provenance[name] for name in ("hardware", "versions", "revision")},
        }
        predicted = dict(known.predicted) if known is not None and known.made_by == made_by else {}
        missing = [s for s in self._factors if s not in predicted]
        if missing:
            setup, faces = self._trainer.setup, self._shown[split]
            network = load_model(weights, method=self._method).network
            predictor = Predictor(network, device=setup.device, precision=setup.precision)
            frames = faces.frames.numpy()
            recordings = np.split(frames, np.flatnonzero(faces.recordings[1:] != faces.recordings[:-1]) + 1)
            for s in missing:
                sequences = (downscale(part, s) if s > 1 else part for part in recordings)
                predicted[s] = np.concatenate(list(predictor.stream(sequences)))
            write_predictions(self._path(split), Kept(made_by, predicted))
        return Kept(made_by, predicted)

    def _path(self, split: str) -> Path:
        return _kept_path(self._trainer.out, self._method.name, self._seed, split)


def _kept_path(out: Path, name: str, seed: int, split: str) -> Path:
    return out / "predictions" / f"{weights_path(out, name, seed).stem}.{split}.npz"


def _load(setup: Setup, split: str, every: int) -> Faces:
    cpu = torch.device("cpu")
    return load_faces(
        setup.corpus, split=split, labels=setup.labels, device=cpu, every=every, delay_seconds=setup.delay_seconds
    )


def _truth(faces: Faces, every: int, is_avec2016: bool) -> Truth:
    return Truth(
        targets=faces.targets.numpy(),
        recordings=faces.recordings,
        subjects=faces.subjects,
        fps=faces.fps,
        labels=faces.labels,
        every=every,
        corpus=faces.digest,
        frames=frames_digest(faces),
        is_avec2016=is_avec2016,
    )


def _chain(predicted: npt.NDArray[np.float32], fold: Truth, k: int) -> Chain:
    """Post-processing of one label, as the fold asks for it."""
    return fit(predicted, fold.targets[:, k], recordings=fold.recordings, fps=fold.rate)
