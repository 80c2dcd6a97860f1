"""How an mmdetection pipeline resizes and pads images.

Sources: mmcv ``transforms/processing.py: Resize, RandomResize, RandomChoiceResize``; mmdet 3
``datasets/transforms/transforms.py: Resize, RandomCrop``; mmdet 2 ``datasets/pipelines/transforms.py: Resize, Pad,
RandomCrop``, ``datasets/builder.py: build_dataset``; mmdet ``models/data_preprocessors/data_preprocessor.py``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rpnviz.configs.base import Fate
from rpnviz.configs.draft import Draft, Section
from rpnviz.core.params import CropStage

_RESIZES = ("Resize", "FixScaleResize", "RandomResize", "RandomChoiceResize", "ResizeShortestEdge")
_MOVES_BOXES = (
    *(
        "MinIoURandomCrop",
        "RandomCenterCropPad",
        "Expand",
        "Mosaic",
        "MixUp",
        "CachedMosaic",
        "CachedMixUp",
    ),
    *("CutOut", "CopyPaste", "RandomShift", "RandomAffine", "RandomErasing", "YOLOXHSVRandomAug", "Albu"),
    *(
        "Rotate",
        "Translate",
        "ShearX",
        "ShearY",
        "GeomTransform",
        "RandAugment",
        "AutoAugment",
        "PhotoMetricDistortion",
    ),
)
_DEEPEST = 20
"""Wrappers inside each other, at most."""
_CROPS_ONLY_COLOUR = ("YOLOXHSVRandomAug", "PhotoMetricDistortion")


def read(draft: Draft, root: Section, model: Section) -> list[dict[str, Any]]:
    """Read resizing and padding; returns the views of training as for :meth:`Draft.finish`."""
    _read_padding(draft, model)
    if "train_resize" in root:  # what rpnviz writes, for the user to put into the pipeline
        given = root.get("train_resize")
        if given is None:
            draft.put({"resize.mode": "none"}, "train_resize", "None")
            return []
        section = root.section("train_resize")
        return _read_resize(draft, section, str(section.get("type", "Resize")), False)
    place, pipeline = _training_pipeline(draft, root)
    if pipeline is not None:
        draft.flip = False  # unless a step of it says so
    else:
        size = f"{draft.value('resize.min_size')} / {draft.value('resize.max_size')} px"
        draft.assume("train_pipeline", f"images are resized to {size}, as in the usual configuration")
        return []
    old = place.startswith("data.") or any(isinstance(step, Mapping) and "img_scale" in step for step in pipeline)
    views: list[dict[str, Any]] = []
    found = 0
    for name, step in _steps(draft, pipeline, place):
        kind = str(step.get("type", ""))
        section = Section(draft, step, f"{name}.")
        if kind in _RESIZES:
            found += 1
            if found > 1:
                draft.not_understood(name, kind, "only the first resizing is shown")
            else:
                views = _read_resize(draft, section, kind, old)
        elif kind == "RandomFlip":
            _read_flip(draft, section)
        elif kind == "RandomCrop":
            _read_crop(draft, section, CropStage.RESIZED if found else CropStage.ORIGINAL)
        elif kind == "Pad" and "size_divisor" in step and old:
            draft.put({"resize.pad_multiple": step["size_divisor"] or 1}, f"{name}.size_divisor", step["size_divisor"])
        elif kind == "Pad" and (step.get("size") or step.get("pad_to_square")):
            draft.not_understood(name, dict(step), "images are padded to a multiple only")
        elif kind in _MOVES_BOXES and kind not in _CROPS_ONLY_COLOUR:
            draft.not_understood(name, kind, "it moves boxes at random, which is not shown")
        elif kind:
            draft.no_effect(name, kind, "it moves no box, or images are shown as they are")
    if not found:
        draft.put({"resize.mode": "none"}, place, f"{len(pipeline)} transforms without a Resize")
    return views


def _read_flip(draft: Draft, section: Section) -> None:
    """Flips from left to right; mmdet 2 calls the chance ``flip_ratio``."""
    key = "flip_ratio" if "flip_ratio" in section else "prob"
    chance, direction = section.get(key), section.get("direction", "horizontal")
    if isinstance(chance, (int, float)) and not isinstance(chance, bool) and direction == "horizontal":
        draft.flip = chance > 0
        draft.note(section.name(key), chance, Fate.READ, f"train_views.flip {draft.flip}")
    elif chance is not None:
        draft.flip = None
        draft.not_understood(section.name(key), chance, "only one chance to flip from left to right is shown")


def _read_crop(draft: Draft, section: Section, stage: CropStage) -> None:
    """``RandomCrop``, whose ``crop_size`` is height and width in mmdet 2 and 3."""
    size = section.get("crop_size")
    draft.crop(str(section.get("crop_type", "absolute")), size, stage, section.name("crop_size"), size)
    if section.get("recompute_bbox", False):
        draft.not_understood(section.name("recompute_bbox"), True, "boxes are cut to the crop here, not taken anew")
    if section.get("bbox_clip_border", True) is False:
        draft.not_understood(section.name("bbox_clip_border"), False, "boxes are cut to the crop here")


def _read_padding(draft: Draft, model: Section) -> None:
    """mmdet 3 pads batches in the data preprocessor; mmdet 2 in the pipeline."""
    if "data_preprocessor" not in model:
        draft.default(resize={"pad_multiple": 1})
        return
    section = model.section("data_preprocessor")
    draft.default(resize={"pad_multiple": 1})
    section.take("pad_size_divisor", "resize.pad_multiple")
    augments = section.get("batch_augments")
    if augments:
        draft.not_understood(
            section.name("batch_augments"), augments, "batches are not resized or padded otherwise here"
        )
    else:
        section.take("batch_augments")
    section.ignore_rest("it does not move boxes")


def _training_pipeline(draft: Draft, root: Section) -> tuple[str, list[Any] | None]:
    """The pipeline that training uses with its place; the variable of that name only where nothing else is there.

    Of several data sets the first is taken; what differs from it is said.
    """
    for place, key in (("train_dataloader", "dataset"), ("data", "train")):
        value = root.value.get(place)
        found = list(_pipelines(value.get(key), f"{place}.{key}", 0)) if isinstance(value, Mapping) else []
        if not found:
            continue
        first, pipeline = found[0]
        for name, other in found[1:]:
            if other == pipeline:
                draft.no_effect(name, f"{len(other)} transforms", f"the same as {first}")
            else:
                reason = f"another data set is resized or varied otherwise than {first}, which is shown"
                draft.not_understood(name, other, reason)
        return first, pipeline
    own = root.value.get("train_pipeline")
    return "train_pipeline", own if isinstance(own, list) else None


def _pipelines(value: Any, name: str, depth: int) -> Iterator[tuple[str, list[Any]]]:
    """Pipelines of a data set, or of all that a list or a wrapper such as ``ConcatDataset`` holds."""
    if depth > _DEEPEST:
        return
    if isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _pipelines(inner, f"{name}[{number}]", depth + 1)
    elif isinstance(value, Mapping):
        if isinstance(value.get("pipeline"), list):
            yield f"{name}.pipeline", value["pipeline"]
            return
        key = "dataset" if "dataset" in value else "datasets"
        yield from _pipelines(value.get(key), f"{name}.{key}", depth + 1)


def _steps(draft: Draft, pipeline: list[Any], place: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every transform; of those that hold others, the inner ones."""
    for number, step in enumerate(pipeline):
        name = f"{place}[{number}]"
        inner = step.get("transforms") if isinstance(step, Mapping) else None
        if not isinstance(step, Mapping):
            draft.not_understood(name, step, "no transform that rpnviz knows")
        elif isinstance(inner, list):
            if inner and isinstance(inner[0], list):
                draft.not_understood(name, f"{len(inner)} ways", "one is drawn; the first is shown")
                inner = inner[0]
            yield from _steps(draft, inner, f"{name}.transforms")
        else:
            yield name, step


def _read_resize(draft: Draft, section: Section, kind: str, old: bool) -> list[dict[str, Any]]:
    """One resizing transform."""
    inner = section.value
    own_cfg = inner.get("resize_cfg")
    key = "img_scale" if "img_scale" in inner else "scales" if "scales" in inner else "scale"
    ratio_range = section.get("ratio_range")
    keep = section.get("keep_ratio", own_cfg.get("keep_ratio", old) if isinstance(own_cfg, Mapping) else old)
    factor = section.get("scale_factor")
    by_short_side = kind == "ResizeShortestEdge" or inner.get("resize_type") == "ResizeShortestEdge"
    if by_short_side:
        section.get("keep_ratio")
    elif not keep:
        draft.not_understood(section.name("keep_ratio"), bool(keep), "images keep their shape here")
    else:
        section.take("keep_ratio")
    if by_short_side:
        raw = section.get(key)
        sides = raw if isinstance(raw, (list, tuple)) and raw else [raw]
        draft.put({"resize.min_size": sides[0]}, section.name(key), raw)
        section.take("max_size", "resize.max_size")
        return [{"min_size": draft.check("resize.min_size", side, section.name(key), raw)} for side in sides]
    if factor is not None and key not in inner:
        if isinstance(factor, (int, float)):
            draft.put({"resize.mode": "scale", "resize.scale": factor}, section.name("scale_factor"), factor)
        else:
            draft.not_understood(section.name("scale_factor"), factor, "one factor for both sides is known")
        return []
    raw = section.get(key)
    pairs = _pairs(draft, section.name(key), raw)
    short, long = sorted(pairs[0])
    draft.put({"resize.min_size": short, "resize.max_size": long}, section.name(key), raw)
    drawn = kind == "RandomResize" or section.get("multiscale_mode", "range" if old else "value") == "range"
    if ratio_range is not None:
        draft.not_understood(section.name("ratio_range"), ratio_range, "every scale between the two factors is drawn")
    elif drawn and len(pairs) > 1:
        draft.not_understood(section.name(key), raw, "every size between the two is drawn; the first is shown")
    section.take("multiscale_mode")
    section.ignore("it chooses the class of the resizing", "resize_type", "resize_cfg", "type", "override", "backend")
    section.ignore("images are not distorted by it", "interpolation", "clip_object_border", "bbox_clip_border")
    return [dict(zip(("min_size", "max_size"), sorted(pair), strict=True)) for pair in pairs]


def _pairs(draft: Draft, key: str, raw: Any) -> list[list[int]]:
    """One pair of sides, or several."""
    expected = "expected a pair of sides in px, or a list of such pairs"
    if isinstance(raw, int):
        raw = [raw, raw]
    if not isinstance(raw, (list, tuple)) or not raw:
        raise draft.refuse(key, raw, expected)
    pairs = list(raw) if isinstance(raw[0], (list, tuple)) else [raw]
    for pair in pairs:
        if not isinstance(pair, (list, tuple)) or len(pair) != 2:
            raise draft.refuse(key, raw, expected)
        for side in pair:
            draft.check("resize.max_size", side, key, raw)
    return [list(pair) for pair in pairs]
