"""What a face does over a recording: it shows something, speaks, blinks, looks about, and the head moves.

What is shown acts on the face alone; everything else is drawn without knowing it, so that what tells of a label is in
the face units that it drives, and nowhere else.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.interpolate import CubicSpline

from codecsim.sources.synthetic.difficulty import Difficulty

Floats = npt.NDArray[np.float64]

Prototype = Mapping[str, float]
"""What shows something in full: face unit, or the stem of a left and a right one, → 0 to 1."""

_VISEMES = (
    {"jawOpen": 1.0, "mouthLowerDown": 0.5, "mouthUpperUp": 0.2},
    {"jawOpen": 0.6, "mouthFunnel": 0.7},
    {"jawOpen": 0.35, "mouthPucker": 0.8},
    {"jawOpen": 0.5, "mouthStretch": 0.45, "mouthLowerDown": 0.3},
    {"jawOpen": 0.15, "mouthRollLower": 0.5, "mouthRollUpper": 0.3},
    {"jawOpen": 0.25, "mouthClose": 0.25, "mouthShrugUpper": 0.3},
)
"""Open, rounded, pursed, spread, lips rolled in, lips closing: the shapes that syllables pass through."""

_SIDES = ("Left", "Right")
_MOVED_AS_A_WHOLE = {"jaw", "mouth"}  # jawLeft is where the jaw goes, not which half of it moves
_GAZE_FULL_DEGREES = (14.5, 10.0)
"""How far the whole of an eyeLook unit turns anny's eyes, sideways and up or down; the gaze reaches no further."""


@dataclass(frozen=True)
class Temperament:
    """How a subject's face shows feelings.

    Attributes
    ----------
    gains : face unit → strength of what it shows, 0 to 1
    delays : face unit → seconds by which it follows
    resting : face unit → what it does at rest
    blink_seconds : mean time between blinks
    """

    gains: dict[str, float]
    delays: dict[str, float]
    resting: dict[str, float]
    blink_seconds: float


@dataclass(frozen=True)
class Performance:
    """One recording's T frames.

    Attributes
    ----------
    units : float32, shape=(T, 52), face units in the order asked for, 0 to 1
    pose : float32, shape=(T, 3), yaw, pitch and roll in degrees
    position : float32, shape=(T, 3), offset of the head in head units
    """

    units: npt.NDArray[np.float32]
    pose: npt.NDArray[np.float32]
    position: npt.NDArray[np.float32]

    def __getitem__(self, frames: slice) -> "Performance":
        return Performance(self.units[frames], self.pose[frames], self.position[frames])


def draw_temperament(rng: np.random.Generator, unit_names: tuple[str, ...], difficulty: Difficulty) -> Temperament:
    """Draw how a subject shows feelings: how much, which side more, how fast."""
    expressiveness = rng.uniform(*difficulty.expressiveness)
    gains, delays, resting = {}, {}, {}
    stems = {name.removesuffix("Left").removesuffix("Right") for name in unit_names}
    for stem in sorted(stems - _MOVED_AS_A_WHOLE):
        gain = expressiveness * (1 - difficulty.gain_spread * rng.random())
        delay, tilt = rng.uniform(0, 0.4), rng.normal() * 0.1
        for name, sign in zip(_on_both_sides(stem, unit_names), (1, -1), strict=False):
            gains[name], delays[name] = gain * (1 + sign * tilt), delay
    for stem in ("mouthSmile", "mouthFrown", "browDown", "browInnerUp", "mouthPress"):
        at_rest = 0.12 * rng.random() ** 2
        resting.update(dict.fromkeys(_on_both_sides(stem, unit_names), at_rest))
    return Temperament(gains, delays, resting, rng.uniform(2.5, 6.0))


def perform(
    rng: np.random.Generator,
    unit_names: tuple[str, ...],
    temperament: Temperament,
    difficulty: Difficulty,
    *,
    shown: Sequence[tuple[Prototype, Floats]],
    fps: float,
) -> Performance:
    """Draw what a subject's face does.

    Parameters
    ----------
    unit_names : the 52 ARKit face units, in the order of the result's columns
    shown : prototypes, and how far each is felt, shape=(T,), 0 to 1; temperament decides what of it is seen
    """
    speech_rng, eye_rng, head_rng = rng.spawn(3)
    n_frames = len(shown[0][1])
    seconds = np.arange(n_frames) / fps
    units = {name: np.full(n_frames, temperament.resting.get(name, 0.0)) for name in unit_names}
    for prototype, strength in shown:
        for stem, full in prototype.items():
            for name in _on_both_sides(stem, unit_names):
                late = np.interp(seconds - temperament.delays[name], seconds, strength)
                units[name] += full * temperament.gains[name] * late
    _speak(speech_rng, units, seconds, difficulty)
    _look(eye_rng, units, seconds, temperament)
    pose, position = _move(head_rng, seconds, difficulty)
    return Performance(
        units=np.stack([units[name] for name in unit_names], 1).clip(0, 1).astype(np.float32),
        pose=pose.astype(np.float32),
        position=position.astype(np.float32),
    )


def _on_both_sides(stem: str, unit_names: tuple[str, ...]) -> tuple[str, ...]:
    return (stem,) if stem in unit_names else tuple(stem + side for side in _SIDES)


def drift(rng: np.random.Generator, seconds: Floats, period: float) -> Floats:
    """A smooth random function of unit variance, to 5 %, whose values `period` seconds apart are independent."""
    n_knots = int(seconds[-1] / period) + 6
    knots = (np.arange(n_knots) - rng.uniform(2, 3)) * period
    return np.asarray(CubicSpline(knots, rng.standard_normal(n_knots) * 1.15)(seconds), np.float64)


def _speak(rng: np.random.Generator, units: dict[str, Floats], seconds: Floats, difficulty: Difficulty) -> None:
    """Turns of speech with pauses, in syllables that each have a shape of the mouth."""
    talking, moment = np.zeros(len(seconds)), -rng.exponential(4)
    while moment < seconds[-1]:
        turn = 0.5 + rng.exponential(3)
        talking[(seconds >= moment) & (seconds < moment + turn)] = 1
        moment += turn + rng.exponential(3 * (1 - difficulty.speech_share) / difficulty.speech_share)
    interval = seconds[1] - seconds[0] if len(seconds) > 1 else 1.0
    talking = ndimage.gaussian_filter1d(talking, 0.12 / interval, mode="nearest")
    onsets = np.cumsum(rng.uniform(0.16, 0.32, int(seconds[-1] / 0.16) + 8)) - 0.5
    shapes, strengths = rng.integers(0, len(_VISEMES), len(onsets)), rng.uniform(0.4, 1, len(onsets))
    for number, viseme in enumerate(_VISEMES):
        peaks = np.where(shapes == number, strengths, 0.0)
        opened = talking * difficulty.speech_strength * np.interp(seconds, onsets, peaks)
        for stem, full in viseme.items():
            for name in _on_both_sides(stem, tuple(units)):
                units[name] += full * opened


def _look(rng: np.random.Generator, units: dict[str, Floats], seconds: Floats, temperament: Temperament) -> None:
    """Blinks of some 0.3 s, and a gaze that rests and jumps."""
    blinks = np.cumsum(0.4 + rng.exponential(temperament.blink_seconds - 0.4, int(seconds[-1] / 0.8) + 4)) - 1
    closed = np.zeros(len(seconds))
    for blink in blinks[blinks < seconds[-1] + 1]:
        closed = np.maximum(closed, np.interp(seconds, blink + np.array([0, 0.08, 0.13, 0.32]), [0, 1, 1, 0]))
    for name in _on_both_sides("eyeBlink", tuple(units)):
        units[name] += closed * (1 - units[name].clip(0, 1))
    jumps = np.cumsum(0.3 + rng.exponential(1.2, int(seconds[-1] / 0.3) + 4)) - 1
    fixed = np.searchsorted(jumps, seconds)
    targets = rng.standard_normal((len(jumps) + 1, 2)) * [7.0, 4.0] * (rng.random((len(jumps) + 1, 1)) < 0.6)
    aside, up = (targets[fixed] / _GAZE_FULL_DEGREES).T
    units["eyeLookOutLeft"] += aside.clip(0)
    units["eyeLookInRight"] += aside.clip(0)
    units["eyeLookInLeft"] += (-aside).clip(0)
    units["eyeLookOutRight"] += (-aside).clip(0)
    for side in _SIDES:
        units[f"eyeLookUp{side}"] += up.clip(0)
        units[f"eyeLookDown{side}"] += (-up).clip(0)


def _move(rng: np.random.Generator, seconds: Floats, difficulty: Difficulty) -> tuple[Floats, Floats]:
    """Slow turns of the head, nods and shakes, and a sway of the body."""
    spreads = np.array([difficulty.yaw_degrees, difficulty.pitch_degrees, difficulty.roll_degrees])
    pose = np.stack([0.8 * drift(rng, seconds, 7) + 0.5 * drift(rng, seconds, 2) for _ in range(3)], 1) * spreads
    moment = rng.exponential(8)
    while moment < seconds[-1]:
        axis, rate, length = int(rng.random() < 0.75), rng.uniform(1.5, 2.6), rng.uniform(0.7, 1.6)
        envelope = np.exp(-np.square((seconds - moment) / (0.5 * length)))
        pose[:, axis] += (
            rng.uniform(0.4, 0.9) * spreads[axis] * envelope * np.sin(2 * np.pi * rate * (seconds - moment))
        )
        moment += 2 + rng.exponential(10)
    position = np.stack([0.06 * drift(rng, seconds, 6) for _ in range(3)], 1)
    return pose, position
