"""Short trainings of the base codec that differ in one thing each: what docs/log.md compares recipes by.

    python benchmarks/trials.py DATA VALID [--pixels 150e6] [--only NAME,...] [--limit 400]

DATA is a folder of tar shards or pictures, VALID one of validation pictures. Every trial sees the same number of
pixels, hence costs about the same. Prints the validation cost (`compass.training.stages`, lower is better), 8 pictures.
"""

from __future__ import annotations

import argparse
import copy
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from compass.nets.layered import CompassNet
from compass.nets.fast import DepthwiseBlock, fast_transforms
from compass.nets.functional import add_noise
from compass.nets.gdn import GDN
from compass.nets.hyperprior import HyperpriorCodec
from compass.training.draws import Draws
from compass.training.loop import Schedule, Trainer
from compass.training.machine import open_machine
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
                block.spatial[1] = make(block.expand.in_channels)  # type: ignore[index]

    return change


def one_quality_a_batch(trainer: Trainer) -> None:
    stage = trainer.stage
    draw = stage.draw_quality

    def first_for_all(draws: Draws) -> Tensor:
        return draw(draws)[:1].expand(stage.batch)

    stage.draw_quality = first_for_all  # type: ignore[method-assign]


def no_change(_: object) -> None:
    pass


# name: (crop, batch, peak rate, precision, change of the networks, change of the trainer)
Trial = tuple[int, int, float, str, Callable[[CompassNet], None], Callable[[Trainer], None]]
_PLAIN: Trial = (128, 4, 3e-3, "bf16", no_change, no_change)
TRIALS: dict[str, Trial] = {
    "reference: 128x128, batch 4, peak 3e-3, bf16": _PLAIN,
    "peak 1e-3": (128, 4, 1e-3, "bf16", no_change, no_change),
    "peak 3e-4": (128, 4, 3e-4, "bf16", no_change, no_change),
    "peak 1e-4": (128, 4, 1e-4, "bf16", no_change, no_change),
    "64x64, batch 16": (64, 16, 3e-3, "bf16", no_change, no_change),
    "256x256, batch 1": (256, 1, 3e-3, "bf16", no_change, no_change),
    "128x128, batch 2": (128, 2, 3e-3, "bf16", no_change, no_change),
    "128x128, batch 8": (128, 8, 3e-3, "bf16", no_change, no_change),
    "noise into the synthesis": _PLAIN,
    "one quality for a whole batch": (128, 4, 3e-3, "bf16", no_change, one_quality_a_batch),
    "GDN in the spatial branch": (128, 4, 3e-3, "bf16", activation(GDN), no_change),
    "ReLU in the spatial branch": (128, 4, 3e-3, "bf16", activation(lambda _: nn.ReLU()), no_change),
    "fp32": (128, 4, 3e-3, "fp32", no_change, no_change),
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("valid", type=Path)
    parser.add_argument("--pixels", type=float, default=150e6)
    parser.add_argument("--limit", type=int, default=400)
    parser.add_argument("--only", default=",".join(TRIALS))
    options = parser.parse_args()
    print("| trial | steps | minutes | cost |\n|---|---|---|---|", flush=True)
    for name in TRIALS:
        if any(part in name for part in options.only.split(",")):
            for row in run_trial(name, options.data, options.valid, options.pixels, options.limit):
                print("| " + " | ".join(row) + " |", flush=True)


def run_trial(name: str, data: Path, valid: Path, pixels: float, limit: int) -> list[list[str]]:
    """Rows of the table; more than one where averages of several decays are followed."""
    crop, batch, rate, precision, change_net, change_trainer = TRIALS[name]
    steps = round(pixels / (crop**2 * batch))
    torch.manual_seed(0)
    codec = (NoisyCodec if name.startswith("noise") else HyperpriorCodec)(fast_transforms())
    net = CompassNet(codec, None, None)
    change_net(net)
    with tempfile.TemporaryDirectory() as folder:
        valid_pictures = [p for i, p in enumerate(sorted(valid.iterdir())) if i % 2 and p.suffix == ".png"]
        run = Run(
            "base", "fast", [data], valid_pictures, Path(folder), Schedule(steps, None, rate), crop, batch, [],
            limit=limit,
        )  # fmt: skip
        trainer = make_trainer(run, net, open_machine(precision, 1))
        change_trainer(trainer)
        averages = follow_averages(trainer) if name.startswith("reference") else {}
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
