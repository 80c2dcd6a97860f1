"""The anchors of an image: base anchors, tiling over levels, and where an anchor stands.

L levels, C anchors at one position (cell), a grid of (H, W) positions per level, A anchors in all, ordered by level,
row, column, cell. The anchors of one level and cell are a lattice: their x edges depend on the column alone and their
y edges on the row alone, which is what makes matching and drawing fast.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rpnviz.core.conventions import (
    BaseRounding,
    CellOrder,
    Conventions,
    RatioMeaning,
    StrideSource,
)
from rpnviz.core.inputs import frozen
from rpnviz.core.params import AnchorParams
from rpnviz.errors import ShapeError


class AnchorPlace(NamedTuple):
    """Where an anchor stands: indices of its level, grid row, grid column and cell shape."""

    level: int
    row: int
    column: int
    cell: int


@dataclass(frozen=True, eq=False)
class AnchorLevel:
    """The lattices of one feature map.

    Attributes:
        start: index of its first anchor.
        grid: (H, W) positions.
        stride: (y, x) input pixels between positions.
        x1, x2: (C, W) left and right edges per cell and column, input pixels.
        y1, y2: (C, H) top and bottom edges per cell and row, input pixels.
    """

    start: int
    grid: tuple[int, int]
    stride: tuple[float, float]
    x1: NDArray
    x2: NDArray
    y1: NDArray
    y2: NDArray

    @property
    def cells(self) -> int:
        """Anchors at one position."""
        return len(self.x1)

    @property
    def count(self) -> int:
        """Anchors of this level."""
        return self.grid[0] * self.grid[1] * self.cells

    @property
    def stop(self) -> int:
        """One past the index of its last anchor."""
        return self.start + self.count

    def boxes(self) -> NDArray:
        """(H * W * C, 4) xyxy, row, column, cell."""
        height, width = self.grid
        boxes = np.empty((height, width, self.cells, 4), self.x1.dtype)
        boxes[..., 0] = self.x1.T[None]
        boxes[..., 1] = self.y1.T[:, None]
        boxes[..., 2] = self.x2.T[None]
        boxes[..., 3] = self.y2.T[:, None]
        return boxes.reshape(-1, 4)


@dataclass(frozen=True, eq=False)
class Anchors:
    """All anchors of an image.

    Attributes:
        lattice: one entry per level.
        boxes: (A, 4) xyxy input pixels, in the framework's own dtype.
    """

    lattice: tuple[AnchorLevel, ...]
    boxes: NDArray

    def __len__(self) -> int:
        return len(self.boxes)

    @cached_property
    def levels(self) -> NDArray[np.uint8]:
        """(A,) level of every anchor."""
        counts = [level.count for level in self.lattice]
        return frozen(np.repeat(np.arange(len(counts), dtype=np.uint8), counts))

    def index(self, level: int, row: int, column: int, cell: int) -> int:
        """Index of the anchor at a place.

        Raises:
            IndexError: the place is not on the grid.
        """
        part = self.lattice[level]
        height, width = part.grid
        if not (0 <= row < height and 0 <= column < width and 0 <= cell < part.cells):
            raise IndexError(f"level {level} has {height} x {width} positions and {part.cells} cells")
        return part.start + (row * width + column) * part.cells + cell

    def place(self, index: int) -> AnchorPlace:
        """Inverse of :meth:`index`.

        Raises:
            IndexError: there is no such anchor.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"anchor {index} of {len(self)}")
        level = next(number for number, part in enumerate(self.lattice) if index < part.stop)
        part = self.lattice[level]
        position, cell = divmod(index - part.start, part.cells)
        return AnchorPlace(level, *divmod(position, part.grid[1]), cell)

    @classmethod
    def from_boxes(cls, boxes: NDArray) -> Anchors:
        """Arbitrary boxes (N, 4) as one level with a single position and N cells."""
        boxes = np.ascontiguousarray(boxes)
        columns = [boxes[:, k : k + 1] for k in range(4)]
        level = AnchorLevel(0, (1, 1), (0.0, 0.0), columns[0], columns[2], columns[1], columns[3])
        return cls((level,), frozen(boxes.copy()))


def base_anchors(sizes: Sequence[float], ratios: Sequence[float], conventions: Conventions) -> NDArray:
    """The anchors at one position, centred on the origin, (C, 4) xyxy.

    Convention:
        Size 32, ratio 0.5 (height / width), corners rounded: (-23, -11, 23, 11).

    Source: torchvision ``models/detection/anchor_utils.py: AnchorGenerator.generate_anchors``.
    """
    dtype = np.dtype(conventions.iou_dtype.value)
    scale = np.array(sizes, dtype)
    ratio = np.array(ratios, dtype)
    if conventions.ratio_meaning is RatioMeaning.WIDTH_OVER_HEIGHT:
        ratio = 1 / ratio
    height_factor = np.sqrt(ratio)
    width_factor = 1 / height_factor
    if conventions.cell_order is CellOrder.RATIO_SIZE:
        widths = (width_factor[:, None] * scale[None, :]).ravel()
        heights = (height_factor[:, None] * scale[None, :]).ravel()
    else:
        widths = (width_factor[None, :] * scale[:, None]).ravel()
        heights = (height_factor[None, :] * scale[:, None]).ravel()
    boxes = np.stack([-widths, -heights, widths, heights], axis=1) / 2
    if conventions.base_rounding is BaseRounding.CORNERS:
        boxes = np.round(boxes)
    return boxes.astype(dtype)


def grid_shapes(input_size: tuple[int, int], params: AnchorParams) -> list[tuple[int, int]]:
    """(H, W) positions per level of a backbone that halves with rounding up, from the padded size."""
    return [(math.ceil(input_size[0] / stride), math.ceil(input_size[1] / stride)) for stride in params.strides]


def make_anchors(
    input_size: tuple[int, int],
    params: AnchorParams,
    conventions: Conventions,
    shapes: Sequence[tuple[int, int]] | None = None,
) -> Anchors:
    """All anchors of an input of ``input_size`` (H, W) after padding.

    Args:
        input_size: padded size in pixels.
        params: strides, sizes and ratios per level.
        conventions: ``ratio_meaning``, ``base_rounding``, ``stride_source``, ``cell_order``, ``iou_dtype``.
        shapes: (H, W) of every feature map where known; None: as :func:`grid_shapes`.

    Raises:
        ShapeError: ``shapes`` has another number of levels than ``params``.

    Convention:
        torchvision's stride is padded side // feature side: a side of 800 with 13 rows gives 61, not 64.

    Source: torchvision ``models/detection/anchor_utils.py: AnchorGenerator.forward, grid_anchors``.
    """
    shapes = grid_shapes(input_size, params) if shapes is None else shapes
    if len(shapes) != len(params.strides):
        raise ShapeError(f"{len(shapes)} feature maps, expected {len(params.strides)}: one per stride.")
    dtype = np.dtype(conventions.iou_dtype.value)
    levels, start = [], 0
    for shape, nominal, sizes, ratios in zip(shapes, params.strides, params.sizes, params.aspect_ratios, strict=True):
        height, width = shape
        if conventions.stride_source is StrideSource.FEATURE_MAP:
            stride = (input_size[0] // height, input_size[1] // width)
        else:
            stride = (nominal, nominal)
        base = base_anchors(sizes, ratios, conventions)
        rows = (np.arange(height) * stride[0]).astype(dtype)
        columns = (np.arange(width) * stride[1]).astype(dtype)
        level = AnchorLevel(
            start,
            (height, width),
            (float(stride[0]), float(stride[1])),
            x1=frozen(columns[None] + base[:, 0:1]),
            x2=frozen(columns[None] + base[:, 2:3]),
            y1=frozen(rows[None] + base[:, 1:2]),
            y2=frozen(rows[None] + base[:, 3:4]),
        )
        levels.append(level)
        start = level.stop
    boxes = np.concatenate([level.boxes() for level in levels])
    return Anchors(tuple(levels), frozen(boxes))
