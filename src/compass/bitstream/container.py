"""The file: a header with the table of all layers, then their payloads, smallest layer first.

    magic 4 | version 1 | model hash 4 | colour 1 | layer count 1 | width, height of the last layer (varints)
    per layer: width * 4 + flags (varint) | height (varint, flag 1) | quality (1 byte, flag 2)
               | payload length (varint) | CRC-32 of the payload 4
    CRC-32 of everything before it 4 | payloads

Flag 1: the height is not the one that follows from the picture's aspect ratio and is given. Flag 2: the quality
differs from the layer before and is given. Integers are little-endian; varints are LEB128. Bytes after the last
payload are ignored, so a prefix that ends on a layer boundary is a valid file.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from compass.errors import FormatError
from compass.picture.pyramid import MAX_LAYERS, MAX_SIDE, height_by_aspect

MAGIC = b"\xcfCMP"
VERSION = 1
HASH_BYTES = 4
MAX_QUALITY = 192  # in 1/32
COLOURS = ("RGB", "L")  # position = stored byte; Pillow's names

_HEIGHT_GIVEN, _QUALITY_GIVEN = 1, 2


@dataclass(frozen=True)
class LayerEntry:
    """One row of the table."""

    width: int
    height: int
    quality: int  # in 1/32, see compass.model.quality
    length: int  # bytes of the payload
    crc32: int


@dataclass(frozen=True)
class Header:
    """Everything before the payloads."""

    model_hash: bytes
    colour: str
    layers: tuple[LayerEntry, ...]
    size: int  # bytes of the header itself

    def span(self, layer: int) -> tuple[int, int]:
        """First byte of a layer's payload in the file, and the byte after its last."""
        start = self.size + sum(entry.length for entry in self.layers[:layer])
        return start, start + self.layers[layer].length


def write(model_hash: bytes, colour: str, layers: list[tuple[int, int, int, bytes]]) -> bytes:
    """The file of layers (width, height, quality in 1/32, payload), smallest first."""
    full = layers[-1][:2]
    out = bytearray(MAGIC)
    out += bytes((VERSION,)) + model_hash + bytes((COLOURS.index(colour), len(layers)))
    out += _varint(full[0]) + _varint(full[1])
    previous = None
    for width, height, quality, payload in layers:
        explicit = height != height_by_aspect(width, full)
        flags = explicit * _HEIGHT_GIVEN + (quality != previous) * _QUALITY_GIVEN
        out += _varint(width << 2 | flags)
        if explicit:
            out += _varint(height)
        if quality != previous:
            out.append(quality)
        out += _varint(len(payload)) + zlib.crc32(payload).to_bytes(4, "little")
        previous = quality
    out += zlib.crc32(out).to_bytes(4, "little")
    return bytes(out) + b"".join(payload for *_, payload in layers)


def read_header(data: bytes) -> Header:
    """The header of a file, or of any prefix that holds it. Raises FormatError on anything that is not one."""
    reader = _Reader(data)
    if reader.take(4) != MAGIC:
        raise FormatError("this is not a COMPASS file")
    version = reader.take(1)[0]
    if version != VERSION:
        raise FormatError(f"the file has format version {version}, this program reads version {VERSION}")
    model_hash = reader.take(HASH_BYTES)
    colour, count = reader.take(2)
    full = (reader.varint(MAX_SIDE), reader.varint(MAX_SIDE))
    layers: list[LayerEntry] = []
    quality = None
    for _ in range(count):
        packed = reader.varint(MAX_SIDE << 2 | 3)
        width = packed >> 2
        if packed & _HEIGHT_GIVEN:
            height = reader.varint(MAX_SIDE)
        else:
            height = height_by_aspect(width, full) if full[0] else 0
        if packed & _QUALITY_GIVEN:
            quality = reader.take(1)[0]
        if quality is None:
            raise FormatError("the header is damaged: the first layer has no quality")
        length = reader.varint(1 << 40)
        layers.append(LayerEntry(width, height, quality, length, int.from_bytes(reader.take(4), "little")))
    size = reader.position + 4
    if zlib.crc32(data[: reader.position]) != int.from_bytes(reader.take(4), "little"):
        raise FormatError("the header is damaged: its checksum does not match")
    header = Header(model_hash, COLOURS[colour] if colour < len(COLOURS) else "?", tuple(layers), size)
    _check(header, full)
    return header


def read_payload(data: bytes, header: Header, layer: int) -> bytes:
    """Payload of one layer. Raises FormatError if it is not whole or its checksum does not match."""
    start, end = header.span(layer)
    if len(data) < end:
        raise FormatError(f"the file ends before layer {layer} does: {len(data)} of {end} bytes")
    payload = data[start:end]
    if zlib.crc32(payload) != header.layers[layer].crc32:
        raise FormatError(f"layer {layer} is damaged: its checksum does not match")
    return payload


def _check(header: Header, full: tuple[int, int]) -> None:
    layers = header.layers
    if header.colour not in COLOURS:
        raise FormatError("the header names an unknown colour mode")
    if not 1 <= len(layers) <= MAX_LAYERS:
        raise FormatError(f"the header lists {len(layers)} layers, 1 to {MAX_LAYERS} are possible")
    below = (1, 1)
    for k, entry in enumerate(layers):
        if entry.width < below[0] or entry.height < below[1]:
            raise FormatError(f"the header is damaged: layer {k} is smaller than it may be")
        if entry.quality > MAX_QUALITY:
            raise FormatError(f"the header is damaged: layer {k} has a quality that does not exist")
        below = (entry.width, entry.height)
    if below != full:
        raise FormatError("the header is damaged: the last layer does not have the picture's size")


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data, self.position = data, 0

    def take(self, count: int) -> bytes:
        part = self.data[self.position : self.position + count]
        if len(part) < count:
            raise FormatError("the file ends within its header" if self.data else "the file is empty")
        self.position += count
        return part

    def varint(self, limit: int) -> int:
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            shift += 7
            if value > limit:
                raise FormatError("the header is damaged: a number in it is too large")
            if byte < 0x80:
                return value
            if shift > 42:
                raise FormatError("the header is damaged: a number in it does not end")
