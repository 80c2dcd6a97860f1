"""Plain, slow implementations that the fast ones must equal to the last bit."""

from __future__ import annotations

import numpy as np

from rpnviz.core.boxes import box_iou


def dense_iou(gt, anchors, rules, share_of="union"):
    """(M, A) overlaps in the framework's arithmetic, from plain broadcasting."""
    one = anchors.dtype.type(1 if rules.iou_pixels == "inclusive" else 0)
    gt = gt.astype(anchors.dtype)
    with np.errstate(all="ignore"):
        width = np.minimum(gt[:, None, 2], anchors[None, :, 2]) - np.maximum(gt[:, None, 0], anchors[None, :, 0]) + one
        height = np.minimum(gt[:, None, 3], anchors[None, :, 3]) - np.maximum(gt[:, None, 1], anchors[None, :, 1]) + one
        inter = np.maximum(width, 0) * np.maximum(height, 0)
        area = lambda b: (b[:, 2] - b[:, 0] + one) * (b[:, 3] - b[:, 1] + one)  # noqa: E731
        whole = {
            "union": area(gt)[:, None] + area(anchors)[None] - inter,
            "anchor": np.broadcast_to(area(anchors)[None], inter.shape),
            "box": np.broadcast_to(area(gt)[:, None], inter.shape),
        }[share_of]
        if rules.union_guard == "at_least_1e-6":
            whole = np.maximum(whole, anchors.dtype.type(1e-6))
        return np.where(inter > 0, inter / whole, 0).astype(anchors.dtype)


def dense_labels(result):
    """Every framework's matcher on a full matrix, as CONVENTIONS describes it.

    Returns:
        labels (A,), targets of the positives (A,) (-1 elsewhere), best IoU per anchor (A,) and per trained box (K,).
    """
    rules, params, anchors, gt = result.conventions, result.params.match, result.anchors.boxes, result.gt
    total, boxes = len(anchors), gt.boxes[gt.trained]
    height, width = result.frame.resized_size
    kind = np.float32 if rules.threshold_dtype == "float32" else np.float64
    low, high = kind(params.bg_iou_thresh), kind(params.fg_iou_thresh)
    t = params.border_thresh
    inside = (anchors[:, 0] >= -t) & (anchors[:, 1] >= -t) & (anchors[:, 2] < width + t) & (anchors[:, 3] < height + t)
    border_rule = rules.border if t >= 0 else "none"
    part = inside.copy() if border_rule == "before" else np.ones(total, bool)
    regions = gt.boxes[gt.ignored]
    labels, target = np.full(total, -1, np.int8), np.full(total, -1)
    if result.gt.image_skipped:
        return labels, target, np.zeros(total, anchors.dtype), np.zeros(0, anchors.dtype)
    if not len(boxes):
        labels[part] = 0
        if border_rule == "after":
            labels[~inside] = -1
        if rules.padding_anchors == "centres_left_out":
            labels[_centre_outside(anchors, width, height)] = -1
        return labels, target, np.zeros(total, anchors.dtype), np.zeros(0, anchors.dtype)
    if len(regions) and rules.crowd == "ignores_by_iof" and params.ignore_iof_thresh > 0:
        share = dense_iou(regions, anchors, rules, "anchor").max(axis=0)
        part &= ~(share > anchors.dtype.type(params.ignore_iof_thresh))
    iou = dense_iou(boxes, anchors, rules)
    iou[:, ~part] = 0
    best, argmax = iou.max(axis=0), iou.argmax(axis=0)
    gt_best = iou.max(axis=1)
    target = gt.trained[argmax]
    negative = best <= low if rules.negative_test == "at_most" else best < low
    if len(regions) and rules.crowd == "bars_negatives":
        negative &= ~(dense_iou(regions, anchors, rules).max(axis=0) >= 0.001)
    if rules.match_order == "negatives_first":
        labels[negative] = 0
    if params.allow_low_quality_matches:
        for k in range(len(boxes)):
            if gt_best[k] >= kind(params.min_pos_iou):
                ties = np.flatnonzero((iou[k] == gt_best[k]) & part)
                ties = ties[:1] if rules.tie_rule == "first" else ties
                labels[ties] = 1
                if rules.forced_target == "claiming":
                    target[ties] = gt.trained[k]
    labels[best >= high] = 1
    if rules.match_order == "negatives_last":
        labels[negative] = 0
    labels[~part] = -1
    if border_rule == "after":
        labels[~inside] = -1
    if rules.padding_anchors == "centres_left_out":
        labels[_centre_outside(anchors, width, height)] = -1
    return labels, np.where(labels == 1, target, -1), best, gt_best


def _centre_outside(anchors, width, height):
    return ((anchors[:, 0] + anchors[:, 2]) / 2 >= width) | ((anchors[:, 1] + anchors[:, 3]) / 2 >= height)


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
