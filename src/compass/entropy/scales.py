"""The table of standard deviations that latents are coded with: 64 levels, geometric from 0.11 to 256.

The same table as in Balle et al. 2018 and CompressAI.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

SCALE_LEVELS = 64
LOG_SCALE_MIN = math.log(0.11)
LOG_SCALE_STEP = (math.log(256.0) - LOG_SCALE_MIN) / (SCALE_LEVELS - 1)


def scale_table() -> NDArray[np.float64]:
    """The 64 standard deviations, ascending."""
    return np.exp(LOG_SCALE_MIN + LOG_SCALE_STEP * np.arange(SCALE_LEVELS))
