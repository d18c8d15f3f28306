"""Sizes of layers, and the images of a pyramid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from compass.arguments import broken, whole_number
from compass.errors import InputError
from compass.picture.bands import Bands
from compass.picture.window import Window

MAX_LAYERS = 32
MAX_SIDE = 1 << 20

_KERNEL = Image.Resampling.BICUBIC

Size = tuple[int, int]  # width, height
Pixels = NDArray[np.uint8]  # [H, W, 3]


def height_by_aspect(width: int, full: tuple[int, int]) -> int:
    """Height of a layer of `width` of an image of `full` = (width, height): rounded half up, at least 1."""
    return max(1, (2 * width * full[1] + full[0]) // (2 * full[0]))


def sizes_from_scales(full: Size, scales: Sequence[float]) -> list[Size]:
    """Layer sizes of an image of `full` size, from ascending fractions of it in (0, 1]."""
    below = 0.0
    for scale in scales:
        if not 0 < scale <= 1:
            raise InputError(f"scale {scale:g} is not above 0 and at most 1")
        if scale < below:
            raise InputError(f"scales must ascend, but {scale:g} follows {below:g}")
        below = scale
    return check_sizes([(max(1, round(full[0] * s)), max(1, round(full[1] * s))) for s in scales], full)


def pairs_of(sizes: Sequence[int | tuple[int, int | None]]) -> list[tuple[int, int | None]]:
    """(width, height or None) of each, of a width alone too. Raises InputError on anything else."""
    rule = "sizes are a sequence of widths, or of pairs of width and height"
    pairs: list[tuple[int, int | None]] = []
    try:
        for size in sizes:
            width, height = size if isinstance(size, Sequence | np.ndarray) else (size, None)
            pairs.append((whole_number(width, rule), None if height is None else whole_number(height, rule)))
    except (TypeError, ValueError):
        raise broken(rule, sizes) from None
    return pairs


def complete_sizes(full: Size, sizes: Sequence[int | tuple[int, int | None]]) -> list[Size]:
    """Layer sizes with the missing heights filled in by the image's aspect ratio."""
    return check_sizes([(w, height_by_aspect(w, full) if h is None else h) for w, h in pairs_of(sizes)], full)


def check_sizes(sizes: list[Size], full: Size) -> list[Size]:
    """`sizes` unchanged. Raises InputError unless they are 1 to 32, ascending, and within the image."""
    if not 1 <= len(sizes) <= MAX_LAYERS:
        raise InputError(f"{len(sizes)} layers are impossible: 1 to {MAX_LAYERS} can be coded")
    below = (1, 1)
    for width, height in sizes:
        if min(width, height) < 1:
            raise InputError(f"a layer of {width}x{height} has no pixels")
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
    return [np.asarray(image if image.size == size else image.resize(size, _KERNEL)) for size in sizes]


@dataclass(frozen=True)
class Target:
    """What a layer is coded from."""

    image: Image.Image  # of the layer's size, RGB, L or RGBA
    unseen: NDArray[np.uint8] | None = None  # [3] the colour where nothing is seen; None in an image without alpha

    def part(self, window: Window) -> Pixels:
        """[h, w, 3], the pixels of a window."""
        part = self.image if window.box == (0, 0, *self.image.size) else self.image.crop(window.box)
        if self.unseen is None:
            return np.asarray(part if part.mode == "RGB" else part.convert("RGB"))
        layer = np.asarray(part)
        pixels = layer[:, :, :3].copy()
        pixels[layer[:, :, 3] == 0] = self.unseen
        return pixels

    @property
    def pixels(self) -> Pixels:
        """[H, W, 3]."""
        return self.part(Window(0, 0, self.image.height, self.image.width))

    @property
    def alpha(self) -> NDArray[np.uint8] | None:
        """[H, W], 255 is opaque."""
        return None if self.unseen is None else np.asarray(self.image.getchannel("A"))


def targets(image: Image.Image, sizes: Sequence[Size]) -> list[Target]:
    """An image of any codable mode at each size, by antialiased bicubic downscaling of colours times alpha."""
    unseen = None
    if image.mode.endswith("A"):
        image = image if image.mode == "RGBA" else image.convert("RGBA")
        unseen = _mean_seen(image)
    return [Target(image if image.size == size else image.resize(size, _KERNEL), unseen) for size in sizes]


def _mean_seen(image: Image.Image) -> NDArray[np.uint8]:
    """Mean colour of an RGBA image, weighted by alpha."""
    weight, total = 0, np.zeros(3, np.int64)
    for piece in Bands.of(image).pieces():
        pixels = piece.astype(np.uint32)
        weight += int(pixels[:, :, 3].sum(dtype=np.int64))
        total += (pixels[:, :, :3] * pixels[:, :, 3:]).sum(axis=(0, 1), dtype=np.int64)
    return np.rint(total / max(1, weight)).astype(np.uint8)
