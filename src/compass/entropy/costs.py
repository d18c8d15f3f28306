"""What single symbols cost under the tables of an entropy model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from compass.entropy.ans import ideal_bits
from compass.entropy.latent import Floats
from compass.entropy.tables import PRECISION, FrequencyTable


class SymbolCosts:
    """Code lengths of symbols in bits; those of escaped ones are all taken for that of the first beyond the table."""

    reach: NDArray[np.int64]  # of each table

    def __init__(self, tables: Sequence[FrequencyTable]) -> None:
        self.reach = np.array([table.reach for table in tables])
        starts = np.concatenate([[0], np.cumsum(2 * self.reach + 3)])
        self._furthest = (self.reach + 1).astype(np.int32)
        self._centre = (starts[:-1] + self.reach + 1).astype(np.int32)
        self._bits = np.concatenate([_costs(table) for table in tables])

    def __call__(self, tables: NDArray[np.integer], symbols: NDArray[np.integer]) -> Floats:
        """Bits of symbols, each with the table of this number."""
        furthest = self._furthest[tables]
        return self._bits[self._centre[tables] + np.clip(symbols, -furthest, furthest)]


def _costs(table: FrequencyTable) -> Floats:
    """Of -(reach + 1) to reach + 1."""
    inside = PRECISION - np.log2(table.frequencies[:-1])
    below, above = (ideal_bits(np.array([sign * (table.reach + 1)]), table) for sign in (-1, 1))
    return np.concatenate([[below], inside, [above]]).astype(np.float32)
