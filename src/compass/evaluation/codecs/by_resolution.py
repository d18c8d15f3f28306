"""What JPEG 2000 and HTJ2K have in common: one file ordered by resolution, cut after the tile-part of a resolution.

Layers are halvings of the image. The lower ones are wavelet bands, not the bicubic reductions that they are compared
with, which caps their PSNR.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from compass.errors import InputError
from compass.evaluation.codecs.contract import ImageResult, LayerResult, timed
from compass.picture.pyramid import Pixels

LEVELS = 5  # halvings
_START_OF_TILE_PART, _END = b"\xff\x90", b"\xff\xd9"


def halvings(pyramid: Sequence[Pixels]) -> list[int]:
    """How many times each layer is halved. Raises InputError if one is no halving of the last."""
    return [_halvings(image, pyramid[-1]) for image in pyramid]


def _halvings(image: Pixels, full: Pixels) -> int:
    for count in range(LEVELS + 1):
        if all(-(-a // 2**count) == b for a, b in zip(full.shape[:2], image.shape[:2], strict=True)):
            return count
    height, width = image.shape[:2]
    raise InputError(f"this codec has no layer of {width}x{height}: its layers are halvings of the image")


def cut_into_layers(
    data: bytes, counts: Sequence[int], encoding_time: float, decode: Callable[[bytes, int], Pixels]
) -> list[LayerResult]:
    """Layers of a file, each decoded from its first bytes alone by `decode(prefix, halvings)`."""
    ends = tile_part_ends(data)
    layers: list[LayerResult] = []
    for count in counts:
        prefix = data[: ends[len(ends) - 1 - count]] + _END
        image, decoding_time = timed(partial(decode, prefix, count))
        below = layers[-1].accumulated_bytes if layers else 0
        coded = ImageResult(len(prefix) - below, image, encoding_time, decoding_time)
        layers.append(LayerResult(coded, len(prefix)))
    return layers


def tile_part_ends(data: bytes) -> list[int]:
    """Where each tile-part of a codestream ends (ISO/IEC 15444-1, A.4.2: SOT holds the tile-part's length)."""
    ends = []
    position = data.index(_START_OF_TILE_PART)
    while data[position : position + 2] == _START_OF_TILE_PART:
        length = int.from_bytes(data[position + 6 : position + 10], "big")
        position = position + length if length else len(data) - len(_END)
        ends.append(position)
    return ends
