"""What every high-resolution pixel takes from the low-resolution one it lies in, with gradients made for a CPU.

PyTorch's own gradients of indexing fill and add up tensors of the size of everything that was indexed, several times;
these are matrix products with the zeros and ones of the index.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from compass.nets.functional import with_own_gradient


def at_nearest(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """x [B, h, w, C] at rows [H] and columns [W], indices: [B, H, W, C]."""
    if _own_gradient(x):
        return _AtNearest.apply(x, rows, columns)  # type: ignore[no-untyped-call]
    return _taken(x, rows, columns)


def products_at_nearest(x: Tensor, filters: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Products of x [B, H, W, N] and the filters [B, h, w, K N] of the pixels that they lie in: [B, H, W, K].

    rows [H] and columns [W] are indices of filters, rows in ascending order.
    """
    if _own_gradient(x):
        return _ProductsAtNearest.apply(x, filters, rows, columns)  # type: ignore[no-untyped-call]
    outputs, width = filters.shape[3] // x.shape[3], x.shape[3]
    filters = _taken(filters, rows, columns)
    return (x[..., None, :] * filters.reshape(*filters.shape[:3], outputs, width)).sum(dim=4)


def _own_gradient(x: Tensor) -> bool:
    return with_own_gradient() and x.device.type == "cpu"


def _taken(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    return x.index_select(1, rows).index_select(2, columns)


class _AtNearest(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        ctx.save_for_backward(rows, columns)
        ctx.sizes = x.shape[1:3]
        return _taken(x, rows, columns)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        grad = grads[0].contiguous()
        rows, columns = (_ones(index, n, grad) for index, n in zip(ctx.saved_tensors, ctx.sizes, strict=True))
        of_rows = rows @ grad.flatten(2)
        return columns @ of_rows.view(*of_rows.shape[:2], *grad.shape[2:]), None, None


class _ProductsAtNearest(torch.autograd.Function):
    """Filters are enlarged for one low-resolution row at a time, and again for the gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, filters: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        ctx.save_for_backward(x, filters, rows, columns)
        outputs = filters.shape[3] // x.shape[3]
        y = x.new_empty(*x.shape[:3], outputs)
        for row, lines in _lines(rows):
            enlarged = _row_of_filters(filters, row, columns, outputs)
            for i in range(outputs):
                torch.sum(x[:, lines] * enlarged[..., i, :], dim=3, out=y[:, lines, :, i])
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None]:
        x, filters, rows, columns = ctx.saved_tensors
        grad, outputs = grads[0].to(x.dtype), grads[0].shape[3]
        lines_of_rows = _lines(rows)
        of_x = torch.empty_like(x)
        of_filters = (torch.empty_like if len(lines_of_rows) == filters.shape[1] else torch.zeros_like)(filters)
        ones = _ones(columns, filters.shape[2], x)
        for row, lines in lines_of_rows:
            enlarged = _row_of_filters(filters, row, columns, outputs)
            seen, of_seen, of_y = x[:, lines], of_x[:, lines], grad[:, lines]
            torch.mul(enlarged[..., 0, :], of_y[..., :1], out=of_seen)
            for i in range(1, outputs):
                of_seen.addcmul_(enlarged[..., i, :], of_y[..., i : i + 1])
            of_enlarged = (of_y[..., None] * seen[..., None, :]).flatten(1, 2).flatten(2)
            torch.matmul(ones.repeat(1, seen.shape[1]), of_enlarged, out=of_filters[:, row])
        return of_x, of_filters, None, None


def _row_of_filters(filters: Tensor, row: int, columns: Tensor, outputs: int) -> Tensor:
    """Filters [B, h, w, K N] of one row at columns [W]: [B, 1, W, K, N]."""
    return filters[:, row].index_select(1, columns).view(len(filters), 1, len(columns), outputs, -1)


def _lines(rows: Tensor) -> list[tuple[int, slice]]:
    """The low-resolution rows that are met, each with the high-resolution rows that lie in it."""
    met, counts = torch.unique_consecutive(rows, return_counts=True)
    ends = counts.cumsum(0)
    return [
        (row, slice(end - n, end)) for row, end, n in zip(met.tolist(), ends.tolist(), counts.tolist(), strict=True)
    ]


def _ones(index: Tensor, size: int, like: Tensor) -> Tensor:
    """[size, len(index)]: 1 where a row is the one that the index of a column names."""
    return F.one_hot(index, size).T.to(like.dtype)
