"""Structures of published configurations: the fields that matter and some that do not, in our own words and numbers."""

from __future__ import annotations

import copy

BASE_FPN = """
MODEL:
  META_ARCHITECTURE: "GeneralizedRCNN"
  BACKBONE:
    NAME: "build_resnet_fpn_backbone"
  RESNETS:
    OUT_FEATURES: ["res2", "res3", "res4", "res5"]
  FPN:
    IN_FEATURES: ["res2", "res3", "res4", "res5"]
  ANCHOR_GENERATOR:
    SIZES: [[32], [64], [128], [256], [512]]
    ASPECT_RATIOS: [[0.5, 1.0, 2.0]]
  RPN:
    IN_FEATURES: ["p2", "p3", "p4", "p5", "p6"]
    PRE_NMS_TOPK_TRAIN: 2000
    PRE_NMS_TOPK_TEST: 1000
    POST_NMS_TOPK_TRAIN: 1000
    POST_NMS_TOPK_TEST: 1000
  ROI_HEADS:
    NAME: "StandardROIHeads"
    IN_FEATURES: ["p2", "p3", "p4", "p5"]
DATASETS:
  TRAIN: ("coco_2017_train",)
SOLVER:
  IMS_PER_BATCH: 16
  BASE_LR: 0.02
  STEPS: (60000, 80000)
INPUT:
  MIN_SIZE_TRAIN: (640, 672, 704, 736, 768, 800)
VERSION: 2
"""
FPN_3X = """
_BASE_: "../Base-RCNN-FPN.yaml"
MODEL:
  WEIGHTS: "detectron2://ImageNetPretrained/MSRA/R-50.pkl"
  MASK_ON: False
  RESNETS:
    DEPTH: 50
SOLVER:
  STEPS: (210000, 250000)
  MAX_ITER: 270000
"""
C4 = """
MODEL:
  META_ARCHITECTURE: "GeneralizedRCNN"
  RPN:
    PRE_NMS_TOPK_TEST: 6000
    POST_NMS_TOPK_TEST: 1000
  ROI_HEADS:
    NAME: "Res5ROIHeads"
INPUT:
  MIN_SIZE_TRAIN: (640, 672, 704)
VERSION: 2
"""
RETINANET = """
MODEL:
  META_ARCHITECTURE: "RetinaNet"
  BACKBONE: {NAME: "build_retinanet_resnet_fpn_backbone"}
  ANCHOR_GENERATOR:
    SIZES: [[32, 40, 50]]
"""

FASTER_RCNN_V3 = {
    "model": {
        "type": "FasterRCNN",
        "data_preprocessor": {"type": "DetDataPreprocessor", "mean": [1.0, 2.0, 3.0], "pad_size_divisor": 32},
        "backbone": {"type": "ResNet", "depth": 50},
        "neck": {"type": "FPN", "num_outs": 5},
        "rpn_head": {
            "type": "RPNHead",
            "in_channels": 256,
            "feat_channels": 256,
            "anchor_generator": {
                "type": "AnchorGenerator",
                "scales": [8],
                "ratios": [0.5, 1.0, 2.0],
                "strides": [4, 8, 16, 32, 64],
            },
            "bbox_coder": {
                "type": "DeltaXYWHBBoxCoder",
                "target_means": [0.0, 0.0, 0.0, 0.0],
                "target_stds": [1.0, 1.0, 1.0, 1.0],
            },
            "loss_cls": {"type": "CrossEntropyLoss", "use_sigmoid": True, "loss_weight": 1.0},
            "loss_bbox": {"type": "L1Loss", "loss_weight": 1.0},
        },
        "roi_head": {"type": "StandardRoIHead", "bbox_head": {"num_classes": 80}},
        "train_cfg": {
            "rpn": {
                "assigner": {
                    "type": "MaxIoUAssigner",
                    "pos_iou_thr": 0.7,
                    "neg_iou_thr": 0.3,
                    "min_pos_iou": 0.3,
                    "match_low_quality": True,
                    "ignore_iof_thr": -1,
                },
                "sampler": {
                    "type": "RandomSampler",
                    "num": 256,
                    "pos_fraction": 0.5,
                    "neg_pos_ub": -1,
                    "add_gt_as_proposals": False,
                },
                "allowed_border": -1,
                "pos_weight": -1,
                "debug": False,
            },
            "rpn_proposal": {
                "nms_pre": 2000,
                "max_per_img": 1000,
                "nms": {"type": "nms", "iou_threshold": 0.7},
                "min_bbox_size": 0,
            },
            "rcnn": {"assigner": {"type": "MaxIoUAssigner", "pos_iou_thr": 0.5}},
        },
        "test_cfg": {
            "rpn": {
                "nms_pre": 1000,
                "max_per_img": 1000,
                "nms": {"type": "nms", "iou_threshold": 0.7},
                "min_bbox_size": 0,
            },
            "rcnn": {"score_thr": 0.05},
        },
    },
    "train_dataloader": {
        "batch_size": 2,
        "dataset": {
            "type": "CocoDataset",
            "pipeline": [
                {"type": "LoadImageFromFile"},
                {"type": "LoadAnnotations", "with_bbox": True},
                {"type": "Resize", "scale": [1333, 800], "keep_ratio": True},
                {"type": "RandomFlip", "prob": 0.5},
                {"type": "PackDetInputs"},
            ],
        },
    },
    "train_cfg": {"type": "EpochBasedTrainLoop", "max_epochs": 12},
    "optim_wrapper": {"type": "OptimWrapper", "optimizer": {"type": "SGD", "lr": 0.02}},
}


def faster_rcnn_v2() -> dict:
    """The same detector as mmdetection 2 dumps it: pipeline under ``data``, padding in it."""
    config = copy.deepcopy(FASTER_RCNN_V3)
    del config["model"]["data_preprocessor"], config["train_dataloader"], config["train_cfg"]
    config["data"] = {
        "samples_per_gpu": 2,
        "train": {
            "type": "CocoDataset",
            "pipeline": [
                {"type": "LoadImageFromFile"},
                {"type": "Resize", "img_scale": [1333, 800], "keep_ratio": True},
                {"type": "RandomFlip", "flip_ratio": 0.5},
                {"type": "Normalize", "to_rgb": True},
                {"type": "Pad", "size_divisor": 32},
                {"type": "DefaultFormatBundle"},
            ],
        },
    }
    return config


def cascade_rcnn() -> dict:
    """Several heads behind the RPN; training draws one of six sides."""
    config = copy.deepcopy(FASTER_RCNN_V3)
    config["model"]["type"] = "CascadeRCNN"
    config["model"]["roi_head"] = {"type": "CascadeRoIHead", "num_stages": 3, "bbox_head": [{}, {}, {}]}
    config["model"]["train_cfg"]["rcnn"] = [{}, {}, {}]
    config["model"]["train_cfg"]["rpn_proposal"]["max_per_img"] = 2000
    scales = [[1333, side] for side in (640, 672, 704, 736, 768, 800)]
    resize = {"type": "RandomChoiceResize", "scales": scales, "keep_ratio": True}
    inner = config["train_dataloader"]["dataset"]
    inner["pipeline"][2] = resize
    config["train_dataloader"]["dataset"] = {"type": "RepeatDataset", "times": 3, "dataset": inner}
    return config


def rpn_only() -> dict:
    """The detector RPN, which proposes nothing while it trains."""
    config = copy.deepcopy(FASTER_RCNN_V3)
    model = config["model"]
    model["type"] = "RPN"
    del model["roi_head"], model["train_cfg"]["rpn_proposal"], model["train_cfg"]["rcnn"], model["test_cfg"]["rcnn"]
    model["test_cfg"]["rpn"]["nms_pre"] = 2000
    return config


def matterport(**changes) -> dict:
    """``Config`` as its dump holds it."""
    config = {
        "NAME": "coco",
        "GPU_COUNT": 1,
        "IMAGES_PER_GPU": 2,
        "STEPS_PER_EPOCH": 1000,
        "BACKBONE": "resnet101",
        "BACKBONE_STRIDES": [4, 8, 16, 32, 64],
        "NUM_CLASSES": 81,
        "RPN_ANCHOR_SCALES": [32, 64, 128, 256, 512],
        "RPN_ANCHOR_RATIOS": [0.5, 1, 2],
        "RPN_ANCHOR_STRIDE": 1,
        "RPN_NMS_THRESHOLD": 0.7,
        "RPN_TRAIN_ANCHORS_PER_IMAGE": 256,
        "PRE_NMS_LIMIT": 6000,
        "POST_NMS_ROIS_TRAINING": 2000,
        "POST_NMS_ROIS_INFERENCE": 1000,
        "IMAGE_RESIZE_MODE": "square",
        "IMAGE_MIN_DIM": 800,
        "IMAGE_MAX_DIM": 1024,
        "IMAGE_MIN_SCALE": 0,
        "IMAGE_SHAPE": [1024, 1024, 3],
        "MEAN_PIXEL": [123.7, 116.8, 103.9],
        "TRAIN_ROIS_PER_IMAGE": 200,
        "RPN_BBOX_STD_DEV": [0.1, 0.1, 0.2, 0.2],
        "BBOX_STD_DEV": [0.1, 0.1, 0.2, 0.2],
        "DETECTION_MIN_CONFIDENCE": 0.7,
        "DETECTION_NMS_THRESHOLD": 0.3,
        "LEARNING_RATE": 0.001,
        "USE_RPN_ROIS": True,
    }
    return {**config, **changes}


NUCLEUS = {
    "NAME": "nucleus",
    "BACKBONE": "resnet50",
    "IMAGE_RESIZE_MODE": "crop",
    "IMAGE_MIN_DIM": 512,
    "IMAGE_MAX_DIM": 512,
    "IMAGE_MIN_SCALE": 2.0,
    "RPN_ANCHOR_SCALES": [8, 16, 32, 64, 128],
    "POST_NMS_ROIS_TRAINING": 1000,
    "POST_NMS_ROIS_INFERENCE": 2000,
    "RPN_NMS_THRESHOLD": 0.9,
    "RPN_TRAIN_ANCHORS_PER_IMAGE": 64,
}

KERAS_README = """
[anchor_parameters]
# Sizes should correlate to how the network processes an image
sizes   = 32 64 128 256 512
strides = 8 16 32 64 128
ratios  = 0.5 1 2 3
scales  = 1 1.2 1.6
"""
