"""The residual dense network that the paper's predictors see an image with."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_BLOCKS = 4


class ResidualDenseBlock(nn.Module):
    """Four 3x3 convolutions with dense concatenation, fused and added to the input. [B, F, h, w] -> same."""

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        widths = [features + i * growth for i in range(4)]
        self.convs = nn.ModuleList(nn.Conv2d(a, growth, 3, padding=1) for a in widths)
        self.fuse = nn.Conv2d(features + 4 * growth, features, 1)

    def forward(self, x: Tensor) -> Tensor:
        dense = x
        for conv in self.convs:
            dense = torch.cat((dense, F.relu(conv(dense))), dim=1)
        return x + self.fuse(dense)


class RDN(nn.Module):
    """Residual dense network (Zhang et al., CVPR 2018) without its upsampler. [B, 3, h, w] -> [B, F, h, w]."""

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, features, 3, padding=1)
        self.second = nn.Conv2d(features, features, 3, padding=1)
        self.blocks = nn.ModuleList(ResidualDenseBlock(features, growth) for _ in range(_BLOCKS))
        self.fuse = nn.Sequential(
            nn.Conv2d(_BLOCKS * features, features, 1), nn.Conv2d(features, features, 3, padding=1)
        )

    def forward(self, x: Tensor) -> Tensor:
        shallow = self.first(x)
        feature, outputs = self.second(shallow), []
        for block in self.blocks:
            feature = block(feature)
            outputs.append(feature)
        return shallow + self.fuse(torch.cat(outputs, dim=1))
