"""The section of results/README.md on many layers, from the file of the grid of layers and ratios."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from compass.evaluation.bdrate import layer_bd_rate
from compass.evaluation.document import Section, Table, Text, percent
from compass.evaluation.results import Result, same_scales
from report_rates import QUALITIES


def many_layers_section(grid: dict[str, Any], results: Sequence[Result]) -> Section:
    """Pyramids from 1/4 to 1 in equal ratios, of the grid of layers and ratios."""
    equal = [r for r in results if same_scales(r.scales, equal_ratios(len(r.scales)))]
    known = {(r.name, len(r.scales)): r for r in equal}
    rows = []
    for count in sorted({len(r.scales) for r in equal}):
        ours, *peers = (known[codec, count] for codec in ("compass", "single-compass", "simulcast-compass"))
        rates = [layer_bd_rate(peer, ours, -1, QUALITIES) for peer in peers]
        bytes_, psnrs = means_of(grid, ours.scales, quality=3.0)
        cells = [", ".join(f"{b:.0f}" for b in bytes_), ", ".join(f"{p:.2f}" for p in psnrs)]
        rows.append([f"{count} layers to 4x", *map(percent, rates), *cells])
    model = grid["model"]
    text = (
        f"`{grid['command']}`, model `{model['name']}` ({model['hash']}), layers from 1/4 to 1 in equal ratios. "
        "BD-rate of the last layer, all bytes, qualities 1 to 4, against that size alone (single layer) and one file "
        "per layer (simulcast); bytes up to each layer and its PSNR at quality 3, means over the images. The paper's "
        "tables, its figures beside ours, are in [report.md](report.md), with curves and images in report.html."
    )
    head = ["layers", "single layer", "simulcast", "bytes up to each layer", "PSNR of each layer, dB"]
    return Section("Many layers", [Text(text), Table(head, rows)])


def equal_ratios(count: int) -> list[float]:
    """Scales of so many layers from 1/4 to 1."""
    return [4 ** (k / (count - 1) - 1) for k in range(count)]


def means_of(grid: dict[str, Any], scales: Sequence[float], quality: float) -> tuple[list[float], list[float]]:
    """Bytes up to each layer of a pyramid and its PSNR, means over the images."""
    rows = [row["cases"] for row in grid["pictures"] if row["quality"] == quality]
    cases = [case for cases in rows for case in cases if same_scales(case["scales"], scales)]

    def mean(key: str) -> list[float]:
        return [sum(case[key][k] for case in cases) / len(cases) for k in range(len(scales))]

    return mean("bytes"), mean("psnr_rgb")
