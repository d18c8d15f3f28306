"""Where a file's bytes come from: read in pieces, and only those that are asked for."""

from __future__ import annotations

import io
import threading
from typing import IO, Protocol

from compass.errors import InputError

MAX_PIPED = 1 << 30  # bytes that are read of a pipe
_PIECE = 1 << 20  # at once


class Source(Protocol):
    """Bytes at positions. Of a cut file the last ones are missing."""

    @property
    def size(self) -> int:
        """Number of bytes."""

    def read_at(self, start: int, count: int) -> bytes:
        """`count` bytes from `start` on, fewer at the end. Raises InputError if they cannot be read."""


class BytesSource:
    """Bytes in memory."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    @property
    def size(self) -> int:
        return len(self._data)

    def read_at(self, start: int, count: int) -> bytes:
        return self._data[start : start + count]


class FileSource:
    """A binary file, or anything that seeks and reads as one, from its current position on."""

    def __init__(self, file: IO[bytes]) -> None:
        """Raises InputError if the file cannot seek."""
        self._file, self._lock = file, threading.Lock()
        try:
            self._start = file.tell()
            self._size = file.seek(0, io.SEEK_END) - self._start
        except (OSError, AttributeError, ValueError) as error:
            raise InputError(f"the file cannot be read in pieces: {error}") from None

    @property
    def size(self) -> int:
        return max(0, self._size)

    def read_at(self, start: int, count: int) -> bytes:
        parts = []
        try:
            with self._lock:
                self._file.seek(self._start + start)
                count = min(count, self.size - start)
                while count > 0 and (part := self._file.read(count)):  # a raw reader may give fewer than asked for
                    parts.append(part)
                    count -= len(part)
        except (OSError, ValueError) as error:  # the latter of a closed file
            raise InputError(f"the file cannot be read: {getattr(error, 'strerror', None) or error}") from None
        try:
            return b"".join(parts)
        except TypeError:
            raise InputError("the file cannot be read: it does not give bytes") from None


def source_of(file: IO[bytes]) -> Source:
    """A file as a source; what cannot seek, as a pipe, is read to its end. Raises InputError if it cannot be read."""
    try:
        seekable = file.seekable()
    except (AttributeError, ValueError):
        seekable = True  # `FileSource` says what is wrong
    if seekable:
        return FileSource(file)
    data = bytearray()
    try:
        while part := file.read(_PIECE):  # a raw pipe may give fewer than asked for
            if not isinstance(part, bytes):
                raise InputError("the file cannot be read: it does not give bytes")
            data += part
            if len(data) > MAX_PIPED:
                text = f"the input is longer than {MAX_PIPED >> 20} MiB, the most that is read of what cannot seek"
                raise InputError(text)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the file cannot be read: {getattr(error, 'strerror', None) or error}") from None
    return BytesSource(bytes(data))


def as_source(data: bytes | Source) -> Source:
    """Wrap bytes as a source; a source is returned as it is."""
    return BytesSource(data) if isinstance(data, (bytes, bytearray)) else data
