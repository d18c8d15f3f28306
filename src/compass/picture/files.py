"""Image files of other formats, `-` being standard input and output."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, ImageColor, UnidentifiedImageError

from compass.errors import InputError
from compass.files import STANDARD, atomic_writer, read_bytes, write_bytes
from compass.picture.bands import Band, Bands
from compass.picture.colour import check_png_colours, profile_space, to_srgb
from compass.picture.metadata import EXIF_ERRORS, Metadata
from compass.picture.modes import (
    UNREADABLE,
    scale_transparency,
    to_codable,
    unreadable,
    warn_of_lost_bits,
    warn_of_lost_frames,
)
from compass.picture.png import frame, write_png

_WRITTEN = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".avif": "AVIF",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
    ".ppm": "PPM",
    ".pgm": "PPM",
}
IMAGE_SUFFIXES = frozenset(_WRITTEN)
# What Pillow knows by name alone, what it starts another program for, and what is coded already.
_NOT_IN_FOLDERS = {"BUFR", "COMPASS", "EPS", "FITS", "GRIB", "HDF5", "MPEG", "WMF"}
_OPAQUE = ("BMP", "JPEG", "PPM")
_LOSSY = ("AVIF", "JPEG", "WEBP")
_WITHOUT_GREY = ("AVIF", "WEBP")  # Pillow writes grey as RGB


def readable_suffixes() -> frozenset[str]:
    """Extensions, with their dots, of the image files that are read of a folder."""
    Image.init()
    kinds = Image.OPEN.keys() - _NOT_IN_FOLDERS
    return frozenset(name for name, kind in Image.registered_extensions().items() if kind in kinds)


def limit_pixels(most: int | None) -> None:
    """Lets images of at most so many pixels be read and decoded, any with 0, in place of Pillow's 178,956,970.

    None leaves the limit as it is. Pillow warns from MAX_IMAGE_PIXELS on and refuses twice as many; with a limit that
    was chosen nothing is warned of.
    """
    if most is None:
        return
    Image.MAX_IMAGE_PIXELS = most / 2 if most else None  # type: ignore[assignment]
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)


def read_image(path: Path) -> Image.Image:
    """Read an image file and convert it by `to_codable`.

    Raises InputError if it is missing, no image, damaged or too large.
    """
    if path == STANDARD:
        return image_of_bytes(read_bytes(path), "standard input")
    return _read(path, str(path))


def image_of_bytes(data: bytes, name: str) -> Image.Image:
    """Read an image from the content of a file, as `read_image` does; `name` is for its messages."""
    return _read(io.BytesIO(data), name)


def _read(source: Path | IO[bytes], name: str) -> Image.Image:
    try:
        with Image.open(source) as image:
            check_png_colours(image)
            warn_of_lost_bits(image)
            scale_transparency(image)
            image.load()
            codable = to_codable(image, own=True)
        if not isinstance(source, Path):
            source.seek(0)
        warn_of_lost_frames(source)
        return codable
    except UnidentifiedImageError:
        raise InputError(f"{name} is not an image that can be read") from None
    except Image.DecompressionBombError:
        most = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        raise InputError(f"{name} has more than {most:.0f} pixels, the limit (that --max-pixels sets)") from None
    except InputError as error:
        raise InputError(str(error) if str(error).startswith(name) else f"{name}: {error}") from None
    except UNREADABLE as error:
        raise unreadable(name, error) from None


def format_of(path: Path) -> str:
    """Pillow's name of the format to write a file in. Raises InputError if its extension names none we write."""
    try:
        return _WRITTEN[path.suffix.lower()]
    except KeyError:
        wrong = path.suffix or "a file without an extension"
        raise InputError(f"{path}: images cannot be written as {wrong}, only as {', '.join(_WRITTEN)}") from None


def write_image(
    image: Image.Image | Bands, path: Path, replace: bool = True, quality: int | None = None, piped: str = ".png"
) -> None:
    """Writes an image and its metadata in the format of the file's extension, or of `piped` to standard output.

    Bands are written as PNG one by one; in other formats all of the image is in memory first.
    quality: of the lossy formats, 0 to 100. What the format cannot hold of the metadata is left out with a warning.
    Raises InputError if the image does not fit that format, or if the file cannot be written; see `atomic_writer`.
    """
    if path == STANDARD:
        write_bytes(image_bytes(image, Path(f"standard output{piped}"), quality), path)
        return
    fitting = _fitting(image, path)  # what is wrong with an image that must be whole shows before a file is begun
    with atomic_writer(path, replace) as file:
        _save(fitting, path, file, quality)


def image_bytes(image: Image.Image | Bands, path: Path, quality: int | None = None) -> bytes:
    """Encode an image, its metadata included, in the format of the extension of `path`. Raises InputError."""
    buffer = io.BytesIO()
    _save(_fitting(image, path), path, buffer, quality)
    return buffer.getvalue()


def flattened(image: Bands, background: str) -> Bands:
    """An image with alpha on a background: a name or #rrggbb, as in CSS. Raises InputError if that is no colour."""
    if not image.mode.endswith("A"):
        return image
    mode = image.mode.removesuffix("A")
    try:
        colour = ImageColor.getcolor(background, mode)
    except ValueError:
        raise InputError(f"{background!r} is not a colour like white or #fff8e0") from None

    def pieces() -> Iterator[Band]:
        for band in image.pieces():
            piece = Image.fromarray(band)
            flat = Image.new(mode, piece.size, colour)
            flat.paste(piece.convert(mode), mask=piece.getchannel("A"))
            yield np.asarray(flat).reshape(*band.shape[:2], -1)

    return Bands(mode, image.size, image.info, pieces())


def _fitting(image: Image.Image | Bands, path: Path) -> Image.Image | Bands:
    """An image as the format of a file takes it: in bands for PNG, whole for all others, without grey for some.

    Raises InputError if the format has no alpha, and the image has.
    """
    kind = format_of(path)
    if image.mode.endswith("A") and kind in _OPAQUE:
        raise InputError(f"{path}: the image has alpha, which {kind} cannot hold: give it a background (--background)")
    if kind == "PNG":
        return image if isinstance(image, Bands) else Bands.of(image)
    whole = image.image() if isinstance(image, Bands) else image
    return _in_colour(whole) if kind in _WITHOUT_GREY else whole


def _save(image: Image.Image | Bands, path: Path, file: IO[bytes], quality: int | None) -> None:
    """Writes what `_fitting` returned."""
    kind = format_of(path)
    options = Metadata.of(image).fitting(kind).save_options(kind)
    if isinstance(image, Bands):
        with _impossible(path):
            around = frame(image.mode, image.size, options)
        write_png(file, image, around)
        return
    if quality is not None and kind in _LOSSY:
        options["quality"] = quality
    info, image.info = image.info, {}  # all that is to be written is in the options
    try:
        with _impossible(path):
            image.save(file, kind, **options)
    finally:
        image.info = info


@contextlib.contextmanager
def _impossible(path: Path) -> Iterator[None]:
    """What Pillow raises on an image that does not fit the format, as an InputError."""
    try:
        yield
    except EXIF_ERRORS as error:
        if isinstance(error, OSError) and error.errno is not None:  # of the file, not of the format
            raise
        raise InputError(f"{path}: the image cannot be written in this format: {error}") from None


def _in_colour(image: Image.Image) -> Image.Image:
    """A grey image as RGB, with colours that its profile fits."""
    if image.mode not in ("L", "LA"):
        return image
    if profile_space(image.info.get("icc_profile")) == b"GRAY":
        return to_srgb(image)
    return image.convert("RGBA" if image.mode == "LA" else "RGB")
