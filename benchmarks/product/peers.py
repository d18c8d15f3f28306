"""Files of one size that are compared with layers, by Pillow at its default speed."""

from __future__ import annotations

import bisect
import io

import numpy as np
from PIL import Image

from compass.picture.fidelity import psnr

PEERS = ("avif", "jpeg")


def at_psnr(image: Image.Image, peer: str, fidelity: float) -> bytes:
    """The smallest file with at least this PSNR, or that of the highest quality."""

    def coded(quality: int) -> bytes:
        buffer = io.BytesIO()
        image.save(buffer, peer, quality=quality)
        return buffer.getvalue()

    return coded(1 + min(94, bisect.bisect_left(range(1, 96), fidelity, key=lambda q: psnr_of(coded(q), image))))


def psnr_of(data: bytes, original: Image.Image) -> float:
    """Of a file, in RGB, in dB."""
    with Image.open(io.BytesIO(data)) as found:
        return psnr(np.asarray(found.convert("RGB")), np.asarray(original))
