"""Sections of results/README.md on rate and distortion, and their plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from compass.evaluation.bdrate import bd_rate
from compass.evaluation.document import Block, Section, Table, Text, percent
from compass.evaluation.plots import Line, plot_lines
from compass.evaluation.results import Points, Result

QUALITIES = (1.0, 2.0, 3.0, 4.0)  # of BD-rates
WHOLE = tuple(float(q) for q in range(7))
BETWEEN = tuple(q + 0.5 for q in range(6))
ANCHOR = "mbt2018-mean"
_BASE_ANCHORS = (ANCHOR, "bmshj2018-factorized", "jpeg2000", "webp", "bpg_444_x265_ycbcr", "av1", "vtm")

Published = Mapping[str, Result]  # curves of one layer, by their keys in anchors/published.json


class Summary(NamedTuple):
    """BD-rates of the last layer at `QUALITIES`, in per cent."""

    single: float  # against the anchor
    three: float
    simulcast: float
    three_to_single: float
    three_to_simulcast: float


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


def summarise(three: Result, single: Result, anchor: Points) -> Summary:
    """Three layers, the last one alone, and one file per layer."""
    ours, alone, separate = (r.points(-1, QUALITIES) for r in (three, single, simulcast_of(single)))
    return Summary(
        bd_rate(anchor, alone), bd_rate(anchor, ours), bd_rate(anchor, separate),
        bd_rate(alone, ours), bd_rate(separate, ours),
    )  # fmt: skip


def kodak_section(three: dict[str, Any], single: dict[str, Any]) -> Section:
    """Every quality of three layers, and of the last one alone: files of `compass evaluate`."""
    alone = {mean["quality"]: mean["layers"][-1] for mean in single["means"]}
    rows = []
    for mean in three["means"]:
        cells = [f"{mean['quality']:g}"]
        for layer in mean["layers"]:
            cells += [f"{layer['accumulated_bytes']:.0f}", f"{layer['psnr-rgb']:.2f}"]
        last, other = mean["layers"][-1], alone[mean["quality"]]
        cells += [f"{last['bpp']:.4f}", f"{last['ms-ssim-rgb']:.4f}", f"{other['bytes']:.0f}"]
        rows.append([*cells, f"{other['psnr-rgb']:.2f}"])
    head = ["quality", "bytes, 1/4", "dB", "bytes, 1/2", "dB", "bytes, 1", "dB", "bpp", "MS-SSIM"]
    return Section(
        f"Kodak, {len({row['picture'] for row in three['pictures']})} images, layers 1/4, 1/2, 1",
        [
            Text(
                f"`{three['environment']['command']}`; bytes are those of the file up to that layer's last. The last "
                "two columns are the full size coded alone. Every image's own figures are in `kodak/compass.json`."
            ),
            Table([*head, "single layer, bytes", "dB"], rows),
            Text("![Rate over PSNR](kodak.svg)"),
        ],
    )


def bd_section(summary: Summary, published: Published, peers: Mapping[str, Result]) -> Section:
    """Everything against one published curve."""
    anchor = published[ANCHOR].final
    rows = [
        (summary.single, "compass, single layer", "1", "measured here"),
        (summary.three, "**compass, three layers**", "3", "measured here"),
        (summary.simulcast, "compass, simulcast of its base codec", "3", "measured here"),
    ]
    rows += [(bd_rate(anchor, r.final), r.name, "1", r.source) for key, r in published.items() if key != ANCHOR]
    rows += [(bd_rate(anchor, peer.final), peer.name, "3", peer.source) for peer in peers.values()]
    return Section(
        f"BD-rate against the published single-layer `{ANCHOR}`",
        [
            Text(
                "All bytes of the file or files, over the PSNR of the full-size layer; negative is better. Ours: "
                "qualities 1 to 4."
            ),
            Table(
                ["codec", "layers", "BD-rate", "source"],
                [[name, layers, percent(value), source] for value, name, layers, source in sorted(rows)],
            ),
            Text(
                "Against its own base codec, full size: three layers need "
                f"{summary.three_to_single:+.1f} % of the rate of a single layer, and "
                f"{summary.three_to_simulcast:+.1f} % of that of one file per layer (targets +10 % and -15 %)."
            ),
        ],
    )


def base_section(
    bases: Mapping[str, Result], commands: Mapping[str, str], published: Published, small: Sequence[Result]
) -> Section:
    """Every model's base codec alone: against published curves, between trained qualities, small."""
    rows = []
    for name, base in bases.items():
        every = base.points(-1, (*WHOLE, *BETWEEN))
        between = bd_rate(base.points(-1, WHOLE), base.points(-1, BETWEEN))
        rates = [bd_rate(published[anchor].final, every) for anchor in _BASE_ANCHORS]
        rows.append([name, *map(percent, rates), percent(between, 2)])
    head = ["model", *(published[name].name for name in _BASE_ANCHORS)]
    blocks: list[Block] = [
        Text(
            "One layer, whole images, 13 qualities from 0 to 6; BD-rate against published curves. The last column "
            "compares the interpolated qualities with the trained ones."
        ),
        Table([*head, "at qualities 0.5, 1.5, ... against 0, 1, ..."], rows),
        Text("![Base codecs and published curves](base.svg)"),
        Text(
            "The same codecs on reduced images, as lower layers use them: BD-rate against recorded peers at that size."
        ),
    ]
    lower = [(peer, k) for k in (0, 1) for peer in small]  # the smaller layers of their simulcast
    rows = [
        [name, *(percent(bd_rate(alone(peer, k), base.layers[k])) for peer, k in lower)] for name, base in bases.items()
    ]
    head = ["model", *(f"{peer.name.split(' ')[0]} at {peer.scales[k]:g}" for peer, k in lower)]
    blocks.append(Table(head, rows))
    for name, base in bases.items():
        rows = []
        for i, quality in enumerate(base.qualities):
            cells = [text for layer in base.layers for text in (f"{layer[i][0]:.4f}", f"{layer[i][1]:.2f}")]
            rows.append([f"{quality:g}", *cells])
        head = ["quality"] + [text for scale in base.scales for text in (f"bpp at {scale:g}", "dB")]
        blocks += [Text(f"{name}, `{commands[name]}`:"), Table(head, rows)]
    return Section("Base codecs alone", blocks)


def alone(simulcast: Result, layer: int) -> Points:
    """Rate and PSNR of one layer of a simulcast without the files below it."""
    points = []
    for k, (bpp, psnr) in enumerate(simulcast.layers[layer]):
        below = simulcast.layers[layer - 1][k][0] if layer else 0.0
        shrink = (simulcast.scales[layer - 1] / simulcast.scales[layer]) ** 2 if layer else 0.0
        points.append((bpp - below * shrink, psnr))
    return points


def plot_base(bases: Mapping[str, Result], published: Published, path: Path) -> None:
    """Base codecs and published curves."""
    styles = ("k-", "k--", "0.5", "C2--", "C1--", "C4--")
    names = (ANCHOR, "bmshj2018-factorized", "jpeg2000", "bpg_444_x265_ycbcr", "av1", "vtm")
    curves = [published[name] for name in names]
    lines = [Line(f"{c.name} (published)", c.final, style) for c, style in zip(curves, styles, strict=True)]
    lines += [Line(f"{name}, one layer", base.final, "o-", 2) for name, base in bases.items()]
    plot_lines(
        lines, path, x_label="bits per pixel", y_label="PSNR, dB", x_limits=(0, 1.6), y_limits=(25, 38)
    )  # fmt: skip


def plot_layers(three: Result, single: Result, published: Published, peers: Mapping[str, Result], path: Path) -> None:
    """Three layers beside peers of one and of three."""
    lines = []
    for name, style in ((ANCHOR, "k-"), ("webp", "k:"), ("jpeg2000", "k-.")):
        lines.append(Line(f"{published[name].name}, one layer (published)", published[name].final, style))
    for name in ("shvc-3layer-2x-best", "jpeg2000-by-resolution", "simulcast-avif", "simulcast-webp"):
        lines.append(Line(peers[name].name.split(" (")[0] + ", three layers (recorded)", peers[name].final, "--"))
    ours = {"single layer": single, "three layers": three, "simulcast": simulcast_of(single)}
    for (name, result), style in zip(ours.items(), ("C3s-", "C0o-", "C4^-"), strict=True):
        lines.append(Line(f"compass, {name}", result.points(-1, WHOLE), style, 2))
    plot_lines(
        lines, path, x_label="bits per pixel of the full-size image, all layers",
        y_label="PSNR of the full-size layer, dB", x_limits=(0, 1.6), y_limits=(25, 38),
    )  # fmt: skip
