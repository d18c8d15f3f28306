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


def read_back(source: Source, start: int) -> tuple[list[Box], int]:
    """The boxes from `start` on, and where the last one ends.

    What follows there is no whole box: one that is cut off or damaged, or bytes that something else has appended.
    """
    found: list[Box] = []
    while start < source.size and len(found) < MAX_BOXES and (next_one := _read_box(source, start)) is not None:
        box, start = next_one
        found.append(box)
    return found, start


def _read_box(source: Source, start: int) -> tuple[Box, int] | None:
    reader = Reader(source, start)
    try:
        kind, length = reader.take(TYPE_BYTES), reader.varint(MAX_LENGTH)
        content = reader.take(length)
        checked = reader.seen
        whole = checksum.matches(checked, reader.word())
    except FormatError:
        return None
    return (Box(kind, content), reader.position) if whole else None


def name_of(kind: bytes) -> str:
    """A type as text that a terminal can show."""
    return "".join(chr(byte) if 32 <= byte < 127 else f"\\x{byte:02x}" for byte in kind).strip()
