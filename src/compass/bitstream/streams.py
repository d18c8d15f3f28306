"""The streams of a large layer's tiles in its payload.

    per tile: length of its stream (varint) | CRC-32 of it 4
    CRC-32 of everything before it 4 | the streams, tile by tile

A layer of one tile is its stream alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from compass.bitstream import checksum
from compass.bitstream.numbers import Reader, varint
from compass.bitstream.source import Source
from compass.errors import FormatError

_LEAST = 5  # bytes of the table for a tile


def join(streams: Sequence[bytes]) -> bytes:
    """The payload of a layer."""
    if len(streams) == 1:
        return streams[0]
    table = b"".join(varint(len(stream)) + checksum.crc32_bytes(stream) for stream in streams)
    return table + checksum.crc32_bytes(table) + b"".join(streams)


class Streams:
    """The streams of a payload of `count` tiles, each read when it is asked for."""

    def __init__(self, source: Source, span: tuple[int, int], count: int) -> None:
        """span: first byte of the payload in the source, and the byte after its last."""
        self._source, self._span, self._count = source, span, count

    @cached_property
    def _table(self) -> list[tuple[int, int, int]]:
        """Start, length and CRC-32 of each stream. Raises FormatError."""
        reader, (start, end) = Reader(self._source, self._span[0]), self._span
        if _LEAST * self._count + 4 > end - start:  # before anything is made for so many
            raise FormatError(f"a layer of {end - start} bytes cannot have {self._count} tiles")
        entries = [(reader.varint(end - start), reader.word()) for _ in range(self._count)]
        checked = reader.seen
        if not checksum.matches(checked, reader.word()):
            raise FormatError("the table of a layer's tiles is damaged: its checksum does not match")
        table, position = [], reader.position
        for length, crc32 in entries:
            table.append((position, length, crc32))
            position += length
        if position != end:
            raise FormatError("the table of a layer's tiles is damaged: it does not have the layer's length")
        return table

    def check(self) -> None:
        """Reads the table, if there is one. Raises FormatError if it is damaged."""
        if self._count > 1:
            _ = self._table

    def read(self, tile: int) -> bytes:
        """One stream. Raises FormatError if it is damaged; that of a single tile is not checked here."""
        if self._count == 1:
            return self._source.read_at(self._span[0], self._span[1] - self._span[0])
        start, length, crc32 = self._table[tile]
        stream = self._source.read_at(start, length)
        if not checksum.matches(stream, crc32):
            raise FormatError(f"tile {tile} of a layer is damaged: its checksum does not match")
        return stream
