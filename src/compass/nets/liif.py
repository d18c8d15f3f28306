"""Local implicit image function (Chen, Liu, Wang, CVPR 2021) in LIFF's place: the ablation of supplement B.6."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from compass.nets.implicit import PAPER_WIDTHS, ImplicitFunction, Widths, at_neighbourhoods, cell_size
from compass.nets.nearest import at_nearest
from compass.nets.predictor import AxisTensors


class LIIF(ImplicitFunction):
    """A colour per high-resolution pixel, as the average of what the four low-resolution pixels around it predict.

    Each of the four answers alone: an MLP of its 9F unfolded features, the relative position and the cell size
    yields a colour; the answers are weighted bilinearly (the area of the opposite rectangle). The feature part of
    the first layer depends on the low-resolution pixel alone and is computed there, which changes nothing but the
    cost. Features, widths and cell decoding as in LIFF.
    """

    def __init__(self, widths: Widths = PAPER_WIDTHS) -> None:
        super().__init__(widths, 3)

    def below(self, features: Tensor) -> tuple[Tensor]:
        """The feature part of the first layer."""
        return (at_neighbourhoods(features, self.first.weight[:, :-4]),)

    def above(self, below: tuple[Tensor, ...], rows: AxisTensors, columns: AxisTensors) -> Tensor:
        (content,) = below
        cell = cell_size(rows, columns)
        total = torch.zeros((), dtype=content.dtype, device=content.device)
        for row_index, row_offset, row_weight in surrounding(rows):
            for column_index, column_offset, column_weight in surrounding(columns):
                h, w = row_index.shape[0], column_index.shape[0]
                place = torch.stack((row_offset[:, None].expand(h, w), column_offset[None, :].expand(h, w)), dim=-1)
                local = torch.cat((2.0 * place, cell.expand(h, w, 2)), dim=-1)
                hidden = at_nearest(content, row_index, column_index)
                hidden = hidden + (local @ self.first.weight[:, -4:].T + self.first.bias).to(hidden.dtype)
                for layer in (*self.middle, self.last):
                    hidden = layer(F.relu(hidden))
                total = total + hidden * (row_weight[:, None] * column_weight)[..., None]
        return total


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
