"""The image of README.md: three layers of one file at their own sizes, with the bytes that each needs.

python benchmarks/product/montage.py PICTURE
"""

from __future__ import annotations

import io

from PIL import Image, ImageDraw, ImageFont

import compass
from compass.files import write_bytes
from options import ROOT, image_parser, read_rgb

GAP, BAND = 12, 28


def main() -> None:
    options = image_parser(__doc__, ROOT / "docs" / "layers.jpg").parse_args()
    data = compass.encode(read_rgb(options.image), [1 / 4, 1 / 2, 1], 3, options.model)
    with compass.open(data, model=options.model) as opened:
        rows = opened.info()["layers"]
        images = [opened.decode(row["index"]) for row in rows]
    width = sum(p.width for p in images) + GAP * (len(images) + 1)
    canvas = Image.new("RGB", (width, images[-1].height + BAND + 2 * GAP), "white")
    draw = ImageDraw.Draw(canvas)
    x = GAP
    for row, image in zip(rows, images, strict=True):
        canvas.paste(image, (x, GAP))
        text = f"{row['width']}x{row['height']}: the first {row['accumulated_bytes']:,} bytes"
        draw.text((x, GAP + image.height + 6), text, "black", ImageFont.load_default(15))
        x += image.width + GAP
    buffer = io.BytesIO()
    canvas.save(buffer, "JPEG", quality=88, optimize=True)
    write_bytes(buffer.getvalue(), options.out)


if __name__ == "__main__":
    main()
