"""Picture files and other files, `-` being standard input and output: read whole, written whole or not at all."""

from __future__ import annotations

import io
import os
import stat
import sys
import tempfile
from pathlib import Path
from typing import IO

from PIL import Image, UnidentifiedImageError

from compass.errors import InputError
from compass.picture.metadata import EXIF_ERRORS, Metadata
from compass.picture.modes import to_codable, warn_of_lost_bits

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
STANDARD = Path("-")
_OPAQUE = ("BMP", "PPM")


def read_picture(path: Path) -> Image.Image:
    """A picture file, as `to_codable` has it. Raises InputError if it is missing, no picture, damaged or too large."""
    name = "standard input" if path == STANDARD else str(path)
    try:
        with Image.open(io.BytesIO(read_bytes(path)) if path == STANDARD else path) as picture:
            warn_of_lost_bits(picture)
            picture.load()
            return to_codable(picture)
    except UnidentifiedImageError:
        raise InputError(f"{name} is not a picture that can be read") from None
    except Image.DecompressionBombError as error:
        raise InputError(f"{name}: {error}") from None
    except InputError as error:
        raise InputError(str(error) if str(error).startswith(name) else f"{name}: {error}") from None
    except (OSError, SyntaxError, ValueError, RuntimeError, TypeError) as error:
        raise InputError(f"{name} cannot be read: {getattr(error, 'strerror', None) or error}") from None


def format_of(path: Path) -> str:
    """Pillow's name of the format to write a file in. Raises InputError if its extension names none we write."""
    if path == STANDARD:
        return "PNG"
    try:
        return _WRITTEN[path.suffix.lower()]
    except KeyError:
        wrong = path.suffix or "a file without an extension"
        raise InputError(f"{path}: pictures cannot be written as {wrong}, only as {', '.join(_WRITTEN)}") from None


def write_picture(picture: Image.Image, path: Path) -> None:
    """Writes a picture and its metadata in the format of the file's extension, PNG for standard output.

    Raises InputError if it does not fit that format, or if the file cannot be written.
    """
    write_bytes(picture_bytes(picture, path), path)


def picture_bytes(picture: Image.Image, path: Path) -> bytes:
    """What `write_picture` writes."""
    buffer, kind = io.BytesIO(), format_of(path)
    if picture.mode.endswith("A") and kind in _OPAQUE:
        raise InputError(f"{path}: the picture has opacity, which {kind} cannot hold")
    try:
        picture.save(buffer, kind, **Metadata.of(picture).save_options(kind))
    except EXIF_ERRORS as error:
        raise InputError(f"{path}: the picture cannot be written in this format: {error}") from None
    return buffer.getvalue()


def read_bytes(path: Path) -> bytes:
    """A file's content. Raises InputError if it cannot be read."""
    if path == STANDARD and sys.stdin is None:
        raise InputError("standard input is closed")
    try:
        return sys.stdin.buffer.read() if path == STANDARD else path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None


def open_bytes(path: Path) -> IO[bytes]:
    """A file to read in pieces. Raises InputError if it cannot be opened."""
    try:
        return path.open("rb")
    except (OSError, ValueError) as error:  # the latter of a name with a null byte
        raise InputError(f"{path} cannot be read: {getattr(error, 'strerror', error)}") from None


def write_bytes(data: bytes, path: Path) -> None:
    """Writes under a temporary name in the same folder, then renames: the final name never holds half a file."""
    if path == STANDARD:
        try:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        except OSError as error:
            raise InputError(f"standard output cannot be written: {error.strerror}") from None
        return
    partial = None
    try:
        path = path.resolve()  # through links, so that they stay links
        if path.exists() and not path.is_file():
            raise InputError(f"{path} is not a regular file")
        mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else 0o666 & ~_umask()
        handle, partial = tempfile.mkstemp(dir=path.parent, prefix=".compass-")
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(handle)
        os.chmod(partial, mode)
        os.replace(partial, path)
        partial = None
    except (OSError, RuntimeError) as error:  # the latter of links in a circle
        raise InputError(f"{path} cannot be written: {getattr(error, 'strerror', error)}") from None
    finally:
        if partial is not None:
            Path(partial).unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
