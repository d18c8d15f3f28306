"""EXIF data as bytes: whether they can be read with bounded memory, and without their orientation.

Directories and entries are those of TIFF 6.0: a count, twelve bytes an entry (tag, type, number of values, the values
or where they are), and where the next directory is. Nothing is moved but the entries of one directory.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

PREFIX = b"Exif\0\0"  # of JPEG's segment, not of the data
_ORIENTATION = 0x0112
_DIRECTORIES = (0x8769, 0x8825, 0xA005)  # EXIF, GPS, interoperability
_DEEPEST = 3
_TYPE_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_ENTRY = 12


class _Entry(NamedTuple):
    position: int
    tag: int
    size: int  # bytes of its values
    value: int  # of four bytes: a place in the data, where they hold one


def upright(exif: bytes) -> bytes:
    """The data without an entry for the orientation; otherwise as they are.

    Raises ValueError if the first directory cannot be read, or if values overlap, so that they could take many times
    the memory of the data.
    """
    order, first = _header(exif)
    entries = list(_entries(exif, first, order))
    _check(exif, order, entries, _DEEPEST)
    places = [entry.position for entry in entries if entry.tag == _ORIENTATION]
    data = bytearray(exif)
    for place in reversed(places):
        end = entries[-1].position + _ENTRY + 4  # with the place of the next directory
        data[place:end] = data[place + _ENTRY : end] + bytes(_ENTRY)
    struct.pack_into(order + "H", data, first, len(entries) - len(places))
    return bytes(data[: len(exif)])


def _header(exif: bytes) -> tuple[str, int]:
    """Byte order for `struct`, and where the first directory is."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None or len(exif) < 8:
        raise ValueError("it does not begin as EXIF does")
    return order, struct.unpack_from(order + "I", exif, 4)[0]


def _entries(exif: bytes, start: int, order: str) -> Iterator[_Entry]:
    if start + 2 > len(exif):
        raise ValueError("a directory is beyond the end")
    (count,) = struct.unpack_from(order + "H", exif, start)
    if start + 2 + _ENTRY * count > len(exif):
        raise ValueError("a directory goes beyond the end")
    for position in range(start + 2, start + 2 + _ENTRY * count, _ENTRY):
        tag, kind, number, value = struct.unpack_from(order + "HHII", exif, position)
        yield _Entry(position, tag, _TYPE_SIZES.get(kind, 0) * number, value)


def _check(exif: bytes, order: str, entries: list[_Entry], deepest: int) -> None:
    """Raises ValueError if the values of a directory, or of one that it names, are larger than all of the data."""
    if sum(entry.size for entry in entries if entry.size <= len(exif)) > len(exif):
        raise ValueError("its values overlap")
    for entry in entries:
        if entry.tag in _DIRECTORIES and deepest:
            try:
                inner = list(_entries(exif, entry.value, order))
            except ValueError:
                continue  # nothing is read of it
            _check(exif, order, inner, deepest - 1)
