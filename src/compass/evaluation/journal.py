"""Measurements of many images that go on where they were interrupted."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import as_completed
from pathlib import Path
from typing import Any

from compass.processes import process_pool

Row = Mapping[str, Any]  # `picture` and `quality`, and what was measured
Job = tuple[Path, float]  # an image, and the quality that it is coded at
Measure = Callable[[Path, float], Row]


def measure_all(
    measure: Measure,
    jobs: Sequence[Job],
    processes: int,
    part: Path,
    head: Mapping[str, Any],
    progress: Callable[[int, int], None] | None = None,
) -> list[Row]:
    """The row of each job, in their order; `measure` must be picklable for more than one process.

    part: a file that finished rows are kept in; the caller removes it when they are safe. head: what is measured: rows
    of anything else that are found there do not count. progress is called with the rows done and those there are.
    """
    rows = {(row["picture"], row["quality"]): row for row in _finished(part, head)}
    left = [(path, quality) for path, quality in jobs if (path.name, quality) not in rows]
    if progress:
        progress(len(rows), len(jobs))
    with part.open("a") as journal:
        if journal.tell() == 0:
            journal.write(json.dumps(head) + "\n")
        for row in _measured(measure, left, processes):
            rows[row["picture"], row["quality"]] = row
            journal.write(json.dumps(row) + "\n")
            journal.flush()
            if progress:
                progress(len(rows), len(jobs))
    return [rows[path.name, quality] for path, quality in jobs]


def _finished(part: Path, head: Mapping[str, Any]) -> Iterator[Row]:
    """Rows of an interrupted measurement of the same things; of another one, nothing, and its file is removed."""
    if not part.exists():
        return
    lines = part.read_text().splitlines()
    try:
        rows = [json.loads(line) for line in lines if line.endswith("}")]
    except ValueError:
        rows = []
    if rows and rows[0] == json.loads(json.dumps(head)):
        part.write_text("".join(json.dumps(row) + "\n" for row in rows))  # without a half-written last line
        yield from rows[1:]
    else:
        part.unlink()


def _measured(measure: Measure, jobs: Sequence[Job], processes: int) -> Iterator[Row]:
    if processes == 1:
        for path, quality in jobs:
            yield measure(path, quality)
        return
    with process_pool(processes) as pool:
        futures = [pool.submit(measure, path, quality) for path, quality in jobs]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
