"""The named methods: how each is trained, and what it is applied to.

A method is a record. What a family of them has in common stands in `FAMILIES` once; ``lr-4`` is the member of family
``lr`` for the factor 4. A new family is a record more, here or in another package under the entry point
``codecsim.methods``, and the command line knows it by itself. Any module that takes luma, shape=(N, 1, 96, 96), in 0 …
1, and gives predictions, shape=(N, outputs), is a method too, under the name ``package.module:factory``.

Source: Cheng et al. 2017, section 4.1, and the authors' code where FACTS are not in the text. ``mix`` and ``max-only``
are controls that the paper lacks: max-mix is two changes at once, and each of them does one.
"""

import importlib
import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Literal

from codecsim.corpus import HR_SIDE
from codecsim.errors import UsageError
from codecsim.scaling import lr_side

if TYPE_CHECKING:
    from torch import nn

    from recognition.networks import Variant

SCALES = (3, 4, 6, 8, 12, 16)
"""Factors of Table 1."""

MIXTURE = (3, 4, 6)
"""Factors that max-mix draws from: the paper found 8, 12 and 16 to perturb training."""

MAX_SCALE = 12
"""Factor of the SR-FCN that max-mix starts from. The text says "the maximum"; the authors' scripts use 12."""

ENTRY_POINTS = "codecsim.methods"

Start = Literal["none", "tuned", "frozen", "restore"]
"""What an SR-FCN does for a method: nothing; its layers start the CNN's, and are tuned; they start the CNN's, and stay;
it restores frames, which a CNN of its own then reads."""

Factory = Callable[..., "nn.Module"]


@dataclass(frozen=True, kw_only=True)
class Method:
    """One way from LR frames to predictions.

    Attributes
    ----------
    name : as on the command line and in tables
    summary : one line for people
    trained_on : factors s; where there are several, one is drawn for each frame, each as likely. 1 is the HR frame
    tested_on : factors it is meant for; () for all
    start : what an SR-FCN does for it
    sr_scale : factor that this SR-FCN was trained on; 0 where there is none
    factory : makes a network of the user's, given ``outputs=K``; None for the valence CNN
    """

    name: str
    summary: str
    trained_on: tuple[int, ...]
    tested_on: tuple[int, ...]
    start: Start = "none"
    sr_scale: int = 0
    factory: Factory | None = None

    def __post_init__(self) -> None:
        for s in {*self.trained_on, *self.tested_on, self.sr_scale or 1}:
            lr_side(s)
        if not self.trained_on:
            raise UsageError(f"method {self.name}: no factor to train on")
        if self.start in ("frozen", "restore") and len(self.trained_on) > 1:
            raise UsageError(f"method {self.name}: its layers of an SR-FCN stay as they are, so it takes one factor")

    def build(self, *, variant: "Variant", outputs: int = 1) -> "nn.Module":
        """An untrained network of this method: luma, shape=(N, 1, 96, 96), to predictions, shape=(N, outputs).

        Raises
        ------
        UsageError
            If the user's factory gives no module, or one of another shape.
        """
        if self.factory is not None:
            return _made_by(self.factory, self.name, outputs)
        from recognition.networks import SRFCN, RestoreFirst, SuperResolve, ValenceCNN

        network = ValenceCNN(variant=variant, outputs=outputs)
        return RestoreFirst(SuperResolve(SRFCN(variant=variant)), network) if self.start == "restore" else network


@dataclass(frozen=True, kw_only=True)
class Family:
    """Methods that differ in their factors alone, or a single method.

    Attributes
    ----------
    name : of the family; a member's is ``NAME-4`` or ``NAME-3+4``, the single method's is NAME
    summary : one line for people; ``{s}`` stands for the factor
    trained_on : factors of the single method; () for a member a factor
    start, sr_scale, factory : as of `Method`; an `sr_scale` of 0 is the member's own factor, the largest of several
    tested_on : factors that the single method is meant for; () for all
    """

    name: str
    summary: str
    trained_on: tuple[int, ...] = ()
    tested_on: tuple[int, ...] = ()
    start: Start = "none"
    sr_scale: int = 0
    factory: Factory | None = None

    def member(self, *factors: int) -> Method:
        """The method that is trained on these factors; the single one without."""
        own = factors or self.trained_on
        written = "+".join(map(str, factors))
        return Method(
            name=f"{self.name}-{written}" if factors else self.name,
            summary=self.summary.format(s=written),
            trained_on=own,
            tested_on=self.tested_on or (() if self.trained_on else own),
            start=self.start,
            sr_scale=0 if self.start == "none" else self.sr_scale or max(own),
            factory=self.factory,
        )


FAMILIES = (
    Family(name="hr", summary="trained on HR frames, and tested on them: the ceiling", trained_on=(1,), tested_on=(1,)),
    Family(name="lr", summary="trained and tested on LR frames of factor {s}"),
    Family(
        name="non-joint",
        summary="SR-FCN-{s} gives the convolutions, frozen; the layers above are trained (the authors' code)",
        start="frozen",
    ),
    Family(
        name="non-joint-image",
        summary="SR-FCN-{s} restores the frames; a CNN of its own is trained on them (the text's reading)",
        start="restore",
    ),
    Family(name="joint", summary="the convolutions start from SR-FCN-{s}, and everything is tuned", start="tuned"),
    Family(
        name="joint-oa",
        summary="max-mix: starts from the SR-FCN of the largest factor, tuned on a mixture of factors",
        trained_on=MIXTURE,
        start="tuned",
        sr_scale=MAX_SCALE,
    ),
    Family(name="mix", summary="control: the mixture without an SR-FCN", trained_on=MIXTURE),
    Family(
        name="max-only",
        summary="control: starts from the SR-FCN of the largest factor, tuned on factor {s} alone",
        start="tuned",
        sr_scale=MAX_SCALE,
    ),
)


def families() -> dict[str, Family]:
    """Every family by name: those above, then those that other packages add as entry points."""
    known = {each.name: each for each in FAMILIES}
    for point in entry_points(group=ENTRY_POINTS):
        try:
            loaded = point.load()
        except Exception as error:  # whatever another package does when it is imported
            raise UsageError(
                f"entry point {point.name!r} of {ENTRY_POINTS}: {type(error).__name__} ({error})"
            ) from error
        made = loaded if isinstance(loaded, Family) else _own(point.name, loaded)
        known.setdefault(made.name, made)
    return known


def get_method(name: str, *, factors: Iterable[int] = (), sr_scale: int | None = None) -> Method:
    """The method of a name: ``joint-4``, ``joint-oa``, ``package.module:factory``.

    Parameters
    ----------
    name : of a member or of a single method; with `factors`, of a family
    factors : train on these, one drawn a frame, instead of what the name says
    sr_scale : start from the SR-FCN of this factor, for methods that do not start from that of their own

    Raises
    ------
    UsageError
        If there is no such method, or it does not go with these settings.
    """
    family, named = _find(name)
    chosen = tuple(dict.fromkeys(factors)) or named
    if not chosen and not family.trained_on:
        raise UsageError(f"method {name} needs a factor: name it {name}-4, or give the factors to train on")
    method = family.member(*(() if chosen == family.trained_on else chosen))
    if sr_scale is not None:
        if not family.sr_scale:
            raise UsageError(f"method {method.name} does not start from the SR-FCN of a factor of one's choice")
        method = replace(method, sr_scale=sr_scale)
    return method


def methods(scales: Iterable[int] = SCALES, *, names: Iterable[str] | None = None) -> list[Method]:
    """Every method of these families (all without `names`) for these factors."""
    known = families()
    chosen = known.values() if names is None else [_find(name)[0] for name in names]
    found: list[Method] = []
    for family in chosen:
        found += [family.member()] if family.trained_on else [family.member(s) for s in scales]
    return found


def _find(name: str) -> tuple[Family, tuple[int, ...]]:
    """The family of a name, and the factors that the name gives."""
    known = families()
    if name in known:
        return known[name], ()
    stem, _, written = name.rpartition("-")
    if stem and all(number.isdecimal() for number in written.split("+")):
        family = known.get(stem) or (_imported(stem) if ":" in stem else None)
        if family is not None:
            return family, tuple(dict.fromkeys(map(int, written.split("+"))))
    if ":" in name:
        return _imported(name), ()
    singles = [each.name if each.trained_on else f"{each.name}-s" for each in known.values()]
    raise UsageError(f"no method {name!r}; there are {', '.join(singles)}, s a factor, and package.module:factory")


def _imported(name: str) -> Family:
    module, _, attribute = name.partition(":")
    try:
        factory = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # whatever a module of the user's does when it is imported
        raise UsageError(
            f"method {name!r}: {type(error).__name__} ({error}); package.module:factory is needed, importable from here"
        ) from error
    return factory if isinstance(factory, Family) else _own(name, factory)


def _own(name: str, factory: object) -> Family:
    if not callable(factory):
        raise UsageError(f"method {name!r} is no function or class that makes a network, and no Family")
    return Family(
        name=name,
        summary=(inspect.getdoc(factory) or name).splitlines()[0].replace("{", "").replace("}", ""),
        factory=factory,
    )


def _made_by(factory: Factory, name: str, outputs: int) -> "nn.Module":
    import torch
    from torch import nn

    try:
        network = factory(outputs=outputs)
    except Exception as error:  # whatever a factory of the user's does
        raise UsageError(
            f"method {name}: {type(error).__name__} ({error}); the factory is called with outputs={outputs}"
        ) from error
    if not isinstance(network, nn.Module):
        raise UsageError(f"method {name}: the factory gave {type(network).__name__}; a torch.nn.Module is needed")
    was_training = network.training
    try:
        with torch.no_grad():
            given = network.eval()(torch.zeros(2, 1, HR_SIDE, HR_SIDE))
    except Exception as error:  # whatever a network of the user's does
        raise UsageError(
            f"method {name}: the network refuses luma of shape (2, 1, {HR_SIDE}, {HR_SIDE}): "
            f"{type(error).__name__} ({error})"
        ) from error
    network.train(was_training)
    shape = tuple(given.shape) if isinstance(given, torch.Tensor) else type(given).__name__
    if shape != (2, outputs):
        raise UsageError(f"method {name}: the network gives {shape} for 2 frames; (2, {outputs}) is needed")
    return network
