"""Sections of results/README.md on what is inside the codec: layers, predictors, exactness, shapes, time."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from compass.evaluation.document import Block, Section, Table, Text
from records import Layers, Multiplications, Operation, Shapes, Speed

_COUNTS = {1: "one layer", 2: "two layers", 3: "three layers"}
_NAMES = {"import": "import compass", "help": "compass --help", "python": "python alone"}


def layers_section(layers: Layers) -> Section:
    """Prediction alone, and the shares of y, z and header."""
    ratios = list(dict.fromkeys(row["ratio"] for row in layers["predictions"]))
    methods = list(dict.fromkeys(row["method"] for row in layers["predictions"]))
    figures = {(row["quality"], row["method"], row["ratio"]): row["psnr_rgb"] for row in layers["predictions"]}
    rows = [
        [f"quality {quality:g}", method, *(f"{figures[quality, method, ratio]:.2f}" for ratio in ratios)]
        for quality in dict.fromkeys(row["quality"] for row in layers["predictions"])
        for method in methods
    ]
    shares = []
    for file in layers["bytes"]:
        total = file["header"] + sum(layer["payload"] for layer in file["layers"])
        parts = [", ".join(f"{100 * part / total:.1f} %" for part in (x["y"], x["z"])) for x in file["layers"]]
        shares.append([f"quality {file['quality']:g}", f"{total:.0f}", f"{100 * file['header'] / total:.2f} %", *parts])
    model = layers["model"]
    return Section(
        "Prediction alone, and where the bytes go",
        [
            Text(
                f"`{layers['command']}`, model `{model['name']}` ({model['hash']}). PSNR of an image "
                "enlarged from its reduced and coded copy, by the model's predictor and by Pillow:"
            ),
            Table(["", "method", *(f"{ratio:g}x" for ratio in ratios)], rows),
            Text("Shares of a file of layers 1/4, 1/2, 1 (y, z):"),
            Table(["", "bytes", "header", "layer 0", "layer 1", "layer 2"], shares),
        ],
    )


def predictors_section(predictors: dict[str, Any], reference: dict[str, Any]) -> Section:
    """Cost of the predictors, and of whole decodes beside the paper's networks in PyTorch."""
    rows = []
    for name, group in groupby(predictors["rows"], key=lambda row: row["predictor"]):
        cells = [(f"{row['kmac_per_pixel']:.1f}", f"{row['milliseconds']:.0f}") for row in group]
        rows.append([name, *(text for pair in cells for text in pair)])
    ratios = dict.fromkeys(row["ratio"] for row in predictors["rows"])
    return Section(
        "What a prediction costs",
        [
            Text(
                f"`{predictors['command']}`, a layer of {predictors['size']}, {predictors['threads']} thread(s): kMAC "
                "per pixel and milliseconds, by the ratio to the layer below."
            ),
            Table(["predictor", *(text for r in ratios for text in (f"kMAC/px, {r:g}x", "ms"))], rows),
            Text(
                f"`{reference['command']}`: decoding the largest of three layers, {reference['size']}, on one "
                "thread; the first without entropy coding."
            ),
            Table(
                ["decoder", "seconds", "times as fast"],
                [[row["what"], f"{row['seconds']:.2f}", f"{row['times_faster']:.1f}"] for row in reference["rows"]],
            ),
        ],
    )


def exactness_section(exact: dict[str, Any], symbols: dict[str, Any]) -> Section:
    """Layers decoded again, symbols of another runtime, and what entropy coding costs."""
    lines = [
        f"- {exact['layers']} layers decoded again in a fresh process with {decoding['threads']} thread(s): "
        f"{len(decoding['layers_that_differ'])} differ from the encoder's own reconstruction."
        for decoding in exact["decodings"]
    ]
    lines += [
        f"- PyTorch against ONNX Runtime and numpy, {symbols['layers']} layers (`{symbols['command']}`): of "
        f"{symbols['symbols']:,} symbols {symbols['symbols_that_differ']} differ when PyTorch analyses the image, "
        f"and {symbols['conditions_that_differ']} scales or means when it runs the exact hyper-synthesis.",
        f"- Entropy coding costs {exact['payload_over_ideal_percent']:.3f} % more than -log2 p over these layers "
        f"(`{exact['command']}`), at most {exact['largest_excess_bytes']:.1f} bytes in one.",
    ]
    return Section("Decoding is exact", [Text("\n".join(lines))])


def shapes_section(shapes: Shapes) -> Section:
    """Files of every number of layers, ratio and size."""
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
    text = (
        f"`{shapes['command']}`; quality 3. *Payload over ideal*: entropy-coded bytes of all layers less the sum of "
        "-log2 p."
    )
    return Section("Layers, ratios, sizes, and what the container costs (bytes)", [Text(text), Table(head, rows)])


def speed_section(speed: Speed) -> Section:
    """Seconds and memory of processes and calls, multiplications of the networks."""
    calls = {_name(row): row["seconds"] for row in speed["calls"]}
    rows = []
    for row in speed["processes"]:
        call = f"{calls[_name(row)]:.2f}" if _name(row) in calls else ""
        rows.append([_name(row), f"{row['seconds']:.2f}", call, f"{row['peak_mb']:.0f}"])
    blocks: list[Block] = [
        Text(
            f"`{speed['command']}` on {speed['processors']} processors ({speed['machine']}), {speed['picture']}, "
            f"medians of {speed['runs']} runs: the command as a whole process, and the call alone once the model is "
            "loaded."
        ),
        Table(["command", "seconds, whole process", "seconds, call", "peak memory, MB"], rows),
        Text("Multiplications, kMAC per pixel of the layer that is decoded (`compass.nets.macs`):"),
        _multiplications(speed["multiplications"]),
    ]
    return Section("Time and memory", blocks)


def _name(row: Operation) -> str:
    """What an operation is called in a table."""
    if row["operation"] == "encode":
        return f"encode, {_COUNTS[row['layers']]}"
    if row["operation"] == "decode":
        return f"decode, layer {row['layer']}"
    return _NAMES.get(row["operation"], row["operation"])


def _multiplications(multiplications: list[Multiplications]) -> Table:
    """A row for every operation, a column for every profile."""
    profiles = list(dict.fromkeys(row["profile"] for row in multiplications))
    rows: dict[str, dict[str, str]] = {}
    for row in multiplications:
        ratio = f" {row['ratio']:g}x" if "ratio" in row else ""
        cells = rows.setdefault(f"{row['layer']} {row['operation']}{ratio}", {})
        cells[row["profile"]] = f"{row['kmac_per_pixel']:.1f}"
    return Table(["", *profiles], [[name, *(cells.get(p, "") for p in profiles)] for name, cells in rows.items()])
