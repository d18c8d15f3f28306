"""A second decoder of the format, up to symbols and alpha, written from docs/reference/format.md alone.

Plain Python integers: no numpy, no constriction, nothing of the package. Slow, and easy to check against the text.
"""

from __future__ import annotations

import json
import struct
import zipfile
import zlib
from dataclasses import dataclass, field
from math import prod
from typing import Any

Volume = list[list[list[int]]]  # [channel][row][column]
Arrays = dict[str, Any]
FORMATS = {"int8": "b", "int16": "h", "int32": "i", "int64": "q", "float32": "f", "float64": "d"}


@dataclass
class Layer:
    width: int
    height: int
    quality: int
    payload: bytes
    tile: int  # positions of a side, 0 for all
    alpha: bytes | None = None


@dataclass
class File:
    model_hash: bytes
    colour: str
    layers: list[Layer]
    boxes: list[tuple[bytes, bytes]] = field(default_factory=list)


# Container


class Bytes:
    def __init__(self, data: bytes, position: int = 0) -> None:
        self.data, self.position = data, position

    def take(self, count: int) -> bytes:
        part = self.data[self.position : self.position + count]
        assert len(part) == count
        self.position += count
        return part

    def byte(self) -> int:
        return self.take(1)[0]

    def word(self) -> int:
        return int.from_bytes(self.take(4), "little")

    def varint(self) -> int:
        value, shift = 0, 0
        while True:
            byte = self.byte()
            value += (byte % 128) << shift
            shift += 7
            if byte < 128:
                return value


def read_file(data: bytes) -> File:
    """A whole file."""
    b = Bytes(data)
    assert b.take(4) == bytes.fromhex("cf434d50")
    assert b.byte() == 2
    model_hash, colour, count = b.take(4), b.byte(), b.byte()
    tile = 4 * b.byte() if colour & 8 else 0
    full_width, full_height = b.varint(), b.varint()
    rows = []
    quality = None
    for _ in range(count):
        packed = b.varint()
        width, has_height, has_quality = packed // 4, packed % 2, packed // 2 % 2
        height = b.varint() if has_height else max(1, (2 * width * full_height + full_width) // (2 * full_width))
        quality = b.byte() if has_quality else quality
        parts = [(b.varint(), b.word()) for _ in range(2 if colour & 2 else 1)]
        rows.append((width, height, quality, parts))
    table = [(b.take(4), b.varint(), b.word()) for _ in range(b.byte())] if colour & 4 else []
    assert zlib.crc32(data[: b.position]) == b.word()

    def checked(length: int, crc: int) -> bytes:
        part = b.take(length)
        assert zlib.crc32(part) == crc
        return part

    file = File(model_hash, "L" if colour & 1 else "RGB", [])
    file.boxes = [(kind, checked(length, crc)) for kind, length, crc in table]
    for width, height, quality, parts in rows:
        payload, *alpha = (checked(*part) for part in parts)
        file.layers.append(Layer(width, height, quality, payload, tile, *alpha))
    while b.position < len(data):
        start, kind = b.position, b.take(4)
        content = b.take(b.varint())
        assert zlib.crc32(data[start : b.position]) == b.word()
        file.boxes.append((kind, content))
    return file


def alpha_rows(layer: Layer) -> list[list[int]]:
    """Alpha of a layer: rows of differences to the row above."""
    plane = zlib.decompress(layer.alpha)
    above = [0] * layer.width
    rows = []
    for y in range(layer.height):
        line = plane[y * layer.width : (y + 1) * layer.width]
        above = [(a + d) % 256 for a, d in zip(above, line, strict=True)]
        rows.append(above)
    return rows


# Entropy decoding


class Ans:
    """The stream of one payload."""

    def __init__(self, payload: bytes) -> None:
        payload += bytes(-len(payload) % 4)
        self.words = [int.from_bytes(payload[i : i + 4], "little") for i in range(0, len(payload), 4)]
        self.state = 0
        for _ in range(2):
            self._refill()

    def _refill(self) -> None:
        if self.words and self.state < 2**32:
            self.state = self.state * 2**32 + self.words.pop()

    def symbol(self, frequencies: list[int]) -> int:
        quantile, index, start = self.state % 2**24, 0, 0
        while start + frequencies[index] <= quantile:
            start += frequencies[index]
            index += 1
        self.state = self.state // 2**24 * frequencies[index] + quantile - start
        self._refill()
        return index

    def uniform(self, count: int) -> int:
        share = 2**24 // count
        index = min(self.state % 2**24 // share, count - 1)
        size = share if index < count - 1 else 2**24 - share * (count - 1)
        self.state = self.state // 2**24 * size + self.state % 2**24 - index * share
        self._refill()
        return index

    def values(self, count: int, frequencies: list[int]) -> list[int]:
        reach = len(frequencies) // 2 - 1
        values = [self.symbol(frequencies) - reach for _ in range(count)]
        escaped = [i for i, value in enumerate(values) if value == reach + 1]
        classes = [self.uniform(22) for _ in escaped]
        for c in range(22):
            for i, own in zip(escaped, classes, strict=True):
                if own == c:
                    n = 2**c - 1 + (self.uniform(2**c) if c else 0)
                    magnitude = reach + 1 + n // 2
                    values[i] = -magnitude if n % 2 else magnitude
        return values


# The model file's tables


def read_entropy_model(model: zipfile.ZipFile, part: str) -> Arrays:
    """The entropy model of a codec: its description, with flat values and shape of every array."""
    description = json.loads(model.read(f"decoder/{part}/entropy.json"))
    content = model.read(f"decoder/{part}/entropy.bin")
    arrays = dict(description)
    for name, entry in description["arrays"].items():
        kind = f"<{prod(entry['shape'])}{FORMATS[entry['type']]}"
        values = struct.unpack_from(kind, content, entry["offset"])
        arrays[name] = tuple(entry["shape"]), list(values)
    return arrays


def tables(arrays: Arrays, name: str) -> list[list[int]]:
    """The frequency tables z, y or offset."""
    lengths, values = arrays[f"{name}_lengths"][1], arrays[f"{name}_frequencies"][1]
    starts = [sum(lengths[:i]) for i in range(len(lengths))]
    return [values[start : start + length] for start, length in zip(starts, lengths, strict=True)]


# Hyper-synthesis


def rescale(total: int) -> int:
    return saturate((total + 2**13) // 2**14)


def saturate(x: int) -> int:
    return max(-(2**23), min(2**23, x))


def convolve(x: Volume, weight: tuple[tuple[int, ...], list[int]], bias: list[int]) -> Volume:
    (out, channels, k, _), w = weight
    height, width = len(x[0]), len(x[0][0])

    def at(o: int, y: int, z: int) -> int:
        total = bias[o]
        for c in range(channels):
            for i in range(k):
                for j in range(k):
                    row, column = y + i - k // 2, z + j - k // 2
                    if 0 <= row < height and 0 <= column < width:
                        total += w[((o * channels + c) * k + i) * k + j] * x[c][row][column]
        return rescale(total)

    return [[[at(o, y, z) for z in range(width)] for y in range(height)] for o in range(out)]


def convolve_up(x: Volume, weight: tuple[tuple[int, ...], list[int]], bias: list[int]) -> Volume:
    (channels, out, k, _), w = weight
    height, width = len(x[0]), len(x[0][0])
    totals = [[[bias[o]] * (2 * width) for _ in range(2 * height)] for o in range(out)]
    for o in range(out):
        for c in range(channels):
            for y in range(height):
                for z in range(width):
                    for i in range(k):
                        for j in range(k):
                            row, column = 2 * y + i - k // 2, 2 * z + j - k // 2
                            if 0 <= row < 2 * height and 0 <= column < 2 * width:
                                totals[o][row][column] += w[((c * out + o) * k + i) * k + j] * x[c][y][z]
    return [[[rescale(v) for v in row] for row in plane] for plane in totals]


def shuffle(x: Volume) -> Volume:
    height, width = len(x[0]), len(x[0][0])
    return [
        [[x[4 * c + 2 * (y % 2) + z % 2][y // 2][z // 2] for z in range(2 * width)] for y in range(2 * height)]
        for c in range(len(x) // 4)
    ]


def run_network(arrays: Arrays, name: str, x: Volume) -> Volume:
    """An integer network of the model."""
    x = [[[saturate(v) for v in row] for row in plane] for plane in x]
    for number, step in enumerate(arrays[name]):
        kind = step["kind"]
        if kind == "pixel_shuffle":
            x = shuffle(x)
        elif kind == "leaky_relu":
            x = [[[v if v >= 0 else v * step["slope"] // 2**14 for v in row] for row in plane] for plane in x]
        else:
            run = {"convolution": convolve, "transposed_convolution": convolve_up}[kind]
            x = run(x, arrays[f"{name}.{number}.weight"], arrays[f"{name}.{number}.bias"][1])
    return x


def hyper_synthesis(arrays: Arrays, z: Volume) -> Volume:
    medians = arrays["medians"][1]
    x = [[[v * 2**10 + m for v in row] for row in plane] for plane, m in zip(z, medians, strict=True)]
    return run_network(arrays, "hyper_synthesis", x)


# Decoding y


PHASES = {
    1: [[(0, 0), (0, 1), (1, 0), (1, 1)]],
    2: [[(0, 0), (1, 1)], [(0, 1), (1, 0)]],
    4: [[(0, 0)], [(1, 1)], [(0, 1)], [(1, 0)]],
}


def read_offsets(arrays: Arrays, stream: Ans, channels: int) -> list[int]:
    """The offsets of all channels of y."""
    if "offset_lengths" not in arrays:
        return [0] * channels
    choices, *others = tables(arrays, "offset")
    (choice,) = stream.values(1, choices)
    assert 0 <= choice <= len(others)
    return stream.values(channels, others[choice - 1]) if choice else [0] * channels


def decode_y(arrays: Arrays, stream: Ans, z: Volume, size: tuple[int, int], quality: int) -> Volume:
    """Symbols of y of this size [channel][row][column], at a quality code."""
    height, width = size
    conditions = hyper_synthesis(arrays, z)
    latents, shifts = len(conditions) // 2, arrays["scale_shift"][1]
    scales, means = conditions[:latents], conditions[latents:]
    offsets = read_offsets(arrays, stream, latents)
    low = min(quality // 32, 5)
    fraction = quality - 32 * low
    for c, plane in enumerate(scales):
        a, b = shifts[low * latents + c], shifts[(low + 1) * latents + c]
        shift = (a * (32 - fraction) + b * fraction + 16) // 32 + offsets[c] * 2**10
        scales[c] = [[v + shift for v in row] for row in plane]
    symbols = [[[0] * width for _ in range(height)] for _ in range(latents)]
    pairs = arrays["groups"][1] if "groups" in arrays else [latents, 1]
    first = 0
    for group, (channels, phases) in enumerate(zip(pairs[::2], pairs[1::2], strict=True)):
        own = range(first, first + channels)
        everywhere = [(y, x) for y in range(height) for x in range(width)]
        if group:
            seen = [magnitudes(arrays, symbols[c]) for c in range(first)]
            correct(scales, own, run_network(arrays, f"groups.{group}.scales", seen), everywhere)
        done: set[tuple[int, int]] = set()
        for phase, places in enumerate(PHASES[phases]):
            positions = [p for p in everywhere if (p[0] % 2, p[1] % 2) in places]
            if phase:
                seen = [magnitudes(arrays, symbols[c]) for c in own]
                values = [
                    [
                        [symbols[c][y][x] * 2**10 + means[c][y][x] if (y, x) in done else 0 for x in range(width)]
                        for y in range(height)
                    ]
                    for c in own
                ]
                correct(scales, own, run_network(arrays, f"groups.{group}.phase_scales.{phase}", seen), positions)
                correct(means, own, run_network(arrays, f"groups.{group}.phase_means.{phase}", values), positions)
            places_of_level: dict[int, list[tuple[int, int, int]]] = {}
            for c in own:
                for y, x in positions:
                    level = sum(t <= scales[c][y][x] for t in arrays["thresholds"][1])
                    places_of_level.setdefault(level, []).append((c, y, x))
            for level, table in enumerate(tables(arrays, "y")):
                here = places_of_level.get(level, [])
                for (c, y, x), value in zip(here, stream.values(len(here), table), strict=True):
                    symbols[c][y][x] = value
            done.update(positions)
        first += channels
    return symbols


def magnitudes(arrays: Arrays, plane: list[list[int]]) -> list[list[int]]:
    """What the magnitudes of symbols count."""
    counts = arrays["magnitudes"][1]
    return [[counts[min(abs(v), len(counts) - 1)] for v in row] for row in plane]


def correct(planes: Volume, channels: range, correction: Volume, positions: list[tuple[int, int]]) -> None:
    for c, plane in zip(channels, correction, strict=True):
        for y, x in positions:
            planes[c][y][x] += plane[y][x]


def streams_of(layer: Layer) -> list[tuple[tuple[int, int], bytes]]:
    """Size of y and stream of each tile."""
    height, width = -(-layer.height // 16), -(-layer.width // 16)
    side = layer.tile or max(height, width)
    sizes = [
        (min(side, height - top), min(side, width - left))
        for top in range(0, height, side)
        for left in range(0, width, side)
    ]
    if len(sizes) == 1:
        return [(sizes[0], layer.payload)]
    b = Bytes(layer.payload)
    table = [(b.varint(), b.word()) for _ in sizes]
    assert zlib.crc32(layer.payload[: b.position]) == b.word()
    streams = [b.take(length) for length, _ in table]
    assert [zlib.crc32(stream) for stream in streams] == [crc for _, crc in table]
    assert b.position == len(layer.payload)
    return list(zip(sizes, streams, strict=True))


def decode_symbols(model: zipfile.ZipFile, file: File, number: int) -> list[tuple[list[int], list[int]]]:
    """Symbols of z and of y of each tile of one layer, in raster order, channel by channel."""
    layer = file.layers[number]
    arrays = read_entropy_model(model, "residual" if number else "base")
    return [decode_tile(arrays, stream, size, layer.quality) for size, stream in streams_of(layer)]


def decode_tile(arrays: Arrays, data: bytes, y_size: tuple[int, int], quality: int) -> tuple[list[int], list[int]]:
    """Symbols of z and of y of one tile, or of a layer that is not cut."""
    z_size = -(-y_size[0] // 4), -(-y_size[1] // 4)
    stream = Ans(data)
    flat = [stream.values(z_size[0] * z_size[1], table) for table in tables(arrays, "z")]
    z = [[plane[r * z_size[1] : (r + 1) * z_size[1]] for r in range(z_size[0])] for plane in flat]
    symbols = decode_y(arrays, stream, z, y_size, quality)
    assert stream.state == 0
    assert not stream.words
    return [v for plane in flat for v in plane], [v for plane in symbols for row in plane for v in row]
