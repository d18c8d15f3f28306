"""Regions of interest: how much the error of each pixel counts."""

from __future__ import annotations

import math

from PIL import Image

from compass.errors import InputError
from compass.picture.pyramid import Size

DEFAULT_WEIGHT = 8.0  # of a region, against everything else
_MAX_WEIGHT = 1000.0


def importance_of(roi: tuple[int, int, int, int] | Image.Image, size: Size, weight: float) -> Image.Image:
    """Factors of the squared error, in mode F and of `size`: 1 in the region, 1 / weight outside of it.

    roi: (left, upper, right, lower), or a mask; between its white and black the factor falls geometrically.
    Raises InputError if it does not fit the image, or if the weight is not from 1 to 1000.
    """
    if not 1 <= weight <= _MAX_WEIGHT:
        raise InputError(f"a region has 1 to {_MAX_WEIGHT:g} times the weight of the rest, not {weight:g}")
    mask = _grey(roi) if isinstance(roi, Image.Image) else _filled(roi, size)
    if mask.size != size:
        raise InputError(f"the mask of the region is {mask.width}x{mask.height}, the image is {size[0]}x{size[1]}")
    factors = [math.exp(math.log(weight) * (value / 255 - 1)) for value in range(256)]
    return mask.point(factors, "F")


def _grey(mask: Image.Image) -> Image.Image:
    return mask if mask.mode == "L" else mask.convert("L")


def _filled(box: tuple[int, int, int, int], size: Size) -> Image.Image:
    try:
        left, upper, right, lower = box
        inside = 0 <= left < right <= size[0] and 0 <= upper < lower <= size[1]
    except (TypeError, ValueError):
        raise InputError(f"a region is (left, upper, right, lower) or a mask, not {box!r}") from None
    if not inside:
        raise InputError(f"the region {left},{upper} to {right},{lower} is not in an image of {size[0]}x{size[1]}")
    mask = Image.new("L", size)
    mask.paste(255, (left, upper, right, lower))
    return mask
