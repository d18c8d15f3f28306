"""Turns results/*.json into results/README.md, results/kodak.svg and the table of figures in README.md.

python benchmarks/report.py
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
import matplotlib.pyplot as plt

from compass.evaluation import grid as grids
from compass.evaluation.bdrate import bd_rate
from compass.evaluation.report import read_results
from compass.evaluation.results import Points, Result, same_scales
from compass.evaluation.tables import relative

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "results"
PAPER_QUALITIES = (1.0, 2.0, 3.0, 4.0)
BEGIN, END = "<!-- figures: made by benchmarks/report.py -->", "<!-- end of figures -->"
_BASE_ANCHORS = ("mbt2018-mean", "bmshj2018-factorized", "jpeg2000", "webp", "bpg_444_x265_ycbcr", "av1", "vtm")


def main() -> None:
    kodak, base, shapes, speed, symbols = (load(f"{n}.json") for n in ("kodak", "base", "shapes", "speed", "symbols"))
    published = load("anchors/published.json")["codecs"]
    recorded = {path.stem: read_results([path])[0] for path in sorted((RESULTS / "recorded").glob("*.json"))}
    peers = {name: peer for name, peer in recorded.items() if same_scales(peer.scales, (1 / 4, 1 / 2, 1))}
    peers = {name: peer for name, peer in peers.items() if name != "avif-layered"}  # eight pictures only
    curves = own_curves(kodak)
    anchor = points_of(published["mbt2018-mean"])
    summary = summarise(curves, anchor)

    plot(curves, published, peers)
    plot_base(base, published)
    grid = load("grid.json") if (RESULTS / "grid.json").exists() else None  # takes long; made by itself
    text = "\n".join(
        [
            "# Results",
            "",
            f"Model `{kodak['model']['name']}` ({kodak['model']['hash']}). Made by `make results KODAK=FOLDER`; "
            "rates are those of real files, PSNR is RGB, of 8-bit pictures, averaged over the pictures.",
            "",
            *kodak_section(kodak),
            *bd_section(summary, published, peers, anchor),
            *base_section(base, published, [recorded[f"simulcast-{name}"] for name in ("avif", "hevc", "webp")]),
            *(grid_section(grid) if grid else []),
            *layers_section(load("layers.json")),
            *predictors_section(load("predictors.json")),
            *exactness_section(kodak, symbols),
            *shapes_section(shapes),
            *bits_section(kodak),
            *speed_section(speed),
        ]
    )
    (RESULTS / "README.md").write_text(text + "\n")
    update_readme(summary, kodak, shapes, speed)


def load(name: str) -> dict[str, Any]:
    return dict(json.loads((RESULTS / name).read_text()))


def points_of(codec: dict[str, Any]) -> Points:
    return list(zip(codec["bpp"], codec["psnr_rgb"], strict=True))


def own_curves(kodak: dict[str, Any]) -> dict[str, Points]:
    """Rate over PSNR of the last layer: all bytes of three layers, that size alone, one file per layer."""
    last = [(row["quality"], row["layers"][-1]) for row in kodak["means"]]
    return {
        "three layers": [(x["bpp"], x["psnr_rgb"]) for _, x in last],
        "single layer": [(x["alone_bpp"], x["alone_psnr_rgb"]) for _, x in last],
        "simulcast": [(x["simulcast_bpp"], x["alone_psnr_rgb"]) for _, x in last],
        "qualities": [(q, 0.0) for q, _ in last],
    }


def at_paper_qualities(curves: dict[str, Points], name: str) -> Points:
    qualities = [q for q, _ in curves["qualities"]]
    return [point for q, point in zip(qualities, curves[name], strict=True) if q in PAPER_QUALITIES]


def summarise(curves: dict[str, Points], anchor: Points) -> dict[str, float]:
    three, single, simulcast = (at_paper_qualities(curves, n) for n in ("three layers", "single layer", "simulcast"))
    return {
        "single": bd_rate(anchor, single),
        "three": bd_rate(anchor, three),
        "simulcast": bd_rate(anchor, simulcast),
        "three to single": bd_rate(single, three),
        "three to simulcast": bd_rate(simulcast, three),
    }


def table(head: list[str], rows: Iterable[list[str]]) -> list[str]:
    return ["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows)] + [""]


def kodak_section(kodak: dict[str, Any]) -> list[str]:
    rows = []
    for row in kodak["means"]:
        cells = [f"{row['quality']:g}"]
        for layer in row["layers"]:
            cells += [f"{layer['bytes']:.0f}", f"{layer['psnr_rgb']:.2f}"]
        last = row["layers"][-1]
        cells += [f"{last['bpp']:.4f}", f"{last['alone_bytes']:.0f}", f"{last['alone_psnr_rgb']:.2f}"]
        rows.append(cells)
    head = ["quality", "bytes, 1/4", "dB", "bytes, 1/2", "dB", "bytes, 1", "dB", "bpp", "single layer, bytes", "dB"]
    return [
        f"## Kodak, {kodak['pictures']} pictures, layers 1/4, 1/2, 1",
        "",
        f"`{kodak['command']}`; bytes are those of the file up to that layer's last. The last two columns are the full "
        "size coded alone. Every picture's own figures are in `kodak.json`.",
        "",
        *table(head, rows),
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


def base_points(entry: dict[str, Any], scale: float, fractions: tuple[float, ...] = (0.0, 0.5)) -> Points:
    """Rate and PSNR of a base codec at one size, at the qualities with these fractions."""
    rows = [row for row in entry["rows"] if row["scale"] == scale and row["quality"] % 1 in fractions]
    return [(row["bpp"], row["psnr_rgb"]) for row in rows]


def base_section(base: dict[str, Any], published: dict[str, Any], small: list[Result]) -> list[str]:
    """Every model's base codec alone: against published curves, between trained qualities, small."""
    lines = ["## Base codecs alone", ""]
    head = [
        "model",
        *(published[name]["name"] for name in _BASE_ANCHORS),
        "at qualities 0.5, 1.5, ... against 0, 1, ...",
    ]
    rows = []
    for name, entry in base.items():
        points = base_points(entry, 1.0)
        cells = [f"{bd_rate(points_of(published[anchor]), points):+.1f} %" for anchor in _BASE_ANCHORS]
        between = bd_rate(base_points(entry, 1.0, (0.0,)), base_points(entry, 1.0, (0.5,)))
        rows.append([name, *cells, f"{between:+.2f} %"])
    lines += [
        "One layer, whole pictures, 13 qualities from 0 to 6; BD-rate against published curves. The "
        "last column compares the interpolated qualities with the trained ones.",
        "",
        *table(head, rows),
        "![Base codecs and published curves](base.svg)",
        "",
        "The same codecs on reduced pictures, as lower layers use them: BD-rate against recorded peers at that size.",
        "",
    ]
    lower = [(peer, k) for k in (0, 1) for peer in small]  # the smaller layers of their simulcast
    rows = []
    for name, entry in base.items():
        cells = []
        for peer, k in lower:
            value = bd_rate(alone(peer, k), base_points(entry, peer.scales[k]))
            cells.append(f"{value:+.1f} %")
        rows.append([name, *cells])
    lines += table(["model", *(f"{peer.name.split(' ')[0]} at {peer.scales[k]:g}" for peer, k in lower)], rows)
    for name, entry in base.items():
        lines += [f"`{name}` ({entry['hash']}), `{entry['command']}`:", ""]
        by_quality: dict[float, list[str]] = {}
        for row in entry["rows"]:
            cells = by_quality.setdefault(row["quality"], [f"{row['quality']:g}"])
            cells += [f"{row['bpp']:.4f}", f"{row['psnr_rgb']:.2f}"]
        scales = list(dict.fromkeys(row["scale"] for row in entry["rows"]))
        head = ["quality"] + [text for scale in scales for text in (f"bpp at {scale:g}", "dB")]
        lines += table(head, by_quality.values())
    return lines


def alone(simulcast: Result, layer: int) -> Points:
    """Rate and PSNR of one layer of a simulcast without the files below it."""
    points = []
    for k, (bpp, psnr) in enumerate(simulcast.layers[layer]):
        below = simulcast.layers[layer - 1][k][0] if layer else 0.0
        shrink = (simulcast.scales[layer - 1] / simulcast.scales[layer]) ** 2 if layer else 0.0
        points.append((bpp - below * shrink, psnr))
    return points


def plot_base(base: dict[str, Any], published: dict[str, Any]) -> None:
    figure, axes = plt.subplots(figsize=(8, 5.5), layout="constrained")
    styles = ("k-", "k--", "0.5", "C2--", "C1--", "C4--")
    names = ("mbt2018-mean", "bmshj2018-factorized", "jpeg2000", "bpg_444_x265_ycbcr", "av1", "vtm")
    for name, style in zip(names, styles, strict=True):
        draw(axes, points_of(published[name]), style, f"{published[name]['name']} (published)", 1)
    for name, entry in base.items():
        draw(axes, base_points(entry, 1.0), "o-", f"compass, base of {name}", 2)
    axes.set(xlabel="bits per pixel", ylabel="PSNR, dB", xlim=(0, 1.6), ylim=(25, 38))
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="lower right")
    figure.savefig(RESULTS / "base.svg", metadata={"Date": None})


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


def layers_section(layers: dict[str, Any]) -> list[str]:
    """Prediction alone, and the shares of y, z and header."""
    ratios = list(next(iter(layers["prediction"].values())))
    rows = []
    for quality, by_ratio in layers["prediction"].items():
        for method in ("predictor", "bicubic", "lanczos"):
            rows.append([quality, method, *(f"{by_ratio[ratio][method]:.2f}" for ratio in ratios)])
    shares = []
    for quality, parts in layers["bytes"].items():
        total = sum(part["all"] for part in parts.values())
        row = [quality, f"{total:.0f}", f"{100 * parts['header']['all'] / total:.2f} %"]
        for name, part in parts.items():
            if name != "header":
                row.append(", ".join(f"{100 * part[key] / total:.1f} %" for key in ("y", "z")))
        shares.append(row)
    return [
        "## Prediction alone, and where the bytes go",
        "",
        f"`{layers['command']}`, model `{layers['model']['name']}` ({layers['model']['hash']}). PSNR of a picture "
        "enlarged from its reduced and coded copy, by the model's predictor and by Pillow:",
        "",
        *table(["", "method", *(f"{ratio}x" for ratio in ratios)], rows),
        "Shares of a file of layers 1/4, 1/2, 1 (y, z):",
        "",
        *table(["", "bytes", "header", "layer 0", "layer 1", "layer 2"], shares),
    ]


def predictors_section(predictors: dict[str, Any]) -> list[str]:
    """Cost of the predictors."""
    by_name: dict[str, list[str]] = {}
    for row in predictors["rows"]:
        cells = by_name.setdefault(row["predictor"], [row["predictor"]])
        cells += [f"{row['kmac_per_pixel']:.1f}", f"{row['milliseconds']:.0f}"]
    ratios = dict.fromkeys(row["ratio"] for row in predictors["rows"])
    return [
        "## What a prediction costs",
        "",
        f"`{predictors['command']}`, a layer of {predictors['size']}, {predictors['threads']} thread(s): kMAC per "
        "pixel and milliseconds, by the ratio to the layer below.",
        "",
        *table(["predictor", *(text for ratio in ratios for text in (f"kMAC/px, {ratio:g}x", "ms"))], by_name.values()),
    ]


def exactness_section(kodak: dict[str, Any], symbols: dict[str, Any]) -> list[str]:
    lines = ["## Decoding is exact", ""]
    for threads, count in kodak["layers_decoded_again"].items():
        differ = len(kodak["layers_that_differ"][threads])
        lines.append(
            f"- {count} layers decoded again in a fresh process with {threads} thread(s): {differ} differ from the "
            "encoder's own reconstruction."
        )
    lines.append(
        f"- PyTorch against ONNX Runtime and numpy, {symbols['layers']} layers (`{symbols['command']}`): of "
        f"{symbols['symbols']:,} symbols {symbols['symbols_that_differ']} differ when PyTorch analyses the picture, "
        f"and {symbols['conditions_that_differ']} scales or means when it runs the exact hyper-synthesis."
    )
    return [*lines, ""]


def shapes_section(shapes: dict[str, Any]) -> list[str]:
    rows = [
        [
            row["name"],
            " ".join(row["sizes"]),
            str(row["file_bytes"]),
            str(row["header_bytes"]),
            str(row["fixed_bytes"]),
            f"{row['bytes_per_layer']:.1f}",
            f"{sum(row['payload_bytes']) - sum(row['ideal_bytes']):+.1f}",
            "yes" if row["decodes_exactly"] else "NO",
        ]
        for row in shapes["rows"]
    ]
    head = ["what", "layers", "file", "header", "fixed part", "header per layer", "payload over ideal", "exact"]
    return [
        "## Layers, ratios, sizes, and what the container costs (bytes)",
        "",
        f"`{shapes['command']}`; quality 3. *Payload over ideal*: entropy-coded bytes of all layers less the sum of "
        "-log2 p.",
        "",
        *table(head, rows),
    ]


def bits_section(kodak: dict[str, Any]) -> list[str]:
    layers = [layer for row in kodak["rows"] for layer in row["layers"]]
    excess = [layer["payload_bytes"] - layer["ideal_bytes"] for layer in layers]
    relative = sum(excess) / sum(layer["ideal_bytes"] for layer in layers)
    return [
        f"On Kodak, entropy coding costs {100 * relative:.3f} % more than -log2 p over all {len(layers)} layers, "
        f"at most {max(excess):.1f} bytes in one.",
        "",
    ]


def speed_section(speed: dict[str, Any]) -> list[str]:
    inside = speed["inside one process"]
    rows = []
    for name, value in speed.items():
        if isinstance(value, dict) and "peak_MB" in value:
            warm = f"{inside[name]:.2f}" if name in inside else ""
            rows.append([name, f"{value['seconds']:.2f}", warm, f"{value['peak_MB']:.0f}"])
    costs = speed["kmac_per_pixel"]
    return [
        "## Time and memory",
        "",
        f"`{speed['command']}` on {speed['processors']} processors ({speed['machine']}), {speed['picture']}, medians "
        f"of {speed['runs']} runs: the command as a whole process, and the call alone once the model is loaded.",
        "",
        *table(["command", "seconds, whole process", "seconds, call", "peak memory, MB"], rows),
        "Multiplications, kMAC per pixel of the layer that is decoded (`compass.nets.macs`):",
        "",
        *table(["", *costs], ([k, *(f"{costs[p][k]:.1f}" for p in costs)] for k in next(iter(costs.values())))),
    ]


def update_readme(
    summary: dict[str, float], kodak: dict[str, Any], shapes: dict[str, Any], speed: dict[str, Any]
) -> None:
    q3 = next(row for row in kodak["means"] if row["quality"] == 3)["layers"]
    costs = speed["kmac_per_pixel"]["fast"]
    inside = speed["inside one process"]
    differ = sum(len(names) for names in kodak["layers_that_differ"].values())
    rows = [
        ["Kodak at quality 3: bytes up to the layers at 1/4, 1/2, 1", ", ".join(f"{x['bytes']:.0f}" for x in q3)],
        ["PSNR of these layers, dB", ", ".join(f"{x['psnr_rgb']:.2f}" for x in q3)],
        ["three layers, all bytes, against one file per layer of the same codec", pct(summary["three to simulcast"])],
        ["three layers, all bytes, against a single layer of the same codec", pct(summary["three to single"])],
        ["single layer against the published mean-scale hyperprior", pct(summary["single"])],
        ["three layers, all bytes, against the same", pct(summary["three"])],
        ["layers that a fresh process decodes to other pixels than the encoder's", f"{differ} of {2 * count(kodak)}"],
        ["header of a three-layer file", f"{shapes['rows'][2]['header_bytes']} bytes"],
        ["encode three layers / decode the largest, 768x512, 2 processors", seconds(inside)],
        ["decoder, kMAC per pixel: base / enhancement layer at 2x", f"{costs['base decode']:.1f} / "
         f"{costs['enhancement decode 2x']:.1f}"],
        ["shipped model", f"{speed['model_bytes']['fast'] / 1e6:.1f} MB"],
    ]  # fmt: skip
    path = ROOT / "README.md"
    before, _, rest = path.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    path.write_text("\n".join([before + BEGIN, "", *table(["what", "measured"], rows)]) + END + after)


def pct(value: float) -> str:
    return f"{value:+.1f} % BD-rate"


def count(kodak: dict[str, Any]) -> int:
    return sum(len(row["layers"]) for row in kodak["rows"])


def seconds(inside: dict[str, float]) -> str:
    return f"{inside['encode, three layers']:.2f} s / {inside['decode, layer 2']:.2f} s"


def plot(curves: dict[str, Points], published: dict[str, Any], peers: dict[str, Result]) -> None:
    plt.rcParams["svg.hashsalt"] = "compass"  # the same figures give the same file
    figure, axes = plt.subplots(figsize=(8, 5.5), layout="constrained")
    for name, style in (("mbt2018-mean", "k-"), ("webp", "k:"), ("jpeg2000", "k-.")):
        draw(axes, points_of(published[name]), style, f"{published[name]['name']}, one layer (published)", 1)
    for name in ("shvc-3layer-2x-best", "jpeg2000-by-resolution", "simulcast-avif", "simulcast-webp"):
        draw(axes, peers[name].final, "--", peers[name].name.split(" (")[0] + ", three layers (recorded)", 1)
    for name, style in (("single layer", "C3s-"), ("three layers", "C0o-"), ("simulcast", "C4^-")):
        draw(axes, curves[name], style, f"compass, {name}", 2)
    axes.set(xlabel="bits per pixel of the full-size picture, all layers", ylabel="PSNR of the full-size layer, dB")
    axes.set(xlim=(0, 1.6), ylim=(25, 38))
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="lower right")
    figure.savefig(RESULTS / "kodak.svg", metadata={"Date": None})


def draw(axes: Any, points: Points, style: str, label: str, width: float) -> None:
    rates, psnrs = zip(*sorted(points), strict=True)
    axes.plot(rates, psnrs, style, label=label, linewidth=width, markersize=4)


if __name__ == "__main__":
    main()
