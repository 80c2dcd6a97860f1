"""Frameworks as data: conventions plus default parameters under a name.

torchvision is written out; the others list what they decide otherwise. CONVENTIONS in each field's enumeration says
who takes which side.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from rpnviz.core import conventions as c
from rpnviz.core.params import (
    AnchorParams,
    CoderParams,
    MatchParams,
    Params,
    ProposalMode,
    ProposalParams,
    ResizeMode,
    ResizeParams,
    SampleParams,
    TopN,
    TrainViews,
    read_params,
)
from rpnviz.core.rules import plain
from rpnviz.errors import ParamsError


@dataclass(frozen=True)
class Preset:
    """A framework: how it decides, and the numbers it starts with."""

    name: str
    params: Params
    conventions: c.Conventions


_RATIOS = (0.5, 1.0, 2.0)
_FPN_STRIDES = (4, 8, 16, 32, 64)
_FPN_SIZES = ((32,), (64,), (128,), (256,), (512,))

# torchvision 0.28 models/detection/faster_rcnn.py: fasterrcnn_resnet50_fpn and its FasterRCNN defaults.
_TORCHVISION = Preset(
    name="torchvision",
    params=Params(
        resize=ResizeParams(
            mode=ResizeMode.SHORTEST_EDGE, min_size=800, max_size=1333, scale=1.0, min_scale=0.0, pad_multiple=32
        ),
        anchors=AnchorParams(
            strides=_FPN_STRIDES,
            sizes=_FPN_SIZES,
            aspect_ratios=(_RATIOS,) * 5,
            offset=0.0,
            base_sizes=-1,
            scales=(1.0,),
            subsample=1,
        ),
        match=MatchParams(
            fg_iou_thresh=0.7,
            bg_iou_thresh=0.3,
            allow_low_quality_matches=True,
            min_pos_iou=0.0,
            border_thresh=-1.0,
            ignore_iof_thresh=-1.0,
        ),
        sample=SampleParams(batch_size_per_image=256, positive_fraction=0.5, seed=0),
        coder=CoderParams(weights=(1.0, 1.0, 1.0, 1.0), dwh_clip=math.log(1000.0 / 16)),
        proposals=ProposalParams(
            mode=ProposalMode.TEST,
            pre_nms_top_n=TopN(train=2000, test=1000),
            post_nms_top_n=TopN(train=2000, test=1000),
            score_thresh=0.0,
            min_size=1e-3,
            nms_thresh=0.7,
        ),
    ),
    conventions=c.Conventions(
        resize_limit=c.ResizeLimit.SMALLER_SCALE,
        resize_rounding=c.ResizeRounding.FLOOR,
        enlarging=c.Enlarging.BOTH_WAYS,
        padding=c.Padding.BOTTOM_RIGHT,
        box_scaling=c.BoxScaling.PER_AXIS_FLOAT32,
        box_clip=c.BoxClip.NONE,
        flip=c.FlipRule.BEFORE_RESIZE,
        invalid_box=c.InvalidBoxRule.RAISES,
        outside_box=c.OutsideRule.KEEPS,
        crowd=c.CrowdRule.DROPS,
        difficult=c.DifficultRule.KEEPS,
        empty_image=c.EmptyImageRule.ALL_NEGATIVE,
        ratio_meaning=c.RatioMeaning.HEIGHT_OVER_WIDTH,
        anchor_formula=c.AnchorFormula.ROOT_THEN_SIZE,
        base_rounding=c.BaseRounding.CORNERS,
        anchor_pixels=c.Pixels.EXCLUSIVE,
        stride_source=c.StrideSource.FEATURE_MAP,
        offset_unit=c.OffsetUnit.STRIDE,
        cell_order=c.CellOrder.RATIO_SIZE,
        padding_anchors=c.PaddingAnchors.USED,
        iou_dtype=c.FloatKind.FLOAT32,
        iou_pixels=c.Pixels.EXCLUSIVE,
        union_guard=c.UnionGuard.NONE,
        threshold_dtype=c.FloatKind.FLOAT32,
        negative_test=c.NegativeTest.BELOW,
        tie_rule=c.TieRule.ALL,
        forced_target=c.ForcedTarget.OWN_BEST,
        match_order=c.MatchOrder.NEGATIVES_FIRST,
        border=c.BorderRule.NONE,
        draw=c.DrawRule.TORCH_ALWAYS,
        codec=c.Codec.CENTRE_SIZE,
        coder_pixels=c.CoderPixels.EXCLUSIVE,
        coder_weights=c.CoderWeights.MULTIPLY,
        end_corner=c.EndCorner.CENTRE_PLUS_HALF,
        encode_dtype=c.FloatKind.FLOAT32,
        decode_clamp=c.DecodeClamp.UPPER,
        proposal_stages=c.ProposalStages.RPN,
        proposal_frame=c.ProposalFrame.PIXELS,
        score=c.ScoreKind.LOGIT_THEN_SIGMOID,
        top_k=c.TopKScope.PER_LEVEL,
        small_box=c.SmallBoxRule.AT_LEAST,
        non_finite=c.NonFiniteRule.BY_SIZE,
        clip=c.ClipRule.RESIZED,
        nms_compare=c.NmsCompare.FLOAT64_THRESH,
        nms_pixels=c.Pixels.EXCLUSIVE,
        nms_grouping=c.NmsGrouping.OFFSET_UP_TO_1000,
        tie_order=c.TieOrder.LOWER_INDEX,
    ),
)


def _like(base: Preset, name: str, groups: Mapping[str, Mapping[str, Any]], **conventions: object) -> Preset:
    """A preset that differs from another in some fields."""
    params = base.params
    for group, values in groups.items():
        params = params.with_values(group, **values)
    return Preset(name, params, replace(base.conventions, **conventions))  # type: ignore[arg-type]


# detectron2 configs/Base-RCNN-FPN.yaml over config/defaults.py.
_DETECTRON2 = _like(
    _TORCHVISION,
    "detectron2",
    {"proposals": {"post_nms_top_n": TopN(train=1000, test=1000), "min_size": 0.0}},
    resize_limit=c.ResizeLimit.LONG_SIDE_AGAIN,
    resize_rounding=c.ResizeRounding.HALF_UP,
    box_scaling=c.BoxScaling.PER_AXIS_FLOAT64,
    box_clip=c.BoxClip.IMAGE,
    flip=c.FlipRule.AFTER_RESIZE,
    invalid_box=c.InvalidBoxRule.DROPS_TINY,
    anchor_formula=c.AnchorFormula.AREA,
    base_rounding=c.BaseRounding.NONE,
    stride_source=c.StrideSource.NOMINAL,
    cell_order=c.CellOrder.SIZE_RATIO,
    border=c.BorderRule.AFTER,
    score=c.ScoreKind.LOGIT,
    small_box=c.SmallBoxRule.ABOVE,
    non_finite=c.NonFiniteRule.DROPPED,
)

# mmdetection 3 configs/_base_/models/faster-rcnn_r50_fpn.py.
_MMDETECTION = _like(
    _TORCHVISION,
    "mmdetection",
    {
        "anchors": {"sizes": -1, "base_sizes": _FPN_STRIDES, "scales": (8.0,)},
        "match": {"min_pos_iou": 0.3},
        "coder": {"dwh_clip": abs(math.log(16 / 1000))},
        "proposals": {"post_nms_top_n": TopN(train=1000, test=1000), "min_size": 0.0},
    },
    resize_rounding=c.ResizeRounding.HALF_UP,
    box_clip=c.BoxClip.IMAGE,
    flip=c.FlipRule.AFTER_RESIZE,
    invalid_box=c.InvalidBoxRule.DROPS,
    crowd=c.CrowdRule.IGNORES_BY_IOF,
    difficult=c.DifficultRule.AS_CROWD,
    anchor_formula=c.AnchorFormula.BASE_ROOT_SCALE,
    base_rounding=c.BaseRounding.NONE,
    stride_source=c.StrideSource.NOMINAL,
    offset_unit=c.OffsetUnit.BASE,
    padding_anchors=c.PaddingAnchors.CELLS_LEFT_OUT,
    union_guard=c.UnionGuard.AT_LEAST_1E_6,
    forced_target=c.ForcedTarget.CLAIMING,
    border=c.BorderRule.BEFORE,
    draw=c.DrawRule.TORCH_IF_NEEDED,
    coder_pixels=c.CoderPixels.MEAN_CENTRE,
    coder_weights=c.CoderWeights.DIVIDE_BY_INVERSE,
    decode_clamp=c.DecodeClamp.BOTH,
    score=c.ScoreKind.PROBABILITY,
    small_box=c.SmallBoxRule.ABOVE,
    nms_compare=c.NmsCompare.FLOAT32_THRESH,
    nms_grouping=c.NmsGrouping.OFFSET,
)

# Matterport Mask_RCNN mrcnn/config.py, master after March 2019.
_MATTERPORT = _like(
    _TORCHVISION,
    "matterport",
    {
        "resize": {"mode": ResizeMode.SQUARE, "max_size": 1024, "pad_multiple": 64},
        "coder": {"weights": (10.0, 10.0, 5.0, 5.0), "dwh_clip": -1.0},
        "proposals": {"pre_nms_top_n": TopN(train=6000, test=6000), "min_size": 0.0},
    },
    resize_limit=c.ResizeLimit.ROUNDED_LONG_SIDE,
    resize_rounding=c.ResizeRounding.HALF_EVEN,
    enlarging=c.Enlarging.NEVER_SHRINKS,
    padding=c.Padding.CENTRED,
    box_scaling=c.BoxScaling.MASKS,
    flip=c.FlipRule.AFTER_PADDING,
    invalid_box=c.InvalidBoxRule.DROPS,
    crowd=c.CrowdRule.BARS_NEGATIVES,
    empty_image=c.EmptyImageRule.REFUSES,
    ratio_meaning=c.RatioMeaning.WIDTH_OVER_HEIGHT,
    anchor_formula=c.AnchorFormula.SIZE_TIMES_ROOT,
    base_rounding=c.BaseRounding.NONE,
    stride_source=c.StrideSource.NOMINAL,
    iou_dtype=c.FloatKind.FLOAT64,
    threshold_dtype=c.FloatKind.FLOAT64,
    draw=c.DrawRule.NUMPY_DROPS,
    coder_weights=c.CoderWeights.DIVIDE_BY_INVERSE,
    end_corner=c.EndCorner.START_PLUS_SIZE,
    encode_dtype=c.FloatKind.FLOAT64,
    proposal_frame=c.ProposalFrame.NORMALISED,
    score=c.ScoreKind.PROBABILITY,
    top_k=c.TopKScope.JOINT,
    small_box=c.SmallBoxRule.NONE,
    clip=c.ClipRule.PADDED,
    nms_compare=c.NmsCompare.FLOAT32_THRESH,
    nms_grouping=c.NmsGrouping.JOINT,
)

# The mrcnn 0.2 package, before pull request 1286.
_MATTERPORT_OLD = _like(_MATTERPORT, "matterport-old", {}, tie_rule=c.TieRule.FIRST)

# py-faster-rcnn lib/fast_rcnn/config.py and the VGG16 prototxt.
_PY_FASTER_RCNN = _like(
    _TORCHVISION,
    "py-faster-rcnn",
    {
        "resize": {"min_size": 600, "max_size": 1000, "pad_multiple": 1},
        "anchors": {
            "strides": (16,),
            "sizes": -1,
            "aspect_ratios": (_RATIOS,),
            "base_sizes": (16.0,),
            "scales": (8.0, 16.0, 32.0),
            "offset": 0.5,
        },
        "match": {"border_thresh": 0.0},
        "coder": {"dwh_clip": -1.0},
        "proposals": {
            "pre_nms_top_n": TopN(train=12000, test=6000),
            "post_nms_top_n": TopN(train=2000, test=300),
            "min_size": 16.0,
        },
    },
    resize_limit=c.ResizeLimit.ROUNDED_LONG_SIDE,
    resize_rounding=c.ResizeRounding.HALF_EVEN,
    box_scaling=c.BoxScaling.ONE_FACTOR_FLOAT32,
    flip=c.FlipRule.BEFORE_RESIZE_INCLUSIVE,
    invalid_box=c.InvalidBoxRule.KEEPS,
    crowd=c.CrowdRule.KEEPS,
    difficult=c.DifficultRule.DROPS,
    empty_image=c.EmptyImageRule.REFUSES,
    anchor_formula=c.AnchorFormula.ROUNDED_RATIO,
    base_rounding=c.BaseRounding.NONE,
    anchor_pixels=c.Pixels.INCLUSIVE,
    stride_source=c.StrideSource.NOMINAL,
    offset_unit=c.OffsetUnit.BASE,
    iou_dtype=c.FloatKind.FLOAT64,
    iou_pixels=c.Pixels.INCLUSIVE,
    threshold_dtype=c.FloatKind.FLOAT64,
    border=c.BorderRule.BEFORE,
    draw=c.DrawRule.NUMPY_DROPS,
    coder_pixels=c.CoderPixels.INCLUSIVE,
    encode_dtype=c.FloatKind.FLOAT64,
    score=c.ScoreKind.PROBABILITY,
    small_box=c.SmallBoxRule.INCLUSIVE_SCALED_FIRST,
    clip=c.ClipRule.LAST_PIXEL,
    nms_compare=c.NmsCompare.AT_LEAST_FLOAT64_THRESH,
    nms_pixels=c.Pixels.INCLUSIVE,
    nms_grouping=c.NmsGrouping.JOINT,
    tie_order=c.TieOrder.HIGHER_INDEX,
)

# keras-retinanet 0.5 utils/anchors.py: AnchorParameters.default.
_KERAS_RETINANET = _like(
    _TORCHVISION,
    "keras-retinanet",
    {
        "resize": {"pad_multiple": 1},
        "anchors": {
            "strides": (8, 16, 32, 64, 128),
            "sizes": -1,
            "base_sizes": (32.0, 64.0, 128.0, 256.0, 512.0),
            "scales": (1.0, 2 ** (1 / 3), 2 ** (2 / 3)),
            "offset": 0.5,
        },
        "match": {"fg_iou_thresh": 0.5, "bg_iou_thresh": 0.4, "allow_low_quality_matches": False},
        "coder": {"weights": (5.0, 5.0, 5.0, 5.0), "dwh_clip": -1.0},
    },
    resize_limit=c.ResizeLimit.LONG_SIDE,
    resize_rounding=c.ResizeRounding.HALF_EVEN,
    box_scaling=c.BoxScaling.ONE_FACTOR_FLOAT64,
    invalid_box=c.InvalidBoxRule.DROPS,
    outside_box=c.OutsideRule.DROPS,
    anchor_formula=c.AnchorFormula.AREA_OF_SCALED,
    base_rounding=c.BaseRounding.NONE,
    stride_source=c.StrideSource.NOMINAL,
    padding_anchors=c.PaddingAnchors.CENTRES_LEFT_OUT,
    iou_dtype=c.FloatKind.FLOAT64,
    threshold_dtype=c.FloatKind.FLOAT64,
    negative_test=c.NegativeTest.AT_MOST,
    draw=c.DrawRule.NONE,
    codec=c.Codec.CORNERS,
    coder_weights=c.CoderWeights.DIVIDE_BY_INVERSE,
    encode_dtype=c.FloatKind.FLOAT64,
    proposal_stages=c.ProposalStages.NONE,
)

_PRESETS = {
    preset.name: preset
    for preset in (
        _TORCHVISION,
        _DETECTRON2,
        _MMDETECTION,
        _MATTERPORT,
        _MATTERPORT_OLD,
        _PY_FASTER_RCNN,
        _KERAS_RETINANET,
    )
}


def names() -> list[str]:
    """Names of all presets, in menu order."""
    return list(_PRESETS)


_FLIPPED = TrainViews(flip=True)
_USUAL_VIEWS = {
    # references/detection/train.py: --data-augmentation hflip.
    "torchvision": _FLIPPED,
    # configs/Base-RCNN-FPN.yaml: MIN_SIZE_TRAIN; config/defaults.py: RANDOM_FLIP "horizontal", CROP off.
    "detectron2": TrainViews(min_sizes=(640, 672, 704, 736, 768, 800), flip=True),
    # configs/_base_/datasets/coco_detection.py: Resize (1333, 800), RandomFlip 0.5.
    "mmdetection": _FLIPPED,
    # samples/coco/coco.py: imgaug Fliplr(0.5).
    "matterport": _FLIPPED,
    "matterport-old": _FLIPPED,
    # lib/fast_rcnn/config.py: TRAIN.SCALES (600,), TRAIN.USE_FLIPPED.
    "py-faster-rcnn": _FLIPPED,
    # bin/train.py: flip_x_chance 0.5, also without --random-transform.
    "keras-retinanet": _FLIPPED,
}


def usual_views(name: str) -> TrainViews:
    """The views in which a framework's own default configuration shows every image.

    Raises:
        ParamsError: there is no such preset.
    """
    return _USUAL_VIEWS[load(name).name]


def load(name: str) -> Preset:
    """The preset of that name.

    Raises:
        ParamsError: there is none; names the known ones.
    """
    try:
        return _PRESETS[name]
    except KeyError:
        raise ParamsError(f"there is no preset {name!r}; known are {', '.join(_PRESETS)}.", where="preset") from None


def to_document(preset: Preset, params: Params, conventions: c.Conventions | None = None) -> dict[str, Any]:
    """The Params document: every field of every group, and of the conventions only what differs from the preset."""
    overrides = {} if conventions is None else conventions.overrides_from(preset.conventions)
    return {"preset": preset.name, **plain(params), "conventions": overrides}


def from_document(document: Mapping[str, Any], default_preset: str = "torchvision") -> Preset:
    """Preset, params and conventions that a document asks for; missing fields come from its preset.

    Returns:
        A preset whose params and conventions carry the document's changes.

    Raises:
        ParamsError: names the unknown or wrong field, its value and what is allowed.
    """
    if not isinstance(document, Mapping):
        raise ParamsError(f"expected an object with parameter groups, got {type(document).__name__}.", where="params")
    groups = dict(document)
    base = load(groups.pop("preset", default_preset))
    overrides = groups.pop("conventions", {})
    if not isinstance(overrides, Mapping):
        raise ParamsError(f"{overrides!r} is not allowed, expected an object.", where="conventions")
    return Preset(base.name, read_params(groups, base.params), base.conventions.overridden(overrides))
