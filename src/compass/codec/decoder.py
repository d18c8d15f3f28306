"""A layered file in, any layer out."""

from __future__ import annotations

import warnings

from PIL import Image

from compass.bitstream import container
from compass.codec.layer import codec_of, finish_layer, predict_layer
from compass.errors import FormatError, InputError
from compass.model.latent import Floats
from compass.model.model import Model
from compass.picture.pyramid import Pixels


def whole_layers(data: bytes, header: container.Header) -> int:
    """How many layers of a file, perhaps cut, are there to their last byte."""
    return sum(header.span(k)[1] <= len(data) for k in range(len(header.layers)))


def decode_pixels(data: bytes, header: container.Header, layer: int, model: Model) -> Pixels:
    """Layer `layer` of a file, [H, W, 3]. Raises FormatError on damaged data."""
    return finish_layer(decode_planes(data, header, layer, model), header.colour)


def decode_planes(data: bytes, header: container.Header, layer: int, model: Model) -> Floats:
    """Layer `layer` of a file before rounding, [3, H, W] in about [0, 1]. Raises FormatError on damaged data."""
    below = decode_pixels(data, header, layer - 1, model) if layer else None
    entry = header.layers[layer]
    size = (entry.height, entry.width)
    payload = container.read_payload(data, header, layer)
    return codec_of(model, below).decode(payload, size, entry.quality, predict_layer(model, below, size))


def choose_layer(data: bytes, header: container.Header, layer: int | None) -> int:
    """The layer to decode: the one asked for, or the largest that is whole.

    Raises InputError if there is no such layer in the file, FormatError if it has been cut off.
    """
    count, whole = len(header.layers), whole_layers(data, header)
    if layer is not None:
        if not 0 <= layer < count:
            raise InputError(f"there is no layer {layer}: the file has layers 0 to {count - 1}")
        return layer  # read_payload says what is missing
    if whole == 0:
        raise FormatError("the file ends before its first layer does")
    if whole < count and len(data) > header.span(whole - 1)[1]:
        warnings.warn(f"the file is cut within layer {whole}: layer {whole - 1} is the last whole one", stacklevel=3)
    return whole - 1


def check_pixel_limit(width: int, height: int) -> None:
    """Refuses a picture beyond twice Pillow's MAX_IMAGE_PIXELS, as Pillow does. Raises FormatError."""
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and width * height > 2 * limit:
        raise FormatError(f"a picture of {width}x{height} is beyond the limit of {2 * limit} pixels")
