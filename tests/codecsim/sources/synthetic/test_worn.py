"""Hair and glasses: where a fringe ends, where temples run."""

import dataclasses
import importlib.util

import numpy as np
import pytest

if importlib.util.find_spec("anny") is None:
    pytest.skip("SynthFace needs the extra codecsim[synthetic]", allow_module_level=True)

from codecsim.sources.synthetic.glasses import glasses_surface
from codecsim.sources.synthetic.hair import HairStyle, _lower_edge
from codecsim.sources.synthetic.identity import draw_identity
from codecsim.sources.synthetic.pack import Material, load_pack
from codecsim.sources.synthetic.painting import draw_looks

AZIMUTH = np.radians([-60, -45, 0, 45, 60, 150])
SHORT = HairStyle(0.1, 0.3, 180, fringe=0.5, curl=0.1, parting=1.0, raggedness=0.03)


def lower_edge(style: HairStyle) -> np.ndarray:
    identity = draw_identity(load_pack(), np.random.default_rng(0))
    return _lower_edge(AZIMUTH, style, draw_looks(np.random.default_rng(0), identity), identity.scale)


def test_a_fringe_is_combed_to_the_side_of_the_parting() -> None:
    straight = lower_edge(dataclasses.replace(SHORT, parting=0.0))
    np.testing.assert_allclose(straight[:2], straight[4:2:-1], atol=1e-6)
    for parting in (1.0, -1.0):
        moved = lower_edge(dataclasses.replace(SHORT, parting=parting)) - straight
        assert moved[3] * parting > 0.1
        assert moved[1] == pytest.approx(-moved[3], abs=1e-6)
        assert moved[2] == pytest.approx(0, abs=1e-6)
        assert moved[5] == 0  # the nape is not combed
    np.testing.assert_array_equal(
        lower_edge(dataclasses.replace(SHORT, fringe=0.0)),
        lower_edge(dataclasses.replace(SHORT, fringe=0.0, parting=0)),
    )


@pytest.mark.parametrize("seed", range(6))
def test_temples_run_along_the_head_inside_of_the_ears(seed: int) -> None:
    pack = load_pack()
    identity = draw_identity(pack, np.random.default_rng(seed))
    skin = identity.vertices[np.unique(pack.triangles[pack.materials == Material.SKIN])]
    beside = skin[np.abs(skin[:, 1]) < 0.2]
    ears = float(np.abs(beside[:, 0]).max())
    before_ears = float(np.abs(beside[beside[:, 2] > -0.4, 0]).max())
    glasses = glasses_surface(np.random.default_rng(seed), identity, identity.vertices)
    temples = glasses.vertices[glasses.vertices[:, 2] < -0.2]
    assert len(temples) > 10
    assert np.abs(temples[:, 0]).max() < before_ears + 0.06
    assert np.abs(temples[:, 0]).max() < ears - 0.03
