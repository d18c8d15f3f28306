"""What becomes of the colours of an image of any mode, profile and format: part of results/robustness.md."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from compass.picture.bands import Bands
from compass.picture.colour import profile_fits
from compass.picture.files import flattened, write_image
from compass.picture.modes import to_codable
from profiles import cmyk_profile, grey_profile, wide_profile

PROFILES = {
    "none": None,
    "sRGB": ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
    "wide": wide_profile(),
    "grey": grey_profile(1.0),
    "inks": cmyk_profile(),
}
MODES = ("RGB", "L", "RGBA", "LA", "CMYK")
SUFFIXES = (".png", ".jpg", ".webp", ".avif", ".tif", ".bmp", ".ppm")
OPAQUE = (".jpg", ".bmp", ".ppm")


@dataclass(frozen=True)
class Outcome:
    """What became of an image that was made codable and written; a path that was not written is None."""

    said: str  # warnings, or why it was refused
    path: Path | None = None
    difference: float = 0.0  # mean, of 255, of what a program sees that follows profiles
    fits: bool = True  # whether the profile in the file is one for its pixels

    @property
    def cell(self) -> str:
        if self.path is None:
            return "refused"
        kept = "" if self.fits else "WRONG PROFILE, "
        return f"{kept}{self.difference:.1f}{', profile left out' * ('left out' in self.said)}"


def image_of(mode: str, profile: bytes | None, source: Image.Image) -> Image.Image:
    """64x48, smooth: what lossy formats keep well."""
    smooth = source.resize((12, 9)).resize((64, 48), Image.Resampling.BICUBIC)
    image = smooth.convert(mode.removesuffix("A"))
    if mode.endswith("A"):
        image.putalpha(Image.linear_gradient("L").resize(image.size))
    if profile is not None:
        image.info["icc_profile"] = profile
    return image


def written(image: Image.Image, path: Path) -> Outcome:
    """An image made codable and written as the decoder writes; white is put behind it where the format is opaque."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            codable = to_codable(image)
        except ValueError as error:
            return Outcome(str(error))
        given = flattened(Bands.of(codable), "white").image() if path.suffix in OPAQUE else codable
        write_image(given, path, quality=95)
    with Image.open(path) as found:
        found.load()
        fits = all(profile_fits(each.mode, each.info.get("icc_profile")) for each in (codable, found))
        difference = float(np.abs(seen(found) - seen(given)).mean())
    return Outcome(" ".join(str(warning.message) for warning in caught), path, difference, fits)


def matrix(source: Image.Image, folder: Path) -> list[list[str]]:
    """Rows of mode, profile, and what became of it in each of `SUFFIXES`."""
    return [
        [mode, name]
        + [written(image_of(mode, profile, source), folder / f"{mode}-{name}{suffix}").cell for suffix in SUFFIXES]
        for mode in MODES
        for name, profile in PROFILES.items()
    ]


def seen(image: Image.Image) -> NDArray[np.int64]:
    """An image as a program sees it that follows profiles: sRGB, without alpha."""
    profile = image.info.get("icc_profile")
    if image.mode.endswith("A"):
        image = image.convert(image.mode[:-1])
    if profile:
        srgb = ImageCms.createProfile("sRGB")
        followed = ImageCms.profileToProfile(image, io.BytesIO(profile), srgb, outputMode="RGB")
        assert followed is not None
        image = followed
    return np.asarray(image.convert("RGB")).astype(np.int64)
