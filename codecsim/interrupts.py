"""Work that ends early, and leaves what it finished in order.

Of Ctrl-C, the first one asks for an end, after what is in hand; the second one ends at once. An error of ours ends work
as the first one does: what was finished before is kept in its place.
"""

import os
import signal
import sys
import threading
import time
from _thread import start_new_thread
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from codecsim.errors import CodecsimError

_STANDARD_ERROR = 2
_SAID = b"\nEnding after what is in hand; Ctrl-C once more ends at once.\n"


_MOMENT_SECONDS = 0.001


@contextmanager
def never_lost() -> Iterator[None]:
    """Let a Ctrl-C strike again that struck in a callback: `__del__`, or that of a weak reference, such as h5py has.

    From there Python cannot raise it: it would say "Exception ignored" and forget it.
    """
    report = sys.unraisablehook

    def strike_again(lost: "sys.UnraisableHookArgs") -> None:
        if issubclass(lost.exc_type, KeyboardInterrupt):
            start_new_thread(_strike_soon, (threading.get_ident(),))  # struck at once, it would be lost in here
        else:
            report(lost)

    sys.unraisablehook = strike_again
    try:
        yield
    finally:
        sys.unraisablehook = report


def _strike_soon(thread: int) -> None:
    time.sleep(_MOMENT_SECONDS)
    signal.pthread_kill(thread, signal.SIGINT)


class Stopped(KeyboardInterrupt):
    """An end was asked for; what was in hand is finished, and kept."""


class Ending:
    """How work inside of `patient` ended."""

    cause: Stopped | CodecsimError | None = None

    @contextmanager
    def putting_in_order(self) -> Iterator[None]:
        """Put in order what the work left, and raise again what ended it early, if anything did.

        Where that was an error, it goes before one of ours in here, such as that of a full disk again.
        """
        try:
            yield
        except CodecsimError:
            if not isinstance(self.cause, CodecsimError):
                raise
        if self.cause is not None:
            raise self.cause


class _Asked(threading.local):
    for_an_end = False


_asked = _Asked()


@contextmanager
def patient() -> Iterator[Ending]:
    """Let the first Ctrl-C only be remembered, for `is_ending` to tell, and say so; the second one is raised as ever.

    `Stopped` and errors of ours end the context without an error, and are left to `Ending.putting_in_order`. Outside of
    the main thread, where Python handles no signals, and where a program handles Ctrl-C itself, Ctrl-C is as ever.
    """
    ending = Ending()
    with _remembering():
        try:
            yield ending
        except (Stopped, CodecsimError) as cause:
            ending.cause = cause


def is_ending() -> bool:
    """Whether an end was asked for, in the main thread and inside of `patient`."""
    return _asked.for_an_end


def end_if_asked() -> None:
    """Raise `Stopped` if an end was asked for."""
    if _asked.for_an_end:
        raise Stopped


@contextmanager
def _remembering() -> Iterator[None]:
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return

    def strike(number: int, frame: FrameType | None) -> None:
        if _asked.for_an_end:
            signal.default_int_handler(number, frame)
        _asked.for_an_end = True
        os.write(_STANDARD_ERROR, _SAID)  # sys.stderr may be in the middle of a line of its own

    signal.signal(signal.SIGINT, strike)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        _asked.for_an_end = False
