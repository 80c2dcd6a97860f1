"""detectron2's YAML files with their ``_BASE_`` chains.

Sources: detectron2 ``config/defaults.py``, ``configs/Base-RCNN-FPN.yaml``, ``modeling/anchor_generator.py:
_broadcast_params, DefaultAnchorGenerator``, ``modeling/backbone/fpn.py``, ``data/transforms/augmentation_impl.py:
ResizeShortestEdge``; fvcore ``common/config.py: load_yaml_with_base``; yacs ``config.py: _decode_cfg_value``.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rpnviz.configs.base import Fate, TrainerConfig
from rpnviz.configs.documents import Document, Kind, load
from rpnviz.configs.draft import Draft, Section, decoded
from rpnviz.configs.train_sides import training_sides
from rpnviz.core import presets
from rpnviz.core.params import CropKind, CropStage, Params, ResizeMode
from rpnviz.core.presets import Preset
from rpnviz.errors import ConfigFileError

_MAX_BASES = 20
_RPN_KEYS = {
    "BATCH_SIZE_PER_IMAGE": "sample.batch_size_per_image",
    "POSITIVE_FRACTION": "sample.positive_fraction",
    "BOUNDARY_THRESH": "match.border_thresh",
    "BBOX_REG_WEIGHTS": "coder.weights",
    "PRE_NMS_TOPK_TRAIN": "proposals.pre_nms_top_n.train",
    "PRE_NMS_TOPK_TEST": "proposals.pre_nms_top_n.test",
    "POST_NMS_TOPK_TRAIN": "proposals.post_nms_top_n.train",
    "POST_NMS_TOPK_TEST": "proposals.post_nms_top_n.test",
    "NMS_THRESH": "proposals.nms_thresh",
}
"""Fields of MODEL.RPN that go over as they are."""

_WITH_RPN = ("GeneralizedRCNN", "ProposalNetwork", "PanopticFPN")
_LATER_STAGE = "it acts after the RPN or not on boxes"
_ELSEWHERE = {
    "MODEL": (
        *("MASK_ON", "KEYPOINT_ON", "DEVICE", "WEIGHTS", "PIXEL_MEAN", "PIXEL_STD", "ROI_HEADS", "ROI_BOX_HEAD"),
        *("ROI_BOX_CASCADE_HEAD", "ROI_MASK_HEAD", "ROI_KEYPOINT_HEAD", "SEM_SEG_HEAD", "PANOPTIC_FPN", "RETINANET"),
    ),
    "": (
        "SOLVER",
        "DATASETS",
        "DATALOADER",
        "TEST",
        "OUTPUT_DIR",
        "VERSION",
        "VIS_PERIOD",
        "CUDNN_BENCHMARK",
        "GLOBAL",
    ),
}
_C4_PROPOSALS = {
    "pre_nms_top_n": {"train": 12000, "test": 6000},
    "post_nms_top_n": {"train": 2000, "test": 1000},
}


class Detectron2:
    """See :class:`~rpnviz.configs.base.ConfigFormat`."""

    name = "detectron2"
    presets = ("detectron2",)
    kind = Kind.YAML
    names: Mapping[str, str] = {
        "match.fg_iou_thresh": "MODEL.RPN.IOU_THRESHOLDS[1]",
        "match.bg_iou_thresh": "MODEL.RPN.IOU_THRESHOLDS[0]",
        "match.allow_low_quality_matches": "always on in the RPN (Matcher: allow_low_quality_matches=True)",
        "anchors.sizes": "MODEL.ANCHOR_GENERATOR.SIZES",
        "anchors.aspect_ratios": "MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS",
        "sample.batch_size_per_image": "MODEL.RPN.BATCH_SIZE_PER_IMAGE",
        "sample.positive_fraction": "MODEL.RPN.POSITIVE_FRACTION",
        "sample.seed": "SEED (torch.manual_seed)",
        "proposals.pre_nms_top_n": "MODEL.RPN.PRE_NMS_TOPK_TRAIN, PRE_NMS_TOPK_TEST",
        "proposals.post_nms_top_n": "MODEL.RPN.POST_NMS_TOPK_TRAIN, POST_NMS_TOPK_TEST",
        "proposals.nms_thresh": "MODEL.RPN.NMS_THRESH",
    }
    limits: Mapping[str, str] = {
        "resize.mode": "images are always resized by their short side",
        "resize.min_scale": "there is no such limit",
        "resize.pad_multiple": "it follows from the backbone: 32 with an FPN, none without",
        "anchors.strides": "they follow from the feature maps: res4 alone, or levels of a pyramid, powers of two",
        "anchors.offset": "OFFSET is at least 0 and below 1",
        "anchors.subsample": "every cell carries anchors",
        "match.allow_low_quality_matches": "the RPN's matcher always forces the best anchors",
        "match.min_pos_iou": "best anchors are forced at any IoU",
        "match.border_thresh": "BOUNDARY_THRESH is a whole number",
        "match.ignore_iof_thresh": "crowd regions are dropped with the annotations",
        "coder.dwh_clip": "it is fixed in Box2BoxTransform (scale_clamp)",
        "proposals.score_thresh": "there is no such threshold",
        "proposals.min_size": "MIN_SIZE is a whole number",
        "conventions.": "it is fixed in the code",
    }

    def sniff(self, document: Document) -> int:
        """See :meth:`~rpnviz.configs.base.ConfigFormat.sniff`."""
        value = document.value
        if document.kind is Kind.INI:
            return 0
        if "_BASE_" in value and document.kind is Kind.YAML:
            return 90
        parts = sum(isinstance(value.get(key), Mapping) for key in ("MODEL", "INPUT", "SOLVER", "DATASETS"))
        return 80 if isinstance(value.get("MODEL"), Mapping) else 40 * (parts > 0)

    def read(self, document: Document, preset: str) -> TrainerConfig:
        """See :meth:`~rpnviz.configs.base.ConfigFormat.read`."""
        value, bases = _with_bases(document)
        draft = Draft(document.path, presets.load(preset))
        root = Section(draft, value)
        model = root.section("MODEL")
        _check_has_rpn(draft, model)
        _read_anchors(draft, model)
        _read_rpn(draft, model)
        views = _read_input(draft, root.section("INPUT"), model)
        seed = root.get("SEED")
        if seed is not None:
            if isinstance(seed, int) and seed < 0:
                shown = draft.value("sample.seed")
                draft.no_effect("SEED", seed, f"the trainer draws a new seed at every start; seed {shown} is shown")
            else:
                draft.put({"sample.seed": seed}, "SEED", seed)
        for place, keys in _ELSEWHERE.items():
            (model if place else root).ignore(_LATER_STAGE, *keys)
        root.close()
        return draft.finish(self.name, bases, views)

    def write(self, params: Params, preset: Preset, flip: bool | None = None) -> str:
        """See :meth:`~rpnviz.configs.base.ConfigFormat.write`."""
        anchors, match, proposals = params.anchors, params.match, params.proposals
        pyramid = params.resize.pad_multiple != 1 or max(anchors.strides) > 32
        levels = [f"{'p' if pyramid else 'res'}{round(math.log2(stride))}" for stride in anchors.strides]
        backbone = "build_resnet_fpn_backbone" if pyramid else "build_resnet_backbone"
        if "p7" in levels:
            backbone = "build_retinanet_resnet_fpn_backbone"
        sizes = [[int(size) if size.is_integer() else size for size in level] for level in anchors.level_sizes]
        ratios = anchors.aspect_ratios if len(set(anchors.aspect_ratios)) > 1 else anchors.aspect_ratios[:1]
        bodies = [f"res{k}" for k in range(3 if "p7" in levels and "p2" not in levels else 2, 6)]
        lines = [
            "VERSION: 2",
            "MODEL:",
            "  BACKBONE:",
            f"    NAME: {backbone}",
            "  RESNETS:",
            f"    OUT_FEATURES: {_flow(bodies if pyramid else levels)}",
            *(["  FPN:", f"    IN_FEATURES: {_flow(bodies)}"] if pyramid else []),
            "  ANCHOR_GENERATOR:",
            "    NAME: DefaultAnchorGenerator",
            f"    SIZES: {_flow(sizes)}",
            f"    ASPECT_RATIOS: {_flow(ratios)}",
            *([f"    OFFSET: {anchors.offset!r}"] if 0 <= anchors.offset < 1 else []),
            "  PROPOSAL_GENERATOR:",
            "    NAME: RPN",
            *([f"    MIN_SIZE: {int(proposals.min_size)}"] if proposals.min_size.is_integer() else []),
            "  RPN:",
            f"    IN_FEATURES: {_flow(levels)}",
            f"    IOU_THRESHOLDS: {_flow((match.bg_iou_thresh, match.fg_iou_thresh))}",
            "    IOU_LABELS: [0, -1, 1]",
            *([f"    BOUNDARY_THRESH: {int(match.border_thresh)}"] if match.border_thresh.is_integer() else []),
            f"    BATCH_SIZE_PER_IMAGE: {params.sample.batch_size_per_image}",
            f"    POSITIVE_FRACTION: {params.sample.positive_fraction!r}",
            f"    BBOX_REG_WEIGHTS: {_flow(params.coder.weights)}",
            f"    PRE_NMS_TOPK_TRAIN: {proposals.pre_nms_top_n.train}",
            f"    PRE_NMS_TOPK_TEST: {proposals.pre_nms_top_n.test}",
            f"    POST_NMS_TOPK_TRAIN: {proposals.post_nms_top_n.train}",
            f"    POST_NMS_TOPK_TEST: {proposals.post_nms_top_n.test}",
            f"    NMS_THRESH: {proposals.nms_thresh!r}",
            "INPUT:",
            f"  MIN_SIZE_TRAIN: {_flow([0] if params.resize.mode is ResizeMode.NONE else training_sides(params))}",
            f"  MAX_SIZE_TRAIN: {params.resize.max_size}",
            f"SEED: {params.sample.seed}",
        ]
        if flip is not None:
            lines.insert(-1, f"  RANDOM_FLIP: {'horizontal' if flip else 'none'}")
        views = params.views
        if views is not None and views.crop is not CropKind.NONE and views.crop_stage is CropStage.ORIGINAL:
            size = views.crop_size if views.crop is not CropKind.ABSOLUTE else tuple(map(int, views.crop_size))
            lines[-1:-1] = ["  CROP:", "    ENABLED: true", f"    TYPE: {views.crop}", f"    SIZE: {_flow(size)}"]
        return "\n".join(lines) + "\n"


# ---------------------------------------------------------------------- bases


def _with_bases(document: Document) -> tuple[dict[str, Any], list[Path]]:
    """The file over all its bases, and the bases, nearest first."""
    bases: list[Path] = []

    def merged(current: Document, chain: tuple[Path, ...]) -> dict[str, Any]:
        own = dict(current.value)
        named = own.pop("_BASE_", None)
        if named is None:
            return own
        under: dict[str, Any] = {}
        for name in named if isinstance(named, list) else [named]:
            if not isinstance(name, str):
                raise ConfigFileError(
                    f"_BASE_ is {name!r}, expected the name of a file.", where=str(current.path), way_out="Mend it."
                )
            path = _base_path(name, current.path)
            if path.resolve() in chain or len(bases) >= _MAX_BASES:
                names = " > ".join(part.name for part in (*chain, path))
                raise ConfigFileError(
                    f"the bases form a loop: {names}.",
                    where=f"{current.path}, _BASE_",
                    way_out="Take _BASE_ out of one.",
                )
            bases.append(path)
            _merge(merged(load(path), (*chain, path.resolve())), under, path, "")
        _merge(own, under, current.path, "")
        return under

    return merged(document, (document.path.resolve(),)), bases


def _base_path(name: str, child: Path) -> Path:
    """Where a base lies; relative to the file that names it, as fvcore has it.

    Raises:
        ConfigFileError: it is not on this machine.
    """
    where = f"{child}, _BASE_"
    if re.match(r"[a-z][a-z0-9+.-]*://", name):
        raise ConfigFileError(
            f"the base {name!r} was not found: it is no file of this machine, and nothing is downloaded.",
            where=where,
            way_out="Copy that file beside this one and name it in _BASE_, or open what cfg.dump() writes.",
        )
    try:
        path = child.parent / os.path.expanduser(name)
        found = path.is_file()
    except ValueError:  # a NUL character
        path, found = child.parent, False
    if not found:
        raise ConfigFileError(
            f"the base {name!r} was not found; it was looked for at {path}.",
            where=where,
            way_out="Copy it there (detectron2's own are in its folder configs/), or open what cfg.dump() writes.",
        )
    return path


def _merge(over: Mapping[str, Any], under: dict[str, Any], path: Path, place: str) -> None:
    """Put one file's values over those of its base: mappings merge, everything else replaces."""
    for key, value in over.items():
        old = under.get(key)
        if isinstance(value, Mapping) and key in under:
            if not isinstance(old, Mapping):
                raise ConfigFileError(
                    f"it is a mapping here and {old!r} in its base.", where=f"{path}, {place}{key}", way_out="Mend it."
                )
            inner = dict(old)
            _merge(value, inner, path, f"{place}{key}.")
            under[key] = inner
        else:
            under[key] = value


# ---------------------------------------------------------------------- fields


def _check_has_rpn(draft: Draft, model: Section) -> None:
    name = model.get("META_ARCHITECTURE", "GeneralizedRCNN")
    if name in ("RetinaNet", "FCOS", "SemanticSegmentor"):
        raise ConfigFileError(
            f"{name} has no region proposal network, so there is nothing to show of it here.",
            where=f"{draft.path}, MODEL.META_ARCHITECTURE",
            way_out=f"Open a configuration of {', '.join(_WITH_RPN)}.",
        )
    if name in _WITH_RPN:
        model.take("META_ARCHITECTURE")
    else:
        draft.not_understood("MODEL.META_ARCHITECTURE", name, "taken for GeneralizedRCNN")
    generator = model.section("PROPOSAL_GENERATOR")
    name = generator.get("NAME", "RPN")
    if name != "RPN":
        reason = {
            "RRPN": "its anchors are rotated, which rpnviz does not show",
            "PrecomputedProposals": "there is no region proposal network",
        }.get(str(name), "expected 'RPN'")
        raise draft.refuse("MODEL.PROPOSAL_GENERATOR.NAME", name, reason)
    generator.take("NAME")
    generator.take("MIN_SIZE", "proposals.min_size")


def _read_anchors(draft: Draft, model: Section) -> None:
    """Feature maps, sizes and ratios; the bare defaults are the C4 model's."""
    rpn, generator = model.section("RPN"), model.section("ANCHOR_GENERATOR")
    backbone, resnets, fpn = model.section("BACKBONE"), model.section("RESNETS"), model.section("FPN")
    name = generator.get("NAME", "DefaultAnchorGenerator")
    if name != "DefaultAnchorGenerator":
        raise draft.refuse("MODEL.ANCHOR_GENERATOR.NAME", name, "expected 'DefaultAnchorGenerator'")
    generator.take("NAME")
    generator.ignore("only rotated anchors have angles", "ANGLES")
    features = decoded(rpn.get("IN_FEATURES", ["res4"]))
    if not isinstance(features, (list, tuple)) or not features:
        raise draft.refuse("MODEL.RPN.IN_FEATURES", features, "expected a list of feature maps such as [p2, p3]")
    dilated = resnets.get("RES5_DILATION", 1) == 2
    strides = [_stride(draft, str(feature), dilated) for feature in features]
    pyramid = any(str(feature).startswith("p") for feature in features)
    multiple = 1
    if pyramid:
        lateral = decoded(fpn.get("IN_FEATURES", []))
        if not isinstance(lateral, (list, tuple)):
            raise draft.refuse("MODEL.FPN.IN_FEATURES", lateral, "expected a list of feature maps such as [res2, res3]")
        known = [_stride(draft, str(feature), dilated, "MODEL.FPN.IN_FEATURES") for feature in lateral or ["res5"]]
        multiple = known[-1]
    draft.default(
        anchors={
            "strides": strides,
            "sizes": [[32, 64, 128, 256, 512]] * len(strides),
            "aspect_ratios": [[0.5, 1.0, 2.0]] * len(strides),
        },
        resize={"pad_multiple": multiple},
        proposals=_C4_PROPOSALS,
    )
    if "IN_FEATURES" in rpn:
        draft.put({"anchors.strides": strides}, "MODEL.RPN.IN_FEATURES", features)
    if "IN_FEATURES" in fpn:
        draft.put({"resize.pad_multiple": multiple} if pyramid else {}, "MODEL.FPN.IN_FEATURES", fpn.get("IN_FEATURES"))
    resnets.take("RES5_DILATION")
    for section in (backbone, resnets, fpn):
        section.ignore_rest("it decides the features, not the anchors")
    for key, field in (("SIZES", "anchors.sizes"), ("ASPECT_RATIOS", "anchors.aspect_ratios")):
        if key in generator:
            raw = decoded(generator.get(key))
            draft.put(
                {field: _broadcast(draft, raw, len(strides), f"MODEL.ANCHOR_GENERATOR.{key}")}, *_named(generator, key)
            )
    offset = decoded(generator.get("OFFSET"))
    if offset is not None:
        if isinstance(offset, (int, float)) and not 0 <= offset < 1:
            raise draft.refuse("MODEL.ANCHOR_GENERATOR.OFFSET", offset, "detectron2 takes at least 0 and less than 1")
        draft.put({"anchors.offset": offset}, "MODEL.ANCHOR_GENERATOR.OFFSET", offset)


def _stride(draft: Draft, feature: str, dilated: bool, key: str = "MODEL.RPN.IN_FEATURES") -> int:
    """Input px between the cells of a feature map by its name: p2 and res2 have 4."""
    found = re.fullmatch(r"(p)([2-7])|(res)([2-5])", feature)
    if found is None:
        raise draft.refuse(key, feature, "expected names that tell a stride, such as p2 or res4")
    return 2 ** int(feature[-1]) // (2 if feature == "res5" and dilated else 1)


def _broadcast(draft: Draft, value: Any, levels: int, key: str) -> list[Any]:
    """One list for all levels, or one per level, as ``_broadcast_params`` has it."""
    if not isinstance(value, (list, tuple)) or not value:
        raise draft.refuse(key, value, "expected a list")
    nested = isinstance(value[0], (list, tuple))
    rows = list(value) if nested else [value]
    if len(rows) == 1:
        rows = rows * levels
    if len(rows) != levels:
        raise draft.refuse(
            key, value, f"it has {len(rows)} levels, expected 1 or {levels}: one per entry of IN_FEATURES"
        )
    return rows


def _named(section: Section, key: str) -> tuple[str, Any]:
    return section.name(key), section.get(key)


def _read_rpn(draft: Draft, model: Section) -> None:
    rpn = model.section("RPN")
    for key, field in _RPN_KEYS.items():
        rpn.take(key, field)
    thresholds = decoded(rpn.get("IOU_THRESHOLDS", [0.3, 0.7]))
    labels = decoded(rpn.get("IOU_LABELS", [0, -1, 1]))
    pair = list(thresholds) if isinstance(thresholds, (list, tuple)) else []
    labels = list(labels) if isinstance(labels, (list, tuple)) else labels
    if labels == [0, 1] and len(pair) == 1:
        pair = pair * 2
    elif labels != [0, -1, 1]:
        raise draft.refuse("MODEL.RPN.IOU_LABELS", labels, "expected [0, -1, 1], or [0, 1] with one threshold")
    if len(pair) != 2:
        raise draft.refuse("MODEL.RPN.IOU_THRESHOLDS", thresholds, "expected one threshold fewer than labels")
    if "IOU_THRESHOLDS" in rpn:
        draft.put({"match.bg_iou_thresh": pair[0], "match.fg_iou_thresh": pair[1]}, *_named(rpn, "IOU_THRESHOLDS"))
    rpn.take("IOU_LABELS")
    rpn.ignore(
        "it acts on the loss or the network, not on the targets",
        *("BBOX_REG_LOSS_TYPE", "BBOX_REG_LOSS_WEIGHT", "SMOOTH_L1_BETA", "LOSS_WEIGHT", "CONV_DIMS", "HEAD_NAME"),
    )


def _read_input(draft: Draft, section: Section, model: Section) -> list[dict[str, Any]]:
    """Sizes and crops of training; the sides that vary are the views."""
    views: list[dict[str, Any]] = []
    if "MIN_SIZE_TRAIN" in section:
        key, raw = _named(section, "MIN_SIZE_TRAIN")
        sides = decoded(raw)
        sides = list(sides) if isinstance(sides, (list, tuple)) else [sides]
        if not sides:
            raise draft.refuse(key, raw, "expected at least one size")
        if sides[0] == 0:
            draft.put({"resize.mode": "none"}, key, raw)
        else:
            draft.put({"resize.min_size": sides[0]}, key, raw)
            views = [{"min_size": draft.check("resize.min_size", side, key, raw)} for side in sides]
    section.take("MAX_SIZE_TRAIN", "resize.max_size")
    sampling = section.get("MIN_SIZE_TRAIN_SAMPLING", "choice")
    if sampling == "range":
        draft.not_understood(*_named(section, "MIN_SIZE_TRAIN_SAMPLING"), "every size between the two is drawn")
    else:
        section.take("MIN_SIZE_TRAIN_SAMPLING")
    section.ignore("images are shown at the size of training", "MIN_SIZE_TEST", "MAX_SIZE_TEST")
    if "RANDOM_FLIP" in section:
        key, raw = _named(section, "RANDOM_FLIP")
        if raw not in ("horizontal", "none"):
            draft.not_understood(key, raw, "only flips from left to right are shown")
        else:
            draft.flip = raw == "horizontal"
            draft.note(key, raw, Fate.READ, f"train_views.flip {draft.flip}")
    else:
        draft.flip = True
        draft.assume("INPUT.RANDOM_FLIP", "horizontal, its default: train_views.flip True")
    section.ignore("it does not move boxes", "FORMAT", "MASK_FORMAT")
    crop = section.section("CROP")
    if decoded(crop.get("ENABLED", False)):
        crop.take("ENABLED")
        kind, size = str(crop.get("TYPE", "relative_range")), crop.get("SIZE", [0.9, 0.9])
        draft.crop(kind, decoded(size), CropStage.ORIGINAL, "INPUT.CROP.SIZE", size)
        if decoded(model.value.get("MASK_ON")):
            model.get("MASK_ON")
            draft.not_understood(
                "MODEL.MASK_ON", True, "with crops, boxes are taken anew from the cut masks; here the boxes are cut"
            )
    elif "ENABLED" in crop:
        draft.no_effect("INPUT.CROP.ENABLED", False, "no crops are made")
    crop.ignore_rest("it says how to crop")
    return views


def _flow(value: Any) -> str:
    """A YAML flow sequence; numbers keep all their digits and their kind."""
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_flow(item) for item in value) + "]"
    return value if isinstance(value, str) else _number(value)


def _number(value: float) -> str:
    # YAML 1.1 takes 1e-05 for a text; with a dot it is a number.
    text = repr(value)
    return text.replace("e", ".0e", 1) if "e" in text and "." not in text else text
