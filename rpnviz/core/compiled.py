"""The inner loop of matching, compiled where numba is installed; NumPy does the same without it, bit for bit.

NumPy's cost per call is what remains of matching on the lattice: 100 boxes on 5 levels are 500 windows of a dozen calls
each. Compiled, the same float operations in the same order take a sixth of the time. numba is imported, and the loops
compiled (once per machine, then cached on disk), when they are first worth it, never at import.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

_warm = False


def is_warm() -> bool:
    """Whether the loops are compiled already, so that even small work gains by them."""
    return _warm


class Kernels(NamedTuple):
    """Compiled loops over one level; see the plain functions below."""

    visit: Callable[..., None]
    collect: Callable[..., int]
    pairs: Callable[..., int]


def compiler() -> Callable[[Callable[..., Any]], Callable[..., Any]] | None:
    """What makes a plain loop a compiled one, when it is first called; None where numba is not installed."""
    try:
        import numba
    except ImportError:
        return None

    def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
        with contextlib.suppress(RuntimeError):  # no folder for the cache can be written
            return numba.njit(function, cache=True, error_model="numpy", nogil=True)
        return numba.njit(function, error_model="numpy", nogil=True)

    return compiled


@lru_cache(maxsize=1)
def kernels() -> Kernels | None:
    """The compiled loops; None where numba is not installed."""
    compiled = compiler()
    return None if compiled is None else Kernels(compiled(visit), compiled(collect), compiled(pairs))


def warm_up() -> None:
    """Compile for both precisions, or load from the cache, before somebody waits for it."""
    found = kernels()
    if found is None:
        return
    for dtype in (np.float32, np.float64):
        edges, box, none = np.zeros((1, 1), dtype), np.zeros((1, 4), dtype), np.zeros(0, bool)
        best, best_gt, peaks = np.zeros(1, dtype), np.zeros(1, np.int32), np.zeros((1, 1), dtype)
        common = (edges, edges, edges, edges, box, np.zeros(1, dtype), dtype(0), dtype(0), none)
        found.visit(*common, best, best_gt, peaks, 0)
        where, indices = np.zeros((1, 2), np.int64), np.zeros(1, np.int64)
        found.collect(*common, where, best, indices, indices, 0, 0)
    single = np.float32
    no_columns, no_iou = np.zeros(0, np.int32), np.zeros(0, single)
    found.pairs(
        np.zeros((1, 4), single), np.zeros(1, single), single(0), single(1), np.zeros(2, np.int64), no_columns, no_iou
    )
    global _warm
    _warm = True


def visit(x1, y1, x2, y2, boxes, areas, one, least_union, allowed, best, best_gt, peaks, start):  # type: ignore[no-untyped-def]
    """Find the best IoU of every anchor of one level, and of every box with its cells.

    Args:
        x1, x2: (C, W) edges per cell and column; y1, y2: (C, H) per cell and row.
        boxes: (K, 4); areas: (K,).
        one: 1 where pixels are inclusive, else 0, in the dtype of the boxes.
        least_union: the union is at least this.
        allowed: (A,) anchors that take part; empty: all.
        best: (A,) best IoU so far, updated; best_gt: (A,) its row of ``boxes``.
        peaks: (C, K) best IoU per cell and box, written.
        start: index of the level's first anchor.
    """
    cells, width = x1.shape
    height = y1.shape[1]
    some_barred = len(allowed) > 0
    nothing = one - one
    across, wide = np.empty(width, best.dtype), np.empty(width, best.dtype)
    for c in range(cells):
        for q in range(width):
            wide[q] = x2[c, q] - x1[c, q] + one
        for k in range(len(boxes)):
            gx1, gy1, gx2, gy2, area = boxes[k, 0], boxes[k, 1], boxes[k, 2], boxes[k, 3], areas[k]
            peak = nothing
            first, last = 0, width
            while first < last and x2[c, first] + one <= gx1:
                first += 1
            while last > first and x1[c, last - 1] >= gx2 + one:
                last -= 1
            for q in range(first, last):
                across[q] = min(x2[c, q], gx2) - max(x1[c, q], gx1) + one
            for r in range(height):
                down = min(y2[c, r], gy2) - max(y1[c, r], gy1) + one
                if not down > nothing:
                    continue
                side = y2[c, r] - y1[c, r] + one
                index = start + (r * width + first) * cells + c
                for q in range(first, last):
                    share = down * across[q]
                    if share > nothing and not (some_barred and not allowed[index]):
                        union = side * wide[q] + area - share
                        if union < least_union:
                            union = least_union
                        iou = share / union
                        if iou > best[index]:
                            best[index] = iou
                            best_gt[index] = k
                        if iou > peak:
                            peak = iou
                    index += cells
            peaks[c, k] = peak


def collect(x1, y1, x2, y2, boxes, areas, one, least_union, allowed, pairs, wanted, found, owner, count, start):  # type: ignore[no-untyped-def]
    """Find the anchors whose IoU with a box is exactly the wanted one.

    Args:
        pairs: (N, 2) cell and row of ``boxes`` to look through.
        wanted: (K,) IoU per box.
        found, owner: filled with anchor indices and their rows of ``boxes`` from ``count`` on, as far as they go.
        count: how many were found before.

    Returns:
        How many there are now.
    """
    cells, width = x1.shape
    height = y1.shape[1]
    for n in range(len(pairs)):
        c, k = pairs[n, 0], pairs[n, 1]
        gx1, gy1, gx2, gy2, area = boxes[k, 0], boxes[k, 1], boxes[k, 2], boxes[k, 3], areas[k]
        for r in range(height):
            down = min(y2[c, r], gy2) - max(y1[c, r], gy1) + one
            if not down > 0:
                continue
            side = y2[c, r] - y1[c, r] + one
            for q in range(width):
                across = min(x2[c, q], gx2) - max(x1[c, q], gx1) + one
                index = start + (r * width + q) * cells + c
                if across > 0 and (len(allowed) == 0 or allowed[index]):
                    share = down * across
                    union = side * (x2[c, q] - x1[c, q] + one) + area - share
                    if share / max(union, least_union) == wanted[k]:
                        if count < len(found):
                            found[count] = index
                            owner[count] = k
                        count += 1
    return count


def pairs(boxes, areas, last, floor, starts, columns, iou):  # type: ignore[no-untyped-def]
    """Pairs of boxes (n, 4) whose IoU is at least ``floor``, the earlier box first.

    Args:
        starts: (n + 1,) where the pairs of each box begin, written.
        columns, iou: the later box and the IoU of every pair, filled as far as they go.

    Returns:
        How many pairs there are.
    """
    count = 0
    for i in range(len(boxes)):
        x1, y1, x2, y2, area = boxes[i, 0], boxes[i, 1], boxes[i, 2], boxes[i, 3], areas[i]
        starts[i] = count
        for j in range(i + 1, len(boxes)):
            width = min(x2, boxes[j, 2]) - max(x1, boxes[j, 0]) + last
            height = min(y2, boxes[j, 3]) - max(y1, boxes[j, 1]) + last
            if width > 0 and height > 0:
                overlap = height * width
                share = overlap / (area + areas[j] - overlap)
                if share >= floor:
                    if count < len(columns):
                        columns[count] = j
                        iou[count] = share
                    count += 1
    starts[len(boxes)] = count
    return count
