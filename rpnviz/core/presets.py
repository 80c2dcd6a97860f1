"""Frameworks as data: conventions plus default parameters under a name."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
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


_TORCHVISION = Preset(
    name="torchvision",
    # torchvision 0.28 models/detection/faster_rcnn.py: fasterrcnn_resnet50_fpn and its FasterRCNN defaults.
    params=Params(
        resize=ResizeParams(mode=ResizeMode.SHORTEST_EDGE, min_size=800, max_size=1333, pad_multiple=32),
        anchors=AnchorParams(
            strides=(4, 8, 16, 32, 64),
            sizes=((32,), (64,), (128,), (256,), (512,)),
            aspect_ratios=((0.5, 1.0, 2.0),) * 5,
        ),
        match=MatchParams(fg_iou_thresh=0.7, bg_iou_thresh=0.3, allow_low_quality_matches=True, min_pos_iou=0.0),
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
        resize_rounding=c.ResizeRounding.FLOOR,
        box_scaling=c.BoxScaling.PER_AXIS_FLOAT32,
        ratio_meaning=c.RatioMeaning.HEIGHT_OVER_WIDTH,
        base_rounding=c.BaseRounding.CORNERS,
        stride_source=c.StrideSource.FEATURE_MAP,
        cell_order=c.CellOrder.RATIO_SIZE,
        iou_dtype=c.FloatKind.FLOAT32,
        threshold_dtype=c.FloatKind.FLOAT32,
        tie_rule=c.TieRule.ALL,
        invalid_box=c.InvalidBoxRule.RAISES,
        crowd=c.CrowdRule.DROPS,
        empty_image=c.EmptyImageRule.ALL_NEGATIVE,
        draw=c.DrawRule.TORCH_ALWAYS_BOTH,
        nms_compare=c.NmsCompare.FLOAT32_IOU_FLOAT64_THRESH,
        nms_grouping=c.NmsGrouping.OFFSET_UP_TO_1000,
    ),
)

_PRESETS = {preset.name: preset for preset in (_TORCHVISION,)}


def names() -> list[str]:
    """Names of all presets, in menu order."""
    return list(_PRESETS)


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
