"""Parameters as assignments of mmdetection 3, to paste below the ``_base_`` of a configuration."""

from __future__ import annotations

from typing import Any

from rpnviz.configs.deviations import exact_inverse
from rpnviz.configs.train_sides import training_sides
from rpnviz.core.conventions import CrowdRule, TieRule
from rpnviz.core.params import Params, ResizeMode
from rpnviz.core.presets import Preset


def write(params: Params, preset: Preset) -> str:
    """The assignments; what they replace in a base is deleted there first, since mmdetection merges dictionaries."""
    anchors, match, proposals, resize = params.anchors, params.match, params.proposals, params.resize
    conventions = preset.conventions
    bases = anchors.base_sizes if isinstance(anchors.base_sizes, tuple) else anchors.strides
    own_bases = [f"            base_sizes={_list(bases)},"] if tuple(bases) != tuple(anchors.strides) else []
    flags = [
        ("gt_max_assign_all", conventions.tie_rule is not TieRule.FIRST),
        ("ignore_wrt_candidates", conventions.crowd is not CrowdRule.IGNORES_BY_IOF_OF_REGION),
    ]
    legacy = conventions.base_rounding == "corners"
    least = [] if conventions.small_box == "none" else [f"min_bbox_size={_plain(proposals.min_size)},"]

    def proposal(mode: str) -> str:
        before, after = (getattr(top, mode) for top in (proposals.pre_nms_top_n, proposals.post_nms_top_n))
        return (
            f"dict(\n            nms_pre={before}, max_per_img={after}, {''.join(least)}\n"
            f"            nms=dict(_delete_=True, type='nms', iou_threshold={proposals.nms_thresh!r}))"
        )

    deviations = [exact_inverse(weight) or 1 / weight for weight in params.coder.weights]
    drawn = [
        f"                num={params.sample.batch_size_per_image},",
        f"                pos_fraction={params.sample.positive_fraction!r},",
        "                neg_pos_ub=-1,",
        "                add_gt_as_proposals=False),",
    ]
    if conventions.draw == "none":
        drawn = ["            ),"]
    lines = [
        "# For mmdetection 3: below the _base_ of your configuration.",
        "model = dict(",
        f"    data_preprocessor=dict(pad_size_divisor={resize.pad_multiple}),",
        "    rpn_head=dict(",
        "        type='RPNHead',",
        "        anchor_generator=dict(",
        "            _delete_=True,",
        f"            type='{'LegacyAnchorGenerator' if legacy else 'AnchorGenerator'}',",
        f"            strides={_list(anchors.strides)},",
        *own_bases,
        f"            scales={_list(anchors.scales)},",
        f"            ratios={_list(anchors.aspect_ratios[0])},",
        f"            scale_major={conventions.cell_order == 'ratio_size'},",
        *([f"            center_offset={anchors.offset!r}),"] if 0 <= anchors.offset <= 1 else ["        ),"]),
        "        bbox_coder=dict(",
        "            _delete_=True,",
        "            type='DeltaXYWHBBoxCoder',",
        "            target_means=[0.0, 0.0, 0.0, 0.0],",
        f"            target_stds={_list(deviations)})),",
        "    train_cfg=dict(",
        "        rpn=dict(",
        "            assigner=dict(",
        "                _delete_=True,",
        "                type='MaxIoUAssigner',",
        f"                pos_iou_thr={match.fg_iou_thresh!r},",
        f"                neg_iou_thr={match.bg_iou_thresh!r},",
        f"                min_pos_iou={match.min_pos_iou!r},",
        f"                match_low_quality={match.allow_low_quality_matches},",
        *(f"                {key}={value}," for key, value in flags),
        f"                ignore_iof_thr={_plain(match.ignore_iof_thresh)}),",
        "            sampler=dict(",
        "                _delete_=True,",
        f"                type='{'PseudoSampler' if conventions.draw == 'none' else 'RandomSampler'}',",
        *drawn,
        f"            allowed_border={_plain(match.border_thresh)}),",
        f"        rpn_proposal={proposal('train')}),",
        f"    test_cfg=dict(rpn={proposal('test')}))",
        f"randomness = dict(seed={params.sample.seed})",
    ]
    if resize.mode is ResizeMode.SHORTEST_EDGE:
        scales = [f"({max(resize.max_size, side)}, {min(resize.max_size, side)})" for side in training_sides(params)]
        kind = f"'Resize', scale={scales[0]}"
        if len(scales) > 1:
            kind = f"'RandomChoiceResize', scales=[{', '.join(scales)}]"
        lines += [
            "# In place of the Resize in your train_pipeline; the one of test_pipeline stays as it is:",
            f"train_resize = dict(type={kind}, keep_ratio=True)",
        ]
    elif resize.mode is ResizeMode.SCALE:
        lines += [
            "# In place of the Resize in your train_pipeline and test_pipeline:",
            f"train_resize = dict(type='Resize', scale_factor={resize.scale!r}, keep_ratio=True)",
        ]
    elif resize.mode is ResizeMode.NONE:
        lines += ["# Take the Resize out of your train_pipeline and test_pipeline.", "train_resize = None"]
    return "\n".join(lines) + "\n"


def _list(values: Any) -> str:
    return "[" + ", ".join(_plain(value) for value in values) + "]"


def _plain(value: float) -> str:
    """A number without a needless fraction."""
    return repr(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(value)
