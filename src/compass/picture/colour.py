"""What the numbers of an image mean: the space of its profile, and the colours that a PNG states without one."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from compass.errors import InputError, warn
from compass.picture.bands import Band, Bands

_SPACES = {b"RGB ": ("RGB",), b"GRAY": ("L",), b"CMYK": ("CMYK",), b"Lab ": ("LAB",)}  # and the modes that they fit
_SRGB_GAMMA, _GAMMA_TOLERANCE = 0.45455, 0.01  # of light to numbers, as PNG writes it
# x and y of white, red, green and blue (IEC 61966-2-1)
_SRGB_CHROMATICITY = (0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
_CHROMATICITY_TOLERANCE = 0.003
# Cone responses of XYZ, by Bradford (Lam 1985; ICC.1 annex E)
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_PNG, _PNG_CHUNKS = b"\x89PNG\r\n\x1a\n", 1000
_HDR = {16: "PQ", 18: "HLG"}  # transfer characteristics (ITU-T H.273)

Matrix = NDArray[np.float64]


def profile_space(profile: bytes | None) -> bytes | None:
    """The colour space that an ICC profile is for (ICC.1, 7.2.6); None if it is none that can be told."""
    if profile is None or len(profile) < 128 or profile[36:40] != b"acsp":
        return None
    return profile[16:20]


def profile_fits(mode: str, profile: bytes | None) -> bool:
    """Whether a profile may say what the colours of an image of a mode are."""
    space = profile_space(profile)
    return space is None or mode.removesuffix("A") in _SPACES.get(space, ())


def without_foreign_profile(image: Image.Image) -> Image.Image:
    """The image without a profile that is for another kind of colours, with a warning."""
    profile = image.info.get("icc_profile")
    if isinstance(profile, bytes) and not profile_fits(image.mode, profile):
        space = profile[16:20].decode("ascii", "replace").strip()
        warn(f"the colour profile is for {space}, the image is {image.mode}: it is left out")
        image = Image.Image.copy(image)
        del image.info["icc_profile"]
    return image


def to_srgb(image: Image.Image) -> Image.Image:
    """An image with a profile as RGB in sRGB, without it; alpha stays. Raises InputError if the profile is unusable."""
    profile = image.info["icc_profile"]
    alpha = image.getchannel("A") if image.mode.endswith("A") and image.mode != "LAB" else None
    colours = image if alpha is None else image.convert(image.mode[:-1])
    try:
        converted = ImageCms.profileToProfile(
            colours, io.BytesIO(profile), ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
    except (ImageCms.PyCMSError, OSError, ValueError) as error:
        raise InputError(f"the colour profile of this {image.mode} image cannot be used: {error}") from None
    assert converted is not None
    if alpha is not None:
        converted.putalpha(alpha)
    converted.info = {key: value for key, value in image.info.items() if key != "icc_profile"}
    return converted


def by_chunks(image: Image.Image) -> Image.Image:
    """An RGB or grey image, alpha or not, in sRGB, where a PNG without profile states another gamma or primaries."""
    info = image.info
    gamma, chromaticity = info.get("gamma"), info.get("chromaticity")
    if "icc_profile" in info or "srgb" in info or image.mode.removesuffix("A") not in ("RGB", "L"):
        return image
    curve = _curve(gamma)
    matrix = None if image.mode[0] == "L" else _to_srgb_primaries(chromaticity)
    if curve is None and matrix is None:
        return image
    light = _linear_of_srgb(np.arange(256) / 255) if curve is None else curve
    channels = len(image.mode.removesuffix("A"))

    def converted(piece: Band) -> Band:
        colours = light[piece[:, :, :channels]]
        if matrix is not None:
            colours = colours @ matrix.T
        pixels = piece.copy()
        pixels[:, :, :channels] = np.rint(255 * _srgb_of_linear(np.clip(colours, 0, 1)))
        return pixels

    kept = {key: value for key, value in info.items() if key not in ("gamma", "chromaticity")}
    return Bands(image.mode, image.size, kept, map(converted, Bands.of(image).pieces())).image()


def check_png_colours(image: Image.Image) -> None:
    """Raises InputError on a PNG without profile whose cICP chunk (PNG, third edition) says other colours than sRGB's.

    Pillow does not read that chunk, and it is gone when the pixels have been loaded and the file is closed.
    """
    source = getattr(image, "fp", None)
    if image.format != "PNG" or source is None or "icc_profile" in image.info:
        return
    start = source.tell()
    try:
        source.seek(0)
        code = _coded_colours(source)
    except (OSError, ValueError):
        return  # whoever decodes it will say what is wrong
    finally:
        source.seek(start)
    if code is not None and code != (1, 13):
        name = _HDR.get(code[1], f"transfer {code[1]}, primaries {code[0]}")
        raise InputError(f"the image states colours by a code ({name}) that are not converted to sRGB here")


def _coded_colours(source: IO[bytes]) -> tuple[int, int] | None:
    """Primaries and transfer characteristics (ITU-T H.273) of a PNG; None if it does not state them so."""
    if source.read(8) != _PNG:
        return None
    for _ in range(_PNG_CHUNKS):
        head = source.read(8)
        length, kind = int.from_bytes(head[:4], "big"), head[4:]
        if kind == b"cICP":
            primaries, transfer = source.read(2)
            return primaries, transfer
        if kind == b"IDAT" or len(head) < 8:
            return None
        source.seek(length + 4, io.SEEK_CUR)
    return None


def _curve(gamma: Any) -> NDArray[np.float64] | None:
    """Light of 256 numbers at PNG's gamma; None if that is sRGB's, or none."""
    if not isinstance(gamma, float | int) or not 0.01 < gamma < 100 or abs(gamma - _SRGB_GAMMA) <= _GAMMA_TOLERANCE:
        return None
    return (np.arange(256) / 255) ** (1 / gamma)


def _to_srgb_primaries(chromaticity: Any) -> Matrix | None:
    """From light of primaries x, y of white, red, green, blue to that of sRGB's; None if they are these, or none."""
    if not isinstance(chromaticity, tuple) or len(chromaticity) != 8:
        return None
    if np.allclose(chromaticity, _SRGB_CHROMATICITY, atol=_CHROMATICITY_TOLERANCE):
        return None
    try:
        theirs, ours = _to_xyz(chromaticity), _to_xyz(_SRGB_CHROMATICITY)
    except (np.linalg.LinAlgError, ZeroDivisionError):
        return None
    cones = (_BRADFORD @ ours.sum(axis=1)) / (_BRADFORD @ theirs.sum(axis=1))
    matrix: Matrix = np.linalg.inv(ours) @ np.linalg.inv(_BRADFORD) @ np.diag(cones) @ _BRADFORD @ theirs
    return matrix if np.isfinite(matrix).all() else None


def _to_xyz(chromaticity: Sequence[float]) -> Matrix:
    """XYZ of red, green and blue light, in columns, so that they add up to white of Y = 1."""
    white, *primaries = (np.array([x / y, 1, (1 - x - y) / y]) for x, y in zip(*[iter(chromaticity)] * 2, strict=True))
    matrix = np.stack(primaries, axis=1)
    return matrix * np.linalg.solve(matrix, white)


def _linear_of_srgb(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)


def _srgb_of_linear(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(x <= 0.0031308, 12.92 * x, 1.055 * x ** (1 / 2.4) - 0.055)
