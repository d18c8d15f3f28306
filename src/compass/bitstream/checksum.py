"""CRC-32 of the parts of a file. Everything is checked by `matches`, so that fuzzers can look behind the checks."""

from __future__ import annotations

import zlib


def crc32_bytes(data: bytes | bytearray) -> bytes:
    """The checksum as it is stored, four bytes."""
    return zlib.crc32(data).to_bytes(4, "little")


def matches(data: bytes, stored: int) -> bool:
    """Whether data has the checksum that was stored."""
    return zlib.crc32(data) == stored
