"""Models as files: what comes back, and what is refused, unread and unrun."""

import json
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from codecsim.errors import CodecsimError, StoreError, UsageError
from recognition.methods import get_method
from recognition.models import (
    SCHEMA,
    SCHEMA_VERSION,
    load_model,
    origin,
    read_provenance,
    read_tensors,
    save_model,
    weights_digest,
    write_tensors,
)
from recognition.networks import SRFCN, ValenceCNN
from tests.recognition.small import SMALL, SmallNetwork

SMALL_3 = f"{SMALL}-3"
OF_JOINT: dict[str, Any] = {
    "method": "joint-4",
    "variant": "paper",
    "labels": ["valence"],
    "trained_on": [4],
    "sr_scale": 4,
    "own": False,
}
OF_SMALL = {**OF_JOINT, "method": SMALL_3, "trained_on": [3], "sr_scale": 0, "own": True}


@pytest.fixture(scope="module")
def network() -> ValenceCNN:
    return ValenceCNN(variant="paper")


@pytest.fixture
def path(network: ValenceCNN, tmp_path: Path) -> Path:
    """A good model file."""
    save_model(tmp_path / "model.safetensors", network, OF_JOINT)
    return tmp_path / "model.safetensors"


def small_file(path: Path, **changes: Any) -> Path:
    """A small model of a network of one's own."""
    save_model(path, SmallNetwork(1), {**OF_SMALL, **changes})
    return path


# What comes back -----------------------------------------------------------------------------------------------------


def test_weights_and_provenance_come_back_as_they_were(path: Path, network: ValenceCNN) -> None:
    network.train()
    model = load_model(path)
    assert isinstance(model.network, ValenceCNN)
    assert not model.network.training
    for name, value in network.state_dict().items():
        assert torch.equal(model.network.state_dict()[name], value), name
    assert (model.name, model.variant, model.labels) == ("joint-4", "paper", ("valence",))
    assert model.method == get_method("joint-4")
    assert dict(model.provenance) == {"schema": SCHEMA, "schema_version": SCHEMA_VERSION, **OF_JOINT}
    assert read_provenance(path) == model.provenance


def test_half_precision_halves_the_file_and_comes_back_as_float32(path: Path, network: ValenceCNN) -> None:
    half = path.with_name("half.safetensors")
    save_model(half, network, OF_JOINT, dtype=torch.float16)
    assert half.stat().st_size < 0.51 * path.stat().st_size
    found = load_model(half).network.state_dict()
    for name, value in network.state_dict().items():
        assert found[name].dtype == torch.float32
        assert torch.equal(found[name], value.half().float()), name


def test_weights_laid_out_by_channels_are_saved_like_any(path: Path, network: ValenceCNN) -> None:
    other = ValenceCNN(variant="paper").to(memory_format=torch.channels_last)
    other.load_state_dict(network.state_dict())
    save_model(path.with_name("other.safetensors"), other, OF_JOINT)
    assert path.with_name("other.safetensors").read_bytes() == path.read_bytes()


def test_whole_numbers_stay_whole_in_any_precision(tmp_path: Path) -> None:
    network = nn.BatchNorm1d(2)
    assert network.num_batches_tracked is not None
    network.num_batches_tracked += 2**24 + 1
    for dtype in (torch.float32, torch.float16):
        save_model(tmp_path / "n.safetensors", network, OF_SMALL, dtype=dtype)
        assert int(read_tensors(tmp_path / "n.safetensors")[0]["num_batches_tracked"]) == 2**24 + 1


def test_an_sr_fcn_has_no_method_and_no_labels(tmp_path: Path) -> None:
    sr = SRFCN(variant="released")
    about = {"method": "sr-fcn-4", "variant": "released", "labels": [], "trained_on": [4], "sr_scale": 4}
    save_model(tmp_path / "sr.safetensors", sr, about)
    model = load_model(tmp_path / "sr.safetensors")
    assert isinstance(model.network, SRFCN)
    assert (model.name, model.method, model.labels, model.variant) == ("sr-fcn-4", None, (), "released")
    assert torch.equal(model.network.reconstruct.weight, sr.reconstruct.weight)


@pytest.mark.parametrize(
    ("name", "factors", "sr_scale"),
    [("joint-oa", (3, 4, 6), 16), ("joint-oa-3+8", (3, 8), 12), ("lr-3+4", (3, 4), 0), ("mix-4", (4,), 0)],
)
def test_a_method_on_factors_of_ones_choice_comes_back(
    tmp_path: Path, network: ValenceCNN, name: str, factors: tuple[int, ...], sr_scale: int
) -> None:
    path = tmp_path / "model.safetensors"
    save_model(path, network, {**OF_JOINT, "method": name, "trained_on": list(factors), "sr_scale": sr_scale})
    method = load_model(path).method
    assert method is not None
    assert (method.name, method.trained_on, method.sr_scale) == (name, factors, sr_scale)


def test_a_network_of_ones_own_comes_back_where_its_method_is_named(tmp_path: Path) -> None:
    model = load_model(small_file(tmp_path / "small.safetensors"), method=get_method(SMALL_3))
    assert isinstance(model.network, SmallNetwork)
    assert model.name == SMALL_3


def test_what_made_a_model_is_known() -> None:
    found = origin()
    assert found["versions"]["torch"] == torch.__version__
    assert found["versions"]["python"] == sys.version.split()[0]
    assert json.loads(json.dumps(found)) == found


# What is refused -----------------------------------------------------------------------------------------------------


def refused(path: Path, message: str, kind: type[CodecsimError] = StoreError, **options: Any) -> None:
    with pytest.raises(kind, match=message) as caught:
        load_model(path, **options)
    assert type(caught.value) is kind
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


class Trap:
    """A pickle of it writes a file when it is opened."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.target,)


@pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "legacy"])
def test_a_pickle_is_refused_unread(tmp_path: Path, is_zip: bool) -> None:
    torch.save(Trap(tmp_path / "sprung"), tmp_path / "model.pt", _use_new_zipfile_serialization=is_zip)
    refused(tmp_path / "model.pt", "a pickle, as torch.save writes it: .* Save the weights as safetensors")
    assert not (tmp_path / "sprung").exists()
    torch.load(tmp_path / "model.pt", weights_only=False)
    assert (tmp_path / "sprung").exists()


def test_a_model_whose_length_begins_as_a_pickle_does_is_none(tmp_path: Path) -> None:
    lengths = set()
    for extra in range(0, 256, 8):  # the length of the header is a multiple of 8
        path = small_file(tmp_path / "model.safetensors", note="x" * extra)
        lengths.add(path.read_bytes()[0])
        assert read_provenance(path)["note"] == "x" * extra
    assert 0x80 in lengths


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    refused(tmp_path / "none.safetensors", r"no such file; a model \(\*\.safetensors\) is needed")
    refused(tmp_path, "no such file")


@pytest.mark.parametrize("n_bytes", [0, 3, 8, 200, -1])
def test_a_cut_file_is_refused(path: Path, n_bytes: int) -> None:
    path.write_bytes(path.read_bytes()[:n_bytes])
    refused(path, "not safetensors, or damaged")


def test_a_header_that_claims_more_than_there_is_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "huge.safetensors"
    path.write_bytes(struct.pack("<Q", 2**62) + b"{}")
    refused(path, "not safetensors, or damaged")
    header = json.dumps({"x": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    refused(path, "not safetensors, or damaged")


def test_safetensors_of_others_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    message = "safetensors, but not a model of codecsim: no provenance"
    save_file({"x": torch.zeros(2)}, path)
    refused(path, message)
    for about in ("no json", "[1, 2]", "{}", '{"schema": "codecsim-model"}', "null", "[" * 100_000):
        save_file({"x": torch.zeros(2)}, path, metadata={"codecsim": about})
        refused(path, message)


@pytest.mark.parametrize(("key", "value"), [("schema", "codecsim-corpus"), ("schema_version", 2)])
def test_another_schema_is_refused(tmp_path: Path, key: str, value: object) -> None:
    path = small_file(tmp_path / "model.safetensors", **{key: value})
    refused(path, "this codecsim reads codecsim-model version 1")


@pytest.mark.parametrize("key", ["method", "variant", "labels", "trained_on", "sr_scale"])
def test_provenance_with_a_hole_is_refused(path: Path, key: str) -> None:
    tensors, about = read_tensors(path)
    write_tensors(path, tensors, {name: value for name, value in about.items() if name != key})
    refused(path, f"its provenance is incomplete or damaged .*{key}.*; train the method again")


_DAMAGE = [
    ("variant", "caffe", "incomplete or damaged .no variant 'caffe'"),
    ("labels", [], "incomplete or damaged .no labels"),
    ("labels", None, "incomplete or damaged"),
    ("labels", ["a"] * 4097, "incomplete or damaged .4097 labels; at most 4096 are believed"),
    ("labels", ["valence", "arousal"], r"regressor.output.bias is \(1,\), \(2,\) is needed"),
    ("trained_on", ["x"], "incomplete or damaged"),
    ("trained_on", [5], "factor s = 5 does not divide"),
    ("trained_on", [], "no factor to train on"),
    ("sr_scale", 7, "factor s = 7 does not divide"),
    ("sr_scale", "far", "incomplete or damaged"),
    ("sr_scale", float("inf"), "incomplete or damaged"),
    ("method", "oracle", "no method 'oracle'"),
    ("method", "joint", "method joint needs a factor"),
    ("method", "joint-" + "4" * 5000, "Exceeds the limit"),
    ("method", "non-joint-image-4", r"features.conv1.bias is \(64,\), nothing is needed"),
    ("method", "sr-fcn-4", r"conv1.bias is missing, \(64,\) is needed"),
]


@pytest.mark.parametrize(
    ("key", "value", "message"), _DAMAGE, ids=[f"{key}={str(value)[:20]}" for key, value, _ in _DAMAGE]
)
def test_provenance_that_is_wrong_is_refused(path: Path, key: str, value: object, message: str) -> None:
    tensors, about = read_tensors(path)
    write_tensors(path, tensors, {**about, key: value})
    refused(path, message)


def test_weights_of_another_variant_are_refused(path: Path) -> None:
    tensors, about = read_tensors(path)
    write_tensors(path, tensors, {**about, "variant": "released"})
    refused(path, r"regressor.hidden.weight is \(300, 1024\), \(300, 6400\) is needed .another variant or version")


_WEIGHTS: list[tuple[str, Callable[[torch.Tensor], torch.Tensor | None], str]] = [
    ("missing", lambda value: None, r"tell.bias is missing, \(1,\) is needed"),
    ("of another shape", lambda value: torch.zeros(7), r"tell.bias is \(7,\), \(1,\) is needed"),
    ("transposed", lambda value: value[None], r"tell.bias is \(1, 1\), \(1,\) is needed"),
    ("NaN", lambda value: value * float("nan"), "weights tell.bias hold numbers that are not finite"),
    ("infinite", lambda value: value + float("inf"), "weights tell.bias hold numbers that are not finite"),
]


@pytest.mark.parametrize(("edit", "message"), [each[1:] for each in _WEIGHTS], ids=[each[0] for each in _WEIGHTS])
def test_weights_that_do_not_fit_are_refused(
    tmp_path: Path, edit: Callable[[torch.Tensor], torch.Tensor | None], message: str
) -> None:
    path = small_file(tmp_path / "model.safetensors")
    tensors, about = read_tensors(path)
    changed = {name: edit(value) if name == "tell.bias" else value for name, value in tensors.items()}
    write_tensors(path, {name: value for name, value in changed.items() if value is not None}, about)
    refused(path, message, method=get_method(SMALL_3))


def test_weights_beyond_those_of_the_network_are_refused(tmp_path: Path) -> None:
    path = small_file(tmp_path / "model.safetensors")
    tensors, about = read_tensors(path)
    write_tensors(path, {**tensors, "more": torch.zeros(2)}, about)
    refused(path, r"more is \(2,\), nothing is needed", method=get_method(SMALL_3))


def test_a_model_of_another_method_is_refused(path: Path) -> None:
    refused(path, "a model of method joint-4, not of joint-3", UsageError, method=get_method("joint-3"))


# What no file may choose ---------------------------------------------------------------------------------------------


def test_a_network_of_ones_own_is_not_made_without_its_method(tmp_path: Path) -> None:
    path = small_file(tmp_path / "model.safetensors")
    refused(path, "made for the network .*SmallNetwork-3; name the method, since no file may choose", UsageError)


@pytest.mark.parametrize("name", ["os:system", "os:system-4", "trapped_module:anything", "trapped_module:anything-4"])
def test_a_file_that_names_a_module_has_it_neither_run_nor_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / "trapped_module.py").write_text(f"open({str(tmp_path / 'sprung')!r}, 'w')")
    monkeypatch.syspath_prepend(tmp_path)
    path = small_file(tmp_path / "model.safetensors", method=name, own=False)
    refused(path, f"claims to be of the paper's networks, but names {name}")
    assert "trapped_module" not in sys.modules
    assert not (tmp_path / "sprung").exists()


def test_a_file_cannot_choose_a_network_of_an_installed_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from importlib.metadata import EntryPoint

    from recognition import methods

    monkeypatch.setattr(methods, "entry_points", lambda group: [EntryPoint("small", SMALL, group)])
    path = small_file(tmp_path / "model.safetensors", method="small-3", own=False)
    refused(path, "claims to be of the paper's networks, but names small-3")
    assert isinstance(load_model(path, method=get_method("small-3")).network, SmallNetwork)


def test_tensors_without_what_belongs_beside_them_are_refused(tmp_path: Path) -> None:
    save_file({"x": torch.zeros(2)}, tmp_path / "bare.safetensors")
    with pytest.raises(StoreError, match=r"bare\.safetensors: damaged"):
        read_tensors(tmp_path / "bare.safetensors")


def test_a_model_appears_whole_or_not_at_all(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = Path.write_bytes

    def half(target: Path, data: bytes) -> None:
        write(target, data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", half)
    before = path.read_bytes()
    with pytest.raises(StoreError, match="No space left on device; what was finished before is kept"):
        save_model(path, SmallNetwork(1), OF_SMALL)
    assert path.read_bytes() == before
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_who_may_read_a_model_is_up_to_the_user(path: Path, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.touch()
    assert path.stat().st_mode == plain.stat().st_mode


def test_the_digest_of_weights_is_theirs_alone(tmp_path: Path) -> None:
    network = ValenceCNN(variant="paper")
    first, again, other = (tmp_path / f"{name}.safetensors" for name in ("first", "again", "other"))
    save_model(first, network, {"seconds": 1})
    save_model(again, network, {"seconds": 2})
    with torch.no_grad():
        network.regressor.output.bias += 1
    save_model(other, network, {"seconds": 1})
    assert weights_digest(first) == weights_digest(again) != weights_digest(other)
