"""How far a difference in the base layer's pixels travels up the layers: results/drift.json.

    python benchmarks/product/drift.py PICTURE

Another machine may round rare samples of a float network to the neighbouring level. Here 1 % of the base layer's
samples are moved by one level, many more than that would be, and the same payloads are decoded above it.
"""

from __future__ import annotations

from typing import NamedTuple, TypedDict

import numpy as np
from PIL import Image

from compass.bitstream import container
from compass.codec.decoder import open_layer
from compass.codec.encoder import encode_layers
from compass.codec.layer import DecodedLayer
from compass.evaluation.records import command_line, write_record
from compass.model import store
from compass.model.model import Model
from compass.picture.pyramid import Size
from compass.picture.window import Window
from options import RESULTS, image_parser, read_rgb

QUALITY = 3.0


class Chain(NamedTuple):
    """Layers of one ratio, the largest the whole image unless the ratio is 1."""

    ratio: float
    enhancement_layers: int

    def sizes(self, full: Size) -> list[Size]:
        width, height = full
        if self.ratio == 1:
            return [(width // 4, height // 4)] * (1 + self.enhancement_layers)
        steps = self.ratio ** np.arange(self.enhancement_layers, -1, -1)
        return [(round(width / r), round(height / r)) for r in steps]


CHAINS = (Chain(1.5, 5), Chain(1.0, 11))


class Drift(TypedDict):
    """By layer, the base first."""

    largest_difference: list[int]  # in levels
    share_of_samples: list[float]  # that differ


def main() -> None:
    options = image_parser(__doc__, RESULTS / "drift.json").parse_args()
    image, model = read_rgb(options.image), store.load(options.model)
    rows = [{**chain._asdict(), **drift(image, chain.sizes(image.size), model)} for chain in CHAINS]
    write_record({"command": command_line(), "chains": rows}, options.out, rows=("chains",))


def drift(image: Image.Image, sizes: list[Size], model: Model) -> Drift:
    """Decodes a file of these layers on a base layer that was changed."""
    data, layers = encode_layers(image, sizes, [QUALITY] * len(sizes), model)
    header = container.read_header(data)
    rng = np.random.default_rng(0)
    base = layers[0].pixels
    step = rng.choice([-1, 1], base.shape) * (rng.random(base.shape) < 0.01)
    below = DecodedLayer.whole(np.clip(base + step, 0, 255).astype(np.uint8))
    worst, share = [], []
    for k, layer in enumerate(layers):
        if k:
            opened, latent = open_layer(data, header, k, model, below)
            below = opened.decode(Window.whole(opened.size), latent)
        difference = np.abs(below.pixels.astype(int) - layer.pixels)
        worst.append(int(difference.max()))
        share.append(round(float((difference > 0).mean()), 4))
    return {"largest_difference": worst, "share_of_samples": share}


if __name__ == "__main__":
    main()
