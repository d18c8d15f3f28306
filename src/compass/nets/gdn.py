"""Generalised divisive normalisation (Balle, Laparra, Simoncelli, ICLR 2016)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from compass.nets.functional import lower_bound, rows_of, sum_of_rows, with_own_gradient

_PEDESTAL = 2.0**-36


class GDN(nn.Module):
    """y_i = x_i / sqrt(beta_i + sum_j gamma_ij x_j^2); with `inverse` the product instead of the quotient.

    [B, C, H, W] -> [B, C, H, W]. Parameters hold the square roots, as in CompressAI, so its state dicts load.
    """

    def __init__(self, channels: int, inverse: bool = False) -> None:
        super().__init__()
        self.inverse = inverse
        self.beta = nn.Parameter(torch.sqrt(torch.ones(channels) + _PEDESTAL))
        self.gamma = nn.Parameter(torch.sqrt(0.1 * torch.eye(channels) + _PEDESTAL))

    def forward(self, x: Tensor) -> Tensor:
        channels = x.shape[1]
        beta = lower_bound(self.beta, (1e-6 + _PEDESTAL) ** 0.5) ** 2 - _PEDESTAL
        gamma = lower_bound(self.gamma, _PEDESTAL**0.5) ** 2 - _PEDESTAL
        if with_own_gradient():
            return _Normalise.apply(x, gamma, beta, self.inverse)  # type: ignore[no-untyped-call]
        norm = F.conv2d(x * x, gamma.reshape(channels, channels, 1, 1), beta)
        return x * torch.sqrt(norm) if self.inverse else x * torch.rsqrt(norm)


class _Normalise(torch.autograd.Function):
    """GDN for training: matrix products over all positions, and few passes over memory between them.

    y = x f, where f is n^1/2 or n^-1/2 of the norm n; the gradient of n is +-1/2 of g x / f, or of g f y f.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, gamma: Tensor, beta: Tensor, inverse: bool) -> Tensor:
        rows = rows_of(x)
        squares = rows * rows
        norm = torch.addmm(beta.to(x.dtype), squares, gamma.to(x.dtype).T)
        factor = norm.sqrt_() if inverse else norm.rsqrt_()
        y = rows * factor
        ctx.save_for_backward(rows, squares, factor, gamma, rows if inverse else y)
        ctx.inverse = inverse
        return _image(y, x.shape)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        rows, squares, factor, gamma, other = ctx.saved_tensors
        grad = rows_of(grads[0])
        direct = grad * factor
        of_norm = (grad * other).div_(factor) if ctx.inverse else (direct * other).mul_(factor)
        half = 0.5 if ctx.inverse else -0.5  # what is left out of the gradient of the norm
        of_gamma, of_beta = half * (of_norm.T @ squares), half * sum_of_rows(of_norm)
        of_squares = of_norm @ (2 * half * gamma).to(of_norm.dtype)
        of_rows = direct.addcmul_(of_squares, rows)
        return _image(of_rows, grads[0].shape), of_gamma.to(gamma.dtype), of_beta.to(gamma.dtype), None


def _image(rows: Tensor, shape: torch.Size) -> Tensor:
    """[B H W, C] -> [B, C, H, W], channels last."""
    b, c, h, w = shape
    return rows.view(b, h, w, c).permute(0, 3, 1, 2)
