"""The cores of a Ray cluster.

Tasks, not Ray Data: each image is done when it is done, in no batch, its record is there at once, and what a data set
library would bring (Arrow, pandas) is of no use for files that become files.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from compass.errors import InputError

Item = TypeVar("Item")
Result = TypeVar("Result")

_AHEAD = 2  # items a core that wait in the cluster
_RETRIES = 4  # of an item whose worker or machine is lost


def on_cluster(
    work: Callable[[Item], Result], lost: Callable[[Item], Result], items: Iterable[Item], address: str
) -> Iterator[Result]:
    """The result of each item, in the order in which they are done, each on one core; `work` must be picklable.

    address: of a cluster, "auto" for the one that this machine belongs to, "local" for one of this machine alone. What
    a lost worker had begun is done again elsewhere; `lost` makes the result of an item that is lost each time. Raises
    InputError if there is no Ray or no such cluster.
    """
    try:
        import ray
    except ModuleNotFoundError:
        raise InputError("Ray is missing: pip install 'compass-codec[cluster]'") from None
    try:
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise InputError(f"no Ray cluster at {address}: {error}") from None
    try:
        yield from _results(ray, work, lost, iter(items))
    finally:
        ray.shutdown()


def _results(
    ray: Any, work: Callable[[Item], Result], lost: Callable[[Item], Result], items: Iterator[Item]
) -> Iterator[Result]:
    def compass_task(item: Item) -> Result:  # by this name Ray shows its workers
        return work(item)

    remote = ray.remote(num_cpus=1, max_retries=_RETRIES)(compass_task)
    begun: dict[Any, Item] = {}
    more = True
    while more or begun:
        room = _AHEAD * max(1, int(ray.cluster_resources().get("CPU", 1))) - len(begun)
        for _ in range(room):
            try:
                item = next(items)
            except StopIteration:
                more = False
                break
            begun[remote.remote(item)] = item
        done, _ = ray.wait(list(begun), num_returns=1) if begun else ([], None)
        for reference in done:
            item = begun.pop(reference)
            try:
                result = ray.get(reference)
            except ray.exceptions.RayError:
                result = lost(item)
            yield result
