"""The paper's tables, its figure beside ours in every cell."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from compass.evaluation.bdrate import bd_rate
from compass.evaluation.results import Points, Result, same_scales

SUBJECT = "compass"
# This project's peer in a row of the paper, where it has another name: its base codec is its own, not the paper's.
_OWN = {"simulcast-mean-scale": "simulcast-compass", "single-mean-scale": "single-compass"}
_QUALITIES = (1, 2, 3, 4)  # of ours: the paper's four lambdas


@dataclass(frozen=True)
class Cell:
    """BD-rates in per cent of COMPASS against a peer; None where there is none."""

    ours: float | None
    paper: float | None


@dataclass(frozen=True)
class Column:
    """One pyramid."""

    label: str
    scales: tuple[float, ...]

    def holds(self, result: Result) -> bool:
        """Whether a result is of this pyramid."""
        return same_scales(result.scales, self.scales)


@dataclass(frozen=True)
class Table:
    """One table: a row of cells for every peer."""

    identifier: str
    title: str
    data_set: str
    layer: int  # that is compared; -1 the last
    has_curves: bool  # whether the paper plots them
    columns: list[Column]
    rows: list[tuple[str, str, list[Cell]]]  # name, where the peer's points come from, cells
    measured_on: str  # the data set of our figures: another one, where there are no results on the paper's

    def holds(self, result: Result) -> bool:
        """Whether a result is of the data set that is measured."""
        return _same(result.data_set, self.measured_on)


@lru_cache(maxsize=1)
def paper() -> dict[str, Any]:
    """The paper's figures."""
    content: dict[str, Any] = json.loads((Path(__file__).parent / "paper.json").read_text())
    return content


def paper_tables(results: Sequence[Result], stand_in: str | None = None) -> list[Table]:
    """All tables of the supplement and the poster, filled in as far as these results go.

    stand_in: the data set to fill in those with, of whose own there are no results.
    """
    return [_fill(content, results, stand_in) for content in paper()["tables"]]


def _fill(content: dict[str, Any], results: Sequence[Result], stand_in: str | None) -> Table:
    columns = [Column(column["label"], tuple(column["scales"])) for column in content["columns"]]
    curves = bool(content["curves"])
    data_set = content["data_set"]
    known = stand_in is None or any(_same(result.data_set, data_set) for result in results)
    measured_on = data_set if known else str(stand_in)
    table = Table(content["id"], content["title"], data_set, content["layer"], curves, columns, [], measured_on)
    here = [result for result in results if table.holds(result)]
    for peer, values in content["values"].items():
        name = paper()["peers"][peer]
        table.rows.append((name, *_cells(peer, table, here, values)))
        if peer in _OWN:
            own = f"{name.partition(' (')[0]} (own base codec)"
            table.rows.append((own, *_cells(_OWN[peer], table, here, values)))
    return table


def _same(data_set: str, other: str) -> bool:
    return data_set.lower() == other.lower()


def _cells(peer: str, table: Table, results: Sequence[Result], values: Sequence[float]) -> tuple[str, list[Cell]]:
    cells, sources = [], []
    for column, value in zip(table.columns, values, strict=True):
        ours, theirs = (_find(name, column, results) for name in (SUBJECT, peer))
        rate = None
        if ours and theirs:
            rate = relative(ours, theirs, table.layer)
            sources.append(theirs.source)
        cells.append(Cell(rate, value))
    return ", ".join(dict.fromkeys(sources)) or "not measured", cells


def _find(name: str, column: Column, results: Iterable[Result]) -> Result | None:
    return next((r for r in results if r.name.lower() == name and column.holds(r)), None)


def relative(ours: Result, theirs: Result, layer: int) -> float | None:
    """BD-rate of one layer against a peer's, over our qualities 1 to 4; None if the curves are short or do not meet."""
    a, b = theirs.layers[layer], paper_points(ours, layer)
    (worst_a, *_, best_a), (worst_b, *_, best_b) = (sorted(psnr for _, psnr in points) for points in (a, b))
    if min(len(a), len(b)) < 4 or max(worst_a, worst_b) >= min(best_a, best_b):
        return None
    return bd_rate(a, b)


def paper_points(result: Result, layer: int) -> Points:
    """Points at the qualities that have the paper's lambdas; all, where there are not four of these."""
    chosen = [p for q, p in zip(result.qualities, result.layers[layer], strict=True) if q in _QUALITIES]
    return chosen if len(chosen) == len(_QUALITIES) else result.layers[layer]
