"""Best IoU per anchor and per ground-truth box, on the lattice, without an anchors x GT matrix.

Overlap is separable: on one lattice the width of the intersection depends on the column and its height on the row.
Only the window of positions that touch a box is visited, level by level; the visited elements go through the same
float operations in the same order as a dense matrix would, so values and ties are equal to the last bit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rpnviz.core.anchors import AnchorLevel, Anchors
from rpnviz.core.inputs import frozen


@dataclass(frozen=True, eq=False)
class Overlaps:
    """What the thresholds are compared with.

    Attributes:
        best_iou: (A,) best IoU of every anchor, 0 where it touches no box.
        best_gt: (A,) int32 row of ``boxes`` with that IoU, the lowest of equals; 0 where it touches none, -1 if K == 0.
        gt_best_iou: (K,) best IoU of every ground-truth box.
        gt_best_anchors: per box, the ascending indices of all anchors with exactly that IoU;
            None if it touches no anchor (then every anchor ties at 0).
    """

    best_iou: NDArray
    best_gt: NDArray[np.int32]
    gt_best_iou: NDArray
    gt_best_anchors: tuple[NDArray[np.int64] | None, ...]


def compute_overlaps(anchors: Anchors, boxes: NDArray) -> Overlaps:
    """Overlaps of all anchors with the trained ground truth.

    Args:
        anchors: A anchors.
        boxes: (K, 4) xyxy input pixels, the ground truth that is trained on, in the dtype of the anchors.

    Source: torchvision ``ops.boxes.box_iou`` (order of the operations), ``models/detection/_utils.py: Matcher``.
    """
    dtype = anchors.boxes.dtype
    boxes = boxes.astype(dtype, copy=False)
    total, count = len(anchors), len(boxes)
    best_iou = np.zeros(total, dtype)
    best_gt = np.full(total, -1 if count == 0 else 0, np.int32)
    gt_best = np.zeros(count, dtype)
    ties: list[list[NDArray[np.int64]]] = [[] for _ in range(count)]
    if count:
        with np.errstate(over="ignore", invalid="ignore"):  # a box as large as float32 allows has an infinite area
            areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
            for level in anchors.lattice:
                _visit_level(level, boxes, areas, best_iou, best_gt, gt_best, ties)
    return Overlaps(
        frozen(best_iou),
        frozen(best_gt),
        frozen(gt_best),
        tuple(frozen(np.sort(np.concatenate(found))) if found else None for found in ties),
    )


def _visit_level(
    level: AnchorLevel,
    boxes: NDArray,
    areas: NDArray,
    best_iou: NDArray,
    best_gt: NDArray[np.int32],
    gt_best: NDArray,
    ties: list[list[NDArray[np.int64]]],
) -> None:
    """Update the running bests with one level; ``ties`` and ``gt_best`` change in place."""
    height, width = level.grid
    cells = level.cells
    own_area = (level.y2 - level.y1)[:, :, None] * (level.x2 - level.x1)[:, None, :]
    # Cell-major while visiting, so that a window is a block of long rows; anchors are ordered cell-minor.
    iou_here = np.zeros((cells, height, width), best_iou.dtype)
    gt_here = np.zeros((cells, height, width), np.int32)
    left, right = level.x1.min(axis=0), level.x2.max(axis=0)
    top, bottom = level.y1.min(axis=0), level.y2.max(axis=0)
    column_span = _spans(left, right, boxes[:, 0], boxes[:, 2])
    row_span = _spans(top, bottom, boxes[:, 1], boxes[:, 3])
    for k, ((c0, c1), (r0, r1)) in enumerate(zip(column_span, row_span, strict=True)):
        if c0 >= c1 or r0 >= r1:
            continue
        x1, y1, x2, y2 = boxes[k]
        across = np.minimum(level.x2[:, c0:c1], x2) - np.maximum(level.x1[:, c0:c1], x1)
        down = np.minimum(level.y2[:, r0:r1], y2) - np.maximum(level.y1[:, r0:r1], y1)
        np.maximum(across, 0, out=across)
        np.maximum(down, 0, out=down)
        iou = down[:, :, None] * across[:, None, :]
        union = own_area[:, r0:r1, c0:c1] + areas[k]
        union -= iou
        iou /= union
        seen = iou_here[:, r0:r1, c0:c1]
        better = iou > seen
        np.copyto(seen, iou, where=better)
        gt_here[:, r0:r1, c0:c1][better] = k
        peak = iou.max()
        if peak > 0 and peak >= gt_best[k]:
            if peak > gt_best[k]:
                gt_best[k] = peak
                ties[k].clear()
            cell, row, column = np.nonzero(iou == peak)
            ties[k].append(level.start + ((row + r0) * width + column + c0) * cells + cell)
    span = slice(level.start, level.stop)
    best_iou[span] = iou_here.transpose(1, 2, 0).ravel()
    best_gt[span] = gt_here.transpose(1, 2, 0).ravel()


def _spans(low: NDArray, high: NDArray, box_low: NDArray, box_high: NDArray) -> list[tuple[int, int]]:
    """Per box, the half-open range of positions whose interval [low, high] reaches into it.

    ``low`` and ``high`` never fall along the lattice, so the range is contiguous.
    """
    first = np.searchsorted(high, box_low, side="right")
    last = np.searchsorted(low, box_high, side="left")
    return list(zip(first.tolist(), last.tolist(), strict=True))
