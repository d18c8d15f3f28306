"""The picture of README.md: three layers of one file at their own sizes, with the bytes that each needs.

python benchmarks/montage.py PICTURE
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

import compass

ROOT = Path(__file__).parent.parent
GAP, BAND = 12, 28


def main() -> None:
    with Image.open(sys.argv[1]) as source:
        data = compass.encode(source.convert("RGB"), [1 / 4, 1 / 2, 1], 3)
    rows = compass.info(data)["layers"]
    pictures = [compass.decode(data, row["index"]) for row in rows]
    width = sum(p.width for p in pictures) + GAP * (len(pictures) + 1)
    canvas = Image.new("RGB", (width, pictures[-1].height + BAND + 2 * GAP), "white")
    draw = ImageDraw.Draw(canvas)
    x = GAP
    for row, picture in zip(rows, pictures, strict=True):
        canvas.paste(picture, (x, GAP))
        text = f"{row['width']}x{row['height']}: the first {row['accumulated_bytes']:,} bytes"
        draw.text((x, GAP + picture.height + 6), text, "black", ImageFont.load_default(15))
        x += picture.width + GAP
    buffer = io.BytesIO()
    canvas.save(buffer, "JPEG", quality=88, optimize=True)
    (ROOT / "docs" / "layers.jpg").write_bytes(buffer.getvalue())


if __name__ == "__main__":
    main()
