"""All images of a folder and of the folders in it, as layered files in another, with a manifest.

A run does what no run before it has done: images whose record, file and settings are as they would be are passed over.
So a run that was interrupted is begun again by the same command, and new images are added by it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from compass import api
from compass.dataset.cluster import connected
from compass.dataset.manifest import Manifest, Record
from compass.dataset.place import Place
from compass.dataset.task import Pair, Task, file_name
from compass.errors import InputError
from compass.model import store
from compass.model.model import Model
from compass.picture.files import readable_suffixes
from compass.processes import in_processes

Work = Callable[[Task, Callable[[Pair], Record], list[Pair]], Generator[Record, None, None]]


@dataclass(frozen=True)
class Summary:
    """What a run has done."""

    encoded: int
    kept: int  # images that had been done
    failed: int
    bytes: int  # of all files that the manifest has


@dataclass(frozen=True)
class Workers:
    """What works: processes of this machine, or the cores of a Ray cluster."""

    processes: int = 1
    cluster: str | None = None  # its address, as in `on_cluster`


def encode_all(
    source: str,
    target: str,
    options: dict[str, Any],
    *,
    workers: Workers = Workers(),
    keep_suffix: bool = False,
    max_pixels: int | None = None,
    force: bool = False,
    say: Callable[[str], None] = lambda text: None,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Summary:
    """Codes all images below a folder.

    source, target: folders, or URLs that fsspec knows. options: of `compass.encode`, but for the image, threads,
    progress and region. keep_suffix: a.png becomes a.png.cmps. force: everything is done again, whatever is there.
    say: is told a sentence for each image that fails; progress: how many of how many are done.

    Raises InputError if nothing can be begun; an image that fails does not stop the others, and is tried again by the
    next run.
    """
    from_place, to_place = Place.of(source), Place.of(target)
    if not from_place.is_folder():
        raise InputError(f"{source} is not a folder")
    if (workers.processes > 1 or workers.cluster) and (from_place.of_one_process or to_place.of_one_process):
        raise InputError("what is in memory:// is seen by one process alone, not by several at once")
    api.check_options(**options)
    options = dict(options)
    if options.get("model") is not None and os.path.isfile(options["model"]):
        options["model"] = os.path.abspath(options["model"])
    model = store.load(options.get("model"), threads=1)
    pairs = _pairs(from_place, keep_suffix)
    task = Task(from_place, to_place, options, settings_of(options, model), model.hash.hex(), max_pixels)
    manifest = Manifest(to_place)
    before = dict(manifest.records)
    files = {pair.file for pair in pairs}
    gone = before.keys() - {pair.image.name for pair in pairs}
    if left := sum(before[name].sha256 is not None and before[name].file not in files for name in gone):
        say(f"no longer in {source}: {left} of the images in the manifest; what was made of them is kept")
    todo = pairs if force else _undone(pairs, before, task)
    failed = 0
    with (
        _working(workers) as work,
        manifest.writing(map(task.blank, todo), gone) as writer,
        closing(work(task, task.killed, todo)) as records,
    ):
        for done, record in enumerate(records, 1):
            said = [*record.warnings, *([] if record.error is None else [record.error])]
            for text in said:
                say(text if text.startswith(record.source) else f"{record.source}: {text}")
            failed += record.error is not None
            old = before.get(record.source)
            if record.error is not None and old is not None and old.sha256 is not None:
                record = replace(old, error=record.error, warnings=record.warnings)
            writer.add(record)
            progress(done, len(todo))
    total = sum(record.bytes or 0 for record in manifest.records.values())
    return Summary(len(todo) - failed, len(pairs) - len(todo), failed, total)


def settings_of(options: dict[str, Any], model: Model) -> str:
    """What the files depend on besides the images, for people and for comparing."""
    chosen = {"effort": 1, "metadata": "auto"} | {key: value for key, value in options.items() if value is not None}
    if not chosen.keys() & {"quality", "target_size", "target_psnr"}:
        chosen["quality"] = model.default_quality
    if not chosen.keys() & {"scales", "sizes"}:
        chosen["scales"] = model.default_scales
    chosen["model"] = model.hash.hex()
    return " ".join(f"{key}={_plain(value)}" for key, value in sorted(chosen.items()))


def _plain(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ",".join("x".join(map(_plain, part)) if isinstance(part, tuple) else _plain(part) for part in value)
    return f"{value:.10g}" if isinstance(value, float) else "" if value is None else str(value)


def _pairs(source: Place, keep_suffix: bool) -> list[Pair]:
    pairs: dict[str, Pair] = {}
    for image in source.entries(readable_suffixes()):
        name = file_name(image.name, keep_suffix)
        if name in pairs:
            raise InputError(f"{pairs[name].image.name} and {image.name} would both become {name}: give --keep-suffix")
        pairs[name] = Pair(image, name)
    if not pairs:
        raise InputError(f"there are no images in {source.url}")
    return list(pairs.values())


def _undone(pairs: list[Pair], records: dict[str, Record], task: Task) -> list[Pair]:
    there = {entry.name: entry.size for entry in task.target.entries({".cmps"})}
    own = {record.file for record in records.values()}
    undone = []
    for pair in pairs:
        record = records.get(pair.image.name)
        if pair.file in there and pair.file not in own:
            raise InputError(f"{pair.file} in {task.target.url} was not made by this command: --force overwrites it")
        if record is None or record.error is not None or there.get(record.file) != record.bytes:
            undone.append(pair)
        elif record.settings != task.settings:
            raise InputError(
                f"{pair.image.name} was encoded with other settings ({record.settings}, not {task.settings}):"
                " --force encodes it again"
            )
        elif record.file != pair.file:
            raise InputError(
                f"{pair.image.name} became {record.file}, not {pair.file}: give --keep-suffix as before, or --force"
            )
        elif record != replace(record, **_identity(pair)):
            if record.source_folder not in ("", task.source.url):
                raise InputError(
                    f"{pair.image.name} was encoded from {record.source_folder}, not {task.source.url}:"
                    " --force encodes what is there now"
                )
            undone.append(pair)
    return undone


def _identity(pair: Pair) -> dict[str, Any]:
    return {"source_size": pair.image.size, "source_version": pair.image.version}


@contextmanager
def _working(workers: Workers) -> Iterator[Work]:
    """What does the work: a cluster that cannot be reached is known before anything is written."""
    if workers.cluster is not None:
        with connected(workers.cluster) as cluster:
            yield cluster
    elif workers.processes == 1:
        yield _one_by_one
    else:
        yield partial(in_processes, processes=workers.processes)


def _one_by_one(work: Task, lost: object, pairs: list[Pair]) -> Generator[Record, None, None]:
    yield from map(work, pairs)
