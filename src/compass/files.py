"""Files read and written whole, `-` being standard input and output; nothing is ever half-written."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from compass.errors import InputError

STANDARD = Path("-")


def read_bytes(path: Path) -> bytes:
    """Content of a file. Raises InputError if it cannot be read."""
    if path == STANDARD and sys.stdin is None:
        raise InputError("standard input is closed")
    try:
        return sys.stdin.buffer.read() if path == STANDARD else path.read_bytes()
    except (OSError, ValueError) as error:  # the latter of a name with a null byte
        raise InputError(f"{path} cannot be read: {getattr(error, 'strerror', error)}") from None


def open_bytes(path: Path) -> IO[bytes]:
    """A file to read in pieces. Raises InputError if it cannot be opened."""
    try:
        return path.open("rb")
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {getattr(error, 'strerror', error)}") from None


def write_bytes(data: bytes, path: Path, replace: bool = True) -> None:
    """Writes a file, or standard output. Raises InputError as `atomic_writer` does."""
    if path != STANDARD:
        with atomic_writer(path, replace) as file:
            file.write(data)
        return
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except OSError as error:
        raise InputError(f"standard output cannot be written: {error.strerror}") from None


@contextlib.contextmanager
def atomic_writer(path: Path, replace: bool = True) -> Iterator[IO[bytes]]:
    """A file to write under a temporary name in the same folder, which takes its final name when the block ends well.

    The final name never holds half a file, and is kept as it was if the block raises. With `replace` a file of that
    name is replaced, its permissions kept; without it one that exists then, even if it has appeared since, is an
    error. Raises InputError if the file cannot be written.
    """
    partial: Path | None = None
    if path.is_char_device():  # /dev/null and its like: nothing to replace
        try:
            with path.open("wb") as file:
                yield file
        except OSError as error:
            raise InputError(f"{path} cannot be written: {error.strerror or error}") from None
        return
    try:
        path = path.resolve()  # through links, so that they stay links
    except (OSError, RuntimeError) as error:  # the latter of links in a circle
        raise InputError(f"{path} cannot be written: {getattr(error, 'strerror', None) or error}") from None
    try:
        if path.exists() and not path.is_file():
            raise InputError(f"{path} is not a regular file")
        mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else 0o666 & ~_umask()
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".compass-")
        partial = Path(name)
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(handle)
        os.chmod(partial, mode)
        if replace:
            os.replace(partial, path)
            partial = None
        else:
            _link(partial, path)
    except FileExistsError:
        raise InputError(f"{path} exists already and is not replaced") from None
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}") from None
    finally:
        if partial is not None:
            partial.unlink(missing_ok=True)


def _link(partial: Path, path: Path) -> None:
    """Gives a file its final name. Raises FileExistsError if that is taken."""
    try:
        os.link(partial, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links: the name is claimed first, then replaced
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        os.replace(partial, path)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
