"""What a picture file says beside its pixels, and that is kept: colour profile, EXIF, XMP."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

from PIL import Image, ImageCms

_EXIF_PREFIX = b"Exif\0\0"  # of JPEG's segment, not of the data
_PNG_XMP = "XML:com.adobe.xmp"


@dataclass(frozen=True)
class Metadata:
    """None where there is none; EXIF begins with its TIFF header."""

    icc_profile: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None

    @classmethod
    def of(cls, picture: Image.Image) -> Metadata:
        """The metadata of a picture that was read by Pillow, and is upright."""
        info = picture.info
        exif = info.get("exif") or b""
        xmp = info.get("xmp") or info.get(_PNG_XMP) or b""
        exif = exif.removeprefix(_EXIF_PREFIX) if isinstance(exif, bytes) else b""
        xmp = xmp.encode() if isinstance(xmp, str) else bytes(xmp)
        return cls(info.get("icc_profile") or None, exif or None, xmp or None)

    @property
    def given(self) -> dict[str, bytes]:
        """Those that there are."""
        return {name: value for name, value in vars(self).items() if value is not None}

    @property
    def as_info(self) -> dict[str, bytes]:
        """The same as Pillow's `Image.info` has it, and `Image.save` takes it."""
        given = self.given
        return given if self.exif is None else given | {"exif": _EXIF_PREFIX + self.exif}

    @property
    def profile_matters(self) -> bool:
        """Whether the picture looks wrong to a program that takes it for sRGB."""
        if self.icc_profile is None:
            return False
        try:
            description: Any = ImageCms.getProfileDescription(io.BytesIO(self.icc_profile))
        except (ImageCms.PyCMSError, OSError):
            return True
        return "srgb" not in str(description).lower()
