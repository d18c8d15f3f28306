"""Layers of a file decoded, one upon the other, whole or in part."""

from __future__ import annotations

from PIL import Image

from compass.bitstream import container
from compass.bitstream.alpha import decode_alpha
from compass.bitstream.container import CELL
from compass.bitstream.source import Source
from compass.codec.latent import Latent
from compass.codec.layer import DecodedLayer, Layer, around, finish_layer
from compass.codec.threads import products_on_one_thread
from compass.entropy.latent import Floats, Size
from compass.model.model import Model
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

    @products_on_one_thread()
    def image(self, layer: int, window: Window | None = None) -> Image.Image:
        """A window of a layer, by default all of it, in the header's mode. Raises FormatError on damaged data."""
        header, size = self._header, self._size(layer)
        window = Window.whole(size) if window is None else window
        alpha = container.read_alpha(self._data, header, layer)
        image = Image.new(header.colour, (window.width, window.height))
        if layer < len(header.layers) - 1:
            decoded = self.layer(layer, window)
            _paste(image, window, decoded.window, decoded.pixels)
        else:  # piece by piece: an image of its own, and the pixels of all of it as well, would be too much
            opened, latent = self._open(layer, window)
            for part, planes in opened.reconstruct(window, latent):
                _paste(image, window, part, finish_layer(planes, header.colour))
        if header.has_alpha:
            rows, columns = window.slices
            image.putalpha(Image.fromarray(decode_alpha(alpha, size)[rows, columns]))
        return image

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


def _paste(image: Image.Image, window: Window, part: Window, pixels: Pixels) -> None:
    source = Image.fromarray(pixels[:, :, 0] if image.mode == "L" else pixels)
    image.paste(source, (part.left - window.left, part.top - window.top))
