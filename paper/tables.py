"""The paper's tables, its figure beside ours in every cell."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from compass.evaluation.bdrate import layer_bd_rate
from compass.evaluation.report import SUBJECT
from compass.evaluation.results import Result, same_scales

QUALITIES = (1.0, 2.0, 3.0, 4.0)  # of ours: the paper's four lambdas
# This project's peers in a row of the paper, where they have other names: the base codec is its own, not the paper's,
# and it is padded as the paper's is likely to have been, see `paper.grid.Padded`, or not.
_OWN = {
    "simulcast-mean-scale": [("own base codec", "simulcast-compass"), ("the same, padded", "simulcast-compass-padded")],
    "single-mean-scale": [("own base codec", "single-compass"), ("the same, padded", "single-compass-padded")],
}


class Cell(NamedTuple):
    """BD-rates in per cent of COMPASS against a peer; None where there is none."""

    ours: float | None
    paper: float | None


class Row(NamedTuple):
    """The cells of one peer."""

    peer: str  # as the paper names it
    source: str  # where the peer's points come from
    cells: list[Cell]


@dataclass(frozen=True)
class Column:
    """One pyramid."""

    label: str
    scales: tuple[float, ...]

    def holds(self, result: Result) -> bool:
        """Whether a result is of this pyramid."""
        return same_scales(result.scales, self.scales)


@dataclass(frozen=True)
class PaperTable:
    """One table of the supplement or the poster: a row of cells for every peer."""

    identifier: str
    title: str
    data_set: str
    layer: int  # that is compared; -1 the last
    has_curves: bool  # whether the paper plots them
    columns: list[Column]
    measured_on: str  # the data set of our figures: another one, where there are no results on the paper's
    rows: list[Row]

    @property
    def measured(self) -> bool:
        """Whether at least one cell has a figure of ours."""
        return any(cell.ours is not None for row in self.rows for cell in row.cells)

    def holds(self, result: Result) -> bool:
        """Whether a result is of the data set that is measured."""
        return same_data_set(result.data_set, self.measured_on)


@lru_cache(maxsize=1)
def reported() -> dict[str, Any]:
    """What the paper reports."""
    content: dict[str, Any] = json.loads((Path(__file__).parent / "tables.json").read_text())
    return content


def paper_tables(
    results: Sequence[Result], stand_in: str | None = None, mean_scale_base: bool = False
) -> list[PaperTable]:
    """All tables of the supplement and the poster, filled in as far as these results go.

    stand_in: the data set to fill in those with, of whose own there are no results. mean_scale_base: whether our own
    base codec is the paper's, a mean-scale hyperprior, and so fills the rows of that.
    """
    return [_fill(content, results, stand_in, mean_scale_base) for content in reported()["tables"]]


def _fill(
    content: dict[str, Any], results: Sequence[Result], stand_in: str | None, mean_scale_base: bool
) -> PaperTable:
    data_set, layer = content["data_set"], content["layer"]
    known = stand_in is None or any(same_data_set(result.data_set, data_set) for result in results)
    measured_on = data_set if known else str(stand_in)
    columns = [Column(column["label"], tuple(column["scales"])) for column in content["columns"]]
    here = [result for result in results if same_data_set(result.data_set, measured_on)]
    rows = []
    for peer, figures in content["values"].items():
        label, others = reported()["peers"][peer], _OWN.get(peer, [])
        name = peer
        if others and mean_scale_base:
            (_, name), *others = others
        rows.append(_row(label, name, columns, layer, here, figures))
        for kind, own in others:
            rows.append(_row(f"{label.partition(' (')[0]} ({kind})", own, columns, layer, here, figures))
    return PaperTable(
        content["id"], content["title"], data_set, layer, bool(content["curves"]), columns, measured_on, rows
    )


def same_data_set(data_set: str, other: str) -> bool:
    """Whether two names of data sets mean the same one."""
    return data_set.lower() == other.lower()


def _row(
    label: str, peer: str, columns: Sequence[Column], layer: int, results: Sequence[Result], figures: Sequence[float]
) -> Row:
    cells, sources = [], []
    for column, figure in zip(columns, figures, strict=True):
        ours, theirs = (_find(name, column, results) for name in (SUBJECT, peer))
        rate = None
        if ours and theirs:
            rate = layer_bd_rate(theirs, ours, layer, QUALITIES)
            sources.append(theirs.source)
        cells.append(Cell(rate, figure))
    return Row(label, ", ".join(dict.fromkeys(sources)) or "not measured", cells)


def _find(name: str, column: Column, results: Iterable[Result]) -> Result | None:
    return next((r for r in results if r.name.lower() == name and column.holds(r)), None)
