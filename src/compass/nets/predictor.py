"""Inter-layer prediction at arbitrary scale: the interface, bicubic, and the low-cost predictor of `fast`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

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

    def part(self, outputs: slice) -> AxisTensors:
        """That of some output positions alone."""
        nearest, phase, cubic_index, cubic_weight = (field[outputs] for field in self[:4])
        return AxisTensors(nearest, phase, cubic_index, cubic_weight, self.size, self.log_ratio)


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
        h, w = x.shape[2:]
        correction = self._correction(x, self._filters(rows, h), self._filters(columns, w))
        with torch.autocast(x.device.type, enabled=False):
            return _cubic_matrix(rows, h) @ x.float() @ _cubic_matrix(columns, w).T + correction.float()

    def _correction(self, x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        """The second term, [B, 3, H, W], of filters [H, rank, h] and [W, rank, w].

        K is copied once, as it comes, into an order in which the sum over its rows is one product.
        """
        rank, k = self.rank, self.packed_coefficients(x)
        batch, _, h, w = k.shape
        k = k.reshape(batch, rank, rank, 3, 2, 2, h, w)  # i, j, colour, row and column of a 2x2 cell
        k = k.permute(1, 4, 6, 0, 2, 3, 5, 7).reshape(rank * 2 * h, -1)
        k = _by_cells(rows, h) @ k  # summed over t and i
        k = k.reshape(-1, batch, rank, 3, 2, w).permute(1, 3, 0, 2, 4, 5).flatten(3)  # [B, 3, H, rank * 2 * w]
        return k @ _by_cells(columns, w).T

    def coefficients(self, x: Tensor) -> Tensor:
        """K of x [B, 3, h, w]: [B, rank * rank * 3, h, w], i first, then j, then the colour."""
        return self.shuffle(self.packed_coefficients(x))[:, :, : x.shape[2], : x.shape[3]]

    def packed_coefficients(self, x: Tensor) -> Tensor:
        """The same before a pixel shuffle: [B, rank * rank * 3 * 4, ceil(h / 2), ceil(w / 2)]."""
        return self.leave(self.blocks(self.enter(self.unshuffle(pad_to_multiple(x, 2) - 0.5))))

    def position_taps(self, phase: Tensor, log_ratio: Tensor) -> Tensor:
        """a of phases [n]: [n, 3 * rank], t first."""
        return self.taps(self.axis(torch.stack((phase, log_ratio.expand_as(phase)), dim=1)))

    def _filters(self, axis: AxisTensors, size: int) -> Tensor:
        """Taps of an axis as weights on its input pixels: [out, rank, size]."""
        taps = self.position_taps(axis.phase, axis.log_ratio).float().reshape(-1, 3, self.rank)
        shifts = torch.arange(-1, 2, device=taps.device)
        seen = (axis.nearest[:, None] + shifts).clamp(0, size - 1)  # [out, 3]
        with torch.autocast(taps.device.type, enabled=False):
            return torch.einsum("yti,ytn->yin", taps, F.one_hot(seen, size).float())


def _by_cells(filters: Tensor, cells: int) -> Tensor:
    """Filters [out, rank, size] as [out, rank * 2 * cells]: by rank, position within a cell of two, and cell."""
    out, rank, size = filters.shape
    padded = F.pad(filters, (0, 2 * cells - size)).reshape(out, rank, cells, 2)
    return padded.transpose(2, 3).flatten(1)


def _cubic_matrix(axis: AxisTensors, size: int) -> Tensor:
    """Bicubic weights of an axis on its input pixels: [out, size]."""
    return torch.zeros(len(axis.phase), size, device=axis.phase.device).scatter_add(
        1, axis.cubic_index, axis.cubic_weight
    )
