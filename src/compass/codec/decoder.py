"""Layers of a file decoded, one upon the other, whole or in part."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from compass.bitstream import container
from compass.bitstream.alpha import decode_alpha
from compass.bitstream.container import CELL
from compass.bitstream.source import Source
from compass.codec.latent import Latent
from compass.codec.layer import DecodedLayer, Layer, around, finish_layer
from compass.codec.threads import each_within, products_on_one_thread
from compass.entropy.latent import Floats, Size
from compass.model.model import Model
from compass.picture.bands import Band
from compass.picture.pyramid import Pixels
from compass.picture.window import Window


class FileDecoder:
    """Decodes layers of one file, and remembers the last one below the largest: those above start from it."""

    def __init__(self, data: bytes | Source, header: container.Header, model: Model) -> None:
        self._data, self._header, self._model = data, header, model
        self._known: tuple[int, DecodedLayer] | None = None

    def worked_on(self, layer: int, window: Window) -> list[Size]:
        """(height, width) of what is worked on, in each layer up to one, for a window of it."""
        sizes = [self._size(k) for k in range(layer + 1)]
        if layer and not self._model.predict.in_parts:
            return sizes
        side = CELL * self._header.tile
        found = []
        for k, size in enumerate(sizes):
            if self._header.tile_count(k) == 1 or (k == layer and self._header.has_alpha):
                found.append(size)
            else:  # the tiles that the window touches, with what is around it
                scaled = (-(-inner * own // top) for inner, own, top in zip(window.size, size, sizes[-1], strict=True))
                height, width = (min(own, 2 * side + inner) for inner, own in zip(scaled, size, strict=True))
                found.append((height, width))
        return found

    def bands(self, layer: int, window: Window) -> Iterator[Band]:
        """A window of a layer from top to bottom, with the channels of the header's mode.

        Raises FormatError on damaged data, what is damaged in a tile of several when that is reached.
        """
        return each_within(products_on_one_thread, self._bands(layer, window))

    def _bands(self, layer: int, window: Window) -> Iterator[Band]:
        header, size = self._header, self._size(layer)
        alpha = container.read_alpha(self._data, header, layer)
        opaque = self._colours(layer, window)
        if not header.has_alpha:
            yield from opaque
            return
        rows, columns = window.slices
        opacity, top = decode_alpha(alpha, size)[rows, columns, None], 0
        for band in opaque:
            yield np.concatenate([band, opacity[top : top + len(band)]], axis=2)
            top += len(band)

    def _colours(self, layer: int, window: Window) -> Iterator[Band]:
        """The same without alpha."""
        channels = len(self._header.colour)
        if layer < len(self._header.layers) - 1:
            decoded = self.layer(layer, window)
            rows, columns = window.inside(decoded.window).slices
            yield decoded.pixels[rows, columns, :channels].copy()  # the decoder keeps its own
            return
        opened, latent = self._open(layer, window)
        parts: list[Pixels] = []
        for part, planes in opened.reconstruct(window, latent):
            shared = window.shared(part)
            rows, columns = shared.inside(part).slices
            parts.append(finish_layer(planes, self._header.colour)[rows, columns, :channels])
            if shared.right == window.right:
                band = np.concatenate(parts, axis=1)
                parts.clear()
                yield band

    def layer(self, layer: int, window: Window) -> DecodedLayer:
        """At least a window of a layer. Raises FormatError on damaged data."""
        if self._known is not None and self._known[0] == layer and self._known[1].window.holds(window):
            return self._known[1]
        opened, latent = self._open(layer, window)
        decoded = opened.decode(window, latent)
        self._known = layer, decoded
        return decoded

    def _open(self, layer: int, window: Window) -> tuple[Layer, Latent]:
        """A layer on as much of the one below it as a window needs."""
        below = None
        if layer:
            lower, size = self._size(layer - 1), self._size(layer)
            below = self.layer(layer - 1, self._model.predict.seen(around(window, size), lower, size))
        return open_layer(self._data, self._header, layer, self._model, below)

    def _size(self, layer: int) -> Size:
        entry = self._header.layers[layer]
        return entry.height, entry.width


def open_layer(
    data: bytes | Source, header: container.Header, layer: int, model: Model, below: DecodedLayer | None
) -> tuple[Layer, Latent]:
    """A layer of a file and its latent, to be reconstructed on the layer below it, which is None for layer 0.

    Raises FormatError on damaged data; what is damaged in a tile of several shows when it is read.
    """
    entry, streams = header.layers[layer], container.open_streams(data, header, layer)
    streams.check()
    tiles = header.tiles(layer)
    opened = Layer(model, (entry.height, entry.width), entry.quality_code, header.colour, below)

    def values(tile: int) -> Floats:
        return opened.codec.decode(streams.read(tile), tiles[tile].size, entry.quality_code).values

    return opened, Latent(opened.codec.entropy_model.channels, tiles, values)
