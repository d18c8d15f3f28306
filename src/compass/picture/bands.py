"""An image from top to bottom, for those that should not be whole in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_PIXELS = 1 << 16  # of a piece: as few as numpy does not slow down with

Band = NDArray[np.uint8]  # [h, width, channels]


@dataclass(frozen=True)
class Bands:
    """An image whose rows are made while they are gone through: once, by `image` or by `pieces`."""

    mode: str  # RGB, L, RGBA or LA
    size: tuple[int, int]  # width, height
    info: Mapping[Any, Any]  # metadata, as in Pillow's `Image.info`
    pixels: Iterable[Band]  # that follow on each other, of any height

    @classmethod
    def of(cls, image: Image.Image) -> Bands:
        """An image in memory, in one of these modes."""
        return cls(image.mode, image.size, image.info, _cut(image))

    def image(self) -> Image.Image:
        """All of it in memory. Raises RuntimeError if its rows have been gone through before."""
        image = Image.new(self.mode, self.size)
        image.info = dict(self.info)
        top = 0
        for band in self.pieces():
            image.paste(Image.fromarray(band[:, :, 0] if self.mode == "L" else band), (0, top))
            top += len(band)
        return image

    def pieces(self) -> Iterator[Band]:
        """Its rows, few at a time. Raises RuntimeError at the end if there were not as many as the size says."""
        rows, count = _rows(self.size[0]), 0
        for band in self.pixels:
            count += len(band)
            yield from (band[top : top + rows] for top in range(0, len(band), rows))
        if count != self.size[1]:
            raise RuntimeError(f"an image of {self.size[1]} rows had {count}: its bands are there only once")


def _rows(width: int) -> int:
    return max(1, _PIXELS // width)


def _cut(image: Image.Image) -> Iterator[Band]:
    width, height = image.size
    rows = _rows(width)
    for top in range(0, height, rows):
        piece = np.asarray(image.crop((0, top, width, min(top + rows, height))))
        yield piece.reshape(len(piece), width, -1)
