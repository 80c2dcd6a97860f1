"""torchvision's own detectors, exported whole by torch: the head is found in them, and gives what torchvision gives."""

from __future__ import annotations

import sys
import warnings

import numpy as np
import pytest
import torch
import torchvision
import torchvision.ops._register_onnx_ops as onnx_operators

from rpnviz.models.registry import inspect_model, open_model

_LIBRARY = torch.library.Library("torchvision", "FRAGMENT")
_LIBRARY.define(
    "roi_align(Tensor input, Tensor rois, float spatial_scale, SymInt pooled_height, SymInt pooled_width, "
    "int sampling_ratio, bool aligned) -> Tensor"
)
# What stands behind the proposals is not run by rpnviz; the exporter has to get through it.
_LIBRARY.impl(
    "roi_align", lambda input, rois, _s, h, w, _r, _a: input.new_zeros(rois.shape[0], input.shape[1], h, w), "CPU"
)


def _no_check() -> None:
    pass


@pytest.fixture
def exporting(monkeypatch):
    """The exporter believes that the compiled operators are there."""
    roi_align = sys.modules["torchvision.ops.roi_align"]  # the package has a function of that name
    monkeypatch.setattr(torchvision.ops.boxes, "_assert_has_ops", _no_check)
    monkeypatch.setattr(roi_align, "_assert_has_ops", _no_check)
    monkeypatch.setattr(roi_align, "_has_ops", lambda: True)
    onnx_operators._register_custom_op()


@pytest.mark.parametrize(
    ("builder", "levels"), [("fasterrcnn_mobilenet_v3_large_fpn", 3), ("fasterrcnn_resnet50_fpn", 5)]
)
@pytest.mark.usefixtures("exporting")
def test_a_whole_detector_gives_torchvisions_outputs(tmp_path, randomise, builder, levels):
    detector = randomise(
        getattr(torchvision.models.detection, builder)(weights=None, weights_backbone=None, num_classes=3)
    )
    path = tmp_path / "model.onnx"
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            detector,
            ([torch.rand(3, 300, 400)],),
            str(path),
            dynamo=False,
            opset_version=17,
            input_names=["image"],
            dynamic_axes={"image": {1: "h", 2: "w"}},
        )
    info = inspect_model(path)
    assert info.preset == "torchvision"
    assert {question.key: question.default for question in info.questions}["pixels"] == "inside"
    model, seen = open_model(path), {}
    detector.rpn.head.register_forward_hook(lambda _module, _inputs, result: seen.update(head=result))
    detector.transform.register_forward_hook(lambda _module, _inputs, result: seen.update(images=result[0]))
    for size in ((300, 400), (480, 333)):
        image = np.random.default_rng(1).integers(0, 256, (*size, 3), dtype=np.uint8)
        found = model.propose(image)
        with torch.no_grad():
            detector([torch.from_numpy(image).permute(2, 0, 1).float() / 255])
        assert found.resized_size == seen["images"].image_sizes[0]
        assert found.input_size == tuple(seen["images"].tensors.shape[-2:])
        assert len(found.levels) == levels
        for level, logits, deltas in zip(found.levels, *seen["head"], strict=True):
            for ours, theirs in ((level.objectness, logits[0]), (level.deltas, deltas[0])):
                theirs = theirs.numpy().reshape(ours.shape)
                np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4 * np.abs(theirs).max())
