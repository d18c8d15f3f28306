"""The arithmetic of the separable predictor outside its networks: everything at the larger size, as matrix products.

    P(y, x) = sum_r C(y, n) I(n, m) C'(m, x) + sum_{t,i} sum_{u,j} a_{t,i}(y) a_{u,j}(x) K_{i,j}(n(y) + t, n(x) + u)

I is the lower image, C and C' bicubic weights, K coefficients that a network has made of I, a(.) taps that it has made
of the positions; `compass.nets.predictor.SeparablePredictor` is the same for training. An axis is cut into blocks, and
each block sees so few pixels that its weights are a small dense matrix.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from compass.entropy.latent import Floats
from compass.picture.coordinates import AxisGrid

BLOCK = 64  # output rows or columns
_COLOURS = 3


class Block(NamedTuple):
    """Some neighbouring output positions of an axis, and the input positions that they see."""

    outputs: slice
    inputs: slice
    near: NDArray[np.int64]  # [outputs, 3], the nearest input position and its neighbours


class Weights(NamedTuple):
    """Weights of the output positions of a block on its input positions."""

    cubic: Floats  # [outputs, inputs]
    taps: Floats  # [outputs, inputs, rank]

    def joined(self) -> Floats:
        """[(rank + 1) * inputs, outputs]: of the taps, then of the bicubic kernel."""
        taps = self.taps.transpose(0, 2, 1)
        return np.concatenate((taps, self.cubic[:, None]), axis=1).reshape(len(self.cubic), -1).T


def blocks_of(grid: AxisGrid, size: int) -> list[Block]:
    """An axis of `size` inputs in blocks of at most `BLOCK` outputs, in order."""
    blocks = []
    for start in range(0, len(grid.nearest), BLOCK):
        outputs = slice(start, min(start + BLOCK, len(grid.nearest)))
        near = np.clip(grid.nearest[outputs, None] + np.arange(-1, 2), 0, size - 1)
        seen = np.concatenate((near, grid.cubic_index[outputs]), axis=1)
        blocks.append(Block(outputs, slice(int(seen.min()), int(seen.max()) + 1), near))
    return blocks


def weights_of(block: Block, grid: AxisGrid, taps: Floats) -> Weights:
    """taps: [outputs of the axis, 3 * rank], of the nearest input position and its neighbours."""
    first, count = block.inputs.start, block.inputs.stop - block.inputs.start
    outputs = block.outputs
    rank = taps.shape[1] // 3
    row = np.arange(outputs.stop - outputs.start)[:, None]
    cubic = np.zeros((len(row), count), np.float32)  # at an edge several of the positions are one
    np.add.at(cubic, (row, grid.cubic_index[outputs] - first), grid.cubic_weight[outputs])
    weights = np.zeros((len(row), count, rank), np.float32)
    np.add.at(weights, (row, block.near - first), taps[outputs].reshape(-1, 3, rank))
    return Weights(cubic, weights)


def unpack(packed: Floats, rank: int, size: tuple[int, ...]) -> Floats:
    """Coefficients [h, rank, rank * 3, w], i first, of a network's [rank * rank * 3 * 4, ceil(h / 2), ceil(w / 2)].

    Each of its positions holds those of 2x2 pixels, row by row, behind each other.
    """
    height, width = packed.shape[1:]
    cells = packed.reshape(rank, rank * _COLOURS, 2, 2, height, width)
    coefficients = np.empty((2 * height, rank, rank * _COLOURS, 2 * width), np.float32)
    for row in range(2):
        for column in range(2):
            coefficients[row::2, :, :, column::2] = cells[:, :, row, column].transpose(2, 0, 1, 3)
    return np.ascontiguousarray(coefficients[: size[0], :, :, : size[1]])


def enlarge(lower: Floats, coefficients: Floats, rows: Weights, joined: Floats) -> Floats:
    """A block [3, H, W] of the prediction that sees the part `lower` [3, n, m].

    coefficients: [n, rank, rank * 3, m]; rows, joined: weights of the rows, and joined ones of the columns.
    A block is worked out by products of the same shapes whatever else is asked for: an element of a product may be
    rounded otherwise in one of another shape.
    """
    count, seen, rank = rows.taps.shape
    width = lower.shape[2]
    expanded = np.empty((count, _COLOURS, rank + 1, width), np.float32)  # the sums over i for each j, and bicubic
    sums = rows.taps.reshape(count, -1) @ coefficients.reshape(seen * rank, -1)
    expanded[:, :, :rank] = sums.reshape(count, rank, _COLOURS, width).transpose(0, 2, 1, 3)
    image = lower.transpose(1, 0, 2).reshape(seen, -1)
    expanded[:, :, rank] = (rows.cubic @ image).reshape(count, _COLOURS, width)
    product = expanded.reshape(count * _COLOURS, -1) @ joined
    return product.reshape(count, _COLOURS, -1).transpose(1, 0, 2)
