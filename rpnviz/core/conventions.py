"""The choices a framework's authors made, one enumerated field per choice.

A framework is a row of data, not a subclass: a stage reads the fields that concern it. Only choices that a stage
implements are listed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import ClassVar

from rpnviz.core.rules import Choice, Ruled, check_names, ruled


class ResizeRounding(StrEnum):
    """How the resized sides become whole pixels."""

    FLOOR = "floor"
    """floor(side * scale). torchvision ``GeneralizedRCNNTransform``: 480 x 640 becomes 800 x 1066."""


class BoxScaling(StrEnum):
    """How original boxes become input boxes."""

    PER_AXIS_FLOAT32 = "per_axis_float32"
    """times new / old side, per axis, all in float32. torchvision ``resize_boxes``."""


class RatioMeaning(StrEnum):
    """What an aspect ratio of 2 is."""

    HEIGHT_OVER_WIDTH = "height_over_width"
    """A tall anchor. torchvision, detectron2, mmdetection, py-faster-rcnn, keras-retinanet."""
    WIDTH_OVER_HEIGHT = "width_over_height"
    """A wide anchor. Matterport."""


class BaseRounding(StrEnum):
    """Rounding of the anchor centred on the origin."""

    CORNERS = "corners"
    """Corners to integers, half to even. torchvision ``AnchorGenerator``."""
    NONE = "none"
    """None."""


class StrideSource(StrEnum):
    """Where the distance of neighbouring cells comes from."""

    FEATURE_MAP = "feature_map"
    """padded side // feature side, per axis. torchvision."""
    NOMINAL = "nominal"
    """The configured stride."""


class CellOrder(StrEnum):
    """Order of the anchors at one position, slow to fast."""

    RATIO_SIZE = "ratio_size"
    """torchvision ``AnchorGenerator.generate_anchors``."""
    SIZE_RATIO = "size_ratio"
    """detectron2 ``DefaultAnchorGenerator``."""


class FloatKind(StrEnum):
    """Precision of an operation."""

    FLOAT32 = "float32"
    FLOAT64 = "float64"


class TieRule(StrEnum):
    """Which anchors count as the best of a ground-truth box when several share its best IoU."""

    ALL = "all"
    """Every one. torchvision ``Matcher.set_low_quality_matches_``."""
    FIRST = "first"
    """The one with the lowest index."""


class InvalidBoxRule(StrEnum):
    """What the trainer does with a ground-truth box without a positive width and height."""

    RAISES = "raises"
    """It stops. torchvision ``GeneralizedRCNN.forward``."""
    DROPS = "drops"
    """It leaves the box out."""


class CrowdRule(StrEnum):
    """What the trainer does with crowd and ignore regions."""

    DROPS = "drops"
    """They are removed before training. torchvision's detection reference scripts, ``coco_utils.py``."""
    KEEPS = "keeps"
    """They are ordinary ground truth."""


class EmptyImageRule(StrEnum):
    """What the trainer does with an image without ground truth."""

    ALL_NEGATIVE = "all_negative"
    """Every anchor is negative. torchvision ``assign_targets_to_anchors``."""
    REFUSES = "refuses"
    """It skips the image or raises."""


class DrawRule(StrEnum):
    """Random generator of the mini-batch and when it is asked."""

    TORCH_ALWAYS_BOTH = "torch_always_both"
    """``torch.randperm(#positive)`` then ``torch.randperm(#negative)``. torchvision, detectron2."""


class NmsCompare(StrEnum):
    """Arithmetic of "IoU above the threshold"."""

    FLOAT32_IOU_FLOAT64_THRESH = "float32_iou_float64_thresh"
    """A float32 IoU against the threshold as a double. torchvision ``ops.nms`` (C++)."""


class NmsGrouping(StrEnum):
    """How boxes of different levels are kept from suppressing each other."""

    OFFSET_UP_TO_1000 = "offset_up_to_1000"
    """Up to 1000 boxes: shifted by level * (largest coordinate + 1) in float32; above: one NMS per level.
    torchvision ``ops.boxes.batched_nms`` on the CPU."""


@dataclass(frozen=True)
class Conventions(Ruled):
    """One framework's side of every choice."""

    document_key: ClassVar[str] = "conventions"

    resize_rounding: ResizeRounding = ruled(Choice(ResizeRounding), "How the resized sides become whole pixels")
    box_scaling: BoxScaling = ruled(Choice(BoxScaling), "How original boxes become input boxes")
    ratio_meaning: RatioMeaning = ruled(Choice(RatioMeaning), "What an aspect ratio means")
    base_rounding: BaseRounding = ruled(Choice(BaseRounding), "Rounding of the base anchors")
    stride_source: StrideSource = ruled(Choice(StrideSource), "Where the distance of cells comes from")
    cell_order: CellOrder = ruled(Choice(CellOrder), "Order of the anchors at one position")
    iou_dtype: FloatKind = ruled(Choice(FloatKind), "Precision of anchors and IoUs")
    threshold_dtype: FloatKind = ruled(Choice(FloatKind), "Precision in which IoU thresholds are compared")
    tie_rule: TieRule = ruled(Choice(TieRule), "Which anchors share the best IoU of a ground-truth box")
    invalid_box: InvalidBoxRule = ruled(Choice(InvalidBoxRule), "Ground truth without a positive area")
    crowd: CrowdRule = ruled(Choice(CrowdRule), "Crowd and ignore regions")
    empty_image: EmptyImageRule = ruled(Choice(EmptyImageRule), "Images without ground truth")
    draw: DrawRule = ruled(Choice(DrawRule), "How the mini-batch is drawn")
    nms_compare: NmsCompare = ruled(Choice(NmsCompare), "How an IoU is compared in NMS")
    nms_grouping: NmsGrouping = ruled(Choice(NmsGrouping), "How levels are kept apart in NMS")

    def overridden(self, overrides: Mapping[str, object]) -> Conventions:
        """A copy with some fields replaced.

        Raises:
            ParamsError: a field is unknown or its value is not allowed.
        """
        check_names(overrides, [field.name for field in fields(self)], "conventions")
        return replace(self, **overrides)  # type: ignore[arg-type]

    def overrides_from(self, other: Conventions) -> dict[str, str]:
        """The fields in which this differs from ``other``, in JSON form."""
        return {
            field.name: str(getattr(self, field.name))
            for field in fields(self)
            if getattr(self, field.name) != getattr(other, field.name)
        }
