"""A picture in, a layered file out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from compass.bitstream import container
from compass.codec.layer import codec_of, finish_layer, predict_layer, to_planes
from compass.errors import InputError
from compass.model import quality as quality_scale
from compass.model.model import Model
from compass.picture.pyramid import Pixels, Size, pyramid


@dataclass(frozen=True)
class EncodedLayer:
    """What the encoder knows of a layer: its payload, the picture that a decoder will see, the ideal size."""

    payload: bytes
    picture: Pixels
    ideal_bits: float


def encode_layers(
    picture: Image.Image, sizes: Sequence[Size], qualities: Sequence[float], model: Model
) -> tuple[bytes, list[EncodedLayer]]:
    """Codes a picture (mode RGB or L) in layers of these sizes, ascending, each at its own quality in [0, 6].

    Returns the file and its layers. Raises InputError on a wrong number of qualities or one that the model cannot
    code at, ModelError if it cannot code that many layers.
    """
    if len(qualities) != len(sizes):
        raise InputError(f"{len(qualities)} qualities were given for {len(sizes)} layers")
    if picture.mode not in container.COLOURS:
        raise InputError(f"pictures of mode {picture.mode} cannot be coded, only RGB and grey")
    model.check_layers(len(sizes))
    for quality in qualities:
        model.check_quality(quality)
    colour = picture.mode
    codes = [quality_scale.to_code(q) for q in qualities]
    below: Pixels | None = None
    layers = []
    for target, code in zip(pyramid(picture.convert("RGB"), sizes), codes, strict=True):
        prediction = predict_layer(model, below, target.shape[:2])
        coded = codec_of(model, below).encode(to_planes(target), code, prediction)
        below = finish_layer(coded.picture, colour)
        layers.append(EncodedLayer(coded.payload, below, coded.ideal_bits))
    table = [(*size, code, layer.payload) for size, code, layer in zip(sizes, codes, layers, strict=True)]
    return container.write(model.hash, colour, table), layers
