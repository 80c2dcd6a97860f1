"""Matterport Mask R-CNN's ``Config``, dumped as JSON or as plain assignments.

Source: matterport ``mrcnn/config.py: Config``, ``mrcnn/utils.py: resize_image, generate_pyramid_anchors``,
``mrcnn/model.py: build_rpn_targets, ProposalLayer``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from rpnviz.configs.base import TrainerConfig
from rpnviz.configs.deviations import exact_inverse
from rpnviz.configs.documents import Document, Kind
from rpnviz.configs.draft import Draft, Section
from rpnviz.core import presets
from rpnviz.core.params import Params, ResizeMode
from rpnviz.core.presets import Preset

_NO_LIMIT = 100_000
_MULTIPLE = 64
"""Of the sides in the modes square and pad64, which the ResNet and ``resize_image`` insist on, px."""
_SIGNS = ("RPN_ANCHOR_SCALES", "RPN_ANCHOR_RATIOS", "IMAGE_MIN_DIM", "IMAGE_MAX_DIM", "BACKBONE_STRIDES")
_KEYS = {
    "RPN_ANCHOR_STRIDE": ("anchors.subsample",),
    "RPN_TRAIN_ANCHORS_PER_IMAGE": ("sample.batch_size_per_image",),
    "PRE_NMS_LIMIT": ("proposals.pre_nms_top_n.train", "proposals.pre_nms_top_n.test"),
    "POST_NMS_ROIS_TRAINING": ("proposals.post_nms_top_n.train",),
    "POST_NMS_ROIS_INFERENCE": ("proposals.post_nms_top_n.test",),
    "RPN_NMS_THRESHOLD": ("proposals.nms_thresh",),
}
"""Fields that go over as they are."""
_FIXED = "it is fixed in build_rpn_targets"


class Matterport:
    """See :class:`~rpnviz.configs.base.ConfigFormat`."""

    name = "matterport"
    presets = ("matterport", "matterport-old")
    kind = Kind.PYTHON
    names: Mapping[str, str] = {
        "match.fg_iou_thresh": "0.7, fixed in build_rpn_targets",
        "match.bg_iou_thresh": "0.3, fixed in build_rpn_targets",
        "match.allow_low_quality_matches": "always on in build_rpn_targets",
        "anchors.sizes": "RPN_ANCHOR_SCALES",
        "anchors.aspect_ratios": "RPN_ANCHOR_RATIOS (width / height)",
        "sample.batch_size_per_image": "RPN_TRAIN_ANCHORS_PER_IMAGE",
        "sample.positive_fraction": "one half, fixed in build_rpn_targets",
        "sample.seed": "numpy.random.seed",
        "proposals.pre_nms_top_n": "PRE_NMS_LIMIT",
        "proposals.post_nms_top_n": "POST_NMS_ROIS_TRAINING, POST_NMS_ROIS_INFERENCE",
        "proposals.nms_thresh": "RPN_NMS_THRESHOLD",
    }
    limits: Mapping[str, str] = {
        "resize.mode": "pad64 needs an IMAGE_MIN_DIM that is a multiple of 64, and other modes do not exist",
        "resize.max_size": "in the mode square IMAGE_MAX_DIM is a multiple of 64, and pad64 has no limit",
        "resize.pad_multiple": "images are padded to multiples of 64",
        "resize.": "resize_image does not know it",
        "anchors.sizes": "a level has one size",
        "anchors.base_sizes": "a level has one size",
        "anchors.aspect_ratios": "all levels have the same ratios",
        "anchors.offset": "the first anchor stands on the corner of the image",
        "match.": _FIXED,
        "sample.positive_fraction": _FIXED,
        "sample.seed": "call numpy.random.seed before training",
        "coder.weights": "RPN_BBOX_STD_DEV has no number whose inverse this is",
        "coder.dwh_clip": "nothing is cut",
        "proposals.pre_nms_top_n": "PRE_NMS_LIMIT is one number for training and inference",
        "proposals.": "ProposalLayer does not know it",
        "conventions.": "it is fixed in the code",
    }

    def sniff(self, document: Document) -> int:
        """See :meth:`~rpnviz.configs.base.ConfigFormat.sniff`."""
        if document.kind not in (Kind.JSON, Kind.PYTHON):
            return 0
        found = sum(key in document.value for key in _SIGNS)
        return 70 if found > 1 else 40 * (found or any(str(key).startswith("RPN_") for key in document.value))

    def read(self, document: Document, preset: str) -> TrainerConfig:
        """See :meth:`~rpnviz.configs.base.ConfigFormat.read`."""
        draft = Draft(document.path, presets.load(preset))
        root = Section(draft, document.value)
        _read_anchors(draft, root)
        _read_resize(draft, root)
        for key, fields in _KEYS.items():
            root.take(key, *fields)
        if "RPN_BBOX_STD_DEV" in root:
            raw = root.get("RPN_BBOX_STD_DEV")
            if not isinstance(raw, (list, tuple)) or not all(_is_positive(part) for part in raw):
                raise draft.refuse("RPN_BBOX_STD_DEV", raw, "expected four numbers above 0")
            draft.put({"coder.weights": [1 / part for part in _as_xy(raw)]}, "RPN_BBOX_STD_DEV", raw)
        if preset == "matterport":
            draft.assume("version of mrcnn", "master since March 2019; for mrcnn 0.2 choose the preset matterport-old")
        for key in document.value:
            if str(key).startswith("RPN_") or "NMS" in str(key) or str(key).startswith("IMAGE_"):
                continue
            root.ignore("it acts after the RPN, on the network or on the run", str(key))
        root.ignore(
            "it follows from others", "IMAGE_SHAPE", "IMAGE_META_SIZE", "IMAGES_PER_GPU", "DETECTION_NMS_THRESHOLD"
        )
        root.ignore("it does not move boxes", "IMAGE_CHANNEL_COUNT")
        if root.get("IMAGE_PADDING", True):
            root.take("IMAGE_PADDING")  # mrcnn before the modes: a square
        root.close()
        return draft.finish(self.name)

    def write(self, params: Params, preset: Preset, flip: bool | None = None) -> str:
        """See :meth:`~rpnviz.configs.base.ConfigFormat.write`."""
        anchors, resize, proposals = params.anchors, params.resize, params.proposals
        mode = {ResizeMode.SQUARE: "square", ResizeMode.NONE: "none"}.get(resize.mode, "pad64")
        least = 0 if resize.min_size == 1 else resize.min_size
        if mode == "pad64" and least % _MULTIPLE:
            mode = "square"  # the nearest that resize_image takes
        most = min(math.ceil(resize.max_size / _MULTIPLE), _NO_LIMIT // _MULTIPLE) * _MULTIPLE
        deviations = [exact_inverse(weight) or 1 / weight for weight in params.coder.weights]
        lines = [
            f"RPN_ANCHOR_SCALES = {_tuple(level[0] for level in anchors.level_sizes)}",
            f"RPN_ANCHOR_RATIOS = {list(anchors.aspect_ratios[0])!r}",
            f"RPN_ANCHOR_STRIDE = {anchors.subsample}",
            f"BACKBONE_STRIDES = {list(anchors.strides)!r}",
            f"RPN_TRAIN_ANCHORS_PER_IMAGE = {params.sample.batch_size_per_image}",
            f"RPN_BBOX_STD_DEV = {_as_xy(deviations)!r}",
            f"RPN_NMS_THRESHOLD = {proposals.nms_thresh!r}",
            f"PRE_NMS_LIMIT = {proposals.pre_nms_top_n.train}",
            f"POST_NMS_ROIS_TRAINING = {proposals.post_nms_top_n.train}",
            f"POST_NMS_ROIS_INFERENCE = {proposals.post_nms_top_n.test}",
            f'IMAGE_RESIZE_MODE = "{mode}"',
            f"IMAGE_MIN_DIM = {least}",
            *([f"IMAGE_MAX_DIM = {most}"] if mode == "square" else []),
            f"IMAGE_MIN_SCALE = {resize.min_scale!r}",
        ]
        return "\n".join(lines) + "\n"


def _read_anchors(draft: Draft, root: Section) -> None:
    strides = root.get("BACKBONE_STRIDES")
    if strides is not None:
        draft.put({"anchors.strides": strides}, "BACKBONE_STRIDES", strides)
    levels = len(draft.value("anchors.strides"))
    scales = root.get("RPN_ANCHOR_SCALES", [32, 64, 128, 256, 512])
    if not isinstance(scales, (list, tuple)) or len(scales) != levels:
        raise draft.refuse("RPN_ANCHOR_SCALES", scales, f"expected {levels} numbers: one per entry of BACKBONE_STRIDES")
    draft.default(anchors={"sizes": [[float(32 * 2**level)] for level in range(levels)]})
    if "RPN_ANCHOR_SCALES" in root:
        draft.put({"anchors.sizes": [[scale] for scale in scales]}, "RPN_ANCHOR_SCALES", scales)
    ratios = root.get("RPN_ANCHOR_RATIOS", [0.5, 1, 2])
    draft.default(anchors={"aspect_ratios": [[0.5, 1.0, 2.0]] * levels})
    if "RPN_ANCHOR_RATIOS" in root:
        draft.put({"anchors.aspect_ratios": [ratios] * levels}, "RPN_ANCHOR_RATIOS", ratios)


def _read_resize(draft: Draft, root: Section) -> None:
    mode = root.get("IMAGE_RESIZE_MODE", "square")
    if mode is False or mode == "none":
        draft.put({"resize.mode": "none", "resize.pad_multiple": 1}, "IMAGE_RESIZE_MODE", mode)
        root.ignore("images are not resized", "IMAGE_MIN_DIM", "IMAGE_MAX_DIM", "IMAGE_MIN_SCALE")
        return
    if mode not in ("square", "pad64", "crop"):
        raise draft.refuse("IMAGE_RESIZE_MODE", mode, "expected one of square, pad64, crop, none")
    if mode == "square":
        root.take("IMAGE_RESIZE_MODE", *(["resize.mode"] if "IMAGE_RESIZE_MODE" in root else []))
        _check_multiple(draft, root, "IMAGE_MAX_DIM")
        root.take("IMAGE_MAX_DIM", "resize.max_size")
    else:
        fields = {"resize.mode": "shortest_edge", "resize.max_size": _NO_LIMIT}
        if mode == "crop":
            draft.put(fields, "IMAGE_RESIZE_MODE", mode)
            draft.notes.pop()
            reason = "the random crop is not shown: the whole image is, at the scale that the crop has"
            draft.not_understood("IMAGE_RESIZE_MODE", mode, reason)
        else:
            draft.put(fields, "IMAGE_RESIZE_MODE", mode)
            _check_multiple(draft, root, "IMAGE_MIN_DIM")
        root.ignore(f"there is no limit in the mode {mode}", "IMAGE_MAX_DIM")
    if "IMAGE_MIN_DIM" in root:
        least = root.get("IMAGE_MIN_DIM")
        # Without a least side nothing is enlarged, which a side of one pixel says too.
        draft.put({"resize.min_size": least or 1}, "IMAGE_MIN_DIM", least)
    if "IMAGE_MIN_SCALE" in root:
        least = root.get("IMAGE_MIN_SCALE")
        draft.put({"resize.min_scale": least or 0}, "IMAGE_MIN_SCALE", least)


def _check_multiple(draft: Draft, root: Section, key: str) -> None:
    value = root.value.get(key)
    if isinstance(value, int) and value % _MULTIPLE:
        raise draft.refuse(key, value, f"Matterport takes multiples of {_MULTIPLE} here")


def _as_xy(values: Sequence[float]) -> list[float]:
    """dy, dx, dh, dw as dx, dy, dw, dh, and back."""
    return [values[1], values[0], values[3], values[2]] if len(values) == 4 else list(values)


def _is_positive(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0


def _tuple(values: Iterable[float]) -> str:
    return repr(tuple(int(value) if value.is_integer() else value for value in values))
