"""An image in, a layered file out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
from PIL import Image

from compass.bitstream import container
from compass.bitstream.alpha import encode_alpha
from compass.bitstream.boxes import Box
from compass.bitstream.container import CELL, LayerData
from compass.bitstream.streams import join
from compass.codec.latent import Latent
from compass.codec.layer import DecodedLayer, Layer, around, parts
from compass.codec.refine import refine_layer, steps, work
from compass.codec.threads import products_on_one_thread
from compass.entropy import quality as quality_scale
from compass.entropy.latent import DecodedLatent, Floats
from compass.errors import InputError
from compass.model.model import Model
from compass.picture.modes import CODABLE
from compass.picture.pyramid import Pixels, Size, Target, targets
from compass.picture.window import Window

TILE = 32  # positions a side: 512 pixels
_UNTILED = 1024  # pixels a side up to which an image is coded in one piece


class EncodedLayer:
    """What the encoder knows of a layer; what is not asked for is not worked out."""

    def __init__(self, layer: Layer, tiles: Sequence[Window], streams: Sequence[bytes], last: DecodedLatent) -> None:
        """last: the latent of the last tile."""
        self._layer, self._tiles, self._streams, self._last = layer, tiles, streams, last

    @cached_property
    def payload(self) -> bytes:
        return join(self._streams)

    @property
    def ideal_bits(self) -> float:
        """Sum of -log2 p, over all tiles."""
        code, model = self._layer.quality_code, self._layer.codec.entropy_model
        return sum(model.ideal_bits(self.latent(k), code) for k in range(len(self._tiles)))

    def latent(self, tile: int = 0) -> DecodedLatent:
        """The latent of a tile, as a decoder finds it."""
        if tile == len(self._tiles) - 1:
            return self._last
        return self._layer.codec.decode(self._streams[tile], self._tiles[tile].size, self._layer.quality_code)

    @cached_property
    def decoded(self) -> DecodedLayer:
        """What a decoder will hold."""
        channels = self._layer.codec.entropy_model.channels
        latent = Latent(channels, self._tiles, lambda tile: self.latent(tile).values)
        with products_on_one_thread():  # as a decoder: more of them may round otherwise
            return self._layer.decode(Window.whole(self._layer.size), latent)

    @property
    def pixels(self) -> Pixels:
        """[H, W, 3], as a decoder will see them."""
        return self.decoded.pixels


class LayerEncoder:
    """An image ready to be coded in layers, at one quality after another."""

    def __init__(
        self,
        image: Image.Image,
        sizes: Sequence[Size],
        model: Model,
        tile: int | None = None,
        *,
        effort: int = 1,
        importance: Image.Image | None = None,
        progress: Callable[[float], None] | None = None,
    ) -> None:
        """image: in a mode of `CODABLE`; sizes: ascending; tile: as `container.write` has it, by default by the size.

        effort: see `compass.codec.refine`; it can be set anew. importance: mode F, of the image's size: a factor of
        the squared error, which takes an effort above 1. progress: is told what part of an `encode` is done.

        Raises InputError or ModelError if the image cannot be coded.
        """
        if image.mode not in CODABLE:
            raise InputError(f"images of mode {image.mode} cannot be coded, only {', '.join(CODABLE)}")
        model.check_layers(len(sizes))
        steps(effort, 1.0)
        if importance is not None and effort == 1:
            raise InputError("a region of interest takes an effort of 2 or more")
        if progress is not None and not callable(progress):
            raise InputError(f"progress is told to something that can be called, not {progress!r}")
        self.effort, self._progress = effort, progress
        box = Image.Resampling.BOX
        self._importance = [None if importance is None else importance.resize(size, box) for size in sizes]
        self.colour = image.mode.removesuffix("A")
        self.targets: list[Target] = targets(image, sizes)
        self._sizes, self._model = sizes, model
        self._tile = TILE * (max(sizes[-1]) > _UNTILED) if tile is None else tile
        self._base: Floats | None = None  # y of an untiled base layer: it does not depend on the quality

    @cached_property
    def _alphas(self) -> list[bytes | None]:
        return [None if target.alpha is None else encode_alpha(target.alpha) for target in self.targets]

    @products_on_one_thread()
    def encode(
        self, qualities: Sequence[float], front: Sequence[Box] = (), back: Sequence[Box] = ()
    ) -> tuple[bytes, list[EncodedLayer]]:
        """Encode the image with a quality in [0, 6] for each layer; returns the file and its layers.

        Raises InputError on a wrong number of qualities or one that the model cannot code at.
        """
        codes = quality_codes(qualities, len(self._sizes), self._model)
        pixels = [width * height for width, height in self._sizes]
        in_steps = [steps(self.effort, count / pixels[-1]) for count in pixels]
        advance = _Advance(sum(map(work, pixels, in_steps)), self._progress)
        layers: list[EncodedLayer] = []
        for k, ((width, height), code) in enumerate(zip(self._sizes, codes, strict=True)):
            below = layers[-1].decoded if layers else None
            layer = Layer(self._model, (height, width), code, self.colour, below)
            layers.append(self._encode(k, layer, in_steps[k], advance))
        table = [
            LayerData(*size, code, layer.payload, alpha)
            for size, code, layer, alpha in zip(self._sizes, codes, layers, self._alphas, strict=True)
        ]
        return container.write(self._model.hash, self.colour, table, front, back, self._tile), layers

    def _encode(self, k: int, layer: Layer, in_steps: int, advance: Callable[[int], None]) -> EncodedLayer:
        coded_tiles = container.tiles_of(layer.size, self._tile)
        streams = []
        for tile in coded_tiles:
            coded = layer.codec.encode(self._analyse(self.targets[k], layer, tile), layer.quality_code)
            streams.append(coded.payload)
            pixels = tile.times(CELL, layer.size)
            advance(pixels.height * pixels.width)
        last = coded.decoded
        if in_steps:
            last = refine_layer(layer, self.targets[k], self._importance[k], coded_tiles, streams, in_steps, advance)
        return EncodedLayer(layer, coded_tiles, streams, last)

    def _analyse(self, target: Target, layer: Layer, tile: Window) -> Floats:
        """y of a tile, before any gain."""
        whole = tile == Window.whole(layer.size).divided(CELL)
        if whole and layer.is_base and self._base is not None:
            return self._base
        y = np.empty((layer.codec.entropy_model.channels, *tile.size), np.float32)
        for part in parts(tile.times(CELL, layer.size)):
            rows, columns = part.divided(CELL).inside(tile).slices
            y[:, rows, columns] = layer.analyse(part, target.part(around(part, layer.size)))
        if whole and layer.is_base:
            self._base = y
        return y


def quality_codes(qualities: Sequence[float], layers: int, model: Model) -> list[int]:
    """The codes of the qualities of all layers. Raises InputError on a wrong number or one that cannot be coded at."""
    if len(qualities) != layers:
        raise InputError(f"{len(qualities)} qualities were given for {layers} layers")
    for quality in qualities:
        model.check_quality(quality)
    return [quality_scale.to_code(quality) for quality in qualities]


class _Advance:
    """Counts pixels, and tells what part of all of them is done."""

    def __init__(self, in_all: int, progress: Callable[[float], None] | None) -> None:
        self._in_all, self._done, self._progress = in_all, 0, progress

    def __call__(self, pixels: int) -> None:
        self._done += pixels
        if self._progress:
            self._progress(self._done / self._in_all)


def encode_layers(
    image: Image.Image, sizes: Sequence[Size], qualities: Sequence[float], model: Model, effort: int = 1
) -> tuple[bytes, list[EncodedLayer]]:
    """Encode an image in layers: the file, and what the encoder knows of each layer. Raises as `LayerEncoder`."""
    return LayerEncoder(image, sizes, model, effort=effort).encode(qualities)
