"""Processes that work side by side."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor


def process_pool(processes: int, initializer: Callable[[], object] | None = None) -> ProcessPoolExecutor:
    """A pool of fresh processes, each of which calls the initializer first.

    They are spawned, not forked: a fork inherits the locks of the runtime's threads without the threads, and may wait
    for them for ever.
    """
    return ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn"), initializer=initializer)
