"""What is inside a layer: results/layers.json.

    python benchmarks/layers.py FOLDER [--model NAME] [--processes 2]

Prediction alone: PSNR of a picture predicted from the decoded layer below, at ratios 1.2 to 4, against Pillow's bicubic
and Lanczos enlargement of the same layer. Bits: what y, z and the header take of each layer of a three-layer file.
"""

from __future__ import annotations

import json
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from compass.bitstream import container
from compass.codec.encoder import encode_layers
from compass.codec.layer import to_planes
from compass.evaluation.evaluate import picture_paths
from compass.model import model as models
from compass.model.hyperprior import HyperpriorCoder
from compass.model.model import Model
from compass.picture.fidelity import psnr
from compass.picture.files import read_picture
from compass.picture.pyramid import sizes_from_scales
from options import command_line, describe, folder_parser

RESULT = Path(__file__).parent.parent / "results" / "layers.json"
RATIOS = (1.2, 1.5, 2.0, 3.0, 4.0)
QUALITIES = (1.0, 2.0, 3.0, 4.0)


def main() -> None:
    options = folder_parser().parse_args()
    paths = picture_paths(options.folder)
    with ProcessPoolExecutor(options.processes) as pool:
        results = list(pool.map(measure_picture, paths, [options.model] * len(paths)))
    model = models.load(options.model)
    report = {
        "command": command_line(),
        "model": describe(model),
        "pictures": len(paths),
        "prediction": mean([prediction for prediction, _ in results]),
        "bytes": mean([split for _, split in results]),
    }
    RESULT.write_text(json.dumps(report, indent=1) + "\n")


def mean(tables: list[Any]) -> Any:
    """Means over tables of the same shape, nested dicts of numbers."""
    if isinstance(tables[0], dict):
        return {key: mean([table[key] for table in tables]) for key in tables[0]}
    return round(float(np.mean(tables)), 3)


def measure_picture(path: Path, name: str | None) -> tuple[dict[str, Any], dict[str, Any]]:
    model = models.load(name, threads=1)
    picture = read_picture(path).convert("RGB")
    prediction = {
        f"quality {quality:g}": {f"{ratio:g}": predict(picture, quality, ratio, model) for ratio in RATIOS}
        for quality in QUALITIES
    }
    return prediction, {f"quality {quality:g}": split(picture, quality, model) for quality in QUALITIES}


def predict(picture: Image.Image, quality: float, ratio: float, model: Model) -> dict[str, float]:
    """PSNR of three enlargements of the picture reduced by `ratio` and coded."""
    target = np.asarray(picture)
    small = (round(picture.width / ratio), round(picture.height / ratio))
    reduced = picture.resize(small, Image.Resampling.BICUBIC)
    _, (layer,) = encode_layers(reduced, [small], [quality], model)
    predicted = np.rint(model.predict(to_planes(layer.picture), target.shape[:2]) * 255).clip(0, 255)
    figures = {"predictor": psnr(predicted.transpose(1, 2, 0).astype(np.uint8), target)}
    for kernel in (Image.Resampling.BICUBIC, Image.Resampling.LANCZOS):
        enlarged = Image.fromarray(layer.picture).resize(picture.size, kernel)
        figures[kernel.name.lower()] = psnr(np.asarray(enlarged), target)
    return figures


def split(picture: Image.Image, quality: float, model: Model) -> dict[str, dict[str, float]]:
    """Bytes of z, y and the whole payload of each layer, and of the header, in a file of layers 1/4, 1/2, 1."""
    sizes = sizes_from_scales(picture.size, [1 / 4, 1 / 2, 1])
    data, layers = encode_layers(picture, sizes, [quality] * 3, model)
    table = {"header": {"all": float(container.read_header(data).size)}}
    for k, (size, layer) in enumerate(zip(sizes, layers, strict=True)):
        codec = model.residual if k else model.base
        latent = codec.decode_latent(layer.payload, (size[1], size[0]), round(quality * 32))
        coder = codec.latent
        assert isinstance(coder, HyperpriorCoder)
        bits = sum(table.bits(channel) for channel, table in zip(latent.hyper_symbols, coder.z_tables, strict=True))
        table[f"layer {k}"] = {"z": bits / 8, "y": (layer.ideal_bits - bits) / 8, "all": float(len(layer.payload))}
    return table


if __name__ == "__main__":
    main()
