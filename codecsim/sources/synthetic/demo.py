"""Makes the built-in corpus ``demo``: ``python -m codecsim.sources.synthetic.demo`` renders it anew, in some minutes.

Run it where `codecsim.sources.synthetic.benchmark.VERSION` was raised.
"""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from codecsim.codecs import EncoderSettings
from codecsim.encode import encode
from codecsim.hdf5 import put_attributes, replacing_hdf5
from codecsim.sources.demo import CODEC, DEMO, SCHEMA, SCHEMA_VERSION
from codecsim.sources.synthetic.benchmark import SynthRecording, plan, shoot
from codecsim.sources.synthetic.noise import add_noise
from codecsim.sources.synthetic.pack import load_pack
from codecsim.sources.synthetic.takes import FPS

Frames = npt.NDArray[np.uint8]

CUTS = {"dev_2": 808, "dev_8": 16, "dev_16": 576}
"""Recording, of `_LENGTH` frames → first frame: where its valence spans most, from below −0.6 to above 0.6."""

_LENGTH = 1500

N_FRAMES = 320
"""Of each: 12.8 s. Rendered frames need about 1.3 bits a pixel; 20 s would take 2.2 MB."""

_SETTINGS = EncoderSettings(codec=CODEC, preset="veryslow", gop=N_FRAMES)


@dataclass(frozen=True)
class Cut:
    """A part of a recording, T frames.

    Attributes
    ----------
    recording : where it was cut out
    first_frame : number of its first frame there
    clean, frames : uint8, shape=(T, 96, 96), without and with the camera's noise
    noise_seed, noise_level : what makes `frames` of `clean`
    boxes : float32, shape=(T, 4), crops in pixels of the imagined recording
    labels : task → float32, shape=(T,)
    """

    recording: SynthRecording
    first_frame: int
    clean: Frames
    frames: Frames
    noise_seed: int
    noise_level: float
    boxes: npt.NDArray[np.float32]
    labels: dict[str, npt.NDArray[np.generic]]


def cut(name: str, start: int, n_frames: int) -> Cut:
    """Render a part of a recording of seed 0; `start` a whole number of batches."""
    recording = next(each for each in plan(subjects=(0, 16, 0), n_frames=_LENGTH) if each.name == name)
    recording = replace(recording, face_model=load_pack().digest[:16])
    shot = next(shoot(recording, start=start))
    clean, boxes, n_rendered = [], [], 0
    while n_rendered < n_frames:
        some, where = next(shot.clean)
        clean.append(some)
        boxes.append(where)
        n_rendered += len(some)
    kept, level = np.concatenate(clean)[:n_frames], shot.take.stage.noise_level
    return Cut(
        recording=recording,
        first_frame=start,
        clean=kept,
        frames=add_noise(kept, seed=shot.noise_seed, first_frame=start, level=level),
        noise_seed=shot.noise_seed,
        noise_level=level,
        boxes=np.concatenate(boxes)[:n_frames],
        labels={task: values[start : start + n_frames] for task, values in shot.take.labels.items()},
    )


def pack_demo(target: Path = DEMO) -> None:
    """Render the cuts and write them, coded without loss, to `target`."""
    with replacing_hdf5(target, track_order=True) as (file, _):
        put_attributes(file, {"schema": SCHEMA, "schema_version": SCHEMA_VERSION})
        sequences = file.create_group("sequences", track_order=True)
        for name, start in CUTS.items():
            part = cut(name, start, N_FRAMES)
            stream = encode(part.clean, _SETTINGS, 0, fps=FPS)  # QP 0 of x264 is lossless
            group = sequences.create_group(name)
            put_attributes(
                group,
                {
                    "fps": FPS,
                    "subject": name,
                    "split": part.recording.split,
                    "source": "synthface",
                    "preparation": part.recording.identity(),
                    "first_frame": part.first_frame,
                    "noise_seed": part.noise_seed,
                    "noise_level": part.noise_level,
                    "digest": hashlib.sha256(part.frames.tobytes()).hexdigest(),
                },
            )
            group["bitstream"] = np.frombuffer(b"".join(stream.packets), np.uint8)
            group["packet_bytes"] = np.array([len(packet) for packet in stream.packets], np.int32)
            group["boxes"] = part.boxes
            group["pts_seconds"] = (start + np.arange(N_FRAMES)) / FPS
            for task, values in part.labels.items():
                group[f"labels/{task}"] = values


if __name__ == "__main__":
    pack_demo()
