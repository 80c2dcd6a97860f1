"""The recipes of docs/capture.md: all compile, and Matterport's runs on batches as its generator makes them."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "core"))

from rpnviz.core import pipeline, presets
from rpnviz.core.replay import replay, sentence
from rpnviz.datasets.captures import capture_files, read_step

PAGE = Path(__file__).resolve().parents[2] / "docs" / "capture.md"
RECIPES = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("number", range(4))
def test_a_recipe_is_python(number):
    compile(RECIPES[number], str(PAGE), "exec")


def test_there_is_one_for_each_trainer():
    assert len(RECIPES) == 4


def test_the_recipe_of_matterport_records_what_its_generator_makes(tmp_path, monkeypatch):
    preset = presets.load("matterport")
    size, boxes = (256, 256), np.array([[20.0, 30, 100, 90], [120, 110, 200, 230]])
    result = pipeline.run(
        pipeline.Inputs(size, boxes, padded_size=size, as_seen=True), preset.params, preset.conventions
    )
    anchors = result.anchors.boxes[:, [1, 0, 3, 2]]

    # What the recipe takes from mrcnn: the anchors, y first, which the pipeline has from the reference arrays.
    model = types.SimpleNamespace(compute_backbone_shapes=lambda config, shape: None)
    utils = types.SimpleNamespace(generate_pyramid_anchors=lambda *given: anchors)
    mrcnn = types.ModuleType("mrcnn")
    mrcnn.model, mrcnn.utils = model, utils
    monkeypatch.setitem(sys.modules, "mrcnn", mrcnn)
    config = types.SimpleNamespace(
        MEAN_PIXEL=np.array([123.7, 116.8, 103.9]),
        IMAGE_SHAPE=(*size, 3),
        **dict.fromkeys(("RPN_ANCHOR_SCALES", "RPN_ANCHOR_RATIOS", "BACKBONE_STRIDES", "RPN_ANCHOR_STRIDE")),
    )
    match = np.zeros((1, len(anchors), 1), np.int32)
    match[0, result.sample.positive] = 1
    match[0, result.sample.negative] = -1
    targets = np.zeros((1, 256, 4))
    rows = np.isin(result.targets.anchor_index, result.sample.positive)
    targets[0, : rows.sum()] = result.targets.deltas[rows][:, [1, 0, 3, 2]]
    padded = np.zeros((1, 100, 4), np.int32)
    padded[0, :2] = boxes[:, [1, 0, 3, 2]]
    images = np.full((1, *size, 3), 130.0, np.float32) - config.MEAN_PIXEL.astype(np.float32)
    inputs = [images, None, match, targets, None, padded, None]

    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"config": config}
    exec(compile(RECIPES[3], str(PAGE), "exec"), names)
    assert list(names["captured"](iter([(inputs, [])]))) == [(inputs, [])]
    (path,) = capture_files(tmp_path / "captures")
    with np.load(path) as file:
        assert file["images"].dtype == np.uint8
        assert (file["images"] == 130).all()
    step = read_step(path)
    drawn = len(result.sample.positive) + len(result.sample.negative)
    (image,) = replay(step, preset)
    assert sentence([image]) == f"of {drawn:,} anchors that the trainer tells the label of, 0 differ"
    assert image.anchors.same
    assert len(image.targets_differ) == 0
    assert image.target_error < 1e-6
