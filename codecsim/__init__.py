"""codecsim: what video compression does to a face-reading network, with every bit accounted for.

>>> import codecsim
>>> report = codecsim.sweep("carphone", scales=[3, 4], qp=range(18, 41))  # doctest: +SKIP
>>> table = codecsim.open_sweep("results/sweep.h5").streams  # doctest: +SKIP
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from codecsim.corpus import Corpus as Corpus
    from codecsim.simulator import sweep as sweep
    from codecsim.sources.footage import prepare as prepare
    from codecsim.store import Sweep as Sweep
    from codecsim.store import open_sweep as open_sweep
    from codecsim.store.compare import compare as compare
    from codecsim.store.verify import verify as verify

_HOMES = {
    "Corpus": "codecsim.corpus",
    "Sweep": "codecsim.store",
    "compare": "codecsim.store.compare",
    "open_sweep": "codecsim.store",
    "prepare": "codecsim.sources.footage",
    "sweep": "codecsim.simulator",
    "verify": "codecsim.store.verify",
}

__all__ = ["Corpus", "Sweep", "compare", "open_sweep", "prepare", "sweep", "verify"]


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for: `codecsim --help` needs none of it."""
    if name not in _HOMES:
        raise AttributeError(f"module 'codecsim' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
