"""The factorized-prior codec (Balle et al., ICLR 2018): CompressAI's `bmshj2018-factorized`, N=128, M=192."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from compass.nets.hyperprior_codec import CodecOutput, CodedLatent, QualityGain
from compass.nets.paper import analysis, synthesis
from compass.nets.priors import FactorizedPrior


class FactorizedCodec(nn.Module):
    """One latent, coded channel by channel with static densities.

    With `variable_rate` a quality in [0, 6] must be given to `forward`: it sets the quantisation step of each
    channel, 1 / gain, and the rate of a symbol is the density's integral over that step.
    """

    def __init__(self, n: int = 128, m: int = 192, variable_rate: bool = True) -> None:
        super().__init__()
        self.latent_channels = m
        self.g_a, self.g_s = analysis(n, m), synthesis(n, m)
        self.entropy_bottleneck = FactorizedPrior(m)
        self.gain = QualityGain(m, with_shift=False) if variable_rate else None

    def forward(self, x: Tensor, quality: Tensor | None = None) -> CodecOutput:
        """x [B, 3, H, W] in [0, 1]; rates of noisy latents in training mode, of rounded ones otherwise."""
        y_hat, bits, bits_z = self.code(self.g_a(x).float(), quality)
        return CodecOutput(self.g_s(y_hat).float()[:, :, : x.shape[2], : x.shape[3]], bits, bits_z)

    def code(self, y: Tensor, quality: Tensor | None = None) -> CodedLatent:
        """Codes a latent [B, M, h, w] as `forward` does that of an image."""
        step: Tensor | float = 1.0
        if self.gain is not None:
            if quality is None:
                raise ValueError("a variable-rate codec needs a quality")
            step = 1.0 / self.gain(quality)
        bits = self.entropy_bottleneck.bits(y, step)
        return CodedLatent(self.entropy_bottleneck.quantise(y, step), bits, torch.zeros_like(bits))
