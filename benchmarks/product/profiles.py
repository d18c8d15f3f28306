"""Colour profiles made here, by ICC.1:2001."""

from __future__ import annotations

import itertools
import struct


def grey_profile(gamma: float = 2.2) -> bytes:
    """Class `mntr`: light is a number to the power of gamma."""
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)
    return _profile(b"mntr", b"GRAY", b"XYZ ", {b"kTRC": curve})


def wide_profile() -> bytes:
    """Class `mntr`: primaries of Adobe RGB (1998), adapted to D50, gamma 2.2."""
    colours = {
        b"rXYZ": (0.60974, 0.31111, 0.01947),
        b"gXYZ": (0.20528, 0.62567, 0.06087),
        b"bXYZ": (0.14919, 0.06322, 0.74457),
    }
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(2.2 * 256)) + bytes(2)
    tags = {
        name: b"XYZ " + bytes(4) + struct.pack(">3i", *(round(65536 * v) for v in xyz)) for name, xyz in colours.items()
    }
    return _profile(b"mntr", b"RGB ", b"XYZ ", tags | dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve))


def cmyk_profile() -> bytes:
    """Class `prtr`, a `lut8Type` table of two points an axis.

    Inks multiply: each takes its share of red, green and blue light; corners of the table are in CIELAB.
    """
    corners = bytearray()
    for c, m, y, k in itertools.product((0, 1), repeat=4):
        light = [(1 - 0.9 * ink) * (1 - 0.95 * k) for ink in (c, m, y)]
        corners += bytes(_lab8(light))
    ramp = bytes(range(256))
    identity = struct.pack(">9i", *(65536 if i % 4 == 0 else 0 for i in range(9)))
    lut = b"mft1" + bytes(4) + bytes((4, 3, 2, 0)) + identity + 4 * ramp + bytes(corners) + 3 * ramp
    return _profile(b"prtr", b"CMYK", b"Lab ", {b"A2B0": lut})


def _profile(kind: bytes, space: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    name = b"made here\0"
    description = b"desc" + bytes(4) + struct.pack(">I", len(name)) + name + bytes(4 + 4 + 2 + 1 + 67)
    white = b"XYZ " + bytes(4) + struct.pack(">3i", 63190, 65536, 54061)
    tags = {b"desc": description, b"cprt": b"text" + bytes(4) + b"free\0", b"wtpt": white, **tags}
    position = 128 + 4 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    for tag, content in tags.items():
        table += tag + struct.pack(">II", position + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    head = struct.pack(">I4sI4s4s4s", position + len(body), bytes(4), 0x02100000, kind, space, connection)
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + table + body


def _lab8(rgb: list[float]) -> list[int]:
    x = 0.4361 * rgb[0] + 0.3851 * rgb[1] + 0.1431 * rgb[2]
    y = 0.2225 * rgb[0] + 0.7169 * rgb[1] + 0.0606 * rgb[2]
    z = 0.0139 * rgb[0] + 0.0971 * rgb[1] + 0.7141 * rgb[2]
    fx, fy, fz = (v ** (1 / 3) if v > 0.008856 else 7.787 * v + 16 / 116 for v in (x / 0.9642, y, z / 0.8249))
    return [round((116 * fy - 16) * 2.55), round(500 * (fx - fy) + 128), round(200 * (fy - fz) + 128)]
