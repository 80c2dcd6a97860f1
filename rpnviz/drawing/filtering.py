"""Which boxes pass the user's filter."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from rpnviz.core.anchors import level_name
from rpnviz.core.boxes import best_cover
from rpnviz.core.pipeline import Result
from rpnviz.core.proposals import sigmoid
from rpnviz.drawing.options import EVERY_BOX, BoxFilter


def passing(
    result: Result,
    only: BoxFilter,
    ids: NDArray[np.int64],
    boxes: NDArray | None = None,
    scores: NDArray[np.float32] | None = None,
) -> NDArray[np.bool_]:
    """(K,) whether each box passes.

    Args:
        result: of the boxes.
        only: the filter.
        ids: (K,) anchor indices that the boxes are, or come from.
        boxes: (K, 4) the boxes at the input if they are not the anchors themselves; IoU and size are then theirs.
        scores: (K,) objectness probabilities; None: those of the decoded boxes, if there are any.

    Convention:
        A range holds both its ends. A best IoU of NaN is none and passes no range but the full one.
    """
    passes = np.ones(len(ids), bool)
    if only == EVERY_BOX:
        return passes
    anchors = result.anchors
    if only.sampled and boxes is None:
        drawn = np.zeros(len(anchors), bool)
        drawn[result.sample.positive] = True
        drawn[result.sample.negative] = True
        passes &= drawn[ids]
    if only.level is not None:
        passes &= anchors.levels[ids] == only.level
    if only.shape is not None:
        passes &= _cells(result, ids) == only.shape
    if only.position is not None:
        first, last = _position(result, only.position)
        passes &= (ids >= first) & (ids < last)
    if only.iou != (0.0, 1.0):
        passes &= _within(best_iou_of(result, ids, boxes), only.iou)
    if only.score != (0.0, 1.0):
        if scores is None and result.decoded is not None:
            scores = sigmoid(result.decoded.objectness[ids])
        if scores is not None:
            passes &= _within(scores, only.score)
    if only.size != (0.0, math.inf):
        chosen = anchors.boxes[ids] if boxes is None else boxes
        with np.errstate(invalid="ignore", over="ignore"):
            area = (chosen[:, 2] - chosen[:, 0]) * (chosen[:, 3] - chosen[:, 1])
            passes &= _within(np.sqrt(area), only.size)
    return passes


def best_iou_of(result: Result, ids: NDArray[np.int64], boxes: NDArray | None) -> NDArray:
    """(K,) best IoU with the trained ground truth, of anchors or of the boxes (K, 4) that came from them."""
    if boxes is None:
        return result.match.best_iou[ids]
    return best_cover(boxes, result.gt.boxes[result.gt.trained])[0]


def _within(values: NDArray, limits: tuple[float, float]) -> NDArray[np.bool_]:
    return (values >= limits[0]) & (values <= limits[1])


def _cells(result: Result, ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """(K,) shape of every anchor at its position."""
    starts = np.array([level.start for level in result.anchors.lattice])
    counts = np.array([level.cells for level in result.anchors.lattice])
    levels = result.anchors.levels[ids]
    return (ids - starts[levels]) % counts[levels]


def _position(result: Result, position: tuple[int, int, int]) -> tuple[int, int]:
    """First anchor of a position, and the one after its last; an empty range if it is not on the grid."""
    number, row, column = position
    if not 0 <= number < len(result.anchors.lattice):
        return 0, 0
    level = result.anchors.lattice[number]
    if not (0 <= row < level.grid[0] and 0 <= column < level.grid[1]):
        return 0, 0
    first = result.anchors.index(number, row, column, 0)
    return first, first + level.cells


def filter_text(result: Result, only: BoxFilter) -> str:
    """The filter in a few words, such as ``P3 · shape 2 · mini-batch``; empty if every box passes."""
    parts = []
    if only.level is not None:
        parts.append(level_name(result.params.anchors.strides[only.level], only.level))
    if only.shape is not None:
        parts.append(f"shape {only.shape + 1}")
    if only.position is not None:
        level, row, column = only.position
        parts.append(f"{level_name(result.params.anchors.strides[level], level)} row {row} col {column}")
    if only.sampled:
        parts.append("mini-batch")
    for name, limits, full in (("IoU", only.iou, (0.0, 1.0)), ("score", only.score, (0.0, 1.0))):
        if limits != full:
            parts.append(f"{name} {limits[0]:g} to {limits[1]:g}")
    if only.size != (0.0, math.inf):
        low, high = only.size
        parts.append(f"size from {low:g} px" if math.isinf(high) else f"size {low:g} to {high:g} px")
    return " · ".join(parts)
