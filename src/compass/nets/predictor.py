"""Inter-layer prediction at arbitrary scale: the interface, bicubic, and the low-cost predictor of `fast`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from compass.nets.fast import DepthwiseBlock
from compass.nets.hyperprior_codec import pad_to_multiple
from compass.picture.coordinates import axis_grid


class AxisTensors(NamedTuple):
    """One axis of the sampling grid as tensors; fields as in `compass.picture.coordinates.AxisGrid`."""

    nearest: Tensor  # [out]
    phase: Tensor  # [out]
    cubic_index: Tensor  # [out, 4]
    cubic_weight: Tensor  # [out, 4]
    size: int | Tensor  # pixels of the smaller image on this axis
    log_ratio: Tensor  # [1] natural log of out / size


def axis_tensors(size: int, out: int, device: torch.device | None = None) -> AxisTensors:
    grid = axis_grid(size, out)
    return AxisTensors(
        torch.from_numpy(grid.nearest).to(device),
        torch.from_numpy(grid.phase).to(device),
        torch.from_numpy(grid.cubic_index).to(device),
        torch.from_numpy(grid.cubic_weight).to(device),
        size,
        torch.tensor([math.log(out / size)], device=device),
    )


def bicubic(x: Tensor, rows: AxisTensors, columns: AxisTensors) -> Tensor:
    """[B, C, h, w] -> [B, C, H, W], Keys' kernel with a = -0.5, separable."""
    taps = range(4)
    x = running_sum(x.index_select(2, rows.cubic_index[:, t]) * rows.cubic_weight[:, t, None] for t in taps)
    return running_sum(x.index_select(3, columns.cubic_index[:, t]) * columns.cubic_weight[:, t] for t in taps)


def running_sum(terms: Iterator[Tensor]) -> Tensor:
    """Sum of tensors, each made only when the ones before it are added: an exported graph keeps one at a time."""
    total = next(terms)
    for term in terms:
        total = total + term
    return total


class BicubicPredictor(nn.Module):
    """Bicubic interpolation, without parameters, in place of a predictor in the first training stage."""

    def forward(self, x: Tensor, rows: AxisTensors, columns: AxisTensors) -> Tensor:
        return bicubic(x, rows, columns)


class SeparablePredictor(nn.Module):
    """Bicubic plus a content-dependent correction whose work is done at low resolution.

    P(y, x) = bicubic(y, x) + sum_{t,i} sum_{u,j} a_{t,i}(y) a_{u,j}(x) K_{i,j}(n(y) + t, n(x) + u)

    with n the nearest low-resolution pixel, t and u in {-1, 0, 1}, K a map of `rank`^2 coefficients per colour
    computed once from the lower layer, and a(.) a small network of the sub-pixel phase and the ratio, evaluated
    once per row and column (content in the features, position in the filters: as in CUF, Vasconcelos et al. 2023).
    """

    def __init__(self, channels: int = 48, blocks: int = 3, rank: int = 4, hidden: int = 32) -> None:
        super().__init__()
        self.rank = rank
        self.unshuffle = nn.PixelUnshuffle(2)
        self.enter = nn.Conv2d(12, channels, 3, padding=1)
        self.blocks = nn.Sequential(*(DepthwiseBlock(channels) for _ in range(blocks)))
        self.leave = nn.Conv2d(channels, 4 * 3 * rank * rank, 1)
        self.shuffle = nn.PixelShuffle(2)
        self.axis = nn.Sequential(nn.Linear(2, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU())
        self.taps = nn.Linear(hidden, 3 * rank)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, rows: AxisTensors, columns: AxisTensors) -> Tensor:
        """x [B, 3, h, w] in [0, 1] -> prediction [B, 3, H, W], not clipped."""
        k = self._expand(self.coefficients(x), rows, 2)  # [B, rank * 3, H, w]
        return bicubic(x, rows, columns) + self._expand(k, columns, 3)

    def coefficients(self, x: Tensor) -> Tensor:
        """K of x [B, 3, h, w]: [B, rank * rank * 3, h, w], i first, then j, then the colour."""
        features = self.blocks(self.enter(self.unshuffle(pad_to_multiple(x, 2) - 0.5)))
        return self.shuffle(self.leave(features))[:, :, : x.shape[2], : x.shape[3]]

    def position_taps(self, phase: Tensor, log_ratio: Tensor) -> Tensor:
        """a of phases [n]: [n, 3 * rank], t first."""
        return self.taps(self.axis(torch.stack((phase, log_ratio.expand_as(phase)), dim=1)))

    def _expand(self, k: Tensor, axis: AxisTensors, dim: int) -> Tensor:
        """Contracts the leading `rank` of the channels with the filters of an axis: [B, rank * C, ..] -> [B, C, ..]."""
        weights = self.position_taps(axis.phase, axis.log_ratio)
        if dim == 2:
            weights = weights[:, :, None]
        parts = k.chunk(self.rank, dim=1)
        last = torch.as_tensor(axis.size - 1, device=k.device)

        def terms() -> Iterator[Tensor]:
            for t in range(3):
                index = torch.minimum((axis.nearest + (t - 1)).clamp(min=0), last)
                for i, part in enumerate(parts):
                    yield part.index_select(dim, index) * weights[:, t * self.rank + i]

        return running_sum(terms())
