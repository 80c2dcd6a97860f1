"""Outputs of mmdetection's own detectors, anchors and proposals, built from its published configurations.

A plain NMS takes the place of ``mmcv.ops.batched_nms``; see :mod:`mmdetection_alone`.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import mmdetection_alone  # noqa: F401 # before any module of mmdet
import mmengine
import numpy as np
import pytest
import torch
from dense import greedy_nms
from mmcv.transforms import Compose
from mmdet.models.dense_heads import rpn_head
from mmdet.registry import MODELS
from mmdetection_alone import CONFIGS
from mmengine.config import Config
from mmengine.runner.checkpoint import get_state_dict, save_checkpoint
from mmengine.structures import InstanceData

from rpnviz import capture
from rpnviz.core import pipeline, presets
from rpnviz.core.losses import RULES, step_losses
from rpnviz.core.presets import Preset
from rpnviz.core.replay import replay, sentence
from rpnviz.core.replay_search import explain
from rpnviz.datasets.captures import capture_files, read_step
from rpnviz.datasets.registry import sample_dataset
from rpnviz.export.proposals import own_thresholds
from rpnviz.models.dump import read_dump
from rpnviz.models.registry import open_model
from rpnviz.paths import sample_images

PHOTO = sample_images() / "coffee.jpg"
MIN_SIZE, MAX_SIZE = 400, 667
"""Half of the configurations' own, for speed."""


def batched_nms(boxes, scores, groups, config):
    """As mmcv's: the best of each level, rows of box and score, best first."""
    kept = [
        rows[greedy_nms(boxes[rows].numpy(), scores[rows].numpy(), config["iou_threshold"])]
        for rows in (torch.nonzero(groups == group)[:, 0] for group in groups.unique())
    ]
    kept = torch.cat(kept)
    kept = kept[scores[kept].argsort(descending=True, stable=True)]
    return torch.cat([boxes[kept], scores[kept, None]], dim=1), kept


rpn_head.batched_nms = batched_nms


def built(name, **changes):
    """A configuration and its detector, without what follows the RPN, with random weights whose outputs differ."""
    config = Config.fromfile(CONFIGS / name)
    config.merge_from_dict({f"model.{key}": value for key, value in changes.items()})
    if "roi_head" in config.model:
        config.model.roi_head = None
    config.model.backbone.init_cfg = None  # no download
    torch.manual_seed(0)
    model = MODELS.build(config.model)
    model.init_weights()
    for module in model.modules():
        if hasattr(module, "running_var"):
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.5, 1.5)
            module.weight.data.uniform_(0.2, 0.5)
            module.bias.data.uniform_(-0.1, 0.1)
    if config.model.data_preprocessor.std[0] == 1:
        model.backbone.conv1.weight.data /= 58  # pixels of 0 to 255 enter it
    head = rpn_of(model)
    for layer in (head.rpn_cls, head.rpn_reg):
        torch.nn.init.normal_(layer.weight, std=0.5)
    return config, model.eval()


def rpn_of(model):
    """The head: of the detector RPN it is the only one."""
    return model.rpn_head if "rpn_head" in dict(model.named_children()) else model.bbox_head


def packed(config, path=PHOTO):
    """A photo as the configuration's test pipeline makes it, at half its size."""
    steps = [step for step in config.test_dataloader.dataset.pipeline if step.type != "LoadAnnotations"]
    for step in steps:
        if step.type == "Resize":
            assert step.scale in ((1333, 800), (MAX_SIZE, MIN_SIZE))
            step.scale = (MAX_SIZE, MIN_SIZE)
    return Compose(steps)({"img_path": str(path), "img_id": 0})


def saved(path, config, model):
    """A checkpoint as mmengine's runner writes it."""
    meta = {"epoch": 12, "iter": 87_960, "cfg": config.text, "mmengine_version": mmengine.__version__}
    save_checkpoint({"meta": meta, "state_dict": get_state_dict(model)}, str(path))
    return path


def opened(path, options):
    """The file as rpnviz opens it, at half the size."""
    model = open_model(path, {"device": "cpu", **options})
    resize = dataclasses.replace(model.settings.resize, min_size=MIN_SIZE, max_size=MAX_SIZE)
    return dataclasses.replace(model, settings=dataclasses.replace(model.settings, resize=resize))


def followed(model, photo, output):
    """The pipeline on outputs, under mmdetection's rules and the thresholds that come with the model."""
    preset = presets.load("mmdetection")
    preset = Preset(preset.name, own_thresholds(model, preset.params), preset.conventions)
    return pipeline.run_outputs(
        pipeline.Inputs(photo.shape[:2], np.zeros((0, 4))), output, preset.params, preset.conventions
    )


FASTER = "faster_rcnn/faster-rcnn_"
CASES = {
    "R-50": (f"{FASTER}r50_fpn_1x_coco.py", {}, {}),
    "RPN alone": ("rpn/rpn_r50_fpn_1x_coco.py", {}, {}),
    "two convolutions": ("rpn/rpn_r50_fpn_1x_coco.py", {"rpn_head.num_convs": 2}, {}),
    "Caffe's R-50": (f"{FASTER}r50-caffe_fpn_1x_coco.py", {}, {"style": "caffe"}),
    "Caffe's R-50 C4": (f"{FASTER}r50-caffe_c4-1x_coco.py", {}, {"style": "caffe"}),
    "Caffe's R-50 DC5": (f"{FASTER}r50-caffe-dc5_1x_coco.py", {}, {"style": "caffe"}),
    "X-50": (f"{FASTER}x101-32x4d_fpn_1x_coco.py", {"backbone.depth": 50}, {}),
    "softmax": (f"{FASTER}r50_fpn_1x_coco.py", {"rpn_head.loss_cls.use_sigmoid": False}, {}),
}


def equal(ours, theirs):
    """To the bit with as many threads as cores; with one, torch sums dilated convolutions in another order."""
    return np.array_equal(ours, theirs) or np.abs(ours - theirs).max() < 1e-5 * np.abs(theirs).max()


@pytest.mark.parametrize("case", CASES)
def test_outputs_anchors_and_proposals_are_those_of_mmdetection(case, tmp_path, photo, share_found):
    name, changes, options = CASES[case]
    config, model = built(name, **changes)
    inputs = packed(config)
    data = model.data_preprocessor({key: [value] for key, value in inputs.items()}, False)
    head = rpn_of(model)
    with torch.no_grad():
        features = model.extract_feat(data["inputs"])
        logits, deltas = head(features)
        (proposals,) = head.predict(features, data["data_samples"], rescale=False)
    priors = torch.cat(head.prior_generator.grid_priors([level.shape[-2:] for level in logits], device="cpu"))

    own_model = opened(saved(tmp_path / "epoch_12.pth", config, model), options)
    output = own_model.propose(photo)
    for level, a, b in zip(output.levels, logits, deltas, strict=True):
        if head.use_sigmoid_cls:
            assert equal(level.objectness, a[0].numpy())
        else:
            # Foreground first. Their difference is taken of the weights and not of the logits.
            a = (a[0, 0::2] - a[0, 1::2]).numpy()
            assert np.abs(level.objectness - a).max() < 1e-5 * a.std()
        assert equal(level.deltas.reshape(b.shape[1:]), b[0].numpy())
    own = followed(own_model, photo, output)
    assert np.array_equal(own.anchors.boxes, priors.numpy())
    assert len(own.proposals.boxes) == len(proposals.bboxes) > 900
    assert share_found(own, proposals.bboxes.numpy(), proposals.scores.numpy()) >= 0.97


def test_the_recipe_of_the_documentation_runs_and_gives_the_same_outputs(tmp_path, photo, monkeypatch):
    text = (Path(__file__).parents[2] / "docs" / "rpn-dump.md").read_text()
    code = text.split("## mmdetection")[1].split("```python\n")[1].split("```")[0]
    config, model = built(f"{FASTER}r50_fpn_1x_coco.py")
    inputs = packed(config)
    monkeypatch.chdir(tmp_path)
    exec(code, {"model": model, "image": inputs["inputs"], "sample": inputs["data_samples"]})
    dump = read_dump(tmp_path / "dump.npz")
    own_model = opened(saved(tmp_path / "epoch_12.pth", config, model), {})
    output = own_model.propose(photo)
    assert dump.original_size == photo.shape[:2]
    assert (dump.output.resized_size, dump.output.input_size) == (output.resized_size, output.input_size)
    for ours, theirs in zip(output.levels, dump.output.levels, strict=True):
        assert np.array_equal(ours.objectness, theirs.objectness)
        assert np.array_equal(ours.deltas, theirs.deltas)
    ours, theirs = (followed(own_model, photo, each).proposals.boxes for each in (output, dump.output))
    assert np.array_equal(ours, theirs)


def trained_batch(config, names):
    """Samples with their ground truth as the detector's training pipeline hands them over."""
    inputs, samples = [], []
    for record in sample_dataset().images:
        if record.path.stem in names:
            step = packed(config, record.path)
            sample = step["data_samples"]
            boxes = torch.tensor(record.gt.boxes * np.tile(sample.metainfo["scale_factor"], 2), dtype=torch.float32)
            sample.gt_instances = InstanceData(bboxes=boxes, labels=torch.zeros(len(boxes), dtype=torch.long))
            nothing = torch.zeros((0, 4))
            sample.ignored_instances = InstanceData(bboxes=nothing, labels=torch.zeros(0, dtype=torch.long))
            inputs.append(step["inputs"])
            samples.append(sample)
    return {"inputs": inputs, "data_samples": samples}


@pytest.mark.parametrize("border", [-1, 0])
def test_a_step_of_training_is_captured_and_reproduced(tmp_path, border):
    config, model = built("rpn/rpn_r50_fpn_1x_coco.py", **{"train_cfg.rpn.allowed_border": border})
    model.train()
    handle = capture.mmdetection(model, tmp_path, every=1)
    data = model.data_preprocessor(trained_batch(config, ("coffee", "nested")), True)
    losses = model.loss(data["inputs"], data["data_samples"])
    handle.remove()
    assert not handle.recorder.off
    assert "loss" not in vars(model)
    step = read_step(capture_files(tmp_path)[0])
    preset = presets.load("mmdetection")
    preset = Preset(preset.name, preset.params.with_values("match", border_thresh=float(border)), preset.conventions)
    images = replay(step, preset)
    positive = sum(image.count(1)[0] for image in images)
    assert positive > 10
    assert sentence(images) == f"trainer {positive} positive, rpnviz {positive}, 0 differ"
    assert sum(image.distance for image in images) == 0
    assert all(image.sample.fits for image in images)
    found = step_losses(step, RULES["mmdetection"], 256)
    for name, total in (("loss_rpn_cls", found.objectness), ("loss_rpn_bbox", found.box)):
        assert total == pytest.approx(sum(float(level.detach()) for level in losses[name]), rel=1e-5, abs=1e-5)
    # Another trainer's rules differ, and mmdetection's are named.
    other = presets.load("torchvision")
    if border < 0:
        explained = explain(step, other, replay(step, other))
        assert [explanation.preset for explanation in explained] == ["mmdetection"]
