"""The paper's grid of layers and ratios: every layer's rate and distortion, beside those of the base codec alone.

Every size is coded alone only once, and layers are not decoded again (the encoder holds the same pictures): a third of
the time that `compass evaluate` would take for each case.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from compass.bitstream import container
from compass.codec.encoder import encode_layers
from compass.evaluation.evaluate import picture_paths
from compass.evaluation.results import Points, Result
from compass.model import store
from compass.picture.fidelity import psnr
from compass.picture.files import read_picture
from compass.picture.pyramid import Size, pyramid

Row = dict[str, Any]
TWO_LAYERS = (1.2, 1.6, 2.0, 2.4, 2.8)
MIDDLES = (2.0, 1.2, 1.4, 1.6, 1.8)
THREE_LAYERS = (2.4, 2.8, 3.2, 3.6, 4.0)
OUT_OF_DISTRIBUTION = (4.5, 5.0, 5.5, 6.0)
MANY_LAYERS = (3, 4, 5, 6, 9)


def chains(middles: Sequence[float] = MIDDLES) -> dict[str, list[float]]:
    """Layers of every case, as fractions of the picture's sides.

    Two layers: a base of 1/4 and a final layer at that ratio to it; three: one between them at 2.0, or as said; beyond
    4.0 the final layer is the picture and the base is that much smaller; many layers: 1/4 to 1 in equal ratios.
    """
    cases = {f"2 layers, {s}x": [1 / 4, s / 4] for s in TWO_LAYERS}
    for middle in middles:
        between = "" if middle == 2.0 else f"{middle}x, "
        cases |= {f"3 layers, {between}{s}x": [1 / 4, middle / 4, s / 4] for s in THREE_LAYERS}
    cases |= {f"3 layers, {s}x": [1 / s, 2 / s, 1.0] for s in OUT_OF_DISTRIBUTION}
    cases |= {f"{n} layers to 4x": [4 ** (k / (n - 1) - 1) for k in range(n)] for n in MANY_LAYERS}
    return cases


def scaled(size: Size, factor: float) -> Size:
    """Whole pixels, cut off as the paper does."""
    return max(1, int(size[0] * factor + 1e-9)), max(1, int(size[1] * factor + 1e-9))


def measure(
    folder: Path, qualities: list[float], model: str | None, processes: int, middles: Sequence[float] = MIDDLES
) -> list[Row]:
    """A row per picture and quality: bytes and PSNR of every layer of every case, and of every size alone."""
    jobs = [(path, q, model, middles) for path in picture_paths(folder) for q in qualities]
    with ProcessPoolExecutor(processes) as pool:
        return list(pool.map(_measure_picture, *zip(*jobs, strict=True)))


def _measure_picture(path: Path, quality: float, model: str | None, middles: Sequence[float]) -> Row:
    loaded = store.load(model, threads=1)
    picture = read_picture(path).convert("RGB")
    cases: dict[str, Row] = {}
    alone: dict[str, tuple[int, float]] = {}
    for name, scales in chains(middles).items():
        sizes = [scaled(picture.size, scale) for scale in scales]
        targets = pyramid(picture, sizes)
        data, layers = encode_layers(picture, sizes, [quality] * len(sizes), loaded)
        header = container.read_header(data)
        cases[name] = {
            "sizes": [f"{w}x{h}" for w, h in sizes],
            "bytes": [header.span(k)[1] for k in range(len(sizes))],
            "psnr_rgb": [round(psnr(a.pixels, b), 3) for a, b in zip(layers, targets, strict=True)],
        }
        for size, target in zip(sizes, targets, strict=True):
            key = f"{size[0]}x{size[1]}"
            if key not in alone:
                single, (layer,) = encode_layers(Image.fromarray(target), [size], [quality], loaded)
                alone[key] = len(single), round(psnr(layer.pixels, target), 3)
    return {"picture": path.name, "quality": quality, "cases": cases, "alone": alone}


def results(rows: list[Row], data_set: str) -> list[Result]:
    """By case: all layers in one file, every layer alone, and one file per layer, as `compass evaluate` names them."""
    found = []
    qualities = sorted({row["quality"] for row in rows})
    pyramids = set()  # some cases are the same
    for name, scales in chains().items():
        if name not in rows[0]["cases"] or tuple(scales) in pyramids:
            continue
        pyramids.add(tuple(scales))
        for codec, accumulate in (("compass", None), ("single-compass", False), ("simulcast-compass", True)):
            layers: list[Points] = [
                [_point([row for row in rows if row["quality"] == q], name, k, accumulate) for q in qualities]
                for k in range(len(scales))
            ]
            found.append(Result(codec, "measured", data_set, tuple(scales), "", tuple(qualities), tuple(layers)))
    return found


def _point(rows: list[Row], name: str, layer: int, accumulate: bool | None) -> tuple[float, float]:
    """Mean bits per pixel and PSNR of a layer over the pictures; accumulate: None in one file, else see `results`."""
    bpps, psnrs = [], []
    for row in rows:
        case = row["cases"][name]
        size, fidelity = case["bytes"][layer], case["psnr_rgb"][layer]
        if accumulate is not None:
            files = [row["alone"][size] for size in case["sizes"][: layer + 1]]
            size, fidelity = sum(f[0] for f in files) if accumulate else files[-1][0], files[-1][1]
        width, height = map(int, case["sizes"][layer].split("x"))
        bpps.append(8 * size / (width * height))
        psnrs.append(fidelity)
    return float(np.mean(bpps)), float(np.mean(psnrs))
