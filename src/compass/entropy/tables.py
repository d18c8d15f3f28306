"""Frequency tables: integer probabilities of whole numbers around zero."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PRECISION = 24  # bits of a probability


@dataclass(frozen=True, eq=False)
class FrequencyTable:
    """Integer probabilities of -reach..reach and, last, of the escape: frequencies [2 reach + 2], each >= 1, sum 2^24.

    Raises ValueError on any others.
    """

    frequencies: NDArray[np.int64]

    def __post_init__(self) -> None:
        if len(self.frequencies) % 2 or self.frequencies.sum() != 1 << PRECISION or self.frequencies.min() < 1:
            raise ValueError("frequencies must be positive, of even count, and sum to 2^24")

    @property
    def reach(self) -> int:
        """Largest magnitude that is coded without an escape."""
        return len(self.frequencies) // 2 - 1


def quantise_probabilities(p: NDArray[np.float64]) -> NDArray[np.int64]:
    """Integer frequencies >= 1 that sum to 2^24, as close to p [n] (non-negative) as rounding allows."""
    scale = (1 << PRECISION) - len(p)
    frequencies = 1 + np.floor(p / p.sum() * scale).astype(np.int64)
    frequencies[np.argmax(frequencies)] += (1 << PRECISION) - frequencies.sum()
    return frequencies
