"""What 8-bit networks would cost the decoder: how docs/development/log.md judges exact pixels.

    python benchmarks/training/quantised.py VALID WEIGHTS.pt [--steps N --data PICTURES] [--profile fast]

Weights have 8 bits a channel, what each convolution multiplies them by has 8 bits (the latent 16), with steps found on
every second image of VALID; sums between convolutions are kept as they are. Prints what it costs on the other images,
in dB at qualities 1 to 4 and as BD-rate, of one layer and of three. With --steps the decoder's networks are trained
on with that rounding in place (straight through), the rest as it is.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from chains import coded, middle
from compass.evaluation.bdrate import bd_rate
from compass.evaluation.evaluate import image_paths
from compass.nets.functional import round_ste
from compass.nets.layered import CompassNet, quantise_image
from compass.training.data import Crops, read_images
from compass.training.rng import StepRNG
from compass.training.run import build, load_parts
from compass.training.stages import BaseStage, EnhancementStage, psnr

QUALITIES = (1.0, 2.0, 3.0, 4.0)
LEVELS = 127  # of either sign
WIDER = 256  # times finer is the latent
CLIPS = [0.3 + 0.05 * n for n in range(15)]  # of the largest value: that with the least squared error is taken
RATE, BATCH = 5e-5, 2


class RoundedWeight(nn.Module):
    """Weights [O, ...] to 8 bits, each output channel by a step of its own."""

    def forward(self, weight: Tensor) -> Tensor:
        step = weight.detach().abs().amax(dim=tuple(range(1, weight.ndim)), keepdim=True).clamp(min=1e-9) / LEVELS
        return round_ste(weight / step) * step


class RoundedInput:
    """What a convolution is given, to 8 bits by one step; first it only looks."""

    def __init__(self, wider: int = 1) -> None:
        self.wider, self.looking = wider, True
        self.step = torch.ones(())
        self._seen: list[Tensor] = []

    def __call__(self, _: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        (x,) = inputs
        if self.looking:
            self._seen.append(x.detach().flatten()[:: max(1, x.numel() // 20000)])
            return inputs
        most = LEVELS * self.wider
        return (round_ste(x / self.step).clamp(-most, most) * self.step,)

    def settle(self) -> None:
        seen, self.looking, self._seen = torch.cat(self._seen), False, []
        most, levels = seen.abs().max(), LEVELS * self.wider

        def error(clip: float) -> float:
            step = most * clip / levels
            return float((((seen / step).round().clamp(-levels, levels) * step - seen) ** 2).mean())

        self.step = most * min(CLIPS, key=error) / levels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("valid", type=Path, help="a folder of images")
    parser.add_argument("weights")
    parser.add_argument("--profile", default="fast", help="of the weights")
    parser.add_argument("--steps", type=int, default=0, help="of training with rounding")
    parser.add_argument("--data", type=Path, nargs="+", default=[], help="folders or tar shards for that")
    parser.add_argument("--crop", type=int, default=192, help="side of what is drawn of them")
    options = parser.parse_args()
    torch.set_num_threads(1)
    net = build(options.profile).eval()
    load_parts(net, [options.weights])
    images = [middle(path) for path in image_paths(options.valid)]
    before = points(net, images[1::2])
    rounded = round_networks(net)
    points(net, images[::2])
    for each in rounded:
        each.settle()
    report("8 bits", before, points(net, images[1::2]))
    if options.steps:
        train(net, options.data, options.steps, options.crop)
        report(f"8 bits, after {options.steps} steps", before, points(net, images[1::2]))


def networks(net: CompassNet) -> Iterator[tuple[nn.Module, Any]]:
    """What the decoder runs in floating point, and of each the convolution that is given the latent."""
    codecs: list[Any] = [net.base, net.residual]
    for codec in codecs:
        if codec is not None:
            yield codec.g_s, codec.g_s.enter[0]
    if net.predictor is not None:
        yield net.predictor, None


def round_networks(net: CompassNet) -> list[RoundedInput]:
    """Puts rounding into the networks of the decoder; its inputs look until they are settled."""
    found = []
    for network, first in networks(net):
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                found.append(RoundedInput(WIDER if module is first else 1))
                module.register_forward_pre_hook(found[-1])
                parametrize.register_parametrization(module, "weight", RoundedWeight())
    return found


@torch.no_grad()
def points(net: CompassNet, images: list[Tensor]) -> dict[str, list[tuple[float, float]]]:
    """(bits per pixel, PSNR) at each quality, of one layer and of the last of three with the bits of all."""
    net.eval()
    chains = {"one layer": [1.0]} | ({"three layers": [4.0, 2.0, 1.0]} if net.residual is not None else {})
    found: dict[str, list[tuple[float, float]]] = {}
    for name, ratios in chains.items():
        for quality in QUALITIES:
            rows = [measured(net, image, ratios, quality) for image in images]
            found.setdefault(name, []).append(tuple(torch.tensor(rows).mean(0).tolist()))
    return found


def measured(net: CompassNet, image: Tensor, ratios: list[float], quality: float) -> tuple[float, float]:
    layers, bpp = coded(net, image, ratios, quality)
    return float(bpp), float(psnr(((quantise_image(layers[-1].image) - image) ** 2).mean()))


def report(
    name: str, before: dict[str, list[tuple[float, float]]], after: dict[str, list[tuple[float, float]]]
) -> None:
    for chain, old in before.items():
        new = after[chain]
        losses = ", ".join(f"{b[1] - a[1]:+.3f}" for a, b in zip(old, new, strict=True))
        print(f"{name}, {chain}: {losses} dB, BD-rate {bd_rate(old, new):+.2f} %", flush=True)


def train(net: CompassNet, data: list[Path], steps: int, crop: int) -> None:
    """Trains the networks of the decoder alone, by the loss of their own stages in turn."""
    crops = Crops(read_images(data), crop, torch.device("cpu"))
    stages: list[Any] = [BaseStage(net, crop, BATCH)]
    if net.residual is not None:
        stages.append(EnhancementStage(net, crop, BATCH))
    net.train().requires_grad_(False)
    parameters = [p for network, _ in networks(net) for p in network.parameters()]
    for parameter in parameters:
        parameter.requires_grad_(True)
    optimiser = torch.optim.Adam(parameters, lr=RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for step in range(steps):
        loss, _ = stages[step % len(stages)](crops, StepRNG(0, step, crops.device))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()


if __name__ == "__main__":
    main()
