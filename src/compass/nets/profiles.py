"""Named configurations of the networks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from torch import nn

from compass.entropy.steps import Group
from compass.nets.factorized_codec import FactorizedCodec
from compass.nets.fast import fast_transforms
from compass.nets.hyperprior_codec import HyperpriorCodec
from compass.nets.implicit import Widths
from compass.nets.layered import Codec, CompassNet, LayeredNet
from compass.nets.liff import LIFF
from compass.nets.liif import LIIF
from compass.nets.mei import MeiNet
from compass.nets.paper import paper_transforms
from compass.nets.predictor import SeparablePredictor


@dataclass(frozen=True)
class Profile:
    """How to build the parts of one profile; without the last two parts it is a base codec alone."""

    base: Callable[[], Codec]
    predictor: Callable[[], nn.Module] | None = None
    residual: Callable[[], HyperpriorCodec] | None = None
    warm_start: bool = False  # the transforms can start from a Karhunen-Loeve transform

    def build(self) -> CompassNet:
        """Build the untrained networks of the profile."""
        if self.predictor is None or self.residual is None:
            return CompassNet(self.base(), None, None)
        return CompassNet(self.base(), self.predictor(), self.residual())


def _fast(conditional: bool = False) -> HyperpriorCodec:
    return HyperpriorCodec(fast_transforms(conditional=conditional))


def _paper() -> HyperpriorCodec:
    return HyperpriorCodec(paper_transforms())


def _paper_small() -> HyperpriorCodec:
    return HyperpriorCodec(paper_transforms(n=64, m=96))


def _tiny(conditional: bool = False) -> HyperpriorCodec:
    return HyperpriorCodec(
        fast_transforms(
            channels=32,
            latent_channels=48,
            hyper_channels=8,
            down=1,
            up=1,
            hyper_width=16,
            hidden=16,
            groups=(Group(4, 4), Group(12, 2), Group(32, 1)),
            conditional=conditional,
        )
    )


def _tiny_predictor() -> SeparablePredictor:
    return SeparablePredictor(channels=8, blocks=1, rank=2, hidden=8)


_SMALL_WIDTHS = Widths(features=32, growth=16, hidden=128)

PROFILES = {
    "fast": Profile(_fast, SeparablePredictor, partial(_fast, conditional=True), warm_start=True),
    "paper": Profile(_paper, LIFF, _paper, warm_start=True),
    "paper-liif": Profile(_paper, LIIF, _paper, warm_start=True),  # the ablation of supplement B.6
    "factorized": Profile(FactorizedCodec, warm_start=True),  # a peer of the paper: a base codec alone
    # the same at a quarter of the cost, for comparisons at convergence on a CPU
    "paper-small": Profile(_paper_small, partial(LIFF, _SMALL_WIDTHS), _paper_small, warm_start=True),
    "paper-small-liif": Profile(_paper_small, partial(LIIF, _SMALL_WIDTHS), _paper_small, warm_start=True),
    "factorized-small": Profile(partial(FactorizedCodec, n=64, m=96), warm_start=True),
    # for tests
    "tiny": Profile(_tiny, _tiny_predictor, partial(_tiny, conditional=True), warm_start=True),
    "tiny-factorized": Profile(lambda: FactorizedCodec(8, 12)),
}

# Layered codecs that are not COMPASS, peers of the paper; they are trained, and measured by PyTorch, but make no files.
PEERS: dict[str, Callable[[], LayeredNet]] = {
    "mei": MeiNet,
    "mei-enhanced": partial(MeiNet, enhanced=True),
    "mei-small": partial(MeiNet, channels=48),
    "mei-enhanced-small": partial(MeiNet, channels=48, enhanced=True),
    "tiny-mei": partial(MeiNet, channels=12),  # for tests
}
