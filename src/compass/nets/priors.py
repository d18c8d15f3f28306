"""Entropy models: what a latent costs in bits, differentiably."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from compass.entropy.scales import LOG_SCALE_MIN, LOG_SCALE_STEP, SCALE_LEVELS
from compass.nets.functional import add_noise, lower_bound, round_ste

Survival = Callable[[Tensor], Tensor]  # survival function of a density of mean 0 and variance 1

_LIKELIHOOD_MIN = 1e-9
_LEVEL_MIN = -4.0  # the first table stands for narrower densities as well
_FILTERS = (3, 3, 3, 3)


class FactorizedPrior(nn.Module):
    """One learned univariate density per channel (Balle et al., ICLR 2018, appendix 6.1).

    Names and shapes of the parameters are those of CompressAI's `EntropyBottleneck`.
    """

    def __init__(self, channels: int, init_scale: float = 10.0) -> None:
        super().__init__()
        self.channels = channels
        widths = (1, *_FILTERS, 1)
        scale = init_scale ** (1 / (len(_FILTERS) + 1))
        for i, (a, b) in enumerate(itertools.pairwise(widths)):
            fill = math.log(math.expm1(1 / scale / b))
            self.register_parameter(f"_matrix{i}", nn.Parameter(torch.full((channels, b, a), fill)))
            self.register_parameter(f"_bias{i}", nn.Parameter(torch.rand(channels, b, 1) - 0.5))
            if i < len(_FILTERS):
                self.register_parameter(f"_factor{i}", nn.Parameter(torch.zeros(channels, b, 1)))
        # lower tail, median, upper tail: only the median is used here, and only checkpoints from outside move it
        quantiles = torch.tensor([-init_scale, 0.0, init_scale]).repeat(channels, 1, 1)
        self.quantiles = nn.Parameter(quantiles, requires_grad=False)

    @property
    def medians(self) -> Tensor:
        """[1, C, 1, 1]: symbols are round(z - median)."""
        return self.quantiles[:, 0, 1].reshape(1, -1, 1, 1)

    def logits_cumulative(self, x: Tensor) -> Tensor:
        """Logits of the cumulative density at x [C, 1, n]."""
        for i in range(len(_FILTERS) + 1):
            x = F.softplus(getattr(self, f"_matrix{i}")) @ x + getattr(self, f"_bias{i}")
            if i < len(_FILTERS):
                x = x + torch.tanh(getattr(self, f"_factor{i}")) * torch.tanh(x)
        return x

    def likelihood(self, z: Tensor, step: Tensor | float = 1.0) -> Tensor:
        """Probability of the interval of width `step` (to broadcast) around each value of z [B, C, H, W]."""
        flat = z.transpose(0, 1).reshape(self.channels, 1, -1)
        half = (0.5 * step * torch.ones_like(z)).transpose(0, 1).reshape_as(flat)
        with torch.autocast(z.device.type, enabled=False):  # matrix products in half precision would blur the rate
            lower = self.logits_cumulative(flat - half)
            upper = self.logits_cumulative(flat + half)
        sign = -torch.sign(lower + upper).detach()  # the side where the sigmoids are small and exact
        p = torch.abs(torch.sigmoid(sign * upper) - torch.sigmoid(sign * lower))
        p = p.reshape(self.channels, z.shape[0], *z.shape[2:]).transpose(0, 1)
        return lower_bound(p, _LIKELIHOOD_MIN)

    def quantise(self, z: Tensor, step: Tensor | float = 1.0) -> Tensor:
        return round_ste((z - self.medians) / step) * step + self.medians

    def bits(self, z: Tensor, step: Tensor | float = 1.0) -> Tensor:
        """Bits per image [B]: of noisy values in training, of rounded ones otherwise."""
        noisy = add_noise(z, step) if self.training else self.quantise(z, step)
        return -torch.log2(self.likelihood(noisy, step)).sum(dim=(1, 2, 3))


def gaussian_survival(x: Tensor) -> Tensor:
    """Probability that a Gaussian variable of mean 0 and variance 1 exceeds x."""
    return 0.5 * torch.erfc(x * math.sqrt(0.5))


def logistic_survival(x: Tensor) -> Tensor:
    """The same of a logistic variable; its tails are heavier."""
    return torch.sigmoid(x * (-math.pi / math.sqrt(3.0)))


def conditional_bits(residual: Tensor, scales: Tensor, survival: Survival) -> Tensor:
    """Bits per image [B] of values (noisy or rounded) less their means, under densities of these deviations."""
    magnitude = residual.abs()
    p = survival((magnitude - 0.5) / scales) - survival((magnitude + 0.5) / scales)
    return -torch.log2(lower_bound(p, _LIKELIHOOD_MIN)).sum(dim=(1, 2, 3))


def scale_of_level(level: Tensor) -> Tensor:
    """Standard deviation of a (fractional) table level; levels far outside the table are pulled back."""
    bounded = lower_bound(level, _LEVEL_MIN)
    bounded = -lower_bound(-bounded, -(SCALE_LEVELS - 1.0))
    return torch.exp(LOG_SCALE_MIN + LOG_SCALE_STEP * bounded)
