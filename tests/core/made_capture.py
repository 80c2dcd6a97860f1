"""A trainer of our own: the pipeline labels a batch, torch's formulas make its losses, rpnviz.capture writes it."""

from __future__ import annotations

import numpy as np

from rpnviz.capture import Recorder
from rpnviz.core import pipeline, presets
from rpnviz.core.presets import Preset

BOXES = (
    np.array([[20.0, 20, 84, 84], [30, 28, 76, 80], [100, 40, 120, 60]]),
    np.array([[8.0, 8, 40, 24]]),
)
SIZES = ((96, 128), (64, 96))
PADDED = (96, 128)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def small(name="torchvision", conventions=None, **match):
    """A preset with two levels of small anchors, so that a step has some thousands of them."""
    preset = presets.load(name)
    params = preset.params.with_values(
        "anchors",
        strides=(8, 16),
        sizes=((16.0,), (32.0,)) if preset.params.anchors.sizes != -1 else -1,
        base_sizes=-1 if preset.params.anchors.sizes != -1 else (8.0, 16.0),
        aspect_ratios=((0.5, 1.0, 2.0),) * 2,
    ).with_values("match", **match)
    return Preset(name, params, preset.conventions.overridden(conventions or {}))


def made_step(preset=None, seed=0, boxes=BOXES):
    """Arguments of ``Recorder.step``: a batch of two images as a trainer with these rules would hand it over."""
    preset = preset or small()
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (2, *PADDED, 3)).astype(np.uint8)
    normalised = ((pixels / 255 - MEAN) / STD).astype(np.float32).transpose(0, 3, 1, 2)
    results = [
        pipeline.run(pipeline.Inputs(size, own, padded_size=PADDED, as_seen=True), preset.params, preset.conventions)
        for size, own in zip(SIZES, boxes, strict=True)
    ]
    count = len(results[0].anchors)
    return {
        "images": normalised,
        "sizes": SIZES,
        "boxes": [own.astype(np.float32) for own in boxes],
        "classes": [np.arange(len(own)) for own in boxes],
        "grids": [(level.cells, *level.grid) for level in results[0].anchors.lattice],
        "strides": [level.stride for level in results[0].anchors.lattice],
        "anchors": results[0].anchors.boxes,
        "labels": [result.match.labels for result in results],
        "sampled_positive": [result.sample.positive for result in results],
        "sampled_negative": [result.sample.negative for result in results],
        "target_anchor": [result.targets.anchor_index for result in results],
        "target_deltas": [result.targets.deltas for result in results],
        "objectness": [rng.normal(0, 2, count).astype(np.float32) for _ in results],
        "deltas": [rng.normal(0, 0.4, (count, 4)).astype(np.float32) for _ in results],
        "losses": {"loss_objectness": 0.7, "loss_rpn_box_reg": 0.1},
    }


def recorder(folder, **options):
    """As torchvision's would be made."""
    given = {"every": 1, "framework": "torchvision", "mean": MEAN, "std": STD, "factor": 255.0}
    return Recorder(folder, **{**given, **options})


def write_capture(folder, steps=1, preset=None, **changes):
    """Some captured steps; returns their files."""
    writer = recorder(folder)
    for number in range(steps):
        writer.step(**{**made_step(preset, seed=number), **changes})
    assert not writer.off
    return writer.written
