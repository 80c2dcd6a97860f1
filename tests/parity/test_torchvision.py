"""Proposals of checkpoints equal those of torchvision itself, as sets: equal scores have no order there."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.models import detection
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone

from rpnviz.core import pipeline, presets
from rpnviz.core.presets import Preset
from rpnviz.export.proposals import own_thresholds
from rpnviz.models.dump import read_dump
from rpnviz.models.registry import open_model

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torchvision's own use of torch.jit

BUILDERS = {
    name: lambda name=name: getattr(detection, name)(weights=None, weights_backbone=None)
    for name in (
        "fasterrcnn_resnet50_fpn",
        "fasterrcnn_resnet50_fpn_v2",
        "fasterrcnn_mobilenet_v3_large_320_fpn",
        "fasterrcnn_mobilenet_v3_large_fpn",
        "maskrcnn_resnet50_fpn",
        "keypointrcnn_resnet50_fpn",
    )
}
BUILDERS |= {
    name: lambda name=name: detection.FasterRCNN(resnet_fpn_backbone(backbone_name=name, weights=None), 3)
    for name in ("resnet18", "resnet34", "resnet101", "resnext50_32x4d")
}


MOBILENET_GAIN = 1.5, 2.5
"""With less, half of the logits are equal to others to the bit, and which of equals torch.topk takes is open."""


def own_result(path, image, **options):
    model = open_model(path, {"device": "cpu", **options})
    preset = presets.load("torchvision")
    preset = Preset(preset.name, own_thresholds(model, preset.params), preset.conventions)
    return pipeline.run_outputs(
        pipeline.Inputs(image.shape[:2], np.zeros((0, 4))), model.propose(image), preset.params, preset.conventions
    )


def reference(model, image):
    """Raw outputs, proposals and scores of torchvision."""
    from torchvision.models.detection.rpn import concat_box_prediction_layers

    tensor = torch.from_numpy(image).permute(2, 0, 1).contiguous().float() / 255
    with torch.no_grad():
        images, _ = model.transform([tensor])
        features = list(model.backbone(images.tensors).values())
        logits, deltas = model.rpn.head(features)
        anchors = model.rpn.anchor_generator(images, features)
        counts = [level.shape[1] * level.shape[2] * level.shape[3] for level in logits]
        flat_logits, flat_deltas = concat_box_prediction_layers(logits, deltas)
        boxes = model.rpn.box_coder.decode(flat_deltas, anchors).view(1, -1, 4)
        boxes, scores = model.rpn.filter_proposals(boxes, flat_logits, images.image_sizes, counts)
    return logits, deltas, anchors[0].numpy(), boxes[0].numpy(), scores[0].numpy()


@pytest.mark.parametrize("name", BUILDERS)
def test_outputs_are_equal_to_the_bit_and_proposals_as_sets(name, tmp_path, randomise, photo, share_found):
    gain = {"gain": MOBILENET_GAIN} if "mobilenet" in name else {}
    model = randomise(BUILDERS[name](), **gain)
    path = tmp_path / "model.pth"
    torch.save(model.state_dict(), path)
    options = {"variant": "320" if "320" in name else "large"} if "mobilenet" in name else {}
    own = own_result(path, photo, **options)
    logits, deltas, anchors, boxes, scores = reference(model, photo)
    for level, a, b in zip(own.inputs.outputs.levels, logits, deltas, strict=True):
        assert np.array_equal(level.objectness, a[0].numpy())
        assert np.array_equal(level.deltas.reshape(b.shape[1:]), b[0].numpy())
    assert np.array_equal(own.anchors.boxes, anchors)
    assert len(own.proposals.boxes) == len(boxes) >= 150
    assert share_found(own, boxes, scores) >= 0.99


def test_a_whole_pickled_model_brings_its_settings(tmp_path, randomise, photo, share_found):
    model = randomise(
        detection.fasterrcnn_mobilenet_v3_large_320_fpn(
            weights=None,
            weights_backbone=None,
            min_size=200,
            max_size=300,
            rpn_nms_thresh=0.5,
            rpn_pre_nms_top_n_test=77,
            rpn_post_nms_top_n_test=55,
            rpn_score_thresh=0.01,
            image_mean=[0.5, 0.5, 0.5],
            image_std=[0.25, 0.25, 0.25],
        ),
        gain=MOBILENET_GAIN,
    )
    path = tmp_path / "whole.pth"
    torch.save(model, path)
    settings = open_model(path).settings
    proposals = settings.proposals
    assert (settings.resize.min_size, settings.resize.max_size) == (200, 300)
    assert (proposals.pre_nms_top_n.test, proposals.post_nms_top_n.test) == (77, 55)
    assert (proposals.nms_thresh, proposals.score_thresh) == (0.5, 0.01)
    own = own_result(path, photo)
    logits, _, _, boxes, scores = reference(model, photo)
    assert np.array_equal(own.inputs.outputs.levels[0].objectness, logits[0][0].numpy())
    assert share_found(own, boxes, scores) >= 0.97


def test_the_recipe_of_the_documentation_runs_and_gives_the_same_proposals(
    tmp_path, randomise, photo, share_found, monkeypatch
):
    from pathlib import Path

    text = (Path(__file__).parents[2] / "docs" / "rpn-dump.md").read_text()
    code = text.split("## torchvision")[1].split("```python\n")[1].split("```")[0]
    model = randomise(BUILDERS["resnet18"]())
    image = torch.from_numpy(photo).permute(2, 0, 1).contiguous().float() / 255
    monkeypatch.chdir(tmp_path)
    exec(code, {"model": model, "image": image})
    dump = read_dump(tmp_path / "dump.npz")
    assert dump.original_size == photo.shape[:2]
    preset = presets.load("torchvision")
    own = pipeline.run_outputs(
        pipeline.Inputs(dump.original_size, np.zeros((0, 4))), dump.output, preset.params, preset.conventions
    )
    _, _, _, boxes, scores = reference(model, photo)
    assert share_found(own, boxes, scores) >= 0.97
