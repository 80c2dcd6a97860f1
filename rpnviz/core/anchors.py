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
    AnchorFormula,
    BaseRounding,
    CellOrder,
    Conventions,
    OffsetUnit,
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


def recorded_anchors(
    boxes: NDArray, shapes: Sequence[tuple[int, int, int]], strides: Sequence[float] | Sequence[tuple[float, float]]
) -> Anchors:
    """Anchors as a trainer recorded them.

    Args:
        boxes: (A, 4) xyxy input pixels by level, row, column and cell.
        shapes: (cells, H, W) of every level.
        strides: input pixels between positions, of every level; one number, or (y, x).

    Raises:
        ShapeError: their number is not that of the levels, or they stand on no grid.
    """
    total = sum(cells * height * width for cells, height, width in shapes)
    if boxes.ndim != 2 or boxes.shape[1] != 4 or len(boxes) != total:
        raise ShapeError(f"the anchors have shape {boxes.shape}, expected ({total}, 4): one per logit.")
    levels: list[AnchorLevel] = []
    start = 0
    for (cells, height, width), stride in zip(shapes, strides, strict=True):
        part = boxes[start : start + cells * height * width].reshape(height, width, cells, 4)
        x1, x2 = (np.ascontiguousarray(part[0, :, :, side].T) for side in (0, 2))
        y1, y2 = (np.ascontiguousarray(part[:, 0, :, side].T) for side in (1, 3))
        vertical, horizontal = stride if isinstance(stride, tuple) else (stride, stride)
        level = AnchorLevel(start, (height, width), (float(vertical), float(horizontal)), x1, x2, y1, y2)
        if not np.array_equal(level.boxes(), part.reshape(-1, 4)):
            raise ShapeError(
                f"the anchors of level {len(levels)} do not stand on a grid of {height} x {width} positions."
            )
        levels.append(level)
        start = level.stop
    return Anchors(tuple(levels), frozen(np.ascontiguousarray(boxes)))


def level_name(stride: int, number: int) -> str:
    """P2 for stride 4, P3 for 8, ... as feature pyramids count; ``level 0`` where the stride is no power of two."""
    exponent = math.log2(stride)
    return f"P{int(exponent)}" if exponent.is_integer() else f"level {number}"


def base_anchors(params: AnchorParams, level: int, conventions: Conventions) -> NDArray:
    """The anchors of a level at its first cell, (C, 4) xyxy.

    Args:
        params: sizes, ratios and, where the offset counts in base sizes, the centre.
        level: index of the level.
        conventions: ``anchor_formula``, ``ratio_meaning``, ``base_rounding``, ``anchor_pixels``, ``offset_unit``,
            ``cell_order``, ``iou_dtype``.

    Convention:
        torchvision, size 32, ratio 0.5 (height / width), corners rounded: (-23, -11, 23, 11).

    Source: torchvision ``anchor_utils.py: AnchorGenerator.generate_anchors``; detectron2 ``DefaultAnchorGenerator``;
    mmdet ``anchor_generator.py: gen_single_level_base_anchors``; Matterport ``utils.generate_anchors``; py-faster-rcnn
    ``generate_anchors.py``; keras-retinanet ``utils/anchors.py: generate_anchors``.
    """
    base, scales = _base_and_scales(params, level)
    widths, heights = _sides(base, scales, params.level_sizes[level], params.aspect_ratios[level], conventions)
    last = conventions.anchor_pixels.extra
    dtype = widths.dtype.type
    centre = dtype(0)
    if conventions.offset_unit is OffsetUnit.BASE:
        centre = dtype(params.offset * (base - last))
    half_width, half_height = dtype(0.5) * (widths - dtype(last)), dtype(0.5) * (heights - dtype(last))
    boxes = np.stack([centre - half_width, centre - half_height, centre + half_width, centre + half_height], axis=1)
    if conventions.base_rounding is BaseRounding.CORNERS:
        boxes = np.round(boxes)
    return boxes.astype(conventions.iou_dtype.value)


def _base_and_scales(params: AnchorParams, level: int) -> tuple[float, tuple[float, ...]]:
    """Base size of a level and the factors that make its sizes; without base sizes the stride takes their place."""
    if isinstance(params.base_sizes, tuple):
        return params.base_sizes[level], params.scales
    stride = float(params.strides[level])
    return stride, tuple(size / stride for size in params.level_sizes[level])


def _sides(
    base: float, scales: Sequence[float], sizes: Sequence[float], ratios: Sequence[float], conventions: Conventions
) -> tuple[NDArray, NDArray]:
    """Widths and heights of the anchors of one cell, (C,) each, in the precision of the formula."""
    # Both arrays have one axis for ratios and one for sizes; the slower of them comes first.
    ratio_first = conventions.cell_order is CellOrder.RATIO_SIZE

    def of_ratio(values: NDArray) -> NDArray:
        return values[:, None] if ratio_first else values[None, :]

    def of_size(values: NDArray) -> NDArray:
        return values[None, :] if ratio_first else values[:, None]

    single, double = np.array(ratios, np.float32), np.array(ratios, np.float64)
    match conventions.anchor_formula:
        case AnchorFormula.ROOT_THEN_SIZE:
            root = np.sqrt(single)
            size = of_size(np.array(sizes, np.float32))
            along, across = of_ratio(root) * size, of_ratio(1 / root) * size
        case AnchorFormula.AREA:
            size = of_size(np.array(sizes, np.float64))
            across = np.sqrt(size * size / of_ratio(double))
            along = of_ratio(double) * across
        case AnchorFormula.BASE_ROOT_SCALE:
            root, scale = np.sqrt(single), of_size(np.array(scales, np.float32))
            unit = np.float32(base)
            if ratio_first:
                along, across = unit * of_ratio(root) * scale, unit * of_ratio(1 / root) * scale
            else:
                along, across = unit * scale * of_ratio(root), unit * scale * of_ratio(1 / root)
        case AnchorFormula.SIZE_TIMES_ROOT:
            root, size = np.sqrt(double), of_size(np.array(sizes, np.float64))
            along, across = size * of_ratio(root), size / of_ratio(root)
        case AnchorFormula.ROUNDED_RATIO:
            first = np.round(np.sqrt(base * base / double))
            second = np.round(first * double)
            scale = of_size(np.array(scales, np.float64))
            along, across = of_ratio(second) * scale, of_ratio(first) * scale
        case AnchorFormula.AREA_OF_SCALED:
            scaled = (np.float32(base) * np.array(scales, np.float32)).astype(np.float64)
            size, wide = of_size(scaled), of_ratio(single.astype(np.float64))
            across = np.sqrt(size * size / wide)
            along = across * wide
    along, across = np.broadcast_arrays(along, across)
    if conventions.ratio_meaning is RatioMeaning.HEIGHT_OVER_WIDTH:
        return across.ravel(), along.ravel()
    return along.ravel(), across.ravel()


def grid_shapes(input_size: tuple[int, int], params: AnchorParams) -> list[tuple[int, int]]:
    """(H, W) of every feature map of a backbone that halves with rounding up, from the padded size."""
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
        conventions: as :func:`base_anchors`, and ``stride_source``.
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
    for number, (shape, nominal) in enumerate(zip(shapes, params.strides, strict=True)):
        if conventions.stride_source is StrideSource.FEATURE_MAP:
            stride = (input_size[0] // shape[0], input_size[1] // shape[1])
        else:
            stride = (nominal, nominal)
        base = base_anchors(params, number, conventions)
        shift = params.offset if conventions.offset_unit is OffsetUnit.STRIDE else 0.0
        every = params.subsample
        rows, columns = (
            ((np.arange(0, count, every) + shift) * step).astype(dtype)
            for count, step in zip(shape, stride, strict=True)
        )
        level = AnchorLevel(
            start,
            (len(rows), len(columns)),
            (float(stride[0] * every), float(stride[1] * every)),
            x1=frozen(columns[None] + base[:, 0:1]),
            x2=frozen(columns[None] + base[:, 2:3]),
            y1=frozen(rows[None] + base[:, 1:2]),
            y2=frozen(rows[None] + base[:, 3:4]),
        )
        levels.append(level)
        start = level.stop
    boxes = np.concatenate([level.boxes() for level in levels])
    return Anchors(tuple(levels), frozen(boxes))
