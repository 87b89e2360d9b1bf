"""The one place that calls scikit-video, whose last release (1.1.11, 2018) predates today's NumPy and SciPy.

Its modules say ``np.int`` and ``np.float``, which NumPy 1.24 removed, and import ``scipy.misc``, which SciPy 2.0 will
remove. Here its modules, and nobody else's, get a stand-in for NumPy that still has the old names; NumPy itself stays
untouched.
"""

import builtins
import importlib
import sys
import warnings
from functools import lru_cache
from types import ModuleType
from typing import Any

import numpy as np

_REMOVED_ALIASES = ("bool", "complex", "float", "int", "object", "str")


class _OldNumpy(ModuleType):
    """NumPy with the aliases of builtin types that it had before 1.24."""

    def __getattr__(self, name: str) -> Any:
        return getattr(builtins if name in _REMOVED_ALIASES else np, name)


def measure(name: str, *videos: np.ndarray[Any, Any]) -> Any:
    """Call ``skvideo.measure.NAME(*videos)``, silencing what it warns about its own age and about log(0).

    Parameters
    ----------
    name : function of ``skvideo.measure``
    videos : shape=(T, H, W), luma

    Returns
    -------
    result : whatever that function returns
    """
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return getattr(_load(), name)(*videos)


@lru_cache(maxsize=1)
def _load() -> ModuleType:
    missing = _scipy_misc_if_missing()
    sys.modules.update(missing)
    try:
        module = importlib.import_module("skvideo.measure")
    finally:
        for name in missing:
            del sys.modules[name]
    old_numpy = _OldNumpy("numpy")
    for name, part in list(sys.modules.items()):
        if name.partition(".")[0] == "skvideo" and getattr(part, "np", None) is np:
            vars(part)["np"] = old_numpy
    return module


def _scipy_misc_if_missing() -> dict[str, ModuleType]:
    """An empty ``scipy.misc`` where SciPy has none: scikit-video imports it for functions that are not called here."""
    try:
        importlib.import_module("scipy.misc")
    except ImportError:
        return {"scipy.misc": ModuleType("scipy.misc")}
    return {}
