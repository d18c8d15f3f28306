"""Sizes of layers, and the images of a pyramid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from compass.errors import InputError

MAX_LAYERS = 32
MAX_SIDE = 1 << 20

Size = tuple[int, int]  # width, height
Pixels = NDArray[np.uint8]  # [H, W, 3]


def height_by_aspect(width: int, full: tuple[int, int]) -> int:
    """Height of a layer of `width` of an image of `full` = (width, height): rounded half up, at least 1."""
    return max(1, (2 * width * full[1] + full[0]) // (2 * full[0]))


def sizes_from_scales(full: Size, scales: Sequence[float]) -> list[Size]:
    """Layer sizes of an image of `full` size, from ascending fractions of it in (0, 1]."""
    for scale in scales:
        if not 0 < scale <= 1:
            raise InputError(f"scale {scale:g} is not above 0 and at most 1")
    return check_sizes([(max(1, round(full[0] * s)), max(1, round(full[1] * s))) for s in scales], full)


def complete_sizes(full: Size, sizes: Sequence[tuple[int, int | None]]) -> list[Size]:
    """Layer sizes with the missing heights filled in by the image's aspect ratio."""
    return check_sizes([(w, height_by_aspect(w, full) if h is None else h) for w, h in sizes], full)


def check_sizes(sizes: list[Size], full: Size) -> list[Size]:
    """`sizes` unchanged. Raises InputError unless they are 1 to 32, ascending, and within the image."""
    if not 1 <= len(sizes) <= MAX_LAYERS:
        raise InputError(f"{len(sizes)} layers are impossible: 1 to {MAX_LAYERS} can be coded")
    below = (1, 1)
    for width, height in sizes:
        if width < below[0] or height < below[1]:
            raise InputError(f"layer sizes must ascend, but {width}x{height} follows {below[0]}x{below[1]}")
        if width > full[0] or height > full[1]:
            raise InputError(f"layer {width}x{height} is larger than the image, {full[0]}x{full[1]}")
        below = (width, height)
    if max(below) > MAX_SIDE:
        raise InputError(f"layer {below[0]}x{below[1]} is larger than the format allows, {MAX_SIDE} a side")
    return sizes


def pyramid(image: Image.Image, sizes: Sequence[Size]) -> list[Pixels]:
    """The image (mode RGB, or RGBA: then [H, W, 4]) at each size, by antialiased bicubic downscaling."""
    return [np.asarray(image if image.size == size else image.resize(size, Image.Resampling.BICUBIC)) for size in sizes]


class Target(NamedTuple):
    """The pixels and the alpha that a layer is coded from."""

    pixels: Pixels  # [H, W, 3]; where nothing is seen, the mean of what is
    alpha: NDArray[np.uint8] | None  # [H, W], 255 is opaque


def targets(image: Image.Image, sizes: Sequence[Size]) -> list[Target]:
    """An image of any codable mode at each size, by antialiased bicubic downscaling of colours times alpha."""
    if not image.mode.endswith("A"):
        return [Target(pixels, None) for pixels in pyramid(image.convert("RGB"), sizes)]
    found = []
    mean = _mean_seen(np.asarray(image.convert("RGBA")))
    for layer in pyramid(image.convert("RGBA"), sizes):
        pixels, alpha = layer[:, :, :3].copy(), np.ascontiguousarray(layer[:, :, 3])
        pixels[alpha == 0] = mean
        found.append(Target(pixels, alpha))
    return found


def _mean_seen(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Mean colour of [H, W, 4], weighted by alpha."""
    weight = pixels[:, :, 3].astype(np.float64)
    total = max(1.0, weight.sum())
    return np.rint(np.einsum("hwc,hw->c", pixels[:, :, :3], weight) / total).astype(np.uint8)
