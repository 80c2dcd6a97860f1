"""Each framework's own names, box order and settings in a manifest, as rpnviz's parameters and arrays.

Nothing here computes anything that is tested: it renames, reorders and fills in presets.
"""

from __future__ import annotations

import ast
import dataclasses
from typing import Any

import numpy as np
from cases import Case

from rpnviz.core import presets
from rpnviz.core.anchors import Anchors, grid_shapes, make_anchors
from rpnviz.core.conventions import BaseRounding, CellOrder, CrowdRule, MatchOrder, NmsCompare, Pixels
from rpnviz.core.frame import Frame
from rpnviz.core.params import AnchorParams, Params
from rpnviz.core.presets import Preset


def preset_of(case: Case, variant: str = "") -> Preset:
    """The preset of a case with its conventions' variants; ``variant`` "old" is Matterport before 2019."""
    preset = presets.load(f"{case.framework}-{variant}" if variant == "old" else case.framework)
    changes: dict[str, Any] = {}
    given = case.params
    if given.get("cls") == "LegacyAnchorGenerator":
        changes |= {"base_rounding": BaseRounding.CORNERS, "anchor_pixels": Pixels.INCLUSIVE}
    if given.get("scale_major") is False:
        changes["cell_order"] = CellOrder.SIZE_RATIO
    if given.get("RPN_CLOBBER_POSITIVES"):
        changes["match_order"] = MatchOrder.NEGATIVES_LAST
    if given.get("assigner", {}).get("ignore_wrt_candidates") is False:
        changes["crowd"] = CrowdRule.IGNORES_BY_IOF_OF_REGION
    if given.get("assigner", {}).get("gt_max_assign_all") is False:
        changes["tie_rule"] = "first"
    return dataclasses.replace(preset, conventions=dataclasses.replace(preset.conventions, **changes))


def anchor_params(case: Case, preset: Preset, levels: int) -> AnchorParams:
    """Strides, sizes and ratios of a case."""
    given, default = case.params, preset.params.anchors
    ratios = given.get("aspect_ratios", given.get("ratios", given.get("RPN_ANCHOR_RATIOS", [0.5, 1.0, 2.0])))
    if not isinstance(ratios[0], list):
        ratios = [ratios]
    if len(ratios) == 1:
        ratios = ratios * levels
    values: dict[str, Any] = {"aspect_ratios": ratios, "offset": default.offset, "subsample": 1}
    match case.framework:
        case "torchvision":
            values |= {"strides": (1,) * levels, "sizes": given["sizes"], "base_sizes": -1, "scales": (1,)}
        case "detectron2":
            sizes = given["sizes"] * (levels if len(given["sizes"]) == 1 else 1)
            values |= {"strides": given["strides"], "sizes": sizes, "base_sizes": -1, "scales": (1,)}
            values["offset"] = given["offset"]
        case "mmdetection":
            strides = given["strides"]
            if "octave_base_scale" in given:
                octaves = np.arange(given["scales_per_octave"])
                scales = (given["octave_base_scale"] * 2 ** (octaves / given["scales_per_octave"])).tolist()
            else:
                scales = given["scales"]
            values |= {"strides": strides, "sizes": -1, "scales": scales}
            values |= {"base_sizes": given.get("base_sizes", strides), "offset": given.get("center_offset", 0.0)}
        case "matterport":
            scales = given["RPN_ANCHOR_SCALES"]
            values |= {"strides": given["BACKBONE_STRIDES"], "sizes": [[scale] for scale in scales]}
            values |= {"base_sizes": -1, "scales": (1,), "subsample": given["RPN_ANCHOR_STRIDE"]}
        case "py-faster-rcnn":
            values |= {"strides": (given.get("feat_stride", 16),), "sizes": -1, "scales": given["scales"]}
            values["base_sizes"] = (given.get("base_size", 16),)
        case "keras-retinanet":
            default_scales = [1.0, 2 ** (1 / 3), 2 ** (2 / 3)]
            values |= {"strides": given.get("strides", default.strides), "sizes": -1}
            values |= {
                "base_sizes": given.get("sizes", default.base_sizes),
                "scales": given.get("scales", default_scales),
            }
    return AnchorParams(**values)


def base_anchor_params(text: str, preset: Preset) -> AnchorParams:
    """Keyword arguments of py-faster-rcnn's ``generate_anchors`` as they stand in the manifest."""
    given = ast.literal_eval(text)
    default = preset.params.anchors
    return dataclasses.replace(
        default,
        base_sizes=(given.get("base_size", 16),),
        aspect_ratios=(given.get("ratios", default.aspect_ratios[0]),),
        scales=given.get("scales", default.scales),
    )


def canvas_size(case: Case, inputs: dict[str, np.ndarray]) -> tuple[int, int]:
    """(H, W) of the tensor that the network sees."""
    given = case.params
    for source in (
        given.get("batch_shape"),
        given.get("padded_size"),
        given.get("pad_shape"),
        given.get("image_shape"),
    ):
        if source is not None:
            return source[0], source[1]
    for name in ("padded_size", "image_shape", "image_size"):
        if name in inputs:
            return int(inputs[name][0]), int(inputs[name][1])
    if "image_sizes" in inputs:
        return tuple(np.max(inputs["image_sizes"], axis=0).tolist())
    return tuple(given.get("image_size", (1, 1)))


def anchors_of(case: Case, inputs: dict[str, np.ndarray], preset: Preset) -> Anchors:
    """The anchors of a case: the list it gives, or those its settings make."""
    if case.params.get("custom_anchor_list"):
        return Anchors.from_boxes(xyxy(case, inputs["anchors"]))
    size = canvas_size(case, inputs)
    shapes = shapes_of(case, inputs)
    levels = len(shapes) if shapes else len(preset.params.anchors.strides)
    params = anchor_params(case, preset, levels)
    return make_anchors(size, params, preset.conventions, shapes or grid_shapes(size, params))


def shapes_of(case: Case, inputs: dict[str, np.ndarray]) -> list[tuple[int, int]]:
    """(H, W) of every feature map, empty if the case does not say."""
    given = case.params
    if "feature_shapes" in given:
        return [tuple(shape) for shape in given["feature_shapes"]]
    if "feature_shape" in given:
        return [tuple(given["feature_shape"])]
    if "feature_shapes" in inputs:
        return [tuple(shape) for shape in inputs["feature_shapes"].tolist()]
    if "feature_shape" in inputs:
        return [tuple(inputs["feature_shape"].tolist())]
    return []


def frame_of(case: Case, inputs: dict[str, np.ndarray]) -> Frame:
    """An image that is not resized, in its padded canvas."""
    padded = canvas_size(case, inputs)
    size = (
        tuple(inputs["image_size"].tolist()) if "image_size" in inputs else tuple(case.params.get("image_size", padded))
    )
    own = tuple(case.params.get("pad_shape", padded))
    return Frame(size[:2], size[:2], padded, (1.0, 1.0), (0, 0), own)


def match_params(case: Case, preset: Preset) -> Params:
    """Thresholds, border and mini-batch of a case."""
    given = case.params
    match: dict[str, Any] = {}
    sample: dict[str, Any] = {"seed": given.get("sample_seed", 0)}
    match case.framework:
        case "torchvision":
            names = ("fg_iou_thresh", "bg_iou_thresh", "allow_low_quality_matches")
            match = {name: given[name] for name in names}
            sample |= {name: given[name] for name in ("batch_size_per_image", "positive_fraction")}
        case "detectron2":
            low, high = given["iou_thresholds"]
            match = {"bg_iou_thresh": low, "fg_iou_thresh": high, "border_thresh": given["anchor_boundary_thresh"]}
            sample |= {name: given[name] for name in ("batch_size_per_image", "positive_fraction")}
        case "mmdetection":
            assigner = given["assigner"]
            negative = assigner["neg_iou_thr"]
            match = {
                "fg_iou_thresh": assigner["pos_iou_thr"],
                # mmdetection takes a whole number for neither a float nor a pair and labels no anchor negative.
                "bg_iou_thresh": 0.0 if isinstance(negative, int) else negative,
                "min_pos_iou": assigner["min_pos_iou"],
                "allow_low_quality_matches": assigner["match_low_quality"],
                "ignore_iof_thresh": assigner["ignore_iof_thr"],
                "border_thresh": given["allowed_border"],
            }
            sample |= {"batch_size_per_image": given["sampler_num"], "positive_fraction": given["pos_fraction"]}
        case "matterport":
            match = {"fg_iou_thresh": given["positive_iou"], "bg_iou_thresh": given["negative_iou"]}
            sample["batch_size_per_image"] = given["RPN_TRAIN_ANCHORS_PER_IMAGE"]
        case "py-faster-rcnn":
            match = {
                "fg_iou_thresh": given["RPN_POSITIVE_OVERLAP"],
                "bg_iou_thresh": given["RPN_NEGATIVE_OVERLAP"],
                "border_thresh": given["allowed_border"],
            }
            sample |= {"batch_size_per_image": given["RPN_BATCHSIZE"], "positive_fraction": given["RPN_FG_FRACTION"]}
        case "keras-retinanet":
            match = {"fg_iou_thresh": given["positive_overlap"], "bg_iou_thresh": given["negative_overlap"]}
    return preset.params.with_values("match", **match).with_values("sample", **sample)


def xyxy(case: Case, boxes: np.ndarray) -> np.ndarray:
    """Boxes (..., 4) in rpnviz's order; Matterport writes y1, x1, y2, x2."""
    boxes = boxes[..., :4]
    return boxes[..., [1, 0, 3, 2]] if case.framework == "matterport" else boxes


def ground_truth(case: Case, inputs: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Boxes (M, 4) and which of them are crowd or ignore regions (M,)."""
    boxes = xyxy(case, inputs["gt_boxes"])
    if case.framework == "matterport":
        return boxes, inputs["gt_class_ids"] < 0
    if "gt_boxes_ignore" in inputs:
        ignore = inputs["gt_boxes_ignore"].reshape(-1, 4)
        return np.concatenate([boxes, ignore]), np.arange(len(boxes) + len(ignore)) >= len(boxes)
    return boxes, np.zeros(len(boxes), bool)


def proposal_params(case: Case) -> dict[str, Any]:
    """``pre``, ``post``, ``nms``, ``min_size`` and ``score`` of a case."""
    given = case.params
    match case.framework:
        case "torchvision":
            return {
                "pre": given["pre_nms_top_n"],
                "post": given["post_nms_top_n"],
                "nms": given["nms_thresh"],
                "min_size": given["min_size"],
                "score": given["score_thresh"],
            }
        case "detectron2":
            return {
                "pre": given["pre_nms_topk"],
                "post": given["post_nms_topk"],
                "nms": given["nms_thresh"],
                "min_size": given["min_box_size"],
                "score": 0.0,
            }
        case "mmdetection":
            config = given["proposal_cfg"]
            return {
                "pre": config["nms_pre"],
                "post": config["max_per_img"],
                "nms": config["nms"]["iou_threshold"],
                "min_size": config["min_bbox_size"],
                "score": 0.0,
            }
        case "matterport":
            return {
                "pre": given["pre_nms_limit"],
                "post": given["proposal_count"],
                "nms": given["nms_threshold"],
                "min_size": 0.0,
                "score": 0.0,
            }
        case "py-faster-rcnn":
            return {
                "pre": given["RPN_PRE_NMS_TOP_N"],
                "post": given["RPN_POST_NMS_TOP_N"],
                "nms": given["RPN_NMS_THRESH"],
                "min_size": given["RPN_MIN_SIZE"],
                "score": 0.0,
            }
    raise AssertionError(f"{case.framework} has no proposals")


def python_nms(preset: Preset) -> Preset:
    """py-faster-rcnn's ``py_cpu_nms``, which keeps what is exactly on the threshold."""
    conventions = dataclasses.replace(preset.conventions, nms_compare=NmsCompare.FLOAT32_THRESH)
    return dataclasses.replace(preset, conventions=conventions)
