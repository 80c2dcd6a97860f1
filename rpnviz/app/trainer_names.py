"""What each trainer calls a parameter, for tooltips; of most trainers it is what their configurations are read by.

Source of py-faster-rcnn: ``lib/fast_rcnn/config.py``; of the others: see :mod:`rpnviz.configs`.
"""

from __future__ import annotations

from collections.abc import Mapping

from rpnviz.configs.detectron2 import Detectron2
from rpnviz.configs.keras_retinanet import KerasRetinanet
from rpnviz.configs.matterport import Matterport
from rpnviz.configs.mmdetection import MMDetection
from rpnviz.configs.torchvision import Torchvision

_PY_FASTER_RCNN = {
    "match.fg_iou_thresh": "TRAIN.RPN_POSITIVE_OVERLAP",
    "match.bg_iou_thresh": "TRAIN.RPN_NEGATIVE_OVERLAP",
    "match.allow_low_quality_matches": "always on; TRAIN.RPN_CLOBBER_POSITIVES takes weak ones back",
    "anchors.sizes": "generate_anchors(scales=...) times 16",
    "anchors.aspect_ratios": "generate_anchors(ratios=...)",
    "sample.batch_size_per_image": "TRAIN.RPN_BATCHSIZE",
    "sample.positive_fraction": "TRAIN.RPN_FG_FRACTION",
    "sample.seed": "RNG_SEED (numpy.random.seed)",
    "proposals.pre_nms_top_n": "TRAIN.RPN_PRE_NMS_TOP_N, TEST.RPN_PRE_NMS_TOP_N",
    "proposals.post_nms_top_n": "TRAIN.RPN_POST_NMS_TOP_N, TEST.RPN_POST_NMS_TOP_N",
    "proposals.nms_thresh": "TRAIN.RPN_NMS_THRESH, TEST.RPN_NMS_THRESH; an IoU equal to it suppresses too",
}

_VIEWS: dict[str, dict[str, str]] = {
    "torchvision": {
        "min_sizes": "FasterRCNN(min_size=(...)), one drawn per image",
        "flip": "references/detection: --data-augmentation hflip",
        "crop": "references/detection: --data-augmentation lsj (FixedSizeCrop)",
    },
    "detectron2": {
        "min_sizes": "INPUT.MIN_SIZE_TRAIN",
        "flip": "INPUT.RANDOM_FLIP",
        "crop": "INPUT.CROP.ENABLED, TYPE",
        "crop_size": "INPUT.CROP.SIZE",
        "padded_size": "ImageList.from_tensors: the largest of the batch",
    },
    "mmdetection": {
        "min_sizes": "RandomChoiceResize(scales=...)",
        "flip": "RandomFlip(prob=...)",
        "crop": "RandomCrop(crop_type=...)",
        "crop_size": "RandomCrop(crop_size=...)",
        "padded_size": "DetDataPreprocessor: the largest of the batch",
    },
    "matterport": {
        "flip": "augmentation=imgaug.augmenters.Fliplr(0.5)",
        "crop": "IMAGE_RESIZE_MODE = 'crop'",
    },
    "py-faster-rcnn": {"min_sizes": "TRAIN.SCALES", "flip": "TRAIN.USE_FLIPPED"},
    "keras-retinanet": {"flip": "random_transform_generator(flip_x_chance=...)"},
}
_VIEWS["matterport-old"] = _VIEWS["matterport"]
"""What they call the views in which they show an image; sources: see :mod:`rpnviz.core.views`."""

_NAMES: dict[str, Mapping[str, str]] = {
    **{
        preset: form.names
        for form in (Torchvision, Detectron2, MMDetection, Matterport, KerasRetinanet)
        for preset in form.presets
    },
    "py-faster-rcnn": _PY_FASTER_RCNN,
}


def trainer_name(preset: str, field: str) -> str:
    """What a trainer calls ``group.field``, as a sentence for a tooltip; empty if it has no such parameter."""
    name = _NAMES.get(preset, {}).get(field, "")
    return f"In {preset}: {name}" if name else ""
