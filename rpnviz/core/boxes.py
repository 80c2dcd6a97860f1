"""Arrays of xyxy boxes: areas, overlaps of small sets, clipping."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def box_areas(boxes: NDArray, extra: float | np.floating = 0) -> NDArray:
    """Width times height, (N,), in the dtype of ``boxes`` (N, 4); negative where one side is negative.

    ``extra``: what a side has beyond the difference of its coordinates, see ``Pixels.extra``.
    """
    one = boxes.dtype.type(extra)
    return (boxes[:, 2] - boxes[:, 0] + one) * (boxes[:, 3] - boxes[:, 1] + one)


def box_iou(a: NDArray, b: NDArray) -> NDArray:
    """IoU of every box of ``a`` (N, 4) with every box of ``b`` (K, 4), shape (N, K), in their dtype.

    For small sets only: anchors meet ground truth in :mod:`rpnviz.core.overlaps`, which holds no such matrix.

    Convention:
        0 / 0 is NaN, and a box with a NaN overlaps nothing by comparison. (0,0,10,10) and (0,0,10,7): 0.7.

    Source: torchvision ``ops.boxes.box_iou`` (order of the operations).
    """
    with np.errstate(invalid="ignore", over="ignore"):
        width = np.minimum(a[:, None, 2], b[None, :, 2]) - np.maximum(a[:, None, 0], b[None, :, 0])
        height = np.minimum(a[:, None, 3], b[None, :, 3]) - np.maximum(a[:, None, 1], b[None, :, 1])
        intersection = np.maximum(width, 0) * np.maximum(height, 0)
        union = box_areas(a)[:, None] + box_areas(b)[None, :] - intersection
        return intersection / union


def best_cover(boxes: NDArray, others: NDArray) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Best IoU of every box (N, 4) with any of some others (K, 4), and its row of these.

    In pieces, because both may be thousands. A box with a NaN, and one that touches none, has IoU 0 and row -1.

    Returns:
        (N,) float32 and (N,) int64.
    """
    best, owner = np.zeros(len(boxes), np.float32), np.full(len(boxes), -1, np.int64)
    wanted = others.astype(np.float32)
    step = max(1, 4_000_000 // max(len(others), 1))
    for start in range(0, len(boxes) if len(others) else 0, step):
        part = slice(start, start + step)
        iou = np.nan_to_num(box_iou(boxes[part].astype(np.float32), wanted))
        row = np.argmax(iou, axis=1)
        best[part] = np.take_along_axis(iou, row[:, None], axis=1)[:, 0]
        owner[part] = np.where(best[part] > 0, row, -1)
    return best, owner


def clip_boxes(boxes: NDArray, size: tuple[int, int]) -> NDArray:
    """Boxes (N, 4) cut to an image of ``size`` (H, W): x to [0, W], y to [0, H]; NaN stays NaN.

    Source: torchvision ``ops.boxes.clip_boxes_to_image``.
    """
    height, width = size
    limits = np.array([width, height, width, height], dtype=boxes.dtype)
    return np.clip(boxes, 0, limits)
