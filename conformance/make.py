"""Makes the conformance files again: python conformance/make.py

Small files with what a decoder must find in them: symbols as JSON, pixels as PNG. `example.cmps` is the worked example
of docs/reference/format.md.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import compass
from compass.bitstream import container
from compass.codec.encoder import LayerEncoder
from compass.model import store
from compass.model.model import Model

FOLDER = Path(__file__).parent
PARROTS = FOLDER.parent / "tests" / "data" / "parrots.png"
TINY = FOLDER / "tiny.model"


def main() -> None:
    for name, (data, model) in files().items():
        (FOLDER / f"{name}.cmps").write_bytes(data)
        describe(name, data, model)


def files() -> dict[str, tuple[bytes, Path]]:
    """Files by name, and the model that each is made with."""
    with Image.open(PARROTS) as source:
        parrots = source.convert("RGB")
    default = store.load().path
    grey = parrots.convert("L").resize((24, 16))
    grey.info.update(icc_profile=b"a grey profile", xmp=b"<x/>")
    noise = Image.fromarray(np.random.default_rng(5).integers(0, 2, (48, 64, 3), np.uint8) * 255)
    ladder = parrots.resize((45, 33))
    return {
        "example": (compass.encode(example(parrots), [0.5, 1], [2, 3], TINY), TINY),
        "grey": (compass.encode(grey, sizes=[(11, 9), (24, 16)], quality=[0, 6], model=TINY), TINY),
        "noise": (compass.encode(noise, [0.5, 1], [1.3, 4.7], TINY), TINY),
        "ladder": (
            compass.encode(ladder, sizes=[(1, 1), (17, 33), (45, 33), (45, 33)], quality=[1, 2, 2, 5], model=TINY),
            TINY,
        ),
        "tiles": (tiled(parrots.resize((150, 100))), TINY),
        f"fast-{store.load().hash.hex()}": (compass.encode(parrots.resize((40, 30)), [0.5, 1], 3), default),
    }


def tiled(image: Image.Image) -> bytes:
    """Two layers in tiles of 64 pixels; the encoder itself cuts larger ones alone."""
    image.putalpha(image.getchannel("R"))
    encoder = LayerEncoder(image, [(70, 47), image.size], Model(TINY, threads=1), tile=4)
    return encoder.encode([1, 2])[0]


def example(parrots: Image.Image) -> Image.Image:
    """24x16 pixels, the upper rows transparent, with an XMP packet."""
    image = parrots.crop((150, 60, 214, 102)).resize((24, 16), Image.Resampling.BICUBIC)
    alpha = np.full((16, 24), 255, np.uint8)
    alpha[:4] = 0
    image.putalpha(Image.fromarray(alpha))
    image.info["xmp"] = b"<x/>"
    return image


def describe(name: str, data: bytes, path: Path) -> None:
    """Writes NAME.json and NAME.LAYER.png."""
    model, header = Model(path, threads=1), container.read_header(data)
    layers = []
    for k, entry in enumerate(header.layers):
        decoded = compass.decode(data, k, model=path)
        decoded.info.clear()
        decoded.save(FOLDER / f"{name}.{k}.png")
        codec = model.base if k == 0 else model.residual
        streams, sizes = container.open_streams(data, header, k), [tile.size for tile in header.tiles(k)]
        latents = [codec.decode(streams.read(i), size, entry.quality_code) for i, size in enumerate(sizes)]
        layers.append(
            {
                "width": entry.width,
                "height": entry.height,
                "quality_code": entry.quality_code,
                "tiles": [{"z": as_json(latent.hyper_symbols), "y": as_json(latent.symbols)} for latent in latents],
                "pixels": f"{name}.{k}.png",
            }
        )
    described = {"file": f"{name}.cmps", "model": model.name, "model_hash": model.hash.hex(), "layers": layers}
    (FOLDER / f"{name}.json").write_text(json.dumps(described) + "\n")


def as_json(array: NDArray[Any]) -> dict[str, list[int]]:
    """Shape, and values in C order."""
    return {"shape": list(array.shape), "values": array.ravel().tolist()}


if __name__ == "__main__":
    main()
