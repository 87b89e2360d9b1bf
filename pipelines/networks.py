"""Which trained networks read a sweep: those that come with codecsim, or those in a folder."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from codecsim.errors import UsageError
from recognition.methods import Method, families, get_method
from recognition.models import SR_NAME, load_model, read_provenance, weights_digest
from recognition.shipped import shipped, shipped_path
from recognition.training import weights_path

EVERYTHING = "all"


@dataclass(frozen=True)
class Network:
    """A trained network.

    Attributes
    ----------
    method, seed : what it is
    labels : what its outputs are
    weights : SHA-256 of its weights
    delay_seconds : by how much it takes labels to lag behind frames
    network : in evaluation mode, on the CPU
    """

    method: Method
    seed: int
    labels: tuple[str, ...]
    weights: str
    delay_seconds: float
    network: nn.Module

    def reads(self, scale: int) -> bool:
        """Whether it is meant for frames of a factor."""
        return scale in self.method.tested_on or not self.method.tested_on


def load_networks(
    names: Sequence[str],
    scales: Sequence[int],
    *,
    models: Path | None = None,
    seeds: Sequence[int] | None = None,
) -> list[Network]:
    """Networks by the names of their methods.

    Parameters
    ----------
    names : of methods, ``joint-3``, or of families, ``joint``: the members for `scales`; ``all`` for what there is
    scales : factors of the streams that they are to read; ``hr`` reads frames that were never coded
    models : folder in which `codecsim train` or `codecsim table1` left networks; None for those that come with codecsim
    seeds : of the networks in `models`; None for all that it holds

    Raises
    ------
    UsageError
        If there is no such method, or no trained network of one.
    """
    if models is None and seeds is not None:
        raise UsageError("seeds are of networks in a folder; name it with --models, or leave the seeds out")
    found = []
    for name in _named(names, scales, models):
        method = get_method(name)
        paths = _shipped_paths(name) if models is None else _paths_in(models, name, seeds)
        if not _is_of_use(method, scales):
            read, held = (", ".join(f"s = {s}" for s in those) for those in (method.tested_on, scales))
            raise UsageError(f"method {name} reads {read}, and the streams are of {held}; name others")
        found += [_loaded(method, seed, path) for seed, path in paths]
    return found


def _named(names: Sequence[str], scales: Sequence[int], models: Path | None) -> list[str]:
    """Names of methods, each once: what ``all`` and families stand for."""
    chosen: list[str] = []
    for name in names:
        family = families().get(name)
        if name == EVERYTHING:
            there = [path.stem for path in shipped()] if models is None else _trained_in(models)
            chosen += [each for each in there if _is_of_use(get_method(each), scales)]
            if not there:
                where = "comes with codecsim" if models is None else f"lies in {models}"
                raise UsageError(f"no trained network {where}; name a folder of networks with --models")
        elif family is not None and not family.trained_on:
            chosen += [family.member(s).name for s in scales]
        else:
            chosen.append(name)
    return list(dict.fromkeys(chosen))


def _is_of_use(method: Method, scales: Sequence[int]) -> bool:
    return not method.tested_on or bool({1, *scales} & set(method.tested_on))


def _trained_in(folder: Path) -> list[str]:
    """Methods of the networks in a folder, but those of one's own: no file may choose what is run."""
    provenances = [read_provenance(path) for path in sorted(folder.glob("*.seed*.safetensors"))]
    names = [str(each["method"]) for each in provenances if not each.get("own")]
    return [name for name in dict.fromkeys(names) if not name.startswith(f"{SR_NAME}-")]


def _shipped_paths(name: str) -> list[tuple[int, Path]]:
    path = shipped_path(name)
    return [(int(read_provenance(path)["settings"]["seed"]), path)]


def _paths_in(folder: Path, name: str, seeds: Sequence[int] | None) -> list[tuple[int, Path]]:
    stem = weights_path(folder, name, 0).name.removesuffix(".seed0.safetensors")
    pattern = re.compile(re.escape(stem) + r"\.seed(\d+)\.safetensors")
    found = sorted(int(match[1]) for path in folder.glob("*.safetensors") if (match := pattern.fullmatch(path.name)))
    if not found:
        raise UsageError(
            f"{folder}: no trained network of method {name!r}; train it with: codecsim train {name} CORPUS"
        )
    return [(seed, weights_path(folder, name, seed)) for seed in (found if seeds is None else seeds)]


def _loaded(method: Method, seed: int, path: Path) -> Network:
    model = load_model(path, method=method if method.factory is not None else None)
    method = model.method or method
    delay_seconds = float(model.provenance["settings"]["delay_seconds"])
    return Network(method, seed, model.labels, weights_digest(path), delay_seconds, model.network)
