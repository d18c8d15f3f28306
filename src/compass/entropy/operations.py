"""Networks in fixed point: the same integers on every machine.

What they yield selects the frequency tables, so encoder and decoder must agree on it to the last bit. Weights and
activations are integers carried in float64: every product and partial sum stays below 2^53, so an ordinary BLAS adds
them exactly in any order. `docs/reference/format.md` has the arithmetic.

Each operation is one class: its name in a model file (`kind`), its arrays and numbers (the fields), its range
(`reach`), what it makes of a shape (`output_shape`), and how numpy runs it (`__call__`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from compass.entropy.steps import Place

Integers = NDArray[np.int64]
Exact = NDArray[np.float64]  # integers, held in float64; in `backward` any numbers
Shape = tuple[int, int, int]  # channels, height, width

ACTIVATION_BITS = 10  # an activation a stands for a / 2^10
WEIGHT_BITS = 14
ACTIVATION_LIMIT = 2**23  # activations saturate here
_ACCUMULATOR_LIMIT = 2**53
_MAX_KERNEL = 9  # rows and columns: what a file may ask of a decoder is bounded


class Operation(ABC):
    """One step of an integer network."""

    kind: ClassVar[str]

    @abstractmethod
    def __call__(self, x: Exact) -> Exact:
        """[C, h, w] -> [C', h', w'], integers in and out."""

    @abstractmethod
    def backward(self, x: Exact, outward: Exact) -> Exact:
        """Derivatives with respect to x of the sum of outward * self(x), as if nothing were rounded."""

    @abstractmethod
    def output_shape(self, shape: Shape) -> Shape:
        """Shape of the result for an input of this shape. Raises ValueError if the operation cannot take it."""

    @property
    def pointwise(self) -> bool:
        """Whether each position of the result depends on the same position of the input alone."""
        return False

    @property
    def reach(self) -> float:
        """Largest magnitude of any accumulator, over all inputs within the limit of activations."""
        return ACTIVATION_LIMIT


@dataclass(frozen=True)
class Convolution(Operation):
    """Stride 1, zero padding of k // 2."""

    kind = "convolution"
    weight: Exact  # [out, in, k, k]
    bias: Exact  # [out], at ACTIVATION_BITS + WEIGHT_BITS

    def __call__(self, x: Exact) -> Exact:
        return self._at(x, (0, 0), 1)

    def at(self, x: Exact, place: Place) -> Exact:
        """The result at the rows and columns that have the remainders `place` modulo 2, and nowhere else."""
        return self._at(x, place, 2)

    def _at(self, x: Exact, first: Place, step: int) -> Exact:
        out, channels, k, _ = self.weight.shape
        if k == 1:
            seen = x[:, first[0] :: step, first[1] :: step]
        else:
            padded = np.pad(x, ((0, 0), (k // 2,) * 2, (k // 2,) * 2))
            windows = sliding_window_view(padded, (k, k), (1, 2))[:, first[0] :: step, first[1] :: step]
            seen = windows.transpose(0, 3, 4, 1, 2)
        size = seen.shape[-2:]
        total = self.weight.reshape(out, -1) @ seen.reshape(channels * k * k, size[0] * size[1])
        total += self.bias[:, None]
        return _rescale(total).reshape(out, *size)

    def backward(self, x: Exact, outward: Exact) -> Exact:
        return self._backward(x, outward, (0, 0), 1)

    def backward_at(self, x: Exact, outward: Exact, place: Place) -> Exact:
        """`backward` of `at`."""
        return self._backward(x, outward, place, 2)

    def _backward(self, x: Exact, outward: Exact, first: Place, step: int) -> Exact:
        out, channels, k, _ = self.weight.shape
        size = outward.shape[1:]
        parts = self.weight.reshape(out, -1).T @ outward.reshape(out, -1) * 2.0**-WEIGHT_BITS
        parts = parts.reshape(channels, k, k, *size)
        padded = np.zeros((channels, x.shape[1] + 2 * (k // 2), x.shape[2] + 2 * (k // 2)))
        for dy in range(k):
            for dx in range(k):
                rows = slice(first[0] + dy, first[0] + dy + step * size[0], step)
                padded[:, rows, first[1] + dx : first[1] + dx + step * size[1] : step] += parts[:, dy, dx]
        return padded[:, k // 2 : k // 2 + x.shape[1], k // 2 : k // 2 + x.shape[2]]

    def output_shape(self, shape: Shape) -> Shape:
        out = _check_kernel(self.weight, self.bias, inputs=1, channels=shape[0])
        return out, shape[1], shape[2]

    @property
    def pointwise(self) -> bool:
        return self.weight.shape[2] == 1

    @property
    def reach(self) -> float:
        return _reach(self.weight, self.bias, (1, 2, 3))


@dataclass(frozen=True)
class TransposedConvolution(Operation):
    """Stride 2, padding k // 2, output padding 1: doubles both sides."""

    kind = "transposed_convolution"
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

    def backward(self, x: Exact, outward: Exact) -> Exact:
        inputs, _, k, _ = self.weight.shape
        height, width = x.shape[1:]
        padded = np.pad(outward, ((0, 0), (k // 2, k - k // 2), (k // 2, k - k // 2)))
        total = np.zeros((inputs, height * width))
        for dy in range(k):
            for dx in range(k):
                part = padded[:, dy : dy + 2 * height : 2, dx : dx + 2 * width : 2]
                total += self.weight[:, :, dy, dx] @ part.reshape(len(part), -1)
        return total.reshape(inputs, height, width) * 2.0**-WEIGHT_BITS

    def output_shape(self, shape: Shape) -> Shape:
        out = _check_kernel(self.weight, self.bias, inputs=0, channels=shape[0])
        return out, 2 * shape[1], 2 * shape[2]

    @property
    def reach(self) -> float:
        return _reach(self.weight, self.bias, (0, 2, 3))


@dataclass(frozen=True)
class LeakyReLU(Operation):
    """max(x, floor(slope * x / 2^WEIGHT_BITS)) with an integer slope in [0, 2^WEIGHT_BITS]; 0 makes it a plain ReLU."""

    kind = "leaky_relu"
    slope: int

    def __call__(self, x: Exact) -> Exact:
        if self.slope == 0:
            return np.maximum(x, 0.0)
        return np.where(x < 0, np.floor(x * (self.slope * 2.0**-WEIGHT_BITS)), x)

    def backward(self, x: Exact, outward: Exact) -> Exact:
        return np.where(x < 0, outward * (self.slope * 2.0**-WEIGHT_BITS), outward)

    def output_shape(self, shape: Shape) -> Shape:
        if not 0 <= self.slope <= 1 << WEIGHT_BITS:
            raise ValueError(f"a slope of {self.slope} is outside 0 to 2^{WEIGHT_BITS}")
        return shape

    @property
    def pointwise(self) -> bool:
        return True


@dataclass(frozen=True)
class PixelShuffle(Operation):
    """[4C, h, w] -> [C, 2h, 2w]: channel 4c + 2i + j goes to row 2y + i, column 2x + j."""

    kind = "pixel_shuffle"

    def __call__(self, x: Exact) -> Exact:
        c, h, w = x.shape
        return x.reshape(c // 4, 2, 2, h, w).transpose(0, 3, 1, 4, 2).reshape(c // 4, 2 * h, 2 * w)

    def backward(self, x: Exact, outward: Exact) -> Exact:
        c, h, w = x.shape
        return outward.reshape(c // 4, h, 2, w, 2).transpose(0, 2, 4, 1, 3).reshape(c, h, w)

    def output_shape(self, shape: Shape) -> Shape:
        if shape[0] % 4:
            raise ValueError(f"{shape[0]} channels cannot be shuffled")
        return shape[0] // 4, 2 * shape[1], 2 * shape[2]


OPERATIONS: dict[str, type[Operation]] = {
    operation.kind: operation for operation in (Convolution, TransposedConvolution, LeakyReLU, PixelShuffle)
}


def from_symbols(symbols: NDArray[np.integer], medians: Integers) -> Integers:
    """Hyper-latent symbols [N, h, w] plus their medians [N], at ACTIVATION_BITS."""
    return symbols.astype(np.int64) * 2**ACTIVATION_BITS + medians[:, None, None]


def to_float(fixed: Integers) -> NDArray[np.float64]:
    """Fixed-point numbers at ACTIVATION_BITS as floats."""
    return fixed / 2.0**ACTIVATION_BITS


def run(operations: Sequence[Operation], x: Integers, place: Place | None = None) -> Integers:
    """Output of an integer network for x [C, h, w], both at ACTIVATION_BITS.

    place: compute rows and columns with these remainders modulo 2 alone. The network must begin with a convolution, and
    see no neighbours after it.
    """
    activations: Exact = np.clip(x, -ACTIVATION_LIMIT, ACTIVATION_LIMIT).astype(np.float64)
    if place is not None:
        first, *operations = operations
        assert isinstance(first, Convolution)
        activations = first.at(activations, place)
    for operation in operations:
        activations = operation(activations)
    return activations.astype(np.int64)


def backward(operations: Sequence[Operation], x: Integers, outward: Exact, place: Place | None = None) -> Exact:
    """Derivatives with respect to x of the sum of outward * run(operations, x, place), as if nothing were rounded."""
    activations: list[Exact] = [np.clip(x, -ACTIVATION_LIMIT, ACTIVATION_LIMIT).astype(np.float64)]
    for i, operation in enumerate(operations[:-1]):
        if place is not None and i == 0:
            assert isinstance(operation, Convolution)
            activations.append(operation.at(activations[-1], place))
        else:
            activations.append(operation(activations[-1]))
    for i, operation in reversed(list(enumerate(operations))):
        if place is not None and i == 0:
            assert isinstance(operation, Convolution)
            return operation.backward_at(activations[0], outward, place)
        outward = operation.backward(activations[i], outward)
    return outward


def check_range(operations: Sequence[Operation]) -> None:
    """Raises OverflowError if any accumulator of any input could leave the exact range of float64."""
    if any(not operation.reach < _ACCUMULATOR_LIMIT / 2 for operation in operations):
        raise OverflowError("a weight of an integer network is too large for exact arithmetic")


def output_shape(operations: Sequence[Operation], shape: Shape) -> Shape:
    """Shape of a network's result. Raises ValueError if an operation cannot take what the one before it yields."""
    for operation in operations:
        shape = operation.output_shape(shape)
    return shape


def _check_kernel(weight: Exact, bias: Exact, inputs: int, channels: int) -> int:
    """Output channels of a kernel whose axis `inputs` is of the input channels. Raises ValueError if it is none."""
    fits = weight.ndim == 4 and weight.shape[inputs] == channels and weight.shape[2] == weight.shape[3]
    if (
        not fits
        or weight.shape[2] % 2 == 0
        or weight.shape[2] > _MAX_KERNEL
        or bias.shape != (weight.shape[1 - inputs],)
    ):
        raise ValueError(f"a kernel of shape {weight.shape} does not fit {channels} channels")
    return weight.shape[1 - inputs]


def _reach(weight: Exact, bias: Exact, summed: tuple[int, ...]) -> float:
    return float(np.max(np.abs(weight).sum(axis=summed) * ACTIVATION_LIMIT + np.abs(bias)))


def _rescale(total: Exact) -> Exact:
    """Back to ACTIVATION_BITS, rounded half up, saturated; in place."""
    total += 2 ** (WEIGHT_BITS - 1)
    total *= 2.0**-WEIGHT_BITS
    return np.clip(np.floor(total, out=total), -ACTIVATION_LIMIT, ACTIVATION_LIMIT, out=total)
