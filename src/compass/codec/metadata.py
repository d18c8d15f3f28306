"""Metadata as boxes of a file."""

from __future__ import annotations

from collections.abc import Sequence

from compass.bitstream.boxes import MAX_LENGTH, Box
from compass.errors import InputError
from compass.picture.metadata import Metadata

PLACES = ("auto", "front", "back", "none")
_KINDS = {"icc_profile": b"ICCP", "exif": b"EXIF", "xmp": b"XMP "}


def to_boxes(metadata: Metadata, place: str) -> tuple[list[Box], list[Box]]:
    """Boxes in front of the layers, and after them. Raises InputError unless place is one of `PLACES`.

    In front they are part of every prefix, and so of every layer's bytes; "auto" puts there what changes the colours.
    """
    if place not in PLACES:
        raise InputError(f"metadata cannot be placed at {place!r}, only at {', '.join(PLACES)}")
    front: list[Box] = []
    back: list[Box] = []
    given = {} if place == "none" else metadata.given
    for name, content in given.items():
        if len(content) > MAX_LENGTH:
            raise InputError(f"the image's {name} has {len(content)} bytes, {MAX_LENGTH} can be kept: leave it out")
        first = place == "front" or (place == "auto" and name == "icc_profile" and metadata.profile_matters)
        (front if first else back).append(Box(_KINDS[name], content))
    return front, back


def from_boxes(boxes: Sequence[Box]) -> Metadata:
    """Inverse of `to_boxes`; of two boxes of a kind the first counts, other kinds are skipped."""
    found = {kind: content for kind, content in reversed(boxes)}
    return Metadata.checked(**{name: found[kind] for name, kind in _KINDS.items() if kind in found})
