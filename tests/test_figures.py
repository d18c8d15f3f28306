"""Figures that README.md says in words, against the tables of results/ that they were taken from."""

from __future__ import annotations

import json
import re
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = " ".join((ROOT / "README.md").read_text().split())
CARD = json.loads((ROOT / "docs" / "development" / "models" / "fast.json").read_text())


def cell(page: str, first: tuple[str, ...], column: int) -> Decimal:
    """A number of the first table row on a page of results/ that begins with these cells."""
    for line in (ROOT / "results" / page).read_text().splitlines():
        cells = [text.strip(" *") for text in line.strip("|").split("|")]
        if tuple(cells[: len(first)]) == first:
            return Decimal(cells[column].removesuffix(" %").replace(",", ""))
    raise AssertionError(f"results/{page} has no row {first}")


def rounded(value: Decimal, digits: int = 0) -> str:
    return str(abs(value).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP))


def against(name: str) -> str:
    """Bytes that three layers take less than this codec at full size, per cent."""
    return rounded(cell("report.md", (name,), 3))


def of_effort(effort: int, column: int) -> Decimal:
    return cell("README.md", (str(effort),), column)


def fewer(ours: Decimal, theirs: Decimal) -> str:
    """From two rates against the same anchor, per cent."""
    return rounded((100 + ours) / (100 + theirs) * 100 - 100)


PAPER = Decimal("4.74")  # COMPASS as published, all bytes, against mbt2018-mean (paper/tables.json)
THREE, SINGLE = "compass, three layers", "compass, single layer"
BD = "README.md"
MODEL = re.findall(r"^Model `fast` \((\w+)\)", (ROOT / "results" / BD).read_text(), re.MULTILINE)[0]

CLAIMS = [
    (r"6 \(good: ([\d.]+) dB in the mean of the Kodak pictures\)", lambda: [rounded(cell(BD, ("6",), 6), 1)]),
    (
        r"decoder is (\d+) kB by brotli \((\d+) kB as it is\) and its model ([\d.]+) MB",
        lambda: [
            rounded(cell("web.md", ("script, with the WebAssembly in it",), 2) / 1000),
            rounded(cell("web.md", ("script, with the WebAssembly in it",), 1) / 1000),
            rounded(sum(cell("web.md", (f"{MODEL}-{part}.bin",), 1) for part in ("base", "residual")) / 1000000, 1),
        ],
    ),
    (
        r"small image of a first visit comes after ([\d.]+) s on localhost, from ([\d.]+) MB",
        lambda: [
            rounded(cell("web.md", ("0",), 1) / 1000, 1),
            rounded(cell("web.md", ("until the small image",), 2) / 1000000, 1),
        ],
    ),
    (r"one of 100 megapixels takes (\d+) MB", lambda: [rounded(cell("bench.md", ("100", "decode"), 5))]),
    (r"trained for (\d+) hours of one CPU core", lambda: [rounded(Decimal(CARD["core_minutes"]) / 60)]),
    (r"Alone it is (\d+) % behind the published mean-scale", lambda: [rounded(cell(BD, (SINGLE,), 2))]),
    (r"takes (\d+) % more than the large image alone in this codec", lambda: [against("single-compass")]),
    (
        r"SHVC with tuned QPs \((\d+) %\), layered AVIF of today's libaom \((\d+) %\), JPEG 2000 \((\d+) %\)",
        lambda: [against(name) for name in ("SHVC", "avif-layered", "JPEG 2000")],
    ),
    (r"COMPASS as published would take (\d+) % less", lambda: [fewer(PAPER, cell(BD, (THREE,), 2))]),
    (
        r"With `--effort 9` a file takes (\d+) % less than without, (\d+) % less than that SHVC and (\d+) % less than",
        lambda: [
            rounded(of_effort(9, 3)),
            rounded(of_effort(9, 5)),
            fewer(of_effort(9, 4), PAPER),
        ],
    ),
    (
        r"pay for each: (\d+) and (\d+) % over the large image alone with six and nine layers",
        lambda: [rounded(cell(BD, (f"{count} layers to 4x",), 1)) for count in (6, 9)],
    ),
]


@pytest.mark.parametrize(("said", "measured"), CLAIMS, ids=[said[:40] for said, _ in CLAIMS])
def test_readme_says_what_was_measured(said, measured):
    found = re.search(said, README)
    assert found, "README.md no longer says so: change or drop this claim"
    assert list(found.groups()) == measured()
