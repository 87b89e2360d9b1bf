"""Valence and arousal over time, and how faces show them."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from codecsim.sources.synthetic.performance import Prototype, drift

Floats = npt.NDArray[np.float64]

POSITIVE = {"mouthSmile": 0.9, "cheekSquint": 0.8, "eyeSquint": 0.35, "mouthDimple": 0.3, "mouthUpperUp": 0.2}
"""Full joy by face unit: AU 12 with 6, as in Ekman and Friesen's Duchenne smile."""

NEGATIVE = {
    "browDown": 0.9,
    "mouthFrown": 0.9,
    "noseSneer": 0.4,
    "mouthPress": 0.3,
    "eyeSquint": 0.3,
    "mouthShrugLower": 0.35,
}
"""Full displeasure: AU 4, 15, 9, 24, 7 and 17."""

AROUSED = {"eyeWide": 0.7, "browInnerUp": 0.6, "browOuterUp": 0.6, "mouthStretch": 0.25}
DROWSY = {"eyeBlink": 0.35}


@dataclass(frozen=True)
class Feelings:
    """The truth of one recording: float64, shape=(T,), −1 to 1, each drawn without knowing the other."""

    valence: Floats
    arousal: Floats

    @property
    def shown(self) -> list[tuple[Prototype, Floats]]:
        """What a face does of it, for `codecsim.sources.synthetic.performance.perform`."""
        return [
            (POSITIVE, _positive(self.valence)),
            (NEGATIVE, _positive(-self.valence)),
            (AROUSED, _positive(self.arousal)),
            (DROWSY, _positive(-self.arousal)),
        ]


def feel(rng: np.random.Generator, *, n_frames: int, fps: float) -> Feelings:
    """Draw what somebody feels in `n_frames` frames."""
    seconds = np.arange(n_frames) / fps
    return Feelings(*(_feeling(each, seconds) for each in rng.spawn(2)))


def _feeling(rng: np.random.Generator, seconds: Floats) -> Floats:
    """A trajectory within ±1, of standard deviation 0.54: a mood drifts over half a minute, feelings over seconds."""
    mood = 0.25 * rng.standard_normal() + 0.35 * drift(rng, seconds, 30)
    felt = mood + 0.5 * drift(rng, seconds, 11) + 0.3 * drift(rng, seconds, 4.5)
    return np.tanh(felt)


def _positive(values: Floats) -> Floats:
    """The positive part, with a round corner at 0."""
    return np.asarray(0.5 * (values + np.sqrt(values**2 + 0.01)) - 0.05 * np.exp(-np.abs(values) / 0.2), np.float64)
