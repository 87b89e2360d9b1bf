"""What the keys of streams tell: of which frames they were made."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from codecsim.codecs import EncoderSettings
from codecsim.corpus import Sequence
from codecsim.errors import CodecsimError, UsageError
from codecsim.grid import content_key
from codecsim.parts import parts_folder
from codecsim.store.merge import part_files
from codecsim.store.sweep import Sweep, value_column


def is_of(stored: Mapping[str, Any], digest: str) -> bool:
    """Whether a row of /streams has the content key of frames with this digest, coded as the row says.

    Raises
    ------
    CodecsimError
        If the row's codec, mode or options are not known here.
    """
    settings = EncoderSettings.from_json(str(stored["codec"]), str(stored["mode"]), str(stored["options"]))
    value = float(stored[value_column(settings.mode)])
    fps, scale, encoder = float(stored["fps"]), int(stored["scale"]), str(stored["encoder"])
    return bool(stored["key"] == content_key(digest, fps, settings, scale, value, encoder=encoder))


def check_names(out: Path, sequences: Iterable[Sequence]) -> None:
    """Refuse a sequence whose name stands for other frames in `out` or its parts: rates of both would be mixed up.

    Raises
    ------
    UsageError
        If there is one.
    StoreError
        If `out` cannot be read; parts that cannot be are passed over.
    """
    known = {sequence.name: sequence for sequence in sequences}
    if out.exists():
        with Sweep(out) as opened:
            for name, digests in opened.digests.items():
                if name in known and digests != {known[name].digest}:
                    raise _clash(f"{out} holds streams", known[name])
    for path in part_files(parts_folder(out)):
        try:
            clashing = _clashing(path, known)
        except CodecsimError:
            continue
        if clashing is not None:
            raise _clash(f"{path.parent}, which a sweep that was cut off left, holds streams", clashing)


def _clashing(path: Path, known: Mapping[str, Sequence]) -> Sequence | None:
    """One of the sequences whose name stands for other frames in a part."""
    with Sweep(path) as part:
        for row, name in enumerate(part.column("sequence").tolist()):
            if name in known:
                stored = {column: values[row] for column, values in part.streams.items()}
                if not is_of(stored, known[name].digest):
                    return known[name]
    return None


def _clash(where: str, sequence: Sequence) -> UsageError:
    return UsageError(
        f"{where} of other frames under the name {sequence.name!r}; name another --out, or give the sequence another "
        f"name than in {sequence.corpus}"
    )
