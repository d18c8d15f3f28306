"""Hyper-synthesis in fixed point: the same integers on every machine.

What h_s yields selects the probability tables, so encoder and decoder must agree on it to the last bit. Weights
and activations are integers carried in float64: every product and partial sum stays below 2^53, so an ordinary
BLAS adds them exactly in any order. `docs/format.md` has the arithmetic.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Exact = NDArray[np.float64]  # integers, held in float64

ACTIVATION_BITS = 10  # an activation a stands for a / 2^10
WEIGHT_BITS = 14
ACTIVATION_LIMIT = 2**23  # activations saturate here
_ACCUMULATOR_LIMIT = 2**53


class Layer(Protocol):
    """One step of an integer network."""

    def __call__(self, x: Exact) -> Exact:
        """[C, h, w] -> [C', h', w'], integers in and out."""


@dataclass(frozen=True)
class Convolution:
    """Stride 1, zero padding of k // 2."""

    weight: Exact  # [out, in, k, k]
    bias: Exact  # [out], at ACTIVATION_BITS + WEIGHT_BITS

    def __call__(self, x: Exact) -> Exact:
        out, _, k, _ = self.weight.shape
        height, width = x.shape[1:]
        if k == 1:
            total = self.weight[:, :, 0, 0] @ x.reshape(len(x), -1)
        else:
            padded = np.pad(x, ((0, 0), (k // 2,) * 2, (k // 2,) * 2))
            total = np.zeros((out, height * width))
            for dy in range(k):
                for dx in range(k):
                    part = padded[:, dy : dy + height, dx : dx + width].reshape(len(x), -1)
                    total += self.weight[:, :, dy, dx] @ part
        return _rescale(total.reshape(out, height, width) + self.bias[:, None, None])


@dataclass(frozen=True)
class TransposedConvolution:
    """Stride 2, padding k // 2, output padding 1: doubles both sides."""

    weight: Exact  # [in, out, k, k]
    bias: Exact  # [out]

    def __call__(self, x: Exact) -> Exact:
        _, out, k, _ = self.weight.shape
        height, width = x.shape[1:]
        flat = x.reshape(len(x), -1)
        total = np.zeros((out, 2 * height + k, 2 * width + k))
        for dy in range(k):
            for dx in range(k):
                part = (self.weight[:, :, dy, dx].T @ flat).reshape(out, height, width)
                total[:, dy : dy + 2 * height : 2, dx : dx + 2 * width : 2] += part
        total = total[:, k // 2 : k // 2 + 2 * height, k // 2 : k // 2 + 2 * width]
        return _rescale(total + self.bias[:, None, None])


@dataclass(frozen=True)
class LeakyReLU:
    """max(x, floor(slope * x / 2^WEIGHT_BITS)) with an integer slope; zero makes it a plain ReLU."""

    slope: int

    def __call__(self, x: Exact) -> Exact:
        if self.slope == 0:
            return np.maximum(x, 0.0)
        return np.where(x < 0, np.floor(x * (self.slope * 2.0**-WEIGHT_BITS)), x)


@dataclass(frozen=True)
class PixelShuffle:
    """[4C, h, w] -> [C, 2h, 2w]: channel 4c + 2i + j goes to row 2y + i, column 2x + j."""

    def __call__(self, x: Exact) -> Exact:
        c, h, w = x.shape
        return x.reshape(c // 4, 2, 2, h, w).transpose(0, 3, 1, 4, 2).reshape(c // 4, 2 * h, 2 * w)


def from_symbols(symbols: NDArray[np.integer], medians: Integers) -> Integers:
    """Hyper-latent symbols [N, h, w] plus their medians [N], at ACTIVATION_BITS."""
    return symbols.astype(np.int64) * 2**ACTIVATION_BITS + medians[:, None, None]


def run(layers: list[Layer], x: Integers) -> Integers:
    """Output of h_s for x [C, h, w], both at ACTIVATION_BITS."""
    activations: Exact = np.clip(x, -ACTIVATION_LIMIT, ACTIVATION_LIMIT).astype(np.float64)
    for layer in layers:
        activations = layer(activations)
    return activations.astype(np.int64)


def check_range(layers: list[Layer]) -> None:
    """Raises OverflowError if any accumulator of any input could leave the exact range of float64."""
    for layer in layers:
        if isinstance(layer, Convolution):
            reach = np.abs(layer.weight).sum(axis=(1, 2, 3))
        elif isinstance(layer, TransposedConvolution):
            reach = np.abs(layer.weight).sum(axis=(0, 2, 3))
        else:
            continue
        if np.max(reach * ACTIVATION_LIMIT + np.abs(layer.bias)) >= _ACCUMULATOR_LIMIT / 2:
            raise OverflowError("a weight of the hyper-synthesis is too large for exact arithmetic")


def _rescale(total: Exact) -> Exact:
    """Back to ACTIVATION_BITS, rounded half up, saturated."""
    scaled = np.floor((total + 2 ** (WEIGHT_BITS - 1)) * 2.0**-WEIGHT_BITS)
    return np.clip(scaled, -ACTIVATION_LIMIT, ACTIVATION_LIMIT)
