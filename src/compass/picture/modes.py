"""From any of Pillow's modes to those that are coded: RGB and grey of 8 bits, each with or without opacity."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageCms, ImageOps

from compass.errors import InputError, warn
from compass.picture.metadata import EXIF_ERRORS, Metadata, exif_of_tags, replace_info

CODABLE = ("RGB", "L", "RGBA", "LA")
# Where a picture has one colour for "transparent" the opacity is made of it.
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
_LOST_BITS = "the picture has 16 bits a channel and is coded with 8"


def to_codable(picture: Image.Image) -> Image.Image:
    """The picture upright, in a mode of `CODABLE`, its metadata in `info`; opacity that is full everywhere is dropped.

    Warns where 16 bits become 8. Raises InputError if the mode cannot be converted without guessing.
    """
    if 0 in picture.size:
        raise InputError("the picture has no pixels")
    picture = _upright(picture)
    if picture.mode.startswith("I;16") or picture.mode == "I":
        picture = _to_8_bits(picture)
    elif picture.mode in _BY_PROFILE:
        picture = _by_profile(picture)
    if "transparency" in picture.info and picture.mode in _WITH_TRANSPARENT_COLOUR:
        picture = picture.convert(_WITH_TRANSPARENT_COLOUR[picture.mode])
    elif picture.mode in _CONVERTED:
        picture = picture.convert(_CONVERTED[picture.mode])
    if picture.mode not in CODABLE:
        raise InputError(f"pictures of mode {picture.mode} cannot be coded: convert it to RGB or grey first")
    if picture.mode.endswith("A") and picture.getextrema()[-1] == (255, 255):
        picture = picture.convert(picture.mode[:-1])
    return picture


def _upright(picture: Image.Image) -> Image.Image:
    """A copy with its EXIF orientation applied, and all metadata in `info`."""
    exif = picture.info.get("exif") or exif_of_tags(picture)
    try:
        upright = ImageOps.exif_transpose(picture)
    except EXIF_ERRORS:  # an orientation that cannot be read: `Metadata` will say so
        upright = Image.Image.copy(picture)
    if exif is not None:
        upright.info["exif"] = exif
    replace_info(upright.info, Metadata.of(upright))
    return upright


def warn_of_lost_bits(picture: Image.Image) -> None:
    """Warns if Pillow, when it loads the pixels, will cut 16 bits of colour to 8."""
    if any(";16" in str(tile[3]) for tile in getattr(picture, "tile", [])) and not picture.mode.startswith("I"):
        warn(_LOST_BITS)


def _to_8_bits(picture: Image.Image) -> Image.Image:
    values = np.asarray(picture).astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise InputError("pictures with grey levels outside 0 to 65535 cannot be coded")
    warn(_LOST_BITS)
    converted = Image.fromarray(((values + 128) // 257).astype(np.uint8))
    converted.info = dict(picture.info)
    transparent = converted.info.pop("transparency", None)
    if transparent is not None:
        converted.putalpha(Image.fromarray(np.where(values == transparent, 0, 255).astype(np.uint8)))
    return converted


def _by_profile(picture: Image.Image) -> Image.Image:
    profile = picture.info.get("icc_profile")
    if not profile:
        raise InputError(f"pictures of mode {picture.mode} without a colour profile cannot be coded")
    try:
        converted = ImageCms.profileToProfile(
            picture, io.BytesIO(profile), ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
    except (ImageCms.PyCMSError, OSError, ValueError) as error:
        raise InputError(f"the colour profile of this {picture.mode} picture cannot be used: {error}") from None
    assert converted is not None
    converted.info = {key: value for key, value in picture.info.items() if key != "icc_profile"}
    return converted
