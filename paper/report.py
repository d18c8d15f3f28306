"""The paper's tables and curves as sections of a report, its figures beside ours."""

from __future__ import annotations

from collections.abc import Sequence

from compass.evaluation import plots
from compass.evaluation.document import Figure, Section, Table, Text, percent
from compass.evaluation.report import group_by_pyramid
from compass.evaluation.results import Result
from paper.agreement import agreement_section, agreements
from paper.tables import PaperTable, paper_tables


def paper_sections(
    results: Sequence[Result], stand_in: str | None = None, mean_scale_base: bool = False
) -> list[Section]:
    """The paper's tables of which at least one cell is measured, and its curves; arguments as of `paper_tables`.

    How far they agree stands before them.
    """
    tables = [table for table in paper_tables(results, stand_in, mean_scale_base) if table.measured]
    found = agreements(tables)
    summary = [agreement_section(found)] if found else []
    return [*summary, *(_section(table, results) for table in tables)]


def _section(table: PaperTable, results: Sequence[Result]) -> Section:
    where = table.data_set
    if table.measured_on != table.data_set:
        where = f"the paper on {where}, ours on other images: {table.measured_on}"
    text = f"{table.title}; {where}. BD-rate of compass against each peer, beside it what the paper reports."
    head = ["against"]
    for column in table.columns:
        head += [column.label, "paper"]
    rows = []
    for row in table.rows:
        cells = [percent(figure) for cell in row.cells for figure in cell]
        rows.append([row.peer, *cells, row.source])
    figures = [
        Figure(plots.curves(group, table.layer, f"{table.title}, {column.label}"))
        for column in table.columns
        for group in group_by_pyramid(results)
        if table.has_curves and column.holds(group[0]) and table.holds(group[0])
    ]
    content = Table([*head, "peer's points"], rows, right=True)
    return Section(f"The paper's {table.identifier}", [Text(text), content, *figures])
