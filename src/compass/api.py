"""The Python interface: bytes and Pillow pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from compass.bitstream import container
from compass.codec import decoder, encoder
from compass.errors import InputError
from compass.model import model as models
from compass.model import quality as quality_scale
from compass.picture.files import to_codable
from compass.picture.pyramid import complete_sizes, sizes_from_scales


def encode(
    image: Image.Image | ArrayLike,
    scales: Sequence[float] | None = None,
    quality: float | Sequence[float] | None = None,
    model: str | Path | None = None,
    *,
    sizes: Sequence[tuple[int, int | None]] | None = None,
    threads: int = 0,
) -> bytes:
    """Codes a picture in layers.

    image: a Pillow picture (RGB, grey, palette) or uint8 array [H, W, 3] or [H, W].
    scales: ascending fractions of the picture's size in (0, 1], one per layer, by default 1/4, 1/2, 1, or 1 alone if
    the model codes one layer only; `sizes` takes (width, height) instead, height None for the picture's aspect ratio.
    quality: 0 to 6, one for all layers or one per layer, by default 3; 1 to 4 are the lambdas of the COMPASS paper.
    model: name of a shipped model or a model file. threads: 0 for one per processor.
    Raises InputError on anything that cannot be coded, ModelError if there is no such model.
    """
    picture = to_codable(image if isinstance(image, Image.Image) else _from_array(image))
    loaded = models.load(model, threads)
    if sizes is not None:
        layers = complete_sizes(picture.size, sizes)
    else:
        layers = sizes_from_scales(picture.size, loaded.default_scales if scales is None else scales)
    chosen = loaded.default_quality if quality is None else quality
    values = [float(q) for q in np.ravel(chosen)]
    qualities = values if np.ndim(chosen) else values * len(layers)
    data, _ = encoder.encode_layers(picture, layers, qualities, loaded)
    return data


def decode(data: bytes, layer: int | None = None, *, model: str | Path | None = None, threads: int = 0) -> Image.Image:
    """Decodes one layer of a file, by default the largest that is whole; warns if the file is cut within a layer.

    Raises FormatError on damaged data, InputError if there is no such layer, ModelError if the model that the
    file names is not installed (`model` gives its file).
    """
    data = bytes(data)
    header = container.read_header(data)
    layer = decoder.choose_layer(data, header, layer)
    entry = header.layers[layer]
    decoder.check_pixel_limit(entry.width, entry.height)
    pixels = decoder.decode_pixels(data, header, layer, models.load_for(header.model_hash, model, threads))
    return Image.fromarray(pixels[:, :, 0] if header.colour == "L" else pixels)


def info(data: bytes) -> dict[str, Any]:
    """What the header says: sizes, qualities and byte positions of all layers. Raises FormatError on damage."""
    data = bytes(data)
    header = container.read_header(data)
    names = models.shipped_names()
    rows = []
    for k, entry in enumerate(header.layers):
        start, end = header.span(k)
        rows.append(
            {
                "index": k,
                "width": entry.width,
                "height": entry.height,
                "quality": quality_scale.from_code(entry.quality),
                "offset": start,
                "length": entry.length,
                "accumulated_bytes": end,
                "crc32": f"{entry.crc32:08x}",
                "complete": end <= len(data),
            }
        )
    return {
        "format_version": container.VERSION,
        "model": {"name": names.get(header.model_hash), "hash": header.model_hash.hex()},
        "width": header.layers[-1].width,
        "height": header.layers[-1].height,
        "colour": header.colour,
        "layers": rows,
    }


def extract(data: bytes, layer: int) -> bytes:
    """The file up to a layer's last byte: itself a valid file. Raises FormatError, InputError as `decode` does."""
    data = bytes(data)
    header = container.read_header(data)
    decoder.choose_layer(data, header, layer)
    for k in range(layer + 1):
        container.read_payload(data, header, k)
    return data[: header.span(layer)[1]]


def _from_array(image: ArrayLike) -> Image.Image:
    pixels = np.asarray(image)
    if pixels.dtype != np.uint8 or not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)):
        raise InputError(f"arrays must be uint8 of shape [H, W, 3] or [H, W], not {pixels.dtype} {pixels.shape}")
    if pixels.size == 0:
        raise InputError("the picture has no pixels")
    return Image.fromarray(pixels)
