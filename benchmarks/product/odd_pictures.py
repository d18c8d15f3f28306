"""A folder of odd images, and what the command line makes of each: part of results/robustness.md."""

from __future__ import annotations

import subprocess
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms, ImageDraw, ImageFont

from compass.errors import CompassError
from compass.picture.fidelity import psnr
from compass.picture.files import read_image
from options import COMPASS
from profiles import cmyk_profile

SIDE = 120


def make(source: Image.Image, folder: Path) -> Iterator[str]:
    """Writes the images, made of one of mode RGB; yields their names."""
    small = source.resize((SIDE, SIDE * source.height // source.width))
    faded = Image.linear_gradient("L").resize(small.size)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()

    def save(name: str, image: Image.Image, **options: Any) -> str:
        image.save(folder / name, **options)
        return name

    yield save("palette.png", small.quantize(32))
    palette = small.quantize(32)
    yield save("palette, one colour transparent.png", palette, transparency=palette.getpixel((0, 0)))
    yield save("palette.gif", small.quantize(64))
    yield save("1-bit.png", small.convert("1"))
    yield save("grey.png", small.convert("L"))
    grey = small.convert("L")
    grey.putalpha(faded)
    yield save("grey and alpha.png", grey)
    colour = small.copy()
    colour.putalpha(faded)
    yield save("colour and alpha.webp", colour, lossless=True)
    yield save("16-bit grey.png", Image.fromarray(np.asarray(small.convert("L")).astype(np.uint16) * 257))
    yield save("32-bit float.tif", small.convert("F"))
    yield save("CMYK without profile.jpg", small.convert("CMYK"), quality=95)
    yield save("CMYK with profile.jpg", small.convert("CMYK"), icc_profile=cmyk_profile(), quality=95)
    yield save("CMYK with a wrong profile.tif", small.convert("CMYK"), icc_profile=profile)
    lab_profile = ImageCms.createProfile("LAB")
    lab = ImageCms.profileToProfile(small, ImageCms.createProfile("sRGB"), lab_profile, outputMode="LAB")
    assert lab is not None
    yield save("CIELAB with profile.tif", lab, icc_profile=ImageCms.ImageCmsProfile(lab_profile).tobytes())
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        yield save(f"EXIF orientation {orientation}.jpg", small, exif=exif, quality=95)
    yield save("1x90.png", small.resize((1, 90)))
    yield save("90x1.png", small.resize((90, 1)))
    yield save("1x1.png", small.resize((1, 1)))
    yield save("progressive.jpg", small, progressive=True, quality=95)
    whole = (folder / "progressive.jpg").read_bytes()
    (folder / "truncated.jpg").write_bytes(whole[: len(whole) * 2 // 3])
    yield "truncated.jpg"
    (folder / "no image.png").write_text("no image")
    yield "no image.png"


@dataclass(frozen=True)
class RoundTrip:
    """What the command line made of an image."""

    image: str
    before: str  # mode and size
    exit_code: int
    message: str
    after: str = "no file"
    psnr: float | None = None  # of what is seen, in dB
    alpha: str = ""


def round_trip(folder: Path, name: str, model: str | None) -> RoundTrip:
    """Encodes and decodes an image by the command line, in two layers at quality 4."""
    chosen = ["--model", model] if model else []
    coded, out = folder / "coded.cmps", folder / (name + ".out.png")
    for path in (coded, out):
        path.unlink(missing_ok=True)
    encode = [*COMPASS, "encode", str(folder / name), str(coded), "--scales", "0.5,1", "-q", "4", *chosen]
    result = subprocess.run(encode, capture_output=True, text=True, check=False)
    message = result.stderr.strip().replace(f"{folder}/", "")
    if result.returncode:
        assert not coded.exists()
        return RoundTrip(name, _look(folder / name), result.returncode, message)
    subprocess.run([*COMPASS, "decode", str(coded), str(out), *chosen], capture_output=True, text=True, check=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = read_image(folder / name)
    with Image.open(out) as after:
        seen, alpha = np.ones(before.size[::-1], bool), ""
        if before.mode.endswith("A"):
            alpha = "equal" if before.getchannel("A").tobytes() == after.getchannel("A").tobytes() else "WRONG"
            seen = np.asarray(before.getchannel("A")) > 0
        difference = psnr(np.asarray(before.convert("RGB"))[seen], np.asarray(after.convert("RGB"))[seen])
        look = f"{after.mode} {after.width}x{after.height}"
    return RoundTrip(name, _look(folder / name), 0, message, look, round(difference, 2), alpha)


def _look(path: Path) -> str:
    try:
        with Image.open(path) as image:
            return f"{image.mode} {image.width}x{image.height}"
    except OSError:
        return "unreadable"


def contact_sheet(folder: Path, rows: list[RoundTrip]) -> Image.Image:
    """Every image as any program shows it, and beside it what came out."""
    columns, width, height = 4, 2 * SIDE + 30, SIDE + 34
    sheet = Image.new("RGB", (columns * width, -(-len(rows) // columns) * height), "white")
    draw = ImageDraw.Draw(sheet)
    for i, row in enumerate(rows):
        x, y = i % columns * width + 10, i // columns * height + 6
        draw.text((x, y), row.image, "black", ImageFont.load_default(12))
        for k, path in enumerate((folder / row.image, folder / (row.image + ".out.png"))):
            image = _shown(path)
            if image is None:
                draw.text(
                    (x + k * (SIDE + 5), y + 40), "refused" if k else "unreadable", "grey", ImageFont.load_default(12)
                )
            else:
                sheet.paste(image, (x + k * (SIDE + 5), y + 20))
    return sheet


def _shown(path: Path) -> Image.Image | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = read_image(path).convert("RGBA")
    except CompassError:
        return None
    ground = Image.new("RGBA", image.size, (200, 220, 255, 255))
    ground.alpha_composite(image)
    return ground.convert("RGB")
