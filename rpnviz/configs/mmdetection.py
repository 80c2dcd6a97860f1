"""mmdetection's configurations (versions 2 and 3), dumped as JSON or YAML or flattened to plain assignments.

What a file does not say is the class's default, which differs from the usual configuration: ``min_pos_iou`` is 0 there.

Sources: mmdet ``configs/_base_/models/faster-rcnn_r50_fpn.py``, ``models/dense_heads/rpn_head.py, anchor_head.py``,
``models/task_modules/prior_generators/anchor_generator.py``, ``.../assigners/max_iou_assigner.py``,
``.../samplers/random_sampler.py``, ``.../coders/delta_xywh_bbox_coder.py``; mmdet 2 ``mmdet/core``; mmcv ``Resize``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rpnviz.configs import mmdetection_pipeline, mmdetection_text
from rpnviz.configs.base import TrainerConfig
from rpnviz.configs.documents import Document, Kind
from rpnviz.configs.draft import Draft, Section
from rpnviz.core import presets
from rpnviz.core.conventions import CrowdRule, TieRule
from rpnviz.core.params import Params
from rpnviz.core.presets import Preset
from rpnviz.errors import ConfigFileError

_NO_LIMIT = 10_000_000
_NO_EFFECT = "it acts after the RPN, on the loss or on the network"
_TYPE_KEYS = ("type", "_delete_", "_scope_")


class MMDetection:
    """See :class:`~rpnviz.configs.base.ConfigFormat`."""

    name = "mmdetection"
    presets = ("mmdetection",)
    kind = Kind.PYTHON
    names: Mapping[str, str] = {
        "match.fg_iou_thresh": "train_cfg.rpn.assigner.pos_iou_thr",
        "match.bg_iou_thresh": "train_cfg.rpn.assigner.neg_iou_thr (write it as a float)",
        "match.allow_low_quality_matches": "train_cfg.rpn.assigner.match_low_quality",
        "anchors.sizes": "rpn_head.anchor_generator.scales times strides",
        "anchors.aspect_ratios": "rpn_head.anchor_generator.ratios",
        "sample.batch_size_per_image": "train_cfg.rpn.sampler.num",
        "sample.positive_fraction": "train_cfg.rpn.sampler.pos_fraction",
        "sample.seed": "randomness.seed (torch.manual_seed)",
        "proposals.pre_nms_top_n": "train_cfg.rpn_proposal.nms_pre, test_cfg.rpn.nms_pre",
        "proposals.post_nms_top_n": "train_cfg.rpn_proposal.max_per_img, test_cfg.rpn.max_per_img",
        "proposals.nms_thresh": "rpn_proposal.nms.iou_threshold, test_cfg.rpn.nms.iou_threshold",
    }
    limits: Mapping[str, str] = {
        "resize.mode": "the pipeline has no such transform",
        "resize.min_scale": "there is no such limit",
        "anchors.sizes": "sizes are base sizes per level times scales that all levels share",
        "anchors.base_sizes": "sizes are base sizes per level times scales that all levels share",
        "anchors.aspect_ratios": "all levels have the same ratios",
        "anchors.offset": "center_offset is from 0 to 1",
        "anchors.subsample": "every cell carries anchors",
        "coder.weights": "target_stds has no number whose inverse this is",
        "coder.dwh_clip": "it is fixed in delta2bbox (wh_ratio_clip)",
        "match.border_thresh": "allowed_border is a number, -1 for off",
        "proposals.score_thresh": "there is no such threshold",
        "conventions.": "it is fixed in the code",
    }

    def sniff(self, document: Document) -> int:
        """See :meth:`~rpnviz.configs.base.ConfigFormat.sniff`."""
        model = document.value.get("model")
        if document.kind is Kind.INI or not isinstance(model, Mapping):
            return 0
        return 90 if {"type", "rpn_head", "bbox_head", "backbone"} & set(model) else 30

    def read(self, document: Document, preset: str) -> TrainerConfig:
        """See :meth:`~rpnviz.configs.base.ConfigFormat.read`."""
        draft = Draft(document.path, presets.load(preset))
        root = Section(draft, document.value)
        whole = model = root.section("model")
        if "rpn_head" not in whole and "detector" in whole:  # a tracker or a semi-supervised pair around a detector
            model = whole.section("detector")
        _check_has_rpn(draft, model)
        head = model.section("rpn_head")
        _read_anchors(draft, head.section("anchor_generator"))
        _read_coder(draft, head.section("bbox_coder"))
        if head.get("reg_decoded_bbox", False):
            draft.not_understood(head.name("reg_decoded_bbox"), True, "targets are boxes then; deltas are shown")
        head.ignore_rest(_NO_EFFECT)
        train, test = _cfg_of(root, model, "train_cfg"), _cfg_of(root, model, "test_cfg")
        _read_training(draft, train.section("rpn"))
        _read_proposals(draft, train, test)
        for part in (train, test):
            part.ignore_rest(_NO_EFFECT)
        views = mmdetection_pipeline.read(draft, root, whole if "data_preprocessor" in whole else model)
        _read_seed(draft, root)
        for part in (model, whole):
            part.ignore_rest(_NO_EFFECT)
        for key in map(str, document.value):
            root.ignore(_NO_EFFECT, key)
        root.close()
        return draft.finish(self.name, views=views)

    def write(self, params: Params, preset: Preset, flip: bool | None = None) -> str:
        """See :meth:`~rpnviz.configs.base.ConfigFormat.write`."""
        return mmdetection_text.write(params, preset)


# ---------------------------------------------------------------------- model


def _check_has_rpn(draft: Draft, model: Section) -> None:
    kind = str(model.get("type", ""))
    if "rpn_head" not in model or not isinstance(model.get("rpn_head"), Mapping):
        raise ConfigFileError(
            f"{kind or 'the model'} has no region proposal network (no rpn_head): there is nothing to show of it here.",
            where=f"{draft.path}, model",
            way_out="Open a configuration of a two-stage detector such as FasterRCNN, or of RPN.",
        )
    model.take("type")
    head = model.section("rpn_head")
    kind = head.get("type", "RPNHead")
    if kind != "RPNHead":
        raise draft.refuse("model.rpn_head.type", kind, "expected 'RPNHead'; other heads match by other rules")
    head.take("type")
    old = [key for key in ("anchor_scales", "anchor_ratios", "anchor_strides", "target_stds") if key in head]
    if old:
        raise ConfigFileError(
            f"{old[0]} belongs to mmdetection 1, whose boxes are one pixel larger; rpnviz knows versions 2 and 3.",
            where=f"{draft.path}, model.rpn_head",
            way_out="Give the parameters as a Params document (rpnviz params --preset mmdetection).",
        )


def _take_type(section: Section, allowed: str) -> None:
    """Refuse a class whose rules are others."""
    kind = section.get("type", allowed)
    if kind != allowed:
        raise section.draft.refuse(section.name("type"), kind, f"expected {allowed!r}; others follow other rules")
    section.take("type")
    for key in _TYPE_KEYS:
        section.get(key)


def _read_anchors(draft: Draft, section: Section) -> None:
    """``AnchorGenerator``."""
    kind = section.get("type", "AnchorGenerator")
    if kind == "LegacyAnchorGenerator":
        draft.convention(section.name("type"), kind, base_rounding="corners", anchor_pixels="inclusive")
        for key in _TYPE_KEYS:
            section.get(key)
    else:
        _take_type(section, "AnchorGenerator")
    strides = _strides(draft, section)
    levels = len(strides)
    # What RPNHead takes for what it is not told.
    draft.default(
        anchors={
            "strides": strides,
            "sizes": -1,
            "base_sizes": [float(stride) for stride in strides],
            "scales": [8.0, 16.0, 32.0],
            "aspect_ratios": [[0.5, 1.0, 2.0]] * levels,
        }
    )
    if "strides" in section:
        draft.put({"anchors.strides": strides}, section.name("strides"), section.get("strides"))
    if section.get("base_sizes") is not None:
        section.take("base_sizes", "anchors.base_sizes")
    else:
        section.take("base_sizes")
    if "ratios" in section:
        ratios = section.get("ratios")
        draft.put({"anchors.aspect_ratios": [ratios] * levels}, section.name("ratios"), ratios)
    _read_scales(draft, section)
    offset = section.get("center_offset")
    if offset is not None:
        if isinstance(offset, (int, float)) and not 0 <= offset <= 1:
            raise draft.refuse(section.name("center_offset"), offset, "mmdetection takes a number from 0 to 1")
        section.take("center_offset", "anchors.offset")
    if section.get("centers") is not None:
        raise draft.refuse(section.name("centers"), section.get("centers"), "rpnviz knows no centres of their own")
    if section.get("scale_major", True) is False:
        draft.convention(section.name("scale_major"), False, cell_order="size_ratio")
    else:
        section.take("scale_major")
    section.ignore("it chooses a class of boxes", "use_box_type")


def _strides(draft: Draft, section: Section) -> list[Any]:
    raw = section.get("strides", [4, 8, 16, 32, 64])
    key = section.name("strides")
    if not isinstance(raw, (list, tuple)) or not raw:
        raise draft.refuse(key, raw, "expected a list of whole numbers")
    strides = []
    for stride in raw:
        if isinstance(stride, (list, tuple)):
            if len(stride) != 2 or stride[0] != stride[1]:
                raise draft.refuse(key, raw, "rpnviz knows the same stride in both directions only")
            stride = stride[0]
        strides.append(stride)
    return draft.check("anchors.strides", strides, key, raw)


def _read_scales(draft: Draft, section: Section) -> None:
    octave, each = section.get("octave_base_scale"), section.get("scales_per_octave")
    scales = section.get("scales")
    if scales is not None:
        if octave is not None or each is not None:
            raise draft.refuse(section.name("scales"), scales, "octave_base_scale is given too; mmdetection takes one")
        value = scales if isinstance(scales, (list, tuple)) else [scales]
        draft.put({"anchors.scales": value}, section.name("scales"), scales)
    elif octave is not None or each is not None:
        if not isinstance(octave, (int, float)) or not isinstance(each, int) or not 0 < each <= 64:
            raise draft.refuse(
                section.name("scales_per_octave"), each, "expected octave_base_scale and a number of scales"
            )
        parts = [octave * 2 ** (part / each) for part in range(each)]
        draft.put({"anchors.scales": parts}, section.name("octave_base_scale"), octave)
        section.take("scales_per_octave")
    elif section.value:
        raise draft.refuse(section.name("scales"), scales, "AnchorGenerator needs scales, or octave_base_scale")
    else:
        draft.assume("model.rpn_head.anchor_generator", "scales 8, 16, 32 on strides 4 to 64, RPNHead's default")
    for key in ("scales", "octave_base_scale", "scales_per_octave"):
        if section.get(key) is None:
            section.take(key)


def _read_coder(draft: Draft, section: Section) -> None:
    kind = section.get("type", "DeltaXYWHBBoxCoder")
    for key in _TYPE_KEYS:
        section.get(key)
    draft.default(coder={"weights": [1.0] * 4})
    if kind == "DeltaXYWHBBoxCoder":
        section.take("type")
    elif kind == "LegacyDeltaXYWHBBoxCoder":
        draft.not_understood(
            section.name("type"), kind, "sides are one pixel longer in its deltas; they are shown without"
        )
    else:
        draft.not_understood(section.name("type"), kind, "deltas are shown as DeltaXYWHBBoxCoder makes them")
    means = section.get("target_means")
    if means is not None and means != [0.0] * 4:
        draft.not_understood(section.name("target_means"), means, "0 is taken")
    else:
        section.take("target_means")
    deviations = section.get("target_stds")
    if deviations is not None:
        good = isinstance(deviations, (list, tuple)) and all(
            isinstance(part, (int, float)) and part > 0 for part in deviations
        )
        if not good:
            raise draft.refuse(section.name("target_stds"), deviations, "expected four numbers above 0")
        draft.put({"coder.weights": [1 / part for part in deviations]}, section.name("target_stds"), deviations)
    if section.get("add_ctr_clamp", False):
        draft.not_understood(section.name("add_ctr_clamp"), True, "decoded centres are not clamped here")
    else:
        section.take("add_ctr_clamp")
    if section.get("clip_border", True) is False:
        draft.not_understood(section.name("clip_border"), False, "boxes are cut to the image here")
    else:
        section.take("clip_border")
    section.ignore("it acts with add_ctr_clamp", "ctr_clamp")
    section.ignore("it chooses a class of boxes", "use_box_type", "encode_size")


# ---------------------------------------------------------------------- train_cfg and test_cfg


def _cfg_of(root: Section, model: Section, key: str) -> Section:
    """``train_cfg`` or ``test_cfg``, in the model or, as in early versions, beside it."""
    inside = model.section(key)
    beside = root.value.get(key)
    if not inside.value and isinstance(beside, Mapping) and "rpn" in beside:
        return root.section(key)
    return inside


def _read_training(draft: Draft, section: Section) -> None:
    assigner, sampler = section.section("assigner"), section.section("sampler")
    if not assigner.value:
        draft.assume("train_cfg.rpn.assigner", "as in the usual configuration")
    else:
        _read_assigner(draft, assigner)
    if not sampler.value and section.value:
        draft.set_conventions(draw="none")
        draft.assume(section.name("sampler"), "PseudoSampler, the head's default: all positives and negatives train")
    elif not sampler.value:
        draft.assume("train_cfg.rpn.sampler", "as in the usual configuration")
    else:
        _read_sampler(draft, sampler)
    if "allowed_border" in section:
        section.take("allowed_border", "match.border_thresh")
    else:
        draft.assume(section.name("allowed_border"), "-1 (off), as in the usual configuration")
    section.ignore(_NO_EFFECT, "pos_weight", "debug")


def _read_assigner(draft: Draft, section: Section) -> None:
    _take_type(section, "MaxIoUAssigner")
    draft.default(match={"min_pos_iou": 0.0, "allow_low_quality_matches": True, "ignore_iof_thresh": -1.0})
    for key, field in (
        ("pos_iou_thr", "match.fg_iou_thresh"),
        ("min_pos_iou", "match.min_pos_iou"),
        ("match_low_quality", "match.allow_low_quality_matches"),
    ):
        section.take(key, field)
    for key in ("pos_iou_thr", "neg_iou_thr"):
        if key not in section:
            raise ConfigFileError(
                f"{key} is missing; MaxIoUAssigner needs it.",
                where=f"{draft.path}, {section.place[:-1]}",
                way_out="Add it.",
            )
    negative = section.get("neg_iou_thr")
    key = section.name("neg_iou_thr")
    if isinstance(negative, int) and not isinstance(negative, bool):
        # MaxIoUAssigner asks for a float or a pair, and does nothing with a whole number.
        draft.put({"match.bg_iou_thresh": 0.0}, key, f"{negative} (a whole number: mmdetection makes no negative)")
    elif isinstance(negative, (list, tuple)):
        if len(negative) == 2 and negative[0] == 0:
            draft.put({"match.bg_iou_thresh": negative[1]}, key, negative)
        else:
            raise draft.refuse(key, negative, "rpnviz knows a number, or a pair that begins with 0")
    else:
        draft.put({"match.bg_iou_thresh": negative}, key, negative)
    if "ignore_iof_thr" in section:
        ignore = section.get("ignore_iof_thr")
        off = isinstance(ignore, (int, float)) and not isinstance(ignore, bool) and ignore <= 0
        draft.put({"match.ignore_iof_thresh": -1.0 if off else ignore}, section.name("ignore_iof_thr"), ignore)
    if section.get("ignore_wrt_candidates", True) is False:
        draft.convention(section.name("ignore_wrt_candidates"), False, crowd=CrowdRule.IGNORES_BY_IOF_OF_REGION.value)
    else:
        section.take("ignore_wrt_candidates")
    if section.get("gt_max_assign_all", True) is False:
        draft.convention(section.name("gt_max_assign_all"), False, tie_rule=TieRule.FIRST.value)
    else:
        section.take("gt_max_assign_all")
    overlaps = section.section("iou_calculator")
    if overlaps.get("type", "BboxOverlaps2D") != "BboxOverlaps2D":
        draft.not_understood(overlaps.name("type"), overlaps.get("type"), "IoU is taken")
    overlaps.ignore_rest("it chooses the class of overlaps")
    section.ignore("it chooses where the matching runs", "gpu_assign_thr")


def _read_sampler(draft: Draft, section: Section) -> None:
    kind = section.get("type", "RandomSampler")
    for key in _TYPE_KEYS:
        section.get(key)
    if kind == "PseudoSampler":
        draft.convention(section.name("type"), kind, draw="none")
        section.ignore_rest("all positives and negatives train")
        return
    if kind == "RandomSampler":
        section.take("type")
    else:
        draft.not_understood(section.name("type"), kind, "the mini-batch is drawn as RandomSampler does")
    section.take("num", "sample.batch_size_per_image")
    section.take("pos_fraction", "sample.positive_fraction")
    bound = section.get("neg_pos_ub", -1)
    if isinstance(bound, (int, float)) and bound >= 0:
        draft.not_understood(section.name("neg_pos_ub"), bound, "negatives fill the mini-batch here")
    else:
        section.take("neg_pos_ub")
    if section.get("add_gt_as_proposals", True) is not False:
        value = section.get("add_gt_as_proposals", "not given, which is true")
        draft.not_understood(section.name("add_gt_as_proposals"), value, "only anchors are drawn here")
    else:
        section.take("add_gt_as_proposals")


def _read_proposals(draft: Draft, train: Section, test: Section) -> None:
    """``rpn_proposal`` for training, ``test_cfg.rpn`` for inference; one NMS threshold and least side for both."""
    draft.set_conventions(small_box="none")  # the class's min_bbox_size is -1
    parts = [(test.section("rpn"), "test")]
    if "rpn_proposal" in train:
        parts.append((train.section("rpn_proposal"), "train"))
    if not parts[0][0].value:
        draft.set_conventions(small_box="above")
        draft.assume("test_cfg.rpn", "as in the usual configuration")
        parts = parts[1:]
    seen: dict[str, Any] = {}
    for section, mode in parts:
        _read_top_n(draft, section, mode, alone=len(parts) == 1)
        key, threshold = _nms_threshold(draft, section)
        if threshold is not None:
            _one_for_both(draft, seen, "proposals.nms_thresh", threshold, key)
        least = section.get("min_bbox_size")
        if least is not None:
            key = section.name("min_bbox_size")
            if isinstance(least, (int, float)) and least < 0:
                draft.convention(key, least, small_box="none")
            else:
                draft.set_conventions(small_box="above")
                _one_for_both(draft, seen, "proposals.min_size", least, key)
        if section.get("nms_across_levels", False):
            draft.not_understood(section.name("nms_across_levels"), True, "levels do not suppress each other here")
        else:
            section.take("nms_across_levels")


def _one_for_both(draft: Draft, seen: dict[str, Any], field: str, value: Any, key: str) -> None:
    if field not in seen:
        seen[field] = value
        draft.put({field: value}, key, value)
    elif seen[field] == value:
        draft.put({}, key, value)
    else:
        draft.not_understood(key, value, f"rpnviz has one {field} for training and inference; inference's is taken")


def _read_top_n(draft: Draft, section: Section, mode: str, alone: bool) -> None:
    modes = ("train", "test") if alone else (mode,)  # an RPN alone proposes nothing while it trains
    before = section.get("nms_pre")
    limit = before if isinstance(before, bool) or not isinstance(before, int) or before > 0 else _NO_LIMIT
    if before is None:
        limit = _NO_LIMIT
        draft.default(
            proposals={"pre_nms_top_n": {**draft.value("proposals.pre_nms_top_n"), **dict.fromkeys(modes, limit)}}
        )
    else:
        draft.put({f"proposals.pre_nms_top_n.{part}": limit for part in modes}, section.name("nms_pre"), before)
    key = "max_per_img" if "max_per_img" in section else "max_num"  # the name until mmdet 2.5
    section.take(key, *(f"proposals.post_nms_top_n.{part}" for part in modes))
    per_level = section.get("nms_post")
    kept = section.get(key)
    if per_level is None or (isinstance(kept, int) and isinstance(per_level, int) and per_level >= kept):
        section.ignore("it cuts nothing that max_per_img leaves", "nms_post")
        if per_level is not None:
            draft.no_effect(section.name("nms_post"), per_level, "max_per_img cuts as much")
    else:
        draft.not_understood(section.name("nms_post"), per_level, "no level is cut alone after NMS here")


def _nms_threshold(draft: Draft, section: Section) -> tuple[str, Any]:
    """Name and value of the threshold, which stands in ``nms`` or, until mmdet 2.5, beside it."""
    nms = section.section("nms")
    kind = nms.get("type", "nms")
    if kind != "nms":
        draft.not_understood(nms.name("type"), kind, "plain NMS is shown")
    else:
        nms.take("type")
    nms.get("_delete_")
    if nms.get("class_agnostic", False):
        draft.not_understood(nms.name("class_agnostic"), True, "levels do not suppress each other here")
    else:
        nms.take("class_agnostic")
    nms.ignore("it acts on very many boxes only", "split_thr")
    for owner, key in ((nms, "iou_threshold"), (nms, "iou_thr"), (section, "nms_thr")):
        if key in owner:
            return owner.name(key), owner.get(key)
    return "", None


def _read_seed(draft: Draft, root: Section) -> None:
    randomness = root.section("randomness") if root.value.get("randomness") is not None else None
    for section in (randomness, root):
        if section is not None and section.get("seed") is not None:
            section.take("seed", "sample.seed")
            break
    if randomness is not None:
        randomness.ignore_rest("it does not change the draw")
