"""The integer networks of `compass.entropy.operations` run by PyTorch's float64 convolutions.

Other code and another order of sums must yield the same integers; that they do is what tests and benchmarks check.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional as F

from compass.entropy import operations as exact
from compass.entropy.steps import Place


def run_by_torch(
    operations: Sequence[exact.Operation], integers: exact.Integers, place: Place | None = None
) -> exact.Integers:
    """Run an integer network as `compass.entropy.operations.run` does, on convolutions of PyTorch.

    place: computed everywhere all the same, and then taken there.

    Raises TypeError on an operation it does not know.
    """
    x = torch.from_numpy(integers)[None].double().clamp(-exact.ACTIVATION_LIMIT, exact.ACTIVATION_LIMIT)
    for operation in operations:
        if isinstance(operation, exact.Convolution):
            weight, bias = torch.from_numpy(operation.weight), torch.from_numpy(operation.bias)
            x = _rescale(F.conv2d(x, weight, bias, padding=weight.shape[2] // 2))
        elif isinstance(operation, exact.TransposedConvolution):
            weight, bias = torch.from_numpy(operation.weight), torch.from_numpy(operation.bias)
            x = _rescale(F.conv_transpose2d(x, weight, bias, 2, weight.shape[2] // 2, output_padding=1))
        elif isinstance(operation, exact.LeakyReLU):
            x = torch.where(x < 0, torch.floor(x * operation.slope / 2**exact.WEIGHT_BITS), x)
        elif isinstance(operation, exact.PixelShuffle):
            x = F.pixel_shuffle(x, 2)
        else:
            raise TypeError(f"{type(operation).__name__} is no operation of an integer network")
    row, column, step = (0, 0, 1) if place is None else (*place, 2)
    return x[0, :, row::step, column::step].numpy().astype(np.int64)


def _rescale(total: torch.Tensor) -> torch.Tensor:
    x = torch.floor((total + 2.0 ** (exact.WEIGHT_BITS - 1)) / 2.0**exact.WEIGHT_BITS)
    return x.clamp(-exact.ACTIVATION_LIMIT, exact.ACTIVATION_LIMIT)
