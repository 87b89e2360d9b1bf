"""What tests of evaluation share: the sweep, its readers, what a network tells alone, and one that breaks off."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from codecsim.channel import channel
from pipelines.evaluation import Evaluation
from pipelines.feeding import FEEDING
from pipelines.sweep import Readers
from recognition.inference import TOLERANCE, Predictor
from recognition.methods import get_method
from recognition.models import load_model
from tests.pipelines.readers import SMALL_3, SMALL_4, SMALL_HR
from tests.stored import Told

GRID: dict[str, Any] = {"scales": [3, 4], "qp": [24, 36], "workers": 1}
NAMES = (SMALL_HR, SMALL_3, SMALL_4)
LOSSES = (channel(0.1), channel(0.3))


def readers(models: Path, *names: str, **options: Any) -> Readers:
    return Readers(**{"names": names or NAMES, "models": models, "seeds": (0,), "device": "cpu", "every": 2} | options)


def predictor(models: Path, name: str, seed: int = 0) -> Predictor:
    path = models / f"{name.replace(':', '.')}.seed{seed}.safetensors"
    return Predictor(load_model(path, method=get_method(name)).network, device="cpu")


def close(told: Sequence[float], alone: npt.NDArray[np.float32]) -> None:
    np.testing.assert_allclose(told, alone[:, 0], rtol=0, atol=TOLERANCE["fp32"])


def assert_same(told: dict[Told, list[float]], expected: dict[Told, list[float]], *, atol: float = 0) -> None:
    """The same readings, each the same up to `atol`."""
    assert told.keys() == expected.keys()
    for identity, values in told.items():
        np.testing.assert_allclose(values, expected[identity], rtol=0, atol=atol, err_msg=str(identity))


class PatienceError(Exception):
    """What a network raises after some frames."""


def breaking(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Let inference end with an error after so many streams, and let every stream be kept as soon as it is read."""
    keep, left = Evaluation._keep, [after]

    def counted(told: Iterable[Any]) -> Iterator[Any]:
        for each in told:
            left[0] -= 1
            if left[0] < 0:
                raise PatienceError("out of patience")
            yield each

    monkeypatch.setattr(Evaluation, "_keep", lambda self, network, told: keep(self, network, counted(told)))
    monkeypatch.setattr("pipelines.evaluation._SAVE_SECONDS", 0.0)
    monkeypatch.setitem(FEEDING, "cpu", replace(FEEDING["cpu"], group_frames=1))
