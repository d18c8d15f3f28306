"""Generalised divisive normalisation (Balle, Laparra, Simoncelli, ICLR 2016)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from compass.nets.functional import lower_bound, with_own_gradient

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
    """GDN for training: one matrix product over all positions, and a gradient in few passes over memory.

    Only the input and the factor that it is multiplied by are kept; the squares are computed again.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, gamma: Tensor, beta: Tensor, inverse: bool) -> Tensor:
        rows = _rows(x)
        norm = torch.addmm(beta.to(x.dtype), rows * rows, gamma.to(x.dtype).T)
        factor = norm.sqrt_() if inverse else norm.rsqrt_()
        ctx.save_for_backward(rows, factor, gamma)
        ctx.inverse = inverse
        return _image(rows * factor, x.shape)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        rows, factor, gamma = ctx.saved_tensors
        grad = _rows(grads[0])
        of_norm = grad * rows  # times d factor / d norm, which is 1 / (2 factor) or -factor^3 / 2
        if ctx.inverse:
            of_norm.div_(factor).mul_(0.5)
        else:
            of_norm.mul_(factor).mul_(factor).mul_(factor).mul_(-0.5)
        of_gamma, of_beta = of_norm.T @ (rows * rows), of_norm.sum(0)
        of_rows = (of_norm @ gamma.to(of_norm.dtype)).mul_(rows).mul_(2.0).addcmul_(grad, factor)
        return _image(of_rows, grads[0].shape), of_gamma.to(gamma.dtype), of_beta.to(gamma.dtype), None


def _rows(x: Tensor) -> Tensor:
    """[B, C, H, W] -> [B H W, C]: no copy if channels are last."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


def _image(rows: Tensor, shape: torch.Size) -> Tensor:
    """[B H W, C] -> [B, C, H, W], channels last."""
    b, c, h, w = shape
    return rows.view(b, h, w, c).permute(0, 3, 1, 2)
