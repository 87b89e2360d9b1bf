"""Training that was stopped: all that it had reached at its last look, in one file that appears whole or not at all."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from codecsim.errors import StoreError, UsageError
from recognition.loop import State
from recognition.models import read_tensors, write_tensors

_GROUPS = ("network", "best_network", "momentum")
_PLAIN = ("step", "best", "waited", "drops", "done", "history")


def save_checkpoint(path: Path, state: State, settings: Mapping[str, Any]) -> None:
    """Write a state, and the settings that it was reached with."""
    tensors = {
        f"{group}/{name}": value.detach().cpu().clone().contiguous()
        for group in _GROUPS
        for name, value in getattr(state, group).items()
    }
    write_tensors(path, tensors, {"settings": dict(settings), "state": {name: getattr(state, name) for name in _PLAIN}})


def load_checkpoint(path: Path, settings: Mapping[str, Any]) -> State | None:
    """The state to go on from; None where there is none.

    Raises
    ------
    UsageError
        If it was reached with other settings.
    StoreError
        If the file is damaged.
    """
    if not path.exists():
        return None
    tensors, kept = read_tensors(path)
    try:
        differing = different(kept["settings"], settings)
        state = State(**{name: _plain(kept["state"], name) for name in _PLAIN})
        for key, value in tensors.items():
            group, _, name = key.partition("/")
            if group not in _GROUPS:
                raise KeyError(key)
            getattr(state, group)[name] = value
    except (AttributeError, KeyError, TypeError) as error:
        raise StoreError(
            f"{path}: no checkpoint of codecsim, or damaged ({error}); remove it to begin again"
        ) from error
    if differing:
        raise UsageError(
            f"{path}: training began with other settings ({differing}); take those, or --force to begin again"
        )
    return state


def _plain(kept: Mapping[str, Any], name: str) -> Any:
    """What is kept under a name, of the type that `State` has there."""
    value, kind = kept[name], type(getattr(State(), name))
    if not isinstance(value, (int, float) if kind is float else kind):
        raise TypeError(f"{name} is {value!r}")
    return value


def different(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """What differs between two settings, in words; "" where nothing does."""
    names = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
    return "; ".join(f"{name}: {before.get(name)} then, {now.get(name)} now" for name in names)
