"""The coder of `compass.entropy.ans` in plain Python, where the library constriction cannot be installed.

Same bytes, at about 2 million symbols a second instead of 15. Names and arguments are those of the library's that are
used there.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from functools import cached_property
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

_PRECISION = 24  # bits of a probability
_MASK = (1 << _PRECISION) - 1
_WORD = (1 << 32) - 1


class Table:
    """Frequencies that sum to 2^24."""

    def __init__(self, frequencies: Sequence[int]) -> None:
        self._frequencies = list(frequencies)
        self._starts = [0, *accumulate(self._frequencies)][:-1]

    def span(self, symbol: int) -> tuple[int, int]:
        """Where a symbol begins, and its frequency."""
        return self._starts[symbol], self._frequencies[symbol]

    def find(self, position: int) -> tuple[int, int, int]:
        """The symbol at a position, and its span."""
        symbol = bisect_right(self._starts, position) - 1
        return symbol, self._starts[symbol], self._frequencies[symbol]

    @cached_property
    def mode(self) -> tuple[int, int, int]:
        """The most frequent symbol, and its span."""
        symbol = max(range(len(self._frequencies)), key=self._frequencies.__getitem__)
        return symbol, *self.span(symbol)


class Uniform:
    """2^24 shared among `size` symbols; the last has what is missing to it."""

    def __init__(self, size: int) -> None:
        self._last, self._share = size - 1, (1 << _PRECISION) // size

    def span(self, symbol: int) -> tuple[int, int]:
        """Where a symbol begins, and its frequency."""
        start = symbol * self._share
        return start, self._share if symbol < self._last else (1 << _PRECISION) - start

    def find(self, position: int) -> tuple[int, int, int]:
        """The symbol at a position, and its span."""
        symbol = min(position // self._share, self._last)
        return symbol, *self.span(symbol)

    @property
    def mode(self) -> tuple[int, int, int]:
        """The most frequent symbol, and its span."""
        return self._last, *self.span(self._last)


class AnsCoder:
    """A state below 2^64 and a stack of 32-bit words (docs/reference/format.md, "Payload")."""

    def __init__(self, words: NDArray[np.uint32] | None = None) -> None:
        self._words: list[int] = [] if words is None else words.tolist()
        self._state = 0
        for _ in range(2):
            if self._words and self._state <= _WORD:
                self._state = self._state << 32 | self._words.pop()

    def encode_reverse(self, symbols: NDArray[np.int32], table: Table | Uniform) -> None:
        """Puts symbols on the stack, the last first."""
        state, words = self._state, self._words
        for symbol in reversed(symbols.tolist()):
            start, frequency = table.span(symbol)
            if state >> 64 - _PRECISION >= frequency:
                words.append(state & _WORD)
                state >>= 32
            state = (state // frequency << _PRECISION) + state % frequency + start
        self._state = state

    def decode(self, table: Table | Uniform, count: int) -> NDArray[np.int32]:
        """Takes symbols off the stack."""
        state, words = self._state, self._words
        mode, first, often = table.mode
        found = [mode] * count
        for i in range(count):
            position = state & _MASK
            if 0 <= position - first < often:
                state = (state >> _PRECISION) * often + position - first
            else:
                found[i], start, frequency = table.find(position)
                state = (state >> _PRECISION) * frequency + position - start
            if state <= _WORD and words:
                state = state << 32 | words.pop()
        self._state = state
        return np.array(found, np.int32)

    def is_empty(self) -> bool:
        """Whether all has been taken off."""
        return not self._state and not self._words

    def get_compressed(self) -> NDArray[np.uint32]:
        """The stack, from bottom to top, with the state on it; zero words at the end count for nothing."""
        return np.array([*self._words, self._state & _WORD, self._state >> 32], np.uint32)
