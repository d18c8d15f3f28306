"""Local implicit filter function: the inter-layer prediction of the COMPASS paper."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from compass.nets.nearest import at_nearest, products_at_nearest
from compass.nets.predictor import AxisTensors

_BLOCKS = 4


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


def unfold_features(encoder: nn.Module, x: Tensor) -> Tensor:
    """Unfolded 3x3 neighbourhoods of an image's features: [B, 3, h, w] in [0, 1] -> [B, 9F, h, w]."""
    u = F.unfold(encoder(2.0 * x - 1.0), 3, padding=1)
    return u.reshape(x.shape[0], -1, x.shape[2], x.shape[3])


def at_neighbourhoods(features: Tensor, weight: Tensor) -> Tensor:
    """Products of weights [N, 9F] and unfolded 3x3 neighbourhoods of features [B, F, h, w]: [B, h, w, N].

    Positions are copied in one piece from here on, as what belongs to one of them lies together.
    """
    kernels = weight.reshape(len(weight), features.shape[1], 3, 3)
    return F.conv2d(features, kernels, padding=1).permute(0, 2, 3, 1).contiguous()


def cell_size(rows: AxisTensors, columns: AxisTensors) -> Tensor:
    """[2]: height and width of a high-resolution pixel, in low-resolution pixels, doubled (the scale token)."""
    return torch.cat((2.0 * torch.exp(-rows.log_ratio), 2.0 * torch.exp(-columns.log_ratio)))


class LIFF(nn.Module):
    """A filter per high-resolution pixel, generated from the features under it, its position and the ratio.

    The direct form applies an MLP of 9F + 4 inputs per high-resolution pixel. `forward` computes the same in the
    factorised form: with u the 9F unfolded features of a low-resolution pixel and h the last hidden layer,
    out_c = sum_h h_h Q_{h,c} + u . b_c, where Q_{h,c} = sum_j W_{j,c,h} u_j depends on the low-resolution pixel
    alone, and so does the feature part of the first layer.
    """

    def __init__(self, widths: Widths = PAPER_WIDTHS) -> None:
        super().__init__()
        self.encoder = RDN(widths.features, widths.growth)
        self.first = nn.Linear(widths.unfolded + 4, widths.hidden)
        self.middle = nn.ModuleList(nn.Linear(widths.hidden, widths.hidden) for _ in range(3))
        self.last = nn.Linear(widths.hidden, 3 * widths.unfolded)

    @staticmethod
    def position(rows: AxisTensors, columns: AxisTensors) -> Tensor:
        """[H, W, 4]: coordinate relative to the low-resolution pixel (in its pixels, doubled), and cell size."""
        h, w = rows.phase.shape[0], columns.phase.shape[0]
        phase = torch.stack((2.0 * rows.phase[:, None].expand(h, w), 2.0 * columns.phase[None, :].expand(h, w)), dim=-1)
        return torch.cat((phase, cell_size(rows, columns).expand(h, w, 2)), dim=-1)

    def forward(self, x: Tensor, rows: AxisTensors, columns: AxisTensors) -> Tensor:
        """x [B, 3, h, w] in [0, 1] -> prediction [B, 3, H, W], not clipped."""
        features = self.encoder(2.0 * x - 1.0)
        unfolded, hidden_width = self.first.in_features - 4, self.last.in_features
        filters = self.last.weight.reshape(unfolded, 3, hidden_width).permute(1, 2, 0).reshape(-1, unfolded)
        bias = self.last.bias.reshape(unfolded, 3).T
        # three convolutions, since libraries are slow where outputs are not a multiple of 16
        content, q, offset = (at_neighbourhoods(features, w) for w in (self.first.weight[:, :unfolded], filters, bias))
        place = self.position(rows, columns) @ self.first.weight[:, unfolded:].T + self.first.bias
        hidden = at_nearest(content, rows.nearest, columns.nearest) + place.to(content.dtype)
        for layer in self.middle:
            hidden = layer(F.relu(hidden))
        prediction = products_at_nearest(F.relu(hidden), q, rows.nearest, columns.nearest)
        return (prediction + at_nearest(offset, rows.nearest, columns.nearest)).permute(0, 3, 1, 2)

    def forward_direct(self, x: Tensor, rows: AxisTensors, columns: AxisTensors) -> Tensor:
        """Compute `forward` by the definition, one filter of 9F x 3 per pixel: slow, for tests and cost tables."""
        return self.filtered(unfold_features(self.encoder, x), rows, columns)

    def filtered(self, features: Tensor, rows: AxisTensors, columns: AxisTensors) -> Tensor:
        """The direct form after the encoder: unfolded features [B, 9F, h, w] -> prediction [B, 3, H, W]."""
        u = at_nearest(features.permute(0, 2, 3, 1), rows.nearest, columns.nearest)  # [B, H, W, 9F]
        position = self.position(rows, columns).expand(*u.shape[:3], 4)
        hidden = torch.cat((u, position), dim=-1)
        for layer in (self.first, *self.middle):
            hidden = F.relu(layer(hidden))
        filters = self.last(hidden).reshape(*u.shape, 3)
        return torch.einsum("bhwj,bhwjc->bchw", u, filters)
