"""Reading and writing of the container's numbers: bytes, and LEB128 varints."""

from __future__ import annotations

from compass.bitstream.source import Source
from compass.errors import FormatError

_CHUNK = 64  # bytes read at once: enough for a header of three layers


def varint(value: int) -> bytes:
    """Seven bits a byte, lowest first; the high bit is set on all but the last."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


class Reader:
    """Reads a source from a position on, a chunk at a time."""

    def __init__(self, source: Source, position: int = 0) -> None:
        self._source, self._start, self.position = source, position, position
        self._read = bytearray()

    @property
    def seen(self) -> bytes:
        """All bytes that have been taken so far."""
        return bytes(self._read[: self.position - self._start])

    def take(self, count: int) -> bytes:
        """The next bytes. Raises FormatError if the source ends before."""
        end = self.position - self._start + count
        if end > len(self._read):
            at = self._start + len(self._read)
            self._read += self._source.read_at(at, max(_CHUNK, end - len(self._read)))
        part = bytes(self._read[end - count : end])
        if len(part) < count:
            raise FormatError("the file ends within its header" if self._read else "the file is empty")
        self.position += count
        return part

    def word(self) -> int:
        """The next four bytes as a number."""
        return int.from_bytes(self.take(4), "little")

    def varint(self, limit: int) -> int:
        """The next number. Raises FormatError if it is above the limit or does not end."""
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            shift += 7
            if value > limit:
                raise FormatError("the file is damaged: a number in it is too large")
            if byte < 0x80:
                return value
            if shift > 42:
                raise FormatError("the file is damaged: a number in it does not end")
