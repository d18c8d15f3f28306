"""What is inside a layer: results/layers.json.

    python benchmarks/product/layers.py FOLDER [--model NAME] [--processes 2]

Prediction alone: PSNR of an image predicted from the decoded layer below, at ratios 1.2 to 4, against Pillow's bicubic
and Lanczos enlargement of the same layer. Bits: what y, z and the header take of each layer of a three-layer file.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from compass.bitstream import container
from compass.codec.encoder import EncodedLayer, encode_layers
from compass.codec.layer import to_planes
from compass.entropy.ans import ideal_bits
from compass.entropy.hyperprior import HyperpriorModel
from compass.evaluation.evaluate import image_paths
from compass.evaluation.records import command_line, describe, write_record
from compass.model import store
from compass.model.model import Model
from compass.model.predictor import Part
from compass.model.transform_codec import TransformCodec
from compass.picture.fidelity import psnr
from compass.picture.pyramid import sizes_from_scales
from compass.processes import process_pool
from options import RESULTS, folder_parser, read_rgb
from records import FileBytes, LayerBytes, Layers, Prediction

RATIOS = (1.2, 1.5, 2.0, 3.0, 4.0)
QUALITIES = (1.0, 2.0, 3.0, 4.0)
DIGITS = 3


def main() -> None:
    options = folder_parser(__doc__, RESULTS / "layers.json").parse_args()
    paths = image_paths(options.folder)
    with process_pool(options.processes) as pool:
        results = list(pool.map(measure_image, paths, [options.model] * len(paths)))
    report: Layers = {
        "command": command_line(),
        "model": describe(store.load(options.model)),
        "pictures": len(paths),
        "predictions": [mean_prediction(rows) for rows in zip(*(p for p, _ in results), strict=True)],
        "bytes": [mean_bytes(rows) for rows in zip(*(b for _, b in results), strict=True)],
    }
    write_record(report, options.out, rows=("predictions", "bytes"))


def mean(values: Sequence[float]) -> float:
    return round(float(np.mean(values)), DIGITS)


def mean_prediction(rows: Sequence[Prediction]) -> Prediction:
    """Over images, of the same quality, ratio and method."""
    return {**rows[0], "psnr_rgb": mean([row["psnr_rgb"] for row in rows])}


def mean_bytes(rows: Sequence[FileBytes]) -> FileBytes:
    """Over images, of the same quality."""
    layers: list[LayerBytes] = [
        {
            "z": mean([layer["z"] for layer in layers]),
            "y": mean([layer["y"] for layer in layers]),
            "payload": mean([layer["payload"] for layer in layers]),
        }
        for layers in zip(*(row["layers"] for row in rows), strict=True)
    ]
    return {"quality": rows[0]["quality"], "header": mean([row["header"] for row in rows]), "layers": layers}


def measure_image(path: Path, name: str | None) -> tuple[list[Prediction], list[FileBytes]]:
    """Predictions at every quality and ratio, and the bytes at every quality."""
    model = store.load(name, threads=1)
    image = read_rgb(path)
    predictions = [row for q in QUALITIES for ratio in RATIOS for row in predict(image, q, ratio, model)]
    return predictions, [split(image, quality, model) for quality in QUALITIES]


def predict(image: Image.Image, quality: float, ratio: float, model: Model) -> list[Prediction]:
    """PSNR of three enlargements of the image reduced by `ratio` and coded."""
    target = np.asarray(image)
    small = (max(1, round(image.width / ratio)), max(1, round(image.height / ratio)))
    reduced = image.resize(small, Image.Resampling.BICUBIC)
    _, (layer,) = encode_layers(reduced, [small], [quality], model)
    predicted = np.rint(model.predict(Part.whole(to_planes(layer.pixels)), target.shape[:2]) * 255).clip(0, 255)
    enlarged = {"predictor": predicted.transpose(1, 2, 0).astype(np.uint8)}
    for kernel in (Image.Resampling.BICUBIC, Image.Resampling.LANCZOS):
        enlarged[kernel.name.lower()] = np.asarray(Image.fromarray(layer.pixels).resize(image.size, kernel))
    return [
        {"quality": quality, "ratio": ratio, "method": method, "psnr_rgb": psnr(pixels, target)}
        for method, pixels in enlarged.items()
    ]


def split(image: Image.Image, quality: float, model: Model) -> FileBytes:
    """Bytes of the header, and of z, y and the whole payload of each layer, in a file of layers 1/4, 1/2, 1."""
    sizes = sizes_from_scales(image.size, [1 / 4, 1 / 2, 1])
    data, layers = encode_layers(image, sizes, [quality] * 3, model)
    codecs = [model.base, model.residual, model.residual]
    return {
        "quality": quality,
        "header": float(container.read_header(data).size),
        "layers": [split_layer(codec, layer) for codec, layer in zip(codecs, layers, strict=True)],
    }


def split_layer(codec: TransformCodec, layer: EncodedLayer) -> LayerBytes:
    """Bytes of a payload: those of z from its tables, the rest of the ideal size is that of y."""
    entropy_model, latent = codec.entropy_model, layer.latent()
    assert isinstance(entropy_model, HyperpriorModel)
    bits = sum(ideal_bits(z, table) for z, table in zip(latent.hyper_symbols, entropy_model.z_tables, strict=True))
    return {"z": bits / 8, "y": (layer.ideal_bits - bits) / 8, "payload": float(len(layer.payload))}


if __name__ == "__main__":
    main()
