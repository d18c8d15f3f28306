"""How far a difference in the base layer's pixels travels up the layers: results/drift.json.

    python benchmarks/drift.py PICTURE

Another machine may round rare samples of a float network to the neighbouring level. Here 1 % of the base layer's
samples are moved by one level, many more than that would be, and the same payloads are decoded above it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from compass.bitstream import container
from compass.codec.encoder import encode_layers
from compass.codec.layer import finish_layer, predict_layer
from compass.model import model as models
from compass.picture.pyramid import Size

ROOT = Path(__file__).parent.parent


def main() -> None:
    path = Path(sys.argv[1])
    with Image.open(path) as source:
        picture = source.convert("RGB")
    width, height = picture.size
    chains = {
        "five layers of ratio 1.5 over the base": [
            (round(width / r), round(height / r)) for r in 1.5 ** np.arange(5, -1, -1)
        ],
        "eleven layers of ratio 1 over the base": [(width // 4, height // 4)] * 12,
    }
    report = {"command": f"python benchmarks/drift.py {path.name}"} | {n: drift(picture, s) for n, s in chains.items()}
    (ROOT / "results" / "drift.json").write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))


def drift(picture: Image.Image, sizes: list[Size], quality: float = 3) -> dict[str, list[float]]:
    """Per layer: largest difference in levels, and share of samples that differ."""
    model = models.load()
    data, layers = encode_layers(picture, sizes, [quality] * len(sizes), model)
    header = container.read_header(data)
    rng = np.random.default_rng(0)
    base = layers[0].picture
    step = rng.choice([-1, 1], base.shape) * (rng.random(base.shape) < 0.01)
    below = np.clip(base + step, 0, 255).astype(np.uint8)
    worst, share = [], []
    for k, entry in enumerate(header.layers):
        if k:
            size = (entry.height, entry.width)
            payload, prediction = container.read_payload(data, header, k), predict_layer(model, below, size)
            below = finish_layer(model.residual.decode(payload, size, entry.quality, prediction), "RGB")
        difference = np.abs(below.astype(int) - layers[k].picture)
        worst.append(int(difference.max()))
        share.append(round(float((difference > 0).mean()), 4))
    return {"largest_difference": worst, "share_of_samples": share}


if __name__ == "__main__":
    main()
