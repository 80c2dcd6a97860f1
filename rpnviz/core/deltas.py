"""Boxes as deltas of an anchor, and back.

log and exp are computed in float64 and rounded to float32: that equals the frameworks' own results to 1e-6 without
depending on whose library computes them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rpnviz.core.conventions import Codec, CoderPixels, CoderWeights, Conventions, DecodeClamp, EndCorner
from rpnviz.core.params import CoderParams


def encode(anchors: NDArray, boxes: NDArray, params: CoderParams, conventions: Conventions) -> NDArray:
    """Deltas (N, 4) that move ``anchors`` (N, 4) onto ``boxes`` (N, 4), in the precision of ``encode_dtype``.

    Convention:
        CENTRE_SIZE: dx, dy, dw, dh; anchor (0, 0, 10, 10), box (5, 0, 15, 20): (0.5, 0.5, 0, log 2). CORNERS: offsets
        of the four corners over the anchor's sides.

    Source: torchvision ``_utils.py: encode_boxes``; detectron2 ``Box2BoxTransform``; mmdet ``bbox2delta``; Matterport
    ``utils.box_refinement``; py-faster-rcnn ``bbox_transform``; keras-retinanet ``bbox_transform``.
    """
    dtype = np.dtype(conventions.encode_dtype.value)
    anchors, boxes = anchors.astype(dtype, copy=False), boxes.astype(dtype, copy=False)
    with np.errstate(all="ignore"):
        size, centre = _size_and_centre(anchors, conventions)
        if conventions.codec is Codec.CORNERS:
            return _weighted((boxes - anchors) / np.concatenate([size, size], axis=1), params, conventions)
        box_size, box_centre = _size_and_centre(boxes, conventions)
        growth = np.log((box_size / size).astype(np.float64)).astype(dtype)
        if conventions.coder_weights is CoderWeights.MULTIPLY:
            weight = np.array(params.weights, dtype)
            return np.concatenate([weight[:2] * (box_centre - centre) / size, weight[2:] * growth], axis=1)
        return _weighted(np.concatenate([(box_centre - centre) / size, growth], axis=1), params, conventions)


def decode(
    anchors: NDArray, deltas: NDArray[np.float32], params: CoderParams, conventions: Conventions
) -> NDArray[np.float32]:
    """Boxes (N, 4) float32 that ``deltas`` (N, 4) make of ``anchors`` (N, 4); inverse of :func:`encode`.

    Convention:
        dw and dh are cut at ``params.dwh_clip`` from above, or from both sides (``decode_clamp``; -1: not at all); NaN
        stays NaN. py-faster-rcnn's boxes come back with x2 and y2 larger by one.

    Source: torchvision ``_utils.py: BoxCoder.decode_single``; detectron2 ``Box2BoxTransform.apply_deltas``; mmdet
    ``delta2bbox``; Matterport ``apply_box_deltas_graph``; py-faster-rcnn ``bbox_transform_inv``; keras-retinanet
    ``backend.bbox_transform_inv``.
    """
    anchors = anchors.astype(np.float32, copy=False)
    with np.errstate(all="ignore"):
        size, centre = _size_and_centre(anchors, conventions)
        weight = np.array(params.weights)
        plain: NDArray = deltas
        if conventions.coder_weights is CoderWeights.MULTIPLY:
            plain = deltas / weight.astype(np.float32)
        else:
            plain = deltas * (1 / weight).astype(np.float32)
        if conventions.codec is Codec.CORNERS:
            return anchors + plain * np.concatenate([size, size], axis=1)
        growth: NDArray = plain[:, 2:]
        if params.dwh_clip >= 0:
            limit = np.float32(params.dwh_clip)
            growth = np.minimum(growth, limit)
            if conventions.decode_clamp is DecodeClamp.BOTH:
                growth = np.maximum(growth, -limit)
        new_centre = plain[:, :2] * size + centre
        new_size = np.exp(growth.astype(np.float64)).astype(np.float32) * size
        half = np.float32(0.5) * new_size
        start = new_centre - half
        end = start + new_size if conventions.end_corner is EndCorner.START_PLUS_SIZE else new_centre + half
        return np.concatenate([start, end], axis=1)


def _size_and_centre(boxes: NDArray, conventions: Conventions) -> tuple[NDArray, NDArray]:
    """(N, 2) width and height, and (N, 2) centre."""
    half = boxes.dtype.type(0.5)
    size = boxes[:, 2:] - boxes[:, :2]
    if conventions.coder_pixels is CoderPixels.MEAN_CENTRE:
        return size, (boxes[:, :2] + boxes[:, 2:]) * half
    if conventions.coder_pixels is CoderPixels.INCLUSIVE:
        size = size + boxes.dtype.type(1)
    return size, boxes[:, :2] + half * size


def _weighted(deltas: NDArray, params: CoderParams, conventions: Conventions) -> NDArray:
    if conventions.coder_weights is CoderWeights.MULTIPLY:
        return deltas * np.array(params.weights, deltas.dtype)
    return deltas / (1 / np.array(params.weights)).astype(deltas.dtype)
