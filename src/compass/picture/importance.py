"""Regions of interest: how much the error of each pixel counts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops

from compass import arguments
from compass.arguments import real_number
from compass.errors import InputError
from compass.picture.modes import loaded
from compass.picture.pyramid import Size
from compass.picture.window import window_of

DEFAULT_WEIGHT = 8.0  # of a region, against everything else
_MAX_WEIGHT = 1000.0

Region = Sequence[int] | Image.Image | NDArray[Any]


def importance_of(roi: Region, size: Size, weight: float) -> Image.Image:
    """Factors of the squared error, in mode F and of `size`: 1 in the region, 1 / weight outside of it.

    roi: (left, upper, right, lower), or a mask, an image or an array [H, W] of bool or uint8; between its white and
    black the factor falls geometrically, and what is transparent is outside.
    Raises InputError if it does not fit the image, if it is empty, or if the weight is not from 1 to 1000.
    """
    rule = f"a region has 1 to {_MAX_WEIGHT:g} times the weight of the rest"
    weight = real_number(weight, rule, lambda value: 1 <= value <= _MAX_WEIGHT)
    mask = _mask(roi, size)
    if mask.size != size:
        raise InputError(f"the mask of the region is {mask.width}x{mask.height}, the image is {size[0]}x{size[1]}")
    if not mask.getbbox():
        raise InputError("the mask of the region is black everywhere: white marks the region")
    factors = [math.exp(math.log(weight) * (value / 255 - 1)) for value in range(256)]
    return mask.point(factors, "F")


def _mask(roi: Any, size: Size) -> Image.Image:
    if isinstance(roi, Image.Image):
        return _grey(loaded(roi, "the mask of the region"))
    if isinstance(roi, np.ndarray) and roi.ndim == 2:
        return _from_array(roi)
    return _filled(roi, size)


def _grey(mask: Image.Image) -> Image.Image:
    if mask.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(mask) >> 8).astype(np.uint8))
    if mask.mode in ("I", "F"):
        raise InputError(f"the mask of a region has 8 or 16 bits, it is not of mode {mask.mode}")
    if mask.has_transparency_data:
        pixels = mask.convert("RGBA")
        return ImageChops.multiply(pixels.convert("L"), pixels.getchannel("A"))
    return mask if mask.mode == "L" else mask.convert("L")


def _from_array(mask: NDArray[Any]) -> Image.Image:
    if mask.dtype == bool:
        mask = mask * np.uint8(255)
    if mask.dtype != np.uint8:
        raise InputError(f"the mask of a region is an array of bool or uint8, not of {mask.dtype}")
    return Image.fromarray(mask)


def _filled(box: Any, size: Size) -> Image.Image:
    region = arguments.box(box, "a region is four whole numbers (left, upper, right, lower) or a mask")
    window = window_of(region, size, "the region", "an image")
    mask = Image.new("L", size)
    mask.paste(255, window.box)
    return mask
