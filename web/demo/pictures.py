"""Files for the demo page: python web/demo/pictures.py FOLDER PICTURE...

Each photograph as NAME.cmps in three layers, and as one AVIF and one JPEG, the smallest with at least the PSNR of its
largest layer; pictures.json says how large all are.
"""

from __future__ import annotations

import bisect
import io
import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image

import compass

QUALITY = 3


def psnr(image: Image.Image, original: Image.Image) -> float:
    difference = np.asarray(image.convert("RGB"), np.float64) - np.asarray(original, np.float64)
    return float(10 * np.log10(255**2 / np.mean(difference**2)))


def smallest(original: Image.Image, kind: str, wanted: float) -> tuple[bytes, float]:
    """The file of the lowest quality that has at least the PSNR wanted, if there is one, and its PSNR."""

    def coded(quality: int) -> tuple[bytes, float]:
        buffer = io.BytesIO()
        original.save(buffer, kind, quality=quality)
        return buffer.getvalue(), psnr(Image.open(buffer), original)

    quality = bisect.bisect_left(range(1, 96), wanted, key=lambda quality: coded(quality)[1])
    return coded(1 + min(quality, 94))


def main() -> None:
    folder, *paths = map(Path, sys.argv[1:])
    folder.mkdir(parents=True, exist_ok=True)
    pictures = []
    for path in paths:
        with Image.open(path) as image:
            original = image.convert("RGB")
        data = compass.encode(original, quality=QUALITY)
        files = {"compass": (data, psnr(compass.decode(data), original))}
        files |= {kind: smallest(original, kind, files["compass"][1]) for kind in ("avif", "jpeg")}
        for kind, suffix in (("compass", "cmps"), ("avif", "avif"), ("jpeg", "jpg")):
            (folder / f"{path.stem}.{suffix}").write_bytes(files[kind][0])
        pictures.append(
            {
                "name": path.stem,
                "width": original.width,
                "height": original.height,
                "psnr": {kind: fidelity for kind, (_, fidelity) in files.items()},
                "bytes": {kind: len(content) for kind, (content, _) in files.items()},
            }
        )
    (folder / "pictures.json").write_text(json.dumps(pictures, indent=1))


if __name__ == "__main__":
    main()
