"""Decoding in a process of its own, which a hostile stream may end without harm to the process that asks.

It is started as a program, not through multiprocessing, which would import the caller's script again, with all that
this imports, and fail where the script does not guard against it. What comes back is bytes and text, never a pickle. It
is no sandbox: who takes over a decoder has the rights of the user.
"""

import importlib
import json
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
import time
from array import array
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from codecsim.concealment import Receive, Received, receive
from codecsim.decode import Decode, Frames, decode
from codecsim.errors import CodecError
from codecsim.processes import ONE_BLAS_THREAD, end_with, no_interrupt

_SECONDS = 60.0
"""What a request may take besides its frames. It includes the start of the process: 2 s on a busy machine."""

_SECONDS_A_FRAME = 0.05
"""What a frame may take besides: one of 96×96 takes 3 ms at most (x265 at QP 0, on a busy machine)."""

_MEMORY_BYTES = 4 * 2**30
"""Address space that the process may take beyond that of its start: 466 000 frames of 96×96, five hours of footage."""

_END_SECONDS = 5.0
_MOST_TEXT = 2**16
_ADVICE = "the stream is damaged, or made to harm; encode it again, or leave it out"

_PROGRAM = (
    "import sys; sys.path[:] = sys.argv[5:]; from codecsim.decoder_process import serve; "
    "serve(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))"
)
_ASKED = struct.Struct("!5Q")
"""Bytes of what follows: a header in JSON, the packets' sizes, their places, which were lost, and the packets. Places
and losses are left out where all packets are to be decoded."""

_TOLD = struct.Struct("!?Q")
"""Whether frames follow, then which of them were concealed where places were given; or a sentence that says why not.
Bytes of either."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is to be decoded.

    Attributes
    ----------
    packets : of a stream, in decoding order
    codec, width, height : of it
    pts, is_lost : as of `codecsim.concealment.receive`; empty where all packets are to be decoded
    """

    packets: Sequence[bytes]
    codec: str
    width: int
    height: int
    pts: bytes = b""
    is_lost: bytes = b""

    @property
    def n_answered(self) -> int:
        """Bytes of the answer, where there are frames."""
        return len(self.packets) * self.width * self.height + len(self.is_lost)

    def to_bytes(self) -> bytes:
        header = json.dumps({"codec": self.codec, "width": self.width, "height": self.height}).encode()
        sizes = array("q", map(len, self.packets)).tobytes()
        parts = (header, sizes, self.pts, self.is_lost)
        lengths = _ASKED.pack(*map(len, parts), sum(map(len, self.packets)))
        return b"".join([lengths, *parts, *self.packets])

    @classmethod
    def of(cls, asking: socket.socket) -> "_Asked":
        """What the other end asks for; `EOFError` where it asks for nothing more."""
        lengths = _ASKED.unpack(_exactly(asking, _ASKED.size))
        header, sizes, pts, is_lost, data = (bytes(_exactly(asking, n_bytes)) for n_bytes in lengths)
        starts = accumulate(array("q", sizes), initial=0)
        packets = [data[start:stop] for start, stop in pairwise(starts)]
        return cls(packets, **json.loads(header), pts=pts, is_lost=is_lost)


class DecoderProcess:
    """Decodes in one process, started when it is first needed; a context manager, which ends it.

    After a stream that ended the process, or occupied it for too long, the next one gets another. Threads take turns.
    """

    def __init__(
        self,
        *,
        _decode: Decode = decode,
        _receive: Receive = receive,
        _seconds: float = _SECONDS,
        _memory_bytes: int = _MEMORY_BYTES,
    ) -> None:
        self._decode, self._receive = _decode, _receive
        self._seconds, self._memory_bytes = _seconds, _memory_bytes
        self._child: _Child | None = None
        self._turn = Lock()
        self._is_closed = False

    def __enter__(self) -> "DecoderProcess":
        """Nothing is started yet."""
        return self

    def __exit__(self, *_: object) -> None:
        """As `close`."""
        self.close()

    def start(self) -> None:
        """Start the process, and do not wait until it is ready: for who will need it soon.

        Raises
        ------
        CodecError
            If none can be started, or this decoder is closed.
        """
        with self._turn:
            try:
                self._started()
            except BaseException:
                self._end()
                raise

    def close(self) -> None:
        """End the process; what another thread decodes at this moment ends with an error there."""
        self._is_closed = True
        if child := self._child:
            child.kill()
        with self._turn:
            self._end()

    def decode(self, packets: Sequence[bytes], codec: str, /, *, width: int, height: int) -> Frames:
        """As `codecsim.decode.decode`.

        Raises
        ------
        CodecError
            As there; also if the stream crashes its decoder, or takes more than 4.3 GB, or 60 s and 50 ms a frame.
        """
        asked = _Asked(packets, codec, int(width), int(height))
        return _frames(self._answered(asked), asked)

    def receive(
        self,
        packets: Sequence[bytes],
        pts: npt.NDArray[np.integer],
        is_lost: npt.NDArray[np.bool_],
        codec: str,
        /,
        *,
        width: int,
        height: int,
    ) -> Received:
        """As `codecsim.concealment.receive`.

        Raises
        ------
        CodecError
            As there, and as `decode`; also if `pts` and `is_lost` are not of one number a packet.
        """
        if pts.shape != (len(packets),) or is_lost.shape != pts.shape:
            raise CodecError(
                f"{codec}: {len(packets)} frames, {pts.size} places and {is_lost.size} losses; one of each is needed"
            )
        places, losses = np.asarray(pts, np.int64).tobytes(), np.asarray(is_lost, np.bool_).tobytes()
        asked = _Asked(packets, codec, int(width), int(height), places, losses)
        told = self._answered(asked)
        is_concealed = np.frombuffer(told, np.uint8)[asked.n_answered - len(packets) :] != 0
        return Received(_frames(told, asked), is_concealed)

    def _answered(self, asked: _Asked) -> bytearray:
        """What the process answers, after it was started where there is none."""
        codec, n_frames = asked.codec, len(asked.packets)
        seconds = self._seconds + _SECONDS_A_FRAME * n_frames
        with self._turn:
            deadline = time.monotonic() + seconds
            try:
                child = self._started()
                child.ask(asked, deadline)
                is_frames, told = child.answer(asked.n_answered, deadline)
            except TimeoutError:
                self._end()
                raise CodecError(
                    f"{codec}: decoding {n_frames} frames took longer than {seconds:.0f} s; {_ADVICE}"
                ) from None
            except (EOFError, ConnectionError):
                how = _how_it_ended(self._end(_END_SECONDS))
                raise CodecError(f"{codec}: the process that decoded it {how}; {_ADVICE}") from None
            except BaseException:
                self._end()
                raise
        if not is_frames:
            raise CodecError(told.decode(errors="replace"))
        return told

    def _started(self) -> "_Child":
        """The process that is there, or another if it has ended meanwhile."""
        if self._child and self._child.has_ended:
            self._end()
        if not self._child:
            self._child = _Child([self._decode, self._receive], self._memory_bytes)
        if self._is_closed:  # asked last: `close` sets it before it looks for a process to kill
            raise CodecError("this decoder is closed; make another")
        return self._child

    def _end(self, seconds: float = 0) -> int:
        """End the process, if it does not end by itself in so many seconds. Returns its exit status, 0 without one."""
        child, self._child = self._child, None
        return child.end(seconds) if child else 0


class _Child:
    """The process, and this end of the socket to it."""

    def __init__(self, functions: Sequence[Decode | Receive], memory_bytes: int) -> None:
        self._socket, theirs = socket.socketpair()
        names = [f"{each.__module__}:{each.__qualname__}" for each in functions]  # type: ignore[union-attr]
        with theirs, no_interrupt():
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-c", _PROGRAM, *names, str(theirs.fileno()), str(memory_bytes), *sys.path],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                    env={**os.environ, **ONE_BLAS_THREAD},
                )
            except OSError as error:
                self._socket.close()
                raise CodecError(f"no process can be started to decode in: {error}") from error

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def kill(self) -> None:
        self._process.kill()

    def ask(self, asked: _Asked, deadline: float) -> None:
        self._socket.settimeout(_left(deadline))
        self._socket.sendall(asked.to_bytes())

    def answer(self, n_answered: int, deadline: float) -> tuple[bool, bytearray]:
        is_frames, n_bytes = _TOLD.unpack(_exactly(self._socket, _TOLD.size, deadline))
        if n_bytes != n_answered if is_frames else n_bytes > _MOST_TEXT:
            raise CodecError(f"the process that decodes answered with nonsense; {_ADVICE}")
        return is_frames, _exactly(self._socket, n_bytes, deadline)

    def end(self, seconds: float) -> int:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        with self._process:  # closes its stdin, and waits
            self._process.kill()
        self._socket.close()
        return self._process.returncode


def _frames(told: bytearray, asked: _Asked) -> Frames:
    """The frames at the beginning of an answer."""
    n_bytes = len(told) - len(asked.is_lost)
    return np.frombuffer(told, np.uint8)[:n_bytes].reshape(len(asked.packets), asked.height, asked.width)


def _exactly(source: socket.socket, n_bytes: int, deadline: float | None = None) -> bytearray:
    """Exactly `n_bytes`; `EOFError` where fewer come, `TimeoutError` where they come too late."""
    received = bytearray(n_bytes)
    left = memoryview(received)
    while left:
        if deadline is not None:
            source.settimeout(_left(deadline))
        n_new = source.recv_into(left)
        if not n_new:
            raise EOFError
        left = left[n_new:]
    return received


def _left(deadline: float) -> float:
    """Seconds until then, more than 0, which sockets take for a wish not to wait at all."""
    return max(deadline - time.monotonic(), 1e-3)


def _how_it_ended(status: int) -> str:
    if status == -signal.SIGKILL:
        return "was killed, by the system perhaps for want of memory"
    if status < 0:
        return f"crashed ({signal.Signals(-status).name})"
    return f"ended by itself with status {status}"


def serve(decoder: str, receiver: str, descriptor: int, memory_bytes: int) -> None:
    """What the process does: decode what it is asked for, until the other end of its socket is closed.

    Parameters
    ----------
    decoder, receiver : MODULE:FUNCTION that decodes all of a stream, or what arrived of it
    descriptor : of its socket
    memory_bytes : that it may take from here on
    """
    end_with(sys.stdin)
    decodes: Decode = _function(decoder)
    receives: Receive = _function(receiver)
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())  # what native code says when it aborts
    _limit_memory(memory_bytes)
    with socket.socket(fileno=descriptor) as asking, suppress(EOFError, ConnectionError):
        while True:
            is_frames, told = _decoded(decodes, receives, _Asked.of(asking))
            asking.sendall(_TOLD.pack(is_frames, sum(map(len, told))))
            for each in told:
                asking.sendall(each)


def _function(name: str) -> Any:
    module, _, function = name.partition(":")
    return getattr(importlib.import_module(module), function)


def _limit_memory(n_bytes: int) -> None:
    """Limit this process to `n_bytes` of address space beyond what it has, where the platform tells that (Linux)."""
    held = Path("/proc/self/statm")
    if held.exists():
        n_held = int(held.read_text().split()[0]) * resource.getpagesize()
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        most = n_held + n_bytes
        resource.setrlimit(resource.RLIMIT_AS, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def _decoded(decodes: Decode, receives: Receive, asked: _Asked) -> tuple[bool, list[memoryview | bytes]]:
    """Whether there are frames, and these, or else why there are none."""
    packets, codec, size = asked.packets, asked.codec, {"width": asked.width, "height": asked.height}
    try:
        if not asked.pts:
            return True, [decodes(packets, codec, **size).reshape(-1).data]
        pts, is_lost = np.frombuffer(asked.pts, np.int64), np.frombuffer(asked.is_lost, np.bool_)
        received = receives(packets, pts, is_lost, codec, **size)
        return True, [received.frames.reshape(-1).data, received.is_concealed.tobytes()]
    except Exception as error:
        if isinstance(error, MemoryError) or isinstance(error.__cause__, MemoryError):
            frames = f"{len(packets)} frames of {asked.width}×{asked.height}"
            what = f"{codec}: decoding {frames} takes more memory than a decoder may have; {_ADVICE}"
        elif isinstance(error, CodecError):
            what = str(error)
        else:
            what = f"{codec}: decoding failed: {error!r}"
        return False, [what.encode(errors="replace")[:_MOST_TEXT]]
