"""Greedy non-maximum suppression that remembers who suppressed whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rpnviz.core.conventions import Conventions, NmsCompare, Pixels, TieOrder
from rpnviz.core.inputs import frozen

_MATRIX_LIMIT = 2048
"""Groups up to this size keep their pairwise IoUs (16 MiB each), so that a new threshold costs only the greedy pass."""


@dataclass(frozen=True, eq=False)
class NmsGroup:
    """Boxes of one group in the order in which the greedy pass visits them.

    Attributes:
        order: (n,) positions in the caller's arrays, best score first.
        boxes: (n, 4) in that order.
        iou: (n, n) float32, upper triangle valid; None if the group is too large to keep it.
        last: 1 where the coordinates are inclusive pixels, else 0.
    """

    order: NDArray[np.int64]
    boxes: NDArray[np.float32]
    iou: NDArray[np.float32] | None
    last: np.float32


@dataclass(frozen=True, eq=False)
class NmsResult:
    """What the greedy pass kept.

    Attributes:
        kept: (n,) bool.
        suppressor: (n,) int64, the kept box that suppressed each; -1 for kept boxes.
        suppressor_iou: (n,) float32, IoU with it; 0 for kept boxes.
    """

    kept: NDArray[np.bool_]
    suppressor: NDArray[np.int64]
    suppressor_iou: NDArray[np.float32]


def by_falling_score(scores: NDArray, conventions: Conventions) -> NDArray[np.int64]:
    """Indices (n,) of scores (n,) from the best on; ``tie_order`` decides between equals."""
    if conventions.tie_order is TieOrder.HIGHER_INDEX:
        return np.argsort(scores, kind="stable")[::-1]
    return np.argsort(-scores, kind="stable")


def make_groups(
    boxes: NDArray[np.float32],
    scores: NDArray[np.float32],
    groups: NDArray,
    conventions: Conventions,
    shift: NDArray[np.float32] | None = None,
) -> tuple[NmsGroup, ...]:
    """Sort boxes (n, 4) by falling score inside each group (n,), and prepare their overlaps.

    Args:
        boxes: xyxy.
        scores: (n,).
        groups: (n,) boxes of different groups never meet.
        conventions: ``tie_order``, ``nms_pixels``.
        shift: (n,) added to all coordinates before IoUs are taken (the frameworks' offset trick rounds there).
    """
    if shift is not None:
        boxes = boxes + shift[:, None]
    by_score = by_falling_score(scores, conventions)
    last = np.float32(1 if conventions.nms_pixels is Pixels.INCLUSIVE else 0)
    result = []
    for group in np.unique(groups):
        order = by_score[groups[by_score] == group]
        ordered = np.ascontiguousarray(boxes[order])
        iou = _pairwise(ordered, last) if len(order) <= _MATRIX_LIMIT else None
        result.append(NmsGroup(frozen(order), frozen(ordered), iou if iou is None else frozen(iou), last))
    return tuple(result)


def suppress(groups: Sequence[NmsGroup], count: int, threshold: float, conventions: Conventions) -> NmsResult:
    """The greedy pass over every group.

    Args:
        groups: from :func:`make_groups`.
        count: n, number of boxes in all.
        threshold: a box goes if its IoU with a kept, better one is above this.
        conventions: ``nms_compare``.

    Convention:
        FLOAT64_THRESH: (0,0,100,100) and (0,0,100,60) at 0.6 are 0.6000000238 > 0.6, so the second is suppressed;
        FLOAT32_THRESH: it is kept.

    Source: torchvision ``csrc/ops/cpu/nms_kernel.cpp``; mmcv ``csrc/pytorch/cpu/nms.cpp``; py-faster-rcnn
    ``nms/cpu_nms.pyx``.
    """
    kept = np.zeros(count, bool)
    suppressor = np.full(count, -1, np.int64)
    suppressor_iou = np.zeros(count, np.float32)
    limit = _least_suppressing(threshold, conventions)
    for group in groups:
        size = len(group.order)
        by = np.full(size, -1, np.int64)
        alive = np.ones(size, bool)
        areas = _areas(group.boxes, group.last)
        for i in range(size):
            if not alive[i]:
                continue
            row = group.iou[i, i + 1 :] if group.iou is not None else _row(group.boxes, areas, i, group.last)
            hit = np.flatnonzero(row >= limit) + (i + 1)
            hit = hit[alive[hit]]
            if len(hit):
                alive[hit] = False
                by[hit] = i
                suppressor_iou[group.order[hit]] = row[hit - (i + 1)]
        kept[group.order[alive]] = True
        gone = np.flatnonzero(~alive)
        suppressor[group.order[gone]] = group.order[by[gone]]
    return NmsResult(frozen(kept), frozen(suppressor), frozen(suppressor_iou))


def _least_suppressing(threshold: float, conventions: Conventions) -> np.float32:
    """The smallest float32 IoU that suppresses, so that every comparison can stay in float32."""
    limit = np.float32(threshold)
    above = np.nextafter(limit, np.float32(np.inf))
    match conventions.nms_compare:
        case NmsCompare.FLOAT64_THRESH:
            return limit if float(limit) > threshold else above
        case NmsCompare.FLOAT32_THRESH:
            return above
        case NmsCompare.AT_LEAST_FLOAT64_THRESH:
            return limit if float(limit) >= threshold else above


def _areas(boxes: NDArray[np.float32], last: np.float32) -> NDArray[np.float32]:
    return (boxes[:, 2] - boxes[:, 0] + last) * (boxes[:, 3] - boxes[:, 1] + last)


def _row(boxes: NDArray[np.float32], areas: NDArray[np.float32], i: int, last: np.float32) -> NDArray[np.float32]:
    """IoU of box i with all later ones, float32, in torchvision's order of operations."""
    x1, y1, x2, y2 = boxes[i]
    rest = boxes[i + 1 :]
    with np.errstate(all="ignore"):
        width = np.minimum(rest[:, 2], x2) - np.maximum(rest[:, 0], x1) + last
        height = np.minimum(rest[:, 3], y2) - np.maximum(rest[:, 1], y1) + last
        overlap = np.maximum(width, 0) * np.maximum(height, 0)
        return overlap / (areas[i] + areas[i + 1 :] - overlap)


def _pairwise(boxes: NDArray[np.float32], last: np.float32) -> NDArray[np.float32]:
    """Upper triangle of the pairwise IoU (n, n), in blocks of rows so that temporaries stay small."""
    size = len(boxes)
    areas = _areas(boxes, last)
    columns = np.ascontiguousarray(boxes.T)
    result = np.zeros((size, size), np.float32)
    with np.errstate(all="ignore"):
        for start in range(0, size, 64):
            rows = columns[:, start : start + 64, None]
            rest = columns[:, None, start:]
            width = np.minimum(rows[2], rest[2])
            width -= np.maximum(rows[0], rest[0])
            width += last
            np.maximum(width, 0, out=width)
            overlap = np.minimum(rows[3], rest[3])
            overlap -= np.maximum(rows[1], rest[1])
            overlap += last
            np.maximum(overlap, 0, out=overlap)
            overlap *= width
            union = areas[start : start + 64, None] + areas[None, start:]
            union -= overlap
            np.divide(overlap, union, out=result[start : start + 64, start:])
    return result
