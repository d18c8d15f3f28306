"""Local implicit image function (Chen, Liu, Wang, CVPR 2021) in LIFF's place: the ablation of supplement B.6."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from compass.nets.liff import PAPER_WIDTHS, RDN, Widths, at_neighbourhoods, cell_size
from compass.nets.nearest import at_nearest
from compass.nets.predictor import AxisTensors


class LIIF(nn.Module):
    """A colour per high-resolution pixel, as the average of what the four low-resolution pixels around it predict.

    Each of the four answers alone: an MLP of its 9F unfolded features, the relative position and the cell size
    yields a colour; the answers are weighted bilinearly (the area of the opposite rectangle). The feature part of
    the first layer depends on the low-resolution pixel alone and is computed there, which changes nothing but the
    cost. Features, widths and cell decoding as in LIFF.
    """

    def __init__(self, widths: Widths = PAPER_WIDTHS) -> None:
        super().__init__()
        self.encoder = RDN(widths.features, widths.growth)
        self.first = nn.Linear(widths.unfolded + 4, widths.hidden)
        self.middle = nn.ModuleList(nn.Linear(widths.hidden, widths.hidden) for _ in range(3))
        self.last = nn.Linear(widths.hidden, 3)

    def forward(self, x: Tensor, rows: AxisTensors, columns: AxisTensors) -> Tensor:
        """x [B, 3, h, w] in [0, 1] -> prediction [B, 3, H, W], not clipped."""
        unfolded = self.first.in_features - 4
        content = at_neighbourhoods(self.encoder(2.0 * x - 1.0), self.first.weight[:, :unfolded])
        cell = cell_size(rows, columns)
        total = torch.zeros((), dtype=x.dtype, device=x.device)
        for row_index, row_offset, row_weight in surrounding(rows):
            for column_index, column_offset, column_weight in surrounding(columns):
                h, w = row_index.shape[0], column_index.shape[0]
                place = torch.stack((row_offset[:, None].expand(h, w), column_offset[None, :].expand(h, w)), dim=-1)
                local = torch.cat((2.0 * place, cell.expand(h, w, 2)), dim=-1)
                hidden = at_nearest(content, row_index, column_index)
                hidden = hidden + (local @ self.first.weight[:, unfolded:].T + self.first.bias).to(hidden.dtype)
                for layer in (*self.middle, self.last):
                    hidden = layer(F.relu(hidden))
                total = total + hidden * (row_weight[:, None] * column_weight)[..., None]
        return total.permute(0, 3, 1, 2)


def surrounding(axis: AxisTensors) -> list[tuple[Tensor, Tensor, Tensor]]:
    """The two input pixels around each output position: index, offset of the position from it, weight; each [out].

    Beyond the border both are the border pixel.
    """
    before = (axis.phase < 0).to(axis.nearest.dtype)
    low = axis.nearest - before
    fraction = axis.phase + before
    sides = []
    for index, weight in ((low, 1.0 - fraction), (low + 1, fraction)):
        inside = torch.minimum(index.clamp(min=0), torch.as_tensor(axis.size - 1, device=index.device))
        sides.append((inside, axis.phase + (axis.nearest - inside), weight))
    return sides
