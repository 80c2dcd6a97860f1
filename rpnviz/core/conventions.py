"""The choices a framework's authors made, one enumerated field per choice.

A framework is a row of data, not a subclass: a stage reads the fields that concern it, and no stage knows a framework's
name. Short names in the texts: TV torchvision, D2 detectron2, MM mmdetection, MP Matterport Mask R-CNN, PY
py-faster-rcnn, KR keras-retinanet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import ClassVar

from rpnviz.core.rules import Choice, Ruled, check_names, ruled

# ---------------------------------------------------------------------- image and ground truth


class ResizeLimit(StrEnum):
    """How ``max_size`` limits the scale that ``min_size`` asks for."""

    SMALLER_SCALE = "smaller_scale"
    """The smaller of the two scales. TV, MM."""
    LONG_SIDE_AGAIN = "long_side_again"
    """The short side is set, then both sides shrink if the long one exceeds the limit. D2."""
    ROUNDED_LONG_SIDE = "rounded_long_side"
    """The limit applies if the rounded long side exceeds it. MP, PY."""
    LONG_SIDE = "long_side"
    """The limit applies if the long side times the scale exceeds it. KR."""


class ResizeRounding(StrEnum):
    """How the resized sides become whole pixels."""

    FLOOR = "floor"
    """floor(side * scale). TV: 480 x 640 becomes 800 x 1066."""
    HALF_UP = "half_up"
    """int(side * scale + 0.5). D2, MM: 800 x 1067."""
    HALF_EVEN = "half_even"
    """Half to even. MP (Python's round), PY and KR (cv2.resize with a factor)."""


class Enlarging(StrEnum):
    """Whether ``min_size`` may shrink an image."""

    BOTH_WAYS = "both_ways"
    """It enlarges and shrinks. All but MP."""
    NEVER_SHRINKS = "never_shrinks"
    """The scale it asks for is at least 1. MP."""


class Padding(StrEnum):
    """Where the padding is."""

    BOTTOM_RIGHT = "bottom_right"
    """TV, D2, MM, KR; PY has none."""
    CENTRED = "centred"
    """Half on each side, the odd pixel at the bottom and the right. MP."""


class BoxScaling(StrEnum):
    """How original boxes become input boxes."""

    PER_AXIS_FLOAT32 = "per_axis_float32"
    """times new / old side per axis, in float32. TV, MM."""
    PER_AXIS_FLOAT64 = "per_axis_float64"
    """times new / old side per axis in float64, then float32. D2."""
    ONE_FACTOR_FLOAT32 = "one_factor_float32"
    """times one factor for both axes in float64, then float32. PY."""
    ONE_FACTOR_FLOAT64 = "one_factor_float64"
    """times one factor for both axes, in float64. KR."""
    MASKS = "masks"
    """A rectangle mask is zoomed (order 0) and boxed again: whole pixels. MP."""


class BoxClip(StrEnum):
    """Whether scaled ground truth is cut to the resized image."""

    NONE = "none"
    """TV, PY, KR; MP's masks end at the image anyway."""
    IMAGE = "image"
    """D2, MM."""


class InvalidBoxRule(StrEnum):
    """What the trainer does with a ground-truth box without a positive width and height."""

    RAISES = "raises"
    """It stops. TV ``GeneralizedRCNN.forward``."""
    DROPS = "drops"
    """It leaves the box out. MP (masks that vanish), MM, KR."""
    DROPS_TINY = "drops_tiny"
    """It leaves boxes with a side up to 1e-5 px out. D2."""
    KEEPS = "keeps"
    """It trains on it. PY, whose boxes are at least one pixel wide in its own convention."""


class OutsideRule(StrEnum):
    """What the trainer does with a box that reaches beyond the original image."""

    KEEPS = "keeps"
    """All but KR."""
    DROPS = "drops"
    """It deletes it. KR ``Generator.filter_annotations``."""


class CrowdRule(StrEnum):
    """What the trainer does with crowd and ignore regions."""

    DROPS = "drops"
    """They are removed before training. TV's reference scripts, D2's data set mapper, KR."""
    KEEPS = "keeps"
    """They are ordinary ground truth. PY."""
    BARS_NEGATIVES = "bars_negatives"
    """They leave the ground truth, and an anchor with IoU >= 0.001 to one cannot be negative. MP."""
    IGNORES_BY_IOF = "ignores_by_iof"
    """They leave the ground truth; an anchor more than ``ignore_iof_thresh`` of which lies in one is ignored. MM."""
    IGNORES_BY_IOF_OF_REGION = "ignores_by_iof_of_region"
    """The same, but the share of the region counts. MM with ``ignore_wrt_candidates=False``."""


class DifficultRule(StrEnum):
    """What the trainer's own reader for Pascal VOC does with objects that are marked difficult."""

    KEEPS = "keeps"
    """They are ordinary ground truth. D2 ``data/datasets/pascal_voc.py``; KR ``preprocessing/pascal_voc.py``, unless
    ``skip_difficult`` is set; TV and MP have no such reader, and the flag reaches no rule of theirs."""
    DROPS = "drops"
    """They are removed before training. PY ``datasets/pascal_voc.py``, unless ``use_diff`` is set."""
    AS_CROWD = "as_crowd"
    """They are ignore regions. MM ``datasets/xml_style.py``."""


class EmptyImageRule(StrEnum):
    """What the trainer does with an image without ground truth."""

    ALL_NEGATIVE = "all_negative"
    """Every anchor is negative. TV, D2, MM, KR."""
    REFUSES = "refuses"
    """It skips the image or raises. MP, PY."""


# ---------------------------------------------------------------------- anchors


class RatioMeaning(StrEnum):
    """What an aspect ratio of 2 is."""

    HEIGHT_OVER_WIDTH = "height_over_width"
    """A tall anchor. All but MP."""
    WIDTH_OVER_HEIGHT = "width_over_height"
    """A wide anchor. MP."""


class AnchorFormula(StrEnum):
    """Order of the operations, and so the last bits, that make sides of sizes and ratios.

    "Along" is the side in the numerator of the ratio, "across" the other one.
    """

    ROOT_THEN_SIZE = "root_then_size"
    """along = sqrt(r) * size, across = (1 / sqrt(r)) * size, float32. TV."""
    AREA = "area"
    """across = sqrt(size^2 / r), along = r * across, float64. D2."""
    BASE_ROOT_SCALE = "base_root_scale"
    """along = base * sqrt(r) * scale, across = base * (1 / sqrt(r)) * scale, float32. MM."""
    SIZE_TIMES_ROOT = "size_times_root"
    """along = size * sqrt(r), across = size / sqrt(r), float64. MP."""
    ROUNDED_RATIO = "rounded_ratio"
    """across = round(sqrt(base^2 / r)), along = round(across * r), then both times the scale, float64. PY."""
    AREA_OF_SCALED = "area_of_scaled"
    """across = sqrt((base * scale)^2 / r), along = across * r, with float32 scales and ratios, else float64. KR."""


class BaseRounding(StrEnum):
    """Rounding of the anchor at the first cell."""

    NONE = "none"
    """All but TV and MM's legacy generator."""
    CORNERS = "corners"
    """Corners to integers, half to even. TV ``AnchorGenerator``, MM ``LegacyAnchorGenerator``."""


class Pixels(StrEnum):
    """What a coordinate is."""

    EXCLUSIVE = "exclusive"
    """Width is x2 - x1. All but PY."""
    INCLUSIVE = "inclusive"
    """x2 is the last pixel: width is x2 - x1 + 1. PY, MM's legacy generator (anchors only)."""

    @property
    def extra(self) -> int:
        """What a width has beyond x2 - x1, px."""
        return 1 if self is Pixels.INCLUSIVE else 0


class StrideSource(StrEnum):
    """Where the distance of neighbouring cells comes from."""

    FEATURE_MAP = "feature_map"
    """padded side // feature side, per axis. TV: a side of 800 with 13 rows gives 61."""
    NOMINAL = "nominal"
    """The configured stride. All others."""


class OffsetUnit(StrEnum):
    """What ``offset`` counts in."""

    STRIDE = "stride"
    """Strides of the level. D2, KR (0.5)."""
    BASE = "base"
    """Base sizes of the level, less one where pixels are inclusive. MM (``center_offset``), PY (0.5: 7.5 px)."""


class CellOrder(StrEnum):
    """Order of the anchors at one position, slow to fast."""

    RATIO_SIZE = "ratio_size"
    """TV, MM (``scale_major=True``), MP, PY, KR."""
    SIZE_RATIO = "size_ratio"
    """D2, MM (``scale_major=False``)."""


class PaddingAnchors(StrEnum):
    """Whether anchors over the padding take part."""

    USED = "used"
    """They are ordinary anchors. TV, D2, MP, PY."""
    CELLS_LEFT_OUT = "cells_left_out"
    """Cells beyond ceil(own padded size / stride) are left out before matching. MM ``valid_flags``."""
    CENTRES_LEFT_OUT = "centres_left_out"
    """Anchors whose centre is at or beyond the resized image's right or bottom end are left out after matching. KR."""


class FlipRule(StrEnum):
    """Where a horizontal flip mirrors the boxes of a training view; W is the width there."""

    BEFORE_RESIZE = "before_resize"
    """W - x in the original. TV ``references/detection/transforms.py: RandomHorizontalFlip`` (float32), KR
    ``utils/image.py: adjust_transform_for_image`` about the centre (W / 2)."""
    BEFORE_RESIZE_INCLUSIVE = "before_resize_inclusive"
    """W - 1 - x in the original. PY ``lib/datasets/imdb.py: append_flipped_images``."""
    AFTER_RESIZE = "after_resize"
    """W - x of the resized image. D2 ``build_augmentation`` (float64, before the clip), MM ``RandomFlip``,
    ``HorizontalBoxes.flip_`` (float32)."""
    AFTER_PADDING = "after_padding"
    """W - x of the padded image: an odd pixel of padding changes sides too. MP ``load_image_gt`` flips what
    ``resize_image`` gave, masks likewise."""


# ---------------------------------------------------------------------- matching


class FloatKind(StrEnum):
    """Precision of an operation."""

    FLOAT32 = "float32"
    FLOAT64 = "float64"


class UnionGuard(StrEnum):
    """What keeps the union from being zero."""

    NONE = "none"
    """Nothing. All but MM."""
    AT_LEAST_1E_6 = "at_least_1e-6"
    """The union is at least 1e-6. MM ``bbox_overlaps``."""


class NegativeTest(StrEnum):
    """When a best IoU makes an anchor negative."""

    BELOW = "below"
    """IoU < ``bg_iou_thresh``. All but KR."""
    AT_MOST = "at_most"
    """IoU <= ``bg_iou_thresh``. KR."""


class TieRule(StrEnum):
    """Which anchors count as the best of a ground-truth box when several share its best IoU."""

    ALL = "all"
    """Every one. TV, D2, MM (``gt_max_assign_all``), MP since 2019, PY."""
    FIRST = "first"
    """The one with the lowest index. MP before 2019."""


class ForcedTarget(StrEnum):
    """What a best anchor regresses to."""

    OWN_BEST = "own_best"
    """The box it overlaps most. TV, D2, MP, PY."""
    CLAIMING = "claiming"
    """The box that claimed it, the last one of several; also anchors above the threshold change over. MM."""


class MatchOrder(StrEnum):
    """Whether negatives can take positives back."""

    NEGATIVES_FIRST = "negatives_first"
    """A forced anchor stays positive. All, PY by default."""
    NEGATIVES_LAST = "negatives_last"
    """A forced anchor below ``bg_iou_thresh`` turns negative. PY's ``RPN_CLOBBER_POSITIVES``."""


class BorderRule(StrEnum):
    """When anchors that reach beyond the image by ``border_thresh`` are left out."""

    NONE = "none"
    """Never. TV, MP, KR."""
    BEFORE = "before"
    """Before matching: another anchor becomes the best. MM, PY."""
    AFTER = "after"
    """After matching: a box may lose its best anchor. D2."""


# ---------------------------------------------------------------------- mini-batch


class DrawRule(StrEnum):
    """Random generator of the mini-batch and when it is asked."""

    TORCH_ALWAYS = "torch_always"
    """``torch.randperm`` of the positives, then of the negatives, always both. TV, D2."""
    TORCH_IF_NEEDED = "torch_if_needed"
    """``torch.randperm`` only where something must be dropped. MM."""
    NUMPY_DROPS = "numpy_drops"
    """``numpy.random.choice`` draws what is dropped, only where something must be. MP, PY."""
    NONE = "none"
    """No mini-batch: all positives and negatives train. KR (focal loss)."""


# ---------------------------------------------------------------------- box coder


class Codec(StrEnum):
    """What deltas are."""

    CENTRE_SIZE = "centre_size"
    """dx, dy of the centre and dw, dh as logarithms. All but KR."""
    CORNERS = "corners"
    """Offsets of the corners. KR."""


class CoderPixels(StrEnum):
    """How the coder measures boxes."""

    EXCLUSIVE = "exclusive"
    """Width is x2 - x1, centre x1 + width / 2. TV, D2, MP, KR."""
    MEAN_CENTRE = "mean_centre"
    """Width is x2 - x1, centre (x1 + x2) / 2. MM."""
    INCLUSIVE = "inclusive"
    """Width is x2 - x1 + 1, and decoding does not take the 1 back. PY."""


class DecodeClamp(StrEnum):
    """Which side of ``dwh_clip`` is enforced when decoding."""

    UPPER = "upper"
    """dw, dh <= clip. TV, D2."""
    BOTH = "both"
    """-clip <= dw, dh <= clip. MM."""


class CoderWeights(StrEnum):
    """How the coder's weights act."""

    MULTIPLY = "multiply"
    """Targets are multiplied, deltas divided by them. TV, D2, PY (1)."""
    DIVIDE_BY_INVERSE = "divide_by_inverse"
    """Targets are divided, deltas multiplied by standard deviations, their inverses. MM, MP (0.1, 0.2), KR (0.2)."""


class EndCorner(StrEnum):
    """How the lower right corner of a decoded box is found."""

    CENTRE_PLUS_HALF = "centre_plus_half"
    """centre + size / 2. All but MP."""
    START_PLUS_SIZE = "start_plus_size"
    """Upper left corner + size. MP."""


class ProposalFrame(StrEnum):
    """Coordinates in which proposals are decoded and suppressed."""

    PIXELS = "pixels"
    """Input pixels. All but MP."""
    NORMALISED = "normalised"
    """(box - [0, 0, 1, 1]) / [W - 1, H - 1, W - 1, H - 1] of the padded image, float32. MP."""


# ---------------------------------------------------------------------- proposals


class ProposalStages(StrEnum):
    """Whether there are proposals at all."""

    RPN = "rpn"
    """All but KR."""
    NONE = "none"
    """A one-stage detector. KR."""


class ScoreKind(StrEnum):
    """What boxes are ranked and reported by."""

    LOGIT_THEN_SIGMOID = "logit_then_sigmoid"
    """Top-k on logits, NMS and report on probabilities. TV."""
    LOGIT = "logit"
    """Logits all the way. D2."""
    PROBABILITY = "probability"
    """Probabilities all the way. MM (sigmoid), MP and PY (softmax)."""


class TopKScope(StrEnum):
    """What ``pre_nms_top_n`` counts."""

    PER_LEVEL = "per_level"
    """Boxes of every level. TV, D2, MM; PY has one level."""
    JOINT = "joint"
    """Boxes of all levels together. MP."""


class SmallBoxRule(StrEnum):
    """Which boxes are too small, and when that is asked."""

    AT_LEAST = "at_least"
    """Kept: both sides >= ``min_size``, after top-k. TV."""
    ABOVE = "above"
    """Kept: both sides > ``min_size``, after top-k. D2, MM."""
    INCLUSIVE_SCALED_FIRST = "inclusive_scaled_first"
    """Kept: both sides + 1 >= ``min_size`` times the image's scale, before top-k. PY."""
    NONE = "none"
    """None. MP."""


class NonFiniteRule(StrEnum):
    """What happens to boxes that are not a number."""

    BY_SIZE = "by_size"
    """``small_box`` decides: NaN fails its comparison, where there is one; infinite ones are clipped. All but D2."""
    DROPPED = "dropped"
    """Boxes and scores that are not finite are dropped before clipping. D2 at inference."""


class ClipRule(StrEnum):
    """What decoded boxes are cut to."""

    RESIZED = "resized"
    """[0, W] x [0, H] of the resized image. TV, D2, MM."""
    LAST_PIXEL = "last_pixel"
    """[0, W - 1] x [0, H - 1] of the resized image. PY."""
    PADDED = "padded"
    """The whole padded image. MP."""


class NmsCompare(StrEnum):
    """Arithmetic of "IoU above the threshold"."""

    FLOAT64_THRESH = "float64_thresh"
    """float32 IoU > threshold as a double. TV, D2."""
    FLOAT32_THRESH = "float32_thresh"
    """float32 IoU > threshold as a float32. MM (mmcv), MP (TensorFlow)."""
    AT_LEAST_FLOAT64_THRESH = "at_least_float64_thresh"
    """float32 IoU >= threshold as a double. PY (``cpu_nms``)."""


class NmsGrouping(StrEnum):
    """How boxes of different levels are kept from suppressing each other."""

    OFFSET_UP_TO_1000 = "offset_up_to_1000"
    """Up to 1000 boxes: shifted by level * (largest coordinate + 1) in float32; above: one NMS per level. TV, D2."""
    OFFSET = "offset"
    """Always shifted. MM."""
    JOINT = "joint"
    """Not at all. MP; PY has one level."""


class TieOrder(StrEnum):
    """Order of equal scores."""

    LOWER_INDEX = "lower_index"
    """The lower index first. TV, D2, MM, MP."""
    HIGHER_INDEX = "higher_index"
    """The higher index first. PY: ``argsort()[::-1]``."""


@dataclass(frozen=True)
class Conventions(Ruled):
    """One framework's side of every choice."""

    document_key: ClassVar[str] = "conventions"

    resize_limit: ResizeLimit = ruled(Choice(ResizeLimit), "How max_size limits the scale")
    resize_rounding: ResizeRounding = ruled(Choice(ResizeRounding), "How the resized sides become whole pixels")
    enlarging: Enlarging = ruled(Choice(Enlarging), "Whether min_size may shrink an image")
    padding: Padding = ruled(Choice(Padding), "Where the padding is")
    box_scaling: BoxScaling = ruled(Choice(BoxScaling), "How original boxes become input boxes")
    box_clip: BoxClip = ruled(Choice(BoxClip), "Whether scaled ground truth is cut to the image")
    flip: FlipRule = ruled(Choice(FlipRule), "Where the flip of a training view mirrors boxes")
    invalid_box: InvalidBoxRule = ruled(Choice(InvalidBoxRule), "Ground truth without a positive area")
    outside_box: OutsideRule = ruled(Choice(OutsideRule), "Ground truth that reaches beyond the image")
    crowd: CrowdRule = ruled(Choice(CrowdRule), "Crowd and ignore regions")
    difficult: DifficultRule = ruled(Choice(DifficultRule), "Objects that Pascal VOC marks difficult")
    empty_image: EmptyImageRule = ruled(Choice(EmptyImageRule), "Images without ground truth")
    ratio_meaning: RatioMeaning = ruled(Choice(RatioMeaning), "What an aspect ratio means")
    anchor_formula: AnchorFormula = ruled(Choice(AnchorFormula), "Order of the operations that make anchors")
    base_rounding: BaseRounding = ruled(Choice(BaseRounding), "Rounding of the base anchors")
    anchor_pixels: Pixels = ruled(Choice(Pixels), "What a coordinate of an anchor is")
    stride_source: StrideSource = ruled(Choice(StrideSource), "Where the distance of cells comes from")
    offset_unit: OffsetUnit = ruled(Choice(OffsetUnit), "What the offset counts in")
    cell_order: CellOrder = ruled(Choice(CellOrder), "Order of the anchors at one position")
    padding_anchors: PaddingAnchors = ruled(Choice(PaddingAnchors), "Whether anchors over the padding take part")
    iou_dtype: FloatKind = ruled(Choice(FloatKind), "Precision of anchors and IoUs")
    iou_pixels: Pixels = ruled(Choice(Pixels), "What a coordinate is when IoUs are taken")
    union_guard: UnionGuard = ruled(Choice(UnionGuard), "What keeps the union from being zero")
    threshold_dtype: FloatKind = ruled(Choice(FloatKind), "Precision in which IoU thresholds are compared")
    negative_test: NegativeTest = ruled(Choice(NegativeTest), "When a best IoU makes an anchor negative")
    tie_rule: TieRule = ruled(Choice(TieRule), "Which anchors share the best IoU of a ground-truth box")
    forced_target: ForcedTarget = ruled(Choice(ForcedTarget), "What a best anchor regresses to")
    match_order: MatchOrder = ruled(Choice(MatchOrder), "Whether negatives can take positives back")
    border: BorderRule = ruled(Choice(BorderRule), "When anchors beyond the border are left out")
    draw: DrawRule = ruled(Choice(DrawRule), "How the mini-batch is drawn")
    codec: Codec = ruled(Choice(Codec), "What deltas are")
    coder_pixels: CoderPixels = ruled(Choice(CoderPixels), "How the coder measures boxes")
    coder_weights: CoderWeights = ruled(Choice(CoderWeights), "How the coder's weights act")
    end_corner: EndCorner = ruled(Choice(EndCorner), "How the lower right corner of a decoded box is found")
    encode_dtype: FloatKind = ruled(Choice(FloatKind), "Precision in which targets are computed")
    decode_clamp: DecodeClamp = ruled(Choice(DecodeClamp), "Which side of dwh_clip is enforced")
    proposal_stages: ProposalStages = ruled(Choice(ProposalStages), "Whether there are proposals")
    proposal_frame: ProposalFrame = ruled(Choice(ProposalFrame), "Coordinates in which proposals are made")
    score: ScoreKind = ruled(Choice(ScoreKind), "What boxes are ranked by")
    top_k: TopKScope = ruled(Choice(TopKScope), "What pre_nms_top_n counts")
    small_box: SmallBoxRule = ruled(Choice(SmallBoxRule), "Which boxes are too small")
    non_finite: NonFiniteRule = ruled(Choice(NonFiniteRule), "What happens to boxes that are not a number")
    clip: ClipRule = ruled(Choice(ClipRule), "What decoded boxes are cut to")
    nms_compare: NmsCompare = ruled(Choice(NmsCompare), "How an IoU is compared in NMS")
    nms_pixels: Pixels = ruled(Choice(Pixels), "What a coordinate is in NMS")
    nms_grouping: NmsGrouping = ruled(Choice(NmsGrouping), "How levels are kept apart in NMS")
    tie_order: TieOrder = ruled(Choice(TieOrder), "Order of equal scores")

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
