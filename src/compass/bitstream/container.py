"""The file: a header with the table of all layers, then boxes in front, the layers, smallest first, and more boxes.

    magic 4 | version 1 | model hash 4 | colour 1 | layer count 1 | tile side / 4 (1 byte, in a file with tiles)
    width, height of the last layer (varints)
    per layer: width * 4 + flags (varint) | height (varint, flag 1) | quality (1 byte, flag 2)
               | payload length (varint) | CRC-32 of the payload 4
               | alpha length (varint) | CRC-32 of the alpha 4, these two in a file with alpha
    table of boxes, if there are any in front | CRC-32 of everything before it 4
    boxes in front | layers: payload, alpha | boxes

Flag 1: the height is not the one that follows from the image's aspect ratio and is given. Flag 2: the quality
differs from the layer before and is given. Integers are little-endian; varints are LEB128. A prefix that ends on a
layer boundary is a valid file. What a payload of several tiles looks like: `compass.bitstream.streams`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from compass.bitstream import boxes, checksum
from compass.bitstream.boxes import Box, BoxEntry
from compass.bitstream.numbers import Reader, varint
from compass.bitstream.source import BytesSource, Source, as_source
from compass.bitstream.streams import Streams
from compass.errors import FormatError
from compass.picture.pyramid import MAX_LAYERS, MAX_SIDE, height_by_aspect
from compass.picture.window import Window

MAGIC = b"\xcfCMP"
VERSION = 2
HASH_BYTES = 4
MAX_QUALITY_CODE = 192
COLOURS = ("RGB", "L")  # position = lowest bit of the colour byte; Pillow's names

_HEIGHT_GIVEN, _QUALITY_GIVEN = 1, 2  # flags of a layer
_ALPHA, _BOXES_IN_FRONT, _TILES = 2, 4, 8  # flags of the colour byte
CELL = 16  # pixels of an image, a side, that make one position of its latent
TILE_STEP = 4  # positions; tiles are multiples of it, so that each has whole positions of the hyper-latent
MAX_TILE = 255 * TILE_STEP


class LayerData(NamedTuple):
    """A layer to be written."""

    width: int
    height: int
    quality_code: int  # see compass.entropy.quality
    payload: bytes
    alpha: bytes | None = None


@dataclass(frozen=True)
class LayerEntry:
    """One row of the table."""

    width: int
    height: int
    quality_code: int  # see compass.entropy.quality
    length: int  # bytes of the payload
    crc32: int
    alpha_length: int = 0
    alpha_crc32: int = 0


@dataclass(frozen=True)
class Header:
    """Everything before the boxes and layers."""

    model_hash: bytes
    colour: str
    has_alpha: bool
    layers: tuple[LayerEntry, ...]
    boxes: tuple[BoxEntry, ...]  # those in front
    size: int  # bytes of the header itself
    tile: int = 0  # side of a tile in positions of the latent; 0 if every layer is coded in one piece

    @property
    def mode(self) -> str:
        """Pillow's mode of the decoded image."""
        return self.colour + "A" if self.has_alpha else self.colour

    def tiles(self, layer: int) -> list[Window]:
        """The pieces of a layer's latent that are coded on their own, in positions, row by row."""
        return tiles_of((self.layers[layer].height, self.layers[layer].width), self.tile)

    def tile_count(self, layer: int) -> int:
        """How many pieces these are."""
        rows, columns = Window.whole((self.layers[layer].height, self.layers[layer].width)).divided(CELL).size
        return -(-rows // self.tile) * -(-columns // self.tile) if self.tile else 1

    def span(self, layer: int) -> tuple[int, int]:
        """A layer's first byte in the file, and the byte after its last."""
        start = self.size + sum(box.length for box in self.boxes)
        start += sum(entry.length + entry.alpha_length for entry in self.layers[:layer])
        return start, start + self.layers[layer].length + self.layers[layer].alpha_length


def tiles_of(size: tuple[int, int], tile: int) -> list[Window]:
    """The latent of an image of `size` = (height, width) in tiles of so many positions a side, row by row."""
    latent = Window.whole(size).divided(CELL)
    return latent.pieces(tile, tile) if tile else [latent]


def write(
    model_hash: bytes,
    colour: str,
    layers: Sequence[LayerData],
    front: Sequence[Box] = (),
    back: Sequence[Box] = (),
    tile: int = 0,
) -> bytes:
    """The file of layers, smallest first, all with alpha or none, and boxes in front of them and after them.

    tile: 0, or the side of the tiles that the payloads hold, a multiple of `TILE_STEP` up to `MAX_TILE`.
    """
    full = layers[-1].width, layers[-1].height
    has_alpha = layers[0].alpha is not None
    flags = COLOURS.index(colour) + has_alpha * _ALPHA + bool(front) * _BOXES_IN_FRONT + bool(tile) * _TILES
    out = bytearray(MAGIC)
    out += bytes((VERSION,)) + model_hash + bytes((flags, len(layers)))
    if tile:
        out.append(tile // TILE_STEP)
    out += varint(full[0]) + varint(full[1])
    previous = None
    for width, height, quality_code, payload, alpha in layers:
        explicit = height != height_by_aspect(width, full)
        flags = explicit * _HEIGHT_GIVEN + (quality_code != previous) * _QUALITY_GIVEN
        out += varint(width << 2 | flags)
        if explicit:
            out += varint(height)
        if quality_code != previous:
            out.append(quality_code)
        for part in (payload,) if alpha is None else (payload, alpha):
            out += varint(len(part)) + checksum.crc32_bytes(part)
        previous = quality_code
    if front:
        out += boxes.write_table(front)
    out += checksum.crc32_bytes(out)
    contents = [box.content for box in front] + [layer.payload + (layer.alpha or b"") for layer in layers]
    return bytes(out) + b"".join(contents) + boxes.write_back(back)


def read_header(data: bytes | Source) -> Header:
    """The header of a file, or of any prefix that holds it. Raises FormatError on anything that is not one."""
    reader = Reader(as_source(data))
    if reader.take(4) != MAGIC:
        raise FormatError("this is not a COMPASS file")
    version = reader.take(1)[0]
    if version != VERSION:
        raise FormatError(f"the file has format version {version}, this program reads version {VERSION}")
    model_hash = reader.take(HASH_BYTES)
    flags, count = reader.take(2)
    tile = TILE_STEP * reader.take(1)[0] if flags & _TILES else 0
    full = (reader.varint(MAX_SIDE), reader.varint(MAX_SIDE))
    layers: list[LayerEntry] = []
    for _ in range(count):
        layers.append(_read_entry(reader, full, layers[-1].quality_code if layers else None, bool(flags & _ALPHA)))
    front = boxes.read_table(reader) if flags & _BOXES_IN_FRONT else ()
    checked = reader.seen
    if not checksum.matches(checked, reader.word()):
        raise FormatError("the header is damaged: its checksum does not match")
    if flags >= 2 * _TILES:
        raise FormatError("the header names an unknown colour mode")
    if flags & _TILES and not tile:
        raise FormatError("the header is damaged: tiles have no size")
    colour = COLOURS[flags & 1]
    header = Header(model_hash, colour, bool(flags & _ALPHA), tuple(layers), front, reader.position, tile)
    _check(header, full)
    return header


def _read_entry(reader: Reader, full: tuple[int, int], quality_code: int | None, has_alpha: bool) -> LayerEntry:
    packed = reader.varint(MAX_SIDE << 2 | 3)
    width = packed >> 2
    if packed & _HEIGHT_GIVEN:
        height = reader.varint(MAX_SIDE)
    else:
        height = height_by_aspect(width, full) if full[0] else 0
    if packed & _QUALITY_GIVEN:
        quality_code = reader.take(1)[0]
    if quality_code is None:
        raise FormatError("the header is damaged: the first layer has no quality")
    lengths = []
    for _ in range(1 + has_alpha):
        lengths += [reader.varint(1 << 40), reader.word()]
    return LayerEntry(width, height, quality_code, *lengths)


def read_payload(data: bytes | Source, header: Header, layer: int) -> bytes:
    """Payload of one layer. Raises FormatError if the layer is not whole or a checksum does not match."""
    return read_layer(data, header, layer)[0]


def read_layer(data: bytes | Source, header: Header, layer: int) -> tuple[bytes, bytes]:
    """Payload and alpha of one layer, the latter empty if there is none. Raises FormatError as `read_payload`."""
    source, (start, _), entry = as_source(data), _whole_span(data, header, layer), header.layers[layer]
    payload = source.read_at(start, entry.length)
    if not checksum.matches(payload, entry.crc32):
        raise FormatError(f"layer {layer} is damaged: its checksum does not match")
    return payload, read_alpha(data, header, layer)


def read_alpha(data: bytes | Source, header: Header, layer: int) -> bytes:
    """Alpha of one layer, empty if there is none. Raises FormatError as `read_payload`."""
    entry, (start, _) = header.layers[layer], _whole_span(data, header, layer)
    alpha = as_source(data).read_at(start + entry.length, entry.alpha_length)
    if header.has_alpha and not checksum.matches(alpha, entry.alpha_crc32):
        raise FormatError(f"layer {layer} is damaged: its checksum does not match")
    return alpha


def open_streams(data: bytes | Source, header: Header, layer: int) -> Streams:
    """The streams of one layer's tiles. Raises FormatError if the layer is not whole, or its only stream is damaged."""
    start, _ = _whole_span(data, header, layer)
    count = header.tile_count(layer)
    if count == 1:
        payload = read_payload(data, header, layer)
        return Streams(BytesSource(payload), (0, len(payload)), 1)
    return Streams(as_source(data), (start, start + header.layers[layer].length), count)


def _whole_span(data: bytes | Source, header: Header, layer: int) -> tuple[int, int]:
    size, span = as_source(data).size, header.span(layer)
    if size < span[1]:
        raise FormatError(f"the file ends before layer {layer} does: {size} of {span[1]} bytes")
    return span


def read_boxes(data: bytes | Source, header: Header) -> tuple[list[Box], int]:
    """All boxes, and where the last one or the last layer ends. Raises FormatError if one in front is damaged."""
    source, end = as_source(data), header.span(len(header.layers) - 1)[1]
    front = boxes.read_front(source, header.size, header.boxes) if source.size >= header.span(0)[0] else []
    back, end = boxes.read_back(source, end)
    return front + back, end


def _check(header: Header, full: tuple[int, int]) -> None:
    layers = header.layers
    if not 1 <= len(layers) <= MAX_LAYERS:
        raise FormatError(f"the header lists {len(layers)} layers, 1 to {MAX_LAYERS} are possible")
    below = (1, 1)
    for k, entry in enumerate(layers):
        if entry.width < below[0] or entry.height < below[1]:
            raise FormatError(f"the header is damaged: layer {k} is smaller than it may be")
        if entry.quality_code > MAX_QUALITY_CODE:
            raise FormatError(f"the header is damaged: layer {k} has a quality that does not exist")
        below = (entry.width, entry.height)
    if below != full:
        raise FormatError("the header is damaged: the last layer does not have the image's size")
