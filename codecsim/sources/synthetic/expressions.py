"""Posed expressions: the face units of each class, after the action units of EMFACS.

Source: Friesen and Ekman 1983, *EMFACS-7*; Lucey et al. 2010, *The Extended Cohn-Kanade Dataset*, table 1, for
contempt. Action units are written as the ARKit units that move the same muscles.
"""

from types import MappingProxyType

from codecsim.sources.synthetic.performance import Prototype

STILL_CLASSES = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")
"""Those of RAF-DB, in its order."""

APEX_CLASSES = ("anger", "contempt", "disgust", "fear", "happiness", "sadness", "surprise")
"""Those of CK+, in its order."""

EXPRESSIONS: MappingProxyType[str, tuple[Prototype, ...]] = MappingProxyType(
    {
        "neutral": ({},),
        "happiness": (  # AU 6 + 12, with lips closed or parted
            {"mouthSmile": 0.9, "cheekSquint": 0.8, "eyeSquint": 0.3, "mouthDimple": 0.3},
            {"mouthSmile": 1.0, "cheekSquint": 0.8, "mouthUpperUp": 0.45, "jawOpen": 0.15, "mouthLowerDown": 0.2},
        ),
        "sadness": (  # AU 1 + 4 + 15 (+ 17)
            {"browInnerUp": 0.9, "browDown": 0.2, "mouthFrown": 0.9, "mouthShrugLower": 0.5, "eyeBlink": 0.25},
        ),
        "surprise": (  # AU 1 + 2 + 5 + 26
            {"browInnerUp": 0.9, "browOuterUp": 0.9, "eyeWide": 0.9, "jawOpen": 0.5, "mouthFunnel": 0.15},
        ),
        "fear": (  # AU 1 + 2 + 4 + 5 + 20 (+ 25)
            {
                "browInnerUp": 0.9,
                "browOuterUp": 0.3,
                "browDown": 0.35,
                "eyeWide": 0.9,
                "mouthStretch": 0.8,
                "mouthLowerDown": 0.35,
                "jawOpen": 0.15,
            },
        ),
        "disgust": (  # AU 9 + 10 + 17, with 4 and 7
            {
                "noseSneer": 1.0,
                "mouthUpperUp": 0.6,
                "mouthShrugLower": 0.4,
                "browDown": 0.4,
                "eyeSquint": 0.5,
                "mouthFrown": 0.2,
            },
        ),
        "anger": (  # AU 4 + 5 + 7 + 23 or 24
            {"browDown": 1.0, "eyeWide": 0.2, "eyeSquint": 0.6, "mouthPress": 0.8, "noseSneer": 0.25},
            {"browDown": 1.0, "eyeSquint": 0.6, "mouthRollLower": 0.5, "mouthRollUpper": 0.4, "jawForward": 0.25},
        ),
        "contempt": (  # AU 12 + 14 on one side
            {"mouthDimpleLeft": 1.0, "mouthSmileLeft": 0.5, "eyeSquintLeft": 0.2},
            {"mouthDimpleRight": 1.0, "mouthSmileRight": 0.5, "eyeSquintRight": 0.2},
        ),
    }
)
"""Class → the ways to show it, of which each picture or sequence takes one."""
