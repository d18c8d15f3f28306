"""Quality is one number: the trained lambdas are its integer points, everything between is interpolated.

Qualities 1 to 4 are the four lambdas of the COMPASS paper; 0, 5 and 6 reach beyond them.
A quality is stored in one byte as a multiple of 1/32.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from compass.errors import InputError

LAMBDAS = (0.0009, 0.0018, 0.0035, 0.0067, 0.013, 0.025, 0.05)
MAX_QUALITY = len(LAMBDAS) - 1
STEPS = 32


def lambda_of(quality: float) -> float:
    """Rate-distortion lambda of a quality in [0, 6], geometric between the trained points."""
    position = np.arange(len(LAMBDAS))
    return float(np.exp(np.interp(quality, position, np.log(LAMBDAS))))


def to_code(quality: float) -> int:
    """The stored byte of a quality. Raises InputError outside [0, 6]."""
    if not 0 <= quality <= MAX_QUALITY:
        raise InputError(f"quality {quality:g} is outside 0 to {MAX_QUALITY}")
    return round(quality * STEPS)


def from_code(code: int) -> float:
    """The quality that a stored byte means."""
    return code / STEPS


def interpolate(table: NDArray[np.float64], code: int) -> NDArray[np.float64]:
    """Row of `table` [7, C] at a stored quality, linear between rows. Float result."""
    low, fraction = _split(code)
    return table[low] + (table[low + 1] - table[low]) * (fraction / STEPS)


def interpolate_exact(table: NDArray[np.int64], code: int) -> NDArray[np.int64]:
    """The same in integers, rounded half up: identical on every machine."""
    low, fraction = _split(code)
    mixed = table[low] * (STEPS - fraction) + table[low + 1] * fraction
    return (mixed + STEPS // 2) >> 5


def _split(code: int) -> tuple[int, int]:
    if not 0 <= code <= MAX_QUALITY * STEPS:
        raise InputError(f"stored quality {code} is outside 0 to {MAX_QUALITY * STEPS}")
    low = min(code // STEPS, MAX_QUALITY - 1)
    return low, code - low * STEPS
