"""Plain, slow implementations that the fast ones must equal to the last bit."""

from __future__ import annotations

import numpy as np

from rpnviz.core.boxes import box_iou


def dense_labels(anchors, gt, fg, bg, force):
    """torchvision's matcher on a full matrix: (labels, matched_gt, best_iou per anchor, best_iou per GT)."""
    count = len(anchors)
    if not len(gt):
        return np.zeros(count, np.int8), np.full(count, -1), np.zeros(count, anchors.dtype), np.zeros(0, anchors.dtype)
    iou = box_iou(gt, anchors)
    best, matched = iou.max(axis=0), iou.argmax(axis=0)
    labels = np.where(best < np.float32(bg), 0, np.where(best >= np.float32(fg), 1, -1)).astype(np.int8)
    if force:
        labels[(iou == iou.max(axis=1, keepdims=True)).any(axis=0)] = 1
    return labels, matched, best, iou.max(axis=1)


def greedy_nms(boxes, scores, threshold):
    """Indices kept, best first."""
    order = np.argsort(-scores, kind="stable").tolist()
    kept = []
    while order:
        best = order.pop(0)
        kept.append(best)
        if order:
            iou = box_iou(boxes[[best]], boxes[order])[0].astype(np.float64)
            order = [index for index, value in zip(order, iou, strict=True) if not value > threshold]
    return kept
