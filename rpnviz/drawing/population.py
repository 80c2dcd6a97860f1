"""All boxes of one kind, from which layers choose: anchors as lattices, decoded boxes, candidates, ground truth."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from rpnviz.core.anchors import AnchorLevel, Anchors
from rpnviz.core.frame import Frame
from rpnviz.core.inputs import frozen
from rpnviz.drawing.compiled import kernels
from rpnviz.drawing.coverage import Lattice
from rpnviz.drawing.viewport import MARGIN, Viewport, device_boxes, device_edges

_WORTH_A_LOOP = 64
"""Boxes; fewer are not worth the arrays that a compiled loop is given."""


@dataclass(frozen=True, eq=False)
class Population:
    """N boxes.

    Attributes:
        boxes: (N, 4) xyxy; input pixels, or original pixels without a frame.
        frame: the two coordinate systems; None if the boxes are in original pixels.
        levels: the lattices that the boxes are made of, in their order; empty for arbitrary boxes.
    """

    boxes: NDArray
    frame: Frame | None = None
    levels: tuple[AnchorLevel, ...] = ()

    def __len__(self) -> int:
        return len(self.boxes)

    @cached_property
    def every_row(self) -> NDArray[np.int64]:
        """(N,) all rows; always the same array."""
        return frozen(np.arange(len(self)))

    def original(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """(K, 4) xyxy in original pixels of the boxes of some rows."""
        chosen = self.boxes[rows]
        return chosen.astype(np.float64, copy=False) if self.frame is None else self.frame.to_original(chosen)

    def device(self, rows: NDArray[np.int64], view: Viewport) -> NDArray[np.int32]:
        """(K, 4) px of the edges of the boxes of some rows, ascending, as :func:`device_boxes` of :meth:`original`."""
        if not self.levels:
            return self._placed(rows, view)
        pixels = np.empty((len(rows), 4), np.int32)
        starts = np.searchsorted(rows, [level.start for level in self.levels] + [len(self)])
        for level, edges, begin, end in zip(
            self.levels, _level_edges(self, view), starts[:-1].tolist(), starts[1:].tolist(), strict=True
        ):
            position, cell = np.divmod(rows[begin:end] - level.start, level.cells)
            row, column = np.divmod(position, level.grid[1])
            part = pixels[begin:end]
            part[:, 0], part[:, 2] = edges.x1[cell, column], edges.x2[cell, column]
            part[:, 1], part[:, 3] = edges.y1[cell, row], edges.y2[cell, row]
        return pixels

    def _placed(self, rows: NDArray[np.int64], view: Viewport) -> NDArray[np.int32]:
        """Arbitrary boxes; one loop over many of them is what a dozen passes would be."""
        loops = kernels()
        if loops is None or len(rows) < _WORTH_A_LOOP or self.boxes.dtype not in (np.float32, np.float64):
            return device_boxes(self.original(rows), view)
        corner, ratio = ((0, 0), (1.0, 1.0)) if self.frame is None else (self.frame.offset, self.frame.scale)
        pixels = np.empty((len(rows), 4), np.int32)
        loops.place(
            self.boxes,
            rows,
            np.array([corner[1], corner[0]] * 2, np.float64),
            np.array([ratio[1], ratio[0]] * 2, np.float64),
            np.array([view.scale, view.scale_y] * 2),
            np.array([view.dx, view.dy] * 2, np.float64),
            np.array([view.width, view.height] * 2, np.float64),
            MARGIN,
            pixels,
        )
        return pixels

    def lattices(self, view: Viewport) -> list[list[Lattice]]:
        """The lattices in px of a frame, by level and cell."""
        return [
            [Lattice(edges.x1[cell], edges.x2[cell], edges.y1[cell], edges.y2[cell]) for cell in range(len(edges.x1))]
            for edges in _level_edges(self, view)
        ]


@lru_cache(maxsize=8)
def _level_edges(population: Population, view: Viewport) -> tuple[Lattice, ...]:
    """Edges of every level in px, (cells, columns) and (cells, rows); kept, because a view is drawn many times."""
    frame = population.frame
    assert frame is not None
    levels = []
    for level in population.levels:
        x1, x2 = (
            device_edges(frame.x_to_original(edges), view.scale, view.dx, view.width) for edges in (level.x1, level.x2)
        )
        y1, y2 = (
            device_edges(frame.y_to_original(edges), view.scale_y, view.dy, view.height)
            for edges in (level.y1, level.y2)
        )
        levels.append(Lattice(x1, x2, y1, y2))
    return tuple(levels)


@lru_cache(maxsize=4)
def anchor_population(anchors: Anchors, frame: Frame) -> Population:
    """All anchors of a result; the same object for the same result."""
    return Population(anchors.boxes, frame, anchors.lattice)
