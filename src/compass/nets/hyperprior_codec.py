"""The mean-scale hyperprior (Minnen, Balle, Toderici, NeurIPS 2018, without the autoregressive part).

One class for every profile: it holds four transforms and codes y = g_a(x) given z = h_a(y).
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from compass.entropy.quality import LAMBDAS, MAX_QUALITY
from compass.nets.context import LatentContext
from compass.nets.functional import add_noise, lower_bound, round_ste
from compass.nets.priors import FactorizedPrior, Survival, conditional_bits, gaussian_survival, scale_of_level

SCALE_MIN = 0.11


@dataclass(frozen=True)
class Transforms:
    """The four networks of a hyperprior codec. Strides: g_a 16, h_a 4; a size that does not divide is rounded up."""

    g_a: nn.Module  # image [B, 3, H, W] -> y [B, M, ceil(H/16), ceil(W/16)]
    g_s: nn.Module  # y -> image, at least H x W, to be cropped
    h_a: nn.Module  # y -> z [B, N, ceil(h/4), ceil(w/4)]
    h_s: nn.Module  # z -> [B, 2M, >= h, >= w]: scales first, then means
    latent_channels: int  # M
    hyper_channels: int  # N
    log_scale: bool  # h_s yields table levels (logarithmic) instead of standard deviations
    conditional: bool = False  # g_a and g_s take a second image, known to encoder and decoder
    context: LatentContext | None = None  # corrects what h_s yields; for logarithmic scales alone
    survival: Survival = gaussian_survival  # of the density of y around its means


class CodecOutput(NamedTuple):
    """Output of the forward pass of a codec network."""

    image: Tensor  # [B, 3, H, W]
    bits_y: Tensor  # [B]
    bits_z: Tensor  # [B]


class CodedLatent(NamedTuple):
    """A latent as a decoder knows it, and what it costs."""

    values: Tensor  # [B, M, h, w]
    bits_y: Tensor  # [B]
    bits_z: Tensor  # [B]


class QualityGain(nn.Module):
    """Gain vectors on y, one per trained lambda, interpolated geometrically (Cui et al., CVPR 2021).

    `shift` moves the table levels that h_s predicts: a coarser quality has smaller latents.
    """

    def __init__(self, channels: int, with_shift: bool = True) -> None:
        super().__init__()
        # Uniform quantiser at slope lambda: D = step^2 / 12, dD/dR = -2 ln 2 D, with D per sample of three channels.
        step = torch.tensor([(2 * 0.69315 / 12 * 255**2 / 3 * x) ** -0.5 for x in LAMBDAS])
        self.log_gain = nn.Parameter(-torch.log(step).reshape(-1, 1).repeat(1, channels))
        if with_shift:
            self.scale_shift = nn.Parameter(torch.zeros(len(LAMBDAS), channels))

    def forward(self, quality: Tensor) -> Tensor:
        """quality [B] in [0, 6] -> gain [B, M, 1, 1]."""
        return torch.exp(_interpolate(self.log_gain, quality))

    def shift(self, quality: Tensor) -> Tensor:
        """quality [B] in [0, 6] -> shift of the levels [B, M, 1, 1]."""
        return _interpolate(self.scale_shift, quality)


def _interpolate(table: Tensor, quality: Tensor) -> Tensor:
    low = quality.floor().clamp(0, MAX_QUALITY - 1).long()
    return torch.lerp(table[low], table[low + 1], (quality - low)[:, None])[:, :, None, None]


class HyperpriorCodec(nn.Module):
    """Codes an image, or the residual of one, through a latent whose prior is conditional on a hyper-latent.

    With `variable_rate` a quality in [0, 6] must be given to `forward`; without it the codec has one fixed rate.
    """

    def __init__(self, transforms: Transforms, variable_rate: bool = True) -> None:
        super().__init__()
        self.g_a, self.g_s = transforms.g_a, transforms.g_s
        self.h_a, self.h_s = transforms.h_a, transforms.h_s
        self.latent_channels, self.hyper_channels = transforms.latent_channels, transforms.hyper_channels
        self.log_scale, self.conditional = transforms.log_scale, transforms.conditional
        self.context, self.survival = transforms.context, transforms.survival
        self.entropy_bottleneck = FactorizedPrior(transforms.hyper_channels)
        self.gain = QualityGain(transforms.latent_channels) if variable_rate else None

    def quality_terms(self, quality: Tensor | None) -> tuple[Tensor | float, Tensor | float]:
        """Gain on y and shift of the scale levels."""
        if self.gain is None:
            return 1.0, 0.0
        if quality is None:
            raise ValueError("a variable-rate codec needs a quality")
        return self.gain(quality), self.gain.shift(quality)

    def forward(self, x: Tensor, quality: Tensor | None = None, context: Tensor | None = None) -> CodecOutput:
        """x [B, 3, H, W], images in [0, 1] or residuals in [-1, 1]; quality [B]; context as x, if `conditional`.

        In training mode the rate is that of noisy latents; the synthesis always sees rounded ones. Under autocast
        the transforms may run in half precision, and so may a hyper-synthesis that yields standard deviations (which
        changes no rate by more than 1e-4); latents, rates and what yields table levels stay in float32.
        """
        seen = (context,) if self.conditional else ()
        coded = self.code(self.g_a(x, *seen).float(), quality)
        image = self.g_s(coded.values, *seen).float()[:, :, : x.shape[2], : x.shape[3]]
        return CodecOutput(image, coded.bits_y, coded.bits_z)

    def code(self, y: Tensor, quality: Tensor | None = None) -> CodedLatent:
        """Codes a latent [B, M, h, w] as `forward` does that of an image."""
        gain, shift = self.quality_terms(quality)
        y = y * gain
        z = self.h_a(y).float()
        y_hat, scales, means = self.entropy_parameters(y, self.entropy_bottleneck.quantise(z), shift)
        bits_y = conditional_bits((add_noise(y) if self.training else y_hat) - means, scales, self.survival)
        return CodedLatent(y_hat / gain, bits_y, self.entropy_bottleneck.bits(z))

    def entropy_parameters(self, y: Tensor, z_hat: Tensor, shift: Tensor | float) -> tuple[Tensor, Tensor, Tensor]:
        """Rounded y, scales and means [B, M, h, w], from the quantised hyper-latent and, with context, from y."""
        single = torch.autocast(z_hat.device.type, enabled=False)
        with single if self.log_scale else nullcontext():
            parameters = self.h_s(z_hat)[:, :, : y.shape[2], : y.shape[3]]
        with single:
            scales, means = parameters.float().chunk(2, dim=1)
            if not self.log_scale:
                scales = lower_bound(scales, SCALE_MIN)
            else:
                scales = scales + shift  # levels
            if self.context is None:
                y_hat = self.quantise(y, means)
            else:
                y_hat, scales, means = self.context(y, scales, means)
        return y_hat, scale_of_level(scales) if self.log_scale else scales, means

    def quantise(self, y: Tensor, means: Tensor) -> Tensor:
        """Round y to integers around its means, with a straight-through gradient."""
        return round_ste(y - means) + means


def pad_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """Repeats the last row and column until both sides divide by `multiple`."""
    bottom, right = -x.shape[2] % multiple, -x.shape[3] % multiple
    if not torch.onnx.is_in_onnx_export() and not bottom and not right:
        return x
    return F.pad(x, (0, right, 0, bottom), mode="replicate")
