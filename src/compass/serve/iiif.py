"""Requests of the IIIF Image API 3.0 (iiif.io/api/image/3.0), level 2: what a path asks for."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, NamedTuple

from compass.errors import InputError

CONTEXT = "http://iiif.io/api/image/3/context.json"
PROFILE = "http://iiif.io/api/image/3/level2.json"
FORMATS = {"jpg": "image/jpeg", "png": "image/png", "webp": "image/webp"}
_MOST_SIDE = {"jpg": 65500, "webp": 16383}  # pixels; of PNG, more than is answered
QUALITIES = ("default", "color", "gray", "bitonal")
TILE = 512  # pixels a side that viewers are told to ask for
FEATURES = (
    *("baseUriRedirect", "canonicalLinkHeader", "cors", "jsonldMediaType", "mirroring", "profileLinkHeader"),
    *("regionByPct", "regionByPx", "regionSquare", "rotationBy90s"),
    *("sizeByConfinedWh", "sizeByH", "sizeByPct", "sizeByW", "sizeByWh", "sizeUpscaling"),
)

_NUMBER = r"(?:\d{1,9}(?:\.\d{1,9})?|\.\d{1,9})"
_REGION = re.compile(rf"(pct:)?({_NUMBER}),({_NUMBER}),({_NUMBER}),({_NUMBER})")
_SIZE = re.compile(rf"(\^?)(?:(max)|pct:({_NUMBER})|(!?)(\d{{1,9}})?,(\d{{1,9}})?)")
_ROTATION = re.compile(rf"(!?)({_NUMBER})")

Size = tuple[int, int]


class UnsupportedError(InputError):
    """A request that is right, but of a kind that is not offered."""


class Request(NamedTuple):
    """What of an image is wanted."""

    box: tuple[int, int, int, int]  # (left, upper, right, lower) in the largest layer
    size: Size  # (width, height) before it is turned
    mirror: bool
    rotation: int  # degrees clockwise: 0, 90, 180 or 270
    quality: str
    format: str

    def canonical(self, image: Size) -> str:
        """The one path of all that ask the same of an image of this size: what is whole is called so."""
        left, upper, right, lower = self.box
        own = (right - left, lower - upper)
        region = "full" if own == image else f"{left},{upper},{own[0]},{own[1]}"
        size = "max" if self.size == own else f"{self.size[0]},{self.size[1]}"
        if self.size[0] > own[0] or self.size[1] > own[1]:
            size = f"^{size}"
        return f"{region}/{size}/{'!' * self.mirror}{self.rotation}/{self.quality}.{self.format}"


def parse(region: str, size: str, rotation: str, last: str, image: Size, most: int) -> Request:
    """A request for an image of a size (width, height).

    last: quality and format; most: pixels of an answer. Raises InputError if it is none, UnsupportedError if it is of a
    kind that is not offered.
    """
    quality, dot, kind = last.rpartition(".")
    if not dot or quality not in QUALITIES:
        raise InputError(f"{last!r} is not a quality and a format: {', '.join(QUALITIES)}, and .{', .'.join(FORMATS)}")
    if kind not in FORMATS:
        raise InputError(f"{kind!r} is not a format that is offered, as are {', '.join(FORMATS)}")
    if not (turned := _ROTATION.fullmatch(rotation)) or float(turned[2]) > 360:
        raise InputError(f"{rotation!r} is not a rotation")
    if float(turned[2]) % 90:
        raise UnsupportedError("images are turned by 0, 90, 180 and 270 degrees alone")
    box = _box(region, image)
    wanted = _size(size, (box[2] - box[0], box[3] - box[1]), most)
    if max(wanted) > _MOST_SIDE.get(kind, max(wanted)):
        raise InputError(f"an image of {wanted[0]}x{wanted[1]} cannot be written as {kind}")
    return Request(box, wanted, bool(turned[1]), int(float(turned[2])) % 360, quality, kind)


def _box(region: str, image: Size) -> tuple[int, int, int, int]:
    width, height = image
    if region == "full":
        return 0, 0, width, height
    if region == "square":
        side = min(image)
        left, upper = (width - side) // 2, (height - side) // 2
        return left, upper, left + side, upper + side
    match = _REGION.fullmatch(region)
    if not match or (not match[1] and "." in region):
        raise InputError(f"{region!r} is not a region")
    numbers = [Fraction(number) for number in match.groups()[1:]]
    if match[1]:
        numbers = [number * side / 100 for number, side in zip(numbers, (width, height) * 2, strict=True)]
    left, upper, wide, high = map(_rounded, numbers)
    right, lower = min(width, left + wide), min(height, upper + high)
    if right <= left or lower <= upper:
        raise InputError(f"the region {region} is empty, or outside of an image of {width}x{height}")
    return left, upper, right, lower


def _size(size: str, own: Size, most: int) -> Size:
    """own: of the region, (width, height)."""
    match = _SIZE.fullmatch(size)
    if not match:
        raise InputError(f"{size!r} is not a size")
    upscaling, largest, percent, confined, *sides = match.groups()
    fitting = Fraction(math.isqrt(4096**2 * most // (own[0] * own[1])), 4096)  # the scale at which it has `most` pixels
    if largest:
        return _scaled(own, fitting if upscaling else min(Fraction(1), fitting), floor=True)
    given = [None if side is None else int(side) for side in sides]
    if percent is None and (given == [None, None] or (confined and None in given)):
        raise InputError(f"{size!r} is not a size")
    if 0 in given or (percent is not None and not Fraction(percent)):
        raise InputError(f"the size {size} has no pixels")
    scales = [Fraction(side, whole) for side, whole in zip(given, own, strict=True) if side]
    if percent is not None:
        found = _scaled(own, Fraction(percent) / 100)
    elif confined and upscaling and min(scales) > fitting:
        found = _scaled(own, fitting, floor=True)
    elif confined or None in given:
        found = _scaled(own, min(scales))
    else:
        found = int(sides[0]), int(sides[1])
    if not upscaling and (found[0] > own[0] or found[1] > own[1]):
        raise InputError(f"the size {size} is larger than the region, {own[0]}x{own[1]}: ^{size} enlarges")
    if found[0] * found[1] > most:
        raise InputError(f"{found[0]}x{found[1]} pixels are more than the limit of {most}")
    return found


def _scaled(own: Size, scale: Fraction, floor: bool = False) -> Size:
    width, height = (int(side * scale) if floor else _rounded(side * scale) for side in own)
    return max(1, width), max(1, height)


def _rounded(number: Fraction) -> int:
    return int(number + Fraction(1, 2))


def description(identity: str, layers: Sequence[Size], most: int) -> dict[str, Any]:
    """The content of info.json. identity: the URL of the image; layers: (width, height), the smallest first."""
    width, height = layers[-1]
    tile, factors = min(TILE, math.isqrt(most)), [1]
    while max(width, height) > tile * factors[-1]:
        factors.append(2 * factors[-1])
    return {
        "@context": CONTEXT,
        "id": identity,
        "type": "ImageService3",
        "protocol": "http://iiif.io/api/image",
        "profile": "level2",
        "width": width,
        "height": height,
        "maxArea": most,
        "sizes": [{"width": w, "height": h} for w, h in layers if w * h <= most],
        "tiles": [{"width": min(tile, width), "height": min(tile, height), "scaleFactors": factors}],
        "extraFormats": [kind for kind in FORMATS if kind not in ("jpg", "png")],
        "extraQualities": list(QUALITIES[1:]),
        "extraFeatures": list(FEATURES),
    }
