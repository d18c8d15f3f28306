"""How near a decoded image is to its original, sample by sample."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def psnr(a: NDArray[np.generic], b: NDArray[np.generic]) -> float:
    """PSNR in dB over all samples of two images in 0..255, whole numbers or not; infinite if they are equal."""
    mse = float(np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2))
    return float("inf") if mse == 0 else float(10 * np.log10(255**2 / mse))
