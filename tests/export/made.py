"""Images, results and pictures for the tests of exports."""

from __future__ import annotations

import numpy as np

from rpnviz.core import pipeline, presets
from rpnviz.core.inputs import LevelOutput, ModelSettings, RPNOutput
from rpnviz.export.look import Look, Subject
from rpnviz.export.picture import render_picture

PRESET = presets.load("torchvision")


def run(size, boxes=(), outputs=None, params=PRESET.params, ignore=None):
    boxes = np.array(boxes, float).reshape(-1, 4)
    inputs = pipeline.Inputs(size, boxes, np.zeros(len(boxes), np.int64), ignore, outputs=outputs)
    return pipeline.run(inputs, params, PRESET.conventions)


def network_outputs(size):
    """A network that guesses, on the grids of the image without resizing."""
    params = PRESET.params.with_values("resize", mode="none")
    padded = tuple(-(-side // 32) * 32 for side in size)
    rng = np.random.default_rng(0)
    levels = []
    for stride in params.anchors.strides:
        grid = tuple(-(-side // stride) for side in padded)
        levels.append(
            LevelOutput(
                rng.normal(0, 2, (3, *grid)).astype(np.float32), rng.normal(0, 0.2, (3, 4, *grid)).astype(np.float32)
            )
        )
    settings = ModelSettings(params.resize, params.anchors, params.coder, PRESET.conventions)
    return RPNOutput(tuple(levels), size, padded, settings, "test"), params


def grey(height, width):
    return np.full((height, width, 3), 128, np.uint8)


def subject(size, boxes=(), **given):
    """A grey image under the name photo.png."""
    return Subject.of(grey(*size), run(size, boxes), given.pop("file_name", "photo.png"), preset=PRESET, **given)


def render(image, result, stage, *, file_name="photo.png", gt_names=(), preset=PRESET, model_note="", **look):
    made = Subject.of(image, result, file_name, gt_names=gt_names, preset=preset, model_note=model_note)
    return render_picture(made, Look(stage=stage, **look))
