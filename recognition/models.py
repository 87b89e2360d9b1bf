"""Trained networks as files: safetensors with their provenance, and nothing that has to be unpickled.

The weights lie as tensors under their names in the network; the provenance is JSON under the key ``codecsim`` of the
file's metadata. A file from elsewhere is untrusted: its names and shapes are compared with the network's before a
tensor is read, and a network of the user's own is made only by a factory that the caller names, never by one that a
file names.
"""

import hashlib
import json
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from codecsim.atomic import replacing
from codecsim.errors import StoreError, UsageError
from recognition.methods import Method, get_method
from recognition.networks import SRFCN, Variant, check_variant

SCHEMA = "codecsim-model"
SCHEMA_VERSION = 1
SR_NAME = "sr-fcn"

_KEY = "codecsim"
_MAX_LABELS = 4096
"""A network is made before its shapes are compared, with an output a label."""

_PICKLES = (b"PK\x03\x04", b"\x80")
"""What torch.save writes begins so: a zip archive since 1.6, a bare pickle before. Safetensors begin with the eight
bytes of a length, any of them, and ``{``."""


@dataclass(frozen=True)
class Model:
    """A network with its weights, and where they come from.

    Attributes
    ----------
    name : of its method, or ``sr-fcn-s``
    network : in evaluation mode, on the CPU, float32
    method : None for an SR-FCN
    variant : of the network
    labels : what its outputs are
    provenance : all that is known of its making
    """

    name: str
    network: nn.Module
    method: Method | None
    variant: Variant
    labels: tuple[str, ...]
    provenance: Mapping[str, Any]


def save_model(
    path: Path, network: nn.Module, provenance: Mapping[str, Any], *, dtype: torch.dtype = torch.float32
) -> None:
    """Write the weights of a network, whole or not at all; `dtype` float16 halves the file, and its precision."""
    weights = {
        name: value.detach().to("cpu", dtype if value.is_floating_point() else value.dtype).contiguous().clone()
        for name, value in network.state_dict().items()
    }
    write_tensors(path, weights, {"schema": SCHEMA, "schema_version": SCHEMA_VERSION, **provenance})


def load_model(path: str | Path, *, method: Method | None = None) -> Model:
    """Read a model.

    Parameters
    ----------
    method : what it must be a model of; needed for a network of one's own, whose factory no file may name

    Raises
    ------
    StoreError
        If the file is missing, damaged, of another format (pickles are refused unread), or its weights do not fit.
    UsageError
        If it is a model of another method, or of a network of one's own and `method` is not given.
    """
    path = Path(path)
    provenance = read_provenance(path)
    try:
        name, variant = str(provenance["method"]), check_variant(provenance["variant"])
        labels = tuple(map(str, provenance["labels"]))
        factors, sr_scale = tuple(map(int, provenance["trained_on"])), int(provenance["sr_scale"])
        if not labels and not name.startswith(f"{SR_NAME}-"):
            raise ValueError("no labels")
        if len(labels) > _MAX_LABELS:
            raise ValueError(f"{len(labels)} labels; at most {_MAX_LABELS} are believed")
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise StoreError(
            f"{path}: its provenance is incomplete or damaged ({error}); train the method again"
        ) from error
    if name.startswith(f"{SR_NAME}-"):
        sr = SRFCN(variant=variant)
        _fill(path, sr)
        return Model(name, sr, None, variant, (), provenance)
    if method is None:
        if provenance.get("own"):
            raise UsageError(
                f"{path}: made for the network {name}; name the method, since no file may choose what is run"
            )
        method = _recorded(name, factors, sr_scale, path)
    elif method.name != name:
        raise UsageError(f"{path}: a model of method {name}, not of {method.name}")
    network = method.build(variant=variant, outputs=len(labels))
    _fill(path, network)
    return Model(name, network, method, variant, labels, provenance)


def read_provenance(path: Path) -> dict[str, Any]:
    """What a model file says of its making."""
    tensors = _opened(path)
    metadata = tensors.metadata() or {}
    try:
        provenance = json.loads(metadata[_KEY])
        known = provenance["schema"], provenance["schema_version"]
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise StoreError(f"{path}: safetensors, but not a model of codecsim: no provenance") from error
    if known != (SCHEMA, SCHEMA_VERSION):
        raise StoreError(
            f"{path}: {known[0]} version {known[1]}; this codecsim reads {SCHEMA} version {SCHEMA_VERSION}"
        )
    return dict(provenance)


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
    """Write safetensors with JSON beside them, whole or not at all."""
    packed = save(dict(tensors), metadata={_KEY: json.dumps(metadata)})
    with replacing(path) as temporary:
        temporary.write_bytes(packed)  # `save_file` of safetensors 0.8 makes files that nobody else may read


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and the JSON beside them, of a file that `write_tensors` wrote."""
    opened = _opened(path)
    try:
        return {name: opened.get_tensor(name) for name in opened.keys()}, json.loads((opened.metadata() or {})[_KEY])  # noqa: SIM118
    except (SafetensorError, KeyError, ValueError, RecursionError) as error:
        raise StoreError(f"{path}: damaged ({error})") from error


def weights_digest(path: Path) -> str:
    """SHA-256 (hexadecimal) of the weights of a model alone: trained again to the same ones, it stays the same."""
    tensors, _ = read_tensors(path)
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(f"{name} {tuple(tensors[name].shape)} {tensors[name].dtype}\n".encode())
        digest.update(tensors[name].numpy().data)
    return digest.hexdigest()


def origin() -> dict[str, Any]:
    """What made a model: versions, and the revision of the code where it is known."""
    versions = {name: version(name) for name in ("codecsim", "torch", "numpy", "safetensors")}
    return {"versions": {"python": platform.python_version(), **versions}, "revision": _revision()}


def _recorded(name: str, factors: tuple[int, ...], sr_scale: int, path: Path) -> Method:
    """The method that a file names: its factors and its SR-FCN may be others than the usual ones.

    A name with a colon stands for a module, and looking it up would run that.
    """
    try:
        method = None if ":" in name else get_method(name)
        if method is None or method.factory is not None:
            raise StoreError(f"{path}: claims to be of the paper's networks, but names {name}")
        return replace(method, name=name, trained_on=factors, sr_scale=sr_scale)
    except ValueError as error:  # a UsageError, or a factor of thousands of digits
        raise StoreError(f"{path}: {error}") from error


def _opened(path: Path) -> Any:
    if not path.is_file():
        raise StoreError(f"{path}: no such file; a model (*.safetensors) is needed")
    with path.open("rb") as file:
        first = file.read(9)
    if first.startswith(_PICKLES) and first[8:] != b"{":
        raise StoreError(
            f"{path}: a pickle, as torch.save writes it: opening one runs what it says, so codecsim never does. "
            "Save the weights as safetensors"
        )
    try:
        return safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        raise StoreError(f"{path}: not safetensors, or damaged ({error})") from error


def _fill(path: Path, network: nn.Module) -> None:
    """Load weights into a network after all their names and shapes were found to be its own."""
    opened = _opened(path)
    wanted = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    found = {name: tuple(opened.get_slice(name).get_shape()) for name in opened.keys()}  # noqa: SIM118
    for name in sorted(wanted.keys() | found.keys()):
        if wanted.get(name) != found.get(name):
            raise StoreError(
                f"{path}: its weights are not those of the network that it names: {name} is "
                f"{found.get(name, 'missing')}, {wanted.get(name, 'nothing')} is needed (another variant or version?)"
            )
    weights = {name: opened.get_tensor(name) for name in wanted}
    for name, value in weights.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise StoreError(f"{path}: weights {name} hold numbers that are not finite")
    network.load_state_dict(weights)
    network.eval()


def _revision() -> str:
    """Git revision of the code, "+" where it was changed since; "" outside of a checkout."""
    here = Path(__file__).resolve().parent
    try:
        revision, changes = (
            subprocess.run(["git", "-C", here, *command], capture_output=True, text=True, check=True, timeout=10).stdout
            for command in (["rev-parse", "HEAD"], ["status", "--porcelain", "--untracked-files=no"])
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return revision.strip() + ("+" if changes.strip() else "")
