"""Sections of results/README.md on what is inside the codec: layers, predictors, exactness, shapes, time."""

from __future__ import annotations

from typing import Any

from options import table


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


def exactness_section(exact: dict[str, Any], symbols: dict[str, Any]) -> list[str]:
    lines = ["## Decoding is exact", ""]
    for threads, differ in exact["layers_that_differ"].items():
        lines.append(
            f"- {exact['layers']} layers decoded again in a fresh process with {threads}: {len(differ)} differ from "
            "the encoder's own reconstruction."
        )
    lines += [
        f"- PyTorch against ONNX Runtime and numpy, {symbols['layers']} layers (`{symbols['command']}`): of "
        f"{symbols['symbols']:,} symbols {symbols['symbols_that_differ']} differ when PyTorch analyses the picture, "
        f"and {symbols['conditions_that_differ']} scales or means when it runs the exact hyper-synthesis.",
        f"- Entropy coding costs {exact['payload_over_ideal_percent']:.3f} % more than -log2 p over these layers "
        f"(`{exact['command']}`), at most {exact['largest_excess_bytes']:.1f} bytes in one.",
    ]
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
