"""Offsets of the scales of single channels: what a stream may say of an image before its y.

Scales follow from networks that see one neighbourhood at a time. Where a channel of an image is wider or narrower
throughout than they expect, whole levels are added to its scales.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from compass.entropy.ans import Decoder
from compass.entropy.costs import SymbolCosts
from compass.entropy.tables import FrequencyTable
from compass.errors import FormatError

Offsets = NDArray[np.int32]  # [M] levels
_COUNTED = 16  # magnitudes below are counted, larger ones looked at one by one


def read_offsets(decoder: Decoder, tables: Sequence[FrequencyTable], channels: int) -> Offsets:
    """The offsets of all channels, none in a model without `tables`, of which the first is that of the choice.

    Raises FormatError if they are coded with a table that the model has not.
    """
    choice = int(decoder.get(1, tables[0])[0]) if tables else 0
    if not 0 <= choice < max(len(tables), 1):
        raise FormatError("the entropy-coded data asks for a table that the model has not")
    return decoder.get(channels, tables[choice]) if choice else np.zeros(channels, np.int32)


def choose_offsets(
    levels: NDArray[np.integer], symbols: NDArray[np.integer], costs: SymbolCosts, offset_costs: SymbolCosts
) -> tuple[int, Offsets]:
    """The number of the table and the offsets that code symbols [M, h, w] in the fewest bits; 0 stands for none.

    costs: of symbols, by level; offset_costs: of the choice, with table 0, and of offsets with the others.
    """
    choices = np.arange(len(offset_costs.reach))
    reach = int(offset_costs.reach[1])
    of_symbols = _bits_of_channels(levels, symbols, costs, reach)
    of_offsets = offset_costs(choices[1:, None], np.arange(-reach, reach + 1))
    totals = of_symbols + of_offsets[:, None]  # [tables, M, offsets]
    bits = [of_symbols[:, reach].sum(), *totals.min(axis=2).sum(axis=1)]
    choice = int(np.argmin(bits + offset_costs(np.array(0), choices)))
    if choice == 0:
        return 0, np.zeros(len(symbols), np.int32)
    return choice, (totals[choice - 1].argmin(axis=1) - reach).astype(np.int32)


def _bits_of_channels(
    levels: NDArray[np.integer], symbols: NDArray[np.integer], costs: SymbolCosts, reach: int
) -> NDArray[np.float64]:
    """Bits [M, 2 reach + 1] of each channel's symbols with every offset."""
    channels, tables = len(symbols), len(costs.reach)
    magnitudes, channel = np.abs(symbols), np.arange(channels)[:, None, None]
    small = magnitudes < _COUNTED
    kinds = (channel * tables + levels) * _COUNTED + magnitudes
    counts = np.bincount(kinds[small], minlength=channels * tables * _COUNTED).reshape(channels, -1)
    large = np.broadcast_to(channel, symbols.shape)[~small], levels[~small].astype(np.int64), symbols[~small]
    table, magnitude = np.indices((tables, _COUNTED))
    found = []
    for offset in range(-reach, reach + 1):
        of_kind = costs(np.clip(table + offset, 0, tables - 1), magnitude).ravel()
        of_large = costs(np.clip(large[1] + offset, 0, tables - 1), large[2])
        found.append(counts @ of_kind.astype(np.float64) + np.bincount(large[0], of_large, channels))
    return np.stack(found, axis=1)
