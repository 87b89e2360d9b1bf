"""Table 1: every method trained with several seeds, tested on people that it never saw, and compared.

Predictions are kept beside the weights, so that a table is made again without a network.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from codecsim.atomic import replacing
from codecsim.corpus import Corpus
from codecsim.errors import UsageError
from codecsim.scaling import downscale
from recognition.data import Faces, hold_out, load_faces
from recognition.devices import Precision
from recognition.inference import Predictor
from recognition.methods import Method
from recognition.models import load_model, read_provenance, weights_digest
from recognition.postprocessing import fit
from recognition.training import Setup, Trained, Trainer

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
    trained : every network that was needed
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
    trained: tuple[Trained, ...]

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
    faces = _load(setup, split, every)  # first, so that a wrong split is told before any network is trained
    fold = hold_out(_load(setup, "train", every), fold=setup.fold)[1] if postprocess else None
    trained = {(method.name, seed): trainer.train(method, seed=seed) for _, method in methods for seed in seeds}
    wanted = [(family, method, s) for family, method in methods for s in method.tested_on or tuple(scales)]
    cells = []
    for number, (family, method, s) in enumerate(wanted):
        if report:
            report("testing", number, len(wanted))
        paths = [trained[method.name, seed][-1].path for seed in seeds]
        predicted = [_tested(path, method, faces, s=s, split=split, setup=setup) for path in paths]
        chains: list[str] = []
        if fold is not None:
            known = [_tested(path, method, fold, s=s, split="fold", setup=setup) for path in paths]
            for k, label in enumerate(setup.labels):
                for seed, own, told in zip(seeds, known, predicted, strict=True):
                    chain = fit(own[:, k], fold.targets[:, k].numpy(), recordings=fold.recordings, fps=_rate(fold))
                    told[:, k] = chain.apply(told[:, k], recordings=faces.recordings, fps=_rate(faces))
                    chains.append(f"{method.name} at s = {s}, {label}, seed {seed}: {chain.explain()}")
        cells.append(Cell(family, method.name, s, np.stack(predicted), tuple(chains)))
    with Corpus(setup.corpus) as opened:
        is_avec2016 = all('"avec2016"' in each.preparation for each in opened.sequences())
    networks = {each.path: each for chain in trained.values() for each in chain}
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
        hardware=tuple(dict.fromkeys(str(read_provenance(path)["hardware"]) for path in networks)),
        trained=tuple(networks.values()),
    )


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


def _tested(path: Path, method: Method, faces: Faces, *, s: int, split: str, setup: Setup) -> Floats:
    """Predictions of a network at a factor, shape=(N, K): as they were kept, or now."""
    frames = faces.frames.numpy()
    mark = _mark(path, frames, s, setup.precision)
    kept = path.with_suffix(f".{split}.s{s}.npy")
    known = kept.with_suffix(".json")
    if kept.exists() and known.exists() and json.loads(known.read_text(encoding="utf-8")) == mark:
        return np.asarray(np.load(kept, allow_pickle=False), np.float64)
    predictor = Predictor(load_model(path, method=method).network, device=setup.device, precision=setup.precision)
    edges = np.flatnonzero(faces.recordings[1:] != faces.recordings[:-1]) + 1
    sequences = (downscale(part, s) if s > 1 else part for part in np.split(frames, edges))
    predicted = np.concatenate(list(predictor.stream(sequences)))
    with replacing(kept) as temporary, temporary.open("wb") as file:
        np.save(file, predicted)
    with replacing(known) as temporary:
        temporary.write_text(json.dumps(mark), encoding="utf-8")
    return predicted.astype(np.float64)


def _mark(path: Path, frames: npt.NDArray[np.uint8], s: int, precision: Precision) -> dict[str, str | int]:
    """All that predictions depend on."""
    shown = hashlib.sha256(np.ascontiguousarray(frames).data).hexdigest()
    return {"weights": weights_digest(path), "frames": shown, "s": s, "precision": precision}
