"""Which ground-truth boxes the trainer trains on, and why not the others."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from rpnviz.core.conventions import Conventions, CrowdRule, EmptyImageRule, InvalidBoxRule
from rpnviz.core.frame import Frame, scale_ground_truth
from rpnviz.core.inputs import frozen


class NotTrained(StrEnum):
    """Why a ground-truth box takes no part in training (DESIGN section 7)."""

    INVALID_BOX = "invalid_box"
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
        raised_by: (R,) indices of the boxes that make the trainer stop.
        reaction: what the trainer does with the image, None if it just trains.
    """

    boxes: NDArray
    not_trained: tuple[NotTrained | None, ...]
    trained: NDArray[np.int64]
    raised_by: NDArray[np.int64]
    reaction: Reaction | None

    @property
    def image_skipped(self) -> bool:
        """Whether the trainer labels no anchor of this image at all."""
        return self.reaction is Reaction.SKIPS


def select_ground_truth(
    boxes_original: NDArray[np.float64], ignore: NDArray[np.bool_] | None, frame: Frame, conventions: Conventions
) -> GroundTruth:
    """Scale the ground truth and find out which of it the trainer uses.

    Args:
        boxes_original: (M, 4) xyxy in original pixels, broken ones included.
        ignore: (M,) crowd or ignore regions; None: none.
        frame: sizes of the image.
        conventions: ``box_scaling``, ``invalid_box``, ``crowd``, ``empty_image``.

    Convention:
        A box is invalid if, after scaling, a side is not above 0 (NaN included). torchvision tests
        ``x2 <= x1``, which NaN passes: a NaN is left out here too, but it is not what makes the trainer stop.

    Source: torchvision ``models/detection/generalized_rcnn.py: GeneralizedRCNN.forward``;
    ``references/detection/coco_utils.py`` (crowd).
    """
    boxes = scale_ground_truth(boxes_original, frame, conventions)
    with np.errstate(invalid="ignore"):
        sides = boxes[:, 2:] - boxes[:, :2]
        invalid = ~((sides > 0) & np.isfinite(sides)).all(axis=1)
        degenerate = (boxes[:, 2:] <= boxes[:, :2]).any(axis=1)
    crowd = np.zeros(len(boxes), bool)
    if ignore is not None and conventions.crowd is CrowdRule.DROPS:
        crowd = ignore
    reasons = tuple(
        NotTrained.CROWD if is_crowd else NotTrained.INVALID_BOX if is_invalid else None
        for is_crowd, is_invalid in zip(crowd.tolist(), invalid.tolist(), strict=True)
    )
    trained = np.flatnonzero(~(crowd | invalid))
    raised_by = np.flatnonzero(degenerate & ~crowd)
    reaction = None
    if len(raised_by) and conventions.invalid_box is InvalidBoxRule.RAISES:
        reaction = Reaction.RAISES
    else:
        raised_by = raised_by[:0]
        if not len(trained) and conventions.empty_image is EmptyImageRule.REFUSES:
            reaction = Reaction.SKIPS
    return GroundTruth(frozen(boxes), reasons, frozen(trained), frozen(raised_by), reaction)
