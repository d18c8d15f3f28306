"""What whole chains of layers cost on validation images: how docs/development/log.md compares enhancement layers.

    python benchmarks/training/chains.py VALID WEIGHTS [WEIGHTS...] [--profile fast]

WEIGHTS are weights.pt of runs, or model files. Prints bpp + lambda 255^2 MSE of the last layer with the bits of all
layers (as estimated by the entropy models), weighted by lambda^-1/2, at qualities 1 and 3: means over every third
image, the middle 512x384 of each. Lower is better.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from compass.evaluation.evaluate import image_paths
from compass.nets.layered import CompassNet, LayerOutput
from compass.picture.files import read_image
from compass.training.data import image_tensor
from compass.training.run import build, load_parts
from compass.training.stages import balanced, lambdas, reduce

WINDOW = (512, 384)
QUALITIES = (1.0, 3.0)
CHAINS = {  # how many times smaller than the image each layer is
    "3 layers to 4x": [4.0, 2.0, 1.0],
    "9 layers to 4x": [4 ** (1 - k / 8) for k in range(9)],
    "2 layers, 6x": [6.0, 1.0],
    "2 layers, 2x": [2.0, 1.0],
    "2 layers, 1.2x": [1.2, 1.0],
    "base": [1.0],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("valid", type=Path, help="a folder of validation images")
    parser.add_argument("weights", nargs="+")
    parser.add_argument("--profile", default="fast", help="of the weights")
    options = parser.parse_args()
    torch.set_num_threads(1)
    images = [middle(path) for path in image_paths(options.valid)[::3]]
    print(" | ".join(["weights", *CHAINS]))
    for weights in options.weights:
        net = build(options.profile).eval()
        load_parts(net, [weights])
        with torch.no_grad():
            costs = [np.mean([cost(net, p, c, q) for p in images for q in QUALITIES]) for c in CHAINS.values()]
        print(" | ".join([weights, *(f"{x:.4f}" for x in costs)]), flush=True)


def middle(path: Path) -> Tensor:
    """The middle of an image, [1, 3, H, W] in [0, 1]."""
    image = read_image(path).convert("RGB")
    width, height = (min(a, b) for a, b in zip(image.size, WINDOW, strict=True))
    x, y = (image.width - width) // 2, (image.height - height) // 2
    return image_tensor(image.crop((x, y, x + width, y + height)))


def coded(net: CompassNet, image: Tensor, ratios: list[float], quality: float) -> tuple[list[LayerOutput], Tensor]:
    """The layers of a chain, and the bits of all of them per pixel of the image [1]."""
    height, width = image.shape[2:]
    pyramid = [reduce(image, (max(1, round(height / r)), max(1, round(width / r)))) for r in ratios]
    layers = net(pyramid, [torch.full((1,), quality)] * len(pyramid))
    return layers, torch.stack([layer.bits_y + layer.bits_z for layer in layers]).sum(0) / (height * width)


def cost(net: CompassNet, image: Tensor, ratios: list[float], quality: float) -> float:
    """All bits of a chain and the distortion of its last layer."""
    layers, bpp = coded(net, image, ratios, quality)
    qualities = torch.full((1,), quality)
    mse = ((layers[-1].image.clamp(0, 1) - image) ** 2).mean()
    return float(balanced(bpp + lambdas(qualities) * 255**2 * mse, qualities))


if __name__ == "__main__":
    main()
