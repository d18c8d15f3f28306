"""What `compass report` writes: the figures of any number of result files as Markdown and as one HTML page."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from compass.errors import InputError
from compass.evaluation import grid, plots, tables
from compass.evaluation.results import Result, parse_results
from compass.evaluation.visuals import Visual
from compass.files import write_bytes

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 84rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a; }
table { border-collapse: collapse; margin: 1rem 0; display: block; overflow-x: auto; }
th, td { border-bottom: 1px solid #ddd; padding: .3rem .6rem; text-align: right; white-space: nowrap; }
th, td { font-size: .9rem; }
th:first-child, td:first-child { text-align: left; }
th { background: #f5f5f5; }
figure { margin: 1rem 0; } figcaption { color: #555; font-size: .9rem; }
svg, img { max-width: 100%; height: auto; }
.row { display: flex; flex-wrap: wrap; gap: 1rem; align-items: flex-end; } .row figure { margin: 0; }
.row img { image-rendering: pixelated; }
"""


def read_results(paths: Iterable[Path]) -> list[Result]:
    """All results in these files: of `compass evaluate`, recorded points, grids, or published curves.

    Raises InputError if a file cannot be read or is none of results.
    """
    found: list[Result] = []
    for path in paths:
        try:
            content = json.loads(path.read_text())
            if "grid" in content:
                found += grid.results(content["grid"], content["data_set"])
            else:
                found += parse_results(content)
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror}") from None
        except (ValueError, KeyError, TypeError, IndexError, AttributeError):
            raise InputError(f"{path} is no file of results") from None
    return found


def write_report(
    results: Sequence[Result], out: Path, visuals: Sequence[Visual] = (), stand_in: str | None = None
) -> None:
    """Writes report.md and report.html in the folder `out`. Raises InputError if it cannot be written.

    stand_in: a data set for those tables of the paper whose own is absent.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{out} cannot be made: {error.strerror}") from None
    sections = [*_comparisons(results), *_paper_sections(results, stand_in)]
    markdown = ["# Report", ""]
    page = ["<h1>Report</h1>"]
    for section in sections:
        markdown += section.markdown()
        page.append(section.html())
    page += [visual.html() for visual in visuals]
    write_bytes(("\n".join(markdown).rstrip() + "\n").encode(), out / "report.md")
    head = f"<!doctype html><html lang=en><meta charset=utf-8><title>Report</title><style>{_STYLE}</style>"
    write_bytes((head + "\n".join(page) + "</html>\n").encode(), out / "report.html")


@dataclass(frozen=True)
class Section:
    """A heading, sentences, a table and figures."""

    title: str
    text: str
    head: list[str]
    rows: list[list[str]]
    figures: Sequence[str] = ()  # SVG

    def markdown(self) -> list[str]:
        """Lines; figures are on the page alone."""
        cells = [self.head, ["---"] + ["---:"] * (len(self.head) - 1), *self.rows]
        return [f"## {self.title}", "", self.text, "", *("| " + " | ".join(row) + " |" for row in cells), ""]

    def html(self) -> str:
        head = "".join(f"<th>{html.escape(cell)}</th>" for cell in self.head)
        rows = "".join("<tr>" + "".join(f"<td>{html.escape(c)}</td>" for c in row) + "</tr>" for row in self.rows)
        figures = "".join(f"<figure>{figure}</figure>" for figure in self.figures)
        text = html.escape(self.text)
        return f"<h2>{html.escape(self.title)}</h2><p>{text}</p><table><tr>{head}</tr>{rows}</table>{figures}"


def _comparisons(results: Sequence[Result]) -> list[Section]:
    """One section for every data set and pyramid on which more than one codec was evaluated, picture by picture.

    Raises InputError if codecs were measured on different pictures of a data set.
    """
    sections = []
    for group in _groups(results):
        _check_same_pictures(group)
        if len(group) > 1 and any(result.pictures for result in group):
            sections.append(_comparison(group, [r for r in results if r.reference]))
    return sections


def _groups(results: Sequence[Result]) -> list[list[Result]]:
    """Results of the same data set and the same layers together; published curves aside."""
    groups: dict[tuple[str, tuple[float, ...]], list[Result]] = {}
    for result in results:
        if result.reference:
            continue
        key = (result.data_set.lower(), tuple(round(scale, 3) for scale in result.scales))
        groups.setdefault(key, []).append(result)
    return list(groups.values())


def _check_same_pictures(group: list[Result]) -> None:
    """Of recorded points the pictures may be unknown."""
    known = [(r.name, {row["picture"] for row in r.pictures}) for r in group if r.pictures]
    for name, pictures in known[1:]:
        if pictures != known[0][1]:
            raise InputError(f"the results of {known[0][0]} and {name} are of different pictures")


def _comparison(group: list[Result], published: Sequence[Result]) -> Section:
    """BD-rate of this project's codec, or of the first one, against each of the others, layer by layer."""
    subject = next((r for r in group if r.name == tables.SUBJECT), group[0])

    def references(layer: int) -> list[Result]:
        same = [r for r in published if r.data_set.lower() == subject.data_set.lower()]
        return same if subject.scales[layer] == 1.0 else []

    count = len(subject.scales)
    rows = []
    for other in group:
        if other is not subject:
            cells = [_percent(tables.relative(subject, other, k)) for k in range(count)]
            rows.append([other.name, *cells, other.source])
    names = ", ".join(f"{scale:.4g}" for scale in subject.scales)
    title = f"{subject.data_set}, layers {names}"
    figures = [
        plots.curves([*group, *references(k)], k, f"{subject.data_set}, layer at {scale:.4g}")
        for k, scale in enumerate(subject.scales)
    ]
    return Section(
        title,
        f"BD-rate of {subject.name} against each codec: negative where {subject.name} needs fewer bytes for the same "
        "PSNR. Bytes are those of all layers up to the one in the column.",
        ["against", *(f"layer at {scale:.4g}" for scale in subject.scales), "source"],
        rows,
        figures,
    )


def _paper_sections(results: Sequence[Result], stand_in: str | None) -> list[Section]:
    """The paper's tables of which at least one cell is measured, and its curves."""
    sections = []
    for table in tables.paper_tables(results, stand_in):
        if not any(cell.ours is not None for _, _, cells in table.rows for cell in cells):
            continue
        head = ["against"]
        for column in table.columns:
            head += [column.label, "paper"]
        rows = []
        for name, source, cells in table.rows:
            row = [name]
            for cell in cells:
                row += [_percent(cell.ours), _percent(cell.paper)]
            rows.append([*row, source])
        where = table.data_set
        if table.measured_on != table.data_set:
            where = f"the paper on {where}, ours on other pictures: {table.measured_on}"
        text = f"{table.title}; {where}. BD-rate of compass against each peer, beside it what the paper reports."
        figures = [
            plots.curves(group, table.layer, f"{table.title}, {column.label}")
            for column in table.columns
            for group in _groups(results)
            if table.has_curves and column.holds(group[0]) and table.holds(group[0])
        ]
        sections.append(Section(f"The paper's {table.identifier}", text, [*head, "peer's points"], rows, figures))
    return sections


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:+.1f} %"
