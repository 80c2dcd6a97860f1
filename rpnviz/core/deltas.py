"""Boxes as (dx, dy, dw, dh) of an anchor, and back.

log and exp are computed in float64 and rounded to float32: that equals the frameworks' own results to 1e-6 without
depending on whose library computes them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rpnviz.core.params import CoderParams


def encode(anchors: NDArray, boxes: NDArray, params: CoderParams) -> NDArray[np.float32]:
    """Deltas (N, 4) float32 that move ``anchors`` (N, 4) onto ``boxes`` (N, 4), times ``params.weights``.

    Convention:
        anchor (0, 0, 10, 10), box (5, 0, 15, 20): (0.5, 0.5, 0, log 2).

    Source: torchvision ``models/detection/_utils.py: encode_boxes``.
    """
    anchors, boxes = anchors.astype(np.float32, copy=False), boxes.astype(np.float32, copy=False)
    weight = np.array(params.weights, np.float32)
    with np.errstate(all="ignore"):
        size = anchors[:, 2:] - anchors[:, :2]
        centre = anchors[:, :2] + np.float32(0.5) * size
        box_size = boxes[:, 2:] - boxes[:, :2]
        box_centre = boxes[:, :2] + np.float32(0.5) * box_size
        shift = weight[:2] * (box_centre - centre) / size
        growth = weight[2:] * np.log((box_size / size).astype(np.float64)).astype(np.float32)
    return np.concatenate([shift, growth], axis=1)


def decode(anchors: NDArray, deltas: NDArray[np.float32], params: CoderParams) -> NDArray[np.float32]:
    """Boxes (N, 4) float32 that ``deltas`` (N, 4) make of ``anchors`` (N, 4); inverse of :func:`encode`.

    Convention:
        dw and dh are cut at ``params.dwh_clip`` from above only (-1: not at all); NaN stays NaN.

    Source: torchvision ``models/detection/_utils.py: BoxCoder.decode_single``.
    """
    anchors = anchors.astype(np.float32, copy=False)
    weight = np.array(params.weights, np.float32)
    with np.errstate(all="ignore"):
        size = anchors[:, 2:] - anchors[:, :2]
        centre = anchors[:, :2] + np.float32(0.5) * size
        growth = deltas[:, 2:] / weight[2:]
        if params.dwh_clip >= 0:
            growth = np.minimum(growth, np.float32(params.dwh_clip))
        new_centre = deltas[:, :2] / weight[:2] * size + centre
        half = np.float32(0.5) * (np.exp(growth.astype(np.float64)).astype(np.float32) * size)
        return np.concatenate([new_centre - half, new_centre + half], axis=1)
