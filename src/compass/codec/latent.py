"""The latent of one layer, known tile by tile."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

import numpy as np

from compass.entropy.latent import Floats
from compass.picture.window import Window

_ROWS_KEPT = 3  # of tiles: as many as a window of the image with its margin may touch


class Latent:
    """Values of a latent [M, h, w]; a tile is worked out when it is first asked for, and the last ones are kept."""

    def __init__(self, channels: int, tiles: Sequence[Window], values: Callable[[int], Floats]) -> None:
        """tiles: in positions, row by row; values: those [M, *size] of one of them, by its number."""
        self._channels, self._tiles, self._values = channels, tiles, values
        self._known: OrderedDict[int, Floats] = OrderedDict()
        self._kept = _ROWS_KEPT * sum(tile.top == 0 for tile in tiles)

    @classmethod
    def whole(cls, values: Floats) -> Latent:
        """One that is known already."""
        return cls(len(values), [Window.whole(values.shape[1:])], lambda _: values)

    def part(self, window: Window) -> Floats:
        """The values of a window of positions."""
        touched = [(k, tile) for k, tile in enumerate(self._tiles) if _overlap(tile, window)]
        if len(touched) == 1:
            (k, tile) = touched[0]
            rows, columns = window.inside(tile).slices
            return self._tile(k)[:, rows, columns]
        part = np.empty((self._channels, *window.size), np.float32)
        for k, tile in touched:
            shared = window.shared(tile)
            rows, columns = shared.inside(window).slices
            tile_rows, tile_columns = shared.inside(tile).slices
            part[:, rows, columns] = self._tile(k)[:, tile_rows, tile_columns]
        return part

    def forget(self, k: int) -> None:
        """Works a tile out anew when it is asked for again."""
        self._known.pop(k, None)

    def _tile(self, k: int) -> Floats:
        if k not in self._known:
            self._known[k] = self._values(k)
        self._known.move_to_end(k)
        if len(self._known) > self._kept:
            self._known.popitem(last=False)
        return self._known[k]


def _overlap(a: Window, b: Window) -> bool:
    return a.top < b.bottom and b.top < a.bottom and a.left < b.right and b.left < a.right
