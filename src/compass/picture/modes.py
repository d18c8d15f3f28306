"""From any of Pillow's modes to those that are coded: RGB and grey of 8 bits, each with or without alpha."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import IO

import numpy as np
from PIL import ExifTags, Image, ImageOps

from compass.errors import InputError, warn
from compass.picture.colour import by_chunks, check_png_colours, to_srgb, without_foreign_profile
from compass.picture.metadata import EXIF_ERRORS, Metadata, exif_of_tags, replace_info

CODABLE = ("RGB", "L", "RGBA", "LA")
# Where an image has one colour for "transparent" the alpha is made of it.
_WITH_TRANSPARENT_COLOUR = {"P": "RGBA", "RGB": "RGBA", "L": "LA", "1": "LA"}
_CONVERTED = {
    "1": "L",
    "P": "RGB",
    "PA": "RGBA",
    "RGBX": "RGB",
    "RGBa": "RGBA",
    "La": "LA",
    "YCbCr": "RGB",
    "HSV": "RGB",
}
_BY_PROFILE = ("CMYK", "LAB")
_ONE_IMAGE = ("COMPASS", "ICNS", "ICO", "MPO", "PSD")  # formats whose frames are parts or views of one image
_LEVELS = {"1": 2, "L;2": 4, "L;4": 16}  # of grey, by Pillow's name for how the pixels of a file lie
UNREADABLE = (OSError, SyntaxError, ValueError, RuntimeError, TypeError)  # what Pillow raises on a file
_LOST_BITS = "the image has 16 bits a channel and is coded with 8"


def loaded(image: Image.Image, name: str) -> Image.Image:
    """The same image, its pixels read. Raises InputError if they cannot be; `name` is for its message."""
    try:
        image.load()
    except UNREADABLE as error:
        raise unreadable(name, error) from None
    return image


def unreadable(name: str, error: Exception) -> InputError:
    """What is said of an image on which Pillow has raised one of `UNREADABLE`."""
    return InputError(f"{name} cannot be read: {getattr(error, 'strerror', None) or error}")


def to_codable(image: Image.Image, own: bool = False) -> Image.Image:
    """The image upright, in a mode of `CODABLE`, its metadata in `info`; alpha that is full everywhere is dropped.

    Colours are as the profile in `info` says, or sRGB without one. own: the image may be changed; otherwise one that
    has to be is copied. Warns where 16 bits become 8, and where a profile is for other colours than the image has.
    Raises InputError if the pixels cannot be read, or the mode not be converted without guessing.
    """
    if 0 in image.size:
        raise InputError("the image has no pixels")
    check_png_colours(image)
    image = _upright(loaded(image, "the image"), own)
    if image.mode.startswith("I;16") or image.mode == "I":
        image = _to_8_bits(image)
    elif image.mode in _BY_PROFILE:
        if not image.info.get("icc_profile"):
            raise InputError(f"images of mode {image.mode} without a colour profile cannot be coded")
        image = to_srgb(image)
    if "transparency" in image.info and image.mode in _WITH_TRANSPARENT_COLOUR:
        image = image.convert(_WITH_TRANSPARENT_COLOUR[image.mode])
    elif image.mode in _CONVERTED:
        image = image.convert(_CONVERTED[image.mode])
    if image.mode not in CODABLE:
        raise InputError(f"images of mode {image.mode} cannot be coded: convert it to RGB or grey first")
    if image.mode.endswith("A") and image.getextrema()[-1] == (255, 255):
        image = image.convert(image.mode[:-1])
    return by_chunks(without_foreign_profile(image))


def _upright(image: Image.Image, own: bool) -> Image.Image:
    """The image with its EXIF orientation applied, and all metadata in `info`."""
    image = _with_readable_exif(image, own)
    exif = image.info.get("exif") or exif_of_tags(image)
    if exif == image.info.get("exif") and _stands(image) and Metadata.of(image).is_all_of(image.info):
        return image
    upright = image if own else Image.Image.copy(image)
    with contextlib.suppress(*EXIF_ERRORS):  # an orientation that cannot be read: `Metadata` will say so
        ImageOps.exif_transpose(upright, in_place=True)
    if exif is not None:
        upright.info["exif"] = exif
    replace_info(upright.info, Metadata.of(upright))
    return upright


def _with_readable_exif(image: Image.Image, own: bool) -> Image.Image:
    """The image without EXIF that Pillow might fail at, or take much memory for; warns of it."""
    exif = image.info.get("exif")
    if exif is None or (isinstance(exif, bytes) and Metadata.checked(exif=exif).exif is not None):
        return image
    without = image if own else Image.Image.copy(image)
    del without.info["exif"]
    return without


def _stands(image: Image.Image) -> bool:
    """Whether neither EXIF nor XMP says that the image is to be turned."""
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1) == 1
    except EXIF_ERRORS:
        return False


def warn_of_lost_bits(image: Image.Image) -> None:
    """Warns if Pillow, when it loads the pixels, will cut 16 bits of colour to 8."""
    if any(";16" in str(tile[3]) for tile in getattr(image, "tile", [])) and not image.mode.startswith("I"):
        warn(_LOST_BITS)


def scale_transparency(image: Image.Image) -> None:
    """Brings the transparent colour in `info`, of a file's own depth, to the 8 bits that pixels will have.

    While the pixels have not been loaded: afterwards the depth is forgotten. Warns of one that 8 bits cannot tell from
    others.
    """
    transparent = image.info.get("transparency")
    tiles = getattr(image, "tile", [])
    if transparent is None or image.format != "PNG" or not tiles:
        return
    kind = tiles[0][3]
    if isinstance(transparent, int) and kind in _LEVELS:
        image.info["transparency"] = min(255, transparent * 255 // (_LEVELS[kind] - 1))  # 1 bit: newer Pillows scale
    elif isinstance(transparent, tuple) and ";16" in str(kind):
        del image.info["transparency"]
        warn("the transparent colour of the image has 16 bits and is left out")


def warn_of_lost_frames(source: Path | IO[bytes]) -> None:
    """Warns if an image file, which has been read once, holds more than the image that is shown first."""
    try:
        with Image.open(source) as image:
            frames, first = getattr(image, "n_frames", 1), image.size
            if image.format == "MPO" and frames > 1:
                image.seek(1)
                if image.size == first:  # a preview would be smaller
                    warn(f"the first of {frames} views is coded")
            if image.format in _ONE_IMAGE:
                return
    except Exception:  # to count them all are looked at; what is wrong with the others does not matter
        return
    if frames > 1:
        warn(f"the first of {frames} frames is coded")


def _to_8_bits(image: Image.Image) -> Image.Image:
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise InputError("images with grey levels outside 0 to 65535 cannot be coded")
    if image.mode == "I" and values.max() < 256:  # 16 bits of a file come in modes of their own
        scaled = values
    else:
        warn(_LOST_BITS)
        scaled = (values + 128) // 257
    converted = Image.fromarray(scaled.astype(np.uint8))
    converted.info = dict(image.info)
    transparent = converted.info.pop("transparency", None)
    if transparent is not None:
        converted.putalpha(Image.fromarray(np.where(values == transparent, 0, 255).astype(np.uint8)))
    return converted
