"""An image from top to bottom, for those that should not be whole in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from compass.picture.pyramid import Size

ROWS = 64  # that an image in memory is cut into

Band = NDArray[np.uint8]  # [h, width, channels]


@dataclass(frozen=True)
class Bands:
    """An image whose rows are made while they are gone through, once."""

    mode: str  # RGB, L, RGBA or LA
    size: Size  # width, height
    info: Mapping[Any, Any]  # metadata, as in Pillow's `Image.info`
    pixels: Iterable[Band]  # that follow on each other, of any height

    @classmethod
    def of(cls, image: Image.Image) -> Bands:
        """An image in memory, in one of these modes."""
        return cls(image.mode, image.size, image.info, _cut(image))

    def image(self) -> Image.Image:
        """All of it in memory."""
        image = Image.new(self.mode, self.size)
        image.info = dict(self.info)
        top = 0
        for band in self.pixels:
            image.paste(Image.fromarray(band[:, :, 0] if self.mode == "L" else band), (0, top))
            top += len(band)
        return image


def _cut(image: Image.Image) -> Iterator[Band]:
    width, height = image.size
    for top in range(0, height, ROWS):
        rows = np.asarray(image.crop((0, top, width, min(top + ROWS, height))))
        yield rows.reshape(len(rows), width, -1)
