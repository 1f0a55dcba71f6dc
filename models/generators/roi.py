"""Parts of pictures: where only some of a picture is wanted, a network need not draw the rest.

The fine layers of StyleGAN2 see three pixels far: a part of a block's picture needs half of it, and a little
more on each side, of the block before. What is drawn of a part is, but for rounding, what the whole would show there.
"""

from __future__ import annotations

from dataclasses import dataclass

REACH = 3  # pixels next to a cut that a block (doubling with its filter, two 3x3 convolutions) cannot draw rightly


@dataclass(frozen=True)
class Box:
    """Pixels of a square picture: rows ``top`` up to ``bottom``, columns ``left`` up to ``right``, from its top left corner."""

    top: int
    bottom: int
    left: int
    right: int

    @classmethod
    def whole(cls, size: int) -> Box:
        return cls(0, size, 0, size)

    @property
    def height(self) -> int:
        return self.bottom - self.top

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def place(self) -> tuple[slice, slice]:
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def inside(self, other: Box) -> Box:
        """The same pixels, counted from the corner of ``other``."""
        return Box(self.top - other.top, self.bottom - other.top, self.left - other.left, self.right - other.left)

    def doubled(self) -> Box:
        return Box(2 * self.top, 2 * self.bottom, 2 * self.left, 2 * self.right)

    def halved(self) -> Box:
        """Of a box of even edges what it is of the picture of half its size."""
        return Box(self.top // 2, self.bottom // 2, self.left // 2, self.right // 2)

    def source(self, size: int) -> Box:
        """What a block needs of the one before, of ``size``² pixels, to draw this box rightly."""
        low = (max((edge - REACH) // 2, 0) for edge in (self.top, self.left))
        high = (min((edge + REACH + 1) // 2, size) for edge in (self.bottom, self.right))
        (top, left), (bottom, right) = low, high
        return Box(top, bottom, left, right)


def drawn_parts(box: Box, sizes: list[int]) -> list[Box]:
    """What each block, of ``sizes`` from coarse to fine, has to draw for ``box`` of the last one's picture."""
    parts = []
    for size in reversed(sizes[:-1]):
        box = box.source(size)
        parts.append(box.doubled())
    return [Box.whole(sizes[0]), *reversed(parts)]
