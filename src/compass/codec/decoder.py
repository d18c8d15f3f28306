"""Layers of a file decoded, one upon the other."""

from __future__ import annotations

from typing import NamedTuple

from PIL import Image

from compass.bitstream import container
from compass.bitstream.alpha import decode_alpha
from compass.bitstream.source import Source
from compass.codec.layer import DecodedLayer, codec_of, finish_layer, latent_of, predict_layer
from compass.entropy.latent import DecodedLatent, Floats
from compass.model.model import Model


class Reconstruction(NamedTuple):
    """A layer before rounding."""

    planes: Floats  # [3, H, W] in about [0, 1]
    latent: DecodedLatent
    alpha: bytes

    def finish(self, colour: str) -> DecodedLayer:
        """Round the planes to 8 bits: the layer that the next one is predicted from."""
        return DecodedLayer(finish_layer(self.planes, colour), self.latent, self.alpha)


def reconstruct_layer(
    data: bytes | Source, header: container.Header, layer: int, model: Model, below: DecodedLayer | None
) -> Reconstruction:
    """A layer of a file on the layer below it, which is None for layer 0. Raises FormatError on damaged data."""
    payload, alpha = container.read_layer(data, header, layer)
    entry = header.layers[layer]
    size = (entry.height, entry.width)
    prediction = predict_layer(model, below, size)
    planes, latent = codec_of(model, below).decode(payload, size, entry.quality_code, prediction, latent_of(below))
    return Reconstruction(planes, latent, alpha)


def decode_layer(
    data: bytes | Source,
    header: container.Header,
    layer: int,
    model: Model,
    known: tuple[int, DecodedLayer] | None = None,
) -> DecodedLayer:
    """A layer of a file, with all layers that it stands on. Raises FormatError on damaged data.

    known: the number of a layer not above it that is decoded already, and that layer.
    """
    first, decoded = (known[0] + 1, known[1]) if known is not None else (0, None)
    for k in range(first, layer + 1):
        decoded = reconstruct_layer(data, header, k, model, decoded).finish(header.colour)
    assert decoded is not None
    return decoded


def to_image(layer: DecodedLayer, header: container.Header) -> Image.Image:
    """A decoded layer as a Pillow image of the header's mode. Raises FormatError on damaged alpha."""
    image = Image.fromarray(layer.pixels[:, :, 0].copy() if header.colour == "L" else layer.pixels)
    if header.has_alpha:
        image.putalpha(Image.fromarray(decode_alpha(layer.alpha, (image.height, image.width))))
    return image
