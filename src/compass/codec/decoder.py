"""A layered file in, any layer out."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from PIL import Image

from compass.bitstream import container
from compass.bitstream.alpha import decode_alpha
from compass.bitstream.source import Source, as_source
from compass.codec.layer import codec_of, finish_layer, predict_layer
from compass.errors import CutFileWarning, FormatError, InputError
from compass.model.latent import Floats
from compass.model.model import Model
from compass.picture.pyramid import Pixels, height_by_aspect


def whole_layers(data: bytes | Source, header: container.Header) -> int:
    """How many layers of a file, perhaps cut, are there to their last byte."""
    size = as_source(data).size
    return sum(header.span(k)[1] <= size for k in range(len(header.layers)))


def decode_planes(
    data: bytes | Source, header: container.Header, layer: int, model: Model, known: tuple[int, Pixels] | None = None
) -> tuple[Floats, bytes]:
    """Layer `layer` of a file before rounding, [3, H, W] in about [0, 1], and its coded opacity.

    known: the number of a lower layer that is decoded already, and its pixels. Raises FormatError on damaged data.
    """
    below: Pixels | None = None
    if known is not None and known[0] == layer - 1:
        below = known[1]
    elif layer:
        below = finish_layer(decode_planes(data, header, layer - 1, model, known)[0], header.colour)
    payload, opacity = container.read_layer(data, header, layer)
    entry = header.layers[layer]
    size = (entry.height, entry.width)
    return codec_of(model, below).decode(payload, size, entry.quality, predict_layer(model, below, size)), opacity


def to_image(pixels: Pixels, opacity: bytes, header: container.Header) -> Image.Image:
    """A decoded layer as a Pillow picture of the header's mode. Raises FormatError on damaged opacity."""
    image = Image.fromarray(pixels[:, :, 0].copy() if header.colour == "L" else pixels)
    if header.has_opacity:
        image.putalpha(Image.fromarray(decode_alpha(opacity, (pixels.shape[0], pixels.shape[1]))))
    return image


def choose_layer(data: bytes | Source, header: container.Header, layer: int | None) -> int:
    """The layer to decode: the one asked for, or the largest that is whole.

    Raises InputError if there is no such layer in the file, FormatError if it has been cut off.
    """
    count, whole, size = len(header.layers), whole_layers(data, header), as_source(data).size
    if layer is not None:
        if not 0 <= layer < count:
            raise InputError(f"there is no layer {layer}: the file has layers 0 to {count - 1}")
        return layer  # read_layer says what is missing
    if whole == 0:
        raise FormatError("the file ends before its first layer does")
    if whole < count and size > header.span(whole - 1)[1]:
        text = f"the file is cut within layer {whole}: layer {whole - 1} is the last whole one"
        warnings.warn(text, CutFileWarning, stacklevel=3)
    return whole - 1


def check_pixel_limit(sizes: Sequence[tuple[int, int]]) -> None:
    """Refuses pictures that together are beyond twice Pillow's MAX_IMAGE_PIXELS, its own limit. Raises FormatError."""
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and sum(width * height for width, height in sizes) > 2 * limit:
        width, height = sizes[-1]
        layers = f" in {len(sizes)} layers" if len(sizes) > 1 else ""
        raise FormatError(f"a picture of {width}x{height}{layers} is beyond the limit of {2 * limit} pixels")


def check_width(width: int, full: tuple[int, int]) -> None:
    """Raises InputError unless a picture of `full` size can be shown at this width."""
    if width < 1:
        raise InputError(f"a width of {width} is impossible")
    check_pixel_limit([(width, height_by_aspect(width, full))])
