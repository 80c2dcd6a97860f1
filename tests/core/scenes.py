"""Results with a network's outputs: random ones under any preset, and one whose numbers can be worked out by hand."""

from __future__ import annotations

import numpy as np

from rpnviz.core import pipeline, presets
from rpnviz.core.inputs import LevelOutput, ModelSettings, RPNOutput


def model_scene(name, seed=0, boxes=((20, 20, 84, 84),), nan_at=None, **values):
    """Random outputs of a network on the preset's own anchors; ``nan_at``: (level, cell, row, column) of a NaN."""
    preset = presets.load(name)
    params = preset.params.with_values("resize", mode="none")
    if values:
        params = params.with_values("proposals", **values)
    rng = np.random.default_rng(seed)
    inputs = pipeline.Inputs((96, 128), np.array(boxes, float))
    bare = pipeline.run(inputs, params, preset.conventions)
    levels = []
    for level in bare.anchors.lattice:
        shape = (level.cells, *level.grid)
        logits = rng.normal(0, 2, shape).round(1 if seed % 2 else 6)  # equal scores too
        if nan_at is not None and len(levels) == nan_at[0]:
            logits[nan_at[1:]] = np.nan
        levels.append(
            LevelOutput(logits.astype(np.float32), rng.normal(0, 0.3, (level.cells, 4, *level.grid)).astype(np.float32))
        )
    settings = ModelSettings(params.resize, params.anchors, params.coder, preset.conventions)
    output = RPNOutput(tuple(levels), bare.frame.resized_size, bare.frame.input_size, settings, "made up")
    return pipeline.run(pipeline.Inputs((96, 128), np.array(boxes, float), outputs=output), params, preset.conventions)


def made_by_hand():
    """One level, one shape of 32 x 32 at every 32 px of a 32 x 160 image: five boxes, moved by hand.

    The ground truth is (32, 0, 64, 32). Box 1 stands on it (IoU 1) with score 0.6; box 0 is moved 16 px to the right
    of its anchor, (16, 0, 48, 32), score 0.9: common 16 * 32 = 512 of 1536, IoU 1/3 with the ground truth and with
    box 1. At an NMS threshold of 0.3 it suppresses box 1.
    """
    preset = presets.load("torchvision")
    params = preset.params.with_values("resize", mode="none", pad_multiple=32).with_values(
        "anchors", strides=(32,), sizes=((32.0,),), aspect_ratios=((1.0,),), offset=0.0
    )
    params = params.with_values("proposals", nms_thresh=0.3, min_size=0.0)
    inputs = pipeline.Inputs((32, 160), np.array([[32.0, 0, 64, 32]]))
    bare = pipeline.run(inputs, params, preset.conventions)
    assert len(bare.anchors) == 5
    # Anchors are centred on the corners of the cells: (-16, -16, 16, 16) first. Half a box right and down is + 0.5.
    deltas = np.zeros((1, 4, 1, 5), np.float32)
    deltas[0, :2] = 0.5
    deltas[0, 0, 0, 0] = 1.0
    logits = np.log(np.array([0.9, 0.6, 0.5, 0.4, 0.3]) / (1 - np.array([0.9, 0.6, 0.5, 0.4, 0.3])))
    outputs = RPNOutput(
        (LevelOutput(logits.reshape(1, 1, 5).astype(np.float32), deltas),),
        bare.frame.resized_size,
        bare.frame.input_size,
        ModelSettings(params.resize, params.anchors, params.coder, preset.conventions),
        "made by hand",
    )
    return pipeline.run(
        pipeline.Inputs((32, 160), np.array([[32.0, 0, 64, 32]]), outputs=outputs), params, preset.conventions
    )
