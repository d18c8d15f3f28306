"""Multiplications per pixel, counted while a network runs.

Convolutions and matrix products count their multiply-accumulates, element-wise products one each.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from compass.entropy.latent import hyper_size, latent_size
from compass.nets.hyperprior_codec import HyperpriorCodec
from compass.nets.layered import Codec, CompassNet
from compass.nets.predictor import SeparablePredictor


def count_macs(function: Callable[[], Any]) -> int:
    """Multiply-accumulates of a call."""
    counter = FlopCounterMode(display=False, custom_mapping={torch.ops.aten.mul: _elementwise})
    with torch.no_grad(), counter:
        function()
    return int(counter.get_total_flops()) // 2


def _elementwise(*_: Any, out_shape: Any, **__: Any) -> int:
    return 2 * prod(out_shape)


def decode_macs(codec: Codec, height: int, width: int) -> int:
    """g_s, and of a hyperprior codec h_s and the context, for an image of this size."""
    y = torch.zeros(1, codec.latent_channels, latent_size(height), latent_size(width))
    return entropy_macs(codec, y) + count_macs(lambda: codec.g_s(y, *_context(codec, height, width)))


def entropy_macs(codec: Codec, y: Tensor) -> int:
    """h_s and the context for a latent y [1, M, h, w]; nothing without a hyperprior."""
    if not isinstance(codec, HyperpriorCodec):
        return 0
    z = torch.zeros(1, codec.hyper_channels, *map(hyper_size, y.shape[2:]))
    return count_macs(lambda: codec.entropy_parameters(torch.zeros_like(y), z, 0.0))


def encode_macs(codec: Codec, height: int, width: int) -> int:
    """g_a and h_a, and what a decoder runs, as an encoder does too."""
    return analysis_macs(codec, height, width) + decode_macs(codec, height, width)


def analysis_macs(codec: Codec, height: int, width: int) -> int:
    """g_a and h_a for an image of this size."""
    x: Tensor = torch.zeros(1, 3, height, width)
    hyper = codec.h_a if isinstance(codec, HyperpriorCodec) else nn.Identity()
    return count_macs(lambda: hyper(codec.g_a(x, *_context(codec, height, width))))


def _context(codec: Codec, height: int, width: int) -> list[Tensor]:
    """Second input of conditional transforms; none for the others."""
    return [torch.zeros(1, 3, height, width)] if isinstance(codec, HyperpriorCodec) and codec.conditional else []


def predict_macs(net: CompassNet, height: int, width: int, ratio: float) -> int:
    """Prediction of a layer of this size from one that is `ratio` times smaller.

    Of a separable predictor the products with weights that are not zero: a decoder that makes small matrices of them
    multiplies more often, in less time.
    """
    lower = torch.zeros(1, 3, round(height / ratio), round(width / ratio))
    predictor = net.predictor
    if isinstance(predictor, SeparablePredictor):
        taps = 3 * predictor.rank
        rows = height * lower.shape[3] * (taps * 3 * predictor.rank + 4 * 3)
        return count_macs(lambda: predictor.coefficients(lower)) + rows + height * width * 3 * (taps + 4)
    return count_macs(lambda: net.predict(lower, (height, width)))


def kmac_per_pixel(net: CompassNet, height: int = 512, width: int = 768) -> dict[str, float]:
    """kMAC per pixel of the coded layer: base encode and decode, enhancement decode at 1.3x, 2x and 4x."""
    pixels = height * width * 1000
    figures = {"base encode": encode_macs(net.base, height, width), "base decode": decode_macs(net.base, height, width)}
    if net.residual is not None:
        residual = decode_macs(net.residual, height, width)
        for ratio in (1.3, 2.0, 4.0):
            figures[f"enhancement decode {ratio:g}x"] = residual + predict_macs(net, height, width, ratio)
    return {name: macs / pixels for name, macs in figures.items()}
