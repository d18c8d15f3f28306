"""Picture files: read into RGB or grey, written by extension, never half."""

from __future__ import annotations

import io
import os
import tempfile
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from compass.errors import InputError

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


PICTURE_SUFFIXES = frozenset(_WRITTEN)


def to_codable(picture: Image.Image) -> Image.Image:
    """The picture upright and in mode RGB or L. Raises InputError if that would lose anything but its palette."""
    picture = ImageOps.exif_transpose(picture)
    if "transparency" in picture.info:
        raise InputError("pictures with transparency cannot be coded yet")
    if picture.mode in ("RGB", "L"):
        return picture
    if picture.mode == "1":
        return picture.convert("L")
    if picture.mode == "P":
        return picture.convert("RGB")
    raise InputError(f"pictures of mode {picture.mode} cannot be coded yet, only RGB, grey and palette without alpha")


def read_picture(path: Path) -> Image.Image:
    """A picture file as RGB or grey. Raises InputError if it is missing, not a picture, damaged or too large."""
    try:
        with Image.open(path) as picture:
            picture.load()
            return to_codable(picture)
    except UnidentifiedImageError:
        raise InputError(f"{path} is not a picture that can be read") from None
    except Image.DecompressionBombError as error:
        raise InputError(f"{path}: {error}") from None
    except (OSError, SyntaxError, ValueError, RuntimeError) as error:
        raise InputError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None


def format_of(path: Path) -> str:
    """Pillow's name of the format to write a file in. Raises InputError if its extension names none we write."""
    try:
        return _WRITTEN[path.suffix.lower()]
    except KeyError:
        wrong = path.suffix or "a file without an extension"
        raise InputError(f"{path}: pictures cannot be written as {wrong}, only as {', '.join(_WRITTEN)}") from None


def write_picture(picture: Image.Image, path: Path) -> None:
    """Writes a picture in the format of the file's extension. Raises InputError if it does not fit that format."""
    buffer = io.BytesIO()
    try:
        picture.save(buffer, format_of(path))
    except (OSError, ValueError, OverflowError) as error:
        raise InputError(f"{path}: the picture cannot be written in this format: {error}") from None
    write_bytes(buffer.getvalue(), path)


def read_bytes(path: Path) -> bytes:
    """A file's content. Raises InputError if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None


def write_bytes(data: bytes, path: Path) -> None:
    """Writes under a temporary name in the same folder, then renames: the final name never holds half a file."""
    partial = None
    try:
        path = path.resolve()  # through links, so that they stay links
        if path.exists() and not path.is_file():
            raise InputError(f"{path} is not a regular file")
        handle, partial = tempfile.mkstemp(dir=path.parent, prefix=".compass-")
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(partial, 0o666 & ~_umask())
        os.replace(partial, path)
    except OSError as error:
        if partial is not None:
            Path(partial).unlink(missing_ok=True)
        raise InputError(f"{path} cannot be written: {error.strerror}") from None


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
