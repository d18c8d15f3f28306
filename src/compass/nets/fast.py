"""The transforms of the `fast` profile: everything at 1/8 resolution, depthwise-separable blocks.

After DCVC-RT / DCVC-UF (Jia et al., CVPR 2025 and 2026), a third to a sixth of their width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from compass.entropy.steps import Group
from compass.nets.context import LatentContext
from compass.nets.functional import with_own_gradient
from compass.nets.hyperprior_codec import Transforms, pad_to_multiple
from compass.nets.priors import logistic_survival

# The few channels of most energy are coded in the most phases: they are what neighbours tell most of.
GROUPS = (Group(16, 4), Group(48, 2), Group(96, 2), Group(160, 1))


class GatedSiLU(nn.Module):
    """x * sigmoid(4x)."""

    def forward(self, x: Tensor) -> Tensor:
        if with_own_gradient():
            return _Gated.apply(x)  # type: ignore[no-untyped-call]
        return x * torch.sigmoid(4.0 * x)


class _Gated(torch.autograd.Function):
    """The same for training, as silu(4x) / 4: half of the passes over memory, and one tensor kept."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        inner = 4.0 * x
        ctx.save_for_backward(inner)
        return F.silu(inner).mul_(0.25)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (inner,) = ctx.saved_tensors
        return torch.ops.aten.silu_backward(grads[0], inner)


class DepthwiseBlock(nn.Module):
    """[B, C, h, w] -> same: a spatial and a channel residual branch, 8 C^2 multiplications per position.

    Both branches start at zero, so a fresh block is the identity.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.spatial = nn.Sequential(
            nn.Conv2d(channels, channels, 1),
            GatedSiLU(),
            nn.Conv2d(channels, channels, 3, padding=1, groups=channels),
            nn.Conv2d(channels, channels, 1),
        )
        self.expand = nn.Conv2d(channels, 4 * channels, 1)
        self.activation = GatedSiLU()
        self.project = nn.Conv2d(2 * channels, channels, 1)
        for last in (self.spatial[-1], self.project):
            nn.init.zeros_(last.weight)  # type: ignore[arg-type]
            nn.init.zeros_(last.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.spatial(x)
        a, b = self.activation(self.expand(x)).chunk(2, dim=1)
        return x + self.project(a + b)


class Condition(nn.Module):
    """Features [B, C, h, w] at 1/8 resolution plus a linear view of an image [B, 3, H, W], sides up to 8h x 8w.

    Starts at zero: fresh, it passes the features on.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.unshuffle = nn.PixelUnshuffle(8)
        self.view = nn.Conv2d(192, channels, 1)
        nn.init.zeros_(self.view.weight)
        nn.init.zeros_(self.view.bias)  # type: ignore[arg-type]

    def forward(self, features: Tensor, image: Tensor) -> Tensor:
        return features + self.view(self.unshuffle(pad_to_multiple(image, 16) - 0.5))


class Analysis(nn.Module):
    """Image [B, 3, H, W] -> y [B, M, ceil(H/16), ceil(W/16)]; `conditional` on another image of the same size."""

    def __init__(self, channels: int, latent_channels: int, blocks: int, conditional: bool = False) -> None:
        super().__init__()
        self.unshuffle = nn.PixelUnshuffle(8)
        self.enter = nn.Conv2d(192, channels, 1)
        self.condition = Condition(channels) if conditional else None
        self.blocks = nn.Sequential(*(DepthwiseBlock(channels) for _ in range(blocks)))
        self.leave = nn.Conv2d(channels, latent_channels, 2, stride=2)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        features = self.enter(self.unshuffle(pad_to_multiple(x, 16)))
        if self.condition is not None:
            features = self.condition(features, context)
        return self.leave(self.blocks(features))


class Synthesis(nn.Module):
    """y [B, M, h, w] -> image [B, 3, 16h, 16w]; `conditional` on another image of the same size."""

    def __init__(self, channels: int, latent_channels: int, blocks: int, conditional: bool = False) -> None:
        super().__init__()
        self.enter = nn.Sequential(nn.Conv2d(latent_channels, 4 * channels, 1), nn.PixelShuffle(2))
        self.condition = Condition(channels) if conditional else None
        self.blocks = nn.Sequential(*(DepthwiseBlock(channels) for _ in range(blocks)))
        self.leave = nn.Sequential(nn.Conv2d(channels, 192, 1), nn.PixelShuffle(8))

    def forward(self, y: Tensor, context: Tensor | None = None) -> Tensor:
        features = self.enter(y)
        if self.condition is not None:
            features = self.condition(features, context)
        return self.leave(self.blocks(features))


class HyperAnalysis(nn.Module):
    """y [B, M, h, w] -> z [B, N, ceil(h/4), ceil(w/4)]."""

    def __init__(self, latent_channels: int, hyper_channels: int, channels: int) -> None:
        super().__init__()
        self.enter = nn.Sequential(nn.Conv2d(latent_channels, channels, 3, padding=1), nn.LeakyReLU(0.2))
        self.down = nn.Sequential(
            nn.Conv2d(channels, channels, 2, stride=2),
            nn.LeakyReLU(0.2),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(channels, hyper_channels, 2, stride=2),
        )

    def forward(self, y: Tensor) -> Tensor:
        # The magnitudes are what the scales need (Balle et al. 2018); a log keeps large latents in range.
        y = torch.sign(y) * torch.log1p(torch.abs(y))
        return self.down(self.enter(pad_to_multiple(y, 4)))


def hyper_synthesis(hyper_channels: int, latent_channels: int, channels: int) -> nn.Sequential:
    """z [B, N, h, w] -> [B, 2M, 4h, 4w]. Only layers that `compass.entropy.operations` can run in integers.

    No neighbourhood at the resolution of z: training crops hold so few hyper-latents that the outer taps of a
    kernel there would mostly see padding, and fail on whole images.
    """
    return nn.Sequential(
        nn.Conv2d(hyper_channels, 4 * channels, 1),
        nn.PixelShuffle(2),
        nn.ReLU(),
        nn.Conv2d(channels, 4 * channels, 3, padding=1),
        nn.PixelShuffle(2),
        nn.ReLU(),
        nn.Conv2d(channels, 2 * latent_channels, 1),
    )


def fast_transforms(
    channels: int = 128,
    latent_channels: int = 320,
    hyper_channels: int = 64,
    down: int = 3,
    up: int = 4,
    hyper_width: int = 128,
    hidden: int = 64,
    groups: Sequence[Group] = GROUPS,
    conditional: bool = False,
) -> Transforms:
    """down, up: blocks of the analysis and of the synthesis; hyper_width: channels inside h_a.

    hidden: channels inside h_s and the networks of the context; groups: of the channels of y, by falling energy.

    conditional: both transforms see a second image, as the residual codec sees the prediction.
    """
    return Transforms(
        g_a=Analysis(channels, latent_channels, down, conditional),
        g_s=Synthesis(channels, latent_channels, up, conditional),
        h_a=HyperAnalysis(latent_channels, hyper_channels, hyper_width),
        h_s=hyper_synthesis(hyper_channels, latent_channels, hidden),
        latent_channels=latent_channels,
        hyper_channels=hyper_channels,
        log_scale=True,
        conditional=conditional,
        context=LatentContext(groups, hidden),
        survival=logistic_survival,
    )
