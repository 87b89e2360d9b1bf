"""The built-in corpus ``demo``: a small cut of SynthFace's split dev, which needs neither the face model nor torch.

Three subjects of difficulty main for 12.8 s each. The file holds the frames without the camera's noise, coded without
loss by x264; the noise is a function of a seed, and is added again. So the frames are, bit for bit, those that were cut
out, which a digest of each sequence proves whenever they are unpacked.
"""

import hashlib
from pathlib import Path

import h5py
import numpy as np

from codecsim.corpus import HR_SIDE, CorpusWriter
from codecsim.decode import decode
from codecsim.errors import CodecsimError, StoreError
from codecsim.hdf5 import DAMAGE, open_hdf5, text
from codecsim.sources.synthetic.noise import add_noise

SCHEMA, SCHEMA_VERSION = "codecsim-demo", 1
DEMO = Path(__file__).with_name("demo.hdf5")
CODEC = "x264"


def unpack_demo(writer: CorpusWriter, *, path: Path = DEMO) -> None:
    """Add the sequences of the demo to a corpus.

    Raises
    ------
    StoreError
        If the file is missing or damaged, or this PyAV decodes other frames than were coded.
    """
    with open_hdf5(path, SCHEMA, SCHEMA_VERSION, "demo") as file:
        try:
            for name, group in file["sequences"].items():
                _unpack(writer, name, group)
        except CodecsimError as error:
            raise StoreError(f"{path}: {error}; install codecsim again") from error
        except DAMAGE as error:
            raise StoreError(f"{path}: damaged ({error}); install codecsim again") from error


def _unpack(writer: CorpusWriter, name: str, group: h5py.Group) -> None:
    ends = np.cumsum(group["packet_bytes"][:])
    stream = group["bitstream"][:].tobytes()
    packets = [stream[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)]
    frames = add_noise(
        decode(packets, CODEC, width=HR_SIDE, height=HR_SIDE),
        seed=int(group.attrs["noise_seed"]),
        first_frame=int(group.attrs["first_frame"]),
        level=float(group.attrs["noise_level"]),
    )
    if hashlib.sha256(frames.tobytes()).hexdigest() != text(group.attrs["digest"]):
        raise StoreError(f"the frames of {name} are not those that were packed")
    with writer.sequence(
        name,
        fps=float(group.attrs["fps"]),
        **{key: text(group.attrs[key]) for key in ("subject", "split", "source", "preparation")},
    ) as sequence:
        seconds, boxes = group["pts_seconds"][:].tolist(), group["boxes"][:].tolist()
        for frame, at, box in zip(frames, seconds, boxes, strict=True):
            sequence.append(frame, pts_seconds=at, box=tuple(box))
        for task, values in group["labels"].items():
            sequence.labels(task, values[:])
