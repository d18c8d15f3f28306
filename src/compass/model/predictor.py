"""Inter-layer prediction of a model."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from compass.entropy.latent import Floats, Size
from compass.errors import ModelError
from compass.model.runtime import Network
from compass.model.separable import BLOCK, blocks_of, enlarge, unpack, weights_of
from compass.picture.coordinates import AxisGrid, axis_grid
from compass.picture.window import Window

SEPARABLE_OUTPUTS = ("coefficients", "rows_taps", "columns_taps")
_MARGIN = 16  # pixels of the lower image that a coefficient may depend on, on each side


class Part(NamedTuple):
    """What is at hand of an image."""

    planes: Floats  # [3, h, w] in [0, 1], of the window
    window: Window
    size: Size  # of the whole image

    @classmethod
    def whole(cls, planes: Floats) -> Part:
        size = (planes.shape[1], planes.shape[2])
        return cls(planes, Window.whole(size), size)


class Predictor:
    """Enlarges a decoded layer to the size of the next one.

    A model's graph either makes the whole prediction, or the coefficients and taps of `compass.model.separable`.
    """

    def __init__(self, graph: bytes, threads: int) -> None:
        self.network = Network(graph, "predictor", threads)

    @property
    def in_parts(self) -> bool:
        """Whether a part of the prediction can be made of a part of the lower image. Raises ModelError."""
        return self.network.signature.outputs == SEPARABLE_OUTPUTS

    def seen(self, window: Window, lower: Size, size: Size) -> Window:
        """What a window of the prediction, of `size`, depends on in the lower image of size `lower`."""
        if not self.in_parts:
            return Window.whole(lower)
        axes = (_axis(lower[i], size[i], window[i], window[i + 2]) for i in range(2))
        return _inputs(*axes)

    def __call__(self, lower: Part, size: Size, window: Window | None = None) -> Floats:
        """Prediction [3, h, w] of a window of a layer of `size` from the image below it. Raises ModelError.

        lower: at least what is `seen`. Every window of a prediction is a part of the whole one.
        """
        window = Window.whole(size) if window is None else window
        if not self.in_parts:
            rows, columns = window.slices
            return self._at_once(lower.planes, size)[:, rows, columns]
        with np.errstate(all="ignore"):  # what is wrong shows in the result
            prediction = self._separable(lower, size, window)
        if not np.isfinite(prediction).all():
            raise ModelError("the model's predictor yields numbers that are not finite")
        return prediction

    def _at_once(self, lower: Floats, size: Size) -> Floats:
        grids = [axis_grid(lower.shape[1 + i], size[i]) for i in range(2)]
        return self.network({"x": lower[None]} | _positions(grids, lower.shape[1:], size), (3, *size))

    def _separable(self, lower: Part, size: Size, window: Window) -> Floats:
        rows, columns = (_axis(lower.size[i], size[i], window[i], window[i + 2]) for i in range(2))
        y, x = _inputs(rows, columns).inside(lower.window).slices
        planes = lower.planes[:, y, x]
        feeds = {"x": planes[None]} | _positions([rows.grid, columns.grid], lower.size, size)
        outputs = (len(rows.grid.phase), len(columns.grid.phase))
        packed, row_taps, column_taps = self._outputs(feeds, outputs)
        coefficients = unpack(packed[0], row_taps.shape[1] // 3, planes.shape[1:])
        weights = [(block, weights_of(block, rows.grid, row_taps)) for block in blocks_of(rows.grid, rows.length)]
        prediction = np.empty((3, *outputs), np.float32)
        for right in blocks_of(columns.grid, columns.length):
            joined = weights_of(right, columns.grid, column_taps).joined()
            below = np.ascontiguousarray(coefficients[..., right.inputs])
            for down, of_rows in weights:
                seen = planes[:, down.inputs, right.inputs]
                prediction[:, down.outputs, right.outputs] = enlarge(seen, below[down.inputs], of_rows, joined)
        y, x = window.shifted(-rows.output, -columns.output).slices
        return prediction[:, y, x]

    def _outputs(self, feeds: dict[str, NDArray[Any]], size: Size) -> list[NDArray[Any]]:
        """Coefficients and taps of some pixels. Raises ModelError if they do not fit each other."""
        outputs = self.network.run(feeds)
        count, rest = divmod(outputs[1].shape[-1] if outputs[1].ndim else 0, 3)
        cells = tuple(-(-side // 2) for side in feeds["x"].shape[2:])
        shapes = ((1, 12 * count * count, *cells), (size[0], 3 * count), (size[1], 3 * count))
        for output, shape in zip(outputs, shapes, strict=True):
            if rest or not count or output.shape != shape:
                raise ModelError(f"the model's predictor yields {output.dtype} of shape {output.shape}, not {shape}")
        return outputs


class _Axis(NamedTuple):
    """A part of an axis: output positions in whole blocks, and the input positions that they depend on."""

    grid: AxisGrid  # of the output positions; indices count from `first`
    output: int  # the first output position
    first: int  # the first input position, even: the network works on pairs
    length: int  # input positions


def _inputs(rows: _Axis, columns: _Axis) -> Window:
    return Window(rows.first, columns.first, rows.first + rows.length, columns.first + columns.length)


def _axis(lower: int, size: int, start: int, stop: int) -> _Axis:
    """Output positions from `start` to before `stop`, of an axis of `size` on one of `lower`."""
    first_output = start // BLOCK * BLOCK
    grid = axis_grid(lower, size, first_output, -(-stop // BLOCK) * BLOCK)
    first = max(0, min(int(grid.nearest.min()) - 1, int(grid.cubic_index.min())) - _MARGIN) & ~1
    last = max(int(grid.nearest.max()) + 2, int(grid.cubic_index.max()) + 1) + _MARGIN
    last = min(lower, last + 1 & ~1)
    local = grid._replace(nearest=grid.nearest - first, cubic_index=grid.cubic_index - first)
    return _Axis(local, first_output, first, last - first)


def _positions(grids: list[AxisGrid], lower: tuple[int, ...], size: Size) -> dict[str, NDArray[Any]]:
    """Inputs of a graph that say where the larger image's pixels lie on the lower one."""
    feeds: dict[str, NDArray[Any]] = {}
    for name, grid, small, large in zip(("rows", "columns"), grids, lower, size, strict=True):
        feeds |= {f"{name}_{field}": value for field, value in grid._asdict().items()}
        feeds[f"{name}_log_ratio"] = np.array([np.log(large / small)], np.float32)
    return feeds
