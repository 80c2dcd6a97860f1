"""Anchors that the trainer keeps out of matching, or out of some label, before it looks at thresholds."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rpnviz.core.anchors import Anchors
from rpnviz.core.conventions import BorderRule, Conventions, CrowdRule, PaddingAnchors
from rpnviz.core.frame import Frame
from rpnviz.core.ground_truth import GroundTruth
from rpnviz.core.inputs import frozen
from rpnviz.core.overlaps import largest_overlap

_CROWD_IOU = 0.001
"""Matterport ``model.py: build_rpn_targets``."""


@dataclass(frozen=True, eq=False)
class Barred:
    """Why anchors are kept out; each (A,) bool, None where the rule does not act.

    Attributes:
        border_before, border_after: they reach beyond the image, asked before or after matching.
        padding: they stand on the padding, asked before matching.
        centre: their centre is outside the image, asked after matching.
        ignore: too much of them lies in an ignore region, asked before matching.
        not_negative: they touch a crowd, which bars them from being negative.
    """

    border_before: NDArray[np.bool_] | None = None
    border_after: NDArray[np.bool_] | None = None
    padding: NDArray[np.bool_] | None = None
    centre: NDArray[np.bool_] | None = None
    ignore: NDArray[np.bool_] | None = None
    not_negative: NDArray[np.bool_] | None = None

    @property
    def allowed(self) -> NDArray[np.bool_] | None:
        """(A,) anchors that the matcher sees; None: all."""
        parts = [part for part in (self.border_before, self.padding, self.ignore) if part is not None]
        return frozen(~np.logical_or.reduce(parts)) if parts else None


def find_barred(
    anchors: Anchors,
    frame: Frame,
    ground_truth: GroundTruth,
    border_thresh: float,
    ignore_iof_thresh: float,
    conventions: Conventions,
) -> Barred:
    """Apply the border, padding, centre and crowd rules.

    Args:
        anchors: A anchors.
        frame: the resized image is what "inside" means; its own padding what valid cells are.
        ground_truth: its ignored regions.
        border_thresh: in input pixels; -1 is off.
        ignore_iof_thresh: -1 is off.
        conventions: ``border``, ``padding_anchors``, ``crowd``.

    Convention:
        Inside: x1 >= -t, y1 >= -t, x2 < W + t, y2 < H + t.

    Source: detectron2 ``Boxes.inside_box``; mmdet ``anchor_inside_flags``, ``AnchorGenerator.valid_flags``,
    ``MaxIoUAssigner.assign``; py-faster-rcnn ``anchor_target_layer.py``; keras-retinanet ``anchor_targets_bbox``;
    Matterport ``build_rpn_targets``.
    """
    boxes = anchors.boxes
    height, width = frame.resized_size
    border = padding = centre = ignore = not_negative = None
    if conventions.border is not BorderRule.NONE and border_thresh >= 0:
        t = border_thresh
        inside = (boxes[:, 0] >= -t) & (boxes[:, 1] >= -t) & (boxes[:, 2] < width + t) & (boxes[:, 3] < height + t)
        border = frozen(~inside)
    match conventions.padding_anchors:
        case PaddingAnchors.CELLS_LEFT_OUT:
            padding = _cells_on_padding(anchors, frame)
        case PaddingAnchors.CENTRES_LEFT_OUT:
            x, y = (boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2
            centre = frozen((x >= width) | (y >= height))
    regions = ground_truth.boxes[ground_truth.ignored]
    if len(regions) and len(ground_truth.trained):
        match conventions.crowd:
            case CrowdRule.BARS_NEGATIVES:
                not_negative = frozen(largest_overlap(anchors, regions, conventions) >= _CROWD_IOU)
            case CrowdRule.IGNORES_BY_IOF | CrowdRule.IGNORES_BY_IOF_OF_REGION if ignore_iof_thresh > 0:
                of = "anchor" if conventions.crowd is CrowdRule.IGNORES_BY_IOF else "box"
                limit = boxes.dtype.type(ignore_iof_thresh)
                ignore = frozen(largest_overlap(anchors, regions, conventions, of) > limit)
    before = conventions.border is BorderRule.BEFORE
    return Barred(
        border_before=border if before else None,
        border_after=None if before else border,
        padding=padding,
        centre=centre,
        ignore=ignore,
        not_negative=not_negative,
    )


def _cells_on_padding(anchors: Anchors, frame: Frame) -> NDArray[np.bool_] | None:
    """(A,) anchors of cells beyond the image's own padding; None if the batch adds no padding."""
    parts, some = [], False
    for level in anchors.lattice:
        valid_rows = min(math.ceil(frame.own_size[0] / level.stride[0]), level.grid[0]) if level.stride[0] else 1
        valid_columns = min(math.ceil(frame.own_size[1] / level.stride[1]), level.grid[1]) if level.stride[1] else 1
        outside = np.ones((*level.grid, level.cells), bool)
        outside[:valid_rows, :valid_columns] = False
        some = some or bool(outside.any())
        parts.append(outside.ravel())
    return frozen(np.concatenate(parts)) if some else None
