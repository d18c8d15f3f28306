"""Differentiable helpers shared by the networks."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class _LowerBound(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, bound: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.bound = bound
        return x.clamp(min=bound)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        passes = (x >= ctx.bound) | (grads[0] < 0)
        return passes * grads[0], None


def lower_bound(x: Tensor, bound: float) -> Tensor:
    """max(x, bound), whose gradient still passes when it would raise x (Balle et al. 2018)."""
    return _LowerBound.apply(x, bound)  # type: ignore[no-untyped-call]


def with_own_gradient() -> bool:
    """Whether a function with a gradient written by hand pays: not without gradients, nor in a graph to export."""
    return torch.is_grad_enabled() and not torch.onnx.is_in_onnx_export()


def round_ste(x: Tensor) -> Tensor:
    """Rounding whose gradient is the identity (straight-through estimator)."""
    return x + (torch.round(x) - x).detach()


def add_noise(x: Tensor, step: Tensor | float = 1.0) -> Tensor:
    """x plus uniform noise in [-step / 2, step / 2): the differentiable stand-in for rounding in the rate term."""
    return x + (torch.rand_like(x) - 0.5) * step


def rows_of(x: Tensor) -> Tensor:
    """[B, C, H, W] -> [B H W, C]: no copy if channels are last."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


def sum_of_rows(rows: Tensor) -> Tensor:
    """[N, C] -> [C]: a matrix product, which in half precision is faster than a sum, and adds up in float32."""
    return (rows.new_ones(1, len(rows)) @ rows)[0]
