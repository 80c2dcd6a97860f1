"""Greedy non-maximum suppression that remembers who suppressed whom."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rpnviz.core.boxes import box_areas
from rpnviz.core.compiled import is_warm, kernels
from rpnviz.core.conventions import Conventions, NmsCompare, TieOrder
from rpnviz.core.inputs import frozen

KEPT_FROM = np.float32(0.25)
"""Overlaps from here on are kept, so that a new threshold costs only the greedy pass; below, rows are computed anew."""
_MAX_PAIRS = 8_000_000
"""A group with more overlapping pairs than this (64 MiB) keeps none of them."""
_PAIRS_PER_BOX = 64
_BLOCK = 64


@dataclass(frozen=True, eq=False)
class NmsGroup:
    """Boxes of one group in the order in which the greedy pass visits them.

    Attributes:
        order: (n,) positions in the caller's arrays, best score first.
        boxes: (n, 4) in that order.
        starts: (n + 1,) where the later boxes that overlap each box begin in ``columns``; None if there are too many.
        columns: (p,) positions of those boxes, ascending for each box.
        iou: (p,) float32 their IoU, at least the floor.
        last: 1 where the coordinates are inclusive pixels, else 0.
    """

    order: NDArray[np.int64]
    boxes: NDArray[np.float32]
    starts: NDArray[np.int64] | None
    columns: NDArray[np.int32]
    iou: NDArray[np.float32]
    last: np.float32

    def overlapping(self, limit: np.float32, alive: NDArray[np.bool_]) -> Iterator[tuple[int, NDArray, NDArray]]:
        """Boxes from the best on with the later ones whose IoU with it is at least ``limit``, and those IoUs.

        Boxes that overlap none need not come, nor those that are not ``alive`` when their turn comes.
        """
        if self.starts is not None and limit >= KEPT_FROM:
            pairs = np.flatnonzero(self.iou >= limit)
            columns, iou = self.columns[pairs], self.iou[pairs]
            owners = np.searchsorted(self.starts, pairs, side="right") - 1
            rows, begins = np.unique(owners, return_index=True)
            ends = np.append(begins, len(owners))[1:]
            for row, begin, end in zip(rows.tolist(), begins.tolist(), ends.tolist(), strict=True):
                yield row, columns[begin:end], iou[begin:end]
            return
        areas = box_areas(self.boxes, self.last)
        for i in range(len(self.order)):
            if not alive[i]:
                continue
            row_iou = _row(self.boxes, areas, i, self.last)
            hit = np.flatnonzero(row_iou >= limit)
            yield i, hit + (i + 1), row_iou[hit]


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
    last = np.float32(conventions.nms_pixels.extra)
    result = []
    for group in np.unique(groups):
        order = by_score[groups[by_score] == group]
        ordered = np.ascontiguousarray(boxes[order])
        result.append(NmsGroup(frozen(order), frozen(ordered), *_pairs(ordered, last), last))
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
        for i, hit, iou in group.overlapping(limit, alive):
            if not alive[i]:
                continue
            fresh = alive[hit]
            hit = hit[fresh]
            alive[hit] = False
            by[hit] = i
            suppressor_iou[group.order[hit]] = iou[fresh]
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


def _row(boxes: NDArray[np.float32], areas: NDArray[np.float32], i: int, last: np.float32) -> NDArray[np.float32]:
    """IoU of box i with all later ones, float32, in torchvision's order of operations."""
    x1, y1, x2, y2 = boxes[i]
    rest = boxes[i + 1 :]
    with np.errstate(all="ignore"):
        width = np.minimum(rest[:, 2], x2) - np.maximum(rest[:, 0], x1) + last
        height = np.minimum(rest[:, 3], y2) - np.maximum(rest[:, 1], y1) + last
        overlap = np.maximum(width, 0) * np.maximum(height, 0)
        return overlap / (areas[i] + areas[i + 1 :] - overlap)


def _pairs(
    boxes: NDArray[np.float32], last: np.float32
) -> tuple[NDArray[np.int64] | None, NDArray[np.int32], NDArray[np.float32]]:
    """``starts``, ``columns`` and ``iou`` of the pairs from the floor on."""
    areas = box_areas(boxes, last)
    compiled = kernels() if is_warm() else None
    if compiled is not None:
        starts, room = np.zeros(len(boxes) + 1, np.int64), _PAIRS_PER_BOX * len(boxes)
        while True:
            later, shares = np.empty(room, np.int32), np.empty(room, np.float32)
            count = compiled.pairs(boxes, areas, last, KEPT_FROM, starts, later, shares)
            if count > _MAX_PAIRS:
                return None, later[:0], shares[:0]
            if count <= room:
                return frozen(starts), frozen(later[:count]), frozen(shares[:count])
            room = count
    found_columns, found_iou, counts, total = [], [], np.zeros(len(boxes) + 1, np.int64), 0
    for start in range(0, len(boxes), _BLOCK):
        block = _block(boxes, areas, start, last)
        block[np.tril_indices(len(block), 0, block.shape[1])] = 0
        rows, columns = np.nonzero(block >= KEPT_FROM)
        total += len(rows)
        if total > _MAX_PAIRS:
            return None, np.zeros(0, np.int32), np.zeros(0, np.float32)
        counts[start + 1 : start + 1 + len(block)] = np.bincount(rows, minlength=len(block))
        found_columns.append((columns + start).astype(np.int32))
        found_iou.append(block[rows, columns])
    if not found_iou:
        return frozen(counts), np.zeros(0, np.int32), np.zeros(0, np.float32)
    return frozen(np.cumsum(counts)), frozen(np.concatenate(found_columns)), frozen(np.concatenate(found_iou))


def _block(boxes: NDArray[np.float32], areas: NDArray[np.float32], start: int, last: np.float32) -> NDArray[np.float32]:
    """IoU of some boxes from ``start`` on with all from there on, (rows, n - start)."""
    columns = boxes.T
    rows, rest = columns[:, start : start + _BLOCK, None], columns[:, None, start:]
    with np.errstate(all="ignore"):
        width = np.minimum(rows[2], rest[2])
        width -= np.maximum(rows[0], rest[0])
        width += last
        np.maximum(width, 0, out=width)
        overlap = np.minimum(rows[3], rest[3])
        overlap -= np.maximum(rows[1], rest[1])
        overlap += last
        np.maximum(overlap, 0, out=overlap)
        overlap *= width
        union = areas[start : start + _BLOCK, None] + areas[None, start:]
        union -= overlap
        return np.divide(overlap, union, out=overlap)
