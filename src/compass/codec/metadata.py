"""Metadata as boxes of a file."""

from __future__ import annotations

from collections.abc import Sequence

from compass.bitstream.boxes import Box
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
    for name, content in metadata.given.items():
        first = place == "front" or (place == "auto" and name == "icc_profile" and metadata.profile_matters)
        (front if first else back).append(Box(_KINDS[name], content))
    return ([], []) if place == "none" else (front, back)


def from_boxes(boxes: Sequence[Box]) -> Metadata:
    """Inverse of `to_boxes`; of two boxes of a kind the first counts, other kinds are skipped."""
    found = {kind: content for kind, content in reversed(boxes)}
    return Metadata(**{name: found[kind] for name, kind in _KINDS.items() if kind in found})
