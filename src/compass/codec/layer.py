"""One layer of the recursion. Encoder and decoder both call `finish_layer`, so they hold the same images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from compass.entropy.latent import DecodedLatent, Floats
from compass.model.model import Model
from compass.model.transform_codec import TransformCodec
from compass.picture.pyramid import Pixels


@dataclass(frozen=True)
class DecodedLayer:
    """What a decoder knows of a layer, and hands to the next one."""

    pixels: Pixels  # [H, W, 3]
    latent: DecodedLatent | None = None  # None where the pixels are all that is known
    alpha: bytes = b""  # as it is coded; empty in a file without

    @property
    def planes(self) -> Floats:
        """The pixels as [3, H, W] in [0, 1]."""
        return to_planes(self.pixels)


def codec_of(model: Model, below: DecodedLayer | None) -> TransformCodec:
    """The base codec for the lowest layer, the residual codec for all others."""
    return model.base if below is None else model.residual


def predict_layer(model: Model, below: DecodedLayer | None, size: tuple[int, int]) -> Floats | None:
    """Prediction [3, H, W] of a layer of `size` = (H, W) from the layer below; None for the base layer."""
    return None if below is None else model.predict(below.planes, size)


def latent_of(below: DecodedLayer | None) -> DecodedLatent | None:
    """The latent of the layer below, which the entropy model of a layer may use as context; None if there is none."""
    return None if below is None else below.latent


def finish_layer(planes: Floats, colour: str) -> Pixels:
    """Planes [3, H, W] in about [0, 1] as the pixels of the layer; in a grey file the channels are equal."""
    if colour == "L":
        planes = np.repeat(planes.mean(axis=0, keepdims=True), 3, axis=0)
    pixels = np.clip(np.rint(planes * np.float32(255)), 0, 255).astype(np.uint8)
    return np.ascontiguousarray(pixels.transpose(1, 2, 0))


def to_planes(pixels: Pixels) -> Floats:
    """[H, W, 3] of 0..255 -> [3, H, W] of 0..1."""
    return np.ascontiguousarray(pixels.transpose(2, 0, 1), dtype=np.float32) / np.float32(255)
