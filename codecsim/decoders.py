"""Several decoder processes at work on streams whose frames are wanted in order."""

import queue
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

from codecsim.decoder_process import DecoderProcess

Given = TypeVar("Given")


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
        """Start those that have not begun: they are ready a moment later."""
        for process in self._processes:
            process.start()

    def close(self) -> None:
        """End the processes; what is decoded at this moment ends with an error where it is waited for."""
        for process in self._processes:
            process.close()
        self._executor.shutdown(cancel_futures=True)

    def in_order(self, tasks: Iterable[Callable[[DecoderProcess], Given]]) -> Iterator[Given]:
        """What tasks give, one after another, while as many of those to come as there are processes are under way.

        A task that fails raises its error in its turn; tasks after it may have been begun.
        """
        under_way: deque[Future[Given]] = deque()
        try:
            for task in tasks:
                under_way.append(self._executor.submit(self._with_one, task))
                if len(under_way) > self._number:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
        finally:
            for each in under_way:
                each.cancel()
            wait(under_way)

    def _with_one(self, task: Callable[[DecoderProcess], Given]) -> Given:
        process = self._free.get()
        try:
            return task(process)
        finally:
            self._free.put(process)
