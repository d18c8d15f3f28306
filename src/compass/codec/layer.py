"""One layer of the recursion, window by window. Encoder and decoder both call it, so they hold the same images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from compass.bitstream.container import CELL
from compass.codec.latent import Latent
from compass.entropy.latent import Floats, Size
from compass.model.model import Model
from compass.model.predictor import Part
from compass.model.transform_codec import MARGIN, TransformCodec
from compass.picture.pyramid import Pixels
from compass.picture.window import Window

WINDOW = (512, 768)  # height and width that are worked out at once, multiples of a cell; higher where it is narrower


@dataclass(frozen=True)
class DecodedLayer:
    """What a decoder knows of a layer: the pixels of a window of it, by default all of it."""

    pixels: Pixels  # [h, w, 3]
    window: Window
    size: Size  # of the whole layer

    @classmethod
    def whole(cls, pixels: Pixels) -> DecodedLayer:
        size = (pixels.shape[0], pixels.shape[1])
        return cls(pixels, Window.whole(size), size)

    def part(self, window: Window) -> Part:
        """A window of it, as planes."""
        rows, columns = window.inside(self.window).slices
        return Part(to_planes(self.pixels[rows, columns]), window, self.size)


class Layer:
    """One layer of an image at one quality, on the layer below it, which is None for the lowest."""

    def __init__(
        self, model: Model, size: Size, quality_code: int, colour: str = "RGB", below: DecodedLayer | None = None
    ) -> None:
        self.size, self.quality_code = size, quality_code
        self._model, self._colour, self._below = model, colour, below
        self._predicted: tuple[Window, Floats] | None = None  # the last prediction: analysis and synthesis share it

    @property
    def is_base(self) -> bool:
        """Whether it is the lowest layer."""
        return self._below is None

    @property
    def codec(self) -> TransformCodec:
        """The base codec for the lowest layer, the residual codec for all others."""
        return self._model.base if self.is_base else self._model.residual

    def predict(self, window: Window) -> Floats | None:
        """Prediction [3, h, w] of a window from the layer below; None for the lowest."""
        if self._below is None:
            return None
        made = window if self._model.predict.in_parts else Window.whole(self.size)
        if self._predicted is None or self._predicted[0] != made:
            seen = self._model.predict.seen(made, self._below.size, self.size)
            self._predicted = made, self._model.predict(self._below.part(seen), self.size, made)
        rows, columns = window.inside(made).slices
        return self._predicted[1][:, rows, columns]

    def analyse(self, window: Window, pixels: Pixels) -> Floats:
        """y [M, h, w] of a window, before any gain, from the pixels `around` it."""
        seen = around(window, self.size)
        y = self.codec.analyse(to_planes(pixels), self.predict(seen))
        rows, columns = window.divided(CELL).inside(seen.divided(CELL)).slices
        return y[:, rows, columns]

    def reconstruct(self, window: Window, latent: Latent) -> Iterator[tuple[Window, Floats]]:
        """Planes [3, h, w] in about [0, 1], before rounding, of parts that together hold a window."""
        for part in parts(window.outward(CELL, self.size)):
            seen = around(part, self.size)
            values = latent.part(seen.divided(CELL))
            planes = self.codec.synthesise(values, seen.size, self.quality_code, self.predict(seen))
            rows, columns = part.inside(seen).slices
            yield part, planes[:, rows, columns]

    def decode(self, window: Window, latent: Latent) -> DecodedLayer:
        """A window, and what is worked out along with it, rounded to 8 bits: what the next layer is predicted from."""
        whole = window.outward(CELL, self.size)
        pixels = np.empty((*whole.size, 3), np.uint8)
        for part, planes in self.reconstruct(whole, latent):
            rows, columns = part.inside(whole).slices
            pixels[rows, columns] = finish_layer(planes, self._colour)
        return DecodedLayer(pixels, whole, self.size)


def parts(window: Window) -> list[Window]:
    """A window whose edges are at cells in parts that are worked out one after another."""
    width = min(window.width, WINDOW[1])
    margins = 2 * MARGIN * CELL
    most = (WINDOW[0] + margins) * (WINDOW[1] + margins)  # that networks are given at once, in whole cells
    height = (most // (-(-width // CELL) * CELL + margins) - margins) // CELL * CELL
    return window.pieces(max(CELL, height), width)


def around(window: Window, size: Size) -> Window:
    """All of a layer of `size` that a window of it depends on."""
    return window.outward(CELL, size).grown(MARGIN * CELL, size)


def finish_layer(planes: Floats, colour: str) -> Pixels:
    """Planes [3, H, W] in about [0, 1] as the pixels of the layer; in a grey file the channels are equal."""
    if colour == "L":
        planes = np.repeat(planes.mean(axis=0, keepdims=True), 3, axis=0)
    pixels = np.clip(np.rint(planes * np.float32(255)), 0, 255).astype(np.uint8)
    return np.ascontiguousarray(pixels.transpose(1, 2, 0))


def to_planes(pixels: Pixels) -> Floats:
    """[H, W, 3] of 0..255 -> [3, H, W] of 0..1."""
    return np.ascontiguousarray(pixels.transpose(2, 0, 1), dtype=np.float32) / np.float32(255)
