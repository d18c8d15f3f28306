"""Inter-layer prediction of a model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compass.entropy.latent import Floats
from compass.errors import ModelError
from compass.model.runtime import Network
from compass.model.separable import Block, blocks_of, enlarge, weights_of
from compass.picture.coordinates import AxisGrid, axis_grid

SEPARABLE_OUTPUTS = ("coefficients", "rows_taps", "columns_taps")
_BAND_PIXELS = 1 << 18  # of the lower image, that the coefficients are made of at once
_MARGIN = 16  # rows that a coefficient may depend on, above and below


class Predictor:
    """Enlarges a decoded layer to the size of the next one.

    A model's graph either makes the whole prediction, or the coefficients and taps of `compass.model.separable`.
    """

    def __init__(self, graph: bytes, threads: int) -> None:
        self.network = Network(graph, "predictor", threads)

    def __call__(self, lower: Floats, size: tuple[int, int]) -> Floats:
        """Prediction [3, *size] of a layer from the image below it, [3, h, w] in [0, 1]. Raises ModelError."""
        feeds: dict[str, NDArray[Any]] = {}
        grids = [axis_grid(lower.shape[1 + axis], size[axis]) for axis in range(2)]
        for name, grid, small, large in zip(("rows", "columns"), grids, lower.shape[1:], size, strict=True):
            feeds |= {f"{name}_{field}": value for field, value in grid._asdict().items()}
            feeds[f"{name}_log_ratio"] = np.array([np.log(large / small)], np.float32)
        if self.network.signature.outputs != SEPARABLE_OUTPUTS:
            return self.network(feeds | {"x": lower[None]}, (3, *size))
        with np.errstate(all="ignore"):  # what is wrong shows in the result
            prediction = self._separable(lower, size, feeds, grids)
        if not np.isfinite(prediction).all():
            raise ModelError("the model's predictor yields numbers that are not finite")
        return prediction

    def _separable(
        self, lower: Floats, size: tuple[int, int], feeds: dict[str, NDArray[Any]], grids: Sequence[AxisGrid]
    ) -> Floats:
        """Coefficients are made in bands of rows of the lower image: no more of them at once than a few rows need."""
        height, width = lower.shape[1:]
        columns: list[tuple[Block, Floats]] = []
        prediction = np.empty((3, *size), np.float32)
        for band in _bands(blocks_of(grids[0], height), _BAND_PIXELS // width):
            first = max(0, band[0].inputs.start - _MARGIN) & ~1  # the network works on pairs of rows
            last = min(height, (band[-1].inputs.stop + _MARGIN + 1) & ~1)
            coefficients, row_taps, column_taps = self._outputs(feeds | {"x": lower[None, :, first:last]}, size)
            if not columns:
                blocks = blocks_of(grids[1], width)
                columns = [(block, weights_of(block, grids[1], column_taps).joined()) for block in blocks]
            for block in band:
                weights = weights_of(block, grids[0], row_taps)
                part = coefficients[0, :, block.inputs.start - first : block.inputs.stop - first]
                prediction[:, block.outputs] = enlarge(lower[:, block.inputs], part, weights, columns)
        return prediction

    def _outputs(self, feeds: dict[str, NDArray[Any]], size: tuple[int, int]) -> list[NDArray[Any]]:
        """Coefficients and taps for some rows of the lower image. Raises ModelError if they do not fit each other."""
        outputs = self.network.run(feeds)
        count, rest = divmod(outputs[1].shape[-1] if outputs[1].ndim else 0, 3)
        shapes = ((1, 3 * count * count, *feeds["x"].shape[2:]), (size[0], 3 * count), (size[1], 3 * count))
        for output, shape in zip(outputs, shapes, strict=True):
            if rest or not count or output.shape != shape:
                raise ModelError(f"the model's predictor yields {output.dtype} of shape {output.shape}, not {shape}")
        return outputs


def _bands(blocks: Sequence[Block], height: int) -> Iterator[list[Block]]:
    """Neighbouring blocks that together see at most `height` input positions, or single ones."""
    band: list[Block] = []
    for block in blocks:
        if band and block.inputs.stop - band[0].inputs.start > height:
            yield band
            band = []
        band.append(block)
    yield band
