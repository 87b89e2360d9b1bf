"""How much in a recording varies that is not the label."""

from dataclasses import dataclass

Range = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Difficulty:
    """Spreads of everything that a network must see through.

    Attributes
    ----------
    yaw_degrees, pitch_degrees, roll_degrees : standard deviation of the head's pose
    light_azimuth_degrees : the key light comes from up to this far aside
    light_change : twice the standard deviation of the logarithm of the key light, which changes slowly in a recording
    key_to_fill : the key light is so many times as strong as the second one
    background_contrast : 0 an even wall … 1 a room
    noise_levels : standard deviation of the camera's noise at mid-gray, in levels of 255
    speech_share : sets the pauses of speech; a subject speaks 0.03 to 0.04 more of the time than this
    speech_strength : how widely the mouth moves, 0 to 1
    expressiveness : how much of a feeling shows in the face, from the least expressive subject to the most
    gain_spread : face units of one subject differ in strength by up to this part
    """

    yaw_degrees: float
    pitch_degrees: float
    roll_degrees: float
    light_azimuth_degrees: float
    light_change: float
    key_to_fill: Range
    background_contrast: float
    noise_levels: Range
    speech_share: float
    speech_strength: float
    expressiveness: Range
    gain_spread: float


EASY = Difficulty(
    yaw_degrees=3,
    pitch_degrees=2,
    roll_degrees=1.5,
    light_azimuth_degrees=25,
    light_change=0.0,
    key_to_fill=(1.5, 2.5),
    background_contrast=0.3,
    noise_levels=(0.3, 0.8),
    speech_share=0.15,
    speech_strength=0.25,
    expressiveness=(0.8, 1.0),
    gain_spread=0.25,
)
"""A portrait studio."""

MAIN = Difficulty(
    yaw_degrees=5,
    pitch_degrees=4,
    roll_degrees=2.5,
    light_azimuth_degrees=50,
    light_change=0.05,
    key_to_fill=(1.5, 4.0),
    background_contrast=0.8,
    noise_levels=(0.5, 1.5),
    speech_share=0.35,
    speech_strength=0.45,
    expressiveness=(0.55, 1.0),
    gain_spread=0.45,
)
"""A video call: what RECOLA's recordings are."""

HARD = Difficulty(
    yaw_degrees=9,
    pitch_degrees=6,
    roll_degrees=4,
    light_azimuth_degrees=75,
    light_change=0.2,
    key_to_fill=(2.0, 7.0),
    background_contrast=1.0,
    noise_levels=(1.0, 3.0),
    speech_share=0.5,
    speech_strength=0.6,
    expressiveness=(0.5, 1.0),
    gain_spread=0.5,
)
"""Footage in the wild."""

DIFFICULTIES = {"easy": EASY, "main": MAIN, "hard": HARD}
