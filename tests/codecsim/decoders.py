"""Decoders for tests, which a `DecoderProcess` imports by name: they misbehave as native code can."""

import ctypes
import hashlib
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from codecsim.concealment import Received, receive
from codecsim.decode import Frames, decode
from codecsim.errors import CodecError

TROUBLE = "CODECSIM_TEST_TROUBLE"
"""Environment variable: SHA-256 of the one stream that `crash_on_one`, `hang_on_one` and others make trouble of."""

HANGS = "CODECSIM_TEST_HANGS"
"""Environment variable: file that appears when `hang_on_one` hangs."""


def misbehave(packets: Sequence[bytes], codec: str, /, *, width: int, height: int) -> Frames:
    """Do what the first packet says, or else give black frames."""
    match packets[0]:
        case b"abort":
            os.write(2, b"free(): invalid pointer\n")
            os.abort()
        case b"segfault":
            ctypes.string_at(0)
        case b"be killed":
            os.kill(os.getpid(), signal.SIGKILL)
        case b"exit":
            os._exit(3)
        case b"hang":
            time.sleep(600)
        case b"spin":
            while True:
                pass
        case b"eat":
            bytearray(2**29)
        case b"divide":
            return np.zeros((1, height, width // 0), np.uint8)
        case b"tell modules":
            raise CodecError(" ".join(sys.modules))
        case b"tell process":
            raise CodecError(str(os.getpid()))
        case b"give too little":
            return np.zeros((1, 1, 1), np.uint8)
    return np.zeros((len(packets), height, width), np.uint8)


def misreceive(
    packets: Sequence[bytes],
    pts: npt.NDArray[np.integer],
    is_lost: npt.NDArray[np.bool_],
    codec: str,
    /,
    *,
    width: int,
    height: int,
) -> Received:
    """As `misbehave`; the frames that are said to be lost are concealed."""
    return Received(misbehave(packets, codec, width=width, height=height), is_lost[pts])


def crash_on_one(packets: Sequence[bytes], codec: str, /, *, width: int, height: int) -> Frames:
    """Decode, but crash on the stream that the environment names."""
    if hashlib.sha256(b"".join(packets)).hexdigest() == os.environ[TROUBLE]:
        os.abort()
    return decode(packets, codec, width=width, height=height)


def hang_on_one(packets: Sequence[bytes], codec: str, /, *, width: int, height: int) -> Frames:
    """Decode, but never come back from the stream that the environment names."""
    if hashlib.sha256(b"".join(packets)).hexdigest() == os.environ[TROUBLE]:
        Path(os.environ[HANGS]).touch()
        time.sleep(600)
    return decode(packets, codec, width=width, height=height)


def crash_on_losses_of_one(
    packets: Sequence[bytes],
    pts: npt.NDArray[np.integer],
    is_lost: npt.NDArray[np.bool_],
    codec: str,
    /,
    *,
    width: int,
    height: int,
) -> Received:
    """Receive, but crash on the stream that the environment names."""
    if hashlib.sha256(b"".join(packets)).hexdigest() == os.environ[TROUBLE]:
        os.abort()
    return receive(packets, pts, is_lost, codec, width=width, height=height)
