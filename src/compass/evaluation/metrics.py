"""How alike two images look: multi-scale structural similarity."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d

_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_WINDOW, _SIGMA = 11, 1.5
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
MS_SSIM_MIN_SIDE = (_WINDOW - 1) * 2 ** (len(_WEIGHTS) - 1) + 1


def ms_ssim(a: NDArray[np.generic], b: NDArray[np.generic]) -> float | None:
    """Multi-scale SSIM (Wang, Simoncelli, Bovik 2003) of two images [H, W, C] in 0..255, mean over the channels.

    Five scales, Gaussian windows of 11 with sigma 1.5, borders left out. None where a side is below 161, too small
    for the fifth scale.
    """
    if min(a.shape[:2]) < MS_SSIM_MIN_SIDE:
        return None
    x, y = a.astype(np.float64), b.astype(np.float64)
    product = np.ones(a.shape[2])
    for scale, weight in enumerate(_WEIGHTS):
        luminance, contrast = _ssim_terms(x, y)
        last = scale == len(_WEIGHTS) - 1
        product *= np.maximum(np.mean(luminance * contrast if last else contrast, axis=(0, 1)), 0) ** weight
        if not last:
            x, y = _halve(x), _halve(y)
    return float(product.mean())


def _ssim_terms(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Luminance term, and product of contrast and structure terms, of every position with a whole window."""
    mean_x, mean_y = _blur(x), _blur(y)
    var_x, var_y = _blur(x * x) - mean_x**2, _blur(y * y) - mean_y**2
    covariance = _blur(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + _C1) / (mean_x**2 + mean_y**2 + _C1)
    return luminance, (2 * covariance + _C2) / (var_x + var_y + _C2)


def _blur(x: NDArray[np.float64]) -> NDArray[np.float64]:
    taps = np.exp(-((np.arange(_WINDOW) - _WINDOW // 2) ** 2) / (2 * _SIGMA**2))
    taps /= taps.sum()
    half = _WINDOW // 2
    return correlate1d(correlate1d(x, taps, axis=0), taps, axis=1)[half:-half, half:-half]


def _halve(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means of 2x2 samples; an odd side gains a zero in front, as the usual implementations have it."""
    x = np.pad(x, ((x.shape[0] % 2, 0), (x.shape[1] % 2, 0), (0, 0)))
    return (x[::2, ::2] + x[1::2, ::2] + x[::2, 1::2] + x[1::2, 1::2]) / 4
