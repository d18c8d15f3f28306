"""The paper's grid of layers and ratios: every layer's rate and distortion, beside those of the base codec alone."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from compass.bitstream import container
from compass.codec.encoder import encode_layers
from compass.evaluation.bdrate import Points, bd_rate
from compass.evaluation.metrics import psnr
from compass.model import model as models
from compass.picture.pyramid import Size, pyramid

Row = dict[str, Any]
TWO_LAYERS = (1.2, 1.6, 2.0, 2.4, 2.8)
THREE_LAYERS = (2.4, 2.8, 3.2, 3.6, 4.0)
OUT_OF_DISTRIBUTION = (4.5, 5.0, 5.5, 6.0)
MANY_LAYERS = (3, 4, 5, 6, 9)


def scaled(size: Size, factor: float) -> Size:
    """Whole pixels, cut off as the paper does."""
    return max(1, int(size[0] * factor + 1e-9)), max(1, int(size[1] * factor + 1e-9))


def chains(size: Size) -> dict[str, list[Size]]:
    """Layer sizes of every case for a picture of this size.

    Two layers: a base of 1/4 and a final layer at that ratio to it; three: one at 2.0 between them; beyond 4.0 the
    final layer is the picture and the base is that much smaller; many layers: 1/4 to 1 in equal ratios.
    """
    base = scaled(size, 1 / 4)
    cases = {f"2 layers, {s}x": [base, scaled(base, s)] for s in TWO_LAYERS}
    cases |= {f"3 layers, {s}x": [base, scaled(base, 2), scaled(base, s)] for s in THREE_LAYERS}
    cases |= {f"3 layers, {s}x": [scaled(size, 1 / s), scaled(size, 2 / s), size] for s in OUT_OF_DISTRIBUTION}
    cases |= {f"{n} layers to 4x": [scaled(size, 4 ** (k / (n - 1) - 1)) for k in range(n)] for n in MANY_LAYERS}
    return cases


def measure(folder: Path, qualities: list[float], model: str | None, processes: int) -> list[Row]:
    """A row per picture and quality: bytes and PSNR of every layer of every case, and of every size alone."""
    jobs = [(path, q, model) for path in sorted(folder.glob("*.png")) for q in qualities]
    with ProcessPoolExecutor(processes) as pool:
        return list(pool.map(_measure_picture, *zip(*jobs, strict=True)))


def _measure_picture(path: Path, quality: float, model: str | None) -> Row:
    loaded = models.load(model, threads=1)
    with Image.open(path) as source:
        picture = source.convert("RGB")
    cases: dict[str, Row] = {}
    alone: dict[str, tuple[int, float]] = {}
    for name, sizes in chains(picture.size).items():
        targets = pyramid(picture, sizes)
        data, layers = encode_layers(picture, sizes, [quality] * len(sizes), loaded)
        header = container.read_header(data)
        cases[name] = {
            "sizes": [f"{w}x{h}" for w, h in sizes],
            "bytes": [header.span(k)[1] for k in range(len(sizes))],
            "psnr_rgb": [round(psnr(a.picture, b), 3) for a, b in zip(layers, targets, strict=True)],
        }
        for size, target in zip(sizes, targets, strict=True):
            key = f"{size[0]}x{size[1]}"
            if key not in alone:
                single, (layer,) = encode_layers(Image.fromarray(target), [size], [quality], loaded)
                alone[key] = len(single), round(psnr(layer.picture, target), 3)
    return {"picture": path.name, "quality": quality, "cases": cases, "alone": alone}


def bd_rates(rows: list[Row]) -> dict[str, tuple[float, float]]:
    """By case: BD-rate of the last layer, all bytes, against it alone and against one file per layer."""
    return {
        name: (
            bd_rate(_curve(rows, name, _alone_bytes), _curve(rows, name, _layered_bytes)),
            bd_rate(_curve(rows, name, _simulcast_bytes), _curve(rows, name, _layered_bytes)),
        )
        for name in rows[0]["cases"]
    }


def _curve(rows: list[Row], name: str, total: Callable[[Row, str], tuple[int, float]]) -> Points:
    """Mean bpp and PSNR of the last layer over the pictures, by quality."""
    points = []
    for quality in sorted({row["quality"] for row in rows}):
        bpps, psnrs = [], []
        for row in rows:
            if row["quality"] == quality:
                size, fidelity = total(row, name)
                width, height = map(int, row["cases"][name]["sizes"][-1].split("x"))
                bpps.append(8 * size / (width * height))
                psnrs.append(fidelity)
        points.append((float(np.mean(bpps)), float(np.mean(psnrs))))
    return points


def _layered_bytes(row: Row, name: str) -> tuple[int, float]:
    return row["cases"][name]["bytes"][-1], row["cases"][name]["psnr_rgb"][-1]


def _alone_bytes(row: Row, name: str) -> tuple[int, float]:
    size, fidelity = row["alone"][row["cases"][name]["sizes"][-1]]
    return size, fidelity


def _simulcast_bytes(row: Row, name: str) -> tuple[int, float]:
    sizes = row["cases"][name]["sizes"]
    return sum(row["alone"][size][0] for size in sizes), row["alone"][sizes[-1]][1]
