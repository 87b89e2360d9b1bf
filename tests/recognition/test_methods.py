"""The named methods: their records, their names, and networks of other people."""

import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import torch
from torch import nn

from codecsim.errors import UsageError
from recognition import methods as module
from recognition.methods import (
    FAMILIES,
    MAX_SCALE,
    MIXTURE,
    SCALES,
    Family,
    Method,
    families,
    get_method,
    methods,
)
from recognition.networks import SRFCN, RestoreFirst, ValenceCNN
from recognition.stages import stages
from tests.recognition.small import SMALL, SmallNetwork

# Records -------------------------------------------------------------------------------------------------------------

_RECORDS = [
    # name, trained on, tested on, start, factor of the SR-FCN
    ("hr", (1,), (1,), "none", 0),
    ("lr-4", (4,), (4,), "none", 0),
    ("non-joint-4", (4,), (4,), "frozen", 4),
    ("non-joint-image-4", (4,), (4,), "restore", 4),
    ("joint-4", (4,), (4,), "tuned", 4),
    ("joint-oa", (3, 4, 6), (), "tuned", 12),
    ("mix", (3, 4, 6), (), "none", 0),
    ("max-only-4", (4,), (4,), "tuned", 12),
]


@pytest.mark.parametrize(
    ("name", "trained_on", "tested_on", "start", "sr_scale"), _RECORDS, ids=[r[0] for r in _RECORDS]
)
def test_each_method_is_trained_as_the_paper_says(
    name: str, trained_on: tuple[int, ...], tested_on: tuple[int, ...], start: str, sr_scale: int
) -> None:
    method = get_method(name)
    assert method.name == name
    assert (method.trained_on, method.tested_on, method.start, method.sr_scale) == (
        trained_on,
        tested_on,
        start,
        sr_scale,
    )
    assert method.factory is None


def test_every_family_has_a_record_above() -> None:
    assert {each.name for each in FAMILIES} == {name.removesuffix("-4") for name, *_ in _RECORDS}
    assert (MIXTURE, MAX_SCALE, SCALES) == ((3, 4, 6), 12, (3, 4, 6, 8, 12, 16))


def test_every_name_finds_the_method_that_bears_it() -> None:
    listed = methods()
    assert len({each.name for each in listed}) == len(listed) == 3 + 5 * len(SCALES)
    assert [get_method(each.name) for each in listed] == listed


def test_methods_of_some_families_come_in_the_order_asked_for() -> None:
    assert [each.name for each in methods((6, 3), names=["joint", "hr"])] == ["joint-6", "joint-3", "hr"]
    assert [each.name for each in methods(names=["mix"])] == ["mix"]


def test_summaries_name_the_factor() -> None:
    assert "SR-FCN-8" in get_method("joint-8").summary
    assert all("{" not in each.summary for each in methods())


def test_a_method_that_restores_first_is_two_networks_and_others_are_the_cnn() -> None:
    assert isinstance(get_method("non-joint-image-4").build(variant="paper"), RestoreFirst)
    for name in ("hr", "non-joint-4", "joint-oa"):
        network = get_method(name).build(variant="released", outputs=2)
        assert isinstance(network, ValenceCNN)
        assert network.variant == "released"
        assert network.regressor.output.out_features == 2


# Other factors -------------------------------------------------------------------------------------------------------

_CHOSEN = [
    # name, factors, name of the method, trained on, tested on, factor of the SR-FCN
    ("lr", (4,), "lr-4", (4,), (4,), 0),
    ("lr", (3, 4), "lr-3+4", (3, 4), (3, 4), 0),
    ("lr-4", (3,), "lr-3", (3,), (3,), 0),
    ("lr-4", (4,), "lr-4", (4,), (4,), 0),
    ("joint-4", (3,), "joint-3", (3,), (3,), 3),
    ("joint", (3, 8, 4), "joint-3+8+4", (3, 8, 4), (3, 8, 4), 8),
    ("joint-oa", (3, 4, 6), "joint-oa", (3, 4, 6), (), 12),
    ("joint-oa", (3, 4, 6, 8), "joint-oa-3+4+6+8", (3, 4, 6, 8), (), 12),
    ("mix", (4, 4), "mix-4", (4,), (), 0),
    ("hr", (2,), "hr-2", (2,), (1,), 0),
    (SMALL, (3,), f"{SMALL}-3", (3,), (3,), 0),
    (f"{SMALL}-3", (4, 6), f"{SMALL}-4+6", (4, 6), (4, 6), 0),
]


@pytest.mark.parametrize(("asked", "factors", "expected"), [(c[0], c[1], c[2:]) for c in _CHOSEN])
def test_factors_of_ones_choice_make_a_method_of_another_name(
    asked: str, factors: tuple[int, ...], expected: tuple[object, ...]
) -> None:
    method = get_method(asked, factors=factors)
    assert (method.name, method.trained_on, method.tested_on, method.sr_scale) == expected
    assert get_method(method.name) == method


def test_the_sr_fcn_of_max_mix_can_be_chosen() -> None:
    assert get_method("joint-oa", sr_scale=16).sr_scale == 16
    assert get_method("max-only-4", sr_scale=6).sr_scale == 6


_REFUSED: list[tuple[str, Callable[[], object], str]] = [
    ("no factor", lambda: get_method("joint"), "method joint needs a factor: name it joint-4, or give the factors"),
    ("odd factor", lambda: get_method("joint-5"), "factor s = 5 does not divide the HR side"),
    ("factor 0", lambda: get_method("lr-0"), "factor s = 0 does not divide the HR side"),
    ("odd SR-FCN", lambda: get_method("joint-oa", sr_scale=7), "factor s = 7 does not divide"),
    (
        "SR-FCN of its own",
        lambda: get_method("joint-4", sr_scale=12),
        "joint-4 does not start from the SR-FCN of a fac",
    ),
    (
        "no SR-FCN",
        lambda: get_method("mix", sr_scale=12),
        "method mix does not start from the SR-FCN of a factor of one",
    ),
    (
        "frozen",
        lambda: get_method("non-joint", factors=(3, 4)),
        "non-joint-3\\+4: its layers .* so it takes one factor",
    ),
    ("restored", lambda: get_method("non-joint-image-3+4"), "non-joint-image-3\\+4: its layers .* takes one factor"),
    (
        "unknown",
        lambda: get_method("oracle"),
        "no method 'oracle'; there are hr, lr-s, non-joint-s, non-joint-image-s, joint-s, joint-oa, mix, max-only-s, "
        "s a factor, and package.module:factory",
    ),
    ("unknown with a factor", lambda: get_method("oracle-4"), "no method 'oracle-4'; there are"),
    ("a name of none", lambda: get_method("-4"), "no method '-4'; there are"),
    ("nothing trained on", lambda: Method(name="x", summary="", trained_on=(), tested_on=()), "no factor to train on"),
    ("no such family", lambda: methods(names=["hr", "oracle"]), "no method 'oracle'"),
]


@pytest.mark.parametrize(("ask", "message"), [each[1:] for each in _REFUSED], ids=[each[0] for each in _REFUSED])
def test_what_cannot_be_is_refused(ask: Callable[[], object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ask()


# Stages --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sr() -> SRFCN:
    return SRFCN(variant="paper")


def equal(network: nn.Module, other: nn.Module) -> bool:
    """Whether all weights of `network` are those of the same names in `other`."""
    theirs = other.state_dict()
    return all(torch.equal(value, theirs[name]) for name, value in network.state_dict().items())


def test_a_method_from_scratch_trains_everything_alike(sr: SRFCN) -> None:
    network = get_method("lr-4").build(variant="paper")
    staged = stages(get_method("lr-4"), network, None)
    assert (staged.frozen, staged.trained, staged.started) == (None, network, ())
    assert not equal(network.features, sr)


def test_joint_trains_everything_and_knows_what_came_from_the_sr_fcn(sr: SRFCN) -> None:
    network = get_method("joint-4").build(variant="paper")
    staged = stages(get_method("joint-4"), network, sr)
    assert staged.frozen is None
    assert staged.trained is network
    assert {id(each) for each in staged.started} == {id(each) for each in network.features.parameters()}
    assert equal(network.features, sr)


def test_non_joint_trains_what_stands_on_the_sr_fcns_layers(sr: SRFCN) -> None:
    network = get_method("non-joint-4").build(variant="paper")
    staged = stages(get_method("non-joint-4"), network, sr)
    assert staged.frozen is network.features
    assert staged.trained is network.regressor
    assert equal(network.features, sr)


def test_non_joint_image_trains_a_cnn_on_restored_frames(sr: SRFCN) -> None:
    network = get_method("non-joint-image-4").build(variant="paper")
    staged = stages(get_method("non-joint-image-4"), network, sr)
    assert staged.frozen is network.restore
    assert staged.trained is network.read
    assert equal(network.restore.sr, sr)
    x = torch.rand(1, 1, 96, 96)
    with torch.no_grad():
        assert torch.equal(network.eval()(x), network.read(network.restore(x)))


def test_a_method_that_starts_from_an_sr_fcn_needs_one() -> None:
    method = get_method("joint-4")
    with pytest.raises(UsageError, match="joint-4 starts from the SR-FCN of factor 4: train it first"):
        stages(method, method.build(variant="paper"), None)
    with pytest.raises(UsageError, match="variant paper cannot start a CNN of variant released"):
        stages(method, method.build(variant="released"), SRFCN(variant="paper"))


# Networks of other people --------------------------------------------------------------------------------------------

_FACTORIES = '''
"""Networks, good and bad."""
import torch
from torch import nn

number = 3

def good(outputs):
    """Looks at {one} pixel.

    And at no other."""
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(outputs))

def without_outputs():
    return nn.Identity()

def raises(outputs):
    raise KeyError("weights")

def no_module(outputs):
    return lambda x: x

def wide(outputs):
    return nn.Sequential(nn.Flatten(), nn.Linear(9216, outputs + 1))

def tuples(outputs):
    class Both(nn.Module):
        def forward(self, x):
            return x, x
    return Both()

def colour(outputs):
    return nn.Conv2d(3, outputs, 96)

def forgetful(outputs):
    class Forgetful(nn.Module):
        def forward(self, x, y):
            return x
    return Forgetful()
'''


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An importable module of networks."""
    (tmp_path / "someones_networks.py").write_text(_FACTORIES)
    (tmp_path / "someones_mistake.py").write_text("raise RuntimeError('no licence found')")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("someones_networks", "someones_mistake"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return "someones_networks"


@pytest.mark.parametrize("outputs", [1, 3])
def test_any_factory_of_a_module_makes_a_method(package: str, outputs: int) -> None:
    method = get_method(f"{package}:good-4")
    assert (method.name, method.trained_on, method.start) == (f"{package}:good-4", (4,), "none")
    assert method.summary == "Looks at one pixel."
    network = method.build(variant="paper", outputs=outputs)
    assert network.training
    assert network(torch.zeros(5, 1, 96, 96)).shape == (5, outputs)


def test_a_network_is_looked_at_as_it_is_used_and_left_as_it_was_made() -> None:
    def factory(outputs: int) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(9216, outputs), nn.BatchNorm1d(outputs))

    method = Method(name="x", summary="", trained_on=(4,), tested_on=(4,), factory=factory)
    network = method.build(variant="paper")
    assert network.training
    assert int(network[2].num_batches_tracked) == 0


_BAD = [
    ("without_outputs", r"without_outputs-4: TypeError \(.*\); the factory is called with outputs=2"),
    ("raises", r"raises-4: KeyError \('weights'\); the factory is called with outputs=2"),
    ("no_module", "no_module-4: the factory gave function; a torch.nn.Module is needed"),
    ("wide", r"wide-4: the network gives \(2, 3\) for 2 frames; \(2, 2\) is needed"),
    ("tuples", r"tuples-4: the network gives tuple for 2 frames; \(2, 2\) is needed"),
    ("colour", r"colour-4: the network refuses luma of shape \(2, 1, 96, 96\): RuntimeError \(.*3 channels"),
    ("forgetful", r"forgetful-4: the network refuses luma of shape \(2, 1, 96, 96\): TypeError \(.*'y'"),
]


@pytest.mark.parametrize(("factory", "message"), _BAD, ids=[each[0] for each in _BAD])
def test_networks_of_another_shape_are_refused_before_anything_is_trained(
    package: str, factory: str, message: str
) -> None:
    with pytest.raises(UsageError, match=f"method {package}:{message}"):
        get_method(f"{package}:{factory}-4").build(variant="paper", outputs=2)


_NOT_THERE = [
    ("someones_networks:nothing-4", r"AttributeError \(.*no attribute 'nothing'\)"),
    ("no_such_package.networks:good", r"ModuleNotFoundError \(No module named 'no_such_package'\)"),
    ("someones_mistake:good", r"RuntimeError \(no licence found\)"),
    (":good", r"ValueError \(Empty module name\)"),
    ("..networks:good", r"TypeError \("),
    ("someones_networks:", r"AttributeError \("),
]


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize(("name", "message"), _NOT_THERE, ids=[each[0] for each in _NOT_THERE])
def test_what_cannot_be_imported_is_refused(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=f"{message}.*package.module:factory is needed, importable from here"):
        get_method(name)


def test_what_makes_no_network_is_refused(package: str) -> None:
    with pytest.raises(UsageError, match="someones_networks:number' is no function or class that makes a network"):
        get_method(f"{package}:number", factors=(3,))


def test_a_network_of_ones_own_needs_a_factor() -> None:
    with pytest.raises(UsageError, match=f"method {SMALL} needs a factor: name it {SMALL}-4"):
        get_method(SMALL)


# Entry points --------------------------------------------------------------------------------------------------------

OURS = Family(name="small-mix", summary="small, on two factors", trained_on=(3, 4), factory=SmallNetwork)
USURPER = Family(name="hr", summary="not what it says", trained_on=(3,))


def install(monkeypatch: pytest.MonkeyPatch, **points: str) -> None:
    """Let other packages offer these methods."""
    found = [EntryPoint(name, value, module.ENTRY_POINTS) for name, value in points.items()]
    monkeypatch.setattr(module, "entry_points", lambda group: found if group == "codecsim.methods" else [])


def test_other_packages_add_methods_as_entry_points(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, small=SMALL, family=f"{__name__}:OURS")
    assert list(families())[-2:] == ["small", "small-mix"]
    assert get_method("small-mix").trained_on == (3, 4)
    assert get_method("small-6").trained_on == (6,)
    assert isinstance(get_method("small-6").build(variant="paper"), SmallNetwork)
    assert [each.name for each in methods((3, 4), names=["small"])] == ["small-3", "small-4"]
    with pytest.raises(UsageError, match="mix, max-only-s, small-s, small-mix, s a factor"):
        get_method("oracle")


def test_no_package_takes_the_name_of_a_method_of_the_paper(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, family=f"{__name__}:USURPER")
    assert families()["hr"] in FAMILIES


def test_an_entry_point_that_cannot_be_loaded_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, broken="no_such_package:networks")
    with pytest.raises(UsageError, match=r"entry point 'broken' of codecsim.methods: ModuleNotFoundError \(No module"):
        get_method("hr")


def test_no_other_entry_points_are_there_than_those_of_installed_packages() -> None:
    assert list(families()) == [each.name for each in FAMILIES]
