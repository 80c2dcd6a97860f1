"""Which ground-truth boxes the trainer trains on, and why not the others."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from rpnviz.core.boxes import clip_boxes
from rpnviz.core.conventions import (
    BoxClip,
    Conventions,
    CrowdRule,
    DifficultRule,
    EmptyImageRule,
    InvalidBoxRule,
    OutsideRule,
)
from rpnviz.core.frame import Frame, scale_ground_truth
from rpnviz.core.inputs import frozen

_TINY = 1e-5
"""Sides up to this are empty for detectron2 (``structures/boxes.py: nonempty`` in ``detection_utils.py``)."""


class NotTrained(StrEnum):
    """Why a ground-truth box takes no part in training (DESIGN section 7)."""

    INVALID_BOX = "invalid_box"
    OUTSIDE_IMAGE = "outside_image"
    CROWD = "crowd"


class Reaction(StrEnum):
    """What the trainer does with the image as a whole, where it does not simply train on it."""

    RAISES = "raises"
    """It stops with an error because of an invalid box."""
    SKIPS = "skips"
    """It skips or refuses an image without ground truth."""


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """Ground truth in the frame of the network input; arrays are in the order of ``Inputs``.

    Attributes:
        boxes: (M, 4) xyxy input pixels, as the trainer rounds them.
        not_trained: per box, why it takes no part, or None.
        trained: (K,) indices of the boxes that do.
        ignored: (I,) indices of the crowd and ignore regions that act on anchors.
        raised_by: (R,) indices of the boxes that make the trainer stop.
        reaction: what the trainer does with the image, None if it just trains.
    """

    boxes: NDArray
    not_trained: tuple[NotTrained | None, ...]
    trained: NDArray[np.int64]
    ignored: NDArray[np.int64]
    raised_by: NDArray[np.int64]
    reaction: Reaction | None

    @property
    def image_skipped(self) -> bool:
        """Whether the trainer labels no anchor of this image at all."""
        return self.reaction is Reaction.SKIPS

    @classmethod
    def of_input_boxes(cls, boxes: NDArray, ignored: NDArray[np.bool_] | None = None) -> GroundTruth:
        """Boxes (M, 4) in input pixels that are all trained on but the ``ignored`` ones; for running stages alone."""
        crowd = np.zeros(len(boxes), bool) if ignored is None else ignored
        reasons = tuple(NotTrained.CROWD if is_crowd else None for is_crowd in crowd.tolist())
        none = np.zeros(0, np.int64)
        return cls(boxes, reasons, np.flatnonzero(~crowd), np.flatnonzero(crowd), none, None)


def region_rule(conventions: Conventions, difficult: bool) -> CrowdRule:
    """What the trainer does with the boxes that a data set marks: regions to ignore, or ``difficult`` objects."""
    if not difficult or conventions.difficult is DifficultRule.AS_CROWD:
        return conventions.crowd
    return CrowdRule.DROPS if conventions.difficult is DifficultRule.DROPS else CrowdRule.KEEPS


def select_ground_truth(
    boxes_original: NDArray[np.float64],
    ignore: NDArray[np.bool_] | None,
    frame: Frame,
    conventions: Conventions,
    flipped_from: NDArray[np.float64] | None = None,
    difficult: bool = False,
) -> GroundTruth:
    """Scale the ground truth and find out which of it the trainer uses.

    Args:
        boxes_original: (M, 4) xyxy in original pixels, broken ones included.
        ignore: (M,) crowd or ignore regions, or ``difficult`` objects; None: none.
        frame: sizes of the image.
        conventions: ``box_scaling``, ``box_clip``, ``flip``, ``invalid_box``, ``outside_box``, ``crowd``,
            ``difficult``, ``empty_image``.
        flipped_from: (M, 4) the boxes of a flipped view before the flip; None: nothing is flipped.
        difficult: see :attr:`Inputs.gt_difficult`.

    Convention:
        A box is invalid if a side is not above 0 after scaling (NaN included), or for detectron2 not above 1e-5.
        torchvision tests ``x2 <= x1``, which NaN passes: a NaN is left out here too, but it is not what makes the
        trainer stop. A box that clipping empties lies outside.

    Source: torchvision ``models/detection/generalized_rcnn.py: GeneralizedRCNN.forward``,
    ``references/detection/coco_utils.py`` (crowd); detectron2 ``data/detection_utils.py``; keras-retinanet
    ``preprocessing/generator.py: filter_annotations``; Matterport ``model.py: load_image_gt, build_rpn_targets``.
    """
    count = len(boxes_original)
    source = boxes_original if flipped_from is None else flipped_from
    unclipped = scale_ground_truth(source, frame, conventions, flipped_from is not None)
    boxes = unclipped
    if conventions.box_clip is BoxClip.IMAGE:
        boxes = clip_boxes(unclipped, frame.resized_size)
    crowd = np.zeros(count, bool)
    rule = region_rule(conventions, difficult)
    if ignore is not None and rule is not CrowdRule.KEEPS:
        crowd = ignore
    with np.errstate(invalid="ignore", over="ignore"):
        whole = _has_sides(unclipped, 0) & _has_sides(boxes_original, 0)
        valid = whole & _has_sides(boxes, _TINY if conventions.invalid_box is InvalidBoxRule.DROPS_TINY else 0)
        if conventions.invalid_box is InvalidBoxRule.KEEPS:
            valid = np.asarray(np.isfinite(boxes).all(axis=1))
        degenerate = (boxes[:, 2:] <= boxes[:, :2]).any(axis=1)
        beyond = np.zeros(count, bool)
        if conventions.outside_box is OutsideRule.DROPS:
            height, width = frame.image_size
            before, after = boxes_original[:, :2] < 0, boxes_original[:, 2:] > (width, height)
            beyond = np.asarray(before.any(axis=1) | after.any(axis=1))
    outside = (whole & ~valid & (conventions.box_clip is BoxClip.IMAGE)) | (valid & beyond)
    reasons = tuple(
        NotTrained.CROWD
        if is_crowd
        else NotTrained.OUTSIDE_IMAGE
        if is_outside
        else NotTrained.INVALID_BOX
        if not is_valid
        else None
        for is_crowd, is_outside, is_valid in zip(crowd.tolist(), outside.tolist(), valid.tolist(), strict=True)
    )
    trained = np.flatnonzero(valid & ~crowd & ~outside)
    acts = rule not in (CrowdRule.DROPS, CrowdRule.KEEPS)
    ignored = np.flatnonzero(crowd & valid) if acts else np.zeros(0, np.int64)
    raised_by = np.flatnonzero(degenerate & ~crowd)
    reaction = None
    if len(raised_by) and conventions.invalid_box is InvalidBoxRule.RAISES:
        reaction = Reaction.RAISES
    else:
        raised_by = raised_by[:0]
        if not len(trained) and conventions.empty_image is EmptyImageRule.REFUSES:
            reaction = Reaction.SKIPS
    return GroundTruth(frozen(boxes), reasons, frozen(trained), frozen(ignored), frozen(raised_by), reaction)


def _has_sides(boxes: NDArray, least: float) -> NDArray[np.bool_]:
    """(M,) whether both sides are finite and above ``least``."""
    sides = boxes[:, 2:] - boxes[:, :2]
    return ((sides > least) & np.isfinite(sides)).all(axis=1)
