"""How networks on a device are given frames fast enough."""

from dataclasses import dataclass

from codecsim.executors import available_cores
from recognition.inference import BATCH


@dataclass(frozen=True)
class Feeding:
    """How networks on a device are fed.

    Attributes
    ----------
    every : every so many frames are shown, unless one says otherwise
    group_frames : that networks are given at once, while as many are decoded
    decoders : processes that decode
    """

    every: int
    group_frames: int
    decoders: int


FEEDING = {
    "cpu": Feeding(every=25, group_frames=2 * BATCH["cpu"] * available_cores(), decoders=1),
    "cuda": Feeding(every=1, group_frames=8 * BATCH["cuda"], decoders=min(8, available_cores())),
}
"""On a CPU, one frame a second of most footage; several batches, so that no thread need wait between them; and one
process, which decodes 60 000 frames of 24×24 a second: no network reads as many there."""
