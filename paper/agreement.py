"""How far our figures agree with the paper's, peer by peer, over all cells that have both."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import mean
from typing import NamedTuple

from compass.evaluation.document import Section, Table, Text
from paper.tables import PaperTable


class Agreement(NamedTuple):
    """Of the cells of one peer."""

    peer: str
    cells: int
    of_same_sign: int
    no_worse: int  # at least as many bytes saved as in the paper
    by_less_than_a_point: int  # of those that are worse
    mean_difference: float  # ours less the paper's, in points; negative is better
    worst_difference: float


def agreements(tables: Iterable[PaperTable]) -> list[Agreement]:
    """One for each peer that has such cells, in the order of the tables; cells of another data set do not count."""
    pairs: dict[str, list[tuple[float, float]]] = {}
    for table in tables:
        if table.measured_on != table.data_set:
            continue
        for row in table.rows:
            for ours, paper in row.cells:
                if ours is not None and paper is not None:
                    pairs.setdefault(row.peer, []).append((ours, paper))
    return [_agreement(peer, cells) for peer, cells in pairs.items()]


def _agreement(peer: str, cells: Sequence[tuple[float, float]]) -> Agreement:
    differences = [ours - paper for ours, paper in cells]
    return Agreement(
        peer,
        len(cells),
        sum(ours * paper >= 0 for ours, paper in cells),
        sum(difference <= 0 for difference in differences),
        sum(0 < difference < 1 for difference in differences),
        mean(differences),
        max(differences),
    )


def agreement_section(found: Iterable[Agreement]) -> Section:
    """The table of them."""
    head = ["against", "cells", "same sign", "no worse", "worse by less than 1", "mean difference", "worst difference"]
    rows = [[peer, *map(str, counts), f"{average:+.1f}", f"{worst:+.1f}"] for peer, *counts, average, worst in found]
    text = (
        "Cells of all tables below that have a figure of ours and one of the paper; differences in points of BD-rate."
    )
    return Section("Agreement with the paper", [Text(text), Table(head, rows, right=True)])
