"""Best IoU per anchor and per ground-truth box, on the lattice, without an anchors x GT matrix.

Overlap is separable: on one lattice the width of the intersection depends on the column and its height on the row.
Only the window of positions that touch a box is visited, level by level; the visited elements go through the same
float operations in the same order as a dense matrix would, so values and ties are equal to the last bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rpnviz.core.anchors import AnchorLevel, Anchors
from rpnviz.core.boxes import box_areas
from rpnviz.core.compiled import Kernels, is_warm, kernels
from rpnviz.core.conventions import Conventions, UnionGuard
from rpnviz.core.inputs import frozen

WORTH_COMPILING = 3_000_000
"""Anchors times boxes from which on it pays to import numba and compile, if that has not been done yet."""
_LEAST_UNION = 1e-6
"""mmdet ``bbox_overlaps``, eps."""


@dataclass(frozen=True, eq=False)
class Overlaps:
    """What the thresholds are compared with.

    Attributes:
        best_iou: (A,) best IoU of every anchor, 0 where it touches no box or takes no part.
        best_gt: (A,) int32 row of ``boxes`` with that IoU, the lowest of equals; 0 where it touches none, -1 if K == 0.
        gt_best_iou: (K,) best IoU of every ground-truth box over the anchors that take part.
        gt_best_anchors: per box, the ascending indices of all anchors with exactly that IoU;
            None if it touches no anchor (then every anchor ties at 0).
    """

    best_iou: NDArray
    best_gt: NDArray[np.int32]
    gt_best_iou: NDArray
    gt_best_anchors: tuple[NDArray[np.int64] | None, ...]


def compute_overlaps(
    anchors: Anchors, boxes: NDArray, conventions: Conventions, allowed: NDArray[np.bool_] | None = None
) -> Overlaps:
    """Overlaps of the anchors with the trained ground truth.

    Args:
        anchors: A anchors.
        boxes: (K, 4) xyxy input pixels, the ground truth that is trained on.
        conventions: ``iou_pixels``, ``union_guard``; IoUs are taken in the dtype of the anchors.
        allowed: (A,) anchors that take part; None: all.

    Source: torchvision ``ops.boxes.box_iou``; mmdet ``bbox_overlaps``; Matterport ``utils.compute_overlaps``;
    py-faster-rcnn ``utils/bbox.pyx`` (order of the operations).
    """
    boxes = np.ascontiguousarray(boxes, dtype=anchors.boxes.dtype)
    work = len(boxes) * len(anchors)
    if work and (is_warm() or work >= WORTH_COMPILING) and (compiled := kernels()) is not None:
        return _compiled_overlaps(anchors, boxes, conventions, allowed, compiled)
    return _plain_overlaps(anchors, boxes, conventions, allowed)


def _compiled_overlaps(
    anchors: Anchors, boxes: NDArray, conventions: Conventions, allowed: NDArray[np.bool_] | None, compiled: Kernels
) -> Overlaps:
    dtype = boxes.dtype.type
    last = conventions.iou_pixels.extra
    # Without a guard the union of what overlaps is above any negative number.
    least = dtype(_LEAST_UNION if conventions.union_guard is UnionGuard.AT_LEAST_1E_6 else -np.inf)
    with np.errstate(over="ignore", invalid="ignore"):
        areas = box_areas(boxes, last)
    part = np.zeros(0, bool) if allowed is None else allowed
    best_iou = np.zeros(len(anchors), dtype)
    best_gt = np.zeros(len(anchors), np.int32)
    levels, peaks = [], []
    for level in anchors.lattice:
        arguments = (level.x1, level.y1, level.x2, level.y2, boxes, areas, dtype(last), least, part)
        of_level = np.zeros((level.cells, len(boxes)), dtype)
        compiled.visit(*arguments, best_iou, best_gt, of_level, level.start)
        levels.append(arguments)
        peaks.append(of_level)
    gt_best = np.max([of_level.max(axis=0) for of_level in peaks], axis=0)
    room = 4096
    while True:
        found, owner, count = np.empty(room, np.int64), np.empty(room, np.int64), 0
        for arguments, of_level, level in zip(levels, peaks, anchors.lattice, strict=True):
            pairs = np.argwhere((of_level == gt_best) & (gt_best > 0))
            count = compiled.collect(*arguments, pairs, gt_best, found, owner, count, level.start)
        if count <= room:
            break
        room = count
    found, owner = found[:count], owner[:count]
    order = np.lexsort((found, owner))
    ends = np.searchsorted(owner[order], np.arange(len(boxes) + 1))
    sorted_found = frozen(found[order])
    spans = zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True)
    best_anchors = tuple(sorted_found[low:high] if high > low else None for low, high in spans)
    return Overlaps(frozen(best_iou), frozen(best_gt), frozen(gt_best), best_anchors)


def _plain_overlaps(
    anchors: Anchors, boxes: NDArray, conventions: Conventions, allowed: NDArray[np.bool_] | None
) -> Overlaps:
    dtype = boxes.dtype
    total, count = len(anchors), len(boxes)
    best_iou = np.zeros(total, dtype)
    best_gt = np.full(total, -1 if count == 0 else 0, np.int32)
    gt_best = np.zeros(count, dtype)
    ties: list[list[NDArray[np.int64]]] = [[] for _ in range(count)]
    for level in anchors.lattice if count else ():
        height, width = level.grid
        # Cell-major while visiting, so that a window is a block of long rows; anchors are ordered cell-minor.
        iou_here = np.zeros((level.cells, height, width), dtype)
        gt_here = np.zeros((level.cells, height, width), np.int32)
        part = None if allowed is None else _by_cell(level, allowed)
        for k, rows, columns, iou in _windows(level, boxes, conventions):
            if part is not None:
                iou = np.where(part[:, rows, columns], iou, 0)
            seen = iou_here[:, rows, columns]
            better = iou > seen
            np.copyto(seen, iou, where=better)
            gt_here[:, rows, columns][better] = k
            peak = iou.max()
            if peak > 0 and peak >= gt_best[k]:
                if peak > gt_best[k]:
                    gt_best[k] = peak
                    ties[k].clear()
                cell, row, column = np.nonzero(iou == peak)
                place = (row + rows.start) * width + column + columns.start
                ties[k].append(level.start + place * level.cells + cell)
        best_iou[level.start : level.stop] = iou_here.transpose(1, 2, 0).ravel()
        best_gt[level.start : level.stop] = gt_here.transpose(1, 2, 0).ravel()
    best_anchors = tuple(frozen(np.sort(np.concatenate(found))) if found else None for found in ties)
    return Overlaps(frozen(best_iou), frozen(best_gt), frozen(gt_best), best_anchors)


def largest_overlap(anchors: Anchors, boxes: NDArray, conventions: Conventions, share_of: str = "union") -> NDArray:
    """(A,) the largest overlap of every anchor with any of some boxes (K, 4), 0 without any.

    Args:
        share_of: what the intersection is divided by: ``union``, ``anchor`` or ``box``.

    Source: mmdet ``bbox_overlaps(mode="iof")``; Matterport ``build_rpn_targets`` (crowds).
    """
    dtype = anchors.boxes.dtype
    boxes = boxes.astype(dtype, copy=False)
    largest = np.zeros(len(anchors), dtype)
    for level in anchors.lattice if len(boxes) else ():
        here = np.zeros((level.cells, *level.grid), dtype)
        for _, rows, columns, share in _windows(level, boxes, conventions, share_of=share_of):
            seen = here[:, rows, columns]
            np.maximum(seen, share, out=seen)
        largest[level.start : level.stop] = here.transpose(1, 2, 0).ravel()
    return largest


def overlaps_of(anchors: Anchors, box: NDArray, conventions: Conventions) -> tuple[NDArray[np.int64], NDArray]:
    """The anchors that touch a box (4,), ascending indices (N,), and their IoU with it, by the same operations."""
    found, values = [], []
    box = box[None].astype(anchors.boxes.dtype, copy=False)
    for level in anchors.lattice:
        for _, rows, columns, iou in _windows(level, box, conventions):
            cell, row, column = np.nonzero(iou > 0)
            place = (row + rows.start) * level.grid[1] + column + columns.start
            found.append(level.start + place * level.cells + cell)
            values.append(iou[cell, row, column])
    if not found:
        return np.zeros(0, np.int64), np.zeros(0, anchors.boxes.dtype)
    index, iou = np.concatenate(found), np.concatenate(values)
    order = np.argsort(index)
    return index[order], iou[order]


def pair_iou(anchors: NDArray, boxes: NDArray, conventions: Conventions) -> NDArray:
    """(N,) IoU of each anchor (N, 4) with its own box (N, 4), by the same operations as :func:`compute_overlaps`."""
    last = conventions.iou_pixels.extra
    boxes = boxes.astype(anchors.dtype, copy=False)
    with np.errstate(over="ignore", invalid="ignore"):
        across = (
            np.minimum(anchors[:, 2], boxes[:, 2]) - np.maximum(anchors[:, 0], boxes[:, 0]) + anchors.dtype.type(last)
        )
        down = (
            np.minimum(anchors[:, 3], boxes[:, 3]) - np.maximum(anchors[:, 1], boxes[:, 1]) + anchors.dtype.type(last)
        )
        overlap = np.maximum(across, 0) * np.maximum(down, 0)
        union = box_areas(anchors, last) + box_areas(boxes, last) - overlap
        return overlap / _guarded(union, conventions)


def _windows(
    level: AnchorLevel,
    boxes: NDArray,
    conventions: Conventions,
    share_of: str = "union",
) -> Iterator[tuple[int, slice, slice, NDArray]]:
    """Per box that touches the level: its row, the grid rows and columns it may touch, and (C, rows, columns) IoU."""
    last = conventions.iou_pixels.extra
    one = boxes.dtype.type(last)
    with np.errstate(over="ignore", invalid="ignore"):  # a box as large as float32 allows has an infinite area
        areas = box_areas(boxes, last)
        widths, heights = level.x2 - level.x1 + one, level.y2 - level.y1 + one
        own_area = heights[:, :, None] * widths[:, None, :]
        column_span = _spans(level.x1.min(axis=0), level.x2.max(axis=0) + one, boxes[:, 0], boxes[:, 2] + one)
        row_span = _spans(level.y1.min(axis=0), level.y2.max(axis=0) + one, boxes[:, 1], boxes[:, 3] + one)
        for k, ((c0, c1), (r0, r1)) in enumerate(zip(column_span, row_span, strict=True)):
            if c0 >= c1 or r0 >= r1:
                continue
            x1, y1, x2, y2 = boxes[k]
            rows, columns = slice(r0, r1), slice(c0, c1)
            across = np.minimum(level.x2[:, columns], x2) - np.maximum(level.x1[:, columns], x1)
            down = np.minimum(level.y2[:, rows], y2) - np.maximum(level.y1[:, rows], y1)
            if last:
                across += one
                down += one
            np.maximum(across, 0, out=across)
            np.maximum(down, 0, out=down)
            share = down[:, :, None] * across[:, None, :]
            if share_of == "union":
                whole = own_area[:, rows, columns] + areas[k]
                whole -= share
            elif share_of == "anchor":
                whole = own_area[:, rows, columns].copy()
            else:
                whole = np.full_like(share, areas[k])
            share /= _guarded(whole, conventions)
            yield k, rows, columns, share


def _guarded(union: NDArray, conventions: Conventions) -> NDArray:
    if conventions.union_guard is UnionGuard.AT_LEAST_1E_6:
        return np.maximum(union, union.dtype.type(_LEAST_UNION), out=union)
    return union


def _by_cell(level: AnchorLevel, flags: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(C, H, W) of the flags (A,) of a level."""
    return flags[level.start : level.stop].reshape(*level.grid, level.cells).transpose(2, 0, 1)


def _spans(low: NDArray, high: NDArray, box_low: NDArray, box_high: NDArray) -> list[tuple[int, int]]:
    """Per box, the half-open range of positions whose interval [low, high] reaches into it.

    ``low`` and ``high`` never fall along the lattice, so the range is contiguous.
    """
    first = np.searchsorted(high, box_low, side="right")
    last = np.searchsorted(low, box_high, side="left")
    return list(zip(first.tolist(), last.tolist(), strict=True))
