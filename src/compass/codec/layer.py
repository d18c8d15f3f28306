"""One layer of the recursion. Encoder and decoder both call `finish_layer`, so they hold the same pictures."""

from __future__ import annotations

import numpy as np

from compass.model.latent import Floats
from compass.model.model import Model, PictureCodec
from compass.picture.pyramid import Pixels


def codec_of(model: Model, below: Pixels | None) -> PictureCodec:
    """The base codec for the lowest layer, the residual codec for all others."""
    return model.base if below is None else model.residual


def predict_layer(model: Model, below: Pixels | None, size: tuple[int, int]) -> Floats | None:
    """Prediction [3, H, W] of a layer of `size` = (H, W) from the decoded layer below; None for the base layer."""
    return None if below is None else model.predict(to_planes(below), size)


def finish_layer(planes: Floats, colour: str) -> Pixels:
    """The decoded layer in 8 bits; in a grey file its channels are equal."""
    if colour == "L":
        planes = np.repeat(planes.mean(axis=0, keepdims=True), 3, axis=0)
    pixels = np.clip(np.rint(planes * np.float32(255)), 0, 255).astype(np.uint8)
    return np.ascontiguousarray(pixels.transpose(1, 2, 0))


def to_planes(pixels: Pixels) -> Floats:
    """[H, W, 3] of 0..255 -> [3, H, W] of 0..1."""
    return np.ascontiguousarray(pixels.transpose(2, 0, 1), dtype=np.float32) / np.float32(255)
