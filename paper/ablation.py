"""Supplement B.6: LIFF against LIIF in its place."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from compass.errors import InputError
from compass.evaluation.bdrate import layer_bd_rate
from compass.evaluation.document import Section, Table, Text, percent
from compass.evaluation.report import SUBJECT
from compass.evaluation.results import Result, same_scales
from paper.tables import QUALITIES, reported, same_data_set

RATIO = 2.0  # of the layers in the paper's experiment


def ablation_section(results: Sequence[Result], with_liif: Sequence[Result], predictors: Path) -> Section:
    """A row for each of the two. predictors: the file that `predictors.py` writes.

    with_liif: of the codec with LIIF in LIFF's place, the base codec and the widths being the same; the first counts
    that has a result of LIFF beside it, on the same images in the same layers.

    Raises InputError if the file is none of predictors, or if there is no such result.
    """
    try:
        rows: list[dict[str, Any]] = json.loads(predictors.read_text())["rows"]
        cost = {row["predictor"]: row for row in rows if row["ratio"] == RATIO}
        figures = {name: (cost[name]["kmac_per_pixel"], cost[name]["milliseconds"]) for name in ("LIFF", "LIIF")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{predictors} is no file of predictors: {error}") from None
    pairs = [(a, b) for a in results for b in with_liif if a.name == b.name == SUBJECT and _comparable(a, b)]
    if not pairs:
        raise InputError(f"there is no result of {SUBJECT} on the images and in the layers that LIIF was measured in")
    liff, liif = pairs[0]
    of_paper = reported()["ablation"]
    table = [
        [
            name,
            f"{kmac:.0f}",
            f"{of_paper[name]['gflops']:.0f}",
            f"{milliseconds:.0f}",
            f"{1000 * of_paper[name]['seconds']:.0f}",
            percent(layer_bd_rate(liif, liff, -1, QUALITIES)) if name == "LIFF" else "",
            percent(of_paper["bd_rate"]) if name == "LIFF" else "",
        ]
        for name, (kmac, milliseconds) in figures.items()
    ]
    head = ["predictor", "kMAC a pixel", "paper, GFLOP", "ms", "paper, ms on a GPU", "BD-rate against LIIF", "paper"]
    text = (
        "Multiplications and milliseconds: at the paper's width, a layer of 768x512 at 2.0x, one CPU thread; what "
        "depends on one pixel of the lower layer alone is worked out there. The paper counts three layers. BD-rate: of "
        f"the models measured in this report, final layer of {', '.join(f'{scale:g}' for scale in liif.scales)}."
    )
    return Section("The paper's supplement B.6: LIFF against LIIF", [Text(text), Table(head, table, right=True)])


def _comparable(a: Result, b: Result) -> bool:
    return same_data_set(a.data_set, b.data_set) and same_scales(a.scales, b.scales)
