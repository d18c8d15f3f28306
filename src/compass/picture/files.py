"""Picture files: read into RGB or grey, written by extension, never half."""

from __future__ import annotations

import io
import os
import tempfile
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from compass.errors import InputError


def to_codable(picture: Image.Image) -> Image.Image:
    """The picture upright and in mode RGB or L. Raises InputError if that would lose anything but its palette."""
    picture = ImageOps.exif_transpose(picture)
    if picture.mode in ("RGB", "L"):
        return picture
    if picture.mode == "1":
        return picture.convert("L")
    if picture.mode == "P" and "transparency" not in picture.info:
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
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None


def write_picture(picture: Image.Image, path: Path) -> None:
    """Writes a picture in the format of the file's extension. Raises InputError if that format is unknown."""
    formats = Image.registered_extensions()
    kind = formats.get(path.suffix.lower())
    if kind is None or kind not in Image.SAVE:
        raise InputError(f"{path}: pictures cannot be written as {path.suffix or 'a file without an extension'}")
    buffer = io.BytesIO()
    picture.save(buffer, kind)
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
        handle, partial = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".partial")
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
