"""What child processes have in common: how they start, and when they end."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Protocol

ONE_BLAS_THREAD = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""Environment of child processes, which read it when they import NumPy: one thread each, since each has a core."""


class HasDescriptor(Protocol):
    """An open file, pipe or connection."""

    def fileno(self) -> int:
        """Its descriptor."""


def end_with(lifeline: HasDescriptor) -> None:
    """Let this process end at once when the other end of `lifeline` is closed: when its parent lets go, or is killed.

    Parameters
    ----------
    lifeline : reading end of a pipe on which nothing is sent
    """

    def watch() -> None:
        os.read(lifeline.fileno(), 1)
        os._exit(1)

    Thread(target=watch, daemon=True).start()


@contextmanager
def no_interrupt() -> Iterator[None]:
    """Hold Ctrl-C back; processes started meanwhile never get it, so that it is this process that ends them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
