"""A model's base codec alone, on pictures of several sizes: rate and distortion of real one-layer files."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from compass.codec.encoder import encode_layers
from compass.evaluation.metrics import psnr
from compass.model import model as models
from compass.picture.pyramid import pyramid, sizes_from_scales

Row = dict[str, Any]


def measure(folder: Path, scales: list[float], qualities: list[float], model: str | None, processes: int) -> list[Row]:
    """One row per scale and quality: means over the PNG pictures of a folder, and each picture's own figures."""
    pictures = sorted(folder.glob("*.png"))
    with ProcessPoolExecutor(processes) as pool:
        results = list(pool.map(_measure_picture, pictures, *([x] * len(pictures) for x in (scales, qualities, model))))
    rows = []
    for i, scale in enumerate(scales):
        for j, quality in enumerate(qualities):
            bpps, psnrs = zip(*(result[i][j] for result in results), strict=True)
            row = {"scale": scale, "quality": quality, "bpp": np.mean(bpps), "psnr_rgb": np.mean(psnrs)}
            rows.append({k: round(float(v), 5) for k, v in row.items()} | {"bpps": bpps, "psnrs_rgb": psnrs})
    return rows


def _measure_picture(
    path: Path, scales: list[float], qualities: list[float], model: str | None
) -> list[list[tuple[float, float]]]:
    """(bpp of the file, PSNR in dB) by scale and quality."""
    loaded = models.load(model, threads=1)
    with Image.open(path) as source:
        picture = source.convert("RGB")
    table = []
    for size in sizes_from_scales(picture.size, scales):
        (target,) = pyramid(picture, [size])
        points = []
        for quality in qualities:
            data, (layer,) = encode_layers(Image.fromarray(target), [size], [quality], loaded)
            points.append((round(8 * len(data) / (size[0] * size[1]), 5), round(psnr(layer.picture, target), 3)))
        table.append(points)
    return table
