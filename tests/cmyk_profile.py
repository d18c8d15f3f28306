"""A colour profile of four inks, made here: ICC.1:2001, class `prtr`, a `lut8Type` table of two points an axis."""

from __future__ import annotations

import itertools
import struct


def cmyk_profile() -> bytes:
    """Inks multiply: each takes its share of red, green and blue light; corners of the table are in CIELAB."""
    corners = bytearray()
    for c, m, y, k in itertools.product((0, 1), repeat=4):
        light = [(1 - 0.9 * ink) * (1 - 0.95 * k) for ink in (c, m, y)]
        corners += bytes(_lab8(light))
    ramp = bytes(range(256))
    identity = struct.pack(">9i", *(65536 if i % 4 == 0 else 0 for i in range(9)))
    lut = b"mft1" + bytes(4) + bytes((4, 3, 2, 0)) + identity + 4 * ramp + bytes(corners) + 3 * ramp
    text = b"text" + bytes(4) + b"free\0"
    name = b"four inks\0"
    description = b"desc" + bytes(4) + struct.pack(">I", len(name)) + name + bytes(4 + 4 + 2 + 1 + 67)
    white = b"XYZ " + bytes(4) + struct.pack(">3i", 63190, 65536, 54061)
    tags = {b"desc": description, b"cprt": text, b"wtpt": white, b"A2B0": lut}
    position = 128 + 4 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    for kind, content in tags.items():
        table += kind + struct.pack(">II", position + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    head = struct.pack(">I4sI4s4s4s", position + len(body), bytes(4), 0x02100000, b"prtr", b"CMYK", b"Lab ")
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + table + body


def _lab8(rgb: list[float]) -> list[int]:
    x = 0.4361 * rgb[0] + 0.3851 * rgb[1] + 0.1431 * rgb[2]
    y = 0.2225 * rgb[0] + 0.7169 * rgb[1] + 0.0606 * rgb[2]
    z = 0.0139 * rgb[0] + 0.0971 * rgb[1] + 0.7141 * rgb[2]
    fx, fy, fz = (v ** (1 / 3) if v > 0.008856 else 7.787 * v + 16 / 116 for v in (x / 0.9642, y, z / 0.8249))
    return [round((116 * fy - 16) * 2.55), round(500 * (fx - fy) + 128), round(200 * (fy - fz) + 128)]
