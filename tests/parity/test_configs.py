"""What is read from a configuration is what mmdetection and torchvision build from it, and so is what is written."""

from __future__ import annotations

import dataclasses
import json

import mmdetection_alone  # noqa: F401 # before any module of mmdet
import numpy as np
import pytest
from mmdet.registry import TASK_UTILS
from mmdetection_alone import CONFIGS
from mmengine.config import Config
from torchvision.models import detection
from torchvision.models.detection.anchor_utils import AnchorGenerator

from rpnviz.configs.base import Fate
from rpnviz.configs.exporting import export_config
from rpnviz.configs.registry import read_config
from rpnviz.configs.torchvision import _BUILDERS
from rpnviz.core import presets
from rpnviz.core.anchors import base_anchors
from rpnviz.core.params import TopN
from rpnviz.errors import ConfigFileError

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # files that mmengine leaves open
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

PUBLISHED = [
    "faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py",
    "faster_rcnn/faster-rcnn_r50-caffe-c4_ms-1x_coco.py",
    "cascade_rcnn/cascade-rcnn_r50_fpn_1x_coco.py",
    "rpn/rpn_r50_fpn_1x_coco.py",
    "legacy_1.x/faster-rcnn_r50_fpn_1x_coco_v1.py",
    "mask_rcnn/mask-rcnn_r50-caffe_fpn_ms-poly-1x_coco.py",
]


def assert_built_alike(config, preset):
    """The framework's own objects have our numbers."""
    model, params = config.model, preset.params
    generator = TASK_UTILS.build(model.rpn_head.anchor_generator)
    assert generator.num_levels == len(params.anchors.strides)
    assert [tuple(stride) for stride in generator.strides] == [(stride, stride) for stride in params.anchors.strides]
    for level, boxes in enumerate(generator.base_anchors):
        np.testing.assert_array_equal(base_anchors(params.anchors, level, preset.conventions), boxes.numpy())
    assigner = TASK_UTILS.build(model.train_cfg.rpn.assigner)
    for name, value in (
        ("pos_iou_thr", params.match.fg_iou_thresh),
        ("neg_iou_thr", params.match.bg_iou_thresh),
        ("min_pos_iou", params.match.min_pos_iou),
        ("match_low_quality", params.match.allow_low_quality_matches),
        ("ignore_iof_thr", params.match.ignore_iof_thresh),
    ):
        assert getattr(assigner, name) == value, name
    assert assigner.gt_max_assign_all == (preset.conventions.tie_rule == "all")
    sampler = TASK_UTILS.build(model.train_cfg.rpn.sampler, default_args={"context": None})
    assert (sampler.num, sampler.pos_fraction) == (
        params.sample.batch_size_per_image,
        params.sample.positive_fraction,
    )
    assert not sampler.add_gt_as_proposals
    coder = TASK_UTILS.build(model.rpn_head.bbox_coder)
    np.testing.assert_allclose(1 / np.array(params.coder.weights), coder.stds, rtol=1e-15)
    assert model.test_cfg.rpn.nms_pre == params.proposals.pre_nms_top_n.test
    assert model.test_cfg.rpn.max_per_img == params.proposals.post_nms_top_n.test
    assert model.test_cfg.rpn.nms.iou_threshold == params.proposals.nms_thresh


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_configurations_of_mmdetection(tmp_path, name):
    config = Config.fromfile(CONFIGS / name)
    path = tmp_path / "dumped.json"
    config.dump(str(path))
    found = read_config(path)
    assert_built_alike(config, found.preset)
    understood = {note.field for note in found.notes if note.fate is Fate.NOT_UNDERSTOOD}
    assert understood <= {"model.rpn_head.bbox_coder.type", "train_dataloader.dataset.pipeline[2].scale"}


def test_every_published_configuration_is_read_or_refused_with_a_reason(tmp_path):
    outcomes = []
    folders = ("faster_rcnn", "mask_rcnn", "cascade_rcnn", "libra_rcnn", "legacy_1.x", "retinanet", "fcos", "yolox")
    for place in (place for folder in folders for place in sorted((CONFIGS / folder).glob("*.py"))):
        path = tmp_path / "dumped.json"
        Config.fromfile(place).dump(str(path))
        outcomes.append(outcome(path))
    assert all(outcomes)
    assert outcomes.count("read") > 50
    assert len(outcomes) - outcomes.count("read") > 30  # retinanet, fcos and yolox have no RPN


def outcome(path):
    """``read``, or the way out of the error."""
    try:
        read_config(path)
    except ConfigFileError as error:
        return error.way_out
    return "read"


def test_a_written_configuration_below_its_base(tmp_path):
    preset = presets.load("mmdetection")
    params = (
        preset.params.with_values("anchors", scales=(4.0, 6.0), aspect_ratios=((0.4, 1.0),) * 5, offset=0.25)
        .with_values("match", fg_iou_thresh=0.6, bg_iou_thresh=0.2, min_pos_iou=0.1, ignore_iof_thresh=0.5)
        .with_values("sample", batch_size_per_image=64, positive_fraction=0.25)
        .with_values("coder", weights=(10.0, 10.0, 5.0, 5.0))
        .with_values("proposals", nms_thresh=0.65, pre_nms_top_n=TopN(900, 800), post_nms_top_n=TopN(700, 600))
    )
    conventions = preset.conventions.overridden({"tie_rule": "first", "cell_order": "size_ratio"})
    mine = dataclasses.replace(preset, params=params, conventions=conventions)
    snippet = export_config(mine, "mmdetection").text
    path = tmp_path / "mine.py"
    base = CONFIGS / "faster_rcnn" / "faster-rcnn_r50_fpn_1x_coco.py"
    path.write_text(f"_base_ = [{str(base)!r}]\n{snippet}", encoding="utf-8")
    config = Config.fromfile(path)
    assert_built_alike(config, mine)
    assert config.model.train_cfg.rpn.pos_weight == -1, "what the base has beside stays"
    dumped = tmp_path / "dumped.json"
    config.dump(str(dumped))
    assert read_config(dumped).preset == mine


@pytest.mark.parametrize("builder", [name for name in _BUILDERS if name[0].islower()])
def test_builders_of_torchvision(tmp_path, builder):
    model = getattr(detection, builder)(weights=None, weights_backbone=None)
    path = tmp_path / "arguments.json"
    path.write_text(json.dumps({"builder": builder}), encoding="utf-8")
    found = read_config(path)
    assert_model_alike(model, found.preset.params)
    assert [view.min_size for view in found.train_views] == list(model.transform.min_size)


def assert_model_alike(model, params):
    rpn, transform = model.rpn, model.transform
    assert [list(level) for level in rpn.anchor_generator.sizes] == [
        list(level) for level in params.anchors.level_sizes
    ]
    assert [list(level) for level in rpn.anchor_generator.aspect_ratios] == [
        list(level) for level in params.anchors.aspect_ratios
    ]
    assert (transform.min_size[0], transform.max_size) == (params.resize.min_size, params.resize.max_size)
    assert transform.size_divisible == params.resize.pad_multiple
    matcher, sampler, proposals = rpn.proposal_matcher, rpn.fg_bg_sampler, params.proposals
    assert (matcher.high_threshold, matcher.low_threshold) == (params.match.fg_iou_thresh, params.match.bg_iou_thresh)
    assert matcher.allow_low_quality_matches == params.match.allow_low_quality_matches
    assert (sampler.batch_size_per_image, sampler.positive_fraction) == (
        params.sample.batch_size_per_image,
        params.sample.positive_fraction,
    )
    assert rpn._pre_nms_top_n == {"training": proposals.pre_nms_top_n.train, "testing": proposals.pre_nms_top_n.test}
    assert rpn._post_nms_top_n == {"training": proposals.post_nms_top_n.train, "testing": proposals.post_nms_top_n.test}
    assert (rpn.nms_thresh, rpn.score_thresh, rpn.min_size) == (
        proposals.nms_thresh,
        proposals.score_thresh,
        proposals.min_size,
    )
    assert rpn.box_coder.weights == params.coder.weights


def test_written_arguments_build_torchvisions_model():
    preset = presets.load("torchvision")
    params = (
        preset.params.with_values("anchors", sizes=((16, 24), (32, 48), (64, 96), (128, 192), (256, 384)))
        .with_values("anchors", aspect_ratios=((0.4, 1.0),) * 5)
        .with_values("match", fg_iou_thresh=0.6, bg_iou_thresh=0.2)
        .with_values("sample", batch_size_per_image=64, positive_fraction=0.25)
        .with_values("resize", min_size=400, max_size=700, pad_multiple=64)
        .with_values("proposals", nms_thresh=0.65, score_thresh=0.1, pre_nms_top_n=TopN(900, 800))
    )
    text = export_config(dataclasses.replace(preset, params=params), "torchvision").text
    given: dict = {}
    exec(text, given)
    arguments = given["arguments"]
    anchors = AnchorGenerator(**arguments.pop("rpn_anchor_generator"))
    model = detection.fasterrcnn_resnet50_fpn(
        weights=None, weights_backbone=None, rpn_anchor_generator=anchors, **arguments
    )
    assert_model_alike(model, params)
    for level, boxes in enumerate(anchors.cell_anchors):
        np.testing.assert_array_equal(base_anchors(params.anchors, level, preset.conventions), boxes.numpy())
