"""Implicit functions: predictors that answer for every high-resolution pixel from the features below it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from compass.nets.functional import with_own_gradient
from compass.nets.predictor import AxisTensors
from compass.nets.rdn import RDN

_BANDS = 16  # of rows, that are worked out one after the other where there is no gradient


@dataclass(frozen=True)
class Widths:
    """Channels of an implicit function; the defaults are the paper's."""

    features: int = 64  # F, of the RDN
    growth: int = 32  # of a convolution in a dense block
    hidden: int = 256  # of the MLP

    @property
    def unfolded(self) -> int:
        """Features of a 3x3 neighbourhood, 9F."""
        return 9 * self.features


PAPER_WIDTHS = Widths()


class ImplicitFunction(nn.Module, ABC):
    """An MLP of the 9F unfolded features of a low-resolution pixel, a position in it and the ratio, and no more.

    outputs: of the last layer. The tensors of all high-resolution pixels would be hundreds of times as large as the
    image: without gradients, and so in an exported graph, they exist for a band of rows at a time.
    """

    def __init__(self, widths: Widths, outputs: int) -> None:
        super().__init__()
        self.encoder = RDN(widths.features, widths.growth)
        self.first = nn.Linear(widths.unfolded + 4, widths.hidden)
        self.middle = nn.ModuleList(nn.Linear(widths.hidden, widths.hidden) for _ in range(3))
        self.last = nn.Linear(widths.hidden, outputs)

    def forward(self, x: Tensor, rows: AxisTensors, columns: AxisTensors) -> Tensor:
        """x [B, 3, h, w] in [0, 1] -> prediction [B, 3, H, W], not clipped."""
        below = self.below(self.encoder(2.0 * x - 1.0))
        if with_own_gradient():
            made = self.above(below, rows, columns)
        else:
            count = rows.nearest.shape[0]
            bands = [slice(count * i // _BANDS, count * (i + 1) // _BANDS) for i in range(_BANDS)]
            made = torch.cat([self.above(below, rows.part(band), columns) for band in bands], dim=1)
        return made.permute(0, 3, 1, 2)

    @abstractmethod
    def below(self, features: Tensor) -> tuple[Tensor, ...]:
        """What depends on a low-resolution pixel alone: features [B, F, h, w] -> any number of [B, h, w, C]."""

    @abstractmethod
    def above(self, below: tuple[Tensor, ...], rows: AxisTensors, columns: AxisTensors) -> Tensor:
        """The prediction [B, H, W, 3]."""


def at_neighbourhoods(features: Tensor, weight: Tensor) -> Tensor:
    """Products of weights [N, 9F] and unfolded 3x3 neighbourhoods of features [B, F, h, w]: [B, h, w, N].

    Positions are copied in one piece from here on, as what belongs to one of them lies together.
    """
    kernels = weight.reshape(len(weight), features.shape[1], 3, 3)
    return F.conv2d(features, kernels, padding=1).permute(0, 2, 3, 1).contiguous()


def cell_size(rows: AxisTensors, columns: AxisTensors) -> Tensor:
    """[2]: height and width of a high-resolution pixel, in low-resolution pixels, doubled (the scale token)."""
    return torch.cat((2.0 * torch.exp(-rows.log_ratio), 2.0 * torch.exp(-columns.log_ratio)))
