"""Boxes: what a file holds beside its layers. A reader skips those of types that it does not know.

In front: type 4 | length (varint) | CRC-32 of the content 4 in the header's table, the content after the header.
At the end: type 4 | length (varint) | content | CRC-32 of all of that 4, one box after another to the end of the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from compass.bitstream import checksum
from compass.bitstream.numbers import Reader, varint
from compass.bitstream.source import Source
from compass.errors import FormatError

TYPE_BYTES = 4
MAX_BOXES = 64  # on either side
MAX_LENGTH = 1 << 24


class Box(NamedTuple):
    """One box: a type of four bytes, and its content."""

    kind: bytes
    content: bytes


class BoxEntry(NamedTuple):
    """A box in front, as the header names it."""

    kind: bytes
    length: int
    crc32: int


def write_table(boxes: Sequence[Box]) -> bytes:
    """Serialise the header's table of the boxes in front."""
    out = bytes((len(boxes),))
    for kind, content in boxes:
        out += kind + varint(len(content)) + checksum.crc32_bytes(content)
    return out


def read_table(reader: Reader) -> tuple[BoxEntry, ...]:
    """Read the header's table of the boxes in front. Raises FormatError if it cannot be right."""
    count = reader.take(1)[0]
    if count > MAX_BOXES:
        raise FormatError(f"the header lists {count} boxes, at most {MAX_BOXES} are possible")
    return tuple(BoxEntry(reader.take(TYPE_BYTES), reader.varint(MAX_LENGTH), reader.word()) for _ in range(count))


def read_front(source: Source, start: int, table: Sequence[BoxEntry]) -> list[Box]:
    """The boxes between header and layers. Raises FormatError if one is damaged or cut off."""
    found = []
    for kind, length, crc32 in table:
        content = source.read_at(start, length)
        if not checksum.matches(content, crc32):
            raise FormatError(f"the box {name_of(kind)!r} is damaged: its checksum does not match")
        found.append(Box(kind, content))
        start += length
    return found


def write_back(boxes: Sequence[Box]) -> bytes:
    """The bytes after the last layer."""
    out = b""
    for kind, content in boxes:
        box = kind + varint(len(content)) + content
        out += box + checksum.crc32_bytes(box)
    return out


def read_back(source: Source, start: int) -> tuple[list[Box], bool]:
    """The boxes from `start` to the end of a file, and whether the last one is cut off, and so left out.

    Raises FormatError if one is damaged.
    """
    reader = Reader(source, start)
    found: list[Box] = []
    while reader.position < source.size:
        if len(found) == MAX_BOXES:
            raise FormatError(f"more than {MAX_BOXES} boxes follow the layers")
        first = reader.position
        if source.size - first < TYPE_BYTES + 1 + 4:
            return found, True
        kind, length = reader.take(TYPE_BYTES), reader.varint(MAX_LENGTH)
        if reader.position + length + 4 > source.size:
            return found, True
        whole = source.read_at(first, reader.position + length - first)
        content = reader.take(length)
        if not checksum.matches(whole, reader.word()):
            raise FormatError("a box after the layers is damaged: its checksum does not match")
        found.append(Box(kind, content))
    return found, False


def name_of(kind: bytes) -> str:
    """A type as text that a terminal can show."""
    return "".join(chr(byte) if 32 <= byte < 127 else f"\\x{byte:02x}" for byte in kind).strip()
