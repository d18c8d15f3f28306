"""Inter-layer prediction of a model."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from compass.entropy.latent import Floats
from compass.model.runtime import Network
from compass.picture.coordinates import axis_grid


class Predictor:
    """Enlarges a decoded layer to the size of the next one."""

    def __init__(self, graph: bytes, threads: int) -> None:
        self.network = Network(graph, "predictor", threads)

    def __call__(self, lower: Floats, size: tuple[int, int]) -> Floats:
        """Prediction [3, *size] of a layer from the image below it, [3, h, w] in [0, 1]."""
        feeds: dict[str, NDArray[Any]] = {"x": lower[None]}
        for name, small, large in (("rows", lower.shape[1], size[0]), ("columns", lower.shape[2], size[1])):
            grid = axis_grid(small, large)
            feeds |= {f"{name}_{field}": value for field, value in grid._asdict().items()}
            feeds[f"{name}_log_ratio"] = np.array([np.log(large / small)], np.float32)
        return self.network(feeds, (3, *size))
