"""The factorized-prior codec (Balle et al., ICLR 2018): CompressAI's `bmshj2018-factorized`, N=128, M=192."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from compass.nets.entropy import FactorizedPrior
from compass.nets.paper import analysis, synthesis


class FactorizedOutput(NamedTuple):
    """Output of `FactorizedCodec.forward`."""

    picture: Tensor  # [B, 3, H, W]
    bits: Tensor  # [B]


class FactorizedCodec(nn.Module):
    """One latent, coded channel by channel with static densities."""

    def __init__(self, n: int = 128, m: int = 192) -> None:
        super().__init__()
        self.g_a, self.g_s = analysis(n, m), synthesis(n, m)
        self.entropy_bottleneck = FactorizedPrior(m)

    def forward(self, x: Tensor) -> FactorizedOutput:
        """x [B, 3, H, W] in [0, 1]; rates of noisy latents in training mode, of rounded ones otherwise."""
        y = self.g_a(x)
        picture = self.g_s(self.entropy_bottleneck.quantise(y))[:, :, : x.shape[2], : x.shape[3]]
        return FactorizedOutput(picture, self.entropy_bottleneck.bits(y))
