"""Several decoder processes at work on streams whose frames are wanted in order."""

import queue
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from typing import TypeVar

from codecsim.decoder_process import DecoderProcess
from codecsim.errors import CodecError

Given = TypeVar("Given")

_CLOSED = "these decoders are closed; make others"


class Decoders:
    """Processes that decode, and a thread that waits for each; a context manager, which ends them.

    Parameters
    ----------
    number : of processes; each is started when it is first needed
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self._processes = [DecoderProcess() for _ in range(number)]
        self._free: queue.SimpleQueue[DecoderProcess] = queue.SimpleQueue()
        for process in self._processes:
            self._free.put(process)
        self._executor = ThreadPoolExecutor(number, "codecsim-decoding")

    def __enter__(self) -> "Decoders":
        """Nothing is started yet."""
        return self

    def __exit__(self, *_: object) -> None:
        """As `close`."""
        self.close()

    def start(self) -> None:
        """Start those that have not begun: they are ready a moment later. Decoding tells if one cannot be started."""
        with suppress(CodecError):
            for process in self._processes:
                process.start()

    def close(self) -> None:
        """End the processes; what is decoded at this moment ends with an error where it is waited for."""
        for process in self._processes:
            process.close()
        self._executor.shutdown(cancel_futures=True)

    def in_order(self, tasks: Iterable[Callable[[DecoderProcess], Given]]) -> Generator[Given, None, None]:
        """What tasks give, one after another; twice as many as there are processes are under way, or wait for one of
        these, so that none is idle until what it decoded is taken. The next one is among them.

        A task that fails raises its error in its turn, as soon as those under way beside it have ended.

        Raises
        ------
        CodecError
            If these decoders are closed.
        """
        under_way: deque[Future[Given]] = deque()
        try:
            for task in tasks:
                under_way.append(self._begun(task))
                if len(under_way) == 2 * self._number:
                    yield _given(under_way.popleft())
            while under_way:
                yield _given(under_way.popleft())
        finally:
            wait([each for each in under_way if not each.cancel()])  # nobody would tell the end of a cancelled one

    def _begun(self, task: Callable[[DecoderProcess], Given]) -> "Future[Given]":
        try:
            return self._executor.submit(self._with_one, task)
        except RuntimeError:  # after it was shut down
            raise CodecError(_CLOSED) from None

    def _with_one(self, task: Callable[[DecoderProcess], Given]) -> Given:
        process = self._free.get()
        try:
            return task(process)
        finally:
            self._free.put(process)


def _given(task: "Future[Given]") -> Given:
    """What a task gives, or its error."""
    try:
        return task.result()
    except CancelledError:
        raise CodecError(_CLOSED) from None
