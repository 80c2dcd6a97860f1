"""How many outlines cross every pixel: exact counts of any number of boxes, by prefix sums.

A quarter of a million outlines hide a photo however thin they are; their counts can be shown as a density instead.
One horizontal edge is two entries in a difference array that is summed along x, one vertical edge two entries in one
that is summed along y, so the cost is that of the frame plus a few scatters per box, whatever the boxes' sizes.
Plain NumPy, so that a loop over pixels can check it.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

DENSITY_STRENGTH = 0.55
"""Opacity of the density at the 99th percentile of the pixels that any outline crosses."""
_PIECE = 1 << 22
"""Pixels that are looked at together."""


class Coverage:
    """Counts of 1 px outlines on a frame of ``height`` by ``width`` pixels; buffers are made once.

    Convention:
        A box (x1, y1, x2, y2) in whole pixels has its edges *on* columns x1, x2 and rows y1, y2. Each pixel of its
        outline counts once, corners too; a box of a single column, row or pixel is a line or a point. What lies
        outside the frame is cut off. Boxes with x2 < x1 or y2 < y1 are no boxes and count nothing.
    """

    def __init__(self, height: int, width: int) -> None:
        self.height, self.width = height, width
        # One more column (row) takes the end of an edge that reaches the border.
        self._along_x = np.zeros((height, width + 1), np.int32)
        self._along_y = np.zeros((height + 1, width), np.int32)
        self._counts = np.zeros((height, width), np.int32)

    def clear(self) -> None:
        """Forget all boxes."""
        self._along_x.fill(0)
        self._along_y.fill(0)

    def add(self, boxes: NDArray[np.integer]) -> None:
        """Count the outlines of boxes (N, 4): whole pixels, edges inclusive; any integers that NumPy can hold."""
        x1, y1, x2, y2 = np.asarray(boxes).reshape(-1, 4).astype(np.intp, copy=False).T
        sound = (x2 >= x1) & (y2 >= y1) & (x2 >= 0) & (y2 >= 0) & (x1 < self.width) & (y1 < self.height)
        if not sound.all():
            x1, y1, x2, y2 = x1[sound], y1[sound], x2[sound], y2[sound]
        if not len(x1):
            return
        # Horizontal edges: the row of the top edge, and that of the bottom edge unless it is the same.
        start, stop = np.maximum(x1, 0), np.minimum(x2, self.width - 1) + 1
        top, bottom = y1 >= 0, (y2 < self.height) & (y2 > y1)
        for rows, inside in ((y1, top), (y2, bottom)):
            self._scatter(self._along_x, rows[inside], start[inside], 1)
            self._scatter(self._along_x, rows[inside], stop[inside], -1)
        # Vertical edges without the corners, which the horizontal ones have counted.
        start, stop = np.maximum(y1 + 1, 0), np.minimum(y2 - 1, self.height - 1) + 1
        open_ = stop > start
        left, right = (x1 >= 0) & open_, (x2 < self.width) & (x2 > x1) & open_
        for columns, inside in ((x1, left), (x2, right)):
            self._scatter(self._along_y, start[inside], columns[inside], 1)
            self._scatter(self._along_y, stop[inside], columns[inside], -1)

    @staticmethod
    def _scatter(buffer: NDArray[np.int32], rows: NDArray[np.intp], columns: NDArray[np.intp], value: int) -> None:
        """Add ``value`` at every (row, column), repeated places repeatedly."""
        np.add.at(buffer.reshape(-1), rows * buffer.shape[1] + columns, np.int32(value))

    def counts(self) -> NDArray[np.int32]:
        """(height, width) outlines per pixel; the array is overwritten by the next call."""
        counts, down = self._counts, self._along_y
        np.cumsum(self._along_x[:, :-1], axis=1, out=counts)
        # Summing down y row by row keeps the additions contiguous: cumsum along axis 0 takes twice as long.
        running = down[0].copy()
        counts[0] += running
        for row in range(1, self.height):
            running += down[row]
            counts[row] += running
        return counts


def opacity_table(counts: NDArray[np.uint8], strength: float = DENSITY_STRENGTH) -> NDArray[np.uint8]:
    """(256,) uint8 opacity of every count, for counts (H, W) cut at 255, that leaves the photo readable.

    Convention:
        ``strength * log1p(count) / log1p(p99)``, p99 being the 99th percentile of the counts above 0, at most 1.
    """
    flat = counts.reshape(-1)
    # bincount turns its input into 8 bytes per pixel, hence the pieces.
    numbers = sum(
        (np.bincount(flat[start : start + _PIECE], minlength=256) for start in range(0, len(flat), _PIECE)),
        start=np.zeros(256, np.int64),
    )
    numbers[0] = 0
    below = np.cumsum(numbers)
    p99 = int(np.searchsorted(below, 0.99 * below[-1])) if below[-1] else 1
    table = strength * np.log1p(np.arange(256)) / math.log1p(max(p99, 1))
    return np.round(np.clip(table, 0, 1) * 255).astype(np.uint8)
