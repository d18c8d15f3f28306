"""The transforms of the COMPASS paper: CompressAI's `mbt2018-mean`, N=128, M=192."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from compass.nets.functional import rows_of, sum_of_rows, with_own_gradient
from compass.nets.gdn import GDN
from compass.nets.hyperprior_codec import Transforms


class _Conv(nn.Conv2d):
    """Leaves half precision for inputs one position high or wide.

    oneDNN (PyTorch 2.13, bf16, kernels larger than 1x1) makes the gradient of the weights for these from memory that
    was never written: values up to infinity, which drown every other gradient where the norm of all is clipped.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not with_own_gradient() or min(x.shape[2:]) > 1:
            return super().forward(x)
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(x.float())


class _Deconv(nn.ConvTranspose2d):
    """Adds up the gradient of its bias itself, for which oneDNN (PyTorch 2.13) takes longer than for all the rest."""

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        assert self.bias is not None
        if not with_own_gradient():
            return super().forward(x, output_size)
        device = x.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype
        operands = (t.to(dtype) for t in (x, self.weight, self.bias))
        return _Deconvolve.apply(*operands, self.stride, self.padding, self.output_padding)  # type: ignore[no-untyped-call]


class _Deconvolve(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, *shape: Any) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.shape = shape  # stride, padding, output padding
        return torch.conv_transpose2d(x, weight, bias, *shape)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        stride, padding, output_padding = ctx.shape
        of_x, of_weight, _ = torch.ops.aten.convolution_backward(
            grads[0], x, weight, None, stride, padding, [1, 1], True, output_padding, 1,
            [*ctx.needs_input_grad[:2], False],
        )  # fmt: skip
        return of_x, of_weight, sum_of_rows(rows_of(grads[0])), None, None, None


def conv(a: int, b: int, kernel: int = 5, stride: int = 2) -> nn.Conv2d:
    return _Conv(a, b, kernel, stride, kernel // 2)


def deconv(a: int, b: int, kernel: int = 5, stride: int = 2) -> nn.ConvTranspose2d:
    return _Deconv(a, b, kernel, stride, kernel // 2, output_padding=stride - 1)


def analysis(n: int, m: int) -> nn.Sequential:
    return nn.Sequential(conv(3, n), GDN(n), conv(n, n), GDN(n), conv(n, n), GDN(n), conv(n, m))


def synthesis(n: int, m: int) -> nn.Sequential:
    return nn.Sequential(
        deconv(m, n), GDN(n, True), deconv(n, n), GDN(n, True), deconv(n, n), GDN(n, True), deconv(n, 3)
    )


def hyper_transforms(n: int, m: int) -> tuple[nn.Sequential, nn.Sequential]:
    """h_a and h_s."""
    h_a = nn.Sequential(conv(m, n, 3, 1), nn.LeakyReLU(), conv(n, n), nn.LeakyReLU(), conv(n, n))
    h_s = nn.Sequential(
        deconv(n, m), nn.LeakyReLU(), deconv(m, m * 3 // 2), nn.LeakyReLU(), conv(m * 3 // 2, m * 2, 3, 1)
    )
    return h_a, h_s


def paper_transforms(n: int = 128, m: int = 192) -> Transforms:
    h_a, h_s = hyper_transforms(n, m)
    return Transforms(analysis(n, m), synthesis(n, m), h_a, h_s, latent_channels=m, hyper_channels=n, log_scale=False)
