"""Which boxes lie at a point or in a rectangle, and which anchor stands beside another; plain arithmetic.

A quarter of a million boxes answer in a third of a millisecond where their four coordinates are contiguous float32
columns; strided views of (N, 4) take several times as long.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from rpnviz.core.anchors import Anchors
from rpnviz.core.boxes import box_iou
from rpnviz.core.proposals import Candidates, Decoded


class BoxIndex:
    """Boxes made ready for many questions. Turned corners are set right; a box that is not finite is never found."""

    def __init__(self, boxes: NDArray) -> None:
        """Copy xyxy boxes (N, 4) of any dtype into float32 columns."""
        with np.errstate(over="ignore"):
            x1, y1, x2, y2 = np.ascontiguousarray(boxes.T, dtype=np.float32)
        self.x1, self.x2 = np.minimum(x1, x2), np.maximum(x1, x2)
        self.y1, self.y2 = np.minimum(y1, y2), np.maximum(y1, y2)
        with np.errstate(invalid="ignore", over="ignore"):
            broken = ~np.isfinite((self.x2 - self.x1) + (self.y2 - self.y1))
        if broken.any():
            for column in (self.x1, self.x2, self.y1, self.y2):
                column[broken] = np.nan  # every comparison with it fails

    def __len__(self) -> int:
        return len(self.x1)

    def around(self, x: float, y: float, reach: float) -> NDArray[np.int64]:
        """Ascending rows of the boxes that contain a point, or come nearer to it than ``reach`` along each axis.

        These are the boxes whose inside or outline the point touches; :func:`outline_distance` tells which.
        """
        single = np.float32
        found = self.x1 <= single(x + reach)
        found &= self.x2 >= single(x - reach)
        found &= self.y1 <= single(y + reach)
        found &= self.y2 >= single(y - reach)
        return np.flatnonzero(found)

    def within(self, x1: float, y1: float, x2: float, y2: float) -> NDArray[np.int64]:
        """Ascending rows of the boxes that lie wholly inside a rectangle, its edge included."""
        single = np.float32
        found = self.x1 >= single(x1)
        found &= self.y1 >= single(y1)
        found &= self.x2 <= single(x2)
        found &= self.y2 <= single(y2)
        return np.flatnonzero(found)

    def nearest(self, x: float, y: float) -> int | None:
        """Row of the box whose centre is nearest to a point, the smallest among equals; None if there is no box."""
        single = np.float32
        with np.errstate(over="ignore"):
            far = np.square((self.x1 + self.x2) * single(0.5) - single(x))
            far += np.square((self.y1 + self.y2) * single(0.5) - single(y))
        far[np.isnan(far)] = np.inf
        if not len(far) or not np.isfinite(least := far.min()):
            return None
        # A rounding error must not decide between shapes of one cell.
        equal = np.flatnonzero(far <= least * single(1 + 1e-4) + single(1e-3))
        area = (self.x2[equal] - self.x1[equal]) * (self.y2[equal] - self.y1[equal])
        return int(equal[np.argmin(area)])


@lru_cache(maxsize=3)
def index_of(source: Anchors | Decoded | Candidates) -> BoxIndex:
    """The boxes of a part of a result, in input pixels; kept, because a threshold move changes none of them."""
    return BoxIndex(source.boxes_input if isinstance(source, Decoded) else source.boxes)


def outline_distance(boxes: NDArray, x: float, y: float) -> NDArray[np.float64]:
    """Distance of a point from each outline of (N, 4) boxes, (N,), in the same units; NaN where the box is."""
    with np.errstate(invalid="ignore", over="ignore"):
        outside_x = np.maximum(boxes[:, 0] - x, x - boxes[:, 2])
        outside_y = np.maximum(boxes[:, 1] - y, y - boxes[:, 3])
        outside = np.hypot(np.maximum(outside_x, 0), np.maximum(outside_y, 0))
        inside = -np.maximum(outside_x, outside_y)
        return np.where(inside > 0, inside, outside)


def best_overlap(boxes: NDArray, box: NDArray) -> int | None:
    """Row of the boxes (N, 4) that overlaps ``box`` (4,) most; None if none touches it."""
    if not len(boxes):
        return None
    iou = box_iou(boxes, box[None].astype(boxes.dtype))[:, 0]
    iou[np.isnan(iou)] = 0
    best = int(np.argmax(iou))
    return best if iou[best] > 0 else None


def neighbour(
    anchors: Anchors, index: int, *, rows: int = 0, columns: int = 0, levels: int = 0, cells: int = 0
) -> int | None:
    """The anchor some steps beside another; None where the grid, the levels or the shapes end.

    Args:
        anchors: with their lattice.
        index: where to start.
        rows, columns: steps on the grid of its level.
        levels: steps to coarser (positive) or finer levels; the cell with the nearest centre, of the same shape
            where the level has so many.
        cells: steps through the shapes at one position.
    """
    place = anchors.place(index)
    level = place.level + levels
    if not 0 <= level < len(anchors.lattice):
        return None
    part, row, column = anchors.lattice[level], place.row + rows, place.column + columns
    cell = place.cell + cells
    if levels:
        old = anchors.lattice[place.level]
        cell = min(cell, part.cells - 1)
        x = old.x1[place.cell, place.column] + old.x2[place.cell, place.column]
        y = old.y1[place.cell, place.row] + old.y2[place.cell, place.row]
        column = int(np.argmin(np.abs(part.x1[cell] + part.x2[cell] - x)))
        row = int(np.argmin(np.abs(part.y1[cell] + part.y2[cell] - y)))
    height, width = part.grid
    if not (0 <= row < height and 0 <= column < width and 0 <= cell < part.cells):
        return None
    return anchors.index(level, row, column, cell)
