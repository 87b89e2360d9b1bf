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
from itertools import accumulate, pairwise
from pathlib import Path
from threading import Lock

import numpy as np

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
    "import sys; sys.path[:] = sys.argv[4:]; from codecsim.decoder_process import serve; "
    "serve(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))"
)
_ASKED = struct.Struct("!QQQ")  # bytes of the header, which follows as JSON, of the packets' sizes, and of the packets
_TOLD = struct.Struct("!?Q")  # whether frames follow, or a sentence that says why not; bytes of either


class DecoderProcess:
    """Decodes in one process, started when it is first needed; a context manager, which ends it.

    After a stream that ended the process, or occupied it for too long, the next one gets another. Threads take turns.
    """

    def __init__(
        self, *, _decode: Decode = decode, _seconds: float = _SECONDS, _memory_bytes: int = _MEMORY_BYTES
    ) -> None:
        self._decode, self._seconds, self._memory_bytes = _decode, _seconds, _memory_bytes
        self._child: _Child | None = None
        self._turn = Lock()
        self._is_closed = False

    def __enter__(self) -> "DecoderProcess":
        """Nothing is started yet."""
        return self

    def __exit__(self, *_: object) -> None:
        """As `close`."""
        self.close()

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
        size = {"width": int(width), "height": int(height)}
        header = json.dumps({"codec": codec, **size}).encode()
        seconds = self._seconds + _SECONDS_A_FRAME * len(packets)
        with self._turn:
            deadline = time.monotonic() + seconds
            try:
                child = self._started()
                child.ask(header, packets, deadline)
                is_frames, told = child.answer(len(packets) * size["width"] * size["height"], deadline)
            except TimeoutError:
                self._end()
                raise CodecError(
                    f"{codec}: decoding {len(packets)} frames took longer than {seconds:.0f} s; {_ADVICE}"
                ) from None
            except (EOFError, ConnectionError):
                how = _how_it_ended(self._end(_END_SECONDS))
                raise CodecError(f"{codec}: the process that decoded it {how}; {_ADVICE}") from None
            except BaseException:
                self._end()
                raise
        if not is_frames:
            raise CodecError(told.decode(errors="replace"))
        return np.frombuffer(told, np.uint8).reshape(len(packets), size["height"], size["width"])

    def _started(self) -> "_Child":
        """The process that is there, or another if it has ended meanwhile."""
        if self._child and self._child.has_ended:
            self._end()
        if not self._child:
            self._child = _Child(self._decode, self._memory_bytes)
        if self._is_closed:  # asked last: `close` sets it before it looks for a process to kill
            raise CodecError("this decoder is closed; make another")
        return self._child

    def _end(self, seconds: float = 0) -> int:
        """End the process, if it does not end by itself in so many seconds. Returns its exit status, 0 without one."""
        child, self._child = self._child, None
        return child.end(seconds) if child else 0


class _Child:
    """The process, and this end of the socket to it."""

    def __init__(self, function: Decode, memory_bytes: int) -> None:
        self._socket, theirs = socket.socketpair()
        name = f"{function.__module__}:{function.__qualname__}"  # type: ignore[attr-defined]
        with theirs, no_interrupt():
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-c", _PROGRAM, name, str(theirs.fileno()), str(memory_bytes), *sys.path],
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

    def ask(self, header: bytes, packets: Sequence[bytes], deadline: float) -> None:
        self._socket.settimeout(_left(deadline))
        sizes = array("q", map(len, packets))
        lengths = _ASKED.pack(len(header), sizes.itemsize * len(sizes), sum(sizes))
        self._socket.sendall(b"".join([lengths, header, sizes.tobytes(), *packets]))

    def answer(self, n_frame_bytes: int, deadline: float) -> tuple[bool, bytearray]:
        is_frames, n_bytes = _TOLD.unpack(_receive(self._socket, _TOLD.size, deadline))
        if n_bytes != n_frame_bytes if is_frames else n_bytes > _MOST_TEXT:
            raise CodecError(f"the process that decodes answered with nonsense; {_ADVICE}")
        return is_frames, _receive(self._socket, n_bytes, deadline)

    def end(self, seconds: float) -> int:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        with self._process:  # closes its stdin, and waits
            self._process.kill()
        self._socket.close()
        return self._process.returncode


def _receive(source: socket.socket, n_bytes: int, deadline: float | None = None) -> bytearray:
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


def serve(name: str, descriptor: int, memory_bytes: int) -> None:
    """What the process does: decode what it is asked for, until the other end of its socket is closed.

    Parameters
    ----------
    name : MODULE:FUNCTION that decodes
    descriptor : of its socket
    memory_bytes : that it may take from here on
    """
    end_with(sys.stdin)
    module, _, function = name.partition(":")
    decoder: Decode = getattr(importlib.import_module(module), function)
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())  # what native code says when it aborts
    _limit_memory(memory_bytes)
    with socket.socket(fileno=descriptor) as asking, suppress(EOFError, ConnectionError):
        while True:
            lengths = _ASKED.unpack(_receive(asking, _ASKED.size))
            header, sizes, data = (bytes(_receive(asking, n_bytes)) for n_bytes in lengths)
            starts = accumulate(array("q", sizes), initial=0)
            packets = [data[start:stop] for start, stop in pairwise(starts)]
            is_frames, told = _decoded(decoder, packets, **json.loads(header))
            asking.sendall(_TOLD.pack(is_frames, len(told)))
            asking.sendall(told)


def _limit_memory(n_bytes: int) -> None:
    """Limit this process to `n_bytes` of address space beyond what it has, where the platform tells that (Linux)."""
    held = Path("/proc/self/statm")
    if held.exists():
        n_held = int(held.read_text().split()[0]) * resource.getpagesize()
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        most = n_held + n_bytes
        resource.setrlimit(resource.RLIMIT_AS, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def _decoded(
    decoder: Decode, packets: list[bytes], codec: str, width: int, height: int
) -> tuple[bool, memoryview | bytes]:
    """Whether there are frames, and these, or else why there are none."""
    try:
        return True, decoder(packets, codec, width=width, height=height).reshape(-1).data
    except Exception as error:
        if isinstance(error, MemoryError) or isinstance(error.__cause__, MemoryError):
            frames = f"{len(packets)} frames of {width}×{height}"
            what = f"{codec}: decoding {frames} takes more memory than a decoder may have; {_ADVICE}"
        elif isinstance(error, CodecError):
            what = str(error)
        else:
            what = f"{codec}: decoding failed: {error!r}"
        return False, what.encode(errors="replace")[:_MOST_TEXT]
