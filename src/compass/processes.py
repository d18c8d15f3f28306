"""Processes that work side by side."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from typing import TypeVar

from compass.errors import InputError

Item = TypeVar("Item")
Result = TypeVar("Result")

_AHEAD = 2  # items a process that wait in its pool
_AGAIN = 1.0  # seconds until a process that does not end is told again
_TRIES = 2  # of an item alone, before it is given up


def process_pool(processes: int, initializer: Callable[[], object] | None = None) -> ProcessPoolExecutor:
    """A pool of fresh processes, each of which calls the initializer first.

    They are spawned, not forked: a fork inherits the locks of the runtime's threads without the threads, and may wait
    for them for ever.
    """
    return ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn"), initializer=initializer)


def processors() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_processes(
    work: Callable[[Item], Result], lost: Callable[[Item], Result], items: Iterable[Item], processes: int
) -> Generator[Result, None, None]:
    """The result of each item, in the order in which they are done; `work` must be picklable.

    Where a process is killed, say for want of memory, what was begun is done again, each alone, so that one item
    which kills its process does not take others with it; `lost` makes its result. If the caller stops asking, or is
    interrupted, the processes end at once, and what they have half-written is taken away; so they do if this process
    is killed. Raises InputError if no process can be started.
    """
    waiting, suspects = deque(items), deque[tuple[Item, int]]()  # each with how often it was tried alone
    while waiting or suspects:
        if not suspects:
            suspects.extend((item, 0) for item in (yield from _together(work, waiting, processes)))
            continue
        item, tries = suspects.popleft()
        broken = yield from _together(work, deque([item]), 1)
        if broken and tries + 1 < _TRIES:
            suspects.append((item, tries + 1))
        elif broken:
            yield lost(item)


def _together(
    work: Callable[[Item], Result], waiting: deque[Item], processes: int
) -> Generator[Result, None, list[Item]]:
    """Results of a pool, which takes items off `waiting`; returns those that a killed process has left undone."""
    left: list[Item] = []
    begun: dict[Future[Result], Item] = {}
    with process_pool(processes, _end_when_told) as pool:
        try:
            _check_start(pool)
            while begun or (waiting and not left):
                while waiting and not left and len(begun) < _AHEAD * processes:
                    item = waiting.popleft()
                    try:
                        begun[pool.submit(_or_end, work, item)] = item
                    except BrokenProcessPool:
                        left.append(item)
                for future in wait(begun, return_when=FIRST_COMPLETED).done:
                    item = begun.pop(future)
                    try:
                        result = future.result()
                    except BrokenProcessPool:
                        left.append(item)
                    else:
                        yield result
        except BaseException:
            for process in list((pool._processes or {}).values()):
                process.terminate()  # a pool would end what it has begun, and begin what is next
            pool.shutdown(cancel_futures=True)
            raise
    return left


def _check_start(pool: ProcessPoolExecutor) -> None:
    """Raises InputError if the first process of a pool does not come up."""
    try:
        pool.submit(int).result()
    except BrokenProcessPool:
        raise InputError(
            'no process can be started: a program that uses several is guarded by if __name__ == "__main__"'
        ) from None


def _or_end(work: Callable[[Item], Result], item: Item) -> Result:
    """In a process of a pool, which goes on after SystemExit: ends it once what is half-written is taken away."""
    try:
        return work(item)
    except SystemExit:
        os._exit(1)


def _end_when_told() -> None:
    """Ctrl-C goes to all processes of a terminal; those of a pool wait for the first one to end them, or to be gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    end_cleanly()  # from here on something may be half-written


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    parent.join()
    while True:  # a signal that comes between two items the pool takes for an error of one of them
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(_AGAIN)


def end_cleanly() -> None:
    """Lets SIGTERM end the process as an error would: what is half-written is taken away."""
    with suppress(ValueError):  # of a thread that may not
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
