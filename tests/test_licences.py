"""Nothing is installed with codecsim that is not under a permissive licence, and the page of licences is right."""

import importlib.metadata

import pytest

from tests.licences import PAGE, is_permissive, licence, page, pinned


def _alike(name: str) -> str:
    return name.lower().replace("_", "-")


_INSTALLED = {_alike(each.name) for each in importlib.metadata.distributions()}
MISSING = [name for name in pinned() if _alike(name) not in _INSTALLED]
needs_all = pytest.mark.skipif(bool(MISSING), reason=f"needs the pinned packages; not there: {', '.join(MISSING)}")


@needs_all
def test_every_pinned_package_is_permissive() -> None:
    assert {name: licence(name) for name in pinned() if not is_permissive(licence(name))} == {}


@needs_all
def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "python -m tests.licences writes it anew"


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("MIT", True),
        ("BSD-3-Clause AND 0BSD AND Zlib", True),
        ("(MIT OR GPL-3.0-only)", False),
        ("GPL-2.0-or-later", False),
        ("", False),
        ("see the file", False),
    ],
)
def test_what_is_permissive(said: str, expected: bool) -> None:
    assert is_permissive(said) is expected
