"""The order in which a latent is coded: in groups of channels, and each group in phases of positions.

What is coded first tells how the rest is distributed. Positions are told apart by the remainders of row and column
divided by two: their place in a 2x2 cell.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Place = tuple[int, int]  # row and column modulo 2

# Phases by their number: neighbours of what is still to come are always decoded first.
PHASES: dict[int, tuple[tuple[Place, ...], ...]] = {
    1: (((0, 0), (0, 1), (1, 0), (1, 1)),),
    2: (((0, 0), (1, 1)), ((0, 1), (1, 0))),
    4: (((0, 0),), ((1, 1),), ((0, 1),), ((1, 0),)),
}


class Group(NamedTuple):
    """A group of neighbouring channels of a latent."""

    channels: int
    phases: int  # 1, 2 or 4


def phase_mask(places: tuple[Place, ...], size: tuple[int, int]) -> NDArray[np.bool_]:
    """[h, w]: whether a position is in a phase of these places."""
    mask = np.zeros(size, bool)
    for row, column in places:
        mask[row::2, column::2] = True
    return mask
