"""The named configurations of one and the same code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from compass.nets.fast import fast_transforms
from compass.nets.hyperprior import HyperpriorCodec, Transforms
from compass.nets.liff import LIFF
from compass.nets.paper import paper_transforms
from compass.nets.predictor import SeparablePredictor


@dataclass(frozen=True)
class Profile:
    """How to build the parts of one profile."""

    transforms: Callable[[], Transforms]
    predictor: Callable[[], nn.Module]
    warm_start: bool  # the transforms can start from a Karhunen-Loeve transform

    def codec(self, variable_rate: bool = True) -> HyperpriorCodec:
        return HyperpriorCodec(self.transforms(), variable_rate)


PROFILES = {
    "fast": Profile(fast_transforms, SeparablePredictor, warm_start=True),
    "paper": Profile(paper_transforms, LIFF, warm_start=False),
    "tiny": Profile(  # for tests
        lambda: fast_transforms(channels=32, latent=48, hyper=8, down=1, up=1, hyper_channels=16),
        lambda: SeparablePredictor(channels=8, blocks=1, rank=2, hidden=8),
        warm_start=True,
    ),
}
