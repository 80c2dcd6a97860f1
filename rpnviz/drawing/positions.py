"""The positions of the feature maps on the image: where their centres lie, and which one a point belongs to."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from rpnviz.core.anchors import AnchorPlace, Anchors
from rpnviz.core.frame import Frame


@dataclass(frozen=True, eq=False)
class Grid:
    """The positions of one level, in original pixels.

    Attributes:
        level: its index.
        x, y: (W,) and (H,) centres of the columns and rows.
        step: (y, x) from one position to the next.
        stride: the same along x in input px.
    """

    level: int
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    step: tuple[float, float]
    stride: float

    def column(self, x: NDArray[np.floating]) -> NDArray[np.int64]:
        """Column that each x belongs to, -1 outside the grid; an edge belongs to the column on its right."""
        return _index(x, self.x, self.step[1])

    def row(self, y: NDArray[np.floating]) -> NDArray[np.int64]:
        """Row that each y belongs to, -1 outside the grid."""
        return _index(y, self.y, self.step[0])


def _index(values: NDArray[np.floating], centres: NDArray[np.float64], step: float) -> NDArray[np.int64]:
    index = np.floor((values - centres[0]) / step + 0.5)
    return np.where((index >= 0) & (index < len(centres)), index, -1).astype(np.int64)


@lru_cache(maxsize=4)
def grids(anchors: Anchors, frame: Frame) -> tuple[Grid, ...]:
    """The positions of every level.

    Convention:
        A centre is the middle of the first shape's box there: at offset 0 that of torchvision's first anchor lies on
        the image's corner.
    """
    found = []
    for number, level in enumerate(anchors.lattice):
        x = (frame.x_to_original(level.x1[0]) + frame.x_to_original(level.x2[0])) / 2
        y = (frame.y_to_original(level.y1[0]) + frame.y_to_original(level.y2[0])) / 2
        step = level.stride[0] / frame.scale[0], level.stride[1] / frame.scale[1]
        found.append(Grid(number, x, y, step, level.stride[1]))
    return tuple(found)


def positions_at(anchors: Anchors, frame: Frame, x: float, y: float) -> list[AnchorPlace]:
    """The position of every level that a point (original pixels) belongs to, as its first shape; levels without are
    left out."""
    places = []
    for grid in grids(anchors, frame):
        row, column = int(grid.row(np.array([y]))[0]), int(grid.column(np.array([x]))[0])
        if row >= 0 and column >= 0:
            places.append(AnchorPlace(grid.level, row, column, 0))
    return places
