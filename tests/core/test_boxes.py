"""Overlaps of small sets."""

from __future__ import annotations

import numpy as np

from rpnviz.core.boxes import best_cover, box_iou


def test_best_cover_is_the_row_of_the_largest_iou():
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 80, (300, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(1, 40, (300, 2))], axis=1)
    boxes[7, 1] = np.nan
    others = boxes[200:220].copy()
    iou = np.nan_to_num(box_iou(boxes.astype(np.float32), others.astype(np.float32)))
    best, row = best_cover(boxes, others)
    np.testing.assert_array_equal(best, iou.max(axis=1))
    np.testing.assert_array_equal(row, np.where(best > 0, iou.argmax(axis=1), -1))
    assert (best[7], row[7]) == (0, -1)
    assert best_cover(boxes, others[:0])[1].tolist() == [-1] * 300
    assert best_cover(boxes[:0], others)[0].shape == (0,)
