"""Lossless coding of the alpha of one layer: differences to the row above, as a zlib stream (RFC 1950)."""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

from compass.errors import FormatError

Alpha = NDArray[np.uint8]  # [H, W], 255 is opaque


def encode_alpha(alpha: Alpha) -> bytes:
    """[H, W] -> bytes."""
    return zlib.compress(np.diff(alpha, axis=0, prepend=np.uint8(0)).tobytes(), 9)


def decode_alpha(data: bytes, size: tuple[int, int]) -> Alpha:
    """Inverse of `encode_alpha` for a plane of size (H, W). Raises FormatError if they do not fit."""
    expected = size[0] * size[1]
    inflater = zlib.decompressobj()
    try:
        plane = inflater.decompress(data, expected + 1)
    except zlib.error as error:
        raise FormatError(f"the alpha of a layer is damaged: {error}") from None
    if len(plane) != expected or not inflater.eof or inflater.unused_data:
        raise FormatError("the alpha of a layer is damaged: it does not have the layer's size")
    return np.cumsum(np.frombuffer(plane, np.uint8).reshape(size), axis=0, dtype=np.uint8)
