"""One owner of threads: networks run on as many as they are told, all other arithmetic on the caller's alone.

The products beside the networks are small. The threads that numpy's library would split them among cost more than they
bring, and wait by spinning: they would take the cores of the networks' threads, and of other processes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from typing import Any, TypeVar

from threadpoolctl import ThreadpoolController

Item = TypeVar("Item")

_lock = threading.Lock()
_inside = 0
_limiter: Any = None


@contextmanager
def products_on_one_thread() -> Iterator[None]:
    """Within it numpy multiplies on one thread; its own setting is back when the last of all threads has left."""
    global _inside, _limiter
    with _lock:
        if _inside == 0:
            _limiter = _controller().limit(limits=1, user_api="blas")
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                _limiter.restore_original_limits()


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()


def each_within(context: Callable[[], AbstractContextManager[Any]], items: Iterator[Item]) -> Iterator[Item]:
    """The same items, each made within a context of its own, which is left while the caller has the item."""
    while True:
        with context():
            try:
                item = next(items)
            except StopIteration:
                return
        yield item
