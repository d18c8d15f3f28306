"""Short trainings of the base codec that differ in one thing each: what docs/development/log.md compares recipes by.

    python benchmarks/training/trials.py DATA VALID [--pixels 150e6] [--only NAME,...] [--limit 400]

DATA is a folder of tar shards or images, VALID one of validation images. Every trial sees the same number of
pixels, hence costs about the same. Prints the validation cost (`compass.training.stages`, lower is better), 8 images.
"""

from __future__ import annotations

import argparse
import copy
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from compass.nets.fast import DepthwiseBlock, fast_transforms
from compass.nets.functional import add_noise
from compass.nets.gdn import GDN
from compass.nets.hyperprior_codec import HyperpriorCodec, Transforms
from compass.nets.layered import CompassNet
from compass.training.device import open_device
from compass.training.loop import Schedule, Trainer
from compass.training.rng import StepRNG
from compass.training.run import Run, make_trainer

DECAYS = (0.99, 0.997, 0.9995)  # of weight averages, all followed within one run


class NoisyCodec(HyperpriorCodec):
    """The synthesis sees additive noise in training instead of rounded latents (Balle et al. 2018)."""

    def quantise(self, y: Tensor, means: Tensor) -> Tensor:
        return add_noise(y) if self.training else super().quantise(y, means)


def activation(make: Callable[[int], nn.Module]) -> Callable[[CompassNet], None]:
    """Another activation in the spatial branch of every block."""

    def change(net: CompassNet) -> None:
        for block in net.base.modules():
            if isinstance(block, DepthwiseBlock):
                block.spatial[1] = make(block.expand.in_channels)

    return change


def one_quality_a_batch(trainer: Trainer) -> None:
    stage = trainer.stage
    draw = stage.draw_quality

    def first_for_all(rng: StepRNG) -> Tensor:
        return draw(rng)[:1].expand(stage.batch)

    stage.draw_quality = first_for_all  # type: ignore[method-assign]


def no_change(_: object) -> None:
    pass


class Trial(NamedTuple):
    """What one training has of its own."""

    crop: int = 128
    batch: int = 4
    rate: float = 3e-3  # at its peak
    precision: str = "bf16"
    codec: Callable[[Transforms], HyperpriorCodec] = HyperpriorCodec
    change_net: Callable[[CompassNet], None] = no_change
    change_trainer: Callable[[Trainer], None] = no_change
    averages: bool = False  # follow weight averages of several decays


TRIALS: dict[str, Trial] = {
    "reference: 128x128, batch 4, peak 3e-3, bf16": Trial(averages=True),
    "peak 1e-3": Trial(rate=1e-3),
    "peak 3e-4": Trial(rate=3e-4),
    "peak 1e-4": Trial(rate=1e-4),
    "64x64, batch 16": Trial(64, 16),
    "256x256, batch 1": Trial(256, 1),
    "128x128, batch 2": Trial(batch=2),
    "128x128, batch 8": Trial(batch=8),
    "noise into the synthesis": Trial(codec=NoisyCodec),
    "one quality for a whole batch": Trial(change_trainer=one_quality_a_batch),
    "GDN in the spatial branch": Trial(change_net=activation(GDN)),
    "ReLU in the spatial branch": Trial(change_net=activation(lambda _: nn.ReLU())),
    "fp32": Trial(precision="fp32"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("valid", type=Path)
    parser.add_argument("--pixels", type=float, default=150e6, help="that every trial sees")
    parser.add_argument("--limit", type=int, default=400, help="of images that are read")
    parser.add_argument("--only", default=",".join(TRIALS), help="trials by parts of their names")
    options = parser.parse_args()
    print("| trial | steps | minutes | cost |\n|---|---|---|---|", flush=True)
    for name in TRIALS:
        if any(part in name for part in options.only.split(",")):
            for row in run_trial(name, options.data, options.valid, options.pixels, options.limit):
                print("| " + " | ".join(row) + " |", flush=True)


def run_trial(name: str, data: Path, valid: Path, pixels: float, limit: int) -> list[list[str]]:
    """Rows of the table; more than one where averages of several decays are followed."""
    trial = TRIALS[name]
    steps = round(pixels / (trial.crop**2 * trial.batch))
    torch.manual_seed(0)
    net = CompassNet(trial.codec(fast_transforms()), None, None)
    trial.change_net(net)
    with tempfile.TemporaryDirectory() as folder:
        valid_pictures = [p for i, p in enumerate(sorted(valid.iterdir())) if i % 2 and p.suffix == ".png"]
        run = Run(
            "base", "fast", [data], valid_pictures, Path(folder), Schedule(steps, None, trial.rate), trial.crop,
            trial.batch, [], limit=limit,
        )  # fmt: skip
        trainer = make_trainer(run, net, open_device(trial.precision, 1))
        trial.change_trainer(trainer)
        averages = follow_averages(trainer) if trial.averages else {}
        started = time.monotonic()
        cost = trainer.train(log_every=10**9)["cost"]
        minutes = (time.monotonic() - started) / 60
        rows = [[name, str(steps), f"{minutes:.1f}", f"{cost:.4f}"]]
        for decay, average in averages.items():
            trainer.averages = average
            rows.append([f"the same, averaged with {decay}", "", "", f"{trainer.validate()['cost']:.4f}"])
    return rows


def follow_averages(trainer: Trainer) -> dict[float, dict[str, Tensor]]:
    """Averages of other decays, which grow along with the training."""
    averages = {decay: copy.deepcopy(trainer.averages) for decay in DECAYS}
    step = trainer._step

    def with_averages(progress: float) -> dict[str, Tensor]:
        figures = step(progress)
        with torch.no_grad():
            for decay, average in averages.items():
                now = min(decay, (1 + trainer.step) / (10 + trainer.step))
                for key, value in trainer.stage.trained.state_dict().items():
                    average[key].lerp_(value, 1 - now)
        return figures

    trainer._step = with_averages  # type: ignore[method-assign]
    return averages


if __name__ == "__main__":
    main()
