"""The integer networks of `compass.model.exact` run by PyTorch's float64 convolutions: other code, other order of sums.

Both must yield the same integers; that they do is what tests and benchmarks check.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F

from compass.model import exact


def run_by_torch(layers: list[exact.Layer], integers: exact.Integers) -> exact.Integers:
    """What `compass.model.exact.run` yields, for the same arguments. Raises TypeError on a layer it does not know."""
    x = torch.from_numpy(integers)[None].double().clamp(-exact.ACTIVATION_LIMIT, exact.ACTIVATION_LIMIT)
    for layer in layers:
        if isinstance(layer, exact.Convolution):
            weight, bias = torch.from_numpy(layer.weight), torch.from_numpy(layer.bias)
            x = _rescale(F.conv2d(x, weight, bias, padding=weight.shape[2] // 2))
        elif isinstance(layer, exact.TransposedConvolution):
            weight, bias = torch.from_numpy(layer.weight), torch.from_numpy(layer.bias)
            x = _rescale(F.conv_transpose2d(x, weight, bias, 2, weight.shape[2] // 2, output_padding=1))
        elif isinstance(layer, exact.LeakyReLU):
            x = torch.where(x < 0, torch.floor(x * layer.slope / 2**exact.WEIGHT_BITS), x)
        elif isinstance(layer, exact.PixelShuffle):
            x = F.pixel_shuffle(x, 2)
        else:
            raise TypeError(f"{type(layer).__name__} is not a layer of an integer network")
    return x[0].numpy().astype(np.int64)


def _rescale(total: torch.Tensor) -> torch.Tensor:
    x = torch.floor((total + 2.0 ** (exact.WEIGHT_BITS - 1)) / 2.0**exact.WEIGHT_BITS)
    return x.clamp(-exact.ACTIVATION_LIMIT, exact.ACTIVATION_LIMIT)
