"""Local implicit filter function: the inter-layer prediction of the COMPASS paper."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from compass.nets.implicit import PAPER_WIDTHS, ImplicitFunction, Widths, at_neighbourhoods, cell_size
from compass.nets.nearest import at_nearest, products_at_nearest
from compass.nets.predictor import AxisTensors


def unfold_features(encoder: nn.Module, x: Tensor) -> Tensor:
    """Unfolded 3x3 neighbourhoods of an image's features: [B, 3, h, w] in [0, 1] -> [B, 9F, h, w]."""
    u = F.unfold(encoder(2.0 * x - 1.0), 3, padding=1)
    return u.reshape(x.shape[0], -1, x.shape[2], x.shape[3])


class LIFF(ImplicitFunction):
    """A filter per high-resolution pixel, generated from the features under it, its position and the ratio.

    The direct form applies an MLP of 9F + 4 inputs per high-resolution pixel. `forward` computes the same in the
    factorised form: with u the 9F unfolded features of a low-resolution pixel and h the last hidden layer,
    out_c = sum_h h_h Q_{h,c} + u . b_c, where Q_{h,c} = sum_j W_{j,c,h} u_j depends on the low-resolution pixel
    alone, and so does the feature part of the first layer.
    """

    def __init__(self, widths: Widths = PAPER_WIDTHS) -> None:
        super().__init__(widths, 3 * widths.unfolded)

    @staticmethod
    def position(rows: AxisTensors, columns: AxisTensors) -> Tensor:
        """[H, W, 4]: coordinate relative to the low-resolution pixel (in its pixels, doubled), and cell size."""
        h, w = rows.phase.shape[0], columns.phase.shape[0]
        phase = torch.stack((2.0 * rows.phase[:, None].expand(h, w), 2.0 * columns.phase[None, :].expand(h, w)), dim=-1)
        return torch.cat((phase, cell_size(rows, columns).expand(h, w, 2)), dim=-1)

    def below(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The feature part of the first layer, Q, and u . b."""
        unfolded, hidden_width = self.first.in_features - 4, self.last.in_features
        filters = self.last.weight.reshape(unfolded, 3, hidden_width).permute(1, 2, 0).reshape(-1, unfolded)
        bias = self.last.bias.reshape(unfolded, 3).T
        # three convolutions, since libraries are slow where outputs are not a multiple of 16
        content, q, offset = (at_neighbourhoods(features, w) for w in (self.first.weight[:, :unfolded], filters, bias))
        return content, q, offset

    def above(self, below: tuple[Tensor, ...], rows: AxisTensors, columns: AxisTensors) -> Tensor:
        content, q, offset = below
        position = self.first.weight[:, -4:]
        place = self.position(rows, columns) @ position.T + self.first.bias
        hidden = at_nearest(content, rows.nearest, columns.nearest) + place.to(content.dtype)
        for layer in self.middle:
            hidden = layer(F.relu(hidden))
        prediction = products_at_nearest(F.relu(hidden), q, rows.nearest, columns.nearest)
        return prediction + at_nearest(offset, rows.nearest, columns.nearest)

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
