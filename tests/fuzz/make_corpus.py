"""Makes the seeds of the fuzzers again, after a change of conformance/tiny.model: python -m tests.fuzz.make_corpus"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

import compass
from tests.conftest import CONFORMANCE, PARROTS, TINY_MODEL

FOLDER = Path(__file__).parent / "corpus"


def main() -> None:
    for name, data in seeds().items():
        (FOLDER / f"{name}.cmps").write_bytes(data)


def seeds() -> dict[str, bytes]:
    """Small files of every kind, by name."""
    with Image.open(PARROTS) as image:
        parrots = image.convert("RGB")
    noise = Image.fromarray(np.random.default_rng(5).integers(0, 2, (20, 20, 3), np.uint8) * 255)
    boxes = parrots.resize((24, 18))
    boxes.putalpha(parrots.convert("L").resize((24, 18)))
    boxes.info.update(icc_profile=b"bytes that stand for a ICC profile.", xmp=b"<x/>")
    three = _encode(parrots.resize((48, 36)), [(12, 9), (24, 18), (48, 36)], [2, 1, 0.5])
    ladder = [(width, round(width * 0.75)) for width in range(3, 33)]
    return {
        "cut": _encode(parrots.resize((48, 36)), [(12, 9), (24, 18), (48, 36)], [1, 1, 1])[:-7],
        "example": (CONFORMANCE / "example.cmps").read_bytes(),
        "tiles": (CONFORMANCE / "tiles.cmps").read_bytes(),
        "grey": _encode(parrots.convert("L").resize((40, 30)), [(20, 15), (40, 30)], [0, 2]),
        "many-layers": _encode(parrots.resize((32, 24)), ladder, [0] * len(ladder)),
        "noise": _encode(noise, [(18, 18), (20, 20)], [6, 6]),
        "one-layer": _encode(parrots.resize((20, 15)), [(20, 15)], [1]),
        "opacity-and-boxes": _encode(boxes, [(12, 9), (24, 18)], [1, 1]),
        "thin": _encode(parrots.resize((1, 40)), [(1, 7), (1, 40)], [1, 1]),
        "three-layers": three,
    }


def _encode(image: Image.Image, sizes: list[tuple[int, int]], qualities: list[float]) -> bytes:
    return compass.encode(image, sizes=sizes, quality=qualities, model=TINY_MODEL)


if __name__ == "__main__":
    main()
