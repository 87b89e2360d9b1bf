"""Where jobs run: in this process, or in worker processes of their own."""

import os
import pickle
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import chain, islice
from multiprocessing import get_context, spawn
from multiprocessing.context import SpawnContext, SpawnProcess
from threading import Lock, get_ident
from typing import Any, TypeVar

from codecsim.errors import CodecsimError
from codecsim.processes import ONE_BLAS_THREAD, end_with, no_interrupt

Task = TypeVar("Task")
Outcome = TypeVar("Outcome")

_TRIES = 2


class WorkerDied(CodecsimError, RuntimeError):  # noqa: N818, what happened
    """A worker process ended in the middle of a task, more than once."""


def available_cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run(
    function: Callable[[Task], Outcome], tasks: Iterable[Task], *, workers: int = 1
) -> Iterator[tuple[Task, Outcome | WorkerDied]]:
    """Apply `function` to each task and yield (task, outcome) as they finish.

    Parameters
    ----------
    function : must be importable by name; runs in a spawned process when `workers` exceeds 1. Workers do not import
        the caller's script, unless the function or the first task is of it: then it needs a guard
    tasks : taken a few at a time, so that any number of them needs little memory
    workers : processes; 1 runs everything here

    Yields
    ------
    task, outcome : `WorkerDied` instead of an outcome where a task killed its worker twice. Errors that `function`
        raises pass through and end the run.
    """
    if workers == 1:
        for task in tasks:
            yield task, function(task)
        return
    yield from _run_processes(function, iter(tasks), workers)


def _run_processes(
    function: Callable[[Task], Outcome], tasks: Iterator[Task], workers: int
) -> Iterator[tuple[Task, Outcome | WorkerDied]]:
    retries: list[tuple[Task, int]] = []
    first = list(islice(tasks, 1))
    context = get_context("spawn") if b"__main__" in pickle.dumps((function, first)) else _Context()
    tasks = chain(first, tasks)
    with _one_blas_thread():
        while True:
            lifeline, held = context.Pipe(duplex=False)
            pool = ProcessPoolExecutor(workers, context, end_with, (lifeline,))
            in_flight: dict[Future[Outcome], tuple[Task, int]] = {}
            broken: list[tuple[Task, int]] = []
            is_broken = False
            # A task that broke a pool runs alone: whoever dies then is known.
            width = 1 if retries else 2 * workers
            try:
                while True:
                    while len(in_flight) < width and not is_broken:
                        queued = retries.pop() if retries else next(((task, 0) for task in tasks), None)
                        if queued is None:
                            break
                        try:
                            with no_interrupt():
                                in_flight[pool.submit(function, queued[0])] = queued
                        except BrokenProcessPool:  # an idle worker died
                            retries.append(queued)
                            is_broken = True
                    if not in_flight:
                        break
                    for future in wait(in_flight, return_when=FIRST_COMPLETED).done:
                        task, tries = in_flight.pop(future)
                        try:
                            outcome = future.result()
                        except BrokenProcessPool:
                            broken.append((task, tries + 1))
                            is_broken = True
                        else:
                            yield task, outcome
                    if not retries:
                        width = 2 * workers
            except (KeyboardInterrupt, GeneratorExit):
                held.close()  # nobody waits for what is in flight: the workers end at once
                raise
            finally:
                pool.shutdown(wait=True, cancel_futures=True)
                held.close()
                lifeline.close()
            if not is_broken:
                return
            for task, tries in broken:
                if tries >= _TRIES and len(broken) == 1:
                    yield task, WorkerDied("its worker process died twice; see the system's log for why")
                else:
                    retries.append((task, tries))


class _Worker(SpawnProcess):
    """A process that does not run the caller's script again: without a guard in it, that would begin all anew."""

    def start(self) -> None:
        """As any process, which is not told of the script, though."""
        with _without_script():
            super().start()


class _Context(SpawnContext):
    Process = _Worker


@contextmanager
def _without_script() -> Iterator[None]:
    """Let the processes that this thread starts know of no script."""
    with _PREPARING:
        thread, tell = get_ident(), spawn.get_preparation_data

        def told(name: str) -> dict[str, Any]:
            data = tell(name)
            return {key: data[key] for key in data if get_ident() != thread or not key.startswith("init_main")}

        spawn.get_preparation_data = told
        try:
            yield
        finally:
            spawn.get_preparation_data = tell


_PREPARING = Lock()


@contextmanager
def _one_blas_thread() -> Iterator[None]:
    """Spawned workers inherit the environment of this process, and cannot be given one of their own."""
    before = {name: os.environ.get(name) for name in ONE_BLAS_THREAD}
    os.environ.update(ONE_BLAS_THREAD)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
