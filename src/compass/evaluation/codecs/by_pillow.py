"""JPEG, WebP and AVIF as Pillow writes them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import PIL
from PIL import Image, features

from compass.evaluation.codecs.contract import ImageResult, Settings, UnavailableError, timed
from compass.picture.pyramid import Pixels


@dataclass(frozen=True)
class PillowCodec:
    """One format of Pillow; the quality is the format's own."""

    name: str
    format: str
    library: str  # as `PIL.features` calls it
    qualities: Sequence[float]
    options: dict[str, Any] = field(default_factory=dict)

    def settings(self) -> Settings:
        if not features.check(self.library):
            raise UnavailableError(f"this Pillow cannot write {self.format}")
        version = features.version(self.library)
        return {"program": f"Pillow {PIL.__version__}, {self.library} {version}", "options": self.options}

    def code(self, image: Pixels, quality: float) -> ImageResult:
        buffer = io.BytesIO()
        source = Image.fromarray(image)
        _, encoding = timed(lambda: source.save(buffer, self.format, quality=round(quality), **self.options))
        decoded, decoding = timed(lambda: np.asarray(Image.open(io.BytesIO(buffer.getvalue())).convert("RGB")))
        return ImageResult(len(buffer.getvalue()), decoded, encoding, decoding)


JPEG_420 = PillowCodec(
    "jpeg", "JPEG", "jpg", (10, 25, 40, 55, 70, 85, 93), {"optimize": True, "progressive": True, "subsampling": "4:2:0"}
)
JPEG_444 = PillowCodec(
    "jpeg-444", "JPEG", "jpg", (10, 25, 40, 55, 70, 85), {"optimize": True, "progressive": True, "subsampling": "4:4:4"}
)
WEBP = PillowCodec("webp", "WEBP", "webp", (5, 20, 40, 60, 75, 87, 95), {"method": 6})
AVIF = PillowCodec(
    "avif",
    "AVIF",
    "avif",
    (8, 16, 26, 38, 50, 62, 75),
    {"subsampling": "4:4:4", "speed": 4, "codec": "aom", "advanced": {"tune": "psnr"}},
)
