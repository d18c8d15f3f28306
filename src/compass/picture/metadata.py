"""Metadata of image files that is kept: colour profile, EXIF, XMP."""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from compass.errors import warn
from compass.picture import exif as exif_data
from compass.picture.bands import Bands

_PNG_XMP, _TIFF_XMP = "XML:com.adobe.xmp", 700
_IN_INFO = ("icc_profile", "exif", "xmp", _PNG_XMP)
# Most bytes of each kind that a file of a format holds, or that Pillow reads of it.
_LIMITS = {
    "JPEG": {"exif": 65533 - 6, "xmp": 65533 - 29, "icc_profile": 255 * 65519},
    "PNG": {"icc_profile": 1 << 20},
    "BMP": {"exif": 0, "xmp": 0, "icc_profile": 0},
    "PPM": {"exif": 0, "xmp": 0, "icc_profile": 0},
}
# Of a TIFF file's tags, what describes the image and not the file; then the directories of EXIF and GPS.
_DESCRIPTIVE = (0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x8298)
_DIRECTORIES = (0x8769, 0x8825)
EXIF_ERRORS = (SyntaxError, struct.error, TypeError, ValueError, KeyError, OSError, OverflowError, AttributeError)


@dataclass(frozen=True)
class Metadata:
    """None where there is none; EXIF begins with its TIFF header, and says nothing of orientation."""

    icc_profile: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None

    @classmethod
    def of(cls, image: Image.Image | Bands) -> Metadata:
        """The metadata in the `info` of an image, checked as by `checked`."""
        info = image.info
        xmp = info["xmp"] if "xmp" in info else info.get(_PNG_XMP)
        return cls.checked(info.get("icc_profile"), info.get("exif"), xmp.encode() if isinstance(xmp, str) else xmp)

    @classmethod
    def checked(cls, icc_profile: Any = None, exif: Any = None, xmp: Any = None) -> Metadata:
        """Only what is bytes, and EXIF that can be read; warns of EXIF that cannot."""
        exif = exif.removeprefix(exif_data.PREFIX) if isinstance(exif, bytes) else None
        return cls(_some_bytes(icc_profile), _upright(exif) if exif else None, _some_bytes(xmp))

    @property
    def given(self) -> dict[str, bytes]:
        """The fields that are not None, by name."""
        return {name: value for name, value in vars(self).items() if value is not None}

    @property
    def as_info(self) -> dict[str, bytes]:
        """The metadata under the keys, and in the form, of Pillow's `Image.info`."""
        given = self.given
        return given if self.exif is None else given | {"exif": exif_data.PREFIX + self.exif}

    def is_all_of(self, info: Mapping[Any, Any]) -> bool:
        """Whether an image's `info` holds it in just this form, and so says nothing of orientation either."""
        return self.as_info == {name: info[name] for name in _IN_INFO if name in info}

    def fitting(self, kind: str) -> Metadata:
        """Without what a format, by Pillow's name, cannot hold; warns of what is left out and is not what all lack."""
        kept = self.given
        for name, limit in _LIMITS.get(kind, {}).items():
            if name in kept and len(kept[name]) > limit:
                if limit:
                    warn(f"the {name} of {len(kept[name])} bytes is more than {kind} can hold, and is left out")
                elif name == "icc_profile" and self.profile_matters:
                    warn(f"{kind} holds no colour profile: it is left out, and the colours will look wrong")
                del kept[name]
        return Metadata(**kept)

    def save_options(self, kind: str) -> dict[str, Any]:
        """Arguments of `Image.save` for a format by Pillow's name: PNG and TIFF take XMP in ways of their own."""
        options: dict[str, Any] = dict(self.as_info)
        if self.xmp and kind == "PNG":
            options["pnginfo"] = PngInfo()
            options["pnginfo"].add_itxt(_PNG_XMP, self.xmp.decode(errors="replace"))
        if self.xmp and kind == "TIFF":
            tags = ImageFileDirectory_v2()
            tags[_TIFF_XMP], tags.tagtype[_TIFF_XMP] = self.xmp, 1
            if self.exif:
                exif = Image.Exif()
                exif.load(self.exif)
                for tag, value in exif.items():
                    tags[tag] = exif.get_ifd(tag) if tag in _DIRECTORIES else value
                options.pop("exif")
            options["tiffinfo"] = tags
        return options

    @property
    def profile_matters(self) -> bool:
        """Whether the image looks wrong to a program that takes it for sRGB."""
        if self.icc_profile is None:
            return False
        try:
            description: Any = ImageCms.getProfileDescription(io.BytesIO(self.icc_profile))
        except (ImageCms.PyCMSError, OSError):
            return True
        text = str(description).lower()
        return "srgb" not in text or "linear" in text


def replace_info(info: dict[Any, Any], metadata: Metadata) -> None:
    """Puts metadata in place of what an image's `info` has of it."""
    for name in _IN_INFO:
        info.pop(name, None)
    info.update(metadata.as_info)


def exif_of_tags(image: Image.Image) -> bytes | None:
    """EXIF of an image that has it in the tags of its file (TIFF) or in a text (some PNG), not in its `info`."""
    try:
        tags = image.getexif()
        kept = Image.Exif()
        for tag in _DESCRIPTIVE:
            if tag in tags:
                kept[tag] = tags[tag]
        for directory in _DIRECTORIES:
            if values := dict(tags.get_ifd(directory)):
                kept.get_ifd(directory).update(values)
        return kept.tobytes() if dict(kept) or any(kept.get_ifd(d) for d in _DIRECTORIES) else None
    except EXIF_ERRORS:
        return None


def _some_bytes(value: Any) -> bytes | None:
    return value if isinstance(value, bytes) and value else None


def _upright(exif: bytes) -> bytes | None:
    """EXIF without its orientation: the pixels are upright. None, and a warning, if it cannot be read."""
    try:
        return exif_data.upright(exif)
    except ValueError:
        warn("the EXIF data cannot be read and is left out")
        return None
