"""Where the pixels of a larger image lie on the grid of a smaller one, along one axis.

All coordinates are half-pixel centred, as in Pillow's resampling: output pixel i of n lies at
u = (i + 0.5) * m / n - 0.5 on the axis of the m input pixels.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class AxisGrid(NamedTuple):
    """Sampling of one axis: `out` output positions on `size` input pixels."""

    nearest: NDArray[np.int64]  # [out] index of the nearest input pixel
    phase: NDArray[np.float32]  # [out] position relative to it, in input pixels, within [-0.5, 0.5]
    cubic_index: NDArray[np.int64]  # [out, 4] input pixels under the bicubic kernel, clamped to the image
    cubic_weight: NDArray[np.float32]  # [out, 4] their weights, summing to one


def axis_grid(size: int, out: int, start: int = 0, stop: int | None = None) -> AxisGrid:
    """Grid for enlarging `size` pixels to `out` >= 1 pixels. Keys' cubic kernel with a = -0.5 (IEEE ASSP 1981).

    start, stop: of the output pixels, which are all by default.
    """
    positions = np.arange(start, out if stop is None else min(stop, out), dtype=np.float64)
    centre = (positions + 0.5) * (size / out) - 0.5
    nearest = np.clip(np.floor(centre + 0.5).astype(np.int64), 0, size - 1)
    left = np.floor(centre).astype(np.int64)
    taps = left[:, None] + np.arange(-1, 3)
    weight = _keys_cubic(np.abs(centre[:, None] - taps))
    weight /= weight.sum(axis=1, keepdims=True)
    return AxisGrid(
        nearest,
        (centre - nearest).astype(np.float32),
        np.clip(taps, 0, size - 1),
        weight.astype(np.float32),
    )


def _keys_cubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))
