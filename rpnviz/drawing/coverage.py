"""How many outlines cross every pixel: exact counts, by prefix sums for any boxes and by a product for lattices.

A quarter of a million outlines hide a photo however thin they are; their counts can be shown as a density instead.
An outline of 1 px is a filled box less the filled box inside of it, and a filled box is four entries in a difference
array that is summed along both axes: the cost is that of the frame plus eight entries per box, whatever their sizes.
The boxes of a lattice share their x edges by column and their y edges by row, so that all of its horizontal edges
together are an outer product of two profiles, and so are the vertical ones: one small matrix product counts a
quarter of a million outlines. Plain NumPy, compiled where that is worth it, so that a loop over pixels can
check both, and each the other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rpnviz.drawing.compiled import kernels

DENSITY_STRENGTH = 0.55
"""Opacity of the density at the 99th percentile of the pixels that any outline crosses."""
_ROWS = 32
"""Higher frames have their percentile from so many rows, at irregular distances that no lattice keeps in step with."""
_GOLDEN = (math.sqrt(5) - 1) / 2


class Lattice(NamedTuple):
    """Boxes at every pairing of a column with a row: pixels of their edges, inclusive, first <= last.

    Attributes:
        x1, x2: (columns,) left and right edges.
        y1, y2: (rows,) top and bottom edges.
    """

    x1: NDArray[np.integer]
    x2: NDArray[np.integer]
    y1: NDArray[np.integer]
    y2: NDArray[np.integer]


class Coverage:
    """Counts of 1 px outlines on frames of any size up to now; the buffer grows and is kept.

    Convention:
        A box (x1, y1, x2, y2) in whole pixels has its edges *on* columns x1, x2 and rows y1, y2. Each pixel of its
        outline counts once, corners too; a box of a single column, row or pixel is a line or a point. What lies
        outside the frame is cut off. Boxes with x2 < x1 or y2 < y1 are no boxes and count nothing.
    """

    def __init__(self) -> None:
        self._buffer = np.zeros(0, np.int32)

    def count(
        self, height: int, width: int, boxes: NDArray[np.integer], less: NDArray[np.integer] | None = None
    ) -> NDArray[np.int32]:
        """Outlines per pixel of a frame.

        Args:
            height, width: of the frame, px.
            boxes: (N, 4) whole pixels, edges inclusive; any integers that NumPy can hold.
            less: (K, 4) boxes whose outlines are taken off.

        Returns:
            (height, width) int32, overwritten by the next call.
        """
        sums = self._sums(height, width)
        for sign, given in ((1, boxes), (-1, less)):
            if given is not None and len(given):
                _scatter(sums, np.asarray(given).reshape(-1, 4), sign)
        np.cumsum(sums, axis=1, out=sums)
        # Row by row keeps the additions contiguous: cumsum along axis 0 takes three times as long.
        for row in range(1, height):
            np.add(sums[row - 1], sums[row], out=sums[row])
        return sums[:height, :width]

    def cut(
        self,
        out: NDArray[np.uint8],
        boxes: NDArray[np.int32],
        less: NDArray[np.int32] | None = None,
        base: NDArray[np.int32] | None = None,
    ) -> None:
        """Write counts, cut at 255, into ``out`` (H, W); faster than :meth:`count`.

        Args:
            out: the frame.
            boxes, less: as for :meth:`count`.
            base: (H, W) counts that are added.
        """
        height, width = out.shape
        loops = kernels()
        if loops is None:
            counts = self.count(height, width, boxes, less)
            if base is not None:
                np.add(counts, base, out=counts)
            np.minimum(counts, 255, out=out, casting="unsafe")
            return
        sums = self._sums(height, width)
        loops.enter(sums, boxes, 1)
        if less is not None and len(less):
            loops.enter(sums, less, -1)
        loops.total(sums, base, out)

    def _sums(self, height: int, width: int) -> NDArray[np.int32]:
        """An empty difference array; one more row and column take the ends of what reaches the border."""
        size = (height + 1) * (width + 1)
        if self._buffer.size < size:
            self._buffer = np.zeros(size, np.int32)
        sums = self._buffer[:size].reshape(height + 1, width + 1)
        sums.fill(0)
        return sums


def _scatter(sums: NDArray[np.int32], boxes: NDArray[np.integer], sign: int) -> None:
    """Enter boxes (N, 4) and, with the other sign, their insides into a difference array."""
    height, width = sums.shape[0] - 1, sums.shape[1] - 1
    x1, y1, x2, y2 = boxes.astype(np.intp, copy=False).T
    flat = sums.reshape(-1)
    for value, inset in ((sign, 0), (-sign, 1)):
        left, right = np.maximum(x1 + inset, 0), np.minimum(x2 - inset, width - 1) + 1
        top, bottom = np.maximum(y1 + inset, 0), np.minimum(y2 - inset, height - 1) + 1
        some = (left < right) & (top < bottom)
        if not some.all():
            left, right, top, bottom = left[some], right[some], top[some], bottom[some]
        top, bottom = top * (width + 1), bottom * (width + 1)
        np.add.at(flat, top + left, np.int32(value))
        np.add.at(flat, top + right, np.int32(-value))
        np.add.at(flat, bottom + left, np.int32(-value))
        np.add.at(flat, bottom + right, np.int32(value))


def count_lattices(
    height: int, width: int, lattices: Sequence[Lattice], out: NDArray[np.int32] | None = None
) -> NDArray[np.int32]:
    """Outlines per pixel of all boxes of lattices, the same as :meth:`Coverage.count` of each of their boxes.

    Args:
        height, width: of the frame, px.
        lattices: device px.
        out: (height, width) int32 that is overwritten; None: a new array is made.

    Returns:
        (height, width) int32.
    """
    # Two rows per lattice. Horizontal edges: rows that have one, times how many boxes each column lies in. Vertical
    # edges without the corners, which the horizontal ones have counted: the other way round.
    down = np.zeros((2 * len(lattices), height), np.int32)
    along = np.zeros((2 * len(lattices), width), np.int32)
    loops = kernels()
    fill = _profiles if loops is None else loops.profiles
    for number, (x1, x2, y1, y2) in enumerate(lattices):
        level, upright = 2 * number, 2 * number + 1
        fill(y1, y2, 1, down[level], down[upright])
        fill(x1, x2, 0, along[upright], along[level])
    if loops is None:
        # Of whole numbers, exact up to 16,777,216 outlines on one pixel.
        return (down.T.astype(np.float32) @ along.astype(np.float32)).astype(np.int32)
    counts = np.empty((height, width), np.int32) if out is None else out
    loops.product(down, along, counts)
    return counts


def _profiles(
    first: NDArray[np.integer],
    last: NDArray[np.integer],
    inset: int,
    edges: NDArray[np.int32],
    spans: NDArray[np.int32],
) -> None:
    """As :func:`rpnviz.drawing.compiled.profiles`."""
    size, apart = len(edges), last > first
    places = np.concatenate([first[(first >= 0) & (first < size)], last[apart & (last >= 0) & (last < size)]])
    edges += np.bincount(places, minlength=size).astype(np.int32)
    start = np.minimum(np.maximum(first.astype(np.intp) + inset, 0), size)
    stop = np.minimum(np.maximum(last.astype(np.intp) - inset + 1, 0), size)
    some = start < stop
    starts = np.bincount(start[some], minlength=size + 1) - np.bincount(stop[some], minlength=size + 1)
    spans += np.cumsum(starts)[:size].astype(np.int32)


def opacity_table(counts: NDArray[np.uint8], strength: float = DENSITY_STRENGTH) -> NDArray[np.uint8]:
    """(256,) uint8 opacity of every count, for counts (H, W) cut at 255, that leaves the photo readable.

    Convention:
        ``strength * log1p(count) / log1p(p99)``, p99 being the 99th percentile of the counts above 0, at most 1; of
        32 rows spread over the frame where there are more.
    """
    if len(counts) > _ROWS:
        counts = counts[np.sort((np.arange(1, _ROWS + 1) * _GOLDEN % 1 * len(counts)).astype(np.intp))]
    numbers = np.bincount(counts.reshape(-1), minlength=256)
    numbers[0] = 0
    below = np.cumsum(numbers)
    p99 = int(np.searchsorted(below, 0.99 * below[-1])) if below[-1] else 1
    table = strength * np.log1p(np.arange(256)) / math.log1p(max(p99, 1))
    return np.round(np.clip(table, 0, 1) * 255).astype(np.uint8)
