"""Readers that are wrong on purpose: what a campaign must find. Each stumbles over the third input, ``b"2"``."""

import os
import time
from collections.abc import Callable
from pathlib import Path

from tests.fuzz.targets import Judge, Target


def _target(name: str, stumble: Callable[[], object]) -> Target:
    numbers = iter("0123456789")

    def read(_: Judge, path: Path) -> None:
        if path.read_bytes() == b"2":
            stumble()

    return Target(name, ".number", lambda _: [b"seed"], lambda *_: next(numbers).encode(), read)


def _allocate() -> None:
    bytearray(2**34)


RAISES = _target("raises", lambda: int("two"))
FILLS = _target("fills", _allocate)
DIES = _target("dies", os.abort)
HANGS = _target("hangs", lambda: time.sleep(60))
