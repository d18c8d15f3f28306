"""Sections and plots of results/README.md on rate and distortion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
import matplotlib.pyplot as plt

from compass.evaluation import grid as grids
from compass.evaluation.bdrate import bd_rate
from compass.evaluation.results import Points, Result
from compass.evaluation.tables import relative
from options import table

RESULTS = Path(__file__).parent.parent / "results"
PAPER_QUALITIES = (1.0, 2.0, 3.0, 4.0)
WHOLE = tuple(float(q) for q in range(7))
BETWEEN = tuple(q + 0.5 for q in range(6))
_BASE_ANCHORS = ("mbt2018-mean", "bmshj2018-factorized", "jpeg2000", "webp", "bpg_444_x265_ycbcr", "av1", "vtm")


def points_of(codec: dict[str, Any]) -> Points:
    """Of a published curve."""
    return list(zip(codec["bpp"], codec["psnr_rgb"], strict=True))


def points(result: Result, layer: int, qualities: Sequence[float] = PAPER_QUALITIES) -> Points:
    """One layer's rate and PSNR at these qualities."""
    by_quality = dict(zip(result.qualities, result.layers[layer], strict=True))
    return [by_quality[q] for q in qualities]


def simulcast_of(single: Result) -> Result:
    """One file per layer, from all layers coded alone."""
    layers: list[Points] = []
    for k, scale in enumerate(single.scales):
        total = []
        for q, (_, psnr) in enumerate(single.layers[k]):
            rates = [single.layers[j][q][0] * (single.scales[j] / scale) ** 2 for j in range(k + 1)]
            total.append((sum(rates), psnr))
        layers.append(total)
    return replace(single, name=single.name.replace("single", "simulcast"), layers=tuple(layers))


def summarise(three: Result, single: Result, anchor: Points) -> dict[str, float]:
    """BD-rates at the paper's qualities, last layer."""
    ours, alone, separate = (points(r, -1) for r in (three, single, simulcast_of(single)))
    return {
        "single": bd_rate(anchor, alone),
        "three": bd_rate(anchor, ours),
        "simulcast": bd_rate(anchor, separate),
        "three to single": bd_rate(alone, ours),
        "three to simulcast": bd_rate(separate, ours),
    }


def kodak_section(three: dict[str, Any], single: dict[str, Any]) -> list[str]:
    alone = {mean["quality"]: mean["layers"][-1] for mean in single["means"]}
    rows = []
    for mean in three["means"]:
        cells = [f"{mean['quality']:g}"]
        for layer in mean["layers"]:
            cells += [f"{layer['accumulated_bytes']:.0f}", f"{layer['psnr-rgb']:.2f}"]
        last, other = mean["layers"][-1], alone[mean["quality"]]
        cells += [
            f"{last['bpp']:.4f}",
            f"{last['ms-ssim-rgb']:.4f}",
            f"{other['bytes']:.0f}",
            f"{other['psnr-rgb']:.2f}",
        ]
        rows.append(cells)
    head = ["quality", "bytes, 1/4", "dB", "bytes, 1/2", "dB", "bytes, 1", "dB", "bpp", "MS-SSIM"]
    return [
        f"## Kodak, {len({row['picture'] for row in three['pictures']})} pictures, layers 1/4, 1/2, 1",
        "",
        f"`{three['environment']['command']}`; bytes are those of the file up to that layer's last. The last two "
        "columns are the full size coded alone. Every picture's own figures are in `kodak/compass.json`.",
        "",
        *table([*head, "single layer, bytes", "dB"], rows),
        "![Rate over PSNR](kodak.svg)",
        "",
    ]


def bd_section(
    summary: dict[str, float], published: dict[str, Any], peers: dict[str, Result], anchor: Points
) -> list[str]:
    rows = [
        (summary["single"], "compass, single layer", "1", "measured here"),
        (summary["three"], "**compass, three layers**", "3", "measured here"),
        (summary["simulcast"], "compass, simulcast of its base codec", "3", "measured here"),
    ]
    rows += [
        (bd_rate(anchor, points_of(codec)), codec["name"], "1", "published")
        for name, codec in published.items()
        if name != "mbt2018-mean"
    ]
    rows += [(bd_rate(anchor, peer.final), peer.name, "3", peer.source) for peer in peers.values()]
    return [
        "## BD-rate against the published single-layer `mbt2018-mean`",
        "",
        "All bytes of the file or files, over the PSNR of the full-size layer; negative is better. Ours: qualities "
        "1 to 4.",
        "",
        *table(
            ["codec", "layers", "BD-rate", "source"],
            ([name, layers, f"{value:+.1f} %", source] for value, name, layers, source in sorted(rows)),
        ),
        "Against its own base codec, full size: three layers need "
        f"{summary['three to single']:+.1f} % of the rate of a single layer, and {summary['three to simulcast']:+.1f} "
        "% of that of one file per layer (targets +10 % and -15 %).",
        "",
    ]


def base_section(
    bases: dict[str, Result], commands: dict[str, str], published: dict[str, Any], small: list[Result]
) -> list[str]:
    """Every model's base codec alone: against published curves, between trained qualities, small."""
    head = ["model", *(published[name]["name"] for name in _BASE_ANCHORS)]
    rows = []
    for name, base in bases.items():
        every = points(base, -1, sorted((*WHOLE, *BETWEEN)))
        cells = [f"{bd_rate(points_of(published[anchor]), every):+.1f} %" for anchor in _BASE_ANCHORS]
        between = bd_rate(points(base, -1, WHOLE), points(base, -1, BETWEEN))
        rows.append([name, *cells, f"{between:+.2f} %"])
    lines = [
        "## Base codecs alone",
        "",
        "One layer, whole pictures, 13 qualities from 0 to 6; BD-rate against published curves. The "
        "last column compares the interpolated qualities with the trained ones.",
        "",
        *table([*head, "at qualities 0.5, 1.5, ... against 0, 1, ..."], rows),
        "![Base codecs and published curves](base.svg)",
        "",
        "The same codecs on reduced pictures, as lower layers use them: BD-rate against recorded peers at that size.",
        "",
    ]
    lower = [(peer, k) for k in (0, 1) for peer in small]  # the smaller layers of their simulcast
    rows = []
    for name, base in bases.items():
        cells = [f"{bd_rate(alone(peer, k), base.layers[k]):+.1f} %" for peer, k in lower]
        rows.append([name, *cells])
    lines += table(["model", *(f"{peer.name.split(' ')[0]} at {peer.scales[k]:g}" for peer, k in lower)], rows)
    for name, base in bases.items():
        rows = []
        for i, quality in enumerate(base.qualities):
            cells = [text for layer in base.layers for text in (f"{layer[i][0]:.4f}", f"{layer[i][1]:.2f}")]
            rows.append([f"{quality:g}", *cells])
        head = ["quality"] + [text for scale in base.scales for text in (f"bpp at {scale:g}", "dB")]
        lines += [f"{name}, `{commands[name]}`:", "", *table(head, rows)]
    return lines


def alone(simulcast: Result, layer: int) -> Points:
    """Rate and PSNR of one layer of a simulcast without the files below it."""
    points = []
    for k, (bpp, psnr) in enumerate(simulcast.layers[layer]):
        below = simulcast.layers[layer - 1][k][0] if layer else 0.0
        shrink = (simulcast.scales[layer - 1] / simulcast.scales[layer]) ** 2 if layer else 0.0
        points.append((bpp - below * shrink, psnr))
    return points


def plot_base(bases: dict[str, Result], published: dict[str, Any]) -> None:
    figure, axes = plt.subplots(figsize=(8, 5.5), layout="constrained")
    styles = ("k-", "k--", "0.5", "C2--", "C1--", "C4--")
    names = ("mbt2018-mean", "bmshj2018-factorized", "jpeg2000", "bpg_444_x265_ycbcr", "av1", "vtm")
    for name, style in zip(names, styles, strict=True):
        _draw(axes, points_of(published[name]), style, f"{published[name]['name']} (published)", 1)
    for name, base in bases.items():
        _draw(axes, base.final, "o-", f"{name}, one layer", 2)
    axes.set(xlabel="bits per pixel", ylabel="PSNR, dB", xlim=(0, 1.6), ylim=(25, 38))
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="lower right")
    _save(figure, "base.svg")


def plot(three: Result, single: Result, published: dict[str, Any], peers: dict[str, Result]) -> None:
    figure, axes = plt.subplots(figsize=(8, 5.5), layout="constrained")
    for name, style in (("mbt2018-mean", "k-"), ("webp", "k:"), ("jpeg2000", "k-.")):
        _draw(axes, points_of(published[name]), style, f"{published[name]['name']}, one layer (published)", 1)
    for name in ("shvc-3layer-2x-best", "jpeg2000-by-resolution", "simulcast-avif", "simulcast-webp"):
        _draw(axes, peers[name].final, "--", peers[name].name.split(" (")[0] + ", three layers (recorded)", 1)
    curves = {"single layer": single, "three layers": three, "simulcast": simulcast_of(single)}
    for (name, result), style in zip(curves.items(), ("C3s-", "C0o-", "C4^-"), strict=True):
        _draw(axes, points(result, -1, WHOLE), style, f"compass, {name}", 2)
    axes.set(xlabel="bits per pixel of the full-size picture, all layers", ylabel="PSNR of the full-size layer, dB")
    axes.set(xlim=(0, 1.6), ylim=(25, 38))
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="lower right")
    _save(figure, "kodak.svg")


def _save(figure: Any, name: str) -> None:
    with plt.rc_context({"svg.hashsalt": "compass"}):  # the same figures give the same file
        figure.savefig(RESULTS / name, metadata={"Date": None})


def _draw(axes: Any, points: Points, style: str, label: str, width: float) -> None:
    rates, psnrs = zip(*sorted(points), strict=True)
    axes.plot(rates, psnrs, style, label=label, linewidth=width, markersize=4)


def grid_section(grid: dict[str, Any]) -> list[str]:
    """What many layers cost; the paper's tables are in the report."""
    results = {(r.name, r.scales): r for r in grids.results(grid["grid"], grid["data_set"])}
    chosen = [row["cases"] for row in grid["grid"] if row["quality"] == 3.0]
    rows = []
    for name, scales in grids.chains().items():
        if "to 4x" not in name:
            continue
        ours, *peers = (results[codec, tuple(scales)] for codec in ("compass", "single-compass", "simulcast-compass"))
        rates = [relative(ours, peer, -1) for peer in peers]
        bytes_, psnrs = (
            [sum(case[name][key][k] for case in chosen) / len(chosen) for k in range(len(scales))]
            for key in ("bytes", "psnr_rgb")
        )
        cells = [", ".join(f"{b:.0f}" for b in bytes_), ", ".join(f"{p:.2f}" for p in psnrs)]
        rows.append([name, *(f"{rate:+.1f} %" for rate in rates if rate is not None), *cells])
    return [
        "## Many layers",
        "",
        f"`{grid['command']}`, model `{grid['model']['name']}` ({grid['model']['hash']}), layers from 1/4 to 1 in "
        "equal ratios. BD-rate of the last layer, all bytes, qualities 1 to 4, against that size alone (single layer) "
        "and one file per layer (simulcast); bytes up to each layer and its PSNR at quality 3, means over the "
        "pictures. The paper's tables, its figures beside ours, are in [report.md](report.md), with curves and "
        "pictures in report.html.",
        "",
        *table(["layers", "single layer", "simulcast", "bytes up to each layer", "PSNR of each layer, dB"], rows),
    ]
