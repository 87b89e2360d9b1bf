"""What the networks that come with codecsim make of the demo. `python -m tests.golden.make` makes the figures anew."""

import json
from pathlib import Path

import numpy as np
import pytest

from recognition.shipped import NAMES
from tests.golden.make import CURVES_TOLERANCE, DEMO_QPS, HERE, demo_curves

GOLDEN = json.loads((HERE / "demo_curves.json").read_text(encoding="utf-8"))["curves"]


@pytest.mark.usefixtures("one_thread")
def test_cc_and_ccc_of_the_demo_stay_where_they_are(tmp_path: Path) -> None:
    found = demo_curves(tmp_path / "sweep.h5")
    assert found.keys() == GOLDEN.keys()
    for name, values in found.items():
        np.testing.assert_allclose(values, GOLDEN[name], rtol=0, atol=CURVES_TOLERANCE, err_msg=name)


def test_the_figures_are_of_every_method() -> None:
    assert {name.split("/")[0] for name in GOLDEN} == set(NAMES)
    assert {name.split("/")[3] for name in GOLDEN} == {"none", *(f"qp{qp}" for qp in DEMO_QPS)}
