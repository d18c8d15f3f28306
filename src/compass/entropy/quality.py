"""Quality is one number: the trained lambdas are its integer points, everything between is interpolated.

Qualities 1 to 4 are the four lambdas of the COMPASS paper; 0, 5 and 6 reach beyond them.
A file stores the quality of a layer in one byte, its quality code: the multiple of 1/32.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from compass.errors import InputError

LAMBDAS = (0.0009, 0.0018, 0.0035, 0.0067, 0.013, 0.025, 0.05)
MAX_QUALITY = len(LAMBDAS) - 1
STEPS = 32
MAX_CODE = MAX_QUALITY * STEPS


def lambda_of(quality: float) -> float:
    """Rate-distortion lambda of a quality in [0, 6], geometric between the trained points."""
    position = np.arange(len(LAMBDAS))
    return float(np.exp(np.interp(quality, position, np.log(LAMBDAS))))


def to_code(quality: float) -> int:
    """The quality code of a quality. Raises InputError outside [0, 6]."""
    if not 0 <= quality <= MAX_QUALITY:
        raise InputError(f"quality {quality:g} is outside 0 to {MAX_QUALITY}, of which 3 is usual")
    return round(quality * STEPS)


def from_code(quality_code: int) -> float:
    """The quality that a quality code stands for."""
    return quality_code / STEPS


def interpolate(table: NDArray[np.float64], quality_code: int) -> NDArray[np.float64]:
    """Row of `table` [7, C] at a quality code, linear between rows, in floats."""
    low, fraction = _split(quality_code)
    return table[low] + (table[low + 1] - table[low]) * (fraction / STEPS)


def interpolate_exact(table: NDArray[np.int64], quality_code: int) -> NDArray[np.int64]:
    """Row of `table` [7, C] at a quality code, linear between rows, in integers rounded half up."""
    low, fraction = _split(quality_code)
    mixed = table[low] * (STEPS - fraction) + table[low + 1] * fraction
    return (mixed + STEPS // 2) >> 5


def _split(quality_code: int) -> tuple[int, int]:
    if not 0 <= quality_code <= MAX_CODE:
        raise InputError(f"quality code {quality_code} is outside 0 to {MAX_CODE}")
    low = min(quality_code // STEPS, MAX_QUALITY - 1)
    return low, quality_code - low * STEPS
