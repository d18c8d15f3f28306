"""The cores of a Ray cluster.

Tasks, not Ray Data: each image is done when it is done, in no batch, its record is there at once, and what a data set
library would bring (Arrow, pandas) is of no use for files that become files.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

from compass.errors import InputError

Item = TypeVar("Item")
Result = TypeVar("Result")
Cluster = Callable[..., Generator[Any, None, None]]  # (work, lost, items), see `_results`

_AHEAD = 2  # items a core that wait in the cluster
_TRIES = 5  # of an item whose worker or machine is lost


@contextmanager
def connected(address: str) -> Iterator[Cluster]:
    """A cluster by its address: "auto" for the one that this machine belongs to, "local" for one of this machine alone.

    Raises InputError if there is no Ray, or no such cluster.
    """
    try:
        import ray
    except ModuleNotFoundError:
        raise InputError("Ray is missing: install compass-codec[cluster]") from None
    try:
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise InputError(f"no Ray cluster at {address}: {error}") from None
    try:
        yield partial(_results, ray)
    finally:
        ray.shutdown()


def _results(
    ray: Any, work: Callable[[Item], Result], lost: Callable[[Item], Result], items: Iterable[Item]
) -> Generator[Result, None, None]:
    """The result of each item, in the order in which they are done, each on one core; `work` must be picklable.

    What a lost worker had begun is done again; `lost` makes the result of an item that is lost each time. Raises
    InputError if the cluster cannot do this work.
    """

    def compass_task(item: Item) -> Result:  # by this name Ray shows its workers
        return work(item)

    # Ray's own retries do not end where memory is short.
    remote = ray.remote(num_cpus=1, max_retries=0)(compass_task)
    errors = ray.exceptions
    killed = (errors.WorkerCrashedError, errors.OutOfMemoryError, errors.NodeDiedError, errors.ObjectLostError)
    waiting = deque((item, 1) for item in items)  # each with which try it is
    begun: dict[Any, tuple[Item, int]] = {}
    while waiting or begun:
        most = _AHEAD * max(1, int(ray.cluster_resources().get("CPU", 1)))
        while waiting and len(begun) < most:
            item, tries = waiting.popleft()
            begun[remote.remote(item)] = item, tries
        (reference, *_), _ = ray.wait(list(begun), num_returns=1)
        item, tries = begun.pop(reference)
        try:
            result = ray.get(reference)
        except killed:
            if tries < _TRIES:
                waiting.append((item, tries + 1))
                continue
            result = lost(item)
        except errors.RayError as error:
            reason = str(getattr(error, "cause", None) or error).strip().splitlines()[-1]
            raise InputError(f"the cluster cannot do this work: {reason}") from None
        yield result
