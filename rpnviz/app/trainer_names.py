"""What each trainer calls a parameter, for tooltips.

Sources: torchvision ``FasterRCNN.__init__``, ``AnchorGenerator``; detectron2 ``config/defaults.py``; mmdetection
``configs/_base_/models/faster-rcnn_r50_fpn.py``; Matterport ``mrcnn/config.py``, ``mrcnn/model.py``; py-faster-rcnn
``lib/fast_rcnn/config.py``; keras-retinanet ``utils/anchors.py``, ``bin/train.py``.
"""

from __future__ import annotations

_TORCHVISION = {
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
    "train_views.min_sizes": "FasterRCNN(min_size=(...)), one drawn per image",
    "train_views.flip": "references/detection: --data-augmentation hflip",
    "train_views.crop": "references/detection: --data-augmentation lsj (FixedSizeCrop)",
}
_DETECTRON2 = {
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
    "train_views.min_sizes": "INPUT.MIN_SIZE_TRAIN",
    "train_views.flip": "INPUT.RANDOM_FLIP",
    "train_views.crop": "INPUT.CROP.ENABLED, TYPE",
    "train_views.crop_size": "INPUT.CROP.SIZE",
    "train_views.padded_size": "ImageList.from_tensors: the largest of the batch",
}
_MMDETECTION = {
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
    "train_views.min_sizes": "RandomChoiceResize(scales=...)",
    "train_views.flip": "RandomFlip(prob=...)",
    "train_views.crop": "RandomCrop(crop_type=...)",
    "train_views.crop_size": "RandomCrop(crop_size=...)",
    "train_views.padded_size": "DetDataPreprocessor: the largest of the batch",
}
_MATTERPORT = {
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
    "train_views.flip": "augmentation=imgaug.augmenters.Fliplr(0.5)",
    "train_views.crop": "IMAGE_RESIZE_MODE = 'crop'",
}
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
    "train_views.min_sizes": "TRAIN.SCALES",
    "train_views.flip": "TRAIN.USE_FLIPPED",
}
_KERAS_RETINANET = {
    "match.fg_iou_thresh": "anchor_targets_bbox(positive_overlap=...)",
    "match.bg_iou_thresh": "anchor_targets_bbox(negative_overlap=...), itself still negative",
    "match.allow_low_quality_matches": "no such rule",
    "anchors.sizes": "[anchor_parameters] sizes times scales",
    "anchors.aspect_ratios": "[anchor_parameters] ratios",
    "sample.batch_size_per_image": "no mini-batch: all positives and negatives train (focal loss)",
    "sample.positive_fraction": "no mini-batch: all positives and negatives train (focal loss)",
    "train_views.flip": "random_transform_generator(flip_x_chance=...)",
}

_NAMES = {
    "torchvision": _TORCHVISION,
    "detectron2": _DETECTRON2,
    "mmdetection": _MMDETECTION,
    "matterport": _MATTERPORT,
    "matterport-old": _MATTERPORT,
    "py-faster-rcnn": _PY_FASTER_RCNN,
    "keras-retinanet": _KERAS_RETINANET,
}


def trainer_name(preset: str, field: str) -> str:
    """What a trainer calls ``group.field``, as a sentence for a tooltip; empty if it has no such parameter."""
    name = _NAMES.get(preset, {}).get(field, "")
    return f"In {preset}: {name}" if name else ""
