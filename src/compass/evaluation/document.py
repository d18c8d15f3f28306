"""A report as sections of paragraphs, tables and figures: Markdown, and one HTML page that loads nothing."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from compass.errors import InputError
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


class Block(Protocol):
    """A part of a section."""

    def markdown(self) -> str:
        """Lines without an end of line; empty for what is on the page alone."""

    def html(self) -> str: ...


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str

    def markdown(self) -> str:
        return self.text

    def html(self) -> str:
        return f"<p>{html.escape(self.text)}</p>"


@dataclass(frozen=True)
class Table:
    """A head and rows of as many cells."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    right: bool = False  # columns after the first are aligned to the right; on the page they always are

    def markdown(self) -> str:
        rule = ["---"] + ["---:" if self.right else "---"] * (len(self.head) - 1)
        return "\n".join("| " + " | ".join(row) + " |" for row in (self.head, rule, *self.rows))

    def html(self) -> str:
        head = "".join(f"<th>{html.escape(cell)}</th>" for cell in self.head)
        rows = "".join("<tr>" + "".join(f"<td>{html.escape(c)}</td>" for c in row) + "</tr>" for row in self.rows)
        return f"<table><tr>{head}</tr>{rows}</table>"


@dataclass(frozen=True)
class Figure:
    """A drawing, on the page alone."""

    svg: str

    def markdown(self) -> str:
        return ""

    def html(self) -> str:
        return f"<figure>{self.svg}</figure>"


@dataclass(frozen=True)
class Section:
    """A heading and what follows it."""

    title: str
    blocks: Sequence[Block]

    def markdown(self) -> str:
        return "\n\n".join([f"## {self.title}", *filter(None, (block.markdown() for block in self.blocks))])

    def html(self) -> str:
        return f"<h2>{html.escape(self.title)}</h2>" + "".join(block.html() for block in self.blocks)

    @property
    def on_page_alone(self) -> bool:
        """Whether Markdown has nothing of it."""
        return not any(block.markdown() for block in self.blocks)


def percent(value: float | None, digits: int = 1) -> str:
    """A difference in per cent with its sign; nothing of None."""
    return "" if value is None else f"{value:+.{digits}f} %"


def to_markdown(title: str, sections: Sequence[Section], introduction: str = "") -> str:
    """The report as the text of a Markdown file."""
    parts = [f"# {title}", introduction, *(s.markdown() for s in sections if not s.on_page_alone)]
    return "\n\n".join(filter(None, parts)) + "\n"


def to_html(title: str, sections: Sequence[Section]) -> str:
    """The report as the text of an HTML file."""
    name = html.escape(title)
    head = f"<!doctype html><html lang=en><meta charset=utf-8><title>{name}</title><style>{_STYLE}</style>"
    return head + "\n".join([f"<h1>{name}</h1>", *(section.html() for section in sections)]) + "</html>\n"


def write_report(sections: Sequence[Section], out: Path, title: str = "Report") -> None:
    """Writes report.md and report.html in the folder `out`. Raises InputError if it cannot be written."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{out} cannot be made: {error.strerror}") from None
    write_bytes(to_markdown(title, sections).encode(), out / "report.md")
    write_bytes(to_html(title, sections).encode(), out / "report.html")
