"""Rectangles of images and of latents."""

from __future__ import annotations

from typing import NamedTuple

from compass.errors import InputError


class Window(NamedTuple):
    """Rows `top` to `bottom` and columns `left` to `right`, without the last ones, of something larger."""

    top: int
    left: int
    bottom: int
    right: int

    @classmethod
    def whole(cls, size: tuple[int, int]) -> Window:
        """All of something of size (height, width)."""
        return cls(0, 0, *size)

    @property
    def height(self) -> int:
        return self.bottom - self.top

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        return self.height, self.width

    @property
    def box(self) -> tuple[int, int, int, int]:
        """(left, upper, right, lower), as Pillow has it."""
        return self.left, self.top, self.right, self.bottom

    @property
    def slices(self) -> tuple[slice, slice]:
        """Its rows and columns."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def grown(self, margin: int, size: tuple[int, int]) -> Window:
        """With a margin on all sides, as far as something of size (height, width) reaches."""
        grown = Window(self.top - margin, self.left - margin, self.bottom + margin, self.right + margin)
        return grown.shared(Window.whole(size))

    def outward(self, step: int, size: tuple[int, int]) -> Window:
        """The smallest that holds it and begins and ends at multiples of `step`, or at the end of size."""
        return self.divided(step).times(step, size)

    def inside(self, outer: Window) -> Window:
        """The same rectangle in the coordinates of one that holds it."""
        return self.shifted(-outer.top, -outer.left)

    def shifted(self, down: int, right: int) -> Window:
        return Window(self.top + down, self.left + right, self.bottom + down, self.right + right)

    def holds(self, other: Window) -> bool:
        """Whether another one is a part of this one."""
        return self == self.around(other)

    def around(self, other: Window) -> Window:
        """The smallest that holds both."""
        low, high = map(min, self[:2], other[:2]), map(max, self[2:], other[2:])
        return Window(*low, *high)

    def shared(self, other: Window) -> Window:
        """What is in both, of two that overlap."""
        low, high = map(max, self[:2], other[:2]), map(min, self[2:], other[2:])
        return Window(*low, *high)

    def divided(self, step: int) -> Window:
        """The cells of step x step that it touches."""
        return Window(self.top // step, self.left // step, -(-self.bottom // step), -(-self.right // step))

    def times(self, step: int, size: tuple[int, int]) -> Window:
        """Inverse of `divided`: what its cells cover of something of size (height, width)."""
        cells = Window(self.top * step, self.left * step, self.bottom * step, self.right * step)
        return cells.shared(Window.whole(size))

    def pieces(self, height: int, width: int) -> list[Window]:
        """Cut into pieces of at most height x width, row by row."""
        return [
            Window(top, left, min(top + height, self.bottom), min(left + width, self.right))
            for top in range(self.top, self.bottom, height)
            for left in range(self.left, self.right, width)
        ]


def window_of(box: tuple[int, int, int, int], size: tuple[int, int], what: str, whole: str) -> Window:
    """(left, upper, right, lower) as a window of something of size (width, height); what, whole: names for messages.

    Raises InputError if it is empty or reaches beyond.
    """
    left, top, right, bottom = box
    said = f"{what} from {left},{top} to {right},{bottom} (left, upper to right, lower)"
    if left >= right or top >= bottom:
        raise InputError(f"{said} is empty")
    if left < 0 or top < 0 or right > size[0] or bottom > size[1]:
        raise InputError(f"{said} reaches beyond {whole} of {size[0]}x{size[1]}")
    return Window(top, left, bottom, right)
