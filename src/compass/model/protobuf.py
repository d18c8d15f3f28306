"""Protocol-buffer records, read and written: no more of protobuf.dev than ONNX graphs need."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from compass.bitstream.numbers import varint


class Field(NamedTuple):
    """One field of a message: its number, and a number or bytes."""

    number: int
    value: int | memoryview


def fields(data: memoryview) -> Iterator[Field]:
    """All fields of a message. Raises ValueError or IndexError if it is none."""
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, position = _varint(data, position)
            yield Field(number, value)
            continue
        if wire == 2:
            length, position = _varint(data, position)
        elif wire in (1, 5):
            length = 8 if wire == 1 else 4
        else:
            raise ValueError("it is damaged")
        if position + length > len(data):
            raise ValueError("it is cut off")
        yield Field(number, data[position : position + length])
        position += length


def message(value: int | memoryview) -> memoryview:
    """A field that holds a message, text or bytes. Raises ValueError if it is a number."""
    if isinstance(value, int):
        raise ValueError("it is damaged")
    return value


def repeated(value: int | memoryview) -> list[int]:
    """Whole numbers of a repeated field, one of them or packed. Raises IndexError or ValueError if they are none."""
    return [value] if isinstance(value, int) else numbers(value)


def numbers(data: memoryview) -> list[int]:
    """Packed whole numbers. Raises IndexError or ValueError if they are none."""
    found, position = [], 0
    while position < len(data):
        value, position = _varint(data, position)
        found.append(value)
    return found


def written(number: int, value: int | bytes | memoryview | str) -> bytes:
    """A field: a whole number, negative ones as 64-bit two's complement; or a message, text or bytes."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value & (1 << 64) - 1)
    content = value.encode() if isinstance(value, str) else bytes(value)
    return varint(number << 3 | 2) + varint(len(content)) + content


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ValueError("it is damaged")
