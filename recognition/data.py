"""Labelled HR frames, whole on the device: LR inputs are made there, and no data loader stands in the way.

A frame takes 9.2 kB: the 72 000 of SynthFace's train split 0.7 GB, the 67 500 of AVEC 2016's 0.6 GB. A larger corpus
than the device holds is refused; every so many frames of it can be taken, since neighbours are nearly the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from codecsim.corpus import HR_SIDE, Corpus, corpus_digest
from codecsim.errors import UsageError
from codecsim.sources.datasets.folds import subject_folds
from recognition.delays import moved
from recognition.devices import free_bytes

Texts = npt.NDArray[np.str_]

_SHARE_OF_MEMORY = 0.6  # networks, activations and copies take the rest
_FOLDS = 6
_SMALLEST_FOLD = 2


@dataclass(frozen=True)
class Faces:
    """Frames of one split, with their labels.

    Attributes
    ----------
    frames : uint8, shape=(N, 96, 96), on the device
    targets : float32, shape=(N, K), NaN where unlabelled, on the device
    recordings, subjects : shape=(N,), the sequence and the person of each frame
    fps : frames per second, shape=(N,), of what was read: `every` is taken into account
    labels : names of the K labels
    digest : of the corpus that they are from
    """

    frames: Tensor
    targets: Tensor
    recordings: Texts
    subjects: Texts
    fps: npt.NDArray[np.float64]
    labels: tuple[str, ...]
    digest: str

    def __len__(self) -> int:
        return len(self.frames)

    def take(self, chosen: npt.NDArray[np.bool_]) -> "Faces":
        """The frames for which `chosen`, shape=(N,), is true."""
        rows = torch.from_numpy(np.flatnonzero(chosen)).to(self.frames.device)
        return Faces(
            self.frames[rows],
            self.targets[rows],
            self.recordings[chosen],
            self.subjects[chosen],
            self.fps[chosen],
            self.labels,
            self.digest,
        )


def load_faces(
    corpus: str | Path,
    *,
    split: str,
    labels: Sequence[str],
    device: torch.device,
    every: int = 1,
    delay_seconds: float = 0.0,
) -> Faces:
    """Read the labelled frames of a split; a frame of which no label is known is left out.

    Parameters
    ----------
    labels : what is to be told: numbers over time, as valence and arousal
    every : every so many frames
    delay_seconds : a frame gets the label that stands so much later: people rate what they saw a while ago. The last
        frames of a sequence then have none

    Raises
    ------
    UsageError
        If the split is not there, a label is missing or is a class, or the frames do not fit on the device.
    """
    if every < 1 or not 0 <= delay_seconds < np.inf or not labels:
        raise UsageError(f"every {every} frames, delay {delay_seconds} s, labels {list(labels)}: 1, 0 s, one or more")
    with Corpus(corpus) as opened:
        held = opened.sequences()
        chosen = [each for each in held if each.split == split]
        if not chosen:
            splits = ", ".join(sorted({each.split or "(none)" for each in held})) or "no sequences"
            raise UsageError(f"{corpus}: no split {split!r}; it has {splits}")
        _check_room(sum(-(-each.n_frames // every) for each in chosen), device, corpus)
        frames, targets, recordings, subjects, rates = [], [], [], [], []
        for each in chosen:
            target = np.stack([_label(opened, each.name, label, each.tasks) for label in labels], 1)
            target = moved(target, round(delay_seconds * each.fps))[::every]
            known = np.isfinite(target).any(1)
            frames.append(torch.from_numpy(opened.frames(each.name)[::every][known]).to(device))
            targets.append(target[known])
            recordings += [each.name] * int(known.sum())
            subjects += [each.subject or each.name] * int(known.sum())
            rates += [each.fps / every] * int(known.sum())
    if not recordings:
        raise UsageError(f"{corpus}: no frame of split {split!r} is labelled with {' or '.join(labels)}")
    return Faces(
        torch.cat(frames),
        torch.from_numpy(np.concatenate(targets)).to(device),
        np.array(recordings),
        np.array(subjects),
        np.array(rates),
        tuple(labels),
        corpus_digest(held),
    )


def hold_out(faces: Faces, *, fold: int = 0) -> tuple[Faces, Faces]:
    """Part the frames by subject: those to learn from, and a fold to choose by.

    There are six folds, or as many as leave two subjects in each.

    Raises
    ------
    UsageError
        If there is no such fold, or a fold would hold one subject: nothing can be said of people in general by one.
    """
    people = sorted(set(faces.subjects.tolist()))
    n_folds = min(_FOLDS, len(people) // _SMALLEST_FOLD)
    if n_folds < 2:
        raise UsageError(
            f"{len(people)} subjects to train on: a fold would hold fewer than {_SMALLEST_FOLD}; "
            f"{2 * _SMALLEST_FOLD} subjects or more are needed"
        )
    if not 0 <= fold < n_folds:
        raise UsageError(f"fold {fold} of {len(people)} subjects: 0 to {n_folds - 1} are allowed")
    fold_of = subject_folds(people, n_folds)
    held = np.array([fold_of[subject] == f"fold_{fold}" for subject in faces.subjects.tolist()])
    return faces.take(~held), faces.take(held)


def _label(opened: Corpus, name: str, label: str, tasks: tuple[str, ...]) -> npt.NDArray[np.float32]:
    if label not in tasks:
        there = f"it has {', '.join(tasks)}" if tasks else "it has no labels at all"
        raise UsageError(f"{opened.path}: sequence {name} has no label {label!r}; {there}")
    values = opened.labels(name, label)
    if values.dtype.kind != "f":
        raise UsageError(f"{opened.path}: label {label!r} is a class; labels that are numbers over time are needed")
    return values.astype(np.float32)


def _check_room(n_frames: int, device: torch.device, corpus: str | Path) -> None:
    needed, free = n_frames * HR_SIDE**2, free_bytes(device)
    if needed > _SHARE_OF_MEMORY * free:
        times = int(np.ceil(needed / (_SHARE_OF_MEMORY * free)))
        raise UsageError(
            f"{corpus}: {n_frames} frames take {needed / 1e9:.1f} GB; {free / 1e9:.1f} GB are free on {device}. "
            f"Take every {times}th frame or fewer"
        )
