"""Refined latents of layers: how much effort is spent, and what the error of a layer is.

Effort 1 rounds what the analysis yields, and is the fastest. Above it each layer is refined, see
`compass.codec.lattice`, in as many steps as `steps` says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from compass.arguments import whole_number
from compass.bitstream.container import CELL
from compass.codec.latent import Latent
from compass.codec.lattice import PROBES, Refiner
from compass.codec.layer import Layer, around, parts, to_planes
from compass.entropy import quality as quality_scale
from compass.entropy.hyperprior import HyperpriorModel
from compass.entropy.latent import DecodedLatent, Floats
from compass.errors import ModelError
from compass.model.transform_codec import MARGIN
from compass.picture.pyramid import Target
from compass.picture.window import Window

_STEPS = (0, 3, 5, 7, 10, 16, 24, 36, 60)  # of the largest layer, by effort
_AT_ONCE = 30  # steps that a small layer may be given because they cost little
_FINER = 0.25  # of a quality: the lambda at which the steps of a quality serve refined latents best
MAX_EFFORT = len(_STEPS)


def steps(effort: int, share: float) -> int:
    """Steps that a layer is refined in; share: its pixels, of those of the largest layer.

    Smaller layers are given more. Raises InputError on an effort outside 1 to 9.
    """
    effort = whole_number(effort, f"an effort is a whole number from 1 to {MAX_EFFORT}", 1, MAX_EFFORT)
    own = _STEPS[effort - 1]
    return max(own, min(_AT_ONCE, round(own / share)))


def work(pixels: int, in_steps: int) -> int:
    """Pixels that are looked at to code a layer, counted as often as that happens."""
    return pixels * (1 + (in_steps + 1 + PROBES if in_steps else 0))


def refine_layer(
    layer: Layer,
    target: Target,
    importance: Image.Image | None,
    tiles: Sequence[Window],
    streams: list[bytes],
    in_steps: int,
    advance: Callable[[int], None],
) -> DecodedLatent:
    """Puts streams of refined latents in the places of those of a layer's tiles; returns the latent of the last.

    importance: mode F, of the layer's size, a factor of the squared error; advance: is told of pixels looked at.

    Raises ModelError if the model has no hyperprior or a synthesis whose derivatives are not known.
    """
    codec = layer.codec
    model = codec.entropy_model
    if not isinstance(model, HyperpriorModel):
        raise ModelError("latents of a model without hyperprior cannot be refined: encode with effort 1")

    def decoded(k: int) -> DecodedLatent:
        return codec.decode(streams[k], tiles[k].size, layer.quality_code)

    latent = Latent(model.channels, tiles, lambda k: decoded(k).values)
    refiner = Refiner(model, layer.quality_code)
    for k, tile in enumerate(tiles):
        error = _TileError(layer, target, importance, tile, latent, advance)
        refined = refiner.refine(decoded(k), error, in_steps, error.importance)
        coded = model.encode_again(refined, layer.quality_code)
        streams[k] = coded.payload
        latent.forget(k)
    return coded.decoded


class _Part(NamedTuple):
    """A window of a layer whose error is looked at, with a margin."""

    inputs: tuple[slice, slice]  # positions of the field
    target: Floats  # [3, h, w]
    prediction: Floats | None
    weight: Floats  # [h, w], zero in the margin


class _TileError:
    """Error of a layer as its latent changes in one tile; in the others it stays as it is."""

    def __init__(
        self,
        layer: Layer,
        target: Target,
        importance: Image.Image | None,
        tile: Window,
        latent: Latent,
        advance: Callable[[int], None],
    ) -> None:
        self._codec, self._quality_code = layer.codec, layer.quality_code
        positions = Window.whole(layer.size).divided(CELL)
        field = tile.grown(MARGIN, positions.size)
        self._own = tile.inside(field).slices
        self._values = latent.part(field).copy()
        pixels = tile.times(CELL, layer.size)
        self._advance, self._count = advance, pixels.height * pixels.width
        self.importance = np.ones(tile.size, np.float32)  # [h, w] mean over each cell
        if importance is not None:
            cells = importance.resize((tile.width, tile.height), Image.Resampling.BOX, pixels.box)
            self.importance = np.asarray(cells)
        self._parts = []
        for window in parts(pixels):
            seen = around(window, layer.size)
            counted = window if tile == positions else window.grown(CELL, layer.size)  # what it does to the next tiles
            weight = np.zeros(seen.size, np.float32)
            weight[counted.inside(seen).slices] = _bits_of_error(layer.quality_code)
            if importance is not None:
                weight *= np.asarray(importance.crop(seen.box))
            inputs = seen.divided(CELL).inside(field).slices
            self._parts.append(_Part(inputs, to_planes(target.part(seen)), layer.predict(seen), weight))

    def __call__(self, values: Floats) -> tuple[float, Floats]:
        """The error for values [M, h, w] of the tile, in bits, and its derivatives by them."""
        self._values[:, *self._own] = values
        total, gradient = 0.0, np.zeros_like(self._values)
        for part in self._parts:
            error, derivatives = self._codec.error(
                self._values[:, *part.inputs], part.target, part.weight, self._quality_code, part.prediction
            )
            total += error
            gradient[:, *part.inputs] += derivatives
        self._advance(self._count)
        return total, gradient[:, *self._own]


def _bits_of_error(quality_code: int) -> float:
    """Bits that one unit of squared error is worth, of samples in [0, 1]: of three a pixel, as in the training loss."""
    quality = quality_scale.from_code(quality_code) + _FINER
    return quality_scale.lambda_of(quality) * 255**2 / 3
