"""torchvision's builder arguments: what a training script gives to ``fasterrcnn_resnet50_fpn`` or ``FasterRCNN``.

torchvision has no configuration file; scripts keep the arguments as JSON or write them out. Read are their names and
those of ``AnchorGenerator``; ``builder`` names the function, ``strides`` the feature maps of a backbone of one's own.

Sources: torchvision ``models/detection/faster_rcnn.py: FasterRCNN, fasterrcnn_resnet50_fpn, _fasterrcnn_mobilenet_v3_
large_fpn``, ``keypoint_rcnn.py: KeypointRCNN``, ``transform.py: GeneralizedRCNNTransform``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rpnviz.configs.base import TrainerConfig
from rpnviz.configs.documents import Document, Kind
from rpnviz.configs.draft import Draft, Section
from rpnviz.configs.train_sides import training_sides
from rpnviz.core import presets
from rpnviz.core.params import Params
from rpnviz.core.presets import Preset
from rpnviz.errors import ConfigFileError

_KEYS = {
    "max_size": "resize.max_size",
    "size_divisible": "resize.pad_multiple",
    "rpn_fg_iou_thresh": "match.fg_iou_thresh",
    "rpn_bg_iou_thresh": "match.bg_iou_thresh",
    "rpn_batch_size_per_image": "sample.batch_size_per_image",
    "rpn_positive_fraction": "sample.positive_fraction",
    "rpn_pre_nms_top_n_train": "proposals.pre_nms_top_n.train",
    "rpn_pre_nms_top_n_test": "proposals.pre_nms_top_n.test",
    "rpn_post_nms_top_n_train": "proposals.post_nms_top_n.train",
    "rpn_post_nms_top_n_test": "proposals.post_nms_top_n.test",
    "rpn_score_thresh": "proposals.score_thresh",
    "rpn_nms_thresh": "proposals.nms_thresh",
}
"""Arguments that go over as they are."""

_FPN_STRIDES = (4, 8, 16, 32, 64)
_MOBILENET_STRIDES = (32, 32, 64)
_MOBILENET_ANCHORS = {
    "strides": _MOBILENET_STRIDES,
    "sizes": [[32, 64, 128, 256, 512]] * 3,
    "aspect_ratios": [[0.5, 1.0, 2.0]] * 3,
}
_KEYPOINT_SIDES = (640, 672, 704, 736, 768, 800)
_BUILDERS: dict[str, dict[str, dict[str, Any]]] = {
    **{
        f"{kind}_resnet50_fpn{version}": {}
        for kind in ("fasterrcnn", "maskrcnn", "keypointrcnn")
        for version in ("", "_v2")
        if (kind, version) != ("keypointrcnn", "_v2")
    },
    "FasterRCNN": {},
    "MaskRCNN": {},
    "KeypointRCNN": {},
    "fasterrcnn_mobilenet_v3_large_fpn": {"anchors": _MOBILENET_ANCHORS, "proposals": {"score_thresh": 0.05}},
    "fasterrcnn_mobilenet_v3_large_320_fpn": {
        "anchors": _MOBILENET_ANCHORS,
        "resize": {"min_size": 320, "max_size": 640},
        "proposals": {
            "score_thresh": 0.05,
            "pre_nms_top_n": {"train": 2000, "test": 150},
            "post_nms_top_n": {"train": 2000, "test": 150},
        },
    },
}
"""What a builder takes for what it is not told, where that is not the preset's."""


class Torchvision:
    """See :class:`~rpnviz.configs.base.ConfigFormat`."""

    name = "torchvision"
    presets = ("torchvision",)
    kind = Kind.PYTHON
    names: Mapping[str, str] = {
        "match.fg_iou_thresh": "rpn_fg_iou_thresh",
        "match.bg_iou_thresh": "rpn_bg_iou_thresh",
        "match.allow_low_quality_matches": "always on in the RPN (Matcher: allow_low_quality_matches=True)",
        "anchors.sizes": "AnchorGenerator(sizes=...)",
        "anchors.aspect_ratios": "AnchorGenerator(aspect_ratios=...)",
        "sample.batch_size_per_image": "rpn_batch_size_per_image",
        "sample.positive_fraction": "rpn_positive_fraction",
        "sample.seed": "torch.manual_seed",
        "proposals.pre_nms_top_n": "rpn_pre_nms_top_n_train, rpn_pre_nms_top_n_test",
        "proposals.post_nms_top_n": "rpn_post_nms_top_n_train, rpn_post_nms_top_n_test",
        "proposals.score_thresh": "rpn_score_thresh",
        "proposals.nms_thresh": "rpn_nms_thresh",
    }
    limits: Mapping[str, str] = {
        "resize.mode": "images are always resized by their short side",
        "resize.min_scale": "there is no such limit",
        "anchors.offset": "the first anchor stands on the corner of the image",
        "anchors.subsample": "every cell carries anchors",
        "match.allow_low_quality_matches": "the RPN's matcher always forces the best anchors",
        "match.min_pos_iou": "best anchors are forced at any IoU",
        "match.border_thresh": "anchors beyond the border take part",
        "match.ignore_iof_thresh": "crowd regions are dropped by the data set's code",
        "sample.seed": "call torch.manual_seed before training",
        "coder.weights": "they are fixed at 1 in RegionProposalNetwork",
        "coder.dwh_clip": "it is fixed in BoxCoder (bbox_xform_clip)",
        "proposals.min_size": "it is no argument: set model.rpn.min_size",
        "conventions.": "it is fixed in the code",
    }

    def sniff(self, document: Document) -> int:
        """See :meth:`~rpnviz.configs.base.ConfigFormat.sniff`."""
        if document.kind is Kind.INI:
            return 0
        given = _arguments(document.value)
        found = sum(key in given for key in (*_KEYS, "rpn_anchor_generator", "min_size"))
        return 60 if found else 50 * ("builder" in given or {"sizes", "aspect_ratios"} <= set(given))

    def read(self, document: Document, preset: str) -> TrainerConfig:
        """See :meth:`~rpnviz.configs.base.ConfigFormat.read`."""
        draft = Draft(document.path, presets.load(preset))
        root = Section(draft, _arguments(document.value))
        builder = _read_builder(draft, root)
        _read_anchors(draft, root, builder)
        views = _read_sides(draft, root, builder)
        for key, field in _KEYS.items():
            root.take(key, field)
        for key in map(str, root.value):
            if key.startswith(
                ("box_", "roi_", "mask_", "keypoint_", "image_", "weights", "pretrained", "num_", "trainable")
            ):
                root.ignore("it acts after the RPN or on the network", key)
        root.ignore("it acts after the RPN or on the network", "backbone", "progress", "rpn_head", "bbox_reg_weights")
        root.close()
        return draft.finish(self.name, views=views)

    def write(self, params: Params, preset: Preset, flip: bool | None = None) -> str:
        """See :meth:`~rpnviz.configs.base.ConfigFormat.write`."""
        anchors, resize, proposals = params.anchors, params.resize, params.proposals
        sides = training_sides(params)
        arguments: dict[str, object] = {
            "min_size": sides if len(sides) > 1 else sides[0],  # training draws one, inference takes the last
            "max_size": resize.max_size,
            "size_divisible": resize.pad_multiple,
            "rpn_fg_iou_thresh": params.match.fg_iou_thresh,
            "rpn_bg_iou_thresh": params.match.bg_iou_thresh,
            "rpn_batch_size_per_image": params.sample.batch_size_per_image,
            "rpn_positive_fraction": params.sample.positive_fraction,
            "rpn_pre_nms_top_n_train": proposals.pre_nms_top_n.train,
            "rpn_pre_nms_top_n_test": proposals.pre_nms_top_n.test,
            "rpn_post_nms_top_n_train": proposals.post_nms_top_n.train,
            "rpn_post_nms_top_n_test": proposals.post_nms_top_n.test,
            "rpn_score_thresh": proposals.score_thresh,
            "rpn_nms_thresh": proposals.nms_thresh,
        }
        sizes = tuple(tuple(int(s) if s.is_integer() else s for s in level) for level in anchors.level_sizes)
        lines = [
            "arguments = dict(",
            *[f"    {key}={value!r}," for key, value in arguments.items()],
            "    rpn_anchor_generator=dict(",
            f"        sizes={sizes!r},",
            f"        aspect_ratios={anchors.aspect_ratios!r},",
            "    ),",
            ")",
            f"strides = {anchors.strides!r}  # of the backbone's feature maps; torchvision measures them itself",
            "",
            "# from torchvision.models.detection import fasterrcnn_resnet50_fpn",
            "# from torchvision.models.detection.anchor_utils import AnchorGenerator",
            '# anchors = AnchorGenerator(**arguments.pop("rpn_anchor_generator"))',
            "# model = fasterrcnn_resnet50_fpn(rpn_anchor_generator=anchors, **arguments)",
        ]
        return "\n".join(lines) + "\n"


def _arguments(value: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments, which a snippet keeps under a name of their own beside the strides."""
    inner = value.get("arguments")
    if not isinstance(inner, Mapping):
        return dict(value)
    return {**inner, **{key: other for key, other in value.items() if key != "arguments"}}


def _read_builder(draft: Draft, root: Section) -> str:
    builder = str(root.get("builder", "fasterrcnn_resnet50_fpn"))
    if builder.startswith(("retinanet", "ssd", "fcos")):
        raise ConfigFileError(
            f"{builder} has no region proposal network, so there is nothing to show of it here.",
            where=f"{draft.path}, builder",
            way_out="Open the arguments of a Faster, Mask or Keypoint R-CNN.",
        )
    if builder not in _BUILDERS:
        raise draft.refuse("builder", builder, f"expected one of {', '.join(_BUILDERS)}")
    draft.default(**_BUILDERS[builder])
    if "builder" in root:
        draft.put({}, "builder", builder)
    else:
        draft.assume("builder", builder)
    return builder


def _read_anchors(draft: Draft, root: Section, builder: str) -> None:
    """Sizes and ratios, which stand in ``rpn_anchor_generator`` or beside the other arguments."""
    generator = root.section("rpn_anchor_generator") if root.get("rpn_anchor_generator") is not None else root
    if "sizes" in root and generator is not root:
        raise draft.refuse("sizes", root.get("sizes"), "they are given in rpn_anchor_generator too")
    sizes, ratios = generator.get("sizes"), generator.get("aspect_ratios")
    own: list[int] = draft.value("anchors.strides")
    levels = next((len(rows) for rows in (sizes, ratios) if isinstance(rows, (list, tuple))), len(own))
    strides = root.get("strides")
    if strides is not None:
        draft.put({"anchors.strides": strides}, "strides", strides)
    elif levels != len(own):
        raise draft.refuse(
            generator.name("sizes"),
            sizes,
            f'it has {levels} levels and {builder} has {len(own)}: for a backbone of your own add "strides", '
            "those of its feature maps in px",
        )
    elif builder == "FasterRCNN":
        draft.assume("strides", f"{', '.join(map(str, own))} of a ResNet with FPN")
    for key, value, field in (("sizes", sizes, "anchors.sizes"), ("aspect_ratios", ratios, "anchors.aspect_ratios")):
        if value is not None:
            rows = value if isinstance(value, (list, tuple)) else [value]
            # AnchorGenerator takes a flat list for one level's per entry (sizes) or for all levels (ratios).
            if rows and not isinstance(rows[0], (list, tuple)):
                rows = [[size] for size in rows] if key == "sizes" else [rows] * len(draft.value("anchors.strides"))
            draft.put({field: rows}, generator.name(key), value)
        elif strides is not None and len(draft.value(field)) != len(draft.value("anchors.strides")):
            raise draft.refuse("strides", strides, f"there are no {key} for that many levels; add them")


def _read_sides(draft: Draft, root: Section, builder: str) -> list[dict[str, Any]]:
    """``min_size``: training draws one of several, inference takes the last."""
    if root.get("fixed_size") is not None:
        draft.not_understood("fixed_size", root.get("fixed_size"), "images are resized without keeping their shape")
    raw = root.get("min_size")
    if raw is None:
        if not builder.lower().startswith("keypointrcnn"):
            return []
        raw = _KEYPOINT_SIDES
        draft.assume("min_size", f"{', '.join(map(str, raw))}: the sides that {builder} draws from")
        draft.default(resize={"min_size": raw[0]})
        return [{"min_size": side} for side in raw]
    sides = list(raw) if isinstance(raw, (list, tuple)) else [raw]
    if not sides:
        raise draft.refuse("min_size", raw, "expected a number or a list of numbers")
    draft.put({"resize.min_size": sides[0]}, "min_size", raw)
    return [{"min_size": draft.check("resize.min_size", side, "min_size", raw)} for side in sides]
