"""Of one corpus file into another: frames chunk by chunk as they are packed, and numbers with their names.

HDF5's own copy takes whatever else lies there, and what is forged ends the process or spoils its memory.
"""

import h5py
import numpy as np

from codecsim.corpus.schema import CHUNK_FRAMES, HR_SIDE
from codecsim.hdf5 import attribute, is_stored, member, put_attributes


def copy_numbers(source: h5py.Group, target: h5py.Group, key: str) -> None:
    """Copy a dataset of numbers and the names that are listed in its attributes."""
    held = member(source, key)
    if not is_stored(held) or held.dtype.kind not in "fiu":
        raise ValueError(f"{key} is no dataset of numbers in this file")
    made = target.create_dataset(key, data=held[()])
    for listed_in in ("classes", "columns"):
        if names := attribute(held, listed_in, ""):
            put_attributes(made, {listed_in: names})


def copy_frames(frames: h5py.Dataset, target: h5py.Group) -> None:
    """Copy frames chunk by chunk as these are packed; unpack them only where they are packed in another way."""
    plan, chunks = frames.id.get_create_plist(), frames.chunks
    filters = [plan.get_filter(index)[0] for index in range(plan.get_nfilters())]
    is_as_ours = chunks is not None and filters == [h5py.h5z.FILTER_DEFLATE]
    made = target.create_dataset(
        "frames",
        shape=frames.shape,
        dtype=np.uint8,
        maxshape=(None if chunks is not None and chunks[0] < len(frames) else len(frames), HR_SIDE, HR_SIDE),
        chunks=chunks if is_as_ours else (min(CHUNK_FRAMES, len(frames)), HR_SIDE, HR_SIDE),
        compression="gzip",
        compression_opts=1,
    )
    if not is_as_ours:
        for start in range(0, len(frames), CHUNK_FRAMES):
            made[start : start + CHUNK_FRAMES] = frames[start : start + CHUNK_FRAMES]
        return
    for index in range(frames.id.get_num_chunks()):
        place = frames.id.get_chunk_info(index).chunk_offset
        mask, packed = frames.id.read_direct_chunk(place)
        made.id.write_direct_chunk(place, packed, mask)
