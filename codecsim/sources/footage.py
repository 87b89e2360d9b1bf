"""Footage as users name it: video files, corpora and what is built in → corpora → the sequences that are wanted."""

import hashlib
from collections.abc import Iterable
from collections.abc import Sequence as Ordered
from contextlib import suppress
from functools import partial
from pathlib import Path

from codecsim.corpus import Corpus, CorpusWriter, Sequence, is_corpus
from codecsim.errors import SourceError, UsageError
from codecsim.faces import FaceSettings
from codecsim.hdf5 import is_hdf5
from codecsim.sources.assembly import Progress, untold
from codecsim.sources.builtin import BUILTIN, builtin_path
from codecsim.sources.demo import unpack_demo
from codecsim.sources.reporting import Report
from codecsim.sources.video import prepare_video, video_digest

_TESTED_ON = "dev"


def prepare(
    videos: str | Path | Iterable[str | Path],
    out: str | Path,
    *,
    boxes: str | Path | None = None,
    labels: str | Path | None = None,
    subject: str = "",
    split: str = "",
    faces: FaceSettings | None = None,
    progress: Progress | None = None,
) -> list[Report]:
    """Find, follow and crop the faces of recordings and write them to one corpus file.

    Parameters
    ----------
    videos : files that FFmpeg opens, or names of built-in footage; a sequence a person and recording
    out : corpus file; appears whole, or not at all
    boxes : CSV of boxes to use instead of the detector (time or frame, x, y, w, h); for one recording
    labels : CSV of labels (time, a column a task), joined on time; for one recording
    subject, split : stored with every sequence
    faces : how faces are found and cropped
    progress : told what is going on

    Returns
    -------
    reports : what was done to each recording

    Raises
    ------
    UsageError
        If `boxes` or `labels` are given for more than one recording.
    SourceError, FaceError, StoreError
        If a file cannot be read, shows no face, or `out` cannot be written.
    """
    paths = _located(videos)
    if len(paths) > 1 and (boxes or labels):
        raise UsageError(f"boxes and labels belong to one recording, and {len(paths)} were given: prepare them singly")
    faces, told, reports = faces or FaceSettings(), progress or untold, []
    with CorpusWriter(out, attributes={"faces": faces.to_json()}) as writer:
        for name, path in paths.items():
            reports.append(
                prepare_video(
                    path,
                    writer,
                    name=name,
                    subject=subject,
                    split=split,
                    settings=faces,
                    boxes=Path(boxes) if boxes else None,
                    labels=Path(labels) if labels else None,
                    progress=partial(told, f"finding the face in {name}"),
                )
            )
    return reports


def corpora_of(
    sources: str | Path | Iterable[str | Path], out: Path, faces: FaceSettings, progress: Progress
) -> tuple[list[Path], list[str]]:
    """Corpus files of all sources, and what is to be said of them.

    Videos are prepared once, and the demo is unpacked, into ``OUT.corpus/NAME-DIGEST.h5``, under a digest of the file's
    content and of `faces`.
    """
    corpora, notes = [], []
    for name, path in _located(sources).items():
        is_demo = path == builtin_path("demo")
        if is_hdf5(path) and not is_demo:
            Corpus(path).close()
            corpora.append(path)
            continue
        identity = hashlib.sha256(f"{video_digest(path)} {name} {faces.to_json()}".encode()).hexdigest()[:12]
        target = out.with_name(f"{out.stem}.corpus") / f"{name}-{identity}.h5"
        if not is_corpus(target):
            try:
                with CorpusWriter(target, attributes={"faces": faces.to_json()}) as writer:
                    if is_demo:
                        unpack_demo(writer)
                    else:
                        told = partial(progress, f"finding the face in {name}")
                        made = prepare_video(path, writer, name=name, settings=faces, progress=told)
                        notes += [said if said.startswith(name) else f"{name}: {said}" for said in made.warnings]
            except BaseException:
                with suppress(OSError):
                    target.parent.rmdir()  # where nothing is in it
                raise
        corpora.append(target)
    return corpora, notes


def sequences_of(corpora: Ordered[Path], splits: tuple[str, ...]) -> tuple[list[Sequence], list[str]]:
    """The sequences that are to be coded, and what is to be said of the others.

    Raises
    ------
    UsageError
        If none is of a split that was named.
    """
    taken, notes, known = [], [], set()
    for path in corpora:
        with Corpus(path) as corpus:
            held = corpus.sequences()
        here = sorted({each.split for each in held})
        known |= set(here)
        wanted = splits or ((_TESTED_ON,) if _TESTED_ON in here else tuple(here))
        chosen = [each for each in held if each.split in wanted]
        if len(chosen) < len(held) and not splits:
            notes.append(f"{path}: its split dev is taken, {len(chosen)} of {len(held)} sequences; others on request")
        taken += chosen
    for split in splits:
        if split not in known:
            there = ", ".join(each or "(none)" for each in sorted(known))
            raise UsageError(f"no sequence is of split {split!r}; there are {there}")
    return taken, notes


def _located(sources: str | Path | Iterable[str | Path]) -> dict[str, Path]:
    """Sources by name: the file's stem, with the folder's name before it where stems are the same."""
    listed = [sources] if isinstance(sources, str | Path) else list(sources)
    if not listed:
        raise UsageError(f"no source: name a video or corpus file, or one of {', '.join(BUILTIN)}")
    located: dict[str, Path] = {}
    stems = [Path(each).stem for each in listed]
    for each, stem in zip(listed, stems, strict=True):
        path = builtin_path(str(each)) if str(each) in BUILTIN else Path(each)
        if not path.exists():
            builtin = ", ".join(BUILTIN)
            raise SourceError(f"{path}: no such file; a source is a video, a corpus file, or one of {builtin}")
        name = f"{path.resolve().parent.name}_{stem}" if stems.count(stem) > 1 else stem
        if name in located:
            raise UsageError(f"{located[name]} and {path} would both be named {name!r}: rename one")
        located[name] = path
    return located
